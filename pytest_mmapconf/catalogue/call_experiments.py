"""Experiments that observe whether a call is implemented at all: one that is not answers ENOSYS to valid arguments."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from ..contract import (
    MADV_NORMAL,
    MAP_SHARED,
    MCL_CURRENT,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    O_CREAT,
    O_EXCL,
    O_RDWR,
    PROT_READ,
    SC_PAGESIZE,
    Process,
)

UsedPage = Callable[[Process, int, int], object]
"""Makes a call with a process, the address of a mapped page of a file, and the page size."""

CALLS: Final[dict[str, tuple[str, UsedPage]]] = {
    "mremap": ("mremap.linux-only", lambda process, base, page: process.mremap(base, page, page, MREMAP_MAYMOVE)),
    "msync": ("msync.result", lambda process, base, page: process.msync(base, page, MS_ASYNC)),
    "mprotect": ("mprotect.rights", lambda process, base, page: process.mprotect(base, page, PROT_READ)),
    "mlock": ("mlock.resident", lambda process, base, page: process.mlock(base, page)),
    "mlock2": ("mlock2.no-flags", lambda process, base, page: process.mlock2(base, page, 0)),
    "munlock": ("munlock.range", lambda process, base, page: process.munlock(base, page)),
    "mlockall": ("mlockall.current", lambda process, base, page: process.mlockall(MCL_CURRENT)),
    "munlockall": ("munlockall.current", lambda process, base, page: process.munlockall()),
    "madvise": ("madvise.hints", lambda process, base, page: process.madvise(base, page, MADV_NORMAL)),
    "mincore": ("mincore.vector", lambda process, base, page: process.mincore(base, page)),
    "mseal": ("mseal.result", lambda process, base, page: process.mseal(base, page, 0)),
}
"""For each call that a system may not implement, the clause whose cases then fail, and the call."""


def is_implemented(call: UsedPage) -> Callable[[Process], bool]:
    """Return an experiment that makes this call; False means ENOSYS, and any other answer that it is implemented."""

    def experiment(process: Process) -> bool:
        page = process.sysconf(SC_PAGESIZE)
        fd = process.open("observed", O_CREAT | O_EXCL | O_RDWR)
        process.pwrite(fd, b"x", 0)
        base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
        try:
            call(process, base, page)
        except OSError as error:
            return error.errno != errno.ENOSYS
        return True

    return experiment
