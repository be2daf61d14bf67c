"""The calls of the tour, as data: each with its arguments for the range of a row, and the clauses that it judges.

A call's arguments are a function of the scene.  A name says how the call differs from the plain one: by its flags, or
by what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ..contract import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_NORESERVE,
    MLOCK_ONFAULT,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from .scene import NEIGHBOUR, PAGES, RW, TARGET, Scene

Arguments = Callable[[Scene], tuple[Any, ...]]


class TourCall(NamedTuple):
    """A call of the tour."""

    call: str
    """The call of the contract."""
    arguments: Arguments
    clauses: tuple[str, ...]
    """The clauses that a row with it judges."""
    needs_file: bool = False
    """True if the call is about a file: it cannot be made where anonymous memory is mapped."""
    since: int = 1
    """The edition of the tour from which on it is made."""


def mmap(
    flags: int, prot: int = RW, file: bool = True, offset: int = 0, where: str = "range", fd: int | None = None
) -> Arguments:
    """Return the arguments of an mmap: over the range, or with where="null" or "middle" elsewhere."""

    def arguments(scene: Scene) -> tuple[Any, ...]:
        addr, length = scene.addr, scene.length
        if where == "null":
            addr = 0
        elif where == "middle":
            addr, length = scene.main + scene.page, 1 * scene.page
        elif where == "free":
            addr, length = scene.at(TARGET), PAGES * scene.page
        anonymous = not file or scene.is_anonymous
        kind = flags | MAP_ANONYMOUS if anonymous and fd is None else flags
        start = 0 if anonymous else scene.setting.offset
        number = fd if fd is not None else -1 if anonymous else scene.io
        return addr, length, prot, kind, number, start + offset

    return arguments


def range_and(*more: Any, start: int = 0, longer: int = 0) -> Arguments:
    """Return the arguments of a call on the range, `start` bytes later, `longer` bytes longer, and further arguments.

    `start`: bytes.
    """
    return lambda scene: (scene.addr + start, scene.length + longer, *more)


def resized(old: int | None, new: int, flags: int, to: int | None = None, at: int = 0) -> Arguments:
    """Return the arguments of mremap for the range: sizes in pages, None for the range's; the page of the target."""

    def arguments(scene: Scene) -> tuple[Any, ...]:
        pages = -(-int(scene.length) // scene.program.page)
        before = pages if old is None else old
        addr = scene.addr + at
        target = 0 if to is None else scene.at(to)
        return addr, before * scene.page, max(before + new, 0) * scene.page, flags, target

    return arguments


def io(*arguments: Callable[[Scene], Any]) -> Arguments:
    """Return the arguments of a call on the descriptor of the file."""
    return lambda scene: (scene.io, *(value(scene) for value in arguments))


PUNCH: Final = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
MOVE: Final = MREMAP_MAYMOVE | MREMAP_FIXED
FIXED_SHARED: Final = MAP_SHARED | MAP_FIXED
FIXED_PRIVATE: Final = MAP_PRIVATE | MAP_FIXED
FIXED_ANONYMOUS: Final = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS

MMAP: Final = ("mmap.range",)
FIXED: Final = ("mmap.flag.fixed",)
REFUSED: Final = ("mmap.result.failure",)
RESIZE: Final = ("mremap.resize",)
MREMAP_REFUSED: Final = ("mremap.errno.EINVAL",)

CALLS: Final[Mapping[str, TourCall]] = {
    # ---- documented
    "munmap": TourCall("munmap", range_and(), ("munmap.range",)),
    "munmap-less-a-byte": TourCall("munmap", range_and(longer=-1), ("munmap.range",)),
    "munmap-unaligned": TourCall("munmap", range_and(start=1), ("munmap.errno.EINVAL.address",)),
    "munmap-nothing": TourCall("munmap", lambda scene: (scene.addr, 0), ("munmap.errno.EINVAL",)),
    "mmap-null-shared": TourCall("mmap", mmap(MAP_SHARED, where="null"), MMAP),
    "mmap-null-private": TourCall("mmap", mmap(MAP_PRIVATE, where="null"), MMAP),
    "mmap-over-shared": TourCall("mmap", mmap(FIXED_SHARED), FIXED),
    "mmap-over-private": TourCall("mmap", mmap(FIXED_PRIVATE), FIXED),
    "mmap-over-read": TourCall("mmap", mmap(FIXED_SHARED, PROT_READ), FIXED),
    "mmap-over-anonymous": TourCall("mmap", mmap(FIXED_ANONYMOUS, file=False), FIXED),
    "mmap-over-none": TourCall("mmap", mmap(FIXED_ANONYMOUS, PROT_NONE, file=False), FIXED),
    "mmap-over-middle": TourCall("mmap", mmap(FIXED_ANONYMOUS, file=False, where="middle"), FIXED),
    "mmap-over-middle-shared": TourCall("mmap", mmap(FIXED_SHARED, where="middle"), FIXED),
    "mmap-hint-taken": TourCall("mmap", mmap(MAP_PRIVATE | MAP_ANONYMOUS, file=False), MMAP),
    "mmap-elsewhere": TourCall("mmap", mmap(FIXED_SHARED, where="free"), FIXED),
    "mmap-nothing": TourCall(
        "mmap", lambda s: (s.addr, 0, RW, FIXED_ANONYMOUS, -1, 0), ("mmap.result.failure", "mmap.errno.EINVAL")
    ),
    "mmap-bad-descriptor": TourCall("mmap", mmap(FIXED_SHARED, fd=-1), ("mmap.result.failure", "mmap.errno.EBADF")),
    "mmap-bad-offset": TourCall("mmap", mmap(FIXED_SHARED, offset=1), ("mmap.result.failure", "mmap.errno.EINVAL")),
    "msync": TourCall("msync", range_and(MS_SYNC), ("msync.flag.sync",)),
    "msync-async": TourCall("msync", range_and(MS_ASYNC), ("msync.flag.async",)),
    "msync-invalidate": TourCall("msync", range_and(MS_SYNC | MS_INVALIDATE), ("msync.flag.invalidate",)),
    "msync-both": TourCall("msync", range_and(MS_SYNC | MS_ASYNC), ("msync.errno.EINVAL",)),
    "msync-unaligned": TourCall("msync", range_and(MS_SYNC, start=1), ("msync.errno.EINVAL.address",)),
    "mremap-same": TourCall("mremap", resized(None, 0, 0), RESIZE),
    "mremap-shrink": TourCall("mremap", resized(None, -1, 0), RESIZE),
    "mremap-grow": TourCall("mremap", resized(None, 1, 0), RESIZE),
    "mremap-grow-maymove": TourCall("mremap", resized(None, 3, MREMAP_MAYMOVE), RESIZE),
    "mremap-shrink-maymove": TourCall("mremap", resized(None, -2, MREMAP_MAYMOVE), RESIZE),
    "mremap-nothing": TourCall("mremap", lambda s: (s.addr, s.length, 0, 0, 0), MREMAP_REFUSED),
    "load": TourCall("load", range_and(), ("mmap.prot.read",)),
    "store": TourCall("store", lambda s: (s.addr, b"L" * int(s.length)), ("mmap.prot.write",)),
    "store-across": TourCall("store", lambda s: (s.addr + s.length - 4, b"ACROSS!!"), ("mmap.prot.write",)),
    "pwrite": TourCall(
        "pwrite", io(lambda s: b"D" * 9, lambda s: s.setting.offset + s.page - 4), ("overview.one-to-one",), True
    ),
    "pread": TourCall("pread", io(lambda s: 3 * s.page, lambda s: s.setting.offset), ("overview.one-to-one",), True),
    "close": TourCall("close", lambda s: (s.fd,), ("mmap.refcount.close",), True),
    "fork": TourCall("fork", lambda s: (), ("overview.shared-by-processes",)),
    "exit": TourCall("exit", lambda s: (0,), ("mmap.refcount.exit",)),
    "kill": TourCall("kill", lambda s: (), ("mmap.refcount.exit",)),
    # ---- posix
    "exec": TourCall("exec", lambda s: (), ("exec.mappings",)),
    "mprotect-none": TourCall("mprotect", range_and(PROT_NONE), ("mprotect.rights",)),
    "mprotect-read": TourCall("mprotect", range_and(PROT_READ), ("mprotect.rights",)),
    "mprotect-write": TourCall("mprotect", range_and(RW), ("mprotect.rights",)),
    "mprotect-exec": TourCall("mprotect", range_and(PROT_READ | PROT_EXEC), ("mprotect.exec",)),
    "ftruncate-page": TourCall("ftruncate", io(lambda s: s.setting.offset + s.page), ("file.truncate",), True),
    "ftruncate-within": TourCall("ftruncate", io(lambda s: s.setting.offset + s.page + 100), ("file.truncate",), True),
    "ftruncate-same": TourCall("ftruncate", io(lambda s: s.size), ("file.truncate",), True),
    "ftruncate-nothing": TourCall("ftruncate", io(lambda s: 0), ("file.truncate",), True),
    "ftruncate-grow": TourCall("ftruncate", io(lambda s: s.size + s.page + 1), ("file.truncate",), True),
    "mlock": TourCall("mlock", range_and(), ("mlock.resident",)),
    "munlock": TourCall("munlock", range_and(), ("munlock.range",)),
    # ---- linux
    "write-from": TourCall(
        "write_from", lambda s: (s.create("buffer"), s.addr, 50, s.setting.offset), ("buffer.load",)
    ),
    "read-into": TourCall("read_into", lambda s: (s.create("buffer"), s.addr, 50, s.setting.offset), ("buffer.store",)),
    "mmap-write-only": TourCall("mmap", mmap(FIXED_SHARED, PROT_WRITE), ("mmap.prot.write", "mprotect.write")),
    "mmap-over-free": TourCall("mmap", mmap(MAP_SHARED | MAP_FIXED_NOREPLACE), ("mmap.flag.fixed-noreplace",)),
    "mmap-populate": TourCall("mmap", mmap(FIXED_PRIVATE | MAP_POPULATE), ("mmap.flag.populate",)),
    "mmap-populate-shared": TourCall("mmap", mmap(FIXED_SHARED | MAP_POPULATE), ("mmap.flag.populate",)),
    "mmap-locked": TourCall("mmap", mmap(FIXED_PRIVATE | MAP_LOCKED), ("mmap.flag.locked",)),
    "mmap-noreserve": TourCall("mmap", mmap(FIXED_PRIVATE | MAP_NORESERVE), ("mmap.flag.noreserve",)),
    "mmap-bad-type": TourCall(
        "mmap", mmap(MAP_FIXED, fd=-1, file=False), ("mmap.result.failure.fixed", "mmap.errno.EINVAL.type")
    ),
    "mmap-too-long": TourCall(
        "mmap",
        lambda s: (s.addr, (1 << s.program.bits) - s.page, RW, FIXED_ANONYMOUS, -1, 0),
        ("mmap.result.failure.fixed", "mmap.errno.ENOMEM.address-space"),
    ),
    "msync-no-flags": TourCall("msync", range_and(0), ("msync.flags.zero",)),
    "mremap-move": TourCall("mremap", resized(None, 0, MOVE, TARGET), ("mremap.flags.fixed",)),
    "mremap-move-over": TourCall("mremap", resized(None, 0, MOVE, NEIGHBOUR), ("mremap.flags.fixed",)),
    "mremap-move-grow": TourCall("mremap", resized(None, 1, MOVE, TARGET), ("mremap.fixed.resize",)),
    "mremap-move-shrink": TourCall("mremap", resized(None, -1, MOVE, TARGET), ("mremap.fixed.resize",)),
    "mremap-overlap": TourCall("mremap", resized(None, 0, MOVE, 3), ("mremap.errno.EINVAL.overlap",)),
    "mremap-fixed-alone": TourCall("mremap", resized(None, 0, MREMAP_FIXED, TARGET), ("mremap.errno.EINVAL.fixed",)),
    "mremap-duplicate": TourCall(
        "mremap", resized(0, 3, MREMAP_MAYMOVE | MREMAP_FIXED, TARGET), ("mremap.old-size-zero",)
    ),
    "mremap-dontunmap": TourCall(
        "mremap", resized(None, 0, MOVE | MREMAP_DONTUNMAP, TARGET), ("mremap.flags.dontunmap",)
    ),
    "mremap-unaligned": TourCall("mremap", resized(None, 0, MREMAP_MAYMOVE, at=1), MREMAP_REFUSED),
    "mremap-unknown-flag": TourCall("mremap", resized(None, 0, 8), MREMAP_REFUSED),
    "mprotect-unaligned": TourCall("mprotect", range_and(PROT_READ, start=1), ("mprotect.errno.EINVAL",)),
    "mprotect-unknown": TourCall("mprotect", range_and(1 << 20), ("mprotect.errno.EINVAL.prot",)),
    "madvise-dontneed": TourCall("madvise", range_and(MADV_DONTNEED), ("madvise.range",)),
    "madvise-free": TourCall("madvise", range_and(MADV_FREE), ("madvise.range", "madvise.free")),
    "madvise-remove": TourCall("madvise", range_and(MADV_REMOVE), ("madvise.range", "madvise.remove")),
    "madvise-dontfork": TourCall("madvise", range_and(MADV_DONTFORK), ("madvise.dontfork",)),
    "madvise-wipeonfork": TourCall("madvise", range_and(MADV_WIPEONFORK), ("madvise.wipeonfork",)),
    "madvise-willneed": TourCall("madvise", range_and(MADV_WILLNEED), ("madvise.hints",)),
    "madvise-populate-read": TourCall("madvise", range_and(MADV_POPULATE_READ), ("madvise.populate-read",)),
    "madvise-populate-write": TourCall("madvise", range_and(MADV_POPULATE_WRITE), ("madvise.populate-write",)),
    "madvise-unknown": TourCall("madvise", range_and(99), ("madvise.errno.EINVAL.advice",)),
    "mlock-onfault": TourCall("mlock2", range_and(MLOCK_ONFAULT), ("mlock2.onfault",)),
    "mincore": TourCall("mincore", range_and(), ("mincore.vector",)),
    "mseal": TourCall("mseal", range_and(), ("mseal.result",)),
    "madvise-pageout": TourCall("madvise", range_and(MADV_PAGEOUT), ("madvise.reclaim",), since=2),
    "fallocate-punch": TourCall(
        "fallocate", io(lambda s: PUNCH, lambda s: s.setting.offset, lambda s: s.page), ("fallocate.zero",), True, 2
    ),
    "fallocate-punch-parts": TourCall(
        "fallocate",
        io(lambda s: PUNCH, lambda s: s.setting.offset + s.page - 10, lambda s: s.page + 20),
        ("fallocate.zero.outside", "fallocate.zero"),
        True,
        2,
    ),
    "fallocate-grow": TourCall(
        "fallocate", io(lambda s: 0, lambda s: s.size, lambda s: s.page + 1), ("fallocate.size",), True, 2
    ),
    "copy-within": TourCall(
        "copy_file_range",
        lambda s: (s.io, s.setting.offset, s.io, s.setting.offset + s.page + 5, s.page),
        ("copy.shared", "copy.stores"),
        True,
        2,
    ),
    "drop-cache": TourCall("drop_cache", io(), ("hole.storage",), True),
}
"""By the name of the value, the calls."""
