"""Cases of the mappings of a process that exits, is killed or executes another program."""

from __future__ import annotations

import pytest

from ..contract import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_CLOEXEC, O_RDONLY, O_RDWR, PROT_READ, Process, System
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, assert_nothing_mapped, free_range, lettered_pages, setup

every_end = pytest.mark.parametrize("how", ["exit", "kill", "exec"])


def end(process: Process, how: str) -> None:
    """Make the process exit, kill it, or make it execute another program."""
    if how == "exit":
        assert process.exit() == 0
    elif how == "kill":
        process.kill()
    else:
        process.exec()


@clause("exec.mappings")
def test_exec_removes_all_mappings(process: Process, page: int, file: MakeFile) -> None:
    addr = free_range(process, 3)
    process.mmap(addr, page, RW, MAP_SHARED | MAP_FIXED, file(b"x"), 0)
    process.mmap(addr + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(addr + page, b"x")

    process.exec()

    for number in range(3):
        assert_nothing_mapped(process, addr + number * page)


@clause("exec.memory")
def test_new_memory_after_exec_is_zero(process: Process, page: int) -> None:
    addr = free_range(process, 2)
    process.mmap(addr, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(addr, b"x" * 2 * page)

    process.exec()

    assert process.mmap(addr, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0) == addr
    assert process.load(addr, 2 * page) == bytes(2 * page)


@clause("exec.descriptors")
def test_inherited_descriptors_can_be_mapped_after_exec(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """A descriptor without O_CLOEXEC stays open; one with it is closed."""
    path = new_path()
    inherited = file(b"abc", O_RDWR, path)
    with setup():
        closed = process.open(path, O_RDWR | O_CLOEXEC)

    process.exec()

    base = process.mmap(0, page, RW, MAP_SHARED, inherited, 0)
    assert process.load(base, 3) == b"abc"
    with fails("EBADF"):
        process.mmap(0, page, RW, MAP_SHARED, closed, 0)


@clause("end.shared")
@every_end
def test_shared_stores_are_in_file(
    process: Process, system: System, page: int, file: MakeFile, new_path: NewPath, how: str
) -> None:
    """The process calls neither munmap nor msync; another process reads and maps the file."""
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
@every_end
def test_private_stores_are_not_in_file(
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
@every_end
def test_parent_keeps_memory_of_ended_child(process: Process, page: int, file: MakeFile, how: str) -> None:
    """The parent keeps shared and private pages, their content and their protection."""
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
