"""Cases of mappings of sealable memory files (memfd)."""

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


def lettered_memfd(process: Process, page: int, pages: int) -> int:
    """Return a descriptor of a memfd with this number of pages: one filled with A, one with B and so on."""
    with setup():
        fd = process.memfd()
        process.pwrite(fd, lettered_pages(page, pages), 0)
    return fd


@clause("memfd.shared")
def test_memfd_is_shared(process: Process, page: int) -> None:
    """Mappings, read, write and a child see the same bytes, even after its only descriptor is closed."""
    fd = lettered_memfd(process, page, 2)
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
def test_seal_shrink_prevents_truncation(process: Process, page: int) -> None:
    fd = lettered_memfd(process, page, 2)
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
def test_seal_grow_prevents_growth(process: Process, page: int) -> None:
    fd = lettered_memfd(process, page, 1)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.seal(fd, SEAL_GROW)

    with fails("EPERM"):
        process.ftruncate(fd, page + 1)
    with fails("EPERM"):
        process.pwrite(fd, b"x", page)

    with faults("SIGBUS"):
        process.store(base + page, b"x")
    process.store(base, b"x")
    process.ftruncate(fd, 1)
    assert process.pread(fd, 9, 0) == b"x"


# ------------------------------------------------------------------------------------------------------------ writing


@clause("memfd.seal.write.busy")
@pytest.mark.parametrize("last", ["parent", "child"])
def test_seal_write_fails_while_mapped_shared_writable(process: Process, page: int, last: str) -> None:
    fd = lettered_memfd(process, page, 1)
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
@pytest.mark.parametrize("mapping", ["private", "read-only-descriptor"])
def test_seal_write_ignores_mappings_that_cannot_write(process: Process, page: int, mapping: str) -> None:
    fd = lettered_memfd(process, page, 1)
    if mapping == "private":
        base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
        process.store(base, b"A")
    else:
        base = process.mmap(0, page, PROT_READ, MAP_SHARED, process.open(f"/dev/fd/{fd}", O_RDONLY), 0)

    process.seal(fd, SEAL_WRITE)

    assert process.load(base, page) == b"A" * page


@clause("memfd.seal.write.read-only")
def test_write_sealed_file_can_be_mapped_read_only(process: Process, page: int) -> None:
    """The mapping is shared and the descriptor is O_RDWR; mprotect cannot make it writable."""
    fd = lettered_memfd(process, page, 1)
    process.seal(fd, SEAL_WRITE)

    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    assert process.load(base, page) == b"A" * page
    with fails("EACCES"):
        process.mprotect(base, page, RW)
    with faults("SIGSEGV"):
        process.store(base, b"x")


@clause("memfd.seal.future-write")
def test_seal_future_write_keeps_existing_mapping_writable(process: Process, page: int) -> None:
    """A child's inherited mapping stays writable too."""
    fd = lettered_memfd(process, page, 1)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    process.seal(fd, SEAL_FUTURE_WRITE)

    process.store(base, b"x")
    process.fork().store(base + 1, b"y")
    assert process.pread(fd, 3, 0) == b"xyA"


@clause("memfd.seal.future-write")
@pytest.mark.parametrize("call", ["pwrite", "mmap", "madvise"])
def test_seal_future_write_prevents_other_writes(process: Process, page: int, call: str) -> None:
    fd = lettered_memfd(process, page, 1)
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
def test_seal_seal_prevents_further_seals(process: Process, page: int, seal: int) -> None:
    fd = lettered_memfd(process, page, 1)
    process.seal(fd, SEAL_SEAL)

    with fails("EPERM"):
        process.seal(fd, seal)

    process.ftruncate(fd, 2 * page)
    process.ftruncate(fd, page)
    process.pwrite(fd, b"x", 0)


@clause("memfd.seal.shrink")
def test_seal_shrink_allows_hole(process: Process, page: int) -> None:
    fd = lettered_memfd(process, page, 2)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.seal(fd, SEAL_SHRINK)

    process.madvise(base, page, MADV_REMOVE)

    assert process.load(base, 2 * page) == bytes(page) + b"B" * page
    with fails("EPERM"):
        process.ftruncate(fd, page)


@clause("memfd.seal.shrink", "memfd.seal.grow")
def test_seals_accumulate(process: Process, page: int) -> None:
    fd = lettered_memfd(process, page, 2)
    process.seal(fd, SEAL_SHRINK)
    process.seal(fd, SEAL_GROW)

    for size in (page, 3 * page):
        with fails("EPERM"):
            process.ftruncate(fd, size)

    assert process.fstat(fd).size == 2 * page


@clause("memfd.empty")
def test_memfd_is_empty_and_grows(process: Process, page: int) -> None:
    with setup():
        fd = process.memfd()
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with faults("SIGBUS"):
        process.load(base, 1)
    process.ftruncate(fd, 2)

    assert process.load(base, page) == bytes(page)
    assert process.fstat(fd).size == 2
