"""Cases of one file seen in several ways: mappings, read and write, holes, and its length, which changes."""

from __future__ import annotations

import pytest

from ..contract import (
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    PROT_READ,
    Facility,
    Process,
    System,
)
from ..testing import clause, fails, faults
from ._helpers import RW, MakeFile, NewPath, lettered_pages, setup, shared_and_private

# ------------------------------------------------------------------------------------------- mappings, read and write


@clause("coherence.write")
@pytest.mark.parametrize(
    ("start", "length"),
    [
        pytest.param((0, 0), (0, 1), id="first-byte"),
        pytest.param((1, 8), (0, 100), id="within-a-page"),
        pytest.param((1, -3), (0, 6), id="across-a-border"),
        pytest.param((0, 5), (2, 0), id="over-a-whole-page"),
        pytest.param((2, -1), (1, 1), id="to-the-end"),
    ],
)
def test_what_is_written_shows_in_a_mapping(
    process: Process, page: int, file: MakeFile, start: tuple[int, int], length: tuple[int, int]
) -> None:
    """At once, and nothing else; in a page that was stored to by the mapping as in one that was not."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"a" * page)
    first, count = start[0] * page + start[1], length[0] * page + length[1]

    assert process.pwrite(fd, b"x" * count, first) == count

    before = b"a" * page + lettered_pages(page, 3)[page:]
    assert process.load(base, 3 * page) == before[:first] + b"x" * count + before[first + count :]


@clause("coherence.offsets")
def test_mappings_of_overlapping_parts(process: Process, page: int, file: MakeFile) -> None:
    """A byte of the file is the same byte in each, wherever it lies there."""
    fd = file(lettered_pages(page, 4))
    low = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    high = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, page)
    last = process.mmap(0, page, RW, MAP_SHARED, fd, 3 * page)

    process.store(low + 2 * page - 2, b"12345")
    process.store(high + page + 3, b"67")
    process.store(last, b"89")

    assert process.load(high + page - 2, 7) == process.load(low + 2 * page - 2, 7) == b"1234567"
    assert process.load(high + 2 * page, 3) == b"89D"
    assert process.load(low, 1) == b"A"


@clause("coherence.opens")
def test_mappings_by_descriptors_opened_apart(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """One for reading only: it shows what is stored by the other."""
    path = new_path()
    fd = file(lettered_pages(page, 2), O_RDWR, path)
    with setup():
        other = process.open(path, O_RDONLY)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    reader = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, other, 0)
    assert process.load(reader, 1) == b"A"

    process.store(base + page - 1, b"xy")

    assert process.load(reader + page - 2, 4) == process.pread(other, 4, page - 2) == b"AxyB"


@clause("coherence.alias")
def test_one_page_of_the_file_in_two_pages_of_a_mapping(process: Process, page: int, file: MakeFile) -> None:
    """The second was replaced by the first once more."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.mmap(base + page, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)

    process.store(base + 4, b"x")
    process.store(base + page + 5, b"y")

    assert process.load(base, 8) == process.load(base + page, 8) == b"AAAAxyAA"
    assert process.load(base + 2 * page, 1) == b"C"
    assert process.pread(fd, 1, page) == b"B"


@clause("coherence.append")
def test_what_is_appended_shows_in_a_mapping(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """In the page that held the end of the file before, and in the next."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base, 4) == b"abc\0"
    with setup():
        end = process.open(path, O_RDWR | O_APPEND)

    process.pwrite(end, b"d", 0)
    process.pwrite(end, b"e" * page, 0)

    assert process.load(base, page + 5) == b"abcd" + b"e" * page + b"\0"


# --------------------------------------------------------------------------------- private pages, until they are copied


@clause("private.follows")
@pytest.mark.parametrize("how", ["pwrite", "shared-mapping"])
def test_an_untouched_private_page_shows_the_file_as_it_is(
    process: Process, page: int, file: MakeFile, how: str
) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)

    if how == "pwrite":
        process.pwrite(fd, b"xy", page - 1)
    else:
        process.store(process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0) + page - 1, b"xy")

    assert process.load(base + page - 2, 4) == b"AxyB"


@clause("private.loaded")
def test_a_private_page_that_was_loaded_from_still_shows_the_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    assert process.load(base, 2) == b"AA"

    process.pwrite(fd, b"x", 0)

    assert process.load(base, 2) == b"xA"


@clause("private.page-wise")
def test_a_store_takes_one_page_away_from_the_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base + page, b"!")

    process.pwrite(fd, b"x" * 3 * page, 0)

    assert process.load(base, 3 * page) == b"x" * page + b"!" + b"B" * (page - 1) + b"x" * page


@clause("private.same-value")
def test_a_store_of_what_is_there_is_a_store(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"A")

    process.pwrite(fd, b"x" * page, 0)

    assert process.load(base, page) == b"A" * page


# ------------------------------------------------------------------------------------------------------- the file's end


@clause("growth.accessible")
@pytest.mark.parametrize("how", ["ftruncate", "pwrite", "another-process"])
@shared_and_private
def test_pages_that_the_file_grows_over(
    process: Process, system: System, page: int, file: MakeFile, new_path: NewPath, kind: int, how: str
) -> None:
    """In a mapping that does not begin where the file does."""
    path = new_path()
    fd = file(lettered_pages(page, 2), O_RDWR, path)
    base = process.mmap(0, 3 * page, RW, kind, fd, page)
    with faults("SIGBUS", at=base + page):
        process.load(base + page, 1)

    if how == "ftruncate":
        process.ftruncate(fd, 3 * page)
    elif how == "pwrite":
        process.pwrite(fd, b"\0", 3 * page - 1)
    else:
        other = system.spawn()
        other.ftruncate(other.open(path, O_RDWR), 3 * page)

    assert process.load(base, 2 * page) == b"B" * page + bytes(page)
    process.store(base + page, b"x")
    with faults("SIGBUS", at=base + 2 * page):
        process.load(base + 2 * page, 1)


@clause("growth.zero")
@shared_and_private
def test_what_was_cut_off_does_not_come_back(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Neither in the page that holds the end nor behind it, for mappings as for read."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, PROT_READ, kind, fd, 0)
    assert process.load(base + page, 1) == b"B"

    process.ftruncate(fd, 8)
    process.ftruncate(fd, 2 * page)

    assert process.load(base, 2 * page) == process.pread(fd, 2 * page, 0) == b"A" * 8 + bytes(2 * page - 8)


@clause("truncation.window")
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_window_loses_the_pages_that_the_file_loses(process: Process, page: int, file: MakeFile, pages: int) -> None:
    """Counted from the file's beginning, not from the mapping's."""
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, page)
    process.store(base, lettered_pages(page, 3))

    process.ftruncate(fd, pages * page)

    for number in range(3):
        if number + 1 < pages:
            assert process.load(base + number * page, page) == b"ABC"[number : number + 1] * page
        else:
            with faults("SIGBUS", at=base + number * page):
                process.load(base + number * page, 1)


@clause("truncation.open")
def test_opened_with_o_trunc_a_mapped_file_loses_its_pages(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    path = new_path()
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"A" * page, O_RDWR, path), 0)
    process.store(base, b"x")

    process.open(path, O_RDWR | O_TRUNC)

    with faults("SIGBUS", at=base):
        process.load(base, 1)


@clause("truncation.private.page")
def test_a_private_copy_goes_with_its_page(process: Process, page: int, file: MakeFile) -> None:
    """Grown again, the file's own page is there."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base + page, b"x" * page)

    process.ftruncate(fd, page)
    process.ftruncate(fd, 2 * page)

    assert process.load(base + page, page) == bytes(page)


@clause("truncation.private.tail")
def test_a_private_copy_keeps_what_lies_behind_the_end(process: Process, page: int, file: MakeFile) -> None:
    """In the page that holds the new end only the file's page becomes zero, not the copy."""
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")

    process.ftruncate(fd, 8)

    assert process.load(base, page) == b"x" + b"A" * (page - 1)


# --------------------------------------------------------------------------------------------------------------- holes


@clause("hole.zero")
@shared_and_private
def test_a_hole_reads_as_zero(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Made by writing behind the end, and by ftruncate."""
    fd = file(b"A")
    process.pwrite(fd, b"D", 3 * page)
    process.ftruncate(fd, 5 * page)

    base = process.mmap(0, 5 * page, PROT_READ, kind, fd, 0)

    assert process.load(base, 5 * page) == b"A" + bytes(3 * page - 1) + b"D" + bytes(2 * page - 1)


@clause("hole.store")
def test_a_store_in_a_hole_is_in_the_file(process: Process, page: int, file: MakeFile) -> None:
    """Only there; the file is as long as before."""
    fd = file()
    process.ftruncate(fd, 4 * page)
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    assert process.load(base + 2 * page, 1) == b"\0"

    process.store(base + page + 5, b"x")
    process.store(base + 2 * page, b"y")

    expected = bytes(page + 5) + b"x" + bytes(page - 6) + b"y" + bytes(2 * page - 1)
    assert process.pread(fd, 5 * page, 0) == expected
    assert process.load(base, 4 * page) == expected


@clause("hole.storage")
def test_a_store_in_a_hole_takes_room(process: Process, system: System, page: int, new_path: NewPath) -> None:
    """Which a new hole gives back."""
    folder = system.facility(Facility.OWN_FILE_SYSTEM)
    with setup():
        fd = process.open(f"{folder}/{new_path()}", O_RDWR | O_CREAT | O_EXCL)
        process.ftruncate(fd, 64 * page)
    base = process.mmap(0, 64 * page, RW, MAP_SHARED, fd, 0)
    free = process.free_space(folder)

    process.store(base + 5 * page, b"x")
    process.store(base + 50 * page, b"x")
    less = process.free_space(folder)
    assert less <= free - 2 * page

    process.madvise(base, 64 * page, MADV_REMOVE)
    assert process.free_space(folder) >= less + 2 * page


@clause("hole.full")
def test_a_store_in_a_hole_without_room(process: Process, system: System, page: int, new_path: NewPath) -> None:
    """What has room already can be stored to; once there is room, so can the hole."""
    folder = system.facility(Facility.OWN_FILE_SYSTEM)
    filler = f"{folder}/{new_path()}"
    with setup():
        fd = process.open(f"{folder}/{new_path()}", O_RDWR | O_CREAT | O_EXCL)
        process.ftruncate(fd, 2 * page)
        fills = process.open(filler, O_RDWR | O_CREAT | O_EXCL)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x")
    room = process.free_space(folder)
    zeros = process.mmap(0, room + page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    with setup():
        assert process.write_from(fills, zeros, room + page, 0) <= room

    with faults("SIGBUS", at=base + page, code="BUS_ADRERR"):
        process.store(base + page, b"y")
    process.store(base + 1, b"z")

    with setup():
        process.ftruncate(fills, 0)
    process.store(base + page, b"y")
    assert process.pread(fd, 2, 0) + process.pread(fd, 1, page) == b"xzy"


@clause("hole.full", "file.errno")
def test_a_write_without_room(process: Process, system: System, page: int, new_path: NewPath) -> None:
    """What has no room at all is refused, whether it is written from memory that is mapped or not."""
    folder = system.facility(Facility.OWN_FILE_SYSTEM)
    with setup():
        fills = process.open(f"{folder}/{new_path()}", O_RDWR | O_CREAT | O_EXCL)
    room = process.free_space(folder)
    zeros = process.mmap(0, room + page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)

    written = 0
    with fails("ENOSPC"):
        for _ in range(64):
            written += process.write_from(fills, zeros, room + page, written)
    with fails("ENOSPC"):
        process.pwrite(fills, b"x" * page, -(-written // page) * page)

    assert process.fstat(fills).size == written


# ---------------------------------------------------------------------------------------------------------- descriptors


@clause("mmap.refcount.no-descriptor")
def test_mappings_use_no_descriptors(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """The lowest free number is the same before and after, whatever is mapped by then."""
    path = new_path()
    fd = file(b"A" * page, O_RDWR, path)
    free = process.dup(fd)
    process.close(free)

    kept = [process.mmap(0, page, PROT_READ, kind, fd, 0) for kind in (MAP_SHARED, MAP_PRIVATE)]
    kept.append(process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
    for _ in range(3):
        process.munmap(process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0), page)

    assert process.dup(fd) == free
    assert [process.load(base, 1) for base in kept] == [b"A", b"A", b"\0"]
