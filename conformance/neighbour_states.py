"""Cases of calls on memory beside other mappings, on parts of mappings, on files that are mapped twice; and again."""

from __future__ import annotations

import pytest

from ..contract import (
    MADV_DONTNEED,
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CLOEXEC,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    Process,
)
from ..testing import clause, fails, faults, needs
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, assert_nothing_mapped, free_range, lettered_pages, setup
from ._storage import PUNCH, allocate
from .locking import is_locked, lock_map
from .mremap_dontunmap import DONTUNMAP


def map_twice(process: Process, file: MakeFile, page: int, pages: int) -> tuple[int, int]:
    """Return the address of a mapping of a file, which has a second mapping, and its descriptor."""
    fd = file(lettered_pages(page, pages))
    process.mmap(0, pages * page, RW, MAP_SHARED, fd, 0)
    base = free_range(process, pages)
    return process.mmap(base, pages * page, RW, MAP_SHARED | MAP_FIXED, fd, 0), fd


def map_beside_others(process: Process, page: int, pages: int) -> int:
    """Return the address of anonymous pages; the page before them and the one after them are of other mappings."""
    base = free_range(process, pages + 2)
    for at in (0, pages + 1):
        process.mmap(base + at * page, page, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    return process.mmap(base + page, pages * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)


# ------------------------------------------------------------------------------------------ files that are mapped twice


@clause("mlock.errno.ENOMEM.prefix")
def test_failed_mlock_locks_pages_of_file_before_hole(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """The file was opened again, and has a second mapping."""
    path = new_path()
    file(lettered_pages(page, 3), O_RDWR, path)
    with setup():
        fd = process.open(path, O_RDWR)
    process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.munmap(base + 2 * page, page)

    with fails("ENOMEM"):
        process.mlock(base, 3 * page)

    assert lock_map(process, page, base, 2) == "xx"


@clause("mprotect.errno.ENOMEM.prefix")
def test_failed_mprotect_leaves_pages_of_file_after_hole(process: Process, page: int, file: MakeFile) -> None:
    base, _fd = map_twice(process, file, page, 3)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.mprotect(base, 3 * page, PROT_READ)

    process.store(base + 2 * page, b"x")
    with faults("SIGSEGV"):
        process.store(base, b"x")


@clause("mmap.prot.unknown-bits")
def test_unknown_protection_bits_are_ignored_for_mapped_file(process: Process, page: int, file: MakeFile) -> None:
    _base, fd = map_twice(process, file, page, 1)

    base = process.mmap(0, page, RW | 0x800, MAP_SHARED, fd, 0)

    process.store(base, b"x")
    assert process.pread(fd, 2, 0) == b"xA"


@clause("mmap.errno.ENOMEM.noreplace")
def test_noreplace_of_mapped_file_outside_address_space_fails(process: Process, page: int, file: MakeFile) -> None:
    _base, fd = map_twice(process, file, page, 1)

    with fails("ENOMEM"):
        process.mmap((1 << process.bits) - page, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)


@clause("madvise.errno.EINVAL.advice", "madvise.errno.EINVAL.address")
def test_madvise_of_no_length_refuses_unknown_advice(process: Process, page: int, file: MakeFile) -> None:
    base, _fd = map_twice(process, file, page, 1)

    with fails("EINVAL"):
        process.madvise(base, 0, 99)
    with fails("EINVAL"):
        process.madvise(base + 1, 0, MADV_DONTNEED)


# ---------------------------------------------------------------------------------------------------- parts of mappings


@clause("munmap.lock")
def test_what_replaces_locked_part_is_not_locked(process: Process, page: int) -> None:
    base = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    process.mlock(base, 4 * page)
    process.mprotect(base + page, page, PROT_READ)
    process.munmap(base + page, page)

    process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    assert lock_map(process, page, base, 4) == "x.xx"


@clause("mremap.dontunmap.lock")
def test_locked_part_that_moves_and_stays_is_not_locked(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.mlock(base, 3 * page)
    process.mprotect(base + 2 * page, page, PROT_READ)

    moved = process.mremap(base, 2 * page, 2 * page, DONTUNMAP)

    assert is_locked(process, page, moved)
    assert lock_map(process, page, base, 3) == "..x"


@clause("mprotect.rights")
@needs("no-execute")
@pytest.mark.parametrize("state", ["beside-others", "part"])
def test_right_to_execute_is_taken_away(process: Process, page: int, state: str) -> None:
    if state == "beside-others":
        base = map_beside_others(process, page, 2)
    else:
        base = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
        process.mprotect(base + 2 * page, page, PROT_NONE)
    process.store(base, process.return_instruction())
    process.mprotect(base, 2 * page, PROT_READ | PROT_EXEC)
    process.execute(base)

    process.mprotect(base, page, PROT_READ)

    with faults("SIGSEGV"):
        process.execute(base)


@clause("fault.unmapped")
@pytest.mark.parametrize("place", ["page of changed protection", "last page"])
def test_unmapped_part_is_reported_as_unmapped(process: Process, page: int, place: str) -> None:
    base = map_beside_others(process, page, 3)
    at = base + (page if place.startswith("page") else 2 * page)
    process.mprotect(at, page, PROT_READ)
    process.mprotect(at, page, RW)
    process.store(at, b"x")

    process.munmap(at, page)

    with faults("SIGSEGV", code="SEGV_MAPERR"):
        process.load(at, 1)
    with faults("SIGSEGV", code="SEGV_MAPERR"):
        process.store(at - 1, b"xy")
    assert process.load(at - 1, 1) == b"x"


# -------------------------------------------------------------------------------------------------------- beside others


@clause("madvise.populate-write")
def test_populate_write_copies_page_beside_others(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 1))
    base = map_beside_others(process, page, 1)
    process.mmap(base, page, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)

    process.madvise(base, page, MADV_POPULATE_WRITE)

    process.pwrite(fd, b"x", 0)
    assert process.load(base, 1) == b"A"


@clause("threads.munmap.neighbours")
def test_munmap_leaves_mappings_on_both_sides_to_thread(process: Process, page: int) -> None:
    thread = process.thread()
    base = map_beside_others(process, page, 2)
    process.store(base - page, b"left")
    thread.store(base + 2 * page, b"right")

    process.munmap(base, 2 * page)

    assert thread.load(base - page, 4) == b"left"
    assert process.load(base + 2 * page, 5) == b"right"
    assert_nothing_mapped(thread, base + page)


@clause("mmap.refcount.close")
def test_close_leaves_duplicate_open(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 1))
    with setup():
        other = process.dup(fd)
    base = map_beside_others(process, page, 1)
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)

    process.close(fd)

    process.store(base, b"x")
    assert process.pread(other, 2, 0) == b"xA"


# ------------------------------------------------------------------------------------------------------- a second time


@clause("fallocate.content")
def test_second_allocation_leaves_content(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)

    for number in (b"1", b"2", b"3"):
        process.store(base + page, number)
        allocate(process, fd, 0, 0, 2 * page)
        assert process.load(base, 1) == b"A"
        assert process.load(base + page, 2) == number + b"B"
    assert process.pread(fd, 2, page) == b"3B"


@clause("fallocate.zero")
def test_second_hole_takes_what_was_stored_since(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)

    for _ in range(3):
        process.store(base + page, b"stored")
        allocate(process, fd, PUNCH, page, page)
        assert process.load(base + page, 6) == bytes(6)
        assert process.pread(fd, 6, page) == bytes(6)


@clause("exec.descriptors")
def test_second_exec_closes_descriptors_too(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    path = new_path()
    inherited = file(b"abc", O_RDWR, path)
    for _ in range(2):
        with setup():
            closed = process.open(path, O_RDWR | O_CLOEXEC)
        process.exec()

        with fails("EBADF"):
            process.mmap(0, page, RW, MAP_SHARED, closed, 0)
        process.munmap(process.mmap(0, page, RW, MAP_SHARED, inherited, 0), page)
