"""Further calls of the tour: those that are refused, each for another reason, and those with a rare flag.

A refused call leaves what was there; so most of these are about the range of the row, and would change it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..contract import (
    MADV_DOFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MAP_STACK,
    MCL_FUTURE,
    MCL_ONFAULT,
    PROT_GROWSUP,
    SEAL_WRITE,
    SEEK_END,
    Facility,
    Resource,
)
from ..reference.constants import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    MS_SYNC,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_NONE,
    PROT_READ,
)
from .calls import MOVE, Arguments, TourCall, range_and, resized
from .scene import NEIGHBOUR, RW, TARGET, Scene

Descriptor = Callable[[Scene], int]
"""Makes a descriptor in the process that makes the call; -1 if it cannot."""


def made(scene: Scene, name: str, *arguments: Any) -> Any:
    """Make a call of the process that makes the row's call, and return its result; -1 if it has none."""
    result = scene.call_of(scene.caller, name, *arguments)
    return -1 if result is None else result


def half(call: str, number: int) -> Descriptor:
    """Return a function that makes a pipe or sockets, and returns one of the two descriptors."""

    def make(scene: Scene) -> int:
        pair = made(scene, call)
        return -1 if pair == -1 else int(pair[number])

    return make


def opened(path: str, flags: int) -> Descriptor:
    """Return a function that opens a path, or a new file."""
    return lambda scene: int(made(scene, "open", path, flags))


def new_file(flags: int) -> Descriptor:
    """Return a function that makes a file with content and opens it with these flags."""

    def make(scene: Scene) -> int:
        scene.create("more", b"mnopqrst")
        return int(made(scene, "open", "more", flags))

    return make


def of_facility(facility: Facility, flags: int = O_RDONLY) -> Descriptor:
    """Return a function that opens the file of a facility."""

    def make(scene: Scene) -> int:
        path = scene.program.system.facility(facility)
        return int(made(scene, "open", path, flags))

    return make


def write_sealed(scene: Scene) -> int:
    """Return the descriptor of a memfd that may not be written to."""
    fd = int(made(scene, "memfd"))
    made(scene, "ftruncate", fd, 3 * scene.page)
    made(scene, "seal", fd, SEAL_WRITE)
    return fd


def of(
    descriptor: Descriptor, flags: int = MAP_SHARED | MAP_FIXED, prot: int = PROT_READ, offset: int = 0
) -> Arguments:
    """Return the arguments of an mmap over the range, of a descriptor that is made for it."""
    return lambda scene: (scene.addr, scene.length, prot, flags, descriptor(scene), offset)


def anonymous(flags: int, prot: int = RW, start: int = 0, offset: int = 0) -> Arguments:
    """Return the arguments of an mmap over the range, `start` bytes later, without a file."""
    return lambda scene: (scene.addr + start, scene.length, prot, flags | MAP_ANONYMOUS, -1, offset)


def at_null(flags: int, prot: int = RW) -> Arguments:
    """Return the arguments of an mmap without an address and without a file."""
    return lambda scene: (0, scene.length, prot, flags | MAP_ANONYMOUS, -1, 0)


def outside(*more: Any) -> Arguments:
    """Return the arguments of a call on a range that begins in the mapping and ends outside the address space."""
    return lambda scene: (scene.addr, scene.actor.model.task_size, *more)


def after_the_end(*more: Any) -> Arguments:
    """Return the arguments of a call on the first two pages after the address space.

    A range from the mapping up to there would hold the memory of the process itself.
    """
    return lambda scene: (scene.actor.model.task_size, 2 * scene.page, *more)


def nothing(*more: Any) -> Arguments:
    """Return the arguments of a call on no bytes of the range."""
    return lambda scene: (scene.addr, 0, *more)


def wrapping(*more: Any) -> Arguments:
    """Return the arguments of a call with a length that becomes 0 when it is rounded up."""
    return lambda scene: (scene.addr, (1 << scene.program.bits) - 1, *more)


def no_room(scene: Scene) -> None:
    """Limit the address space to what is in use."""
    made(scene, "set_limit_headroom", Resource.ADDRESS_SPACE, 0)


def no_locks(scene: Scene) -> None:
    """Allow no locked memory, but what is locked."""
    made(scene, "drop_capability", "CAP_IPC_LOCK")
    made(scene, "set_limit_headroom", Resource.LOCKED_MEMORY, 0)


def locked(scene: Scene) -> None:
    """Lock the main mapping."""
    made(scene, "mlock", scene.main, 3 * scene.page)


def locked_fully(scene: Scene) -> None:
    """Lock the main mapping, and allow no more."""
    locked(scene)
    no_locks(scene)


def sealed_memory(scene: Scene) -> None:
    """Seal the second page of the main mapping."""
    made(scene, "mseal", scene.main + scene.page, 1 * scene.page, 0)


def prepared(prepare: Callable[[Scene], None], arguments: Arguments) -> Arguments:
    """Return arguments before which something else is done."""

    def both(scene: Scene) -> tuple[Any, ...]:
        prepare(scene)
        return arguments(scene)

    return both


OVER: Final = MAP_SHARED | MAP_FIXED
DONTUNMAP: Final = MREMAP_MAYMOVE | MREMAP_DONTUNMAP

MMAPS: Final[Mapping[str, tuple[Arguments, str]]] = {
    "pipe": (of(half("pipe", 0)), "mmap.errno.ENODEV.pipe"),
    "write-end": (of(half("pipe", 1)), "mmap.errno.ENODEV.pipe"),
    "socket": (of(half("socketpair", 0)), "mmap.errno.ENODEV.socket"),
    "directory": (of(opened(".", O_RDONLY)), "mmap.errno.ENODEV.directory"),
    "path": (of(opened(".", O_PATH)), "mmap.errno.EBADF.path"),
    "null-device": (of(of_facility(Facility.DEV_NULL)), "mmap.errno.ENODEV.device"),
    "proc": (of(of_facility(Facility.PROC_FILE)), "mmap.errno.ENODEV.proc"),
    "zero-shared": (of(of_facility(Facility.DEV_ZERO, O_RDWR), prot=RW), "mmap.zero.shared"),
    "zero-private": (of(of_facility(Facility.DEV_ZERO), MAP_PRIVATE | MAP_FIXED, RW), "mmap.zero.private"),
    "zero-read-only": (of(of_facility(Facility.DEV_ZERO), prot=RW), "mmap.zero.mode"),
    "write-only": (of(new_file(O_WRONLY)), "mmap.errno.EACCES.any-prot"),
    "write-only-private": (of(new_file(O_WRONLY), MAP_PRIVATE | MAP_FIXED, PROT_NONE), "mmap.errno.EACCES.any-prot"),
    "read-only": (of(new_file(O_RDONLY), prot=RW), "mmap.prot.fd-mode.lasts"),
    "read-only-read": (of(new_file(O_RDONLY)), "mmap.prot.fd-mode.lasts"),
    "exec": (of(new_file(O_RDWR), prot=PROT_READ | PROT_EXEC), "mprotect.exec"),
    "write-sealed": (of(write_sealed, prot=RW), "mmap.errno.EPERM.seal"),
    "write-sealed-read": (of(write_sealed), "memfd.seal.write.read-only"),
    "validate": (of(new_file(O_RDWR), MAP_SHARED_VALIDATE | MAP_FIXED, RW), "mmap.flag.shared-validate"),
    "validate-unknown": (of(new_file(O_RDWR), MAP_SHARED_VALIDATE | MAP_FIXED | 1 << 27), "mmap.errno.EOPNOTSUPP"),
    "sync": (of(new_file(O_RDWR), MAP_SHARED_VALIDATE | MAP_FIXED | MAP_SYNC), "mmap.errno.EOPNOTSUPP.sync"),
    "far-offset": (of(new_file(O_RDWR), offset=(1 << 63) - (1 << 20)), "mmap.errno.EOVERFLOW.boundary"),
    "negative-offset": (of(new_file(O_RDWR), offset=(1 << 63)), "mmap.errno.EOVERFLOW.negative"),
    "huge-pages": (of(new_file(O_RDWR), OVER | MAP_HUGETLB), "mmap.errno.EINVAL.huge-size"),
    "unknown-flag": (of(new_file(O_RDWR), OVER | 1 << 27, RW), "mmap.flag.unknown-bits"),
    "unknown-protection": (of(new_file(O_RDWR), prot=RW | 1 << 20), "mmap.prot.unknown-bits"),
    "nonblock": (of(new_file(O_RDWR), OVER | MAP_POPULATE | MAP_NONBLOCK, RW), "mmap.flag.nonblock"),
    "unaligned": (anonymous(MAP_PRIVATE | MAP_FIXED, start=1), "mmap.order.address.unaligned"),
    "free-unaligned": (anonymous(MAP_PRIVATE | MAP_FIXED_NOREPLACE, start=1), "mmap.errno.EINVAL.noreplace"),
    "anonymous-offset": (anonymous(MAP_PRIVATE | MAP_FIXED, offset=1), "mmap.flag.anonymous.offset"),
    "anonymous-both-types": (anonymous(MAP_SHARED_VALIDATE | MAP_FIXED), "mmap.errno.EINVAL.flags"),
    "anonymous-no-type": (anonymous(MAP_FIXED), "mmap.errno.EINVAL.type"),
    "unknown-type": (anonymous(MAP_FIXED | 4), "mmap.errno.EINVAL.unknown-type"),
    "droppable": (anonymous(MAP_DROPPABLE | MAP_FIXED), "mmap.flag.droppable"),
    "droppable-locked": (anonymous(MAP_DROPPABLE | MAP_FIXED | MAP_LOCKED), "mmap.errno.EINVAL.droppable"),
    "shared-anonymous": (anonymous(MAP_SHARED | MAP_FIXED), "mmap.flag.fixed-replaces.elsewhere"),
    "stack": (anonymous(MAP_PRIVATE | MAP_FIXED | MAP_STACK), "mmap.flag.stack"),
    "growing-shared": (anonymous(MAP_SHARED | MAP_FIXED | MAP_GROWSDOWN), "mmap.flag.growsdown"),
    "below-2-gib": (at_null(MAP_PRIVATE | MAP_32BIT), "mmap.flag.32bit"),
    "locked-anonymous": (at_null(MAP_PRIVATE | MAP_LOCKED), "mmap.flag.locked.resident"),
    "free": (lambda s: (s.at(TARGET), 2 * s.page, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS, -1, 0),
             "mmap.flag.fixed-noreplace"),
    "free-over-part": (
        lambda s: (s.main + s.page, 3 * s.page, RW, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS, -1, 0),
        "mmap.errno.EEXIST",
    ),
    "wraps": (wrapping(RW, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0), "mmap.errno.ENOMEM.length-wraps"),
    "outside": (outside(RW, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0), "mmap.result.failure.fixed.outside"),
    "no-room": (prepared(no_room, at_null(MAP_PRIVATE)), "mmap.errno.ENOMEM.address-space"),
    "no-room-over": (prepared(no_room, anonymous(MAP_PRIVATE | MAP_FIXED)), "mmap.errno.ENOMEM.replaced"),
    "no-locks": (prepared(no_locks, anonymous(MAP_PRIVATE | MAP_FIXED | MAP_LOCKED)), "mmap.errno.EAGAIN.memory"),
    "over-locked": (prepared(locked, anonymous(MAP_PRIVATE | MAP_FIXED)), "mmap.flag.fixed-replaces.lock"),
    "over-sealed": (prepared(sealed_memory, anonymous(MAP_PRIVATE | MAP_FIXED)), "mmap.errno.EPERM.sealed"),
}  # fmt: skip
"""By what is mapped: the arguments of mmap, and the clause."""

OTHERS: Final[Mapping[str, tuple[str, Arguments, str]]] = {
    "munmap-outside": ("munmap", outside(), "munmap.hole"),
    "munmap-wraps": ("munmap", wrapping(), "munmap.errno.EINVAL.address"),
    "munmap-locked": ("munmap", prepared(locked, range_and()), "munmap.lock"),
    "munmap-sealed": ("munmap", prepared(sealed_memory, range_and()), "munmap.errno.EPERM"),
    "mremap-too-large": ("mremap", resized(None, 1 << 40, MREMAP_MAYMOVE), "mremap.errno.EINVAL.new-size"),
    "mremap-target-unaligned": (
        "mremap", lambda s: (s.addr, s.length, s.length, MOVE, s.at(TARGET) + 1), "mremap.errno.EINVAL.new-address"
    ),
    "mremap-target-outside": (
        "mremap",
        lambda s: (s.addr, s.length, s.length, MOVE, s.actor.model.task_size),
        "mremap.errno.EINVAL.new-address",
    ),
    "mremap-dontunmap-alone": ("mremap", resized(None, 0, MREMAP_DONTUNMAP), "mremap.errno.EINVAL.dontunmap"),
    "mremap-dontunmap-resize": ("mremap", resized(None, 1, DONTUNMAP), "mremap.errno.EINVAL.dontunmap-size"),
    "mremap-dontunmap-anywhere": ("mremap", resized(None, 0, DONTUNMAP), "mremap.dontunmap.hint"),
    "mremap-dontunmap-over": (
        "mremap", resized(None, 0, DONTUNMAP | MREMAP_FIXED, NEIGHBOUR), "mremap.dontunmap.fixed"
    ),
    "mremap-duplicate-in-place": ("mremap", resized(0, 3, 0), "mremap.errno.ENOMEM.old-size-zero"),
    "mremap-duplicate-anywhere": ("mremap", resized(0, 2, MREMAP_MAYMOVE), "mremap.old-size-zero.length"),
    "mremap-no-room": ("mremap", prepared(no_room, resized(None, 1, MREMAP_MAYMOVE)), "mremap.limit.account"),
    "mremap-no-room-over": (
        "mremap", prepared(no_room, resized(None, 0, DONTUNMAP | MREMAP_FIXED, NEIGHBOUR)), "mremap.dontunmap.limit"
    ),
    "mremap-locked": ("mremap", prepared(locked, resized(None, 1, MREMAP_MAYMOVE)), "mremap.lock.grown"),
    "mremap-locked-fully": ("mremap", prepared(locked_fully, resized(None, 1, MREMAP_MAYMOVE)), "mremap.errno.EAGAIN"),
    "mremap-locked-move": ("mremap", prepared(locked, resized(None, 0, MOVE, TARGET)), "mremap.move.lock"),
    "mremap-locked-dontunmap": (
        "mremap", prepared(locked, resized(None, 0, DONTUNMAP | MREMAP_FIXED, TARGET)), "mremap.dontunmap.lock"
    ),
    "mremap-sealed": ("mremap", prepared(sealed_memory, resized(None, 0, MOVE, TARGET)), "mremap.errno.EPERM"),
    "msync-unknown": ("msync", range_and(MS_SYNC | 8), "msync.flags.zero"),
    "msync-invalidate-alone": ("msync", range_and(MS_INVALIDATE), "msync.flags.zero"),
    "msync-locked": ("msync", prepared(locked, range_and(MS_SYNC)), "msync.lock"),
    "msync-invalidate-locked": ("msync", prepared(locked, range_and(MS_INVALIDATE)), "msync.flag.invalidate.busy"),
    "msync-nothing": ("msync", nothing(MS_SYNC), "msync.length-zero"),
    "msync-wraps": ("msync", wrapping(MS_SYNC), "msync.length-wraps"),
    "msync-outside": ("msync", after_the_end(MS_SYNC), "msync.errno.ENOMEM.outside"),
    "mprotect-nothing": ("mprotect", nothing(PROT_NONE), "mprotect.length-zero"),
    "mprotect-wraps": ("mprotect", wrapping(PROT_NONE), "mprotect.length-wraps"),
    "mprotect-outside": ("mprotect", after_the_end(PROT_READ), "mprotect.errno.ENOMEM.prefix"),
    "mprotect-grows-down": ("mprotect", range_and(PROT_READ | PROT_GROWSDOWN), "mprotect.errno.EINVAL.grows-not"),
    "mprotect-grows-both": (
        "mprotect", range_and(PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP), "mprotect.errno.EINVAL.grows"
    ),
    "mprotect-locked": ("mprotect", prepared(locked, range_and(PROT_READ)), "mprotect.lock"),
    "mprotect-sealed": ("mprotect", prepared(sealed_memory, range_and(PROT_READ)), "mprotect.errno.EPERM"),
    "madvise-unaligned": ("madvise", range_and(MADV_DONTNEED, start=1), "madvise.errno.EINVAL.address"),
    "madvise-outside": ("madvise", after_the_end(MADV_DONTNEED), "madvise.errno.ENOMEM.rest"),
    "madvise-wraps": ("madvise", wrapping(MADV_DONTNEED), "madvise.errno.EINVAL.range"),
    "madvise-nothing": ("madvise", nothing(MADV_DONTNEED), "madvise.length-zero"),
    "madvise-dofork": ("madvise", range_and(MADV_DOFORK), "madvise.dofork"),
    "madvise-keeponfork": ("madvise", range_and(MADV_KEEPONFORK), "madvise.keeponfork"),
    "madvise-normal": ("madvise", range_and(MADV_NORMAL), "madvise.hints"),
    "madvise-locked": ("madvise", prepared(locked, range_and(MADV_DONTNEED)), "madvise.errno.EINVAL.locked"),
    "madvise-dontneed-locked": (
        "madvise", prepared(locked, range_and(MADV_DONTNEED_LOCKED)), "madvise.dontneed-locked"
    ),
    "madvise-sealed": ("madvise", prepared(sealed_memory, range_and(MADV_DONTNEED)), "madvise.errno.EPERM"),
    "mlock-outside": ("mlock", after_the_end(), "mlock.errno.ENOMEM.prefix"),
    "mlock-nothing": ("mlock", nothing(), "mlock.length-zero"),
    "mlock-no-locks": ("mlock", prepared(no_locks, range_and()), "mlock.limit.once"),
    "mlock-locked": ("mlock", prepared(locked_fully, range_and()), "mlock.limit.once"),
    "munlock-locked": ("munlock", prepared(locked, range_and()), "munlock.errno.ENOMEM.prefix"),
    "munlock-outside": ("munlock", prepared(locked, after_the_end()), "munlock.errno.ENOMEM.prefix"),
    "mlock-unknown": ("mlock2", range_and(2), "mlock2.errno.EINVAL"),
    "mlockall-future": ("mlockall", lambda s: (MCL_FUTURE,), "mlockall.errno.EINVAL.onfault"),
    "mlockall-onfault": ("mlockall", lambda s: (MCL_ONFAULT,), "mlockall.errno.EINVAL.onfault"),
    "munlockall": ("munlockall", prepared(locked, lambda s: ()), "mlockall.errno.EINVAL.onfault"),
    "mincore-unaligned": ("mincore", range_and(start=1), "mincore.errno.EINVAL"),
    "mincore-outside": ("mincore", lambda s: (s.main, 1 << 30), "mincore.errno.ENOMEM"),
    "mincore-nothing": ("mincore", nothing(), "mincore.length-zero"),
    "mseal-unaligned": ("mseal", range_and(0, start=1), "mseal.errno.EINVAL"),
    "mseal-flags": ("mseal", range_and(1), "mseal.errno.EINVAL"),
    "mseal-nothing": ("mseal", nothing(0), "mseal.length-zero"),
    "execute": ("execute", lambda s: (s.addr,), "fault.not-executable"),
    "load-far": ("load", lambda s: (1 << 62 if s.program.bits == 64 else 0, 1), "fault.address"),
    "pread-closed": ("pread", lambda s: (99, 1, 0), "memfd.shared"),
    "pwrite-read-only": ("pwrite", lambda s: (new_file(O_RDONLY)(s), b"x", 0), "memfd.shared"),
    "ftruncate-read-only": ("ftruncate", lambda s: (new_file(O_RDONLY)(s), 1), "memfd.shared"),
    "ftruncate-negative": ("ftruncate", lambda s: (new_file(O_RDWR)(s), -1), "memfd.shared"),
    "unlink-other": ("unlink", lambda s: ("b",), "memfd.shared"),
    "dup-closed": ("dup", lambda s: (99,), "memfd.shared"),
    "lseek": ("lseek", lambda s: (new_file(O_RDWR)(s), 0, SEEK_END), "memfd.shared"),
    "read-into-closed": ("read_into", lambda s: (99, s.addr, 50, 0), "buffer.store"),
    "write-from-read-only": ("write_from", lambda s: (new_file(O_RDONLY)(s), s.addr, 50, 0), "buffer.load"),
}  # fmt: skip
"""By name: a call, its arguments, and the clause."""

OF_LINUX: Final = {
    "mmap": "mmap.result.failure.fixed",
    "munmap": "munmap.errno.EINVAL.address",
    "mremap": "mremap.flags.fixed",
    "msync": "msync.flags.zero",
}
"""By call, a clause of level linux about its refusals and flags: the preparation of these calls needs that level."""


def further(call: str, arguments: Arguments, clause: str) -> TourCall:
    """Return a call whose rows are of level linux."""
    return TourCall(call, arguments, (clause, OF_LINUX.get(call, "buffer.load")))


FURTHER_CALLS: Final[Mapping[str, TourCall]] = {
    **{f"mmap-of-{name}": further("mmap", arguments, clause) for name, (arguments, clause) in MMAPS.items()},
    **{name: further(call, arguments, clause) for name, (call, arguments, clause) in OTHERS.items()},
}
"""By the name of the value, the further calls."""
