"""Cases of the overview of memory-mapped I/O: purpose and pitfalls of a mapping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    O_RDWR,
    PROT_READ,
    SEEK_CUR,
    SEEK_SET,
    Call,
    Process,
    System,
)
from ..testing import clause, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    Record,
    assert_inaccessible,
    reserve,
)

ADDITIONS = 5000
"""Number of additions that each process makes: enough for some of them to overlap in time."""

TYPES = [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")]


# ----------------------------------------------------------------------------------------------------------- one to one


@clause("overview.one-to-one")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("offset", [0, 1, 3], ids=["start", "second-page", "fourth-page"])
@pytest.mark.parametrize("content", ["every-byte", "text", "zeros-and-ones"])
def test_each_address_is_one_byte_of_file(
    process: Process, file: MakeFile, page: int, content: str, offset: int, type: int
) -> None:
    piece = {"every-byte": bytes(range(256)) + b"?", "text": b"Hello World!\n", "zeros-and-ones": b"\0\xff\0"}[content]
    fd = file((piece * (6 * page // len(piece) + 1))[: 6 * page])

    base = process.mmap(0, 2 * page, PROT_READ, type, fd, offset * page)

    assert process.load(base, 2 * page) == process.pread(fd, 2 * page, offset * page)
    for index in (0, 1, page - 1, page, 2 * page - 1):
        assert process.load(base + index, 1) == process.pread(fd, 1, offset * page + index)


@clause("overview.one-to-one")
@needs("coherent")
def test_store_changes_one_byte_of_file(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"." * (2 * page))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    expected = bytearray(b"." * (2 * page))

    for index in (0, 7, page - 1, page, 2 * page - 1):
        process.store(base + index, b"!")
        expected[index] = ord("!")

    assert process.load(base, 2 * page) == expected
    assert process.pread(fd, 2 * page, 0) == expected


# ----------------------------------------------------------------------------------------------- no read or write calls


def count_calls(process: Process, action: Callable[[], object]) -> tuple[int, int]:
    """Return how many read and write calls the process makes during `action` and during one query of its counters.

    A program that runs the process may now and then make such calls of its own: the least of five counts is returned.
    """
    reads, writes = [], []
    for _ in range(5):
        before = process.counters()
        action()
        after = process.counters()
        reads.append(after.reads - before.reads)
        writes.append(after.writes - before.writes)
    return min(reads), min(writes)


@clause("overview.no-read-write")
@pytest.mark.parametrize("access", ["load", "store"])
def test_many_accesses_need_no_more_read_and_write_calls_than_one(
    process: Process, file: MakeFile, page: int, access: str
) -> None:
    """Sending the request to the process may itself need such calls, so the count for one byte is the reference."""
    base = process.mmap(0, page, RW, MAP_SHARED, file(bytes(page)), 0)

    def access_bytes(count: int) -> Callable[[], object]:
        if access == "load":
            return lambda: process.load(base, count)
        return lambda: process.store(base, b"x" * count)

    one = count_calls(process, access_bytes(1))

    assert count_calls(process, access_bytes(512)) == one


@clause("overview.no-read-write")
def test_many_additions_need_no_more_read_and_write_calls_than_one(process: Process, file: MakeFile, page: int) -> None:
    """Each addition is a load and a store; the reply has the same length for one addition and for a hundred."""
    base = process.mmap(0, page, RW, MAP_SHARED, file(bytes(page)), 0)

    one = count_calls(process, lambda: process.add(base, 1))

    assert count_calls(process, lambda: process.add(base, 100)) == one


# -------------------------------------------------------------------------------------------------- shared by processes


@clause("overview.shared-by-processes")
@needs("coherent")
@pytest.mark.parametrize("related", ["forked-after", "forked-before", "unrelated"])
def test_store_in_one_process_is_loaded_in_other(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, related: str
) -> None:
    path = new_path()
    fd = file(b"." * (2 * page), path=path)
    if related == "forked-after":
        base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
        other, other_base = process.fork(), base
    else:
        other = process.fork() if related == "forked-before" else system.spawn()
        base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
        other_base = other.mmap(0, 2 * page, RW, MAP_SHARED, other.open(path, O_RDWR), 0)

    process.store(base, b"one")
    assert other.load(other_base, 4) == b"one."

    other.store(other_base + page, b"other")
    assert process.load(base + page, 6) == b"other."


@clause("overview.shared-by-processes")
@needs("coherent")
def test_three_processes_share_one_file(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int
) -> None:
    """One mapping is read-only and one starts at the file's second page."""
    path = new_path()
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(b"." * (2 * page), path=path), 0)
    reader, tail = system.spawn(), system.spawn()
    reader_base = reader.mmap(0, 2 * page, PROT_READ, MAP_SHARED, reader.open(path, O_RDONLY), 0)
    tail_base = tail.mmap(0, page, RW, MAP_SHARED, tail.open(path, O_RDWR), page)

    process.store(base, b"one")
    tail.store(tail_base, b"tail")

    assert reader.load(reader_base, 4) == b"one."
    assert reader.load(reader_base + page, 5) == b"tail."
    assert process.load(base + page, 5) == b"tail."


# --------------------------------------------------------------------------------------------------- pointer navigation


@clause("overview.pointer-navigation")
@pytest.mark.parametrize("position", [0, 5], ids=["at-start", "moved"])
def test_file_offset_is_neither_used_nor_moved(process: Process, file: MakeFile, page: int, position: int) -> None:
    content = bytes(number % 251 for number in range(2 * page))
    fd = file(content)
    process.lseek(fd, position, SEEK_SET)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)

    for index in (2 * page - 1, 0, page, 1, page - 1, 17):
        assert process.load(base + index, 1) == content[index : index + 1]
        process.store(base + index, b"!")

    assert process.lseek(fd, 0, SEEK_CUR) == position


# ----------------------------------------------------------------------------------------------------- critical section


Sharers = list[tuple[Process, int]]
"""Processes that map the first page of one file, each with the address of its mapping."""


def map_in_three_processes(
    process: Process, system: System, file: MakeFile, path: str, page: int, related: str
) -> Sharers:
    """Return three processes that share one page of zeros, with the address of the page in each."""
    base = process.mmap(0, page, RW, MAP_SHARED, file(bytes(page), path=path), 0)
    if related == "forked":
        return [(process, base), (process.fork(), base), (process.fork(), base)]
    others = [system.spawn(), system.spawn()]
    return [
        (process, base),
        *((other, other.mmap(0, page, RW, MAP_SHARED, other.open(path, O_RDWR), 0)) for other in others),
    ]


def add_concurrently(system: System, sharers: Sharers, *, locked: bool) -> int:
    """Make all processes add to the page's first word at the same time and return the sum; the second word is the lock.

    The byte order is the machine's; a third word, to which 1 is added, shows it.
    """
    system.run_concurrently([Call(one, "add", (base, ADDITIONS, base + 4 if locked else 0)) for one, base in sharers])
    process, base = sharers[0]
    process.add(base + 8, 1)
    order: Literal["little", "big"] = "little" if process.load(base + 8, 4) == b"\1\0\0\0" else "big"
    return int.from_bytes(process.load(base, 4), order)


@clause("overview.critical-section")
@pytest.mark.parametrize("related", ["forked", "unrelated"])
def test_no_addition_under_lock_is_lost(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, related: str
) -> None:
    adders = map_in_three_processes(process, system, file, new_path(), page, related)

    assert add_concurrently(system, adders, locked=True) == len(adders) * ADDITIONS


@clause("overview.critical-section")
def test_additions_without_lock_may_be_lost(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, record: Record
) -> None:
    """The sum may be too small but must not exceed the number of additions; the loss is recorded."""
    adders = map_in_three_processes(process, system, file, new_path(), page, "unrelated")

    word = add_concurrently(system, adders, locked=False)

    assert word <= len(adders) * ADDITIONS
    record("additions lost without a lock", len(adders) * ADDITIONS - word)


@clause("overview.page-multiple")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("length", ["1", "8", "page-1", "page", "page+1"])
def test_last_page_is_complete_and_next_page_unchanged(
    process: Process, file: MakeFile, page: int, length: str, type: int
) -> None:
    """The mapping is placed in inaccessible memory, so the next page must still be inaccessible."""
    size = {"1": 1, "8": 8, "page-1": page - 1, "page": page, "page+1": page + 1}[length]
    pages = 2 if size > page else 1
    base = reserve(process, 3)

    process.mmap(base, size, RW, type | MAP_FIXED, file(b"x" * size), 0)

    last = base + pages * page - 1
    process.load(last, 1)
    process.store(last, b"!")
    assert_inaccessible(process, base + pages * page)


@clause("overview.page-multiple")
def test_anonymous_memory_is_a_whole_page(process: Process, page: int) -> None:
    base = reserve(process, 2)

    process.mmap(base, 8, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    process.store(base + page - 1, b"!")
    assert process.load(base, page) == bytes(page - 1) + b"!"
    assert_inaccessible(process, base + page)


# ---------------------------------------------------------------------------------------------------------------- slack


@clause("overview.slack")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("size", ["8", "page+8", "page-1"])
def test_slack_reads_as_zero(process: Process, file: MakeFile, page: int, size: str, type: int) -> None:
    """An 8-byte file in a page of 4,096 bytes leaves 4,088 bytes of slack."""
    length = {"8": 8, "page+8": page + 8, "page-1": page - 1}[size]
    pages = -(-length // page)

    base = process.mmap(0, length, PROT_READ, type, file(b"x" * length), 0)

    assert process.load(base, pages * page) == b"x" * length + bytes(pages * page - length)


@clause("overview.slack")
@pytest.mark.parametrize("type", TYPES)
def test_store_into_slack_does_not_reach_file(process: Process, file: MakeFile, page: int, type: int) -> None:
    """The content of the slack afterwards is unspecified; the file keeps its size and content."""
    fd = file(b"8 bytes!")
    base = process.mmap(0, 8, RW, type, fd, 0)

    process.store(base + 8, b"x" * (page - 8))

    assert process.fstat(fd).size == 8
    assert process.pread(fd, page, 0) == b"8 bytes!"
    assert process.load(base, 8) == b"8 bytes!"


@clause("overview.slack")
def test_store_across_end_of_file_keeps_its_size(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"8 bytes!")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    process.store(base + 6, b"--slack")
    process.munmap(base, page)

    assert process.fstat(fd).size == 8
    assert process.pread(fd, page, 0) == b"8 byte--"
