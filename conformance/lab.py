"""Cases in the words of a course's mmap lab: mappings of files, written back by munmap, msync or exit.

They ask for what such a lab promises and no more: a store is looked for in the file after munmap or exit, the whole
file is compared, and nothing but a file is mapped.  Each case says what has gone wrong where it fails.
"""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_READ,
    PROT_WRITE,
    Process,
    System,
)
from ..testing import clause, fails, faults
from ._helpers import RW, MakeFile, NewPath, assert_inaccessible, setup, shared_and_private

ROUNDS = 100
"""More mappings in a row than a small kernel has room for if it loses one of them."""


def file_content(page: int, length: int) -> bytes:
    """Return content in which no two places within a page, and no two pages, are alike."""
    words = b"".join(number.to_bytes(4, "big") for number in range(length // 4 + 1))
    return words[:length]


def read_file(process: Process, path: str, length: int) -> bytes:
    """Return the content of a file, up to `length` bytes, by a descriptor of its own."""
    with setup():
        fd = process.open(path, O_RDONLY)
        try:
            return process.pread(fd, length, 0)
        finally:
            process.close(fd)


@clause("mmap.range")
@shared_and_private
def test_a_mapping_shows_the_file(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """If it fails, a page is filled from the wrong place in the file: the offset of the page, or of the mapping."""
    content = file_content(page, 3 * page)
    fd = file(content)
    whole = process.mmap(0, 3 * page, PROT_READ, kind, fd, 0)
    tail = process.mmap(0, page, PROT_READ, kind, fd, 2 * page)

    assert process.load(whole + 2 * page, page) == content[2 * page :]
    assert process.load(whole, 2 * page) == content[: 2 * page]
    assert process.load(tail, page) == content[2 * page :]


@clause("paging.fault-loads")
@shared_and_private
def test_a_store_may_be_the_first_access(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """If it fails, the handler of page faults serves loads only, or gives a store a page without the file's content."""
    content = file_content(page, 2 * page)
    base = process.mmap(0, 2 * page, RW, kind, file(content), 0)

    process.store(base + page, b"!")

    assert process.load(base + page, page) == b"!" + content[page + 1 :]


@clause("mmap.flag.shared")
@pytest.mark.parametrize("end", ["munmap", "exit"])
def test_shared_stores_are_written_back(
    process: Process, system: System, page: int, file: MakeFile, new_path: NewPath, end: str
) -> None:
    """If it fails, munmap or exit drops pages that were stored to, or writes them to the wrong place in the file."""
    path = new_path()
    expected = bytearray(file_content(page, 3 * page))
    writer = system.spawn() if end == "exit" else process
    fd = file(bytes(expected), O_RDWR, path)
    if end == "exit":
        with setup():
            fd = writer.open(path, O_RDWR)
    base = writer.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    for at in (0, page // 2, page - 1, 2 * page + 7):
        writer.store(base + at, b"!")
        expected[at] = ord("!")

    if end == "munmap":
        writer.munmap(base, 3 * page)
    else:
        assert writer.exit() == 0

    assert read_file(process, path, 4 * page) == expected


@clause("overview.slack")
@pytest.mark.parametrize("offset", [0, 1], ids=["whole", "second-page"])
def test_write_back_keeps_the_size_of_the_file(
    process: Process, page: int, file: MakeFile, new_path: NewPath, offset: int
) -> None:
    """If it fails, munmap writes whole pages although the file ends within the last one."""
    path = new_path()
    content = file_content(page, page + page // 2)
    fd = file(content, O_RDWR, path)
    base = process.mmap(0, 2 * page - offset * page, RW, MAP_SHARED, fd, offset * page)
    last = base + page - offset * page
    process.store(last, b"!")
    process.store(last + page - 1, b"?")

    process.munmap(base, 2 * page - offset * page)

    assert process.fstat(fd).size == len(content)
    assert read_file(process, path, 4 * page) == content[:page] + b"!" + content[page + 1 :]


@clause("mmap.flag.private")
@pytest.mark.parametrize("mode", [O_RDWR, O_RDONLY], ids=["rdwr", "rdonly"])
def test_private_stores_stay_private(process: Process, page: int, file: MakeFile, new_path: NewPath, mode: int) -> None:
    """If it fails, munmap does not look at MAP_PRIVATE, or mmap demands a writable descriptor for a private mapping."""
    path = new_path()
    content = file_content(page, 2 * page)
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, file(content, mode, path), 0)
    process.store(base + page - 1, b"xy")
    assert process.load(base + page - 2, 4) == content[page - 2 : page - 1] + b"xy" + content[page + 1 : page + 2]

    process.munmap(base, 2 * page)

    assert read_file(process, path, 3 * page) == content


@clause("munmap.range")
@pytest.mark.parametrize(("first", "count"), [pytest.param(0, 1, id="start"), pytest.param(2, 1, id="end")])
def test_a_part_of_a_mapping_is_unmapped(
    process: Process, page: int, file: MakeFile, new_path: NewPath, first: int, count: int
) -> None:
    """If it fails, munmap of a part removes too much or too little, or shifts the rest within the file."""
    path = new_path()
    expected = bytearray(file_content(page, 3 * page))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(bytes(expected), O_RDWR, path), 0)
    for number in range(3):
        process.store(base + number * page + 5, b"!")
        expected[number * page + 5] = ord("!")

    process.munmap(base + first * page, count * page)

    for number in range(3):
        if first <= number < first + count:
            assert_inaccessible(process, base + number * page)
        else:
            assert process.load(base + number * page, page) == expected[number * page : (number + 1) * page]
    rest = [number for number in range(3) if not first <= number < first + count]
    process.munmap(base + rest[0] * page, len(rest) * page)
    assert read_file(process, path, 4 * page) == expected


@clause("munmap.range")
def test_mapping_a_hundred_times_loses_nothing(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """If it fails, munmap keeps a mapping, a page or a reference, or the file grows by a page each time."""
    path = new_path()
    content = file_content(page, page + 10)
    fd = file(content, O_RDWR, path)

    for _ in range(ROUNDS):
        base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
        process.store(base + page, b"!")
        process.munmap(base, 2 * page)

    assert process.fstat(fd).size == len(content)
    assert read_file(process, path, 4 * page) == content[:page] + b"!" + content[page + 1 :]


@clause("mmap.addr.null")
@pytest.mark.parametrize("size", ["1", "page", "page+1"])
def test_mappings_lie_apart(process: Process, page: int, file: MakeFile, size: str) -> None:
    """If it fails, mmap places a mapping by the length that was asked for, which is not a whole number of pages."""
    length = {"1": 1, "page": page, "page+1": page + 1}[size]
    pages = -(-length // page)
    bases = [process.mmap(0, length, RW, MAP_SHARED, file(bytes([65 + number]) * length), 0) for number in range(3)]

    assert [base % page for base in bases] == [0, 0, 0]
    assert all(one + pages * page <= other for one, other in zip(sorted(bases), sorted(bases)[1:], strict=False))
    for number, base in enumerate(bases):
        process.store(base, b"!")
        assert process.load(base, length) == b"!" + bytes([65 + number]) * (length - 1)


@clause("mmap.refcount.close")
@pytest.mark.parametrize("unlinked", [False, True], ids=["closed", "unlinked"])
def test_a_mapping_outlives_its_descriptor(
    process: Process, page: int, file: MakeFile, new_path: NewPath, unlinked: bool
) -> None:
    """If it fails, mmap has not taken a reference to the file, so close frees the file under the mapping."""
    path = new_path()
    content = file_content(page, 2 * page)
    fd = file(content, O_RDWR, path)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
        if unlinked:
            process.unlink(path)
    file(b"other content")

    assert process.load(base, 2 * page) == content
    process.store(base + 3, b"!")
    process.munmap(base, 2 * page)
    if not unlinked:
        assert read_file(process, path, 3 * page) == content[:3] + b"!" + content[4:]


@clause("mmap.errno.EACCES")
@pytest.mark.parametrize(
    ("mode", "prot"),
    [pytest.param(O_RDONLY, RW, id="store-to-rdonly"), pytest.param(O_WRONLY, PROT_WRITE, id="wronly")],
)
def test_the_mode_of_the_descriptor_is_kept(process: Process, page: int, file: MakeFile, mode: int, prot: int) -> None:
    """If it fails, a program that may not write a file can do so through a mapping, or read what it may not read."""
    fd = file(file_content(page, page), mode)

    with fails("EACCES"):
        process.mmap(0, page, prot, MAP_SHARED, fd, 0)


@clause("mmap.errno.EBADF")
@pytest.mark.parametrize("fd", ["closed", "large", "negative"])
def test_a_bad_descriptor_is_refused(process: Process, page: int, file: MakeFile, fd: str) -> None:
    """If it fails, mmap indexes the table of open files with a number that it has not checked."""
    number = {"closed": file(b"abc"), "large": 10**6, "negative": -1}[fd]
    if fd == "closed":
        with setup():
            process.close(number)

    with fails("EBADF"):
        process.mmap(0, page, PROT_READ, MAP_SHARED, number, 0)


@clause("mmap.prot.none")
@pytest.mark.parametrize("access", ["load", "store"])
def test_an_access_without_the_right_ends_no_more_than_the_process(
    process: Process, system: System, page: int, file: MakeFile, access: str
) -> None:
    """If it fails, the handler of page faults does not look at the protection, or takes the whole system down."""
    base = process.mmap(0, page, 0, MAP_SHARED, file(file_content(page, page)), 0)

    if access == "load":
        assert_inaccessible(process, base)
    else:
        with faults("SIGSEGV"):
            process.store(base, b"x")
    with setup():
        system.spawn()


@clause("overview.shared-by-processes")
def test_a_child_of_fork_has_the_mapping(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """If it fails, fork does not copy the mappings, or the end of the child removes the mapping of its parent."""
    path = new_path()
    content = file_content(page, 2 * page)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(content, O_RDWR, path), 0)
    process.load(base, 1)
    with setup():
        child = process.fork()

    assert child.load(base, 2 * page) == content
    assert child.exit() == 0
    assert process.load(base, 2 * page) == content
    process.store(base + page, b"!")
    process.munmap(base, 2 * page)
    assert read_file(process, path, 3 * page) == content[:page] + b"!" + content[page + 1 :]
