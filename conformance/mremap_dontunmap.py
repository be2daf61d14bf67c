"""Cases of mremap that leaves a mapping where it was as well: MREMAP_DONTUNMAP, and an old size of 0."""

from __future__ import annotations

from typing import Final

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    O_RDONLY,
    PROT_NONE,
    PROT_READ,
    Process,
    Resource,
)
from ..testing import clause, fails, faults
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    Record,
    assert_inaccessible,
    assert_nothing_mapped,
    free_range,
    lettered_pages,
    reserve,
)

KEEP: Final = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
TO: Final = MREMAP_MAYMOVE | MREMAP_FIXED

# ---------------------------------------------------------------------------------------------------------- DONTUNMAP


@clause("mremap.dontunmap.file")
def test_what_stays_of_a_private_file_mapping_shows_the_file(process: Process, file: MakeFile, page: int) -> None:
    """The private copies are at the new place only, and what is stored at one place does not show at the other."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"copy")

    moved = process.mremap(base, 2 * page, 2 * page, KEEP)

    assert process.load(moved, 2 * page) == (b"copy" + b"A" * page)[:page] + b"B" * page
    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"old")
    process.store(moved + page, b"new")
    assert process.load(moved, 4) == b"copy"
    assert process.load(base + page, 1) == b"B"
    assert process.pread(fd, 2 * page, 0) == lettered_pages(page, 2)


@clause("mremap.dontunmap.shared")
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_shared_pages_are_at_both_places(process: Process, file: MakeFile, page: int, kind: str) -> None:
    if kind == "file":
        base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(lettered_pages(page, 2)), 0)
    else:
        base = process.mmap(0, 2 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        process.store(base, lettered_pages(page, 2))

    moved = process.mremap(base, 2 * page, 2 * page, KEEP)

    assert process.load(base, 2 * page) == process.load(moved, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"old")
    process.store(moved + page, b"new")
    assert process.load(moved, 4) == b"oldA"
    assert process.load(base + page, 4) == b"newB"


@clause("mremap.dontunmap.fixed")
@pytest.mark.parametrize("there", ["reserved", "free", "used"])
def test_with_fixed_the_copy_is_at_the_new_address(process: Process, page: int, there: str) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    target = free_range(process, 2) if there == "free" else reserve(process, 2)
    if there == "used":
        process.mmap(target, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        process.store(target, b"t" * (2 * page))

    assert process.mremap(base, 2 * page, 2 * page, KEEP | MREMAP_FIXED, target) == target

    assert process.load(target, 2 * page) == lettered_pages(page, 2)
    assert process.load(base, 2 * page) == bytes(2 * page)


@clause("mremap.dontunmap.rights")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RW], ids=["none", "read", "read-write"])
def test_both_places_have_the_rights(process: Process, page: int, prot: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    process.mprotect(base, page, prot)

    moved = process.mremap(base, page, page, KEEP)

    for place in (base, moved):
        if prot == PROT_NONE:
            assert_inaccessible(process, place)
        elif prot == PROT_READ:
            process.load(place, 1)
            with faults("SIGSEGV", at=place, code="SEGV_ACCERR"):
                process.store(place, b"x")
        else:
            process.store(place, b"x")


@clause("mremap.dontunmap.part")
@pytest.mark.parametrize("number", [0, 1, 2], ids=["head", "middle", "tail"])
def test_of_a_part_the_rest_keeps_its_content(process: Process, page: int, number: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    moved = process.mremap(base + number * page, page, page, KEEP)

    expected = bytearray(lettered_pages(page, 3))
    assert process.load(moved, page) == expected[number * page : (number + 1) * page]
    expected[number * page : (number + 1) * page] = bytes(page)
    assert process.load(base, 3 * page) == bytes(expected)


@clause("mremap.dontunmap.fork")
def test_pages_shared_with_a_child_are_moved_too(process: Process, page: int) -> None:
    """The child's place keeps its content, though neither has stored since the fork."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    child = process.fork()

    moved = process.mremap(base, page, page, KEEP)

    assert process.load(moved, 4) == b"kept"
    assert process.load(base, 4) == bytes(4)
    assert child.load(base, 4) == b"kept"


@clause("mremap.dontunmap.lock")
def test_the_lock_goes_along(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, file(lettered_pages(page, 2)), 0)
    process.mlock(base, 2 * page)
    target = reserve(process, 4) + page

    process.mremap(base, 2 * page, 2 * page, KEEP | MREMAP_FIXED, target)

    process.msync(base, 2 * page, MS_INVALIDATE)
    with fails("EBUSY"):
        process.msync(target, page, MS_INVALIDATE)


@clause("mremap.dontunmap.hint")
@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_the_new_address_is_a_wish_without_fixed(process: Process, page: int, taken: bool, record: Record) -> None:
    """Whether it is granted is recorded; what is mapped there is never replaced."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"moved")
    wish = reserve(process, 1) if taken else free_range(process, 1)

    moved = process.mremap(base, page, page, KEEP, wish)

    assert moved % page == 0
    assert process.load(moved, 5) == b"moved"
    if taken:
        assert moved != wish
        assert_inaccessible(process, wish)
    else:
        record("mremap with MREMAP_DONTUNMAP to a free address", "goes there" if moved == wish else "goes elsewhere")


@clause("mremap.dontunmap.limit")
def test_the_whole_copy_counts_against_the_address_space_limit(process: Process, page: int) -> None:
    base = process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 512 * page)

    with fails("ENOMEM"):
        process.mremap(base, 1024 * page, 1024 * page, KEEP)

    assert process.load(base, 4) == b"kept"
    moved = process.mremap(base, 128 * page, 128 * page, KEEP)
    assert process.load(moved, 4) == b"kept"


@clause("mremap.errno.EINVAL.dontunmap")
@pytest.mark.parametrize("flags", [MREMAP_DONTUNMAP, MREMAP_DONTUNMAP | MREMAP_FIXED], ids=["alone", "with-fixed"])
def test_dontunmap_without_maymove(process: Process, page: int, flags: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    target = reserve(process, 1)

    with fails("EINVAL"):
        process.mremap(base, page, page, flags, target)

    assert process.load(base, 4) == b"kept"
    assert_inaccessible(process, target)


@clause("mremap.errno.EINVAL.dontunmap-size")
@pytest.mark.parametrize("pages", [1, 3], ids=["shrink", "grow"])
def test_dontunmap_of_another_size(process: Process, page: int, pages: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    with fails("EINVAL"):
        process.mremap(base, 2 * page, pages * page, KEEP)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)


@clause("mremap.errno.EINVAL.dontunmap-size")
@pytest.mark.parametrize(("old", "new"), [(1, 0), (0, 1)], ids=["new-shorter", "old-shorter"])
def test_dontunmap_of_sizes_that_round_to_the_same(process: Process, page: int, old: int, new: int) -> None:
    """They are the same number of pages, so nothing is the matter."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))

    moved = process.mremap(base, 2 * page - (1 - old), 2 * page - (1 - new), KEEP)

    assert process.load(moved, 2 * page) == lettered_pages(page, 2)
    assert process.load(base, 2 * page) == bytes(2 * page)


# -------------------------------------------------------------------------------------------------------- old size 0


def shared(process: Process, file: MakeFile, page: int, kind: str) -> int:
    """Three shared pages of A, B, C with one behind them that is taken; a file has a fourth of D."""
    base = reserve(process, 4)
    if kind == "file":
        process.mmap(base, 3 * page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 4)), 0)
    else:
        process.mmap(base, 3 * page, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
        process.store(base, lettered_pages(page, 3))
    return base


shared_kinds = pytest.mark.parametrize("kind", ["file", "anonymous"])


@clause("mremap.old-size-zero.offset")
@shared_kinds
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_duplicate_begins_where_the_address_is(
    process: Process, file: MakeFile, page: int, kind: str, number: int
) -> None:
    base = shared(process, file, page, kind)

    again = process.mremap(base + number * page, 0, page, MREMAP_MAYMOVE)

    assert process.load(again, page) == lettered_pages(page, 3)[number * page : (number + 1) * page]
    process.store(again, b"!")
    assert process.load(base + number * page, 1) == b"!"
    assert process.load(base, 3 * page).count(b"!") == 1


@clause("mremap.old-size-zero.length")
def test_the_duplicate_may_be_longer(process: Process, file: MakeFile, page: int) -> None:
    """It shows the file as far as that goes, whatever the first mapping shows."""
    base = shared(process, file, page, "file")

    again = process.mremap(base + page, 0, 4 * page, MREMAP_MAYMOVE)

    assert process.load(again, 3 * page) == lettered_pages(page, 4)[page:]
    with faults("SIGBUS", at=again + 3 * page):
        process.load(again + 3 * page, 1)


@clause("mremap.old-size-zero.length")
@shared_kinds
def test_the_duplicate_may_be_shorter(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = shared(process, file, page, kind)
    target = reserve(process, 3)

    again = process.mremap(base, 0, 2 * page, TO, target)

    assert process.load(again, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, target + 2 * page)


@clause("mremap.old-size-zero.fixed")
@shared_kinds
def test_the_duplicate_at_an_address(process: Process, file: MakeFile, page: int, kind: str) -> None:
    """What is there is replaced; the first mapping stays."""
    base = shared(process, file, page, kind)
    target = reserve(process, 4)
    process.mmap(target, 3 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(target, b"t" * (3 * page))

    assert process.mremap(base, 0, 3 * page, TO, target) == target

    assert process.load(target, 3 * page) == lettered_pages(page, 3)
    process.store(target, b"!")
    assert process.load(base, 2) == b"!A"
    assert_inaccessible(process, target + 3 * page)


@clause("mremap.old-size-zero.rights")
def test_the_duplicate_has_the_same_rights(process: Process, file: MakeFile, page: int) -> None:
    """And may have no more."""
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY), 0)

    again = process.mremap(base, 0, page, MREMAP_MAYMOVE)

    assert process.load(again, 4) == b"kept"
    with faults("SIGSEGV", at=again, code="SEGV_ACCERR"):
        process.store(again, b"x")
    with fails("EACCES"):
        process.mprotect(again, page, RW)


@clause("mremap.errno.EINVAL.old-size-zero")
@pytest.mark.parametrize("kind", ["file", "anonymous"])
@pytest.mark.parametrize("flags", [0, MREMAP_MAYMOVE, TO], ids=["flags-0", "maymove", "fixed"])
def test_private_pages_are_not_duplicated(process: Process, file: MakeFile, page: int, flags: int, kind: str) -> None:
    if kind == "file":
        base = process.mmap(0, page, RW, MAP_PRIVATE, file(b"k" * page), 0)
    else:
        base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    target = reserve(process, 1)

    with fails("EINVAL"):
        process.mremap(base, 0, page, flags, target)

    assert process.load(base, 4) == b"kept"
    assert_inaccessible(process, target)


@clause("mremap.errno.ENOMEM.old-size-zero")
@shared_kinds
@pytest.mark.parametrize("pages", [1, 3])
def test_a_duplicate_is_never_in_place(process: Process, file: MakeFile, page: int, pages: int, kind: str) -> None:
    base = shared(process, file, page, kind)
    process.munmap(base + 3 * page, page)

    with fails("ENOMEM"):
        process.mremap(base, 0, pages * page, 0)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    assert_nothing_mapped(process, base + 3 * page)
