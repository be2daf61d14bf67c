"""Cases of mremap that keeps the old range mapped: MREMAP_DONTUNMAP, and an old size of 0."""

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
from ..testing import clause, fails, faults, needs
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

DONTUNMAP: Final = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
MOVE_TO: Final = MREMAP_MAYMOVE | MREMAP_FIXED

# ------------------------------------------------------------------------------------------------------------ DONTUNMAP


@clause("mremap.dontunmap.file")
def test_old_range_of_private_file_mapping_shows_file(process: Process, file: MakeFile, page: int) -> None:
    """Only the new range has the private copies, and a store in one range does not show in the other."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"copy")

    moved = process.mremap(base, 2 * page, 2 * page, DONTUNMAP)

    assert process.load(moved, 2 * page) == (b"copy" + b"A" * page)[:page] + b"B" * page
    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"old")
    process.store(moved + page, b"new")
    assert process.load(moved, 4) == b"copy"
    assert process.load(base + page, 1) == b"B"
    assert process.pread(fd, 2 * page, 0) == lettered_pages(page, 2)


@clause("mremap.dontunmap.shared")
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_shared_pages_are_mapped_in_both_ranges(process: Process, file: MakeFile, page: int, kind: str) -> None:
    if kind == "file":
        base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(lettered_pages(page, 2)), 0)
    else:
        base = process.mmap(0, 2 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        process.store(base, lettered_pages(page, 2))

    moved = process.mremap(base, 2 * page, 2 * page, DONTUNMAP)

    assert process.load(base, 2 * page) == process.load(moved, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"old")
    process.store(moved + page, b"new")
    assert process.load(moved, 4) == b"oldA"
    assert process.load(base + page, 4) == b"newB"


@clause("mremap.dontunmap.fixed")
@pytest.mark.parametrize("target_state", ["inaccessible", "unmapped", "mapped"])
def test_fixed_moves_content_to_requested_address(process: Process, page: int, target_state: str) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    target = free_range(process, 2) if target_state == "unmapped" else reserve(process, 2)
    if target_state == "mapped":
        process.mmap(target, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        process.store(target, b"t" * (2 * page))

    assert process.mremap(base, 2 * page, 2 * page, DONTUNMAP | MREMAP_FIXED, target) == target

    assert process.load(target, 2 * page) == lettered_pages(page, 2)
    assert process.load(base, 2 * page) == bytes(2 * page)


@clause("mremap.dontunmap.rights")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RW], ids=["none", "read", "read-write"])
def test_both_ranges_have_same_protection(process: Process, page: int, prot: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    process.mprotect(base, page, prot)

    moved = process.mremap(base, page, page, DONTUNMAP)

    for addr in (base, moved):
        if prot == PROT_NONE:
            assert_inaccessible(process, addr)
        elif prot == PROT_READ:
            process.load(addr, 1)
            with faults("SIGSEGV"):
                process.store(addr, b"x")
        else:
            process.store(addr, b"x")


@clause("mremap.dontunmap.part")
@pytest.mark.parametrize("number", [0, 1, 2], ids=["head", "middle", "tail"])
def test_remaining_pages_keep_content(process: Process, page: int, number: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    moved = process.mremap(base + number * page, page, page, DONTUNMAP)

    expected = bytearray(lettered_pages(page, 3))
    assert process.load(moved, page) == expected[number * page : (number + 1) * page]
    expected[number * page : (number + 1) * page] = bytes(page)
    assert process.load(base, 3 * page) == bytes(expected)


@clause("mremap.dontunmap.fork")
def test_pages_shared_since_fork_are_moved(process: Process, page: int) -> None:
    """Neither process has stored since the fork; the child's pages keep their content."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    child = process.fork()

    moved = process.mremap(base, page, page, DONTUNMAP)

    assert process.load(moved, 4) == b"kept"
    assert process.load(base, 4) == bytes(4)
    assert child.load(base, 4) == b"kept"


@clause("mremap.dontunmap.lock")
def test_lock_moves_with_pages(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, file(lettered_pages(page, 2)), 0)
    process.mlock(base, 2 * page)
    target = reserve(process, 4) + page

    process.mremap(base, 2 * page, 2 * page, DONTUNMAP | MREMAP_FIXED, target)

    process.msync(base, 2 * page, MS_INVALIDATE)
    with fails("EBUSY"):
        process.msync(target, page, MS_INVALIDATE)


@clause("mremap.dontunmap.hint")
@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_new_address_without_fixed_is_hint(process: Process, page: int, taken: bool, record: Record) -> None:
    """A mapping at the hint is never replaced; the use of a free hint is recorded, not judged."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"moved")
    hint = reserve(process, 1) if taken else free_range(process, 1)

    moved = process.mremap(base, page, page, DONTUNMAP, hint)

    assert moved % page == 0
    assert process.load(moved, 5) == b"moved"
    if taken:
        assert moved != hint
        assert_inaccessible(process, hint)
    else:
        record("mremap with MREMAP_DONTUNMAP to a free address", "goes there" if moved == hint else "goes elsewhere")


@clause("mremap.dontunmap.limit")
def test_both_ranges_count_against_address_space_limit(process: Process, page: int) -> None:
    base = process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 512 * page)

    with fails("ENOMEM"):
        process.mremap(base, 1024 * page, 1024 * page, DONTUNMAP)

    assert process.load(base, 4) == b"kept"
    moved = process.mremap(base, 128 * page, 128 * page, DONTUNMAP)
    assert process.load(moved, 4) == b"kept"


@clause("mremap.dontunmap.limit")
def test_replaced_range_does_not_count_against_address_space_limit(process: Process, page: int) -> None:
    """The call maps no more than it replaces, so it succeeds although the limit is reached."""
    base = process.mmap(0, 256 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    target = reserve(process, 256)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 0)

    process.mremap(base, 256 * page, 256 * page, DONTUNMAP | MREMAP_FIXED, target)

    assert process.load(target, 4) == b"kept"


@clause("mremap.errno.EINVAL.dontunmap")
@pytest.mark.parametrize("flags", [MREMAP_DONTUNMAP, MREMAP_DONTUNMAP | MREMAP_FIXED], ids=["alone", "with-fixed"])
def test_dontunmap_without_maymove_is_refused(process: Process, page: int, flags: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    target = reserve(process, 1)

    with fails("EINVAL"):
        process.mremap(base, page, page, flags, target)

    assert process.load(base, 4) == b"kept"
    assert_inaccessible(process, target)


@clause("mremap.errno.EINVAL.dontunmap-size")
@pytest.mark.parametrize("pages", [1, 3], ids=["shrink", "grow"])
def test_dontunmap_with_another_size_is_refused(process: Process, page: int, pages: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    with fails("EINVAL"):
        process.mremap(base, 2 * page, pages * page, DONTUNMAP)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)


@clause("mremap.dontunmap.rounding")
@pytest.mark.parametrize(("old", "new"), [(1, 0), (0, 1)], ids=["new-is-shorter", "old-is-shorter"])
def test_sizes_that_round_to_same_pages_are_accepted(process: Process, page: int, old: int, new: int) -> None:
    """The sizes differ by one byte but are the same number of pages."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))

    moved = process.mremap(base, 2 * page - (1 - old), 2 * page - (1 - new), DONTUNMAP)

    assert process.load(moved, 2 * page) == lettered_pages(page, 2)
    assert process.load(base, 2 * page) == bytes(2 * page)


# ----------------------------------------------------------------------------------------------------------- old size 0


def map_shared(process: Process, file: MakeFile, page: int, kind: str) -> int:
    """Return the address of shared pages A, B, C, followed by an inaccessible page; a file has a fourth page, D."""
    base = reserve(process, 4)
    if kind == "file":
        process.mmap(base, 3 * page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 4)), 0)
    else:
        process.mmap(base, 3 * page, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
        process.store(base, lettered_pages(page, 3))
    return base


shared_kinds = pytest.mark.parametrize("kind", ["file", "anonymous"])


@clause("mremap.old-size-zero.offset")
@needs("old-size-zero")
@shared_kinds
@pytest.mark.parametrize("number", [0, 1, 2])
def test_duplicate_starts_at_page_of_address(
    process: Process, file: MakeFile, page: int, kind: str, number: int
) -> None:
    base = map_shared(process, file, page, kind)

    duplicate = process.mremap(base + number * page, 0, page, MREMAP_MAYMOVE)

    assert process.load(duplicate, page) == lettered_pages(page, 3)[number * page : (number + 1) * page]
    process.store(duplicate, b"!")
    assert process.load(base + number * page, 1) == b"!"
    assert process.load(base, 3 * page).count(b"!") == 1


@clause("mremap.old-size-zero.length")
@needs("old-size-zero")
def test_duplicate_may_be_longer_than_mapping(process: Process, file: MakeFile, page: int) -> None:
    """The duplicate shows the file up to its end, also past the end of the original mapping."""
    base = map_shared(process, file, page, "file")

    duplicate = process.mremap(base + page, 0, 4 * page, MREMAP_MAYMOVE)

    assert process.load(duplicate, 3 * page) == lettered_pages(page, 4)[page:]
    with faults("SIGBUS"):
        process.load(duplicate + 3 * page, 1)


@clause("mremap.old-size-zero.length")
@needs("old-size-zero")
@shared_kinds
def test_duplicate_may_be_shorter_than_mapping(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = map_shared(process, file, page, kind)
    target = reserve(process, 3)

    duplicate = process.mremap(base, 0, 2 * page, MOVE_TO, target)

    assert process.load(duplicate, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, target + 2 * page)


@clause("mremap.old-size-zero.fixed")
@needs("old-size-zero")
@shared_kinds
def test_fixed_duplicate_is_at_requested_address(process: Process, file: MakeFile, page: int, kind: str) -> None:
    """The duplicate replaces the mapping there; the original stays."""
    base = map_shared(process, file, page, kind)
    target = reserve(process, 4)
    process.mmap(target, 3 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(target, b"t" * (3 * page))

    assert process.mremap(base, 0, 3 * page, MOVE_TO, target) == target

    assert process.load(target, 3 * page) == lettered_pages(page, 3)
    process.store(target, b"!")
    assert process.load(base, 2) == b"!A"
    assert_inaccessible(process, target + 3 * page)


@clause("mremap.old-size-zero.rights")
@needs("old-size-zero")
def test_duplicate_has_protection_of_mapping(process: Process, file: MakeFile, page: int) -> None:
    """Its maximum protection is the same as well."""
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY), 0)

    duplicate = process.mremap(base, 0, page, MREMAP_MAYMOVE)

    assert process.load(duplicate, 4) == b"kept"
    with faults("SIGSEGV"):
        process.store(duplicate, b"x")
    with fails("EACCES"):
        process.mprotect(duplicate, page, RW)


@clause("mremap.errno.EINVAL.old-size-zero")
@needs("old-size-zero")
@pytest.mark.parametrize("kind", ["file", "anonymous"])
@pytest.mark.parametrize("flags", [0, MREMAP_MAYMOVE, MOVE_TO], ids=["flags-0", "maymove", "fixed"])
def test_private_mapping_is_not_duplicated(process: Process, file: MakeFile, page: int, flags: int, kind: str) -> None:
    if kind == "file":
        base = process.mmap(0, page, RW, MAP_PRIVATE, file(b"k" * page), 0)
    else:
        base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    target = reserve(process, 1)

    with fails("EINVAL"):
        process.mremap(base, 0, page, flags, target)

    assert process.load(base, 4) == b"kept"
    with faults("SIGSEGV"):  # Linux before 6.17 has unmapped the target
        process.load(target, 1)


@clause("mremap.errno.ENOMEM.old-size-zero")
@needs("old-size-zero")
@shared_kinds
@pytest.mark.parametrize("pages", [1, 3])
def test_duplicate_without_maymove_fails(process: Process, file: MakeFile, page: int, pages: int, kind: str) -> None:
    base = map_shared(process, file, page, kind)
    process.munmap(base + 3 * page, page)

    with fails("ENOMEM"):
        process.mremap(base, 0, pages * page, 0)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    assert_nothing_mapped(process, base + 3 * page)
