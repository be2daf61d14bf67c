"""Cases of what becomes of mappings when a process ends or becomes another program."""

from __future__ import annotations

import pytest

from ..contract import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_CLOEXEC, O_RDONLY, O_RDWR, PROT_READ, Process, System
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, assert_nothing_mapped, free_range, lettered_pages, setup

HOW = pytest.mark.parametrize("how", ["exit", "kill", "exec"])


def end(process: Process, how: str) -> None:
    """End the process, or let it become another program."""
    if how == "exit":
        assert process.exit() == 0
    elif how == "kill":
        process.kill()
    else:
        process.exec()


@clause("exec.mappings")
def test_another_program_has_none_of_the_mappings(process: Process, page: int, file: MakeFile) -> None:
    addr = free_range(process, 3)
    process.mmap(addr, page, RW, MAP_SHARED | MAP_FIXED, file(b"x"), 0)
    process.mmap(addr + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(addr + page, b"x")

    process.exec()

    for number in range(3):
        assert_nothing_mapped(process, addr + number * page)


@clause("exec.memory")
def test_another_program_finds_fresh_memory(process: Process, page: int) -> None:
    addr = free_range(process, 2)
    process.mmap(addr, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(addr, b"x" * 2 * page)

    process.exec()

    assert process.mmap(addr, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0) == addr
    assert process.load(addr, 2 * page) == bytes(2 * page)


@clause("exec.descriptors")
def test_another_program_can_map_by_the_descriptors_that_stay(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """Those without O_CLOEXEC; by the others it cannot."""
    path = new_path()
    stays = file(b"abc", O_RDWR, path)
    with setup():
        goes = process.open(path, O_RDWR | O_CLOEXEC)

    process.exec()

    base = process.mmap(0, page, RW, MAP_SHARED, stays, 0)
    assert process.load(base, 3) == b"abc"
    with fails("EBADF"):
        process.mmap(0, page, RW, MAP_SHARED, goes, 0)


@clause("end.shared")
@HOW
def test_what_was_stored_shared_is_in_the_file(
    process: Process, system: System, page: int, file: MakeFile, new_path: NewPath, how: str
) -> None:
    """Without unmapping or msync; for who reads the file as for who maps it."""
    path = new_path()
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(lettered_pages(page, 2), O_RDWR, path), 0)
    process.store(base + page - 1, b"xy")

    end(process, how)

    other = system.spawn()
    with setup():
        fd = other.open(path, O_RDONLY)
    expected = b"A" * (page - 1) + b"xy" + b"B" * (page - 1)
    assert other.pread(fd, 2 * page, 0) == expected
    assert other.load(other.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0), 2 * page) == expected


@clause("end.private")
@HOW
def test_what_was_stored_in_private_is_not_in_the_file(
    process: Process, system: System, page: int, file: MakeFile, new_path: NewPath, how: str
) -> None:
    path = new_path()
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, file(lettered_pages(page, 2), O_RDWR, path), 0)
    process.store(base, b"x" * 2 * page)

    end(process, how)

    other = system.spawn()
    with setup():
        fd = other.open(path, O_RDONLY)
    assert other.pread(fd, 2 * page, 0) == lettered_pages(page, 2)


@clause("end.others")
@HOW
def test_who_shares_the_memory_keeps_it(process: Process, page: int, file: MakeFile, how: str) -> None:
    """All of it: what has no file, what was stored, the rights."""
    shared = process.mmap(0, page, RW, MAP_SHARED, file(lettered_pages(page, 1)), 0)
    private = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(private, b"private")
    child = process.fork()
    child.store(shared, b"child")

    end(child, how)

    assert process.load(shared, 6) == b"childA"
    assert process.load(private, 7) == b"private"
    process.store(shared, b"C")
    process.store(private, b"P")
    assert process.load(shared, 1) + process.load(private, 1) == b"CP"
