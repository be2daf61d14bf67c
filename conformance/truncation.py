"""Cases of a file whose size changes while it is mapped."""

from __future__ import annotations

from errno import ENXIO

import pytest

from ..contract import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_READ, Process, System
from ..testing import clause, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    lettered_pages,
    reserve,
)

TYPES = [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")]


@clause("file.truncate")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("access", ["load", "store"])
def test_access_past_end_of_file_faults(process: Process, file: MakeFile, page: int, access: str, type: int) -> None:
    """The pages can be mapped but not accessed.  The page with the end of the file is accessible to its last byte."""
    base = process.mmap(0, 3 * page, RW, type, file(b"x" * (page + 1)), 0)

    assert process.load(base, 2 * page) == b"x" * (page + 1) + bytes(page - 1)
    with faults("SIGBUS"):
        if access == "load":
            process.load(base + 2 * page, 1)
        else:
            process.store(base + 2 * page, b"!")


@clause("file.truncate")
@pytest.mark.parametrize("type", TYPES)
def test_access_to_mapping_of_empty_file_faults(process: Process, file: MakeFile, page: int, type: int) -> None:
    base = process.mmap(0, page, PROT_READ, type, file(), 0)

    with faults("SIGBUS"):
        process.load(base, 1)


@clause("file.truncate")
@pytest.mark.parametrize("type", TYPES)
def test_access_to_mapping_past_end_of_file_faults(process: Process, file: MakeFile, page: int, type: int) -> None:
    try:
        base = process.mmap(0, page, PROT_READ, type, file(b"x" * page), page)
    except OSError as error:
        if error.errno != ENXIO:
            raise
        return  # POSIX: the offset is not valid for the object

    with faults("SIGBUS"):
        process.load(base, 1)


@clause("truncation.pages")
@pytest.mark.parametrize("type", TYPES)
def test_pages_past_new_end_fault_after_shrinking(process: Process, file: MakeFile, page: int, type: int) -> None:
    """One of the pages has been stored to, and is therefore a private copy in a private mapping."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, type, fd, 0)
    process.store(base + 2 * page, b"!")

    process.ftruncate(fd, page)

    assert process.load(base, page) == b"A" * page
    for number in (1, 2):
        with faults("SIGBUS"):
            process.load(base + number * page, 1)


@clause("file.truncate")
@pytest.mark.parametrize("type", TYPES)
def test_shrinking_does_not_change_neighbouring_mappings(
    process: Process, file: MakeFile, page: int, type: int
) -> None:
    base = reserve(process, 5)
    fd = file(lettered_pages(page, 3))
    process.mmap(base + page, 3 * page, PROT_READ, type | MAP_FIXED, fd, 0)
    for neighbour in (base, base + 4 * page):
        process.mmap(neighbour, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        process.store(neighbour, b"x" * page)
    assert process.load(base + page, 3 * page) == lettered_pages(page, 3)

    process.ftruncate(fd, 1)

    for neighbour in (base, base + 4 * page):
        assert process.load(neighbour, page) == b"x" * page


@clause("file.truncate")
def test_bytes_past_new_end_in_last_page_are_zero(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"x" * page)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x" * page)

    process.ftruncate(fd, 8)

    assert process.load(base, page) == b"x" * 8 + bytes(page - 8)


@clause("growth.accessible")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("how", ["ftruncate", "pwrite"])
def test_growth_shows_in_existing_mapping(process: Process, file: MakeFile, page: int, how: str, type: int) -> None:
    fd = file(b"x" * page)
    base = process.mmap(0, 2 * page, PROT_READ, type, fd, 0)
    with faults("SIGBUS"):
        process.load(base + page, 1)

    if how == "ftruncate":
        process.ftruncate(fd, 2 * page)
        expected = bytes(8)
    else:
        process.pwrite(fd, b"12345678", page)
        expected = b"12345678"

    assert process.load(base + page, 8) == expected


@clause("growth.zero")
@needs("size-changes-seen", "private-follows")
@pytest.mark.parametrize("type", TYPES)
def test_pages_are_zero_after_shrinking_and_growing(process: Process, file: MakeFile, page: int, type: int) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, type, fd, 0)
    process.store(base + page, b"!")

    process.ftruncate(fd, page)
    process.ftruncate(fd, 2 * page)

    assert process.load(base, 2 * page) == b"A" * page + bytes(page)


@clause("truncation.pages")
def test_shrinking_by_other_process_takes_effect(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int
) -> None:
    path = new_path()
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(lettered_pages(page, 2), path=path), 0)
    process.store(base + page, b"!")
    other = system.spawn()

    other.ftruncate(other.open(path, O_RDWR), page)

    assert process.load(base, page) == b"A" * page
    with faults("SIGBUS"):
        process.load(base + page, 1)
