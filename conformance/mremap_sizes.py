"""Cases of mremap's sizes: rounding, shrinking, locks and limits, and the order of error checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    PROT_READ,
    Process,
    Resource,
    System,
    Unsupported,
)
from ..testing import clause, fails, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    assert_inaccessible,
    assert_nothing_mapped,
    lettered_pages,
    reserve,
)

MOVE_TO: Final = MREMAP_MAYMOVE | MREMAP_FIXED
FLAGS: Final = [
    pytest.param(0, id="flags-0"),
    pytest.param(MREMAP_MAYMOVE, id="maymove", marks=needs("moves-if-needed")),
]


def map_between(process: Process, page: int, mapped: int, free: int) -> int:
    """Map `mapped` private pages (A, B …), then `free` unmapped pages and an inaccessible one; return the address."""
    base = reserve(process, mapped + free + 1)
    process.mmap(base, mapped * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, lettered_pages(page, mapped))
    if free:
        process.munmap(base + mapped * page, free * page)
    return base


# ---------------------------------------------------------------------------------------------------------- whole pages


@clause("mremap.round-up")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        pytest.param((1, 1), (2, 0), 2, id="old-is-rounded-up"),
        pytest.param((2, 0), (1, 1), 2, id="new-is-rounded-up"),
        pytest.param((2, -1), (2, 0), 2, id="within-a-page"),
        pytest.param((2, 0), (2, 1), 3, id="one-byte-more"),
        pytest.param((2, 0), (1, -1), 1, id="one-byte-less"),
        pytest.param((0, 1), (0, 2), 1, id="one-byte-to-two"),
    ],
)
def test_sizes_are_rounded_up_to_whole_pages(
    process: Process, page: int, old: tuple[int, int], new: tuple[int, int], result: int, flags: int
) -> None:
    mapped = -(-(old[0] * page + old[1]) // page)
    base = map_between(process, page, mapped, 3 - mapped)

    assert process.mremap(base, old[0] * page + old[1], new[0] * page + new[1], flags) == base

    assert process.load(base, result * page) == lettered_pages(page, mapped)[: result * page].ljust(
        result * page, b"\0"
    )
    for number in range(result, 3):
        assert_nothing_mapped(process, base + number * page)
    assert_inaccessible(process, base + 3 * page)


@clause("mremap.errno.EFAULT")
@pytest.mark.parametrize("flags", FLAGS)
def test_growth_of_range_longer_than_mapping_fails(
    user_space_end: int, process: Process, page: int, flags: int
) -> None:
    base = map_between(process, page, 2, 1)
    length = 1 << (process.bits - 2 if process.bits < 64 else 44)

    outside = ["EINVAL"] if base + length > user_space_end else []
    no_room = [] if flags else ["ENOMEM"]
    with fails("EFAULT", *outside, *no_room):
        process.mremap(base, length, length + page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base + 2 * page)


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
def test_shrinking_range_past_address_space_unmaps_nothing(process: Process, page: int, flags: int) -> None:
    """The part that would be unmapped extends past the end of the address space."""
    base = map_between(process, page, 2, 0)

    with fails("EINVAL"):
        process.mremap(base, (1 << process.bits) - 2 * page, page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


# ------------------------------------------------------------------------------------------------------------ shrinking


@clause("mremap.shrink.part")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("first", [0, 1], ids=["head", "middle"])
def test_pages_after_old_range_stay(process: Process, page: int, first: int, flags: int) -> None:
    base = map_between(process, page, 5, 0)

    assert process.mremap(base + first * page, 3 * page, page, flags) == base + first * page

    for number in range(5):
        if number in (first + 1, first + 2):
            assert_nothing_mapped(process, base + number * page)
        else:
            assert (
                process.load(base + number * page, page) == lettered_pages(page, 5)[number * page : (number + 1) * page]
            )


@clause("mremap.shrink.several")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_shrinking_range_of_different_mappings(
    process: Process, file: MakeFile, page: int, pages: int, flags: int
) -> None:
    """The end of the range is unmapped, whatever mappings it consists of."""
    base = map_between(process, page, 4, 0)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"B" * page), 0)
    process.mmap(base + 2 * page, page, RW, MAP_SHARED | MAP_FIXED, file(b"C" * page), 0)

    assert process.mremap(base, 4 * page, pages * page, flags) == base

    assert process.load(base, pages * page) == lettered_pages(page, pages)
    for number in range(pages, 4):
        assert_nothing_mapped(process, base + number * page)
    assert_inaccessible(process, base + 4 * page)


@clause("mremap.shrink.hole")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("hole", [1, 2, 3])
@pytest.mark.parametrize("pages", [1, 2, 4], ids=["shrink-to-1", "shrink-to-2", "same"])
def test_hole_after_start_is_accepted_without_growth(
    process: Process, page: int, pages: int, hole: int, flags: int
) -> None:
    base = map_between(process, page, 4, 0)
    process.munmap(base + hole * page, page)

    assert process.mremap(base, 4 * page, pages * page, flags) == base

    for number in range(4):
        if number == hole or number >= pages:
            assert_nothing_mapped(process, base + number * page)
        else:
            assert (
                process.load(base + number * page, page) == lettered_pages(page, 4)[number * page : (number + 1) * page]
            )


# ----------------------------------------------------------------------------------------------------- locks and limits


@clause("mremap.lock.grown")
@pytest.mark.parametrize("how", [pytest.param("in-place", marks=needs("moves-if-needed")), "moved"])
def test_new_pages_of_locked_mapping_are_locked(process: Process, file: MakeFile, page: int, how: str) -> None:
    base = reserve(process, 3)
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 2)), 0)
    process.mlock(base, page)
    if how == "in-place":
        process.munmap(base + page, page)

    grown = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    assert (grown == base) == (how == "in-place")
    with fails("EBUSY"):
        process.msync(grown + page, page, MS_INVALIDATE)


@clause("mremap.lock.resident")
@pytest.mark.parametrize("locked", [True, False], ids=["locked", "unlocked"])
@pytest.mark.parametrize("how", ["in-place", "moved"])
def test_new_pages_of_locked_mapping_are_resident(process: Process, page: int, how: str, locked: bool) -> None:
    """New pages of an unlocked mapping become resident when they are accessed."""
    base = map_between(process, page, 1, 1 if how == "in-place" else 0)
    if locked:
        process.mlock(base, page)

    grown = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    assert process.mincore(grown, 2 * page) == [True, locked]


@clause("mremap.lock.account")
@pytest.mark.parametrize("how", ["shrink", "shrink-fixed"])
def test_unmapped_end_no_longer_counts_as_locked(process: Process, page: int, how: str) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 4 * page)
    base = map_between(process, page, 3, 0)
    process.mlock(base, 3 * page)
    other = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    with fails("ENOMEM"):
        process.mlock(other, 3 * page)

    if how == "shrink":
        process.mremap(base, 3 * page, page, 0)
    else:
        process.mremap(base, 3 * page, page, MOVE_TO, reserve(process, 1))

    process.mlock(other, 3 * page)
    with fails("ENOMEM"):
        process.mlock(other + 3 * page, page)


@clause("mremap.lock.account-moved")
def test_moved_locked_mapping_counts_once(process: Process, page: int) -> None:
    """A locked mapping can move although the limit of locked memory is reached."""
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    base = map_between(process, page, 2, 0)
    process.mlock(base, 2 * page)

    moved = process.mremap(base, 2 * page, 2 * page, MOVE_TO, reserve(process, 2))

    other = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    with fails("ENOMEM"):
        process.mlock(other, page)
    process.munlock(moved, 2 * page)
    process.mlock(other, 2 * page)


@clause("mremap.limit.account")
@pytest.mark.parametrize("how", ["shrink", "fixed-onto-another"])
def test_unmapped_pages_no_longer_count_against_address_space_limit(process: Process, page: int, how: str) -> None:
    """Neither the end that shrinking unmaps nor the mapping that MREMAP_FIXED replaces is counted."""
    base = map_between(process, page, 2048, 0)
    target = process.mmap(0, 2048 * page, RW, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 128 * page)
    with fails("ENOMEM"):
        process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)

    if how == "shrink":
        process.mremap(base, 2048 * page, page, 0)
    else:
        process.mremap(base, 2048 * page, 2048 * page, MOVE_TO, target)

    process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)


@clause("mremap.limit.move")
@pytest.mark.parametrize("way", ["same", "grow"])
def test_moved_mapping_counts_once_against_address_space_limit(process: Process, page: int, way: str) -> None:
    """The old range is unmapped, so a move counts only the pages by which the mapping grows."""
    base = map_between(process, page, 2048, 0)
    target = reserve(process, 2048)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 256 * page)

    if way == "same":
        moved = process.mremap(base, 2048 * page, 2048 * page, MOVE_TO, target)
    else:
        moved = process.mremap(base, 2048 * page, 2049 * page, MREMAP_MAYMOVE)

    assert process.load(moved, 26 * page) == lettered_pages(page, 26)


@clause("mremap.errno.ENOMEM.count")
def test_move_at_mapping_count_limit_fails(process: Process, system: System, page: int) -> None:
    """At the limit of the number of mappings a move fails with any flags; a mapping can still shrink in place."""
    limit = system.mapping_limit()
    if limit > 262_144:
        raise Unsupported(f"{limit} mappings would have to be made")
    base = map_between(process, page, 3, 0)
    target = reserve(process, 3)
    many = reserve(process, limit + 4)
    assert process.fragment(many, limit + 4) == "ENOMEM"

    with fails("ENOMEM"):
        process.mremap(base, 3 * page, 4 * page, MREMAP_MAYMOVE)
    with fails("ENOMEM"):
        process.mremap(base, 3 * page, 3 * page, MOVE_TO, target)
    with fails("ENOMEM"):
        process.mremap(base, 3 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    assert process.mremap(base, 3 * page, 2 * page, 0) == base
    assert_nothing_mapped(process, base + 2 * page)


# ------------------------------------------------------------------------------------------------------ order of errors


@dataclass
class Call:
    """Arguments of an mremap call that grows two pages at `base` by one, until the functions below make it wrong.

    The page after the mapping is mapped, so that it cannot grow in place.
    """

    process: Process
    file: MakeFile
    page: int
    base: int
    addr: int
    old: int
    new: int
    flags: int = 0
    new_address: int = 0


def unmapped(call: Call) -> None:
    call.process.munmap(call.base, 2 * call.page)


def unknown_flag(call: Call) -> None:
    call.flags = 8


def unaligned_address(call: Call) -> None:
    call.addr += 1


def new_size_zero(call: Call) -> None:
    call.new = 0


def new_size_too_large(call: Call) -> None:
    """Request more than any address space has."""
    if call.process.bits < 64:
        raise Unsupported("half of a small address space may be mappable")
    call.new = ((1 << 63) // call.page - 1) * call.page


def overlapping_ranges(call: Call) -> None:
    """Move with MREMAP_FIXED to a range that has a page of the old range."""
    call.flags, call.new_address, call.new = MOVE_TO, call.base + call.page, 2 * call.page


def different_mappings(call: Call) -> None:
    """Replace the second page of the range by a mapping that cannot be merged with the first page."""
    fd = call.file(b"B" * call.page)
    call.process.mmap(call.base + call.page, call.page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


def locked_memory_limit(call: Call) -> None:
    """Lock the mapping, with the limit of locked memory reached."""
    call.process.drop_capability("CAP_IPC_LOCK")
    call.process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * call.page)
    call.process.mlock(call.base, 2 * call.page)


def address_space_limit(call: Call) -> None:
    """Request more than the limit of address space allows."""
    call.process.set_limit_headroom(Resource.ADDRESS_SPACE, 128 * call.page)
    call.new = 4096 * call.page


ORDER: Final = clause("mremap.errno.order")
ORDER_UNMAPPED: Final = clause("mremap.errno.order.unmapped")


@pytest.mark.parametrize(
    ("mistakes", "errno"),
    [
        pytest.param((unknown_flag, unmapped), "EINVAL", id="unknown-flag-for-unmapped-range", marks=ORDER),
        pytest.param((unaligned_address, unmapped), "EINVAL", id="unaligned-unmapped-range", marks=ORDER),
        pytest.param(
            (new_size_zero, unmapped),
            "EINVAL",
            id="new-size-zero-for-unmapped-range",
            marks=[ORDER, needs("new-size-zero")],
        ),
        pytest.param((new_size_too_large, unmapped), "EINVAL", id="too-large-for-unmapped-range", marks=ORDER_UNMAPPED),
        pytest.param((overlapping_ranges, unmapped), "EINVAL", id="overlap-with-unmapped-range", marks=ORDER_UNMAPPED),
        pytest.param((different_mappings,), "EFAULT", id="different-mappings-without-room", marks=ORDER),
        pytest.param(
            (different_mappings, address_space_limit), "EFAULT", id="different-mappings-past-limit", marks=ORDER
        ),
        pytest.param(
            (locked_memory_limit, address_space_limit), "EAGAIN", id="locked-mapping-past-both-limits", marks=ORDER
        ),
        pytest.param((locked_memory_limit,), "EAGAIN", id="locked-mapping-past-limit-without-room", marks=ORDER),
    ],
)
def test_first_of_two_errors_is_returned(
    process: Process, file: MakeFile, page: int, mistakes: tuple[Callable[[Call], None], ...], errno: str
) -> None:
    """Linux checks the arguments first, then the mapped range, then the limits, then the room to grow."""
    base = map_between(process, page, 2, 0)
    call = Call(process, file, page, base, addr=base, old=2 * page, new=3 * page)
    for mistake in mistakes:
        mistake(call)

    with fails(errno):
        process.mremap(call.addr, call.old, call.new, call.flags, call.new_address)

    if unmapped not in mistakes:
        assert process.load(base, 2 * page) == lettered_pages(page, 2)
