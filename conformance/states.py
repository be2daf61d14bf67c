"""Plain calls in particular states: each case is a fault that some system had in this state only."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SEAL_FUTURE_WRITE,
    Process,
)
from ..testing import File, clause, faults, needs

RW = PROT_READ | PROT_WRITE
GIB = 1 << 30
FIXED_ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


def letters(page: int, pages: int = 4) -> bytes:
    """Return a different letter for each page."""
    return b"".join(b"abcdefgh"[number : number + 1] * page for number in range(pages))


@clause("mprotect.private.copy")
def test_a_page_that_lost_and_regained_write_is_copied(process: Process, file: File, page: int) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.load(base, 1)
    process.mprotect(base, page, PROT_READ)
    process.load(base, 1)
    process.mprotect(base, page, RW)

    process.store(base, b"X")

    assert process.pread(fd, 3, 0) == b"abc"


@clause("fork.private.untouched")
def test_a_page_that_was_only_loaded_is_copied_for_a_child(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.load(base, 1)
    child = process.fork()

    child.store(base, b"X")

    assert process.load(base, 1) == b"\0"


@pytest.mark.parametrize("storing", ["parent", "child"])
@clause("fork.independent")
def test_a_page_is_copied_if_it_could_not_be_stored_to_at_the_fork(process: Process, page: int, storing: str) -> None:
    base = process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"old")
    process.mprotect(base, page, PROT_READ)
    child = process.fork()
    one, other = (process, child) if storing == "parent" else (child, process)
    one.mprotect(base, page, RW)

    one.store(base, b"new")

    assert other.load(base, 3) == b"old"


@clause("mremap.move.offset")
def test_a_part_that_was_split_off_keeps_its_offset_when_it_moves(process: Process, file: File, page: int) -> None:
    fd = file(letters(page))
    base, _ = process.scratch_range()
    process.mmap(base, 4 * page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    process.mprotect(base, 2 * page, PROT_NONE)

    moved = process.mremap(base + 2 * page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 8 * page)

    assert process.load(moved, 1) == b"c"


@clause("truncation.pages")
def test_a_cut_is_seen_by_each_mapping(process: Process, file: File, page: int) -> None:
    fd = file(letters(page, 2))
    bases = [process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0) for _ in range(2)]
    child = process.fork()
    for base in bases:
        process.load(base + page, 1)
        child.load(base + page, 1)

    process.ftruncate(fd, page)

    for base in bases:
        for one in (process, child):
            with faults("SIGBUS"):
                one.load(base + page, 1)


@pytest.mark.parametrize("gib", [2, 3, 4])
@clause("truncation.pages")
def test_a_cut_at_a_large_offset(process: Process, file: File, page: int, gib: int) -> None:
    fd = file()
    process.ftruncate(fd, gib * GIB + page)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, gib * GIB)
    process.load(base, 1)

    process.ftruncate(fd, gib * GIB)

    with faults("SIGBUS"):
        process.load(base, 1)


@clause("file.truncate")
def test_a_truncation_to_the_same_size_loses_nothing(process: Process, file: File, page: int) -> None:
    fd = file(letters(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + page, b"stored")

    process.ftruncate(fd, 2 * page)

    assert process.load(base + page, 6) == b"stored"
    assert process.pread(fd, 6, page) == b"stored"


@clause("mmap.refcount.close")
@needs("coherent")
def test_a_child_that_closes_its_descriptor_leaves_the_mapping(process: Process, file: File, page: int) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.fork().close(fd)

    process.store(base, b"X")

    assert process.pread(fd, 3, 0) == b"Xbc"


@clause("munmap.mapping")
def test_a_store_across_two_mappings_reaches_both(process: Process, file: File, page: int) -> None:
    one, other = file(letters(page, 1)), file(letters(page, 1))
    base, _ = process.scratch_range()
    for number, fd in enumerate((one, other)):
        process.mmap(base + number * page, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)

    process.store(base + page - 2, b"ABCD")

    assert process.pread(one, 2, page - 2) == b"AB"
    assert process.pread(other, 2, 0) == b"CD"


@clause("mmap.flag.noreserve")
@needs("large-mappings")
def test_two_gib_of_a_sparse_file_are_mapped(process: Process, file: File, page: int) -> None:
    fd = file()
    process.ftruncate(fd, 2 * GIB)
    process.pwrite(fd, b"end", 2 * GIB - 3)

    base = process.mmap(0, 2 * GIB, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0)

    assert process.load(base + 2 * GIB - 3, 3) == b"end"


@pytest.mark.parametrize("call", ["munmap", "mprotect"])
@clause("mmap.flag.noreserve")
@needs("large-mappings")
def test_a_range_of_more_than_four_gib_is_changed_as_a_whole(process: Process, page: int, call: str) -> None:
    length = 4 * GIB + 2 * page
    base = process.mmap(0, length, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    places = (base, base + 2 * GIB, base + 4 * GIB - page, base + 4 * GIB, base + length - page)
    for place in places:
        process.store(place, b"X")

    process.munmap(base, length) if call == "munmap" else process.mprotect(base, length, PROT_NONE)

    for place in places:
        with faults("SIGSEGV", code="SEGV_MAPERR" if call == "munmap" else "SEGV_ACCERR"):
            process.load(place, 1)


@clause("memfd.seal.future-write")
def test_a_private_mapping_of_a_sealed_memfd_is_copied(process: Process, page: int) -> None:
    fd = process.memfd()
    process.pwrite(fd, b"old", 0)
    process.seal(fd, SEAL_FUTURE_WRITE)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)

    process.store(base, b"new")

    assert process.pread(fd, 3, 0) == b"old"


@pytest.mark.parametrize("gib", [2, 3, 4])
@clause("mmap.errno.EOVERFLOW.boundary")
def test_a_large_offset_is_not_another_one(process: Process, file: File, page: int, gib: int) -> None:
    fd = file(b"first")
    process.pwrite(fd, b"there", gib * GIB)

    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, gib * GIB)

    assert process.load(base, 5) == b"there"


@clause("growth.zero")
def test_a_store_past_a_former_end_is_kept(process: Process, file: File, page: int) -> None:
    fd = file(letters(page, 1))
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x" * page)
    process.ftruncate(fd, 100)
    process.ftruncate(fd, page)
    process.store(base + 2000, b"kept")
    process.msync(base, page, MS_SYNC)

    process.drop_cache(fd)

    assert process.pread(fd, 6, 1999) == b"\0kept\0"


@clause("mremap.shrink.part")
def test_a_mapping_of_a_file_that_was_cut_shrinks_without_writing(process: Process, file: File, page: int) -> None:
    fd = file(letters(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + 2 * page, b"X")
    process.ftruncate(fd, page)

    process.mremap(base, 3 * page, page, 0)

    assert process.fstat(fd).size == page


@clause("end.others")
def test_the_end_of_a_child_leaves_what_the_parent_mapped_at_the_same_place(process: Process, page: int) -> None:
    child = process.fork()
    base, _ = process.scratch_range()
    child.mmap(base, page, RW, FIXED_ANONYMOUS, -1, 0)
    child.munmap(base, page)
    process.mmap(base, page, RW, FIXED_ANONYMOUS, -1, 0)
    process.store(base, b"parent")

    assert child.exit() == 0

    assert process.load(base, 6) == b"parent"


@clause("mmap.flag.fixed-replaces")
def test_what_follows_a_replaced_page_keeps_its_bytes(process: Process, page: int) -> None:
    base, _ = process.scratch_range()
    process.mmap(base, 5 * page, RW, FIXED_ANONYMOUS, -1, 0)
    for number in range(5):
        process.store(base + number * page, b"%d" % number)

    process.mmap(base + 2 * page, page, RW, FIXED_ANONYMOUS, -1, 0)

    assert [process.load(base + number * page, 1) for number in range(5)] == [b"0", b"1", b"\0", b"3", b"4"]
