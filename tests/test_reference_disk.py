"""The disk: what is left after a crash, and what is free."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import MAP_SHARED, MS_SYNC, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE, Facility, Unresolved
from pytest_mmapconf.reference.disk import Disk, OnDiskFile
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.paging import Memory, PageCache
from pytest_mmapconf.reference.system import ReferenceSystem

PAGE = 4096
RW = PROT_READ | PROT_WRITE


class Kept(LinuxChoices):
    """As Linux, but everything that was stored survives a crash."""

    __slots__ = ()

    def survives(self, name: str, block: int) -> bool:
        return True


def test_a_record_takes_and_gives_back_room() -> None:
    disk = Disk(2 * PAGE)
    record = OnDiskFile(disk, PAGE)
    assert record.reserve(0, LinuxChoices())
    assert record.reserve(7, LinuxChoices())
    assert record.reserve(7, LinuxChoices()), "room that was taken already"
    assert not record.reserve(8, LinuxChoices())
    assert disk.free == 0
    record.cut(PAGE)
    assert disk.free == PAGE
    record.cut(0)
    assert disk.free == 2 * PAGE


def test_truncation_drops_the_bytes_past_the_end() -> None:
    record = OnDiskFile(Disk(PAGE), PAGE)
    record.reserve(0, LinuxChoices())
    record.blocks[0] = b"abcdef"
    record.size = 6
    record.cut(2)
    assert (record.blocks[0], record.size) == (b"ab", 2)


@pytest.mark.parametrize("choices", [LinuxChoices(), Kept()])
def test_a_crash_keeps_what_was_synced_and_either_content_of_the_rest(choices: LinuxChoices) -> None:
    machine = ReferenceSystem(Parameters(), choices)
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"o" * 3 * PAGE, 0)
    process.fsync(fd)
    base = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base, b"synced")
    process.store(base + PAGE, b"not synced")
    process.store(base + 2 * PAGE, b"half")
    process.msync(base, PAGE, MS_SYNC)
    machine.crash()
    with pytest.raises(Unresolved, match="has ended"):
        process.load(base, 1)
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR)
    content = process.pread(fd, 4 * PAGE, 0)
    assert len(content) == 3 * PAGE
    assert content[:7] == b"syncedo"
    survived = isinstance(choices, Kept)
    assert content[PAGE : PAGE + 10] == (b"not synced" if survived else b"o" * 10)
    assert content[2 * PAGE : 2 * PAGE + 5] == (b"halfo" if survived else b"ooooo")


@pytest.mark.parametrize("size", [100, PAGE, PAGE + 1, 2 * PAGE - 1])
@pytest.mark.parametrize("survives", [True, False, None])
def test_a_crash_leaves_nothing_past_the_end_on_the_disk(survives: bool | None, size: int) -> None:
    """Of the page where that is, what lies before it may be new; growth that was not synced is lost."""

    class Crashing(LinuxChoices):
        def survives(self, name: str, block: int) -> bool | None:
            return survives

    machine = ReferenceSystem(Parameters(), Crashing())
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"o" * size, 0)
    process.fsync(fd)
    process.pwrite(fd, b"n" * (3 * PAGE), 0)
    machine.crash()
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR)
    inode = process.descriptors[fd].description.inode
    content = process.pread(fd, 4 * PAGE, 0)
    assert content == (b"n" if survives else b"o") * size
    undecided = {} if survives is not None else dict.fromkeys(range(size), b"on")
    assert inode.indeterminate_bytes(0, 4 * PAGE) == undecided
    process.ftruncate(fd, 2 * PAGE)
    assert process.pread(fd, 2 * PAGE, size) == bytes(2 * PAGE - size)


def test_a_crash_loses_names_and_growth_that_were_not_synced() -> None:
    machine = ReferenceSystem(Parameters(), LinuxChoices())
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    process = machine.spawn()
    process.mkdir(f"{folder}/d")
    room = process.free_space(folder)
    for name in ("d/kept", "lost"):
        fd = process.open(f"{folder}/{name}", O_RDWR | O_CREAT)
        process.pwrite(fd, b"abc", 0)
        if name == "d/kept":
            process.fsync(fd)
            process.pwrite(fd, b"defg", 3)
    machine.crash()
    process = machine.spawn()
    fd = process.open(f"{folder}/d/kept", O_RDWR)
    assert process.pread(fd, 9, 0) == b"abc"
    with pytest.raises(OSError, match="does not exist"):
        process.open(f"{folder}/lost", O_RDWR)
    assert process.free_space(folder) == room - PAGE


def test_a_second_crash_keeps_the_same() -> None:
    machine = ReferenceSystem(Parameters(), LinuxChoices())
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"abc", 0)
    process.fsync(fd)
    machine.crash()
    machine.crash()
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR)
    process.pwrite(fd, b"d", 3)
    assert process.pread(fd, 9, 0) == b"abcd"


def test_size_on_disk_is_a_choice_while_growth_is_dirty() -> None:
    machine = ReferenceSystem(Parameters(), LinuxChoices())
    process = machine.spawn()
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    fd = process.open(f"{folder}/file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"a" * PAGE, 0)
    process.fsync(fd)
    process.pwrite(fd, b"b" * 2 * PAGE, PAGE)
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    process.msync(base, PAGE, MS_SYNC)
    assert machine.has_unsynced_names()
    process.fsync(fd)
    assert not machine.has_unsynced_names()


@pytest.mark.parametrize("size", range(6 * 16 + 1))
def test_blocks_kept_by_a_truncation(size: int) -> None:
    """Of six blocks of sixteen bytes, of which the fourth was never written and the last is not full."""
    disk = Disk(10 * 16)
    record = OnDiskFile(disk, 16)
    content = bytes(range(1, 6 * 16 - 4))
    record.size = len(content)
    for block in (0, 1, 2, 3, 4, 5):
        record.reserve(block, LinuxChoices())
        record.blocks[block] = b"" if block == 3 else content[block * 16 : block * 16 + 16]
    record.cut(size)
    left = content[:size]
    kept = range(-(-size // 16))
    assert record.blocks == {block: b"" if block == 3 else left[block * 16 : block * 16 + 16] for block in kept}
    assert record.size == len(left)
    assert record.truncated is (size < len(content))
    assert disk.used == 16 * len(kept)
    record.cut(len(left))
    assert record.truncated is (size < len(content)), "until it is synced"


@pytest.mark.parametrize("first", range(7))
@pytest.mark.parametrize("stop", range(7))
def test_blocks_freed_by_a_hole(first: int, stop: int) -> None:
    disk = Disk(10 * PAGE)
    record = OnDiskFile(disk, PAGE)
    blocks = {0, 1, 3, 4, 5}
    for block in blocks:
        record.reserve(block, LinuxChoices())
    record.punch(first, stop)
    assert record.truncated, "until it is synced"
    assert record.blocks.keys() == blocks - set(range(first, stop))
    assert disk.free == (10 - len(record.blocks)) * PAGE


def test_a_block_has_its_content_or_another() -> None:
    record = OnDiskFile(Disk(PAGE), PAGE)
    record.write(3, b"abc?", {3: b"?!", 9: b"x\0"})
    assert record.indeterminate == {3: {3: b"?!"}}, "of the bytes that the block has"
    record.allow(3, b"aXc#+", {1: b"XY"}, {1: b"bm", 2: b"n"})
    assert record.blocks[3] == b"abc?\0"
    assert record.indeterminate == {3: {1: b"bmXY", 2: b"cn", 3: b"?!#", 4: b"\0+"}}
    record.cut(3 * PAGE + 2)
    assert record.blocks[3] == b"ab"
    assert record.indeterminate == {3: {1: b"bmXY"}}
    record.cut(PAGE)
    assert record.indeterminate == {}


def test_what_is_read_of_a_page_after_write_back_is_what_the_disk_has() -> None:
    """A store past the end of a file may be in a file that has grown since: the first load shows it."""
    choices = LinuxChoices()
    cache = PageCache(Memory(PAGE), OnDiskFile(Disk(PAGE), PAGE))
    record = cache.on_disk
    assert record is not None
    page = cache.page(0)
    cache.mark_dirty(0, page, choices)
    page.data[:4] = b"abxy"
    page.mark_indeterminate(2, 4)
    cache.write_back(0, 1, PAGE, choices)
    assert record.indeterminate == {0: {2: b"x\0", 3: b"y\0"}}

    page.data[2] = 0
    page.resolve(2, 3)
    cache.settle(0, page)
    assert record.blocks[0][:4] == b"ab\0y"
    assert record.indeterminate == {0: {3: b"y\0"}}

    del cache.pages[0]
    page = cache.page(0)
    assert page.indeterminate == {3: b"y\0"}
    cache.mark_dirty(0, page, choices)
    page.resolve(3, 4)
    cache.settle(0, page)
    assert record.indeterminate == {0: {3: b"y\0"}}, "a page that has been changed shows nothing of the disk"


def test_a_file_that_is_left_after_a_crash_gives_its_room_back_when_it_goes() -> None:
    machine = ReferenceSystem(Parameters(), LinuxChoices())
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    process = machine.spawn()
    room = process.free_space(folder)
    fd = process.open(f"{folder}/f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"abc", 0)
    process.fsync(fd)
    machine.crash()
    process = machine.spawn()
    fd = process.open(f"{folder}/f", O_RDWR)
    process.close(fd)
    assert process.free_space(folder) == room - PAGE
    process.unlink(f"{folder}/f")
    assert process.free_space(folder) == room


def test_where_nothing_is_missing_its_last_page_determines_its_size() -> None:
    """The size is on the disk as soon as the last page is; of a file that was cut, only after fsync."""
    machine = ReferenceSystem(Parameters(), LinuxChoices())
    process = machine.spawn()
    folder = machine.facility(Facility.CRASHING_FILE_SYSTEM)
    fd = process.open(f"{folder}/file", O_CREAT | O_RDWR)
    assert machine.has_unsynced_names()
    process.pwrite(fd, b"a" * 2 * PAGE, 0)
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    assert machine.has_unsynced_names()
    process.msync(base + PAGE, PAGE, MS_SYNC)
    assert not machine.has_unsynced_names()
    process.ftruncate(fd, PAGE + 5)
    assert machine.has_unsynced_names()
    process.ftruncate(fd, 2 * PAGE)
    assert machine.has_unsynced_names()
    process.fsync(fd)
    assert not machine.has_unsynced_names()
    process.mkdir(f"{folder}/directory")
    assert machine.has_unsynced_names(), "that of a directory, which nothing here can sync"
