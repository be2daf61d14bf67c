"""Cases of files in memory that can be sealed (memfd), as far as mappings are concerned."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..contract import (
    MADV_REMOVE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    PROT_READ,
    SEAL_FUTURE_WRITE,
    SEAL_GROW,
    SEAL_SEAL,
    SEAL_SHRINK,
    SEAL_WRITE,
    Process,
)
from ..testing import clause, fails, faults
from ._helpers import RW, lettered_pages, setup


def sealable(process: Process, page: int, pages: int) -> int:
    """A descriptor of a file in memory that has so many pages, one of A, one of B …"""
    with setup():
        fd = process.memfd()
        process.pwrite(fd, lettered_pages(page, pages), 0)
    return fd


@clause("memfd.shared")
def test_a_file_in_memory_is_shared(process: Process, page: int) -> None:
    """By its mappings, by read and write and with a child, also when its only descriptor is closed."""
    fd = sealable(process, page, 2)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page)
    child = process.fork()

    process.store(base + page, b"xyz")
    assert process.pread(fd, 4, page) == b"xyzB"
    process.close(fd)
    child.close(fd)
    child.store(base + page + 1, b"!")

    assert process.load(other, 4) == process.load(base + page, 4) == b"x!zB"


# --------------------------------------------------------------------------------------------------------------- size


@clause("memfd.seal.shrink")
def test_sealed_against_shrinking_no_mapped_page_can_go(process: Process, page: int) -> None:
    fd = sealable(process, page, 2)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.seal(fd, SEAL_SHRINK)

    for length in (0, page, 2 * page - 1):
        with fails("EPERM"):
            process.ftruncate(fd, length)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.ftruncate(fd, 3 * page)
    assert process.fstat(fd).size == 3 * page
    assert process.pwrite(fd, b"x" * (page + 5), 3 * page - 2) == page + 5
    assert process.fstat(fd).size == 4 * page + 3


@clause("memfd.seal.grow")
def test_sealed_against_growing_no_page_past_the_end_comes(process: Process, page: int) -> None:
    fd = sealable(process, page, 1)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.seal(fd, SEAL_GROW)

    with fails("EPERM"):
        process.ftruncate(fd, page + 1)
    with fails("EPERM"):
        process.pwrite(fd, b"x", page)

    with faults("SIGBUS", at=base + page):
        process.store(base + page, b"x")
    process.store(base, b"x")
    process.ftruncate(fd, 1)
    assert process.pread(fd, 9, 0) == b"x"


# ------------------------------------------------------------------------------------------------------------ writing


@clause("memfd.seal.write.busy")
@pytest.mark.parametrize("last", ["parent", "child"])
def test_mapped_shared_and_writable_it_is_not_sealed(process: Process, page: int, last: str) -> None:
    fd = sealable(process, page, 1)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    child = process.fork()
    first, second = (child, process) if last == "parent" else (process, child)

    first.munmap(base, page)
    with fails("EBUSY"):
        process.seal(fd, SEAL_WRITE)
    second.store(base, b"x")

    second.munmap(base, page)
    process.seal(fd, SEAL_WRITE)
    with fails("EPERM"):
        process.pwrite(fd, b"y", 0)
    assert process.pread(fd, 2, 0) == b"xA"


@clause("memfd.seal.write.busy")
@pytest.mark.parametrize("how", ["private", "read-only-descriptor"])
def test_mappings_that_cannot_write_do_not_count(process: Process, page: int, how: str) -> None:
    fd = sealable(process, page, 1)
    if how == "private":
        base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
        process.store(base, b"A")
    else:
        base = process.mmap(0, page, PROT_READ, MAP_SHARED, process.open(f"/dev/fd/{fd}", O_RDONLY), 0)

    process.seal(fd, SEAL_WRITE)

    assert process.load(base, page) == b"A" * page


@clause("memfd.seal.write.read-only")
def test_sealed_against_writing_it_can_be_mapped_for_reading(process: Process, page: int) -> None:
    """Shared, by a descriptor that is open for both; it never gets the right to be stored to."""
    fd = sealable(process, page, 1)
    process.seal(fd, SEAL_WRITE)

    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    assert process.load(base, page) == b"A" * page
    with fails("EACCES"):
        process.mprotect(base, page, RW)
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.store(base, b"x")


@clause("memfd.seal.future-write")
def test_sealed_against_future_writing_what_is_mapped_works_on(process: Process, page: int) -> None:
    """In a child as well."""
    fd = sealable(process, page, 1)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    process.seal(fd, SEAL_FUTURE_WRITE)

    process.store(base, b"x")
    process.fork().store(base + 1, b"y")
    assert process.pread(fd, 3, 0) == b"xyA"


@clause("memfd.seal.future-write")
@pytest.mark.parametrize("call", ["pwrite", "mmap", "madvise"])
def test_sealed_against_future_writing_nothing_else_writes(process: Process, page: int, call: str) -> None:
    fd = sealable(process, page, 1)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.seal(fd, SEAL_FUTURE_WRITE)
    calls: dict[str, Callable[[], object]] = {
        "pwrite": lambda: process.pwrite(fd, b"x", 0),
        "mmap": lambda: process.mmap(0, page, RW, MAP_SHARED, fd, 0),
        "madvise": lambda: process.madvise(base, page, MADV_REMOVE),
    }

    with fails("EPERM"):
        calls[call]()

    assert process.load(base, page) == b"A" * page
    later = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    with fails("EACCES"):
        process.mprotect(later, page, RW)


# -------------------------------------------------------------------------------------------------------------- seals


@clause("memfd.seal.seal")
@pytest.mark.parametrize("seal", [SEAL_SHRINK, SEAL_GROW, SEAL_WRITE], ids=["shrink", "grow", "write"])
def test_sealed_against_seals_it_gets_no_more(process: Process, page: int, seal: int) -> None:
    fd = sealable(process, page, 1)
    process.seal(fd, SEAL_SEAL)

    with fails("EPERM"):
        process.seal(fd, seal)

    process.ftruncate(fd, 2 * page)
    process.ftruncate(fd, page)
    process.pwrite(fd, b"x", 0)


@clause("memfd.seal.shrink")
def test_sealed_against_shrinking_it_may_have_a_hole(process: Process, page: int) -> None:
    fd = sealable(process, page, 2)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.seal(fd, SEAL_SHRINK)

    process.madvise(base, page, MADV_REMOVE)

    assert process.load(base, 2 * page) == bytes(page) + b"B" * page
    with fails("EPERM"):
        process.ftruncate(fd, page)


@clause("memfd.seal.shrink", "memfd.seal.grow")
def test_seals_add_up(process: Process, page: int) -> None:
    fd = sealable(process, page, 2)
    process.seal(fd, SEAL_SHRINK)
    process.seal(fd, SEAL_GROW)

    for size in (page, 3 * page):
        with fails("EPERM"):
            process.ftruncate(fd, size)

    assert process.fstat(fd).size == 2 * page


@clause("memfd.empty")
def test_it_begins_empty_and_grows(process: Process, page: int) -> None:
    with setup():
        fd = process.memfd()
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with faults("SIGBUS", at=base):
        process.load(base, 1)
    process.ftruncate(fd, 2)

    assert process.load(base, page) == bytes(page)
    assert process.fstat(fd).size == 2
