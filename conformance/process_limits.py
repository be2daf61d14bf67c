"""Cases of limits of a process: the number of its mappings, and its data (RLIMIT_DATA).

Parts of a mapping with different properties are mappings of their own.  At the limit of the number of mappings a call
that changes a property of the middle of a mapping fails, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from ..contract import (
    MADV_DONTFORK,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    MLOCK_ONFAULT,
    MREMAP_MAYMOVE,
    PROT_READ,
    Process,
    Resource,
    System,
    Unsupported,
)
from ..testing import clause, fails, faults
from ._helpers import ANONYMOUS, RW, lettered_pages, map_memory, reserve

MOST_MAPPINGS: Final = 262_144
"""The largest limit that a case exhausts."""

HEADROOM: Final = 32
"""Pages that a limit leaves; the process's own memory varies by fewer."""

COUNT: Final = clause("mlock.errno.ENOMEM.count")
AGAIN: Final = clause("madvise.errno.EAGAIN")


def exhaust_mappings(process: Process, system: System) -> None:
    """Make mappings until no further one can be made."""
    limit = system.mapping_limit()
    if limit > MOST_MAPPINGS:
        raise Unsupported(f"{limit} mappings would have to be made")
    assert process.fragment(reserve(process, limit + 4), limit + 4) == "ENOMEM"


@pytest.mark.parametrize(
    ("change", "errno"),
    [
        pytest.param(
            lambda process, addr, page: process.mprotect(addr, page, PROT_READ),
            "ENOMEM",
            id="mprotect",
            marks=clause("mprotect.errno.ENOMEM"),
        ),
        pytest.param(lambda process, addr, page: process.mlock(addr, page), "ENOMEM", id="mlock", marks=COUNT),
        pytest.param(
            lambda process, addr, page: process.mlock2(addr, page, MLOCK_ONFAULT), "ENOMEM", id="mlock2", marks=COUNT
        ),
        pytest.param(
            lambda process, addr, page: process.madvise(addr, page, MADV_DONTFORK), "EAGAIN", id="dontfork", marks=AGAIN
        ),
        pytest.param(
            lambda process, addr, page: process.madvise(addr, page, MADV_WIPEONFORK),
            "EAGAIN",
            id="wipeonfork",
            marks=AGAIN,
        ),
    ],
)
def test_middle_of_mapping_cannot_change_at_limit_of_mappings(
    process: Process, system: System, page: int, change: Callable[[Process, int, int], None], errno: str
) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))
    exhaust_mappings(process, system)

    with fails(errno):
        change(process, base + page, page)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    process.store(base + page, b"kept")


@COUNT
def test_middle_of_mapping_cannot_be_unlocked_at_limit_of_mappings(process: Process, system: System, page: int) -> None:
    base = map_memory(process, 3 * page)
    process.mlock(base, 3 * page)
    exhaust_mappings(process, system)

    with fails("ENOMEM"):
        process.munlock(base + page, page)
    process.munlock(base, 3 * page)


@clause("mremap.errno.ENOMEM.data")
def test_private_writable_memory_cannot_grow_past_data_limit(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    process.set_limit_headroom(Resource.DATA, HEADROOM * page)

    with fails("ENOMEM"):
        process.mremap(base, page, 4 * HEADROOM * page, MREMAP_MAYMOVE)

    assert process.load(base, 4) == b"kept"


@clause("mremap.errno.ENOMEM.data")
@pytest.mark.parametrize(
    ("prot", "flags"),
    [pytest.param(RW, MAP_SHARED, id="shared"), pytest.param(PROT_READ, MAP_PRIVATE, id="read-only")],
)
def test_other_memory_grows_past_data_limit(process: Process, page: int, prot: int, flags: int) -> None:
    base = process.mmap(0, page, prot, flags | MAP_ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.DATA, HEADROOM * page)

    moved = process.mremap(base, page, 4 * HEADROOM * page, MREMAP_MAYMOVE)

    assert process.load(moved, 1) == b"\0"


@clause("mprotect.errno.ENOMEM.data")
def test_private_memory_cannot_become_writable_past_data_limit(process: Process, page: int) -> None:
    base = process.mmap(0, 4 * HEADROOM * page, PROT_READ, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.DATA, HEADROOM * page)

    with fails("ENOMEM"):
        process.mprotect(base, 4 * HEADROOM * page, RW)

    with faults("SIGSEGV"):
        process.store(base, b"x")
    process.mprotect(base, page, RW)
    process.store(base, b"x")


@clause("mprotect.errno.ENOMEM.data")
def test_shared_memory_becomes_writable_past_data_limit(process: Process, page: int) -> None:
    base = process.mmap(0, 4 * HEADROOM * page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.DATA, HEADROOM * page)

    process.mprotect(base, 4 * HEADROOM * page, RW)

    process.store(base, b"x")
