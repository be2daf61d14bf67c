"""Pages: shared through the cache, copied at the first store, faulted in, written back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from math import gcd

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Fault,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.paging import FRAGMENT, FRAMES, Memory, Page, between
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def make(process: ReferenceProcess, content: bytes) -> int:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


def faults(process: ReferenceProcess) -> tuple[int, int]:
    return process.space.table.minor, process.space.table.major


def test_a_page_of_a_file_is_one_frame_for_all(process: ReferenceProcess) -> None:
    fd = make(process, b"abc")
    one = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    two = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)
    process.store(one, b"X")
    assert process.load(two, 3) == b"Xbc"
    entries = process.space.table.entries
    assert entries[one // PAGE] is entries[two // PAGE]


def test_a_private_page_follows_the_file_until_the_first_store(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * 2 * PAGE)
    base = process.mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0)
    assert process.load(base, 1) == b"a"
    process.pwrite(fd, b"b", 0)
    assert process.load(base, 1) == b"b"
    process.store(base + 1, b"X")
    process.pwrite(fd, b"cc", 0)
    process.pwrite(fd, b"d", PAGE)
    assert process.load(base, 3) == b"bXa"
    assert process.load(base + PAGE, 1) == b"d"
    assert process.pread(fd, 2, 0) == b"cc"


@pytest.mark.parametrize("flag", [MAP_POPULATE, MAP_LOCKED])
def test_populating_makes_the_private_copy(process: ReferenceProcess, flag: int) -> None:
    fd = make(process, b"a")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | flag, fd, 0)
    process.pwrite(fd, b"b", 0)
    assert process.load(base, 1) == b"a"


def test_frames_are_scattered_and_never_given_twice(process: ReferenceProcess) -> None:
    base = process.mmap(0, 64 * PAGE, RW, ANONYMOUS, -1, 0)
    for n in range(64):
        process.store(base + n * PAGE, b"x")
    frames = [page.frame for page in process.space.table.entries.values()]
    assert len(set(frames)) == 64
    assert not any(b - a == 1 for a, b in itertools.pairwise(frames))


def test_a_first_touch_is_a_minor_fault_and_the_next_is_none(process: ReferenceProcess) -> None:
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x")
    process.load(base, 1)
    process.store(base, b"y")
    assert faults(process) == (1, 0)
    process.load(base + PAGE, 1)
    process.store(base + PAGE, b"z")
    assert faults(process) == (3, 0), "a page of zeros, and its copy"
    assert process.counters().faults == 3


def test_a_page_that_is_on_the_disk_only_is_a_major_fault(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * 2 * PAGE)
    process.drop_cache(fd)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    assert process.mincore(base, 2 * PAGE) == [False, False]
    assert process.load(base + PAGE, 1) == b"a"
    assert faults(process) == (0, 1)
    assert process.mincore(base, 2 * PAGE) == [False, True]


def test_evicting_spares_locked_pages_and_private_copies(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"X")
    process.load(base + 2 * PAGE, 1)
    locked = process.mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_LOCKED, fd, PAGE)
    process.drop_cache(fd)
    assert process.mincore(base, 3 * PAGE) == [True, True, False]
    assert process.mincore(locked, PAGE) == [True]
    assert process.load(base, 2) == b"Xa"
    before = faults(process)
    process.load(locked, 1)
    assert faults(process) == before, "a locked page keeps its entry as well"


def test_evicting_takes_every_page(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * 5 * PAGE)
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 5 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    process.load(base, 5 * PAGE)
    process.drop_cache(fd)
    assert process.mincore(base, 5 * PAGE) == [False] * 5
    before = faults(process)
    process.load(base, 5 * PAGE)
    assert faults(process) == (before[0], before[1] + 5)


@pytest.mark.parametrize("locked", [0, 1, 2, 3, 4])
def test_evicting_leaves_a_locked_page_among_others(process: ReferenceProcess, locked: int) -> None:
    fd = make(process, b"a" * 5 * PAGE)
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 5 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    process.load(base, 5 * PAGE)
    process.mlock(base + locked * PAGE, PAGE)
    process.drop_cache(fd)
    assert list(process.space.table.entries) == [base // PAGE + locked]
    assert process.mincore(base, 5 * PAGE) == [number == locked for number in range(5)]


def test_bytes_that_are_written_are_open_no_longer_and_those_around_them_are() -> None:
    page = Memory(PAGE).allocate(b"abcd")
    page.mark_indeterminate(0, 4)
    page.resolve(1, 2)
    assert page.indeterminate is not None
    assert set(page.indeterminate) == {0, 2, 3}


def test_stores_make_dirty_and_synchronising_makes_clean(process: ReferenceProcess) -> None:
    fd = make(process, b"")
    process.ftruncate(fd, 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    inode = process.descriptors[fd].description.inode
    process.load(base, 1)
    process.store(base + PAGE, b"x")
    process.store(base + 2 * PAGE, b"y")
    dirty = [index for index, page in inode.cache.pages.items() if page.dirty]
    assert dirty == [1, 2]
    process.msync(base + PAGE, 1, MS_ASYNC)
    assert inode.cache.pages[1].dirty
    process.msync(base + PAGE, 1, MS_SYNC)
    assert [index for index, page in inode.cache.pages.items() if page.dirty] == [2]
    assert inode.cache.on_disk is not None
    assert inode.cache.on_disk.blocks[1][:1] == b"x"


def test_fork_shares_private_pages_until_one_stores(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"a")
    child = process.fork()
    page = process.space.table.entries[base // PAGE]
    assert child.space.table.entries[base // PAGE] is page
    assert page.refcount == 2
    child.store(base, b"b")
    assert page.refcount == 1
    assert (process.load(base, 1), child.load(base, 1)) == (b"a", b"b")
    before = faults(process)
    process.store(base, b"c")
    assert faults(process) == before, "the only one who holds a page need not copy it"


def test_the_last_sharer_stores_in_place_after_the_other_has_ended(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"a")
    process.fork().kill()
    assert process.space.table.entries[base // PAGE].refcount == 1


def test_cutting_a_file_takes_pages_away_and_keeps_the_copy_of_the_last_one(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * 3 * PAGE)
    shared = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    private = process.mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0)
    for n in range(3):
        process.load(shared + n * PAGE, 1)
        process.store(private + n * PAGE, b"P")
    process.ftruncate(fd, PAGE + 10)
    assert process.load(shared + PAGE + 9, 2) == b"a\0"
    assert process.load(private + PAGE, 12) == b"P" + b"a" * 11
    for base in (shared, private):
        with pytest.raises(Fault) as fault:
            process.load(base + 2 * PAGE + 5, 1)
        assert (fault.value.signal, fault.value.address) == ("SIGBUS", base + 2 * PAGE + 5)
    process.ftruncate(fd, 3 * PAGE)
    assert process.load(private + 2 * PAGE, 1) == process.load(shared + 2 * PAGE, 1) == b"\0"


def test_slack_is_never_in_the_file(process: ReferenceProcess) -> None:
    fd = make(process, b"abc")
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    assert process.load(base + 3, 5) == bytes(5)
    process.store(base + 3, b"slack")
    assert process.load(base, 8) == b"abcslack"
    assert process.pread(fd, 100, 0) == b"abc"
    assert process.fstat(fd).size == 3
    process.fsync(fd)
    assert process.load(base, 8) == b"abc" + bytes(5)
    process.store(base + 3, b"again")
    process.ftruncate(fd, PAGE)
    assert process.pread(fd, 8, 0) == b"abc" + bytes(5)


def test_slack_goes_with_write_back_from_a_page_that_is_not_the_first(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * PAGE + b"abc")
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base + PAGE + 3, b"slack")
    process.fsync(fd)
    assert process.load(base + PAGE, 8) == b"abc" + bytes(5)


def test_a_store_that_the_disk_has_no_room_for_is_a_bus_error() -> None:
    machine = ReferenceBackend().boot()
    process = machine.spawn()
    fd = process.open("/own/f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    disk = machine.mounts["own"].disk
    disk.capacity = disk.used + PAGE
    process.store(base + PAGE, b"x")
    with pytest.raises(Fault) as fault:
        process.store(base + 2 * PAGE, b"x")
    assert (fault.value.signal, fault.value.code) == ("SIGBUS", "BUS_ADRERR")
    process.store(base + PAGE, b"y")


def test_an_access_of_many_bytes_has_done_what_comes_before_its_fault(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | 0x10, -1, 0)
    with pytest.raises(Fault) as fault:
        process.store(base + PAGE - 2, b"abcd")
    assert fault.value.address == base + PAGE
    assert process.load(base + PAGE - 2, 2) == b"ab"


# --------------------------------------------------------------------------------------------------------------- frames


def test_every_frame_is_handed_out_once() -> None:
    assert gcd(FRAGMENT, FRAMES) == 1
    memory = Memory(PAGE)
    frames = [memory.allocate().frame for _ in range(100)]
    assert len(set(frames)) == 100
    assert all(0 <= frame < FRAMES for frame in frames)
    assert max(frames) > FRAMES // 2


@pytest.mark.parametrize("length", [0, 1, 7, PAGE - 1, PAGE])
def test_a_fresh_frame_holds_zeros_after_its_content(length: int) -> None:
    page = Memory(PAGE).allocate(b"x" * length)
    assert page.data == b"x" * length + bytes(PAGE - length)
    assert (page.dirty, page.refcount, page.lazy_free, page.indeterminate) == (False, 0, False, None)


class Counted(dict[int, Page]):
    """Pages, with a note of what was looked at."""

    def __init__(self, numbers: Iterable[int]) -> None:
        super().__init__({number: Memory(PAGE).allocate() for number in numbers})
        self.looked_at: list[int] = []

    def __iter__(self) -> Iterator[int]:
        for number in super().__iter__():
            self.looked_at.append(number)
            yield number

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int)
        self.looked_at.append(number)
        return super().__contains__(number)


@pytest.mark.parametrize(
    ("numbers", "first", "stop", "looks"),
    [
        (range(100, 0, -1), 3, 9, 6),
        (range(100, 0, -1), 97, 200, 100),
        (range(100, 0, -1), 90, 189, 99),
        ((9, 3, 1 << 40, 5), 4, 1 << 50, 4),
        ((9, 3, 1 << 40, 5), 4, 6, 2),
        ((9, 3, 1 << 40, 5), 4, 7, 3),
        ((9, 3, 1 << 40, 5), 3, 9, 4),
        ((1 << 40, (1 << 40) + 1, (1 << 40) + 2), 1 << 40, (1 << 40) + 2, 2),
        ((9, 3), 5, 5, 0),
    ],
)
def test_whichever_are_fewer_are_looked_at(numbers: Iterable[int], first: int, stop: int, looks: int) -> None:
    pages = Counted(numbers)
    assert between(pages, first, stop) == sorted(number for number in numbers if first <= number < stop)
    assert len(pages.looked_at) == looks


# --------------------------------------------------------------------------------------------------------- what is open


def test_bytes_past_the_end_may_be_zero() -> None:
    page = Memory(PAGE).allocate(b"ab\0cdefg")
    page.mark_indeterminate(1, 5)
    assert page.indeterminate == {1: b"b\0", 3: b"c\0", 4: b"d\0"}
    page.mark_indeterminate(6, 7)
    assert page.indeterminate == {1: b"b\0", 3: b"c\0", 4: b"d\0", 6: b"f\0"}
    page.allow({1: b"bB"})
    assert page.indeterminate == {1: b"bB", 3: b"c\0", 4: b"d\0", 6: b"f\0"}
    page.wipe(4)
    assert page.indeterminate == {1: b"bB", 3: b"c\0"}
    assert page.data == b"ab\0c" + bytes(PAGE - 4)
    page.mark_lazy_free()
    assert page.lazy_free
    assert page.indeterminate == {0: b"a\0", 1: b"b\0", 3: b"c\0"}


def test_only_pages_that_are_the_process_s_own_are_freed_in_place(process: ReferenceProcess) -> None:
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"x" * 3 * PAGE)
    process.load(base + 3 * PAGE, 1)
    entries = process.space.table.entries
    first, own, shared, zeros = entries.values()
    process.munmap(base + 4 * PAGE, PAGE)
    child = process.fork()
    child.store(base + PAGE, b"y")
    process.space.table.mark_lazy_free(base // PAGE + 1, base // PAGE + 4)
    assert [page.lazy_free for page in entries.values()] == [False, True, True, False]
    assert entries[base // PAGE + 1] is own
    assert entries[base // PAGE + 2] is not shared
    assert entries[base // PAGE + 3] is zeros
    assert (first.refcount, own.refcount, shared.refcount, zeros.refcount) == (2, 1, 1, 0)
    assert child.space.table.entries[base // PAGE + 2] is shared
    assert not shared.lazy_free
    assert shared.indeterminate is None


class Hides(LinuxChoices):
    """Whose private pages may be as they were when they were mapped."""

    def shows_changes(self) -> bool:
        return False


@pytest.mark.parametrize("changes", [0, 1, 2])
@pytest.mark.parametrize("flags", [MAP_PRIVATE, MAP_SHARED])
@pytest.mark.parametrize("choices", [LinuxChoices(), Hides()])
def test_a_private_page_of_a_file_that_has_changed_may_be_anything(
    choices: LinuxChoices, flags: int, changes: int
) -> None:
    process = ReferenceSystem(Parameters(), choices).spawn()
    fd = make(process, b"a" * 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, flags, fd, 0)
    if flags == MAP_PRIVATE:
        process.store(base + 2 * PAGE, b"x")
    for _ in range(changes):
        process.pwrite(fd, b"b", 0)
    process.load(base, 3 * PAGE)
    is_open = changes > 0 and flags == MAP_PRIVATE and isinstance(choices, Hides)
    pages = process.space.table.entries
    for at in range(2):
        page = pages[base // PAGE + at]
        assert page.indeterminate == (dict.fromkeys(range(PAGE), b"") if is_open else None)
        assert page.refcount == is_open
    assert pages[base // PAGE + 2].indeterminate is None
    mapping = process.space.mappings[base]
    assert mapping.has_private_pages == (flags == MAP_PRIVATE)


# ------------------------------------------------------------------------------------------------- write-back and holes


@pytest.mark.parametrize("first", range(5))
def test_clean_page_does_not_lengthen_the_file_on_disk(process: ReferenceProcess, first: int) -> None:
    """On the disk: as long as what was written last asks for, while other pages still wait."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 5 * PAGE + 9)
    base = process.mmap(process.scratch_range()[0] + PAGE, 6 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.load(base, 6 * PAGE)
    process.store(base + 5 * PAGE, b"x")
    record = process.descriptors[fd].description.inode.cache.on_disk
    assert record is not None
    process.msync(base + first * PAGE, PAGE, MS_SYNC)
    assert record.size == 0
    process.store(base + first * PAGE, b"x")
    process.msync(base + first * PAGE, PAGE, MS_SYNC)
    assert record.size == (first + 1) * PAGE
    assert [block for block, content in record.blocks.items() if content] == [first]
    process.msync(base, PAGE, MS_SYNC)
    assert record.size == (first + 1) * PAGE
    process.msync(base + 5 * PAGE, PAGE, MS_SYNC)
    assert (record.size, record.blocks[5]) == (5 * PAGE + 9, b"x" + bytes(8))


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE + 7, 2 * PAGE, 3 * PAGE - 1, 3 * PAGE])
def test_cutting_leaves_the_pages_that_have_a_byte(process: ReferenceProcess, size: int) -> None:
    fd = make(process, b"a" * 3 * PAGE)
    cache = process.descriptors[fd].description.inode.cache
    process.ftruncate(fd, size)
    assert sorted(cache.pages) == [index for index in range(3) if index * PAGE < size]
    assert b"".join(bytes(cache.pages[index].data) for index in sorted(cache.pages)) == b"a" * size + bytes(
        -size % PAGE
    )


def test_a_page_is_read_from_the_disk_if_it_is_there_only(process: ReferenceProcess) -> None:
    fd = make(process, b"a" * PAGE)
    process.ftruncate(fd, 3 * PAGE)
    process.drop_cache(fd)
    cache = process.descriptors[fd].description.inode.cache
    assert [cache.needs_disk_read(index) for index in range(4)] == [True, False, False, False]
    base = process.mmap(0, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.load(base, 3 * PAGE)
    assert faults(process) == (2, 1)
    assert not cache.needs_disk_read(0)
    anonymous = process.mmap(0, 3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.store(anonymous, b"x" * 3 * PAGE)
    assert faults(process) == (5, 1)
    assert [process.space.table.entries[anonymous // PAGE + at].dirty for at in range(3)] == [True] * 3


@pytest.mark.parametrize(("first", "stop"), [(0, 5), (1, 3), (2, 2), (3, 9)])
def test_entries_are_dropped_moved_and_found_by_their_numbers(process: ReferenceProcess, first: int, stop: int) -> None:
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"x" * 5 * PAGE)
    table, number = process.space.table, base // PAGE
    pages = list(table.entries.values())
    within = [at for at in range(5) if first <= at < stop]
    assert table.within(number + first, number + stop) == [number + at for at in within]
    table.move(number + first, number + stop, number + 50)
    assert {at - number: pages.index(page) for at, page in table.entries.items()} == {
        (at - first + 50 if at in within else at): at for at in range(5)
    }
    table.zap(number + 50, number + 50 + stop - first, private=False)
    assert len(table.entries) == 5
    table.zap(number + 50, number + 50 + stop - first)
    assert sorted(at - number for at in table.entries) == [at for at in range(5) if at not in within]
    assert [page.refcount for page in pages] == [0 if at in within else 1 for at in range(5)]


def test_a_copy_has_one_holder_and_is_a_fault(process: ReferenceProcess) -> None:
    """Two faults, if it was loaded from before."""
    fd = make(process, b"a" * 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0)
    for at, count in ((0, 1), (1, 2)):
        before = sum(faults(process))
        if at:
            process.load(base + at * PAGE, 1)
        process.store(base + at * PAGE, b"x")
        process.store(base + at * PAGE, b"y")
        assert sum(faults(process)) - before == count
        assert process.space.table.entries[base // PAGE + at].refcount == 1
    children = [process.fork() for _ in range(3)]
    page = process.space.table.entries[base // PAGE]
    assert page.refcount == 4
    page.indeterminate = {7: b"ab"}
    children[1].store(base, b"z")
    assert page.refcount == 3
    copy = children[1].space.table.entries[base // PAGE]
    assert (copy.refcount, copy.indeterminate, bytes(copy.data[:1])) == (1, {7: b"ab"}, b"z")
    assert copy.indeterminate is not page.indeterminate
    assert sorted(children[0].space.table.entries) == [base // PAGE, base // PAGE + 1]


@pytest.mark.parametrize("dirty", [None, *range(8)])
@pytest.mark.parametrize(("grown", "synced"), [(8, 0), (8, 3), (8, 6), (5, 1)])
def test_size_on_disk_of_a_grown_file(process: ReferenceProcess, dirty: int | None, grown: int, synced: int) -> None:
    """Five pages are there; it is as long as it is known to be, unless a page after these is dirty."""
    fd = make(process, b"a" * 5 * PAGE)
    process.fsync(fd)
    process.ftruncate(fd, grown * PAGE)
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, grown * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    for at in range(grown):
        if at in (dirty, synced):
            process.store(base + at * PAGE, b"x")
    record = process.descriptors[fd].description.inode.cache.on_disk
    assert record is not None
    assert record.size == 5 * PAGE
    process.msync(base + synced * PAGE, PAGE, MS_SYNC)
    waits = dirty is not None and 5 <= dirty < grown and dirty != synced
    assert record.size == (max(5, synced + 1) if waits else grown) * PAGE
    assert record.name_durable
    assert not record.truncated


class CopiesWhenLoaded(LinuxChoices):
    def copies_when_loaded(self) -> bool:
        return True


@pytest.mark.parametrize("flags", [MAP_PRIVATE, ANONYMOUS, MAP_SHARED])
def test_a_system_may_copy_a_private_page_when_it_is_first_loaded(flags: int) -> None:
    """By one fault; what a child has from its parent is nothing new to it."""
    process = ReferenceSystem(Parameters(), CopiesWhenLoaded()).spawn()
    fd = make(process, b"a" * 2 * PAGE)
    base = process.mmap(0, 2 * PAGE, RW, flags, fd, 0)
    number = base // PAGE
    for _ in range(2):
        process.load(base, 1)
        page = process.space.table.entries[number]
        assert page.refcount == (0 if flags == MAP_SHARED else 1)
        assert faults(process) == (1, 0)
    assert process.space.mappings[base].has_private_pages == (flags != MAP_SHARED)
    child = process.fork()
    child.load(base, 1)
    assert child.space.table.entries[number] is page
    child.store(base, b"x")
    assert (child.space.table.entries[number] is page) == (flags == MAP_SHARED)
    assert faults(child) == (1, 0)
