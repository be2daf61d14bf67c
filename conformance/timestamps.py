"""Cases of a file's time of last modification (st_mtime), which stores through a mapping update.

The clock may show the same time for two calls, so each case first sets an old time; any other time is an update.
"""

from __future__ import annotations

import pytest

from ..contract import MAP_PRIVATE, MAP_SHARED, MS_ASYNC, MS_SYNC, Process
from ..testing import clause
from ._helpers import RW, MakeFile, lettered_pages


def map_file_with_old_mtime(process: Process, file: MakeFile, page: int, kind: int) -> tuple[int, int]:
    """Return a descriptor of a file of two pages with an old st_mtime, and the address of its unaccessed mapping."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    process.set_old_mtime(fd)
    assert process.has_old_mtime(fd)
    return fd, base


@clause("times.store")
@pytest.mark.parametrize("flag", [pytest.param(MS_SYNC, id="sync"), pytest.param(MS_ASYNC, id="async")])
def test_synced_store_updates_mtime(process: Process, file: MakeFile, page: int, flag: int) -> None:
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    process.store(base + page + 1, b"x")
    process.msync(base, 2 * page, flag)

    assert not process.has_old_mtime(fd)


@clause("times.store")
def test_store_by_child_updates_mtime(process: Process, file: MakeFile, page: int) -> None:
    """The child has not accessed the mapping before; the parent calls msync and fstat."""
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    child = process.fork()
    child.store(base, b"x")
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.store")
def test_store_by_read_call_updates_mtime(process: Process, file: MakeFile, page: int) -> None:
    """read stores bytes of another file into the mapping."""
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    other = file(b"abc")
    assert process.read_into(other, base, 3, 0) == 3
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.again")
def test_store_to_loaded_page_updates_mtime(process: Process, file: MakeFile, page: int) -> None:
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    process.fsync(fd)
    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"x")
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.again")
def test_store_to_written_back_page_updates_mtime(process: Process, file: MakeFile, page: int) -> None:
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    process.store(base, b"x")
    process.msync(base, 2 * page, MS_SYNC)
    process.set_old_mtime(fd)
    process.store(base, b"y")
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.has_old_mtime(fd)


@clause("times.at-once")
def test_unsynced_store_updates_mtime(process: Process, file: MakeFile, page: int) -> None:
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    process.store(base + page - 1, b"xx")

    assert not process.has_old_mtime(fd)


@clause("times.private")
def test_private_store_does_not_update_mtime(process: Process, file: MakeFile, page: int) -> None:
    fd, base = map_file_with_old_mtime(process, file, page, MAP_PRIVATE)
    process.store(base, b"x" * 2 * page)
    process.msync(base, 2 * page, MS_SYNC)
    process.munmap(base, 2 * page)

    assert process.has_old_mtime(fd)


@clause("times.load")
def test_loads_do_not_update_mtime(process: Process, file: MakeFile, page: int) -> None:
    fd, base = map_file_with_old_mtime(process, file, page, MAP_SHARED)
    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.msync(base, 2 * page, MS_SYNC)
    process.munmap(base, 2 * page)
    process.munmap(process.mmap(0, page, RW, MAP_SHARED, fd, page), page)

    assert process.has_old_mtime(fd)
