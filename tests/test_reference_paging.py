"""Pages: shared through the cache, copied at the first store, faulted in, written back."""

from __future__ import annotations

import itertools

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
from pytest_mmapconf.reference.paging import Memory
from pytest_mmapconf.reference.process import Process

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> Process:
    return ReferenceBackend().boot().spawn()


def make(process: Process, content: bytes) -> int:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


def faults(process: Process) -> tuple[int, int]:
    return process.space.table.minor, process.space.table.major


def test_a_page_of_a_file_is_one_frame_for_all(process: Process) -> None:
    fd = make(process, b"abc")
    one = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    two = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)
    process.store(one, b"X")
    assert process.load(two, 3) == b"Xbc"
    entries = process.space.table.entries
    assert entries[one // PAGE] is entries[two // PAGE]


def test_a_private_page_follows_the_file_until_the_first_store(process: Process) -> None:
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
def test_populating_makes_the_private_copy(process: Process, flag: int) -> None:
    fd = make(process, b"a")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | flag, fd, 0)
    process.pwrite(fd, b"b", 0)
    assert process.load(base, 1) == b"a"


def test_frames_are_scattered_and_never_given_twice(process: Process) -> None:
    base = process.mmap(0, 64 * PAGE, RW, ANONYMOUS, -1, 0)
    for n in range(64):
        process.store(base + n * PAGE, b"x")
    frames = [page.frame for page in process.space.table.entries.values()]
    assert len(set(frames)) == 64
    assert not any(b - a == 1 for a, b in itertools.pairwise(frames))


def test_a_first_touch_is_a_minor_fault_and_the_next_is_none(process: Process) -> None:
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x")
    process.load(base, 1)
    process.store(base, b"y")
    assert faults(process) == (1, 0)
    process.load(base + PAGE, 1)
    process.store(base + PAGE, b"z")
    assert faults(process) == (3, 0), "a page of zeros, and its copy"
    assert process.counters().faults == 3


def test_a_page_that_is_on_the_disk_only_is_a_major_fault(process: Process) -> None:
    fd = make(process, b"a" * 2 * PAGE)
    process.evict(fd)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    assert process.mincore(base, 2 * PAGE) == [False, False]
    assert process.load(base + PAGE, 1) == b"a"
    assert faults(process) == (0, 1)
    assert process.mincore(base, 2 * PAGE) == [False, True]


def test_evicting_spares_locked_pages_and_private_copies(process: Process) -> None:
    fd = make(process, b"a" * 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"X")
    process.load(base + 2 * PAGE, 1)
    locked = process.mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_LOCKED, fd, PAGE)
    process.evict(fd)
    assert process.mincore(base, 3 * PAGE) == [True, True, False]
    assert process.mincore(locked, PAGE) == [True]
    assert process.load(base, 2) == b"Xa"
    before = faults(process)
    process.load(locked, 1)
    assert faults(process) == before, "a locked page keeps its entry as well"


def test_evicting_takes_every_page(process: Process) -> None:
    fd = make(process, b"a" * 5 * PAGE)
    base = process.mmap(process.arena()[0] + 3 * PAGE, 5 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    process.load(base, 5 * PAGE)
    process.evict(fd)
    assert process.mincore(base, 5 * PAGE) == [False] * 5
    before = faults(process)
    process.load(base, 5 * PAGE)
    assert faults(process) == (before[0], before[1] + 5)


@pytest.mark.parametrize("locked", [0, 1, 2, 3, 4])
def test_evicting_leaves_a_locked_page_among_others(process: Process, locked: int) -> None:
    fd = make(process, b"a" * 5 * PAGE)
    base = process.mmap(process.arena()[0] + 3 * PAGE, 5 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    process.load(base, 5 * PAGE)
    process.mlock(base + locked * PAGE, PAGE)
    process.evict(fd)
    assert list(process.space.table.entries) == [base // PAGE + locked]
    assert process.mincore(base, 5 * PAGE) == [number == locked for number in range(5)]


def test_bytes_that_are_written_are_open_no_longer_and_those_around_them_are() -> None:
    page = Memory(PAGE).fresh(b"abcd")
    page.opened(0, 4)
    page.settled(1, 2)
    assert page.open is not None
    assert set(page.open) == {0, 2, 3}


def test_stores_make_dirty_and_synchronising_makes_clean(process: Process) -> None:
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
    assert inode.cache.record is not None
    assert inode.cache.record.blocks[1][:1] == b"x"


def test_fork_shares_private_pages_until_one_stores(process: Process) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"a")
    child = process.fork()
    page = process.space.table.entries[base // PAGE]
    assert child.space.table.entries[base // PAGE] is page
    assert page.sharers == 2
    child.store(base, b"b")
    assert page.sharers == 1
    assert (process.load(base, 1), child.load(base, 1)) == (b"a", b"b")
    before = faults(process)
    process.store(base, b"c")
    assert faults(process) == before, "the only one who holds a page need not copy it"


def test_the_last_sharer_stores_in_place_after_the_other_has_ended(process: Process) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"a")
    process.fork().kill()
    assert process.space.table.entries[base // PAGE].sharers == 1


def test_cutting_a_file_takes_pages_away_and_keeps_the_copy_of_the_last_one(process: Process) -> None:
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


def test_slack_is_never_in_the_file(process: Process) -> None:
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


def test_slack_goes_with_write_back_from_a_page_that_is_not_the_first(process: Process) -> None:
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


def test_an_access_of_many_bytes_has_done_what_comes_before_its_fault(process: Process) -> None:
    base = process.arena()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | 0x10, -1, 0)
    with pytest.raises(Fault) as fault:
        process.store(base + PAGE - 2, b"abcd")
    assert fault.value.address == base + PAGE
    assert process.load(base + PAGE - 2, 2) == b"ab"
