"""Cases of calls that are handed memory: what the kernel stores and loads for a process, as its processor would.

`read_into` is pread with the process's own memory as its buffer, `write_from` is pwrite.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..contract import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_NONE, PROT_READ, Facility, Process, System
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, MakeFile, assert_nothing_mapped, lettered_pages, reserve

# ------------------------------------------------------------------------------------------- memory that will not do


def behind_a_border(process: Process, page: int, file: MakeFile, what: str) -> int:
    """The address of a page that can be used, followed by one that cannot, for this reason.

    What can be used is an "A" in each byte.
    """
    base = reserve(process, 3)
    if what == "past-the-end":
        process.mmap(base, 2 * page, RW, MAP_SHARED | MAP_FIXED, file(bytes(page)), 0)
    else:
        process.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"A" * page)
    if what == "not-mapped":
        process.munmap(base + page, page)
    elif what == "read-only":
        process.mprotect(base + page, page, PROT_READ)
    elif what == "inaccessible":
        process.mprotect(base + page, page, PROT_NONE)
    return base


CANNOT_BE_STORED_TO = pytest.mark.parametrize("what", ["not-mapped", "read-only", "inaccessible", "past-the-end"])
CANNOT_BE_LOADED_FROM = pytest.mark.parametrize("what", ["not-mapped", "inaccessible", "past-the-end"])


@clause("buffer.store")
@CANNOT_BE_STORED_TO
def test_read_to_where_nothing_can_be_stored(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = behind_a_border(process, page, file, what)
    fd = file(b"0123456789")

    with fails("EFAULT"):
        process.read_into(fd, base + page, 10, 0)

    assert process.load(base, page) == b"A" * page


@clause("buffer.store")
def test_read_of_a_device_to_where_nothing_can_be_stored(
    process: Process, system: System, page: int, file: MakeFile
) -> None:
    base = behind_a_border(process, page, file, "not-mapped")
    zero = process.open(system.facility(Facility.DEV_ZERO), O_RDWR)

    with fails("EFAULT"):
        process.read_into(zero, base + page, 10, 0)

    assert_nothing_mapped(process, base + page)


@clause("buffer.store.part")
@CANNOT_BE_STORED_TO
def test_read_up_to_where_nothing_can_be_stored(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = behind_a_border(process, page, file, what)
    fd = file(b"0123456789")

    assert process.read_into(fd, base + page - 4, 10, 0) == 4

    assert process.load(base + page - 6, 6) == b"AA0123"


@clause("buffer.load")
@CANNOT_BE_LOADED_FROM
def test_write_from_where_nothing_can_be_loaded(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = behind_a_border(process, page, file, what)
    fd = file(b"0123")

    with fails("EFAULT"):
        process.write_from(fd, base + page, 10, 2)

    assert process.pread(fd, 20, 0) == b"0123"
    assert process.fstat(fd).size == 4


@clause("buffer.load.part")
@CANNOT_BE_LOADED_FROM
def test_write_up_to_where_nothing_can_be_loaded(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = behind_a_border(process, page, file, what)
    fd = file(b"0123")

    assert process.write_from(fd, base + page - 4, 10, 2) == 4

    assert process.pread(fd, 20, 0) == b"01AAAA"


@clause("buffer.nothing-to-move")
@pytest.mark.parametrize("call", ["read-nothing", "read-at-the-end", "write-nothing"])
def test_memory_is_not_looked_at_where_nothing_is_moved(process: Process, page: int, file: MakeFile, call: str) -> None:
    base = behind_a_border(process, page, file, "not-mapped") + page
    fd = file(b"0123")
    calls: dict[str, Callable[[], int]] = {
        "read-nothing": lambda: process.read_into(fd, base, 0, 0),
        "read-at-the-end": lambda: process.read_into(fd, base, 10, 4),
        "write-nothing": lambda: process.write_from(fd, base, 0, 0),
    }

    assert calls[call]() == 0


# ----------------------------------------------------------------------------------------------------- where it shows


@clause("buffer.private")
def test_read_into_a_private_mapping(process: Process, page: int, file: MakeFile) -> None:
    """The page is copied as by a store: neither the file nor another mapping has it, and the file shows no more."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    other = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)

    assert process.read_into(file(b"0123456789"), base + 4, 10, 0) == 10
    process.pwrite(fd, b"x" * page, 0)

    assert process.load(base, page) == b"A" * 4 + b"0123456789" + b"A" * (page - 14)
    assert process.load(other, page) == process.pread(fd, page, 0) == b"x" * page


@clause("buffer.private")
@pytest.mark.parametrize("who", ["parent", "child"])
def test_read_into_memory_held_with_another(process: Process, page: int, file: MakeFile, who: str) -> None:
    fd = file(b"0123456789")
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"A" * page)
    child = process.fork()
    one, other = (process, child) if who == "parent" else (child, process)

    assert one.read_into(fd, base, 10, 0) == 10

    assert one.load(base, 11) == b"0123456789A"
    assert other.load(base, 11) == b"A" * 11


@clause("buffer.shared")
def test_read_into_a_shared_mapping(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page)
    child = process.fork()

    assert process.read_into(file(b"0123456789"), base + page - 5, 10, 0) == 10

    assert process.pread(fd, 14, page - 7) == b"AA0123456789BB"
    assert process.load(other, 7) == child.load(base + page, 7) == b"56789BB"


@clause("buffer.own-file")
def test_read_into_a_mapping_of_the_same_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)

    assert process.read_into(fd, base + 2 * page, 2 * page, 0) == 2 * page

    assert process.load(base, 4 * page) == process.pread(fd, 4 * page, 0) == lettered_pages(page, 2) * 2


@clause("buffer.own-file")
def test_write_from_a_mapping_of_the_same_file(process: Process, page: int, file: MakeFile) -> None:
    """Over what there is, and behind it: the file grows by what is mapped of it."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x" * page)

    assert process.write_from(fd, base, page, page + 8) == page

    expected = b"x" * page + b"B" * 8 + b"x" * page
    assert process.pread(fd, 4 * page, 0) == expected
    assert process.load(base, 3 * page) == expected + bytes(page - 8)
