"""The clauses that a successful call or a fault exercises: the coverage that a run of random programs reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
)


def of_mmap(addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> Iterator[str]:
    """Yield the clauses that a successful mmap exercises."""
    yield "mmap.result.success"
    yield "mmap.flag.anonymous" if flags & MAP_ANONYMOUS else "mmap.range"
    yield "mmap.flag.shared" if flags & MAP_SHARED else "mmap.flag.private"
    if flags & MAP_FIXED:
        yield "mmap.flag.fixed"
    elif flags & MAP_FIXED_NOREPLACE:
        yield "mmap.flag.fixed-noreplace"
    else:
        yield "mmap.addr.hint" if addr else "mmap.addr.null"


def of_mremap(addr: int, old_size: int, new_size: int, flags: int, new_addr: int) -> Iterator[str]:
    """Yield the clauses that a successful mremap exercises."""
    yield "mremap.resize" if old_size else "mremap.old-size-zero"
    if flags & MREMAP_DONTUNMAP:
        yield "mremap.flags.dontunmap"
    else:
        yield "mremap.flags.fixed" if flags & MREMAP_FIXED else "mremap.flags.maymove" if flags else "mremap.flags.zero"


def of_msync(addr: int, length: int, flags: int) -> Iterator[str]:
    """Yield the clauses that a successful msync exercises."""
    yield "msync.result"
    for flag, clause in ((MS_SYNC, "sync"), (MS_ASYNC, "async"), (MS_INVALIDATE, "invalidate")):
        if flags & flag:
            yield f"msync.flag.{clause}"


def always(*clauses: str) -> Callable[..., Iterable[str]]:
    """Return a function that yields these clauses for any arguments."""
    return lambda *arguments: clauses


EFFECTS: Final[Mapping[str, Callable[..., Iterable[str]]]] = {
    "mmap": of_mmap,
    "mremap": of_mremap,
    "msync": of_msync,
    "munmap": always("munmap.range", "munmap.result"),
    "mprotect": always("mprotect.rights"),
    "load": always("mmap.prot.read"),
    "store": always("mmap.prot.write"),
    "execute": always("mmap.prot.exec"),
    "pread": always("overview.one-to-one"),
    "pwrite": always("overview.one-to-one"),
    "close": always("mmap.refcount.close"),
    "unlink": always("mmap.refcount.increment"),
    "exit": always("mmap.refcount.exit"),
    "kill": always("mmap.refcount.exit"),
    "fork": always("overview.shared-by-processes"),
    "ftruncate": always("file.truncate"),
    "sysconf": always("paging.sysconf"),
}
"""For each call, the clauses that it exercises when it succeeds."""

FAULTS: Final = {"SEGV_ACCERR": "mmap.prot.none", "BUS_ADRERR": "file.truncate"}
"""For each signal code, the clause that the fault exercises."""
