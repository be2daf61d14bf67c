"""Test fallocate, lseek to data and holes, copy_file_range, rename and link in the reference."""

from __future__ import annotations

from itertools import product

import pytest

from pytest_mmapconf.contract import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_DIRECTORY,
    O_RDONLY,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    SEAL_GROW,
    SEEK_DATA,
    SEEK_HOLE,
    Facility,
    Unresolved,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.strict_choices import StrictChoices
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


@pytest.fixture
def system() -> ReferenceSystem:
    return ReferenceBackend().boot()


@pytest.fixture
def process(system: ReferenceSystem) -> ReferenceProcess:
    return system.spawn()


def make(process: ReferenceProcess, content: bytes, path: str = "a") -> int:
    fd = process.open(path, O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


# ------------------------------------------------------------------------------------------------------------ fallocate


def edges(page: int) -> list[int]:
    """Offsets on both sides of the boundaries of three pages."""
    return sorted({max(0, at + by) for at, by in product(range(0, 3 * page + 1, page), (-1, 0, 1))})


@pytest.mark.parametrize("mode", [PUNCH, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE])
@pytest.mark.parametrize("start", edges(PAGE))
def test_every_range_becomes_zero_and_nothing_else(process: ReferenceProcess, mode: int, start: int) -> None:
    content = bytes(range(1, 256)) * 49
    size = 3 * PAGE - 100
    for end in [end for end in edges(PAGE) if end > start]:
        fd = make(process, content[:size])
        base = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
        process.store(base + PAGE, b"stored")
        before = process.load(base, size)

        process.fallocate(fd, mode, start, end - start)

        cut = min(end, size)
        expected = before[:start] + bytes(max(cut - start, 0)) + before[max(cut, start) :] if start < size else before
        assert process.pread(fd, size + 1, 0) == process.load(base, size) == expected
        process.munmap(base, 3 * PAGE)
        process.close(fd)
        process.unlink("a")


def test_storage_is_taken_and_given_back_by_whole_pages(system: ReferenceSystem, process: ReferenceProcess) -> None:
    folder = system.facility(Facility.OWN_FILE_SYSTEM)
    free = process.free_space(folder)
    fd = process.open(f"{folder}/a", O_RDWR | O_CREAT)

    process.fallocate(fd, FALLOC_FL_KEEP_SIZE, PAGE - 1, 2)
    assert (process.fstat(fd).size, free - process.free_space(folder)) == (0, 2 * PAGE)
    process.fallocate(fd, 0, 0, 4 * PAGE)
    assert (process.fstat(fd).size, free - process.free_space(folder)) == (4 * PAGE, 4 * PAGE)
    process.fallocate(fd, PUNCH, 1, 3 * PAGE)
    assert free - process.free_space(folder) == 2 * PAGE
    process.fallocate(fd, FALLOC_FL_ZERO_RANGE, PAGE, PAGE)
    assert free - process.free_space(folder) == 3 * PAGE
    process.fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE)
    assert free - process.free_space(folder) == 2 * PAGE
    process.fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, PAGE)
    assert (process.fstat(fd).size, free - process.free_space(folder)) == (4 * PAGE, 2 * PAGE)


def test_bytes_past_the_end_may_stay_or_become_zero(process: ReferenceProcess) -> None:
    fd = make(process, b"x" * 100)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base + 200, b"past")

    process.fallocate(fd, PUNCH, 50, 400)

    page = process.descriptors[fd].description.inode.cache.page(0)
    assert page.indeterminate is not None
    assert {at: set(values) for at, values in page.indeterminate.items()} == {
        at: {0, value} for at, value in enumerate(b"past", 200)
    }
    assert process.load(base, 100) == b"x" * 50 + bytes(50)


@pytest.mark.parametrize("mode", [FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE])
def test_what_nothing_specifies_of_moved_pages_is_unresolved(
    system: ReferenceSystem, process: ReferenceProcess, mode: int
) -> None:
    fd = make(process, b"x" * 3 * PAGE)
    process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)
    with pytest.raises(Unresolved, match="private copies"):
        process.fallocate(fd, mode, 0, PAGE)

    fragile = make(process, b"x" * 3 * PAGE, system.facility(Facility.CRASHING_FILE_SYSTEM) + "/a")
    with pytest.raises(Unresolved, match="crash"):
        process.fallocate(fragile, mode, 0, PAGE)


def test_a_moved_page_has_a_hole_where_it_had_one(process: ReferenceProcess) -> None:
    fd = make(process, b"A" * PAGE)
    process.pwrite(fd, b"C" * PAGE, 2 * PAGE)
    base = process.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base + 2 * PAGE, b"c")

    process.fallocate(fd, FALLOC_FL_INSERT_RANGE, PAGE, PAGE)

    assert process.load(base, 4 * PAGE) == b"A" * PAGE + bytes(2 * PAGE) + b"c" + b"C" * (PAGE - 1)
    assert process.lseek(fd, PAGE, SEEK_DATA) == 3 * PAGE


# ------------------------------------------------------------------------------------------------------- data and holes


def test_data_and_holes(process: ReferenceProcess) -> None:
    fd = process.open("a", O_RDWR | O_CREAT)
    process.ftruncate(fd, 5 * PAGE)
    with fails("ENXIO"):
        process.lseek(fd, 0, SEEK_DATA)
    assert process.lseek(fd, 7, SEEK_HOLE) == 7

    base = process.mmap(0, 5 * PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base + 2 * PAGE + 9, b"x")

    assert process.load(base, 1) == b"\0"  # a hole that is in memory stays one
    assert process.lseek(fd, 0, SEEK_DATA) == 2 * PAGE
    assert process.lseek(fd, 2 * PAGE + 20, SEEK_DATA) == 2 * PAGE + 20
    assert process.lseek(fd, 2 * PAGE, SEEK_HOLE) == 3 * PAGE
    process.store(base + 4 * PAGE, b"x")
    assert process.lseek(fd, 4 * PAGE, SEEK_HOLE) == 5 * PAGE
    with fails("ENXIO"):
        process.lseek(fd, 5 * PAGE, SEEK_HOLE)


# --------------------------------------------------------------------------------------------------------------- copies


def test_a_copy_ends_with_the_source(process: ReferenceProcess) -> None:
    source, target = make(process, b"source"), make(process, b"", "b")

    assert process.copy_file_range(source, 4, target, 1, 100) == 2
    assert process.copy_file_range(source, 6, target, 1, 100) == 0
    assert process.copy_file_range(source, 0, target, 1, 0) == 0

    assert process.pread(target, 10, 0) == b"\0ce"


def test_a_system_may_copy_less() -> None:
    process = ReferenceSystem(Parameters(), StrictChoices()).spawn()
    source, target = make(process, b"source"), make(process, b"", "b")

    assert process.copy_file_range(source, 0, target, 0, 5) == 3


def test_a_file_whose_growth_is_sealed_is_copied_to_up_to_its_last_whole_page(process: ReferenceProcess) -> None:
    source, target = make(process, b"x" * 3 * PAGE), process.memfd()
    process.ftruncate(target, PAGE)
    process.seal(target, SEAL_GROW)

    with fails("EPERM"):
        process.copy_file_range(source, 0, target, PAGE, 1)
    assert process.copy_file_range(source, 0, target, 100, 2 * PAGE) == PAGE - 100


def test_bytes_that_nothing_specifies_are_not_copied(process: ReferenceProcess) -> None:
    fd = make(process, b"x" * 200)
    process.descriptors[fd].description.inode.cache.page(0).allow({150: b"\0x"})

    with pytest.raises(Unresolved, match="copied"):
        process.copy_file_range(fd, 100, make(process, b"", "b"), 0, 100)


# ---------------------------------------------------------------------------------------------------------------- names


def test_a_file_has_as_many_names_as_links(process: ReferenceProcess) -> None:
    fd = make(process, b"content")
    inode = process.descriptors[fd].description.inode
    process.link("a", "b")
    process.link("b", "c")
    assert inode.links == 3

    process.rename("a", "b")  # both are names of the file: nothing happens (rename(2))
    assert inode.links == 3
    process.rename("a", "d")
    process.unlink("b")
    process.unlink("c")
    assert (inode.links, inode.name) == (1, "d")
    process.close(fd)
    assert process.pread(process.open("d", O_RDONLY), 9, 0) == b"content"


def test_the_storage_of_a_replaced_file_is_given_back_with_its_last_mapping(
    system: ReferenceSystem, process: ReferenceProcess
) -> None:
    folder = system.facility(Facility.OWN_FILE_SYSTEM)
    free = process.free_space(folder)
    fd = make(process, b"o" * PAGE, f"{folder}/old")
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)
    process.close(make(process, b"", f"{folder}/new"))

    process.rename(f"{folder}/new", f"{folder}/old")

    assert process.load(base, PAGE) == b"o" * PAGE
    assert free - process.free_space(folder) == PAGE
    process.munmap(base, PAGE)
    assert process.free_space(folder) == free


def test_a_directory_takes_its_files_along(process: ReferenceProcess) -> None:
    process.mkdir("one")
    fd = make(process, b"content", "one/a")
    process.close(fd)

    process.rename("one", "two")

    assert process.pread(process.open("two/a", O_RDONLY), 9, 0) == b"content"
    assert process.fstat(process.open("two", O_RDONLY | O_DIRECTORY)).kind == "directory"
    with fails("ENOENT"):
        process.open("one/a", O_RDONLY)


def test_a_directory_replaces_an_empty_one(process: ReferenceProcess) -> None:
    process.mkdir("one")
    process.close(make(process, b"content", "one/a"))
    process.mkdir("two")

    process.rename("one", "./two")

    assert process.pread(process.open("two/a", O_RDONLY), 9, 0) == b"content"
    with fails("ENOENT"):
        process.open("one", O_RDONLY)
