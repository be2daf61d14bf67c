"""Cases of the time of a file's last modification, which stores change.

A clock may not have moved on between two calls; so the time is set back first, and any other time is a change.
"""

from __future__ import annotations

import pytest

from ..contract import MAP_PRIVATE, MAP_SHARED, MS_ASYNC, MS_SYNC, Process
from ..testing import clause
from ._helpers import RW, MakeFile, lettered_pages


def backdated(process: Process, file: MakeFile, page: int, kind: int) -> tuple[int, int]:
    """A file of two pages, long since modified, and a mapping of it that nobody has used."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    process.set_old_mtime(fd)
    assert process.has_old_mtime(fd)
    return fd, base


@clause("times.store")
@pytest.mark.parametrize("flag", [pytest.param(MS_SYNC, id="sync"), pytest.param(MS_ASYNC, id="async")])
def test_a_store_that_is_synced(process: Process, file: MakeFile, page: int, flag: int) -> None:
    fd, base = backdated(process, file, page, MAP_SHARED)
    process.store(base + page + 1, b"x")
    process.msync(base, 2 * page, flag)

    assert not process.has_old_mtime(fd)


@clause("times.store")
def test_a_store_of_a_child(process: Process, file: MakeFile, page: int) -> None:
    """It has not used the mapping either; the parent syncs, and its descriptor tells."""
    fd, base = backdated(process, file, page, MAP_SHARED)
    child = process.fork()
    child.store(base, b"x")
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.store")
def test_a_store_of_a_call(process: Process, file: MakeFile, page: int) -> None:
    """What is read from another file goes into the mapping."""
    fd, base = backdated(process, file, page, MAP_SHARED)
    other = file(b"abc")
    assert process.read_into(other, base, 3, 0) == 3
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.again")
def test_a_page_that_was_loaded(process: Process, file: MakeFile, page: int) -> None:
    fd, base = backdated(process, file, page, MAP_SHARED)
    process.fsync(fd)
    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"x")
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.again")
def test_a_page_that_was_written_back(process: Process, file: MakeFile, page: int) -> None:
    fd, base = backdated(process, file, page, MAP_SHARED)
    process.store(base, b"x")
    process.msync(base, 2 * page, MS_SYNC)
    process.set_old_mtime(fd)
    process.store(base, b"y")
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.at-once")
def test_a_store_that_is_not_synced(process: Process, file: MakeFile, page: int) -> None:
    fd, base = backdated(process, file, page, MAP_SHARED)
    process.store(base + page - 1, b"xx")

    assert not process.has_old_mtime(fd)


@clause("times.private")
def test_a_private_store(process: Process, file: MakeFile, page: int) -> None:
    fd, base = backdated(process, file, page, MAP_PRIVATE)
    process.store(base, b"x" * 2 * page)
    process.msync(base, 2 * page, MS_SYNC)
    process.munmap(base, 2 * page)

    assert process.has_old_mtime(fd)


@clause("times.load")
def test_loads(process: Process, file: MakeFile, page: int) -> None:
    fd, base = backdated(process, file, page, MAP_SHARED)
    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.msync(base, 2 * page, MS_SYNC)
    process.munmap(base, 2 * page)
    process.munmap(process.mmap(0, page, RW, MAP_SHARED, fd, page), page)

    assert process.has_old_mtime(fd)
