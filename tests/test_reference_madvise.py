"""Test madvise: which advice changes pages, and which pages are changed before a refusal."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_NORMAL,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.testing import fails, faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def filled(process: ReferenceProcess, pages: int) -> int:
    base = process.mmap(0, pages * PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x" * (pages * PAGE))
    return base


def first_bytes(process: ReferenceProcess, base: int, pages: int) -> bytes:
    return b"".join(process.load(base + number * PAGE, 1) for number in range(pages))


def test_pages_are_dropped_up_to_the_mapping_that_refuses(process: ReferenceProcess) -> None:
    base = filled(process, 4)
    process.munmap(base + PAGE, PAGE)
    process.mlock(base + 3 * PAGE, PAGE)
    with fails("EINVAL"):  # not ENOMEM, which is reported only if no other error applies
        process.madvise(base, 4 * PAGE, MADV_DONTNEED)
    assert process.load(base, 1) + process.load(base + 2 * PAGE, 1) + process.load(base + 3 * PAGE, 1) == b"\0\0x"


def test_a_freed_page_is_indeterminate_until_a_store(process: ReferenceProcess) -> None:
    base = filled(process, 2)
    child = process.fork()
    process.madvise(base, 2 * PAGE, MADV_FREE)
    page = process.space.table.entries[base // PAGE]
    assert page.lazy_free
    assert page.indeterminate is not None
    assert page.indeterminate[5] == b"x\0"
    assert child.space.table.entries[base // PAGE].indeterminate is None
    process.store(base, b"y")
    assert not page.lazy_free
    assert 0 not in page.indeterminate  # the other bytes may have become zero before the store


def test_only_pages_of_the_range_are_freed(process: ReferenceProcess) -> None:
    base = filled(process, 9)
    process.madvise(base + 3 * PAGE, 2 * PAGE, MADV_FREE)
    table = process.space.table.entries
    assert [number for number in range(9) if table[base // PAGE + number].lazy_free] == [3, 4]


def test_a_punched_hole_frees_storage_and_keeps_private_copies(process: ReferenceProcess) -> None:
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"abc" * PAGE, 0)
    free = process.free_space("file")
    shared = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    private = process.mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0)
    process.store(private + PAGE, b"p")
    process.madvise(shared + PAGE, 2 * PAGE, MADV_REMOVE)
    assert first_bytes(process, shared, 3) == b"a\0\0"
    assert first_bytes(process, private, 3) == b"ap\0"
    assert process.pread(fd, 2, 2 * PAGE - 1) == b"\0\0"
    assert process.fstat(fd).size == 3 * PAGE
    assert process.free_space("file") == free + 2 * PAGE


def test_fork_advice_applies_page_by_page(process: ReferenceProcess) -> None:
    base = filled(process, 4)
    process.madvise(base + PAGE, PAGE, MADV_DONTFORK)
    process.madvise(base + 2 * PAGE, PAGE, MADV_WIPEONFORK)
    assert len(process.space.mappings) == 4
    child = process.fork()
    assert child.space.size == 3 * PAGE
    with faults("SIGSEGV", at=base + PAGE, code="SEGV_MAPERR"):
        child.load(base + PAGE, 1)
    assert child.load(base + 2 * PAGE, 1) == b"\0"
    process.madvise(base, 2 * PAGE, MADV_DOFORK)
    assert len(process.space.mappings) == 3
    assert first_bytes(process.fork(), base, 4) == b"xx\0x"


def test_populating_stops_at_an_unavailable_page(process: ReferenceProcess) -> None:
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"a" * PAGE, 0)
    base = process.mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0)
    for advice in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        with fails("EFAULT"):
            process.madvise(base, 2 * PAGE, advice)
    process.pwrite(fd, b"b", 0)
    assert process.load(base, 1) == b"a"


@pytest.mark.parametrize("advice", [MADV_NORMAL, MADV_WILLNEED, MADV_POPULATE_READ])
def test_a_hole_is_reported(process: ReferenceProcess, advice: int) -> None:
    base = filled(process, 2)
    process.munmap(base, PAGE)
    with fails("ENOMEM"):
        process.madvise(base, 2 * PAGE, advice)


@pytest.mark.parametrize(
    ("addr", "length", "advice"),
    [(0, 0, 999), (1, 0, MADV_NORMAL), (0, 2**64 - 1, MADV_NORMAL), (PAGE, 2**64 - PAGE, MADV_NORMAL)],
    ids=["unknown", "unaligned", "rounds-to-0", "wraps"],
)
def test_invalid_arguments_are_refused(process: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    with fails("EINVAL"):
        process.madvise(addr, length, advice)
    process.madvise(PAGE, 0, MADV_NORMAL)


def test_different_read_advice_splits_a_mapping(process: ReferenceProcess) -> None:
    base = filled(process, 3)
    process.madvise(base, PAGE, MADV_SEQUENTIAL)
    assert len(process.space.mappings) == 2
    with fails("EFAULT"):
        process.mremap(base, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
    process.madvise(base, PAGE, MADV_NORMAL)
    assert len(process.space.mappings) == 1
