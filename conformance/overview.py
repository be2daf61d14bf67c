"""Cases of the overview: what a mapping is for, and what to mind when using one."""

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
from ..testing import clause
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, Record, assert_inaccessible, reserve

TIMES = 5000
"""Additions that each process makes: enough for some of them to meet."""

TYPES = [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")]


# --------------------------------------------------------------------------------------------------------- one to one


@clause("overview.one-to-one")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("offset", [0, 1, 3], ids=["start", "second-page", "fourth-page"])
@pytest.mark.parametrize("content", ["every-byte", "text", "zeros-and-ones"])
def test_each_address_is_one_byte_of_the_file(
    process: Process, file: MakeFile, page: int, content: str, offset: int, type: int
) -> None:
    piece = {"every-byte": bytes(range(256)) + b"?", "text": b"Hello World!\n", "zeros-and-ones": b"\0\xff\0"}[content]
    fd = file((piece * (6 * page // len(piece) + 1))[: 6 * page])

    base = process.mmap(0, 2 * page, PROT_READ, type, fd, offset * page)

    assert process.load(base, 2 * page) == process.pread(fd, 2 * page, offset * page)
    for place in (0, 1, page - 1, page, 2 * page - 1):
        assert process.load(base + place, 1) == process.pread(fd, 1, offset * page + place)


@clause("overview.one-to-one")
def test_storing_to_one_element_changes_that_one(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"." * (2 * page))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    expected = bytearray(b"." * (2 * page))

    for index in (0, 7, page - 1, page, 2 * page - 1):
        process.store(base + index, b"!")
        expected[index] = ord("!")

    assert process.load(base, 2 * page) == expected
    assert process.pread(fd, 2 * page, 0) == expected


# ----------------------------------------------------------------------------------------------- no read and no write


def calls_made(process: Process, action: Callable[[], object]) -> tuple[int, int]:
    """How many reads and writes the process made for `action`, and for asking."""
    before = process.counters()
    action()
    after = process.counters()
    return after.reads - before.reads, after.writes - before.writes


@clause("overview.no-read-write")
@pytest.mark.parametrize("access", ["load", "store"])
def test_many_accesses_cost_no_more_reads_and_writes_than_one(
    process: Process, file: MakeFile, page: int, access: str
) -> None:
    """The command that asks for the accesses may itself cost such calls: that of one byte is taken off."""
    base = process.mmap(0, page, RW, MAP_SHARED, file(bytes(page)), 0)

    def touch(count: int) -> Callable[[], object]:
        if access == "load":
            return lambda: process.load(base, count)
        return lambda: process.store(base, b"x" * count)

    one = calls_made(process, touch(1))

    assert calls_made(process, touch(512)) == one


@clause("overview.no-read-write")
def test_many_additions_cost_no_more_reads_and_writes_than_one(process: Process, file: MakeFile, page: int) -> None:
    """Each addition is a load and a store, and the answer is as long for a hundred as for one."""
    base = process.mmap(0, page, RW, MAP_SHARED, file(bytes(page)), 0)

    one = calls_made(process, lambda: process.add(base, 1))

    assert calls_made(process, lambda: process.add(base, 100)) == one


# ------------------------------------------------------------------------------------------------ shared by processes


@clause("overview.shared-by-processes")
@pytest.mark.parametrize("related", ["forked-after", "forked-before", "unrelated"])
def test_a_store_in_one_is_a_load_in_the_other(
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
def test_three_processes_share_one_file(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int
) -> None:
    """Whether they read only or write, and wherever in the file their mapping starts."""
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


# ------------------------------------------------------------------------------------------------- pointer navigation


@clause("overview.pointer-navigation")
@pytest.mark.parametrize("position", [0, 5], ids=["at-start", "moved"])
def test_the_file_offset_is_neither_used_nor_moved(process: Process, file: MakeFile, page: int, position: int) -> None:
    content = bytes(number % 251 for number in range(2 * page))
    fd = file(content)
    process.lseek(fd, position, SEEK_SET)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)

    for place in (2 * page - 1, 0, page, 1, page - 1, 17):
        assert process.load(base + place, 1) == content[place : place + 1]
        process.store(base + place, b"!")

    assert process.lseek(fd, 0, SEEK_CUR) == position


# --------------------------------------------------------------------------------------------------- critical section


Sharers = list[tuple[Process, int]]
"""Processes, each with the address at which it has mapped the first page of one file."""


def sharers(process: Process, system: System, file: MakeFile, path: str, page: int, related: str) -> Sharers:
    """Three processes that share a page of zeros."""
    base = process.mmap(0, page, RW, MAP_SHARED, file(bytes(page), path=path), 0)
    if related == "forked":
        return [(process, base), (process.fork(), base), (process.fork(), base)]
    others = [system.spawn(), system.spawn()]
    return [
        (process, base),
        *((other, other.mmap(0, page, RW, MAP_SHARED, other.open(path, O_RDWR), 0)) for other in others),
    ]


def add_at_once(system: System, sharers: Sharers, *, locked: bool) -> int:
    """All add to the first word at the same time; the lock is the second.  Returns the first word.

    Its byte order is the machine's, which another word shows that 1 has been added to.
    """
    system.run_concurrently([Call(one, "add", (base, TIMES, base + 4 if locked else 0)) for one, base in sharers])
    process, base = sharers[0]
    process.add(base + 8, 1)
    order: Literal["little", "big"] = "little" if process.load(base + 8, 4) == b"\1\0\0\0" else "big"
    return int.from_bytes(process.load(base, 4), order)


@clause("overview.critical-section")
@pytest.mark.parametrize("related", ["forked", "unrelated"])
def test_additions_under_a_lock_are_all_kept(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, related: str
) -> None:
    adders = sharers(process, system, file, new_path(), page, related)

    assert add_at_once(system, adders, locked=True) == len(adders) * TIMES


@clause("overview.critical-section")
def test_additions_without_a_lock_may_be_lost(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, record: Record
) -> None:
    """Nor does any have to be: only that there are no more than were made is judged."""
    adders = sharers(process, system, file, new_path(), page, "unrelated")

    word = add_at_once(system, adders, locked=False)

    assert word <= len(adders) * TIMES
    record("additions lost without a lock", len(adders) * TIMES - word)


@clause("overview.page-multiple")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("length", ["1", "8", "page-1", "page", "page+1"])
def test_the_last_page_is_whole_and_the_next_is_not_touched(
    process: Process, file: MakeFile, page: int, length: str, type: int
) -> None:
    """Inside a reservation without rights, where the next page is known: its first byte is still refused."""
    size = {"1": 1, "8": 8, "page-1": page - 1, "page": page, "page+1": page + 1}[length]
    pages = 2 if size > page else 1
    base = reserve(process, 3)

    process.mmap(base, size, RW, type | MAP_FIXED, file(b"x" * size), 0)

    last = base + pages * page - 1
    process.load(last, 1)
    process.store(last, b"!")
    assert_inaccessible(process, base + pages * page)


@clause("overview.page-multiple")
def test_anonymous_memory_too(process: Process, page: int) -> None:
    base = reserve(process, 2)

    process.mmap(base, 8, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    process.store(base + page - 1, b"!")
    assert process.load(base, page) == bytes(page - 1) + b"!"
    assert_inaccessible(process, base + page)


# -------------------------------------------------------------------------------------------------------------- slack


@clause("overview.slack")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("size", ["8", "page+8", "page-1"])
def test_slack_reads_as_zero(process: Process, file: MakeFile, page: int, size: str, type: int) -> None:
    """An 8-byte file on a 4,096-byte page wastes 4,088 bytes."""
    length = {"8": 8, "page+8": page + 8, "page-1": page - 1}[size]
    pages = -(-length // page)

    base = process.mmap(0, length, PROT_READ, type, file(b"x" * length), 0)

    assert process.load(base, pages * page) == b"x" * length + bytes(pages * page - length)


@clause("overview.slack")
@pytest.mark.parametrize("type", TYPES)
def test_a_store_into_slack_does_not_reach_the_file(process: Process, file: MakeFile, page: int, type: int) -> None:
    """What slack holds afterwards nobody says; the file stays as long and as it was."""
    fd = file(b"8 bytes!")
    base = process.mmap(0, 8, RW, type, fd, 0)

    process.store(base + 8, b"x" * (page - 8))

    assert process.fstat(fd).size == 8
    assert process.pread(fd, page, 0) == b"8 bytes!"
    assert process.load(base, 8) == b"8 bytes!"


@clause("overview.slack")
def test_a_store_across_the_end_of_the_file_keeps_its_size(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"8 bytes!")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    process.store(base + 6, b"--slack")
    process.munmap(base, page)

    assert process.fstat(fd).size == 8
    assert process.pread(fd, page, 0) == b"8 byte--"
