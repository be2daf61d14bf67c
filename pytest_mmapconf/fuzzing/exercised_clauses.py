"""Which clauses a call has kept that was not refused: what a run tells that it has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from ..contract import (
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
    """The clauses that a mapping that was made keeps."""
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
    """The clauses that a mapping that was resized or moved keeps."""
    yield "mremap.resize" if old_size else "mremap.old-size-zero"
    if flags & MREMAP_DONTUNMAP:
        yield "mremap.flags.dontunmap"
    else:
        yield "mremap.flags.fixed" if flags & MREMAP_FIXED else "mremap.flags.maymove" if flags else "mremap.flags.zero"


def of_msync(addr: int, length: int, flags: int) -> Iterator[str]:
    """The clauses that a msync that succeeded keeps."""
    yield "msync.result"
    for flag, clause in ((MS_SYNC, "sync"), (MS_ASYNC, "async"), (MS_INVALIDATE, "invalidate")):
        if flags & flag:
            yield f"msync.flag.{clause}"


def always(*clauses: str) -> Callable[..., Iterable[str]]:
    """The same clauses whatever the arguments."""
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
"""By call, the clauses that it keeps where it succeeds."""

FAULTS: Final = {"SEGV_ACCERR": "mmap.prot.none", "BUS_ADRERR": "file.truncate"}
"""By its code, the clause that a fault keeps."""
