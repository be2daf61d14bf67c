"""The calls of a random program at a level: only calls, flags and sizes that the level promises.

Most steps know nothing of levels.  Each call that a step would make is `restricted` first: it loses what the level does
not have, or is not made at all.  So no step can ask a system for more than its level promises.  Nor does it ask for
what a clause promises whose condition the system does not meet: mseal before Linux 6.10, say.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any, Final

from ..catalogue.clauses import load
from ..contract import (
    MADV_COLD,
    MADV_PAGEOUT,
    Facility,
    Facts,
    Resource,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_TYPE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_PATH,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from ..reference.process import ReferenceProcess as Model
from ..trace.calls import ACCESSES

LINUX_CALLS: Final = frozenset(
    {
        *("madvise", "mincore", "mlock2", "mseal", "memfd", "seal", "set_append_only", "drop_capability"),
        *(
            "preadv",
            "pwritev",
            "open_path_at",
            "fstat_into",
            "fallocate",
            "copy_file_range",
            "drop_cache",
            "watch",
            "close_events",
            "flock",
            "record_lock",
        ),
    }
)
"""Calls that programs make at level linux only."""

POSIX_CALLS: Final = frozenset(
    {
        *("mprotect", "fragment", "mlock", "munlock", "mlockall", "munlockall", "exec"),
        *("rename", "link", "read_into", "write_from", "set_old_mtime", "has_old_mtime"),
    }
)
"""Calls that programs make at levels posix and linux."""

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


NEWER_CALLS: Final = {"mseal": "mseal.result"}
"""Calls that only some systems of level linux have, each with a clause whose condition says which."""

NEWER_MREMAP: Final = frozenset(
    {
        *("mremap.fixed.several", "mremap.fixed.several.files", "mremap.fixed.holes"),
        *("mremap.errno.EFAULT.intact", "mremap.errno.order.unmapped", "mremap.dontunmap.rounding"),
    }
)
"""Clauses of mremap since Linux 6.17: where one is not promised, it is open what other than plain calls do."""


def not_promised(facts: Facts) -> frozenset[str]:
    """Return the clauses whose conditions on the facts of a system are false; those on properties are not looked at."""
    conditions = {id: clause.when for id, clause in load().items() if clause.when is not None}
    return frozenset(id for id, when in conditions.items() if replace(when, properties=()).unmet(facts) is not None)


def has_facility(level: str, facility: Facility) -> bool:
    """Return True if programs of a level use a facility."""
    return level == "linux" or facility in FACILITIES


def restricted(
    level: str, model: Model, call: str, arguments: tuple[Any, ...], missing: Container[str] = ()
) -> tuple[Any, ...] | None:
    """Return the arguments of a call of `model`'s process without what `level` does not have.

    `missing` are clauses that are not promised on the system.  None: the level does not have the call, or the system
    need not have it.  At level linux the arguments are returned as they are.
    """
    if level == "linux":
        if NEWER_CALLS.get(call) in missing:
            return None
        if call == "mmap" and "mmap.flag.droppable" in missing and arguments[3] & MAP_TYPE == MAP_DROPPABLE:
            return None
        if call == "madvise" and "madvise.reclaim" in missing and arguments[2] in (MADV_COLD, MADV_PAGEOUT):
            return None
        if call == "mremap" and any(id in missing for id in NEWER_MREMAP):
            return arguments if is_plain_mremap(model, *arguments) else None
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


def is_plain_mremap(model: Model, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> bool:
    """Return True if Linux before 6.17 does with a call what later versions do.

    Those compare the sizes of MREMAP_DONTUNMAP in bytes and leave the lock on what it does not move, move one mapping
    only, and unmap a fixed new range before they look for most errors; sizes past the address space are refused later.
    """
    mapping = model.space.find(addr)
    if not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        return mapping is not None or new_size <= model.task_size
    old, new = model.round_up(old_size), model.round_up(new_size)
    if mapping is None or mapping.merged or mapping.sealed or addr + old > mapping.end:
        return False
    if flags & MREMAP_DONTUNMAP and (old_size != new_size or mapping.locked):
        return False
    is_known = not flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) and flags & MREMAP_MAYMOVE
    is_aligned = not addr % model.page and not new_addr % model.page
    has_range = old > 0 and 0 < new <= model.task_size - new_addr
    is_apart = new_addr + new <= addr or addr + old <= new_addr
    return bool(is_known and is_aligned and has_range and is_apart)


def is_past_end_of_file(model: Model, call: str, arguments: tuple[Any, ...]) -> bool:
    """Return True if an access has a byte in a page past the end of a mapped file."""
    addr = int(arguments[0])
    length = {"load": arguments[-1], "add": 4}.get(call, 1) if call != "store" else len(arguments[1])
    end = addr + max(length, 1)
    return any(
        mapping.inode is not None and mapping.bytes_to_eof(min(end, mapping.end) - 1) <= 0
        for mapping in model.space.over(addr - addr % model.page, end)
    )
