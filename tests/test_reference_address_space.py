"""Mappings: split and joined at page boundaries, found without a search."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Fault,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import Process
from pytest_mmapconf.words import faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> Process:
    return ReferenceBackend().boot().spawn()


def layout(process: Process) -> list[tuple[int, int, int]]:
    """(first page, page behind, rights) of each mapping, in pages from the arena on."""
    base = process.arena()[0]
    return [((m.start - base) // PAGE, (m.end - base) // PAGE, m.prot) for m in process.space.mappings.values()]


def test_unmapping_the_middle_splits(process: Process) -> None:
    base = process.arena()[0]
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.munmap(base + PAGE, 1)
    assert layout(process) == [(0, 1, 3), (2, 3, 3)]


def test_a_split_file_mapping_keeps_its_offsets(process: Process) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"".join(bytes([65 + n]) * PAGE for n in range(3)), 0)
    base = process.mmap(0, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.munmap(base + PAGE, PAGE)
    assert [m.offset for m in process.space.mappings.values()] == [0, 2 * PAGE]
    assert process.load(base, 1) + process.load(base + 2 * PAGE, 1) == b"AC"


def test_protecting_and_back_splits_and_joins(process: Process) -> None:
    base = process.arena()[0]
    process.mmap(base, 4 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mprotect(base + PAGE, 2 * PAGE, PROT_READ)
    assert layout(process) == [(0, 1, 3), (1, 3, 1), (3, 4, 3)]
    process.mprotect(base + PAGE, 2 * PAGE, RW)
    assert layout(process) == [(0, 4, 3)]


def test_like_neighbours_join_and_unlike_do_not(process: Process) -> None:
    base = process.arena()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert layout(process) == [(0, 3, 3)]
    process.mmap(base + 3 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 4 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    assert layout(process) == [(0, 3, 3), (3, 4, 3), (4, 5, 3)], "each shared memory is a file of its own"


def test_windows_of_one_file_join_when_they_continue_each_other(process: Process) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 4 * PAGE)
    base = process.arena()[0]
    process.mmap(base, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.mmap(base + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE)
    process.mmap(base + 2 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    assert layout(process) == [(0, 2, 3), (2, 3, 3)]


def test_joining_and_splitting_keep_the_count_of_references(process: Process) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 4 * PAGE)
    description = process.descriptors[fd].description
    base = process.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0)
    assert description.references == 2
    process.mprotect(base + PAGE, PAGE, PROT_READ)
    assert description.references == 4, "three mappings and a descriptor"
    process.mprotect(base + PAGE, PAGE, RW)
    assert description.references == 2
    process.munmap(base, 4 * PAGE)
    assert description.references == 1


@pytest.mark.parametrize("page", [16384, 65536])
def test_other_page_sizes(page: int) -> None:
    process = ReferenceBackend(page=page).boot().spawn()
    base = process.arena()[0]
    process.mmap(base, page + 1, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + 2 * page - 1, b"x")
    with pytest.raises(Fault) as fault:
        process.load(base + 2 * page, 1)
    assert fault.value.address == base + 2 * page
    process.munmap(base, 1)
    assert [(m.start, m.end) for m in process.space.mappings.values()] == [(base + page, base + 2 * page)]
    with pytest.raises(OSError, match="not a multiple of the page"):
        process.munmap(base + 4096, page)


def test_a_sparse_tebibyte_is_as_cheap_as_a_page() -> None:
    machine = ReferenceBackend().boot()
    process = machine.spawn()
    size = 1 << 40
    base = process.mmap(0, size, RW, ANONYMOUS | MAP_NORESERVE, -1, 0)
    process.store(base + size // 2, b"x")
    process.mprotect(base, size, PROT_READ)
    child = process.fork()
    assert child.load(base + size // 2, 1) == b"x"
    moved = process.mremap(base, size, size + PAGE, 1)
    assert process.load(moved + size // 2, 1) == b"x"
    process.msync(moved, size, 4)
    process.munmap(moved, size)
    assert machine.memory.handed_out == 2, "one page was stored to, and the page of zeros was copied"
    assert len(process.space.table.entries) == 0


def test_a_sparse_file_is_as_cheap_as_its_pages() -> None:
    machine = ReferenceBackend().boot()
    process = machine.spawn()
    size = 1 << 40
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, size)
    base = process.mmap(0, size, RW, MAP_SHARED, fd, 0)
    process.store(base + size - 1, b"z")
    process.msync(base, size, 4)
    process.ftruncate(fd, 1)
    process.munmap(base, size)
    assert machine.memory.handed_out == 1


Step = tuple[str, int, int, int]
steps = st.tuples(
    st.sampled_from(["map", "share", "unmap", "protect", "grow", "move"]),
    st.integers(0, 15),
    st.integers(1, 5),
    st.integers(0, 3),
)


@given(st.lists(steps, max_size=30))
def test_the_mappings_say_of_each_page_what_was_last_done_to_it(done: list[Step]) -> None:
    process = ReferenceBackend().boot().spawn()
    base = process.arena()[0]
    pages: dict[int, int] = {}
    for what, first, count, prot in done:
        start, length = base + first * PAGE, count * PAGE
        within = range(first, first + count)
        if what in ("map", "share"):
            kind = MAP_PRIVATE if what == "map" else MAP_SHARED
            process.mmap(start, length, prot, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
            pages.update(dict.fromkeys(within, prot))
        elif what == "unmap":
            process.munmap(start, length)
            for page in within:
                pages.pop(page, None)
        elif what in ("grow", "move"):
            mapping = process.space.find(start)
            if mapping is None:
                continue
            at, pages_behind = (mapping.start - base) // PAGE, (mapping.end - base) // PAGE
            size = mapping.end - mapping.start
            if what == "move":
                to = base + (64 + first) * PAGE
                if mapping.start < to + size and to < mapping.end:
                    continue
                process.mremap(mapping.start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to)
                moved = {64 + first + page - at: pages.pop(page) for page in range(at, pages_behind)}
                pages.update(moved)
            elif not any(page in pages for page in range(pages_behind, pages_behind + count)):
                process.mremap(mapping.start, size, size + length, 0)
                pages.update(dict.fromkeys(range(pages_behind, pages_behind + count), mapping.prot))
        elif all(page in pages for page in within):
            process.mprotect(start, length, prot)
            pages.update(dict.fromkeys(within, prot))
    mappings = list(process.space.mappings.values())
    seen = {page: m.prot for m in mappings for page in range((m.start - base) // PAGE, (m.end - base) // PAGE)}
    assert seen == pages
    assert process.space.size == len(pages) * PAGE
    assert [m.start for m in mappings] == list(process.space.mappings)
    assert not any(right.continues(left) for left, right in itertools.pairwise(mappings))
    free = [(start, end) for start, end in process.space.gaps.starts.items()]
    ends = [0, *(edge for m in mappings for edge in (m.start, m.end)), process.top]
    assert free == [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]


def test_behind_the_last_of_many_mappings(process: Process) -> None:
    base = process.arena()[0]
    for number in range(300):
        process.mmap(base + 2 * number * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with faults("SIGSEGV", at=base + 600 * PAGE, code="SEGV_MAPERR"):
        process.load(base + 600 * PAGE, 1)
    assert process.space.growing(base + 600 * PAGE) is None


def test_how_much_there_is_hangs_on_no_address(process: Process) -> None:
    base = process.arena()[0]
    for start, pages in ((1, 2), (7, 3), (15, 6)):
        process.mmap(base + start * PAGE, pages * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)
    space = process.space
    assert (space.size, space.locked, space.data()) == (11 * PAGE, 11 * PAGE, 11 * PAGE)
    assert space.mapped(base + 2 * PAGE, base + 16 * PAGE) == 5 * PAGE
    process.munmap(base + 8 * PAGE, 9 * PAGE)
    assert (space.size, space.locked, space.data()) == (7 * PAGE, 7 * PAGE, 7 * PAGE)


def test_an_empty_range_is_over_no_mapping(process: Process) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mlock(base, 3 * PAGE)

    assert process.space.over(base + PAGE, base + PAGE) == []
    process.msync(base + PAGE, (1 << 64) - 1, MS_INVALIDATE)  # a length that wraps around to 0; no page is locked there
