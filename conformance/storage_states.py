"""Cases of fallocate and copy_file_range in states that some faults need.

Children that have accessed the pages, ranges that begin in a hole, locked pages, pages that leave memory afterwards,
files that do not end at a page, a full file system.
"""

from __future__ import annotations

import pytest

from ..contract import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_ZERO_RANGE,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_HOLE,
    SEEK_SET,
    Process,
    System,
)
from ..testing import clause, fails, faults, needs
from ._helpers import RW, MakeFile, NewPath, drop_page_cache, lettered_pages, requires, setup
from ._storage import (
    ABSENT,
    ZEROING,
    allocate,
    can_write,
    copy,
    fill,
    lettered_units,
    small_file_system,
    storage_unit,
)

# ------------------------------------------------------------------------------------------------------------ fallocate


@clause("fallocate.zero")
@needs("private-follows")
@pytest.mark.parametrize("mode", ZEROING)
def test_range_is_zero_for_a_child_that_has_accessed_it(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(lettered_pages(page, 4))
    shared = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    private = process.mmap(0, 4 * page, RW, MAP_PRIVATE, fd, 0)
    child = process.fork()
    for each in (process, child):
        for base in (shared, private):
            assert each.load(base, 4 * page) == lettered_pages(page, 4)

    allocate(process, fd, mode, page, 2 * page)

    for each in (process, child):
        for base in (shared, private):
            assert each.load(base, 4 * page) == b"A" * page + bytes(2 * page) + b"D" * page


@clause("fallocate.zero")
@pytest.mark.parametrize("mode", ZEROING)
def test_range_that_begins_in_a_hole_is_zero(process: Process, file: MakeFile, page: int, mode: int) -> None:
    unit = storage_unit(page)
    fd = file()
    process.ftruncate(fd, 3 * unit)
    process.pwrite(fd, b"x" * unit, unit)
    base = process.mmap(0, 3 * unit, RW, MAP_SHARED, fd, 0)
    process.store(base + unit, b"s" * 10)

    allocate(process, fd, mode, 0, unit + 5)

    assert process.load(base, unit + 11) == bytes(unit + 5) + b"s" * 5 + b"x"


@clause("fallocate.zero")
@pytest.mark.parametrize("mode", ZEROING)
def test_range_of_locked_pages_is_zero(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.mlock(base, 2 * page)

    allocate(process, fd, mode, page, page)

    assert process.load(base, 2 * page) == b"A" * page + bytes(page)


@clause("fallocate.zero", "fallocate.zero.outside")
@pytest.mark.parametrize("mode", ZEROING)
def test_zeros_are_there_when_the_pages_have_left_memory(
    process: Process, file: MakeFile, page: int, mode: int
) -> None:
    """The range begins and ends within pages, which were written back before."""
    fd = file(b"x" * 3 * page)
    process.fsync(fd)
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    assert process.load(base, 3 * page) == b"x" * 3 * page

    allocate(process, fd, mode, 10, 2 * page)
    process.fsync(fd)
    drop_page_cache(process, fd)

    assert process.load(base, 3 * page) == b"x" * 10 + bytes(2 * page) + b"x" * (page - 10)


@clause("fallocate.storage")
@pytest.mark.parametrize(
    ("mode", "end"),
    [
        pytest.param(0, 0, id="longer"),
        pytest.param(0, 100, id="end-within-a-page"),
        pytest.param(FALLOC_FL_KEEP_SIZE, -4, id="past-the-end"),
        pytest.param(FALLOC_FL_ZERO_RANGE, 3, id="zero-range"),
    ],
)
def test_each_page_of_an_allocated_range_has_storage(
    system: System, process: Process, page: int, mode: int, end: int
) -> None:
    """The range ends within a page; the file is `end` pages, or bytes, longer than five pages."""
    directory = small_file_system(system, process)
    fd = process.open(f"{directory}/a", O_CREAT | O_RDWR)
    process.ftruncate(fd, 5 * page + (end if end == 100 else end * page))
    allocate(process, fd, mode, 2 * page, 3 * page + 100)
    fill(process, f"{directory}/b", page)
    process.ftruncate(fd, 8 * page)
    base = process.mmap(0, 8 * page, RW, MAP_SHARED, fd, 0)

    for number in range(2, 6):
        process.store(base + number * page, b"s")
    process.msync(base, 8 * page, MS_SYNC)

    assert process.pread(fd, 2, 5 * page) == b"s\0"


@clause("fallocate.errno.ENOSPC")
def test_size_is_as_before_if_there_is_no_storage(system: System, process: Process, page: int) -> None:
    directory = small_file_system(system, process)
    fd = process.open(f"{directory}/a", O_CREAT | O_RDWR)
    allocate(process, fd, 0, 0, page)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)

    with fails("ENOSPC"):
        process.fallocate(fd, 0, 0, process.free_space(directory) + (1 << 20))

    assert process.fstat(fd).size == page
    with faults("SIGBUS"):
        process.load(base + page, 1)


@clause("fallocate.collapse", "fallocate.insert")
@pytest.mark.parametrize("mode", [FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE], ids=["collapse", "insert"])
def test_ranges_move_in_every_mapping(process: Process, file: MakeFile, page: int, mode: int) -> None:
    """A child has stored to a page that moves, a second mapping begins within the file, and the file ends in a page."""
    unit = storage_unit(page)
    fd = file(lettered_units(page, "ABCD") + b"end")
    base = process.mmap(0, 6 * unit, RW, MAP_SHARED, fd, 0)
    window = process.mmap(0, 2 * unit, PROT_READ, MAP_SHARED, fd, 2 * unit)
    child = process.fork()
    for each in (process, child):
        assert each.load(base, 4 * unit + 3) == lettered_units(page, "ABCD") + b"end"
        assert each.load(window, 2 * unit) == lettered_units(page, "CD")
    child.store(base + 3 * unit, b"child")
    before = lettered_units(page, "ABC") + b"child" + b"D" * (unit - 5) + b"end"

    allocate(process, fd, mode, unit, unit)

    is_insertion = mode == FALLOC_FL_INSERT_RANGE
    expected = before[:unit] + (bytes(unit) + before[unit:] if is_insertion else before[2 * unit :])
    assert process.fstat(fd).size == len(expected)
    for each in (process, child):
        assert each.load(base, len(expected)) == expected
        assert each.load(window, unit + 3) == expected[2 * unit : 3 * unit + 3]
    process.msync(base, 2 * unit, MS_SYNC)
    drop_page_cache(process, fd)
    assert process.pread(fd, 8 * unit, 0) == expected
    assert process.load(base, len(expected)) == expected


# ---------------------------------------------------------------------------------------------------------------- holes


@clause("file.holes.stores")
def test_byte_that_a_child_has_stored_is_not_in_a_hole(process: Process, file: MakeFile, page: int) -> None:
    """The byte is in the last page, in which the file ends.  lseek moves the file offset, and to no page boundary."""
    end = 64 * page + 100
    at = end - 50
    fd = file()
    process.ftruncate(fd, end)
    base = process.mmap(0, 65 * page, RW, MAP_SHARED, fd, 0)
    process.fork().store(base + at, b"s")

    data = process.lseek(fd, 0, SEEK_DATA)
    assert data <= at
    assert process.pread(fd, data, 0) == bytes(data)
    assert process.lseek(fd, at, SEEK_DATA) == process.lseek(fd, 0, SEEK_CUR) == at
    assert process.lseek(fd, at, SEEK_HOLE) == process.lseek(fd, 0, SEEK_CUR) == end


# --------------------------------------------------------------------------------------------------------------- copies


@clause("copy.shared")
def test_copy_within_a_file(process: Process, file: MakeFile, page: int) -> None:
    """To the range after its own, to the range before it, and past the end; the file offset stays."""
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 6 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"s" * 10)
    process.lseek(fd, 7, SEEK_SET)

    copy(process, fd, 0, fd, page, page)
    assert process.load(base + page, page) == b"s" * 10 + b"A" * (page - 10)
    copy(process, fd, 3 * page, fd, 2 * page, page)
    assert process.load(base + 2 * page, page) == b"D" * page
    with faults("SIGBUS"):
        process.load(base + 4 * page, 1)
    copy(process, fd, 0, fd, 4 * page, page + 5)

    assert process.load(base + 4 * page, page + 6) == b"s" * 10 + b"A" * (page - 10) + b"s" * 5 + b"\0"
    assert process.fstat(fd).size == 5 * page + 5
    assert process.lseek(fd, 0, SEEK_CUR) == 7


@clause("copy.stores")
def test_copy_ends_with_its_source(process: Process, file: MakeFile, page: int) -> None:
    source, target = file(lettered_pages(page, 1) + b"end"), file(b"t" * 3 * page)

    with requires("copy_file_range", *ABSENT):
        assert process.copy_file_range(source, page, target, 0, 2 * page) == 3
    for offset in (page + 3, 2 * page):
        assert process.copy_file_range(source, offset, target, 0, page) == 0

    assert process.pread(target, 4 * page, 0) == b"end" + b"t" * (3 * page - 3)


@clause("copy.shared")
def test_copy_of_a_hole_is_zero(process: Process, file: MakeFile, page: int) -> None:
    """Also when the pages of the copy have left memory."""
    unit = storage_unit(page)
    source, target = file(), file(b"t" * 2 * unit)
    process.ftruncate(source, 2 * unit)
    process.pwrite(source, b"x", unit)
    base = process.mmap(0, 2 * unit, RW, MAP_SHARED, target, 0)
    assert process.load(base, 2 * unit) == b"t" * 2 * unit
    expected = bytes(unit) + b"x" + bytes(unit - 1)

    copy(process, source, 0, target, 0, 2 * unit)

    assert process.load(base, 2 * unit) == expected
    process.fsync(target)
    drop_page_cache(process, target)
    assert process.load(base, 2 * unit) == expected
    assert process.pread(target, 2 * unit, 0) == expected


@clause("copy.stores")
def test_copy_has_what_a_child_has_stored(process: Process, file: MakeFile, page: int) -> None:
    source, target = file(lettered_pages(page, 2)), file()
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, source, 0)
    process.fork().store(base + page, b"child")

    copy(process, source, 0, target, 0, 2 * page)

    assert process.pread(target, 2 * page, 0) == b"A" * page + b"child" + b"B" * (page - 5)


@clause("copy.shared")
@needs("private-follows")
def test_private_page_without_a_copy_shows_what_was_copied(process: Process, file: MakeFile, page: int) -> None:
    source, target = file(b"A" * page), file(b"t" * page)
    private = process.mmap(0, page, RW, MAP_PRIVATE, target, 0)
    assert process.load(private, page) == b"t" * page

    copy(process, source, 0, target, 0, page)

    assert process.load(private, page) == b"A" * page


# ---------------------------------------------------------------------------------------------------------------- names


@clause("rename.replaced")
def test_storage_of_a_replaced_file_is_given_back(system: System, process: Process, page: int) -> None:
    """When its last mapping is removed."""
    directory = small_file_system(system, process)
    fd = process.open(f"{directory}/a", O_CREAT | O_RDWR)
    pages = 8
    process.ftruncate(fd, pages * page)
    base = process.mmap(0, pages * page, RW, MAP_SHARED, fd, 0)
    for number in range(pages):
        process.store(base + number * page, b"s")
    process.fsync(fd)
    process.close(process.open(f"{directory}/n", O_CREAT | O_RDWR))
    fill(process, f"{directory}/b", page)
    other = process.open(f"{directory}/b", O_RDWR)
    size = process.fstat(other).size

    process.rename(f"{directory}/n", f"{directory}/a")
    process.close(fd)

    assert process.load(base + page, 2) == b"s\0"
    process.munmap(base, pages * page)
    assert can_write(process, other, page, size)


@clause("rename.replaced")
def test_descriptor_of_a_replaced_file_maps_it(process: Process, file: MakeFile, new_path: NewPath, page: int) -> None:
    old, new = new_path(), new_path()
    fd = file(b"o" * page, path=old)
    file(b"n" * page, path=new)

    process.rename(new, old)

    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    assert process.load(base, page) == process.pread(fd, page, 0) == b"o" * page


@clause("link.same")
@pytest.mark.parametrize("removed", ["first", "second"])
def test_file_with_another_name_lives_without_mapping_and_descriptor(
    process: Process, file: MakeFile, new_path: NewPath, page: int, removed: str
) -> None:
    first, second = new_path(), new_path()
    fd = file(b"x" * page, path=first)
    with requires("a second name of a file"):
        process.link(first, second)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"stored")

    process.unlink(first if removed == "first" else second)
    process.munmap(base, page)
    process.close(fd)

    again = process.open(second if removed == "first" else first, O_RDWR)
    assert process.pread(again, page + 1, 0) == b"stored" + b"x" * (page - 6)


@clause("link.same")
def test_rename_of_one_name_to_the_other_keeps_both(
    process: Process, file: MakeFile, new_path: NewPath, page: int
) -> None:
    first, second = new_path(), new_path()
    fd = file(b"x" * page, path=first)
    with requires("a second name of a file"):
        process.link(first, second)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    process.rename(first, second)
    process.store(base, b"stored")

    for name in (first, second):
        assert process.pread(process.open(name, O_RDWR), 6, 0) == b"stored"
