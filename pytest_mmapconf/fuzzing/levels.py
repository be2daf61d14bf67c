"""What a random program may do at a level: only calls, flags and sizes that the level promises.

Most steps know nothing of levels.  Each call that a step would make is `restricted` first: it loses what the level does
not have, or is not made at all.  So no step can ask a system for more than its level promises.
"""

from __future__ import annotations

from typing import Any, Final

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    O_PATH,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Resource,
)
from ..reference.constants import MAP_TYPE
from ..reference.process import ReferenceProcess as Model

LINUX_CALLS: Final = frozenset(
    {
        *("madvise", "mincore", "mlock2", "mseal", "memfd", "seal", "set_append_only", "drop_capability"),
        *("drop_cache", "watch", "close_events", "flock", "record_lock"),
    }
)
"""Calls that programs make at level linux only."""

POSIX_CALLS: Final = frozenset(
    {
        *("mprotect", "fragment", "mlock", "munlock", "mlockall", "munlockall", "exec"),
        *("read_into", "write_from", "set_old_mtime", "has_old_mtime"),
    }
)
"""Calls that programs make at levels posix and linux."""

ACCESSES: Final = ("load", "store", "execute", "add")

FLAGS: Final = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
"""The flags of mmap below level linux."""

PROTECTION: Final = PROT_READ | PROT_WRITE | PROT_EXEC
"""The bits of a protection below level linux."""

FACILITIES: Final = (
    Facility.DEV_NULL,
    Facility.DEV_RANDOM,
    Facility.OWN_FILE_SYSTEM,
    Facility.CRASHING_FILE_SYSTEM,
    Facility.NOEXEC_DIRECTORY,
)
"""The facilities below level linux."""

MAX_STATUS: Final = 0xFF
"""The largest exit status that a parent receives whole."""


def has_facility(level: str, facility: Facility) -> bool:
    """Return True if programs of a level use a facility."""
    return level == "linux" or facility in FACILITIES


def restricted(level: str, model: Model, call: str, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the arguments of a call of `model`'s process without what `level` does not have.

    None: the level does not have the call.  At level linux the arguments are returned as they are.
    """
    if level == "linux":
        return arguments
    if call in LINUX_CALLS or (level == "documented" and call in POSIX_CALLS):
        return None
    if call == "mmap":
        return restricted_mmap(level, model, arguments)
    if call == "mremap":
        return arguments if is_simple_mremap(model, *arguments) else None
    if call == "mprotect" and arguments[2] & ~PROTECTION:
        return None
    if call == "set_limit_headroom" and arguments[0] != Resource.ADDRESS_SPACE:
        return None
    if call == "open" and arguments[1] & O_PATH:
        return None
    if call == "exit" and arguments:
        return (arguments[0] & MAX_STATUS,)
    if call in ACCESSES and level == "documented" and is_past_end_of_file(model, call, arguments):
        return None
    return arguments


def restricted_mmap(level: str, model: Model, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the arguments of mmap without the flags and bits of Linux; None for a call that only Linux defines."""
    addr, length, prot, flags, fd, offset = arguments
    if flags & MAP_TYPE not in ((MAP_SHARED, MAP_PRIVATE) if level == "documented" else (MAP_SHARED, MAP_PRIVATE, 0)):
        return None
    if flags & MAP_FIXED_NOREPLACE:
        flags &= ~MAP_FIXED
    if flags & MAP_FIXED and addr < model.machine.parameters.mmap_min_addr:
        return None  # a system may have memory there, or permit it
    return addr, length, prot & PROTECTION, flags & FLAGS, fd, offset


def is_simple_mremap(model: Model, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> bool:
    """Return True if a call resizes one whole mapping, or is refused whatever a system can do beyond that."""
    mapping = model.space.find(addr)
    is_refused = addr % model.page or mapping is None or not new_size
    is_whole = (
        mapping is not None
        and not mapping.merged
        and mapping.start == addr
        and old_size
        and mapping.end == addr + model.round_up(old_size)
    )
    return flags in (0, MREMAP_MAYMOVE) and 0 <= new_size <= model.task_size // 2 and bool(is_refused or is_whole)


def is_past_end_of_file(model: Model, call: str, arguments: tuple[Any, ...]) -> bool:
    """Return True if an access has a byte in a page past the end of a mapped file."""
    addr = int(arguments[0])
    length = {"load": arguments[-1], "add": 4}.get(call, 1) if call != "store" else len(arguments[1])
    end = addr + max(length, 1)
    return any(
        mapping.inode is not None and mapping.bytes_to_eof(min(end, mapping.end) - 1) <= 0
        for mapping in model.space.over(addr - addr % model.page, end)
    )
