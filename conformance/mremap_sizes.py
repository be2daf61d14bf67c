"""Cases of mremap's sizes: whole pages, what shrinking asks for, locks and limits, which mistake is told."""

from __future__ import annotations

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
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, MakeFile, assert_inaccessible, assert_nothing_mapped, lettered_pages, reserve

TO: Final = MREMAP_MAYMOVE | MREMAP_FIXED
FLAGS: Final = [pytest.param(0, id="flags-0"), pytest.param(MREMAP_MAYMOVE, id="maymove")]


def between(process: Process, page: int, mapped: int, free: int) -> int:
    """An address of `mapped` pages of A, B … of private memory, `free` pages, and one that is taken."""
    base = reserve(process, mapped + free + 1)
    process.mmap(base, mapped * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, lettered_pages(page, mapped))
    if free:
        process.munmap(base + mapped * page, free * page)
    return base


# ------------------------------------------------------------------------------------------------------- whole pages


@clause("mremap.round-up")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    ("old", "new", "has"),
    [
        pytest.param((1, 1), (2, 0), 2, id="old-is-rounded"),
        pytest.param((2, 0), (1, 1), 2, id="new-is-rounded"),
        pytest.param((2, -1), (2, 0), 2, id="within-a-page"),
        pytest.param((2, 0), (2, 1), 3, id="one-byte-more-is-a-page"),
        pytest.param((2, 0), (1, -1), 1, id="one-byte-less-than-a-page"),
        pytest.param((0, 1), (0, 2), 1, id="a-few-bytes"),
    ],
)
def test_sizes_count_in_whole_pages(
    process: Process, page: int, old: tuple[int, int], new: tuple[int, int], has: int, flags: int
) -> None:
    had = -(-(old[0] * page + old[1]) // page)
    base = between(process, page, had, 3 - had)

    assert process.mremap(base, old[0] * page + old[1], new[0] * page + new[1], flags) == base

    assert process.load(base, has * page) == lettered_pages(page, had)[: has * page].ljust(has * page, b"\0")
    for number in range(has, 3):
        assert_nothing_mapped(process, base + number * page)
    assert_inaccessible(process, base + 3 * page)


@clause("mremap.errno.EFAULT")
@pytest.mark.parametrize("flags", FLAGS)
def test_growth_of_more_than_is_mapped(process: Process, page: int, flags: int) -> None:
    base = between(process, page, 2, 1)
    most = 1 << (process.bits - 2 if process.bits < 64 else 44)

    with fails("EFAULT"):
        process.mremap(base, most, most + page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    assert_nothing_mapped(process, base + 2 * page)


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
def test_shrinking_from_outside_the_address_space(process: Process, page: int, flags: int) -> None:
    """What would be cut off reaches over its end: nothing is."""
    base = between(process, page, 2, 0)

    with fails("EINVAL"):
        process.mremap(base, (1 << process.bits) - 2 * page, page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


# ----------------------------------------------------------------------------------------------------------- shrinking


@clause("mremap.shrink.part")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("first", [0, 1], ids=["head", "middle"])
def test_what_lies_behind_the_old_range_stays(process: Process, page: int, first: int, flags: int) -> None:
    base = between(process, page, 5, 0)

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
def test_shrinking_over_unlike_mappings(process: Process, file: MakeFile, page: int, pages: int, flags: int) -> None:
    """The end of the range goes, whatever it is made of."""
    base = between(process, page, 4, 0)
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
def test_only_the_start_must_be_mapped(process: Process, page: int, pages: int, hole: int, flags: int) -> None:
    base = between(process, page, 4, 0)
    process.munmap(base + hole * page, page)

    assert process.mremap(base, 4 * page, pages * page, flags) == base

    for number in range(4):
        if number == hole or number >= pages:
            assert_nothing_mapped(process, base + number * page)
        else:
            assert (
                process.load(base + number * page, page) == lettered_pages(page, 4)[number * page : (number + 1) * page]
            )


# --------------------------------------------------------------------------------------------------- locks and limits


@clause("mremap.lock.grown")
@pytest.mark.parametrize("how", ["in-place", "moved"])
def test_the_new_part_of_a_locked_mapping_is_locked(process: Process, file: MakeFile, page: int, how: str) -> None:
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
@pytest.mark.parametrize("locked", [True, False], ids=["locked", "not-locked"])
@pytest.mark.parametrize("how", ["in-place", "moved"])
def test_the_new_part_of_a_locked_mapping_is_in_memory(process: Process, page: int, how: str, locked: bool) -> None:
    """That of a mapping that is not locked is brought in when it is touched, and not before."""
    base = between(process, page, 1, 1 if how == "in-place" else 0)
    if locked:
        process.mlock(base, page)

    grown = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    assert process.mincore(grown, 2 * page) == [True, locked]


@clause("mremap.lock.account")
@pytest.mark.parametrize("how", ["shrink", "shrink-fixed"])
def test_what_is_cut_off_no_longer_counts_as_locked(process: Process, page: int, how: str) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 4 * page)
    base = between(process, page, 3, 0)
    process.mlock(base, 3 * page)
    other = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    with fails("ENOMEM"):
        process.mlock(other, 3 * page)

    if how == "shrink":
        process.mremap(base, 3 * page, page, 0)
    else:
        process.mremap(base, 3 * page, page, TO, reserve(process, 1))

    process.mlock(other, 3 * page)
    with fails("ENOMEM"):
        process.mlock(other + 3 * page, page)


@clause("mremap.lock.account-moved")
def test_a_move_locks_no_more_than_before(process: Process, page: int) -> None:
    """With exactly as much locked as may be, a locked mapping can still move."""
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    base = between(process, page, 2, 0)
    process.mlock(base, 2 * page)

    moved = process.mremap(base, 2 * page, 2 * page, TO, reserve(process, 2))

    other = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    with fails("ENOMEM"):
        process.mlock(other, page)
    process.munlock(moved, 2 * page)
    process.mlock(other, 2 * page)


@clause("mremap.limit.account")
@pytest.mark.parametrize("how", ["shrink", "fixed-onto-another"])
def test_what_is_given_back_can_be_mapped_again(process: Process, page: int, how: str) -> None:
    """Under the limit of address space: what is cut off, or replaced, counts no longer."""
    base = between(process, page, 2048, 0)
    target = process.mmap(0, 2048 * page, RW, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 128 * page)
    with fails("ENOMEM"):
        process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)

    if how == "shrink":
        process.mremap(base, 2048 * page, page, 0)
    else:
        process.mremap(base, 2048 * page, 2048 * page, TO, target)

    process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)


@clause("mremap.limit.move")
@pytest.mark.parametrize("way", ["same", "grow"])
def test_a_move_counts_what_it_grows_by_only(process: Process, page: int, way: str) -> None:
    """Not both places: the old one is given back."""
    base = between(process, page, 2048, 0)
    target = reserve(process, 2048)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 256 * page)

    if way == "same":
        moved = process.mremap(base, 2048 * page, 2048 * page, TO, target)
    else:
        moved = process.mremap(base, 2048 * page, 2049 * page, MREMAP_MAYMOVE)

    assert process.load(moved, 26 * page) == lettered_pages(page, 26)


@clause("mremap.errno.ENOMEM.count")
def test_a_move_may_make_too_many_mappings(process: Process, system: System, page: int) -> None:
    """With as many mappings as there may be none can be moved, by no flags; one can still change its size in place."""
    limit = system.mapping_limit()
    if limit > 262_144:
        raise Unsupported(f"{limit} mappings would have to be made")
    base = between(process, page, 3, 0)
    target = reserve(process, 3)
    many = reserve(process, limit + 4)
    assert process.fragment(many, limit + 4) == "ENOMEM"

    with fails("ENOMEM"):
        process.mremap(base, 3 * page, 4 * page, MREMAP_MAYMOVE)
    with fails("ENOMEM"):
        process.mremap(base, 3 * page, 3 * page, TO, target)
    with fails("ENOMEM"):
        process.mremap(base, 3 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    assert process.mremap(base, 3 * page, 2 * page, 0) == base
    assert_nothing_mapped(process, base + 2 * page)


# -------------------------------------------------------------------------------------------------------------- order


@clause("mremap.errno.order")
@pytest.mark.parametrize(
    ("wrong", "errno"),
    [
        pytest.param(("flags", "unmapped"), "EINVAL", id="unknown-flag-where-nothing-is-mapped"),
        pytest.param(("unaligned", "unmapped"), "EINVAL", id="unaligned-where-nothing-is-mapped"),
        pytest.param(("zero", "unmapped"), "EINVAL", id="new-size-0-where-nothing-is-mapped"),
        pytest.param(("huge", "unmapped"), "EINVAL", id="too-large-where-nothing-is-mapped"),
        pytest.param(("overlap", "unmapped"), "EINVAL", id="overlap-where-nothing-is-mapped"),
        pytest.param(("unlike", "taken"), "EFAULT", id="unlike-mappings-that-cannot-grow"),
        pytest.param(("unlike", "limit"), "EFAULT", id="unlike-mappings-past-the-limit"),
        pytest.param(("locked", "limit"), "EAGAIN", id="locked-memory-past-both-limits"),
        pytest.param(("locked", "taken"), "EAGAIN", id="locked-memory-that-cannot-grow"),
    ],
)
def test_which_of_two_mistakes_is_told(
    process: Process, file: MakeFile, page: int, wrong: tuple[str, ...], errno: str
) -> None:
    """The arguments are looked at first, then what is mapped, then the limits, then where there is room."""
    base = between(process, page, 2, 0)
    addr, old, new, flags, target = base, 2, 3, 0, 0
    for mistake in wrong:
        match mistake:
            case "unmapped":
                process.munmap(base, 2 * page)
            case "flags":
                flags = 8
            case "unaligned":
                addr += 1
            case "zero":
                new = 0
            case "huge":
                if process.bits < 64:
                    raise Unsupported("half of a small address space may be had")
                new = (1 << 63) // page - 1
            case "overlap":
                flags, target, new = TO, base + page, 2
            case "unlike":
                process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"B" * page), 0)
            case "locked":
                process.drop_capability("CAP_IPC_LOCK")
                process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
                process.mlock(base, 2 * page)
            case "limit":
                process.set_limit_headroom(Resource.ADDRESS_SPACE, 128 * page)
                new = 4096

    with fails(errno):
        process.mremap(addr, old * page, new * page, flags, target)

    if "unmapped" not in wrong:
        assert process.load(base, 2 * page) == lettered_pages(page, 2)
