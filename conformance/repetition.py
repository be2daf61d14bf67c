"""Cases that map, store and unmap a hundred times: as much is free afterwards as before.

A system that keeps something of each mapping (a page, a descriptor, a part of a limit) has it used up by then.
"""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    Facility,
    Process,
    Resource,
    System,
)
from ..testing import clause, needs
from ._helpers import ANONYMOUS, KINDS, RW, WITHOUT_FILE, MakeFile, NewPath, setup, shared_and_private

TIMES = 100


@clause("munmap.repeated.content")
@shared_and_private
def test_file_is_as_long_and_as_it_was_but_for_stores(process: Process, file: MakeFile, page: int, kind: int) -> None:
    """The whole file is compared: three pages, and a part of a fourth."""
    content = bytes(range(1, 251)) * (3 * page // 250) + b"end of the file"
    fd = file(content)

    for number in range(TIMES):
        base = process.mmap(0, 2 * page, RW, kind, fd, page)
        process.store(base + number, b"!")
        process.munmap(base, 2 * page)

    expected = content
    if kind == MAP_SHARED:
        expected = content[:page] + b"!" * TIMES + content[page + TIMES :]
    assert process.fstat(fd).size == len(content)
    base = process.mmap(0, len(content), RW, MAP_PRIVATE, fd, 0)
    assert process.load(base, len(content)) == expected


@clause("munmap.repeated.descriptors")
@shared_and_private
def test_descriptors_of_unmapped_files_are_free_again(
    process: Process, file: MakeFile, new_path: NewPath, page: int, kind: int
) -> None:
    """Each time open returns the same number: the lowest that is free."""
    path = new_path()
    file(b"f" * page, path=path)
    numbers = set()

    for _ in range(TIMES):
        fd = process.open(path, O_RDWR)
        base = process.mmap(0, page, RW, kind, fd, 0)
        process.close(fd)
        process.store(base, b"x")
        process.munmap(base, page)
        numbers.add(fd)

    assert len(numbers) == 1


@clause("munmap.repeated.address-space")
@needs("address-space-limit")
@pytest.mark.parametrize("kind", KINDS)
def test_unmapped_pages_no_longer_count_for_limit(process: Process, file: MakeFile, page: int, kind: str) -> None:
    """Each mapping takes more than half of what the limit leaves."""
    flags = MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE
    fd = file(b"f" * 200 * page) if kind.startswith("file") else -1
    if fd == -1:
        flags |= WITHOUT_FILE
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 256 * page)

    for _ in range(TIMES):
        base = process.mmap(0, 200 * page, RW, flags, fd, 0)
        process.store(base, b"x")
        process.munmap(base, 200 * page)


@clause("munmap.repeated.locked-memory")
@needs("locked-memory-limit")
def test_unmapped_pages_are_no_longer_locked(process: Process, page: int) -> None:
    with setup():
        process.drop_capability("CAP_IPC_LOCK")
        process.set_limit_headroom(Resource.LOCKED_MEMORY, 6 * page)

    for _ in range(TIMES):
        base = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
        process.mlock(base, 4 * page)
        process.store(base, b"x")
        process.munmap(base, 4 * page)


@clause("munmap.repeated.storage")
def test_stores_to_existing_pages_use_no_storage(process: Process, system: System, page: int) -> None:
    """The free space of the file system is the same; the pages of the file have storage before."""
    directory = system.facility(Facility.OWN_FILE_SYSTEM)
    fd = process.open(f"{directory}/repeated", O_RDWR | O_CREAT, 0o600)
    process.pwrite(fd, b"f" * 4 * page, 0)
    process.fsync(fd)
    free = process.free_space(directory)

    for number in range(TIMES):
        base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
        process.store(base + number * 37, b"x")
        process.msync(base, 4 * page, MS_SYNC)
        process.munmap(base, 4 * page)

    assert process.free_space(directory) == free
    assert process.fstat(fd).size == 4 * page
