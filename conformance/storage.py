"""Cases of a mapped file whose storage is changed by fallocate, or whose bytes are copied by copy_file_range."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..contract import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_APPEND,
    O_CREAT,
    O_DIRECTORY,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_READ,
    SEAL_GROW,
    SEAL_WRITE,
    SEEK_DATA,
    SEEK_HOLE,
    Facility,
    Process,
    System,
)
from ..testing import clause, fails, faults
from ._helpers import RW, MakeFile, NewPath, append_only, lettered_pages, setup
from ._storage import PUNCH, ZEROING, allocate, can_write, copy, fill, lettered_units, small_file_system, storage_unit

# --------------------------------------------------------------------------------------------------------------- mode 0


@clause("fallocate.size")
@pytest.mark.parametrize("type", [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")])
def test_allocation_makes_pages_past_the_end_accessible(process: Process, file: MakeFile, page: int, type: int) -> None:
    fd = file(b"x" * 100)
    base = process.mmap(0, 3 * page, RW, type, fd, 0)
    with faults("SIGBUS"):
        process.load(base + page, 1)

    allocate(process, fd, 0, page, page + 1)

    assert process.fstat(fd).size == 2 * page + 1
    assert process.load(base, 3 * page) == b"x" * 100 + bytes(3 * page - 100)
    process.store(base + 2 * page, b"!")
    assert process.pread(fd, 2, 2 * page) == (b"!" if type == MAP_SHARED else b"\0")


@clause("fallocate.size")
@pytest.mark.parametrize("mode", [FALLOC_FL_KEEP_SIZE, PUNCH], ids=["allocate", "punch"])
def test_kept_size_leaves_pages_past_the_end_inaccessible(
    process: Process, file: MakeFile, page: int, mode: int
) -> None:
    fd = file(b"x" * 100)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)

    allocate(process, fd, mode, page, page)

    assert process.fstat(fd).size == 100
    assert process.load(base, 100) == b"x" * 100
    with faults("SIGBUS"):
        process.store(base + page, b"!")


@clause("fallocate.content")
@pytest.mark.parametrize("mode", [0, FALLOC_FL_KEEP_SIZE], ids=["plain", "keep-size"])
def test_allocation_changes_no_byte(process: Process, file: MakeFile, page: int, mode: int) -> None:
    """The first page was written, the second stored through the mapping, the third is a hole that was loaded."""
    fd = file(b"w" * page)
    process.ftruncate(fd, 4 * page)
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + page, b"s" * page)
    assert process.load(base + 2 * page, page) == bytes(page)
    expected = b"w" * page + b"s" * page + bytes(2 * page)

    allocate(process, fd, mode, 1, 4 * page - 2)

    assert process.load(base, 4 * page) == expected
    assert process.pread(fd, 5 * page, 0) == expected
    process.store(base + 2 * page, b"later")
    assert process.pread(fd, 5, 2 * page) == b"later"


@clause("fallocate.storage")
def test_stores_into_allocated_pages_succeed_on_a_full_file_system(system: System, process: Process, page: int) -> None:
    directory = small_file_system(system, process)
    fd = process.open(f"{directory}/a", O_CREAT | O_RDWR)
    process.ftruncate(fd, 8 * page)
    base = process.mmap(0, 8 * page, RW, MAP_SHARED, fd, 0)
    allocate(process, fd, 0, 2 * page, 4 * page)
    fill(process, f"{directory}/b", page)

    for number in range(2, 6):
        process.store(base + number * page, b"s" * page)
    process.msync(base, 8 * page, MS_SYNC)

    assert process.pread(fd, 8 * page, 0) == bytes(2 * page) + b"s" * 4 * page + bytes(2 * page)


@clause("fallocate.errno.ENOSPC")
def test_allocation_of_more_than_is_free_fails(system: System, process: Process, page: int) -> None:
    directory = small_file_system(system, process)
    fd = process.open(f"{directory}/a", O_CREAT | O_RDWR)
    allocate(process, fd, 0, 0, page)
    free = process.free_space(directory)

    with fails("ENOSPC"):
        process.fallocate(fd, 0, 0, free + (1 << 20))


# ------------------------------------------------------------------------------------------------ holes and zero ranges


@clause("fallocate.zero")
@pytest.mark.parametrize("mode", ZEROING)
def test_range_is_zero_in_all_mappings(process: Process, file: MakeFile, page: int, mode: int) -> None:
    """The pages were stored through the mapping and not written back; the second mapping starts within the range."""
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 2 * page)
    private = process.mmap(0, 4 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base + page, b"s" * 2 * page)
    assert process.load(other, page) == b"s" * page
    assert process.load(private, 4 * page) == b"A" * page + b"s" * 2 * page + b"D" * page
    child = process.fork()
    expected = b"A" * page + bytes(2 * page) + b"D" * page

    allocate(process, fd, mode, page, 2 * page)

    for each in (process, child):
        assert each.load(base, 4 * page) == expected
        assert each.load(other, 2 * page) == expected[2 * page :]
        assert each.load(private, 4 * page) == expected
    assert process.pread(fd, 5 * page, 0) == expected


@clause("fallocate.zero", "fallocate.zero.outside")
@pytest.mark.parametrize("mode", ZEROING)
@pytest.mark.parametrize("first", [1, 0, -1], ids=["after-boundary", "at-boundary", "before-boundary"])
@pytest.mark.parametrize("last", [0, 1, 2], ids=["same-page", "next-page", "page-after"])
def test_range_of_parts_of_pages_is_zero(
    process: Process, file: MakeFile, page: int, mode: int, first: int, last: int
) -> None:
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"s" * 4 * page)
    start, end = page + first, (1 + last) * page + 100
    expected = b"s" * start + bytes(end - start) + b"s" * (4 * page - end)

    allocate(process, fd, mode, start, end - start)

    assert process.load(base, 4 * page) == expected
    assert process.pread(fd, 4 * page, 0) == expected


@clause("fallocate.zero.outside")
@pytest.mark.parametrize("mode", ZEROING)
def test_zeroing_to_past_the_end_keeps_the_bytes_before(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(b"x" * (page + 100))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"s" * (page + 100))

    allocate(process, fd, mode, page + 10, page)

    assert process.load(base, 2 * page) == b"s" * (page + 10) + bytes(page - 10)


@clause("fallocate.zero.private")
@pytest.mark.parametrize("mode", ZEROING)
def test_zeroing_leaves_private_copies(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(lettered_pages(page, 3))
    private = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(private + page, b"p" * 10)
    child = process.fork()

    allocate(process, fd, mode, 0, 3 * page)

    for each in (process, child):
        assert each.load(private + page, page) == b"p" * 10 + b"B" * (page - 10)
    assert process.pread(fd, 3 * page, 0) == bytes(3 * page)


@clause("fallocate.zero.store")
@pytest.mark.parametrize("mode", ZEROING)
@pytest.mark.parametrize("how", ["msync", "no-msync"])
def test_store_after_zeroing_is_in_the_file(
    system: System, process: Process, file: MakeFile, new_path: NewPath, page: int, mode: int, how: str
) -> None:
    path = new_path()
    fd = file(lettered_pages(page, 3), path=path)
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page)
    process.store(base, b"s" * 3 * page)
    assert process.load(other, page) == b"s" * page

    allocate(process, fd, mode, page, page)
    process.store(base + page + 7, b"again")
    if how == "msync":
        process.msync(base, 3 * page, MS_SYNC)

    expected = bytes(7) + b"again" + bytes(page - 12)
    assert process.load(other, page) == expected
    assert process.pread(fd, page, page) == expected
    reader = system.spawn()
    assert reader.pread(reader.open(path, O_RDONLY), page, page) == expected


@clause("fallocate.zero.size")
@pytest.mark.parametrize("mode", ZEROING)
def test_size_after_zeroing_past_the_end(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(b"x" * 100)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    with faults("SIGBUS"):
        process.load(base + page, 1)

    allocate(process, fd, mode, 50, 2 * page - 50)

    if mode == FALLOC_FL_ZERO_RANGE:
        assert process.fstat(fd).size == 2 * page
        assert process.load(base, 2 * page) == b"x" * 50 + bytes(2 * page - 50)
    else:
        assert process.fstat(fd).size == 100
        assert process.load(base, 100) == b"x" * 50 + bytes(50)
        with faults("SIGBUS"):
            process.load(base + page, 1)


@clause("fallocate.punch.storage")
def test_hole_gives_storage_back(system: System, process: Process, page: int) -> None:
    """The file is mapped, and the pages of the range were stored to."""
    directory = small_file_system(system, process)
    fd = process.open(f"{directory}/a", O_CREAT | O_RDWR)
    pages = max(64, (1 << 20) // page)
    process.ftruncate(fd, pages * page)
    base = process.mmap(0, pages * page, RW, MAP_SHARED, fd, 0)
    for number in range(pages):
        process.store(base + number * page, b"s")
    process.fsync(fd)
    fill(process, f"{directory}/b", page)
    other = process.open(f"{directory}/b", O_RDWR)
    size = process.fstat(other).size
    assert not can_write(process, other, page, size)

    allocate(process, fd, PUNCH, 0, pages * page)
    process.fsync(fd)

    assert can_write(process, other, page, size)


# ----------------------------------------------------------------------------------------------------- ranges that move


@clause("fallocate.collapse")
def test_collapsed_range_is_removed_from_mappings(process: Process, file: MakeFile, page: int) -> None:
    unit = storage_unit(page)
    fd = file(lettered_units(page, "ABCD"))
    base = process.mmap(0, 4 * unit, RW, MAP_SHARED, fd, 0)
    process.store(base + 2 * unit, b"stored")
    assert process.load(base + 3 * unit, 1) == b"D"

    allocate(process, fd, FALLOC_FL_COLLAPSE_RANGE, unit, unit)

    assert process.fstat(fd).size == 3 * unit
    assert process.load(base + unit - 1, 8) == b"Astored" + b"C"
    assert process.load(base + 2 * unit, unit) == b"D" * unit
    with faults("SIGBUS"):
        process.load(base + 3 * unit, 1)
    process.store(base + unit, b"again")
    assert process.pread(fd, 8, unit) == b"againdCC"


@clause("fallocate.insert")
def test_inserted_range_is_zero_in_mappings(process: Process, file: MakeFile, page: int) -> None:
    unit = storage_unit(page)
    fd = file(lettered_units(page, "ABC"))
    base = process.mmap(0, 4 * unit, RW, MAP_SHARED, fd, 0)
    process.store(base + unit, b"stored")
    with faults("SIGBUS"):
        process.load(base + 3 * unit, 1)

    allocate(process, fd, FALLOC_FL_INSERT_RANGE, unit, unit)

    assert process.fstat(fd).size == 4 * unit
    assert process.load(base + unit - 1, unit + 1) == b"A" + bytes(unit)
    assert process.load(base + 2 * unit, 7) == b"storedB"
    assert process.load(base + 3 * unit, unit) == b"C" * unit
    process.store(base + unit, b"again")
    assert process.pread(fd, 6, unit) == b"again\0"


# --------------------------------------------------------------------------------------------------------------- errors


@clause("fallocate.errno.EBADF")
@pytest.mark.parametrize("mode", [0, PUNCH], ids=["allocate", "punch"])
def test_allocation_without_write_access_fails(
    process: Process, file: MakeFile, new_path: NewPath, page: int, mode: int
) -> None:
    path = new_path()
    fd = file(b"x" * page, path=path)
    allocate(process, fd, mode, 0, 1)  # the file system has the mode
    process.pwrite(fd, b"x", 0)
    reader = process.open(path, O_RDONLY)

    for wrong in (reader, 77):
        with fails("EBADF"):
            process.fallocate(wrong, mode, 0, 2 * page)

    assert process.pread(fd, 2 * page, 0) == b"x" * page


@clause("fallocate.errno.EINVAL")
@pytest.mark.parametrize(
    ("offset", "length"), [(-1, 2), (0, 0), (0, -1)], ids=["offset-negative", "length-zero", "length-negative"]
)
def test_allocation_of_invalid_range_fails(
    process: Process, file: MakeFile, page: int, offset: int, length: int
) -> None:
    fd = file(b"x" * page)
    allocate(process, fd, 0, 0, 1)

    with fails("EINVAL"):
        process.fallocate(fd, 0, offset, length)

    assert process.pread(fd, 2 * page, 0) == b"x" * page


@clause("fallocate.errno.EINVAL")
@pytest.mark.parametrize("what", ["reaches-the-end", "odd-offset", "odd-length"])
@pytest.mark.parametrize("mode", [FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE], ids=["collapse", "insert"])
def test_invalid_range_is_not_moved(process: Process, file: MakeFile, page: int, mode: int, what: str) -> None:
    unit = storage_unit(page)
    content = lettered_units(page, "ABC")
    fd = file(content)
    allocate(process, fd, mode, unit, unit)
    process.ftruncate(fd, 0)
    process.pwrite(fd, content, 0)
    offset, length = {
        "reaches-the-end": (3 * unit if mode == FALLOC_FL_INSERT_RANGE else 2 * unit, unit),
        "odd-offset": (unit + 1, unit),
        "odd-length": (unit, unit - 1),
    }[what]

    with fails("EINVAL"):
        process.fallocate(fd, mode, offset, length)

    assert process.fstat(fd).size == 3 * unit
    assert process.pread(fd, 4, unit - 2) == b"AABB"


@clause("fallocate.errno.ENODEV")
def test_allocation_in_a_device_fails(system: System, process: Process, page: int) -> None:
    fd = process.open(system.facility(Facility.DEV_NULL), O_RDWR)

    with fails("ENODEV"):
        process.fallocate(fd, 0, 0, page)


@clause("fallocate.errno.ESPIPE")
def test_allocation_in_a_pipe_fails(process: Process, page: int) -> None:
    fd = process.pipe()[1]

    with fails("ESPIPE"):
        process.fallocate(fd, 0, 0, page)


@clause("fallocate.errno.EFBIG")
def test_allocation_past_the_largest_file_fails(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"x" * page)
    allocate(process, fd, 0, 0, 1)

    with fails("EFBIG"):
        process.fallocate(fd, 0, (1 << 63) - page, page)

    assert process.pread(fd, 2 * page, 0) == b"x" * page


@clause("fallocate.errno.EOPNOTSUPP")
@pytest.mark.parametrize("mode", [FALLOC_FL_PUNCH_HOLE, 1 << 30], ids=["punch-without-keep-size", "unknown"])
def test_unknown_mode_fails(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(b"x" * page)

    with fails("EOPNOTSUPP"):
        process.fallocate(fd, mode, 0, page)

    assert process.pread(fd, 2 * page, 0) == b"x" * page


@clause("fallocate.errno.EPERM")
@pytest.mark.parametrize("what", ["punch-write-sealed", "grow-growth-sealed"])
def test_sealed_file_is_not_changed(process: Process, page: int, what: str) -> None:
    with setup():
        fd = process.memfd()
        process.ftruncate(fd, page)
        process.pwrite(fd, b"x" * page, 0)
        process.seal(fd, SEAL_WRITE if what == "punch-write-sealed" else SEAL_GROW)

    with fails("EPERM"):
        process.fallocate(fd, *((PUNCH, 0, page) if what == "punch-write-sealed" else (0, page, page)))

    assert process.pread(fd, 2 * page, 0) == b"x" * page


@clause("fallocate.errno.EPERM")
def test_hole_in_append_only_file_fails(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"x" * page)
    allocate(process, fd, PUNCH, page, page)

    with append_only(process, fd):
        with fails("EPERM"):
            process.fallocate(fd, PUNCH, 0, page)

        assert process.pread(fd, 2 * page, 0) == b"x" * page


# ---------------------------------------------------------------------------------------------------------------- holes


@clause("file.holes.stores")
def test_stored_byte_is_not_in_a_hole(process: Process, file: MakeFile, page: int) -> None:
    """The byte has not been written back.  A file system may report more as data than has been written."""
    pages = 64
    fd = file()
    process.ftruncate(fd, pages * page)
    base = process.mmap(0, pages * page, RW, MAP_SHARED, fd, 0)
    at = (pages // 2) * page + 17
    process.store(base + at, b"s")

    data = process.lseek(fd, 0, SEEK_DATA)
    hole = process.lseek(fd, at - 17, SEEK_HOLE)

    assert 0 <= data <= at
    assert at < hole <= pages * page
    assert process.pread(fd, data, 0) == bytes(data)
    for whence in (SEEK_DATA, SEEK_HOLE):
        with fails("ENXIO"):
            process.lseek(fd, pages * page, whence)


# --------------------------------------------------------------------------------------------------------------- copies


@clause("copy.stores")
def test_copy_has_what_was_stored_through_a_mapping(process: Process, file: MakeFile, page: int) -> None:
    source, target = file(lettered_pages(page, 3)), file(b"t" * 100)
    shared = process.mmap(0, 3 * page, RW, MAP_SHARED, source, 0)
    private = process.mmap(0, 3 * page, RW, MAP_PRIVATE, source, 0)
    process.store(shared + page, b"shared")
    process.store(private + page + 10, b"private")

    copy(process, source, 1, target, 0, 3 * page - 1)

    assert process.pread(target, 3 * page, 0) == (b"A" * (page - 1) + b"shared" + b"B" * (page - 6) + b"C" * page)


@clause("copy.shared")
def test_mappings_show_a_copy(process: Process, file: MakeFile, page: int) -> None:
    source, target = file(lettered_pages(page, 3)), file(b"t" * 3 * page)
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, target, 0)
    private = process.mmap(0, 3 * page, RW, MAP_PRIVATE, target, 0)
    process.store(base, b"s" * 3 * page)
    process.store(private + page, b"p")
    child = process.fork()
    expected = b"s" * (page - 1) + b"B" * page + b"s" * (page + 1)

    copy(process, source, page, target, page - 1, page)

    for each in (process, child):
        assert each.load(base, 3 * page) == expected
        assert each.load(private + page, 2) == b"ps"
    assert process.pread(target, 4 * page, 0) == expected


@clause("copy.shared")
def test_copy_is_apart_from_its_source(process: Process, file: MakeFile, page: int) -> None:
    """Also where the file system lets both files share their storage: each store makes a copy."""
    unit = storage_unit(page)
    source, target = file(b"A" * unit), file()
    copy(process, source, 0, target, 0, unit)
    first = process.mmap(0, unit, RW, MAP_SHARED, source, 0)
    second = process.mmap(0, unit, RW, MAP_SHARED, target, 0)

    process.store(first, b"1")
    process.store(second + 1, b"2")
    process.msync(first, unit, MS_SYNC)
    process.msync(second, unit, MS_SYNC)

    for fd, base, expected in ((source, first, b"1AA"), (target, second, b"A2A")):
        assert process.load(base, 3) == expected
        assert process.pread(fd, 3, 0) == expected


@clause("copy.errno")
@pytest.mark.parametrize(
    "what",
    ["source-write-only", "target-read-only", "target-append", "overlap", "pipe", "directory", "offset-negative"],
)
def test_copy_fails(process: Process, file: MakeFile, new_path: NewPath, page: int, what: str) -> None:
    path = new_path()
    source, target = file(lettered_pages(page, 2)), file(b"t" * page, path=path)
    copy(process, source, 0, target, 0, 1)
    process.pwrite(target, b"t", 0)
    errors = {"overlap": ["EINVAL"], "pipe": ["EINVAL"], "offset-negative": ["EINVAL", "EOVERFLOW"]}
    errors["directory"] = ["EISDIR"]
    arguments: dict[str, Callable[[], tuple[int, int, int, int]]] = {
        "source-write-only": lambda: (process.open(path, O_WRONLY), 0, source, 0),
        "target-read-only": lambda: (source, 0, process.open(path, O_RDONLY), 0),
        "target-append": lambda: (source, 0, process.open(path, O_RDWR | O_APPEND), 0),
        "offset-negative": lambda: (source, -page, target, 0),
        "overlap": lambda: (source, 0, source, page - 1),
        "pipe": lambda: (process.pipe()[0], 0, target, 0),
        "directory": lambda: (process.open(".", O_RDONLY | O_DIRECTORY), 0, target, 0),
    }

    with fails(*errors.get(what, ["EBADF"])):
        process.copy_file_range(*arguments[what](), page)

    assert process.pread(source, 3 * page, 0) == lettered_pages(page, 2)
    assert process.pread(target, 2 * page, 0) == b"t" * page


@clause("copy.errno")
def test_copy_into_sealed_file_fails(process: Process, page: int) -> None:
    with setup():
        source, target = process.memfd(), process.memfd()
        for fd in (source, target):
            process.pwrite(fd, b"x" * page, 0)
    copy(process, source, 0, target, 0, 1)
    with setup():
        process.seal(target, SEAL_WRITE)

    with fails("EPERM"):
        process.copy_file_range(source, 0, target, 0, page)

    assert process.pread(target, 2 * page, 0) == b"x" * page


@clause("copy.errno")
def test_copy_on_a_full_file_system_fails(system: System, process: Process, page: int) -> None:
    directory = small_file_system(system, process)
    source, target = (process.open(f"{directory}/{name}", O_CREAT | O_RDWR) for name in "ab")
    process.pwrite(source, b"x" * 8 * page, 0)
    copy(process, source, 0, target, 0, 1)
    fill(process, f"{directory}/c", page)

    with fails("ENOSPC"):
        for number in range(64):
            process.copy_file_range(source, 0, target, (1 + number * 8) * page, 8 * page)
