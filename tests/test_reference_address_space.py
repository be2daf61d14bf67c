"""Mappings: split and joined at page boundaries, found without a search."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.contract import (
    MADV_DONTFORK,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MLOCK_ONFAULT,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.mapping import Mapping
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def layout(process: ReferenceProcess) -> list[tuple[int, int, int]]:
    """Return (first page, end page, protection) of each mapping, in pages from the start of the scratch range."""
    base = process.scratch_range()[0]
    return [((m.start - base) // PAGE, (m.end - base) // PAGE, m.prot) for m in process.space.mappings.values()]


def test_unmapping_the_middle_splits(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.munmap(base + PAGE, 1)
    assert layout(process) == [(0, 1, 3), (2, 3, 3)]


def test_a_split_file_mapping_keeps_its_offsets(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"".join(bytes([65 + n]) * PAGE for n in range(3)), 0)
    base = process.mmap(0, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.munmap(base + PAGE, PAGE)
    assert [m.offset for m in process.space.mappings.values()] == [0, 2 * PAGE]
    assert process.load(base, 1) + process.load(base + 2 * PAGE, 1) == b"AC"


def test_protecting_and_back_splits_and_joins(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, 4 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mprotect(base + PAGE, 2 * PAGE, PROT_READ)
    assert layout(process) == [(0, 1, 3), (1, 3, 1), (3, 4, 3)]
    process.mprotect(base + PAGE, 2 * PAGE, RW)
    assert layout(process) == [(0, 4, 3)]


def test_like_neighbours_join_and_unlike_do_not(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert layout(process) == [(0, 3, 3)]
    process.mmap(base + 3 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 4 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    assert layout(process) == [(0, 3, 3), (3, 4, 3), (4, 5, 3)], "each shared memory is a file of its own"


def test_windows_of_one_file_join_when_they_continue_each_other(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 4 * PAGE)
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.mmap(base + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE)
    process.mmap(base + 2 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    assert layout(process) == [(0, 2, 3), (2, 3, 3)]


def test_joining_and_splitting_keep_the_count_of_references(process: ReferenceProcess) -> None:
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
    base = process.scratch_range()[0]
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
    base = process.scratch_range()[0]
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
            at, end_page = (mapping.start - base) // PAGE, (mapping.end - base) // PAGE
            size = mapping.end - mapping.start
            if what == "move":
                to = base + (64 + first) * PAGE
                if mapping.start < to + size and to < mapping.end:
                    continue
                process.mremap(mapping.start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to)
                moved = {64 + first + page - at: pages.pop(page) for page in range(at, end_page)}
                pages.update(moved)
            elif not any(page in pages for page in range(end_page, end_page + count)):
                process.mremap(mapping.start, size, size + length, 0)
                pages.update(dict.fromkeys(range(end_page, end_page + count), mapping.prot))
        elif all(page in pages for page in within):
            process.mprotect(start, length, prot)
            pages.update(dict.fromkeys(within, prot))
    mappings = list(process.space.mappings.values())
    seen = {page: m.prot for m in mappings for page in range((m.start - base) // PAGE, (m.end - base) // PAGE)}
    assert seen == pages
    assert process.space.size == len(pages) * PAGE
    assert [m.start for m in mappings] == list(process.space.mappings)
    assert not any(right.is_contiguous_with(left) for left, right in itertools.pairwise(mappings))
    free = [(start, end) for start, end in process.space.gaps.starts.items()]
    ends = [0, *(edge for m in mappings for edge in (m.start, m.end)), process.task_size]
    assert free == [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]


def test_after_the_last_of_many_mappings(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    for number in range(300):
        process.mmap(base + 2 * number * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with faults("SIGSEGV", at=base + 600 * PAGE, code="SEGV_MAPERR"):
        process.load(base + 600 * PAGE, 1)
    assert process.space.growing(base + 600 * PAGE) is None


def test_totals_do_not_depend_on_addresses(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    for start, pages in ((1, 2), (7, 3), (15, 6)):
        process.mmap(base + start * PAGE, pages * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)
    space = process.space
    assert (space.size, space.locked, space.data()) == (11 * PAGE, 11 * PAGE, 11 * PAGE)
    assert space.mapped(base + 2 * PAGE, base + 16 * PAGE) == 5 * PAGE
    process.munmap(base + 8 * PAGE, 9 * PAGE)
    assert (space.size, space.locked, space.data()) == (7 * PAGE, 7 * PAGE, 7 * PAGE)


def test_an_empty_range_is_over_no_mapping(process: ReferenceProcess) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mlock(base, 3 * PAGE)

    assert process.space.over(base + PAGE, base + PAGE) == []
    process.msync(base + PAGE, (1 << 64) - 1, MS_INVALIDATE)  # a length that wraps around to 0; no page is locked there


# ------------------------------------------------------------------------------------------------------ ranges of pages


def test_every_range_of_a_few_mappings(process: ReferenceProcess) -> None:
    """Mappings of the second page, of three that follow, and of two further on, each of a kind of its own."""
    base = process.scratch_range()[0] + 5 * PAGE
    owner = {1: 0, 2: 1, 3: 1, 4: 1, 7: 2, 8: 2}
    for start, pages, prot in ((1, 1, PROT_READ), (2, 3, RW), (7, 2, PROT_READ)):
        process.mmap(base + start * PAGE, pages * PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mseal(base + 8 * PAGE, PAGE)  # so that the last are two
    owner[8] = 3
    space = process.space
    mappings = list(space.mappings.values())
    for first, stop in itertools.product(range(11), repeat=2):
        start, end = base + first * PAGE, base + stop * PAGE
        within = [page for page in range(first, stop) if page in owner]
        assert space.over(start, end) == [mappings[at] for at in sorted({owner[page] for page in within})]
        assert space.mapped(start, end) == len(within) * PAGE
        free = [page for page in range(first, stop) if page not in owner]
        assert space.hole(start, end) == (base + free[0] * PAGE if free else None)
        assert space.is_sealed(start, end) == (8 in within)
        if first < stop:
            assert space.is_free(start, end) == (not within)
            assert space.splits(start, end) == (first == 3 == stop - 1)
    for page in range(11):
        for byte in (0, 1, PAGE - 1):
            found = space.find(base + page * PAGE + byte)
            assert found is (mappings[owner[page]] if page in owner else None)
            assert space.over(base + page * PAGE + byte, base + page * PAGE + byte + 1) == ([found] if found else [])


@pytest.mark.parametrize(
    ("addr", "above", "left"),
    [(2, 7, None), (6, 7, None), (10, None, None), (19, 20, 7), (13, 20, 1), (12, 20, 0), (24, 27, None), (40, 41, 9)],
)
def test_room_below_a_growing_mapping(
    process: ReferenceProcess, addr: int, above: int | None, left: int | None
) -> None:
    """Only an accessible mapping below counts; PROT_NONE and another growing mapping do not limit growth."""
    base = process.scratch_range()[0] + PAGE
    for start, pages, prot, flags in (
        (7, 2, RW, MAP_GROWSDOWN),
        (11, 1, PROT_READ, 0),
        (20, 1, RW, MAP_GROWSDOWN),
        (22, 2, PROT_NONE, 0),
        (27, 1, RW, MAP_GROWSDOWN),
        (30, 1, PROT_EXEC, 0),
        (41, 1, RW, MAP_GROWSDOWN),
    ):
        process.mmap(base + start * PAGE, pages * PAGE, prot, ANONYMOUS | MAP_FIXED | flags, -1, 0)
    for byte in (0, 1, PAGE - 1):
        found = process.space.growing(base + addr * PAGE + byte)
        if above is None:
            assert found is None
        else:
            expected = process.space.mappings[base + above * PAGE], None if left is None else left * PAGE
            assert found == expected


def two(process: ReferenceProcess) -> tuple[Mapping, Mapping]:
    """Neighbours that are alike: three pages of a file from its third page on, and two from where those end."""
    fd = process.open("f", O_RDWR | O_CREAT)
    description = process.descriptors[fd].description
    base = process.scratch_range()[0] + 7 * PAGE
    left, right = (
        Mapping(process.space, base + at * PAGE, base + end * PAGE, RW, True, description.inode, description, offset)
        for at, end, offset in ((0, 3, 3 * PAGE), (3, 5, 6 * PAGE))
    )
    return left, right


@pytest.mark.parametrize(
    ("attribute", "low", "high"),
    [
        ("prot", PROT_READ, RW),
        ("max_prot", RW, RW | PROT_EXEC),
        ("read_ahead", 0, 2),
        *(
            (name, False, True)
            for name in (
                "shared",
                "locked",
                "lock_on_fault",
                "dont_fork",
                "wipe_on_fork",
                "grows_down",
                "droppable",
                "sealed",
            )
        ),
        ("inode", None, "another"),
        ("description", None, "another"),
    ],
)
def test_neighbours_that_differ_in_anything_are_not_alike(
    process: ReferenceProcess, attribute: str, low: object, high: object
) -> None:
    left, right = two(process)
    assert right.is_like(left)
    assert right.is_contiguous_with(left)
    for one, other in ((low, high), (high, low)):
        setattr(left, attribute, one)
        setattr(right, attribute, other)
        assert not right.is_like(left)
        assert not right.is_contiguous_with(left)


@pytest.mark.parametrize("pages", [-4, -3, -1, 1, 2, 7])
def test_windows_that_do_not_continue_each_other_are_none(process: ReferenceProcess, pages: int) -> None:
    left, right = two(process)
    right.offset += pages * PAGE
    assert right.is_like(left)
    assert not right.is_contiguous_with(left)


@pytest.mark.parametrize("pages", [-1, 1])
def test_nor_are_mappings_that_do_not_meet(process: ReferenceProcess, pages: int) -> None:
    left, right = two(process)
    left.start += pages * PAGE
    left.end += pages * PAGE
    assert not right.is_like(left)


def test_a_part_is_as_the_whole(process: ReferenceProcess) -> None:
    """But for where it begins and ends, there and in the file."""
    left, _right = two(process)
    for name in (
        "lock_on_fault",
        "dont_fork",
        "wipe_on_fork",
        "sealed",
        "forked",
        "merged",
        "has_private_pages",
        "locked",
    ):
        for value in (True, False):
            setattr(left, name, value)
            part = left.part(left.start + PAGE, left.end, process.space)
            assert {at for at in Mapping.__slots__ if getattr(part, at) != getattr(left, at)} == {"start", "offset"}
            assert part.offset == 4 * PAGE
    assert [part.file_page(part.start // PAGE + at) for at in (0, 1)] == [4, 5]
    left.inode = process.descriptors[process.open("g", O_RDWR | O_CREAT)].description.inode
    left.inode.size = 5 * PAGE + 6
    rooms = [left.bytes_to_eof(left.start + at * PAGE + 9) for at in range(3)]
    assert rooms == [2 * PAGE + 6, PAGE + 6, 6]


@pytest.mark.parametrize("prot", range(8))
def test_mappings_that_count_as_data(process: ReferenceProcess, prot: int) -> None:
    for shared, grows in itertools.product((False, True), repeat=2):
        mapping = Mapping(process.space, 0, PAGE, prot, shared)
        mapping.grows_down = grows
        assert mapping.is_data == (bool(prot & PROT_WRITE) and not shared and not grows)
        assert mapping.is_untouched == (not shared)
        assert mapping.may_merge_with_untouched == (not shared or bool(prot & PROT_WRITE))
        mapping.has_private_pages = True
        assert not mapping.is_untouched
        assert mapping.may_merge_with_untouched == bool(prot & PROT_WRITE)


@pytest.mark.parametrize("locked", [MAP_LOCKED, 0], ids=["locked", "not-locked"])
def test_locked_pages_are_counted_after_each_call(process: ReferenceProcess, locked: int) -> None:
    base = process.scratch_range()[0] + 9 * PAGE
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED | locked, -1, 0)
    process.mmap(base + 400 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | locked, -1, 0)
    for done, pages in (
        (lambda: process.mremap(base, 3 * PAGE, 8 * PAGE, 0), 9),
        (lambda: process.store(base + 397 * PAGE, b"x"), 12),
        (lambda: process.munmap(base + PAGE, 2 * PAGE), 10),
        (lambda: process.mremap(base + 3 * PAGE, 5 * PAGE, 3 * PAGE, 0), 8),
    ):
        done()
        assert process.space.size == pages * PAGE
        assert process.space.locked == (pages * PAGE if locked else 0)


def test_a_child_has_other_mappings_of_the_same(process: ReferenceProcess) -> None:
    """None is locked; of what it is not to have it has nothing, of what it is not to see no page."""
    base = process.scratch_range()[0] + 3 * PAGE
    process.mmap(base, 9 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"x" * 9 * PAGE)
    process.madvise(base + PAGE, 3 * PAGE, MADV_DONTFORK)
    process.madvise(base + 5 * PAGE, 2 * PAGE, MADV_WIPEONFORK)
    process.mlock2(base, 9 * PAGE, MLOCK_ONFAULT)
    child = process.fork()
    assert [(m.start - base, m.end - base) for m in child.space.mappings.values()] == [
        (0, PAGE),
        (4 * PAGE, 5 * PAGE),
        (5 * PAGE, 7 * PAGE),
        (7 * PAGE, 9 * PAGE),
    ]
    assert sorted(number - base // PAGE for number in child.space.table.entries) == [0, 4, 7, 8]
    assert (child.space.size, child.space.locked) == (6 * PAGE, 0)
    assert all(m.forked and not m.locked and not m.lock_on_fault for m in child.space.mappings.values())
    assert not any(m.forked for m in process.space.mappings.values())
    assert len(process.space.table.entries) == 9


def test_an_empty_range_leaves_one_mapping_one(process: ReferenceProcess) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mlock(base + PAGE, 0)
    process.mprotect(base + PAGE, 0, PROT_READ)
    process.mseal(base + PAGE, 0)
    assert process.space.cut_out(base + PAGE, base + PAGE) == []
    (mapping,) = process.space.mappings.values()
    assert not mapping.merged
    process.mlock(base + PAGE, PAGE)
    process.munlock(base + PAGE, PAGE)
    (mapping,) = process.space.mappings.values()
    assert mapping.merged


def test_of_what_is_joined_the_older_counts(process: ReferenceProcess) -> None:
    """A private page that was stored to makes the whole mapping such; what is mapped of a file is as old as can be."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 8 * PAGE)
    for first in (0, 1):
        base = process.scratch_range()[0] + (20 * first + 1) * PAGE
        for at in (first, 1 - first):
            process.mmap(base + at * PAGE, PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, at * PAGE)
            if at == first:
                before = process.descriptors[fd].description.inode.content_version
                process.pwrite(fd, b"x", 0)
                process.store(base + at * PAGE, b"x")
        mapping = process.space.mappings[base]
        assert mapping.end == base + 2 * PAGE
        assert (mapping.file_version, mapping.merged, mapping.has_private_pages) == (before, True, True)


class Several(LinuxChoices):
    """Takes neighbours that are alike for several mappings, but may find that they are one."""

    def merges(self, left: Mapping, right: Mapping) -> bool:
        return False

    def may_merge_moved(self, left: Mapping, right: Mapping) -> bool:
        return True


@pytest.mark.parametrize(
    ("end", "pages"), [(1, [2, 3, 1, 1]), (2, [2, 3, 1, 1]), (3, [5, 1, 1]), (5, [5, 1, 1]), (6, [6, 1]), (9, [6, 1])]
)
@pytest.mark.parametrize("flags", [ANONYMOUS, MAP_PRIVATE])
def test_as_much_is_one_as_a_call_asks_for(end: int, pages: list[int], flags: int) -> None:
    """Of four mappings the last is not like the others; those of a file are known by where they are in it."""
    process = ReferenceSystem(Parameters(), Several()).spawn()
    fd = process.open("f", O_RDWR | O_CREAT)
    base = process.scratch_range()[0] + 5 * PAGE
    for first, count, prot in ((5, 1, RW), (2, 3, RW), (0, 2, RW), (6, 1, PROT_READ)):
        process.mmap(base + first * PAGE, count * PAGE, prot, flags | MAP_FIXED, fd, first * PAGE)
    process.space.merge_across_moves(process.space.mappings[base], base + end * PAGE)
    sizes = [(m.end - m.start) // PAGE for m in process.space.mappings.values()]
    assert sizes == (pages if flags == ANONYMOUS else [2, 3, 1, 1])


def test_a_mapping_after_a_hole_is_another(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.munmap(base + 2 * PAGE, PAGE)
    process.space.merge_across_moves(process.space.mappings[base], base + 5 * PAGE)
    assert layout(process) == [(0, 2, RW), (3, 5, RW)]


@pytest.mark.parametrize(("first", "pages"), [(0, 5), (1, 5), (2, 5), (3, 1), (1, 1)])
def test_mapping_at_an_address_below_its_length_is_counted(process: ReferenceProcess, first: int, pages: int) -> None:
    """Memory at the bottom of the address space."""
    space, base, size = process.space, first * PAGE, pages * PAGE
    for lock_later in (True, False):
        process.mmap(base, size, RW, ANONYMOUS | MAP_FIXED | (0 if lock_later else MAP_LOCKED), -1, 0)
        if lock_later:
            assert space.locked == 0
            process.mlock(base, size)
        assert (space.size, space.locked, space.data()) == (size, size, size)
        assert space.mapped(base, base + size) == size
        process.mremap(base, size, size + 2 * PAGE, 0)
        assert (space.size, space.locked) == (size + 2 * PAGE, size + 2 * PAGE)
        process.munlock(base + PAGE, PAGE)
        assert space.locked == size + PAGE
        process.munmap(base, size + 2 * PAGE)
        assert (space.size, space.locked, space.data()) == (0, 0, 0)
        assert list(space.gaps.starts.items()) == [(0, process.task_size)]
