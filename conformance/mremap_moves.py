"""Cases of mremap that moves a mapping: what the mapping keeps, both address ranges afterwards, and MREMAP_FIXED.

A mapping moves in two ways: because it cannot grow in place, or to the address given with MREMAP_FIXED.
"""

from __future__ import annotations

from typing import Final

import pytest

from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    Process,
    System,
    Unsupported,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    assert_inaccessible,
    assert_nothing_mapped,
    can_lock,
    free_range,
    lettered_pages,
    requires,
    reserve,
)

MOVE_TO: Final = MREMAP_MAYMOVE | MREMAP_FIXED
RX: Final = PROT_READ | PROT_EXEC

ways = pytest.mark.parametrize("way", ["grow", "fixed"])


def move(way: str, process: Process, page: int, base: int, pages: int) -> int:
    """Move `pages` pages from `base`, which is followed by a mapped page; the way "grow" adds one page."""
    if way == "grow":
        return process.mremap(base, pages * page, (pages + 1) * page, MREMAP_MAYMOVE)
    return process.mremap(base, pages * page, pages * page, MOVE_TO, reserve(process, pages))


def map_between_guards(
    process: Process, page: int, pages: int, prot: int, flags: int, fd: int = -1, offset: int = 0
) -> int:
    """Map `pages` pages with an inaccessible page before and after them; return their address."""
    base = reserve(process, pages + 2) + page
    return process.mmap(base, pages * page, prot, flags | MAP_FIXED, fd, offset)


def assert_read_only(process: Process, addr: int) -> None:
    """Check that a load succeeds and that a store faults because the mapping is not writable."""
    process.load(addr, 1)
    with faults("SIGSEGV"):
        process.store(addr, b"x")


# ------------------------------------------------------------------------------------------------------- kept by a move


@clause("mremap.move.sharing")
@ways
def test_shared_pages_stay_shared_with_file(process: Process, file: MakeFile, page: int, way: str) -> None:
    fd = file(lettered_pages(page, 2))
    base = map_between_guards(process, page, 1, RW, MAP_SHARED, fd)
    process.store(base, b"1")

    moved = move(way, process, page, base, 1)
    process.store(moved + 1, b"2")
    process.pwrite(fd, b"3", 2)

    assert process.pread(fd, 4, 0) == b"123A"
    assert process.load(moved, 4) == b"123A"


@clause("mremap.move.sharing")
@ways
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_shared_pages_stay_shared_with_child(process: Process, file: MakeFile, page: int, kind: str, way: str) -> None:
    if kind == "file":
        base = map_between_guards(process, page, 1, RW, MAP_SHARED, file(bytes(2 * page)))
    else:
        base = map_between_guards(process, page, 1, RW, MAP_SHARED | MAP_ANONYMOUS)
    child = process.fork()

    moved = move(way, process, page, base, 1)
    process.store(moved, b"parent")
    child.store(base + 8, b"child")

    assert child.load(base, 6) == b"parent"
    assert process.load(moved + 8, 5) == b"child"


@clause("mremap.move.private")
@ways
def test_private_copies_move_with_mapping(process: Process, file: MakeFile, page: int, way: str) -> None:
    """The copies are not replaced by the file's content, and later stores do not reach the file."""
    fd = file(lettered_pages(page, 3))
    base = map_between_guards(process, page, 2, RW, MAP_PRIVATE, fd)
    process.store(base, b"copy")

    moved = move(way, process, page, base, 2)
    process.store(moved + page, b"late")

    assert process.load(moved, 2 * page) == (b"copy" + b"A" * page)[:page] + (b"late" + b"B" * page)[:page]
    assert process.pread(fd, 2 * page, 0) == lettered_pages(page, 2)


@clause("mremap.move.rights")
@ways
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RW, RX], ids=["none", "read", "read-write", "read-exec"])
def test_protection_moves_with_mapping(process: Process, page: int, prot: int, way: str) -> None:
    base = map_between_guards(process, page, 2, RW, ANONYMOUS)
    process.store(base, process.return_instruction())
    process.mprotect(base, 2 * page, prot)

    moved = move(way, process, page, base, 2)

    if prot == PROT_NONE:
        assert_inaccessible(process, moved)
    elif prot == RW:
        process.store(moved, b"x")
    else:
        assert_read_only(process, moved)
    if prot == RX:
        process.execute(moved)


@clause("mremap.move.maximum")
@ways
def test_moved_mapping_keeps_maximum_protection(process: Process, file: MakeFile, page: int, way: str) -> None:
    base = map_between_guards(process, page, 1, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY))

    moved = move(way, process, page, base, 1)

    with fails("EACCES"):
        process.mprotect(moved, page, RW)
    assert_read_only(process, moved)


@clause("mremap.move.offset")
@ways
def test_pages_first_accessed_after_move_show_file(process: Process, file: MakeFile, page: int, way: str) -> None:
    base = map_between_guards(process, page, 2, PROT_READ, MAP_SHARED, file(lettered_pages(page, 4)), page)

    moved = move(way, process, page, base, 2)

    assert process.load(moved, 2 * page) == lettered_pages(page, 3)[page:]


@clause("mremap.move.lock")
@ways
def test_locked_pages_stay_locked(process: Process, file: MakeFile, page: int, way: str) -> None:
    base = map_between_guards(process, page, 2, RW, MAP_SHARED, file(lettered_pages(page, 3)))
    process.mlock(base, 2 * page)

    moved = move(way, process, page, base, 2)

    for number in range(2):
        with fails("EBUSY"):
            process.msync(moved + number * page, page, MS_INVALIDATE)


@clause("mremap.move.reference")
@needs("locks-follow-mapped-file")
@ways
def test_moved_mapping_keeps_file_open_until_unmapped(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, way: str
) -> None:
    """The flock of the closed descriptor shows it: the last mapping of the open file description releases the lock."""
    path = new_path()
    fd = file(lettered_pages(page, 2), path=path)
    process.flock(fd, LOCK_EX | LOCK_NB)
    base = map_between_guards(process, page, 1, RW, MAP_SHARED, fd)
    process.close(fd)
    other = system.spawn()
    rival = other.open(path, O_RDWR)

    moved = move(way, process, page, base, 1)
    assert not can_lock(lambda: other.flock(rival, LOCK_EX | LOCK_NB))
    process.munmap(moved, 2 * page if way == "grow" else page)

    assert can_lock(lambda: other.flock(rival, LOCK_EX | LOCK_NB))


# ----------------------------------------------------------------------------------------------------- other pages kept


@clause("mremap.move.part")
@ways
@pytest.mark.parametrize("number", [0, 1, 2], ids=["head", "middle", "tail"])
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_rest_of_mapping_stays(process: Process, file: MakeFile, page: int, kind: str, number: int, way: str) -> None:
    if kind == "file":
        base = map_between_guards(process, page, 3, RW, MAP_SHARED, file(lettered_pages(page, 4)))
    else:
        base = map_between_guards(process, page, 3, RW, ANONYMOUS)
        process.store(base, lettered_pages(page, 3))

    moved = move(way, process, page, base + number * page, 1)

    assert process.load(moved, page) == lettered_pages(page, 3)[number * page : (number + 1) * page]
    for other in range(3):
        addr = base + other * page
        if other == number:
            assert_nothing_mapped(process, addr)
        else:
            assert process.load(addr, page) == lettered_pages(page, 3)[other * page : (other + 1) * page]
            process.store(addr, b"x")


@clause("mremap.move.neighbours")
def test_neighbours_of_both_ranges_stay(process: Process, file: MakeFile, page: int) -> None:
    base = map_between_guards(process, page, 3, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 3))
    process.mmap(base + page, page, RW, MAP_SHARED | MAP_FIXED, file(b"moved"), 0)
    target = map_between_guards(process, page, 3, RW, ANONYMOUS)
    process.store(target, lettered_pages(page, 3))

    process.mremap(base + page, page, page, MOVE_TO, target + page)

    assert process.load(target + page, 5) == b"moved"
    for addr in (base, target):
        assert process.load(addr, page) == b"A" * page
        assert process.load(addr + 2 * page, page) == b"C" * page
    assert_nothing_mapped(process, base + page)


@clause("mremap.move.neighbours")
@pytest.mark.parametrize("distance", [12, 21, 30], ids=["16-pages", "2-MiB", "1-GiB"])
@pytest.mark.parametrize("inside", [0, 1], ids=["same-offset", "one-page-off"])
def test_move_across_page_table_boundaries_keeps_content(
    process: Process, page: int, distance: int, inside: int
) -> None:
    """The old and the new range each cross a boundary of the size that one page table covers."""
    try:
        start, length = process.scratch_range()
    except NotImplementedError:
        start, length = free_range(process, 1024), 1024 * page
    boundary = max(1 << distance, 16 * page)
    first = -(-(start + 8 * page) // boundary) * boundary
    second = first + boundary + inside * page
    if second + 8 * page > start + length:
        raise Unsupported("the implementation's scratch range is too small")
    for addr in (first, second):
        process.mmap(addr - 2 * page, 4 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(first - 2 * page, lettered_pages(page, 4))
    process.store(second - 2 * page, lettered_pages(page, 8)[4 * page :])

    process.mremap(first - page, 2 * page, 2 * page, MOVE_TO, second - page)

    assert process.load(second - 2 * page, 4 * page) == b"E" * page + lettered_pages(page, 3)[page:] + b"H" * page
    assert process.load(first - 2 * page, page) == b"A" * page
    assert_nothing_mapped(process, first - page)
    assert_nothing_mapped(process, first)
    assert process.load(first + page, page) == b"D" * page


@clause("mremap.move.old-place")
@ways
def test_old_range_mapped_again_is_zero(process: Process, page: int, way: str) -> None:
    base = map_between_guards(process, page, 1, RW, ANONYMOUS)
    process.store(base, b"old")

    moved = move(way, process, page, base, 1)
    process.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    assert process.load(base, page) == bytes(page)
    process.store(base, b"new")
    assert process.load(moved, 3) == b"old"


@clause("mremap.move.process")
@ways
@pytest.mark.parametrize("caller", ["parent", "child"])
def test_other_process_keeps_mapping_in_place(process: Process, page: int, caller: str, way: str) -> None:
    base = map_between_guards(process, page, 1, RW, ANONYMOUS)
    process.store(base, b"kept")
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    moved = move(way, one, page, base, 1)
    one.store(moved, b"K")

    assert one.load(moved, 4) == b"Kept"
    assert other.load(base, 4) == b"kept"


@clause("mremap.move.mapping")
@ways
def test_other_mapping_of_same_pages_stays(process: Process, file: MakeFile, page: int, way: str) -> None:
    fd = file(lettered_pages(page, 2))
    base = map_between_guards(process, page, 1, RW, MAP_SHARED, fd)
    other = map_between_guards(process, page, 1, RW, MAP_SHARED, fd)

    moved = move(way, process, page, base, 1)
    process.store(moved, b"!")

    assert process.load(other, 2) == b"!A"


# ---------------------------------------------------------------------------------------------------------------- FIXED


@clause("mremap.fixed.replaces")
@pytest.mark.parametrize("target_state", ["unmapped", "file", "anonymous", "inaccessible"])
def test_fixed_replaces_mapping_at_new_address(process: Process, file: MakeFile, page: int, target_state: str) -> None:
    base = map_between_guards(process, page, 1, RW, ANONYMOUS)
    process.store(base, b"moved")
    fd = file(b"there" + bytes(page - 5))
    target = reserve(process, 3) + page
    match target_state:
        case "unmapped":
            process.munmap(target, page)
        case "file":
            process.mmap(target, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
        case "anonymous":
            process.mmap(target, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
            process.store(target, b"there" * 2)

    assert process.mremap(base, page, page, MOVE_TO, target) == target

    assert process.load(target, page) == b"moved" + bytes(page - 5)
    process.store(target, b"M")
    assert process.pread(fd, 5, 0) == b"there"
    for edge in (target - page, target + page):
        assert_inaccessible(process, edge)


@clause("mremap.fixed.replaces")
@needs("locks-follow-mapped-file")
def test_replaced_mapping_releases_file(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int
) -> None:
    path = new_path()
    fd = file(b"there", path=path)
    process.flock(fd, LOCK_EX | LOCK_NB)
    target = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.close(fd)
    other = system.spawn()
    rival = other.open(path, O_RDWR)
    base = map_between_guards(process, page, 1, RW, ANONYMOUS)
    assert not can_lock(lambda: other.flock(rival, LOCK_EX | LOCK_NB))

    process.mremap(base, page, page, MOVE_TO, target)

    assert can_lock(lambda: other.flock(rival, LOCK_EX | LOCK_NB))


@clause("mremap.fixed.resize")
@pytest.mark.parametrize("kind", ["file", "anonymous"])
@pytest.mark.parametrize("pages", [1, 3], ids=["shrink", "grow"])
def test_fixed_moves_and_resizes_in_one_call(
    process: Process, file: MakeFile, page: int, pages: int, kind: str
) -> None:
    """No page of the old range stays mapped; new pages show the file, or zeros."""
    content = lettered_pages(page, 3)
    if kind == "file":
        base = map_between_guards(process, page, 2, RW, MAP_SHARED, file(content))
    else:
        base = map_between_guards(process, page, 2, RW, ANONYMOUS)
        process.store(base, content[: 2 * page])
        content = content[: 2 * page] + bytes(page)
    target = reserve(process, 4)

    process.mremap(base, 2 * page, pages * page, MOVE_TO, target)

    assert process.load(target, pages * page) == content[: pages * page]
    assert_inaccessible(process, target + pages * page)
    for number in range(2):
        assert_nothing_mapped(process, base + number * page)


@clause("mremap.fixed.several")
def test_range_of_different_anonymous_mappings_moves(process: Process, page: int) -> None:
    base = map_between_guards(process, page, 3, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 3))
    process.mprotect(base + page, page, PROT_READ)
    target = map_between_guards(process, page, 3, RW, ANONYMOUS)

    assert process.mremap(base, 3 * page, 3 * page, MOVE_TO, target) == target

    assert process.load(target, 3 * page) == lettered_pages(page, 3)
    assert_read_only(process, target + page)
    process.store(target, b"a")
    process.store(target + 2 * page, b"c")
    for number in range(3):
        assert_nothing_mapped(process, base + number * page)


@clause("mremap.fixed.several.files")
def test_range_of_different_mappings_moves(process: Process, file: MakeFile, page: int) -> None:
    """Each mapping keeps its protection, its sharing, its file and its position in the range."""
    fd = file(lettered_pages(page, 3))
    base = map_between_guards(process, page, 4, RW, ANONYMOUS)
    process.store(base, b"anonymous")
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 2 * page)
    process.mmap(base + 2 * page, page, RW, MAP_SHARED | MAP_FIXED, fd, page)
    process.mmap(base + 3 * page, page, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)
    process.store(base + 3 * page, b"copy")
    target = map_between_guards(process, page, 4, RW, ANONYMOUS)

    assert process.mremap(base, 4 * page, 4 * page, MOVE_TO, target) == target

    assert process.load(target, 9) == b"anonymous"
    assert process.load(target + page, page) == b"C" * page
    assert_read_only(process, target + page)
    process.store(target + 2 * page, b"shared")
    assert process.pread(fd, 6, page) == b"shared"
    assert process.load(target + 3 * page, 5) == b"copyA"
    assert process.pread(fd, 1, 0) == b"A"
    for number in range(4):
        assert_nothing_mapped(process, base + number * page)


@clause("mremap.fixed.several.files")
@pytest.mark.parametrize("extent", ["whole", "parts"])
def test_range_of_parts_of_mappings_moves(process: Process, file: MakeFile, page: int, extent: str) -> None:
    """The range goes from the middle of one mapping to the middle of the next; pages outside it stay."""
    base = map_between_guards(process, page, 4, RW, ANONYMOUS)
    process.store(base, b"A" * (2 * page))
    process.mmap(base + 2 * page, 2 * page, RW, MAP_SHARED | MAP_FIXED, file(b"F" * (2 * page)), 0)
    first, count = (0, 4) if extent == "whole" else (1, 2)
    target = map_between_guards(process, page, 4, RW, ANONYMOUS)

    process.mremap(base + first * page, count * page, count * page, MOVE_TO, target)

    content = (b"A" * (2 * page) + b"F" * (2 * page))[first * page : (first + count) * page]
    assert process.load(target, 4 * page) == content.ljust(4 * page, b"\0")
    for number in range(4):
        if first <= number < first + count:
            assert_nothing_mapped(process, base + number * page)
        else:
            assert process.load(base + number * page, page) == (b"A" if number < 2 else b"F") * page


@clause("mremap.fixed.holes")
@pytest.mark.parametrize("hole", [1, 2, 3], ids=["second", "third", "last"])
def test_hole_in_old_range_keeps_target_page(process: Process, page: int, hole: int) -> None:
    """The page of the new range that corresponds to the hole keeps its mapping; the hole stays unmapped."""
    base = map_between_guards(process, page, 4, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 4))
    process.munmap(base + hole * page, page)
    target = map_between_guards(process, page, 4, RW, ANONYMOUS)
    process.store(target, b"t" * (4 * page))

    process.mremap(base, 4 * page, 4 * page, MOVE_TO, target)

    expected = bytearray(lettered_pages(page, 4))
    expected[hole * page : (hole + 1) * page] = b"t" * page
    assert process.load(target, 4 * page) == bytes(expected)
    for number in range(4):
        assert_nothing_mapped(process, base + number * page)


@clause("mremap.fixed.holes")
def test_sealed_page_at_hole_is_not_in_the_way(process: Process, page: int) -> None:
    """Memory of the new range at the place of a hole is not replaced, so it may be sealed."""
    base = map_between_guards(process, page, 2, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 2))
    process.munmap(base + page, page)
    target = free_range(process, 2)
    process.mmap(target, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(target, b"t" * (2 * page))
    with requires("mseal"):
        process.mseal(target + page, page)

    process.mremap(base, 2 * page, 2 * page, MOVE_TO, target)

    assert process.load(target, 2 * page) == lettered_pages(page, 1) + b"t" * page
    assert_nothing_mapped(process, base)


# ------------------------------------------------------------------------------------------------------ errors of FIXED


@clause("mremap.errno.EINVAL.fixed")
@pytest.mark.parametrize("pages", [1, 2, 3], ids=["shrink", "same", "grow"])
def test_fixed_without_maymove_is_refused(process: Process, page: int, pages: int) -> None:
    base = map_between_guards(process, page, 2, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 2))
    target = reserve(process, 3)

    with fails("EINVAL"):
        process.mremap(base, 2 * page, pages * page, MREMAP_FIXED, target)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, target)


@clause("mremap.errno.EINVAL.overlap")
@pytest.mark.parametrize(
    ("distance", "pages"),
    [(-1, 2), (1, 2), (0, 2), (0, 1), (0, 3), (-2, 3), (1, 1)],
    ids=["at-start", "at-end", "same", "same-shrink", "same-grow", "grows-into-old", "inside-old"],
)
def test_overlapping_new_range_is_refused(process: Process, page: int, distance: int, pages: int) -> None:
    """The ranges have at least one page in common, at either end or throughout."""
    base = map_between_guards(process, page, 7, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 7))
    source = base + 3 * page

    with fails("EINVAL"):
        process.mremap(source, 2 * page, pages * page, MOVE_TO, source + distance * page)

    assert process.load(base, 7 * page) == lettered_pages(page, 7)


@clause("mremap.errno.EINVAL.overlap")
@pytest.mark.parametrize("distance", [-2, 2], ids=["before", "after"])
def test_adjacent_new_range_is_accepted(process: Process, page: int, distance: int) -> None:
    base = map_between_guards(process, page, 6, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 6))
    source = base + 2 * page

    assert process.mremap(source, 2 * page, 2 * page, MOVE_TO, source + distance * page) == source + distance * page

    assert process.load(source + distance * page, 2 * page) == lettered_pages(page, 4)[2 * page :]


@clause("mremap.errno.EINVAL.new-address")
@pytest.mark.parametrize("where", ["plus-1", "plus-half-a-page", "plus-page-1", "last-page", "wraps"])
def test_invalid_new_address_is_refused(process: Process, page: int, where: str) -> None:
    base = map_between_guards(process, page, 2, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 2))
    target = reserve(process, 4)
    top = 1 << process.bits
    new_address = {
        "plus-1": target + 1,
        "plus-half-a-page": target + page // 2,
        "plus-page-1": target + page - 1,
        "last-page": top - page,
        "wraps": top - 2 * page,
    }[where]

    with fails("EINVAL"):
        process.mremap(base, 2 * page, 2 * page, MOVE_TO, new_address)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, target)


@clause("mremap.errno.EFAULT.intact")
@pytest.mark.parametrize(
    "cause", ["unmapped-start", "grow-different-mappings", "shrink-different-mappings", "grow-with-hole"]
)
def test_failed_move_changes_neither_range(process: Process, file: MakeFile, page: int, cause: str) -> None:
    base = map_between_guards(process, page, 2, RW, ANONYMOUS)
    process.store(base, lettered_pages(page, 2))
    if cause == "unmapped-start":
        process.munmap(base, page)
    elif cause == "grow-with-hole":
        process.munmap(base + page, page)
    else:
        process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"B" * page), 0)
    target = map_between_guards(process, page, 4, RW, ANONYMOUS)
    process.store(target, b"t" * (4 * page))
    old, new = {
        "unmapped-start": (1, 1),
        "grow-different-mappings": (2, 3),
        "shrink-different-mappings": (3, 2),
        "grow-with-hole": (2, 3),
    }[cause]

    with fails("EFAULT"):
        process.mremap(base, old * page, new * page, MOVE_TO, target)

    assert process.load(target, 4 * page) == b"t" * (4 * page)
    if cause != "unmapped-start":
        assert process.load(base, page) == b"A" * page
    if cause != "grow-with-hole":
        assert process.load(base + page, page) == b"B" * page
    assert_inaccessible(process, base + 2 * page)
