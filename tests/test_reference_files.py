"""Files: references to them, and their end when the last reference is dropped."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import (
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PROT_READ,
    PROT_WRITE,
    SEAL_GROW,
    SEAL_SHRINK,
    SEAL_WRITE,
    SEEK_CUR,
    SEEK_END,
    Backend,
    Stat,
    Unresolved,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.files import Inode, InotifyWatch
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.refusal import Refused
from pytest_mmapconf.testing import fails, faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def make(process: ReferenceProcess, content: bytes = b"abc", path: str = "f") -> int:
    fd = process.open(path, O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


def inode_of(process: ReferenceProcess, fd: int) -> Inode:
    return process.descriptors[fd].description.inode


# ----------------------------------------------------------------------------------------------------- reference counts


def test_names_and_descriptions_are_counted(process: ReferenceProcess) -> None:
    fd = make(process)
    inode = inode_of(process, fd)
    description = process.descriptors[fd].description
    assert (inode.references, description.references) == (2, 1)
    again = process.open("f", O_RDONLY)
    assert inode.references == 3
    copy = process.dup(fd)
    assert (inode.references, description.references) == (3, 2)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    assert (inode.references, description.references) == (3, 3)
    for one in (fd, copy, again):
        process.close(one)
    process.unlink("f")
    assert (inode.references, description.references) == (1, 1)
    process.munmap(base, PAGE)
    assert inode.references == 1
    process.munmap(base + PAGE, 1)
    assert (inode.references, description.references) == (0, 0)


def test_fork_counts_descriptors_and_mappings(process: ReferenceProcess) -> None:
    fd = make(process)
    description = process.descriptors[fd].description
    process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    child = process.fork()
    assert description.references == 4
    child.kill()
    assert description.references == 2


def test_the_storage_of_a_file_is_given_back_with_the_last_reference(process: ReferenceProcess) -> None:
    before = process.free_space("/own")
    fd = make(process, b"x" * 3 * PAGE, "/own/f")
    assert process.free_space("/own") == before - 3 * PAGE
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    process.unlink("/own/f")
    process.close(fd)
    assert process.load(base, 1) == b"x"
    process.munmap(base, PAGE)
    assert process.free_space("/own") == before - 3 * PAGE
    process.mmap(base + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    assert process.free_space("/own") == before


@pytest.mark.parametrize("end", ["exit", "kill", "exec"])
def test_the_end_of_a_process_lets_its_files_go(process: ReferenceProcess, end: str) -> None:
    watch = None
    make(process)
    watch = process.watch("f")
    child = process.fork()
    fd = child.open("f", O_RDONLY | O_CLOEXEC)
    child.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    child.close(fd)
    assert process.close_events(watch) == 0
    getattr(child, end)()
    assert process.close_events(watch) == 1
    assert process.close_events(watch) == 0, "noted once"


def test_closes_of_one_kind_in_a_row_are_noted_as_one(process: ReferenceProcess) -> None:
    fds = [process.open("a", flags) for flags in (O_RDWR | O_CREAT, O_WRONLY, O_RDONLY, O_WRONLY)]
    watch = process.watch("a")

    for fd in fds:
        process.close(fd)

    assert process.close_events(watch) == 3


def test_a_path_only_descriptor_is_no_close_to_a_watch(process: ReferenceProcess) -> None:
    make(process)
    watch = process.watch("f")
    process.close(process.open("f", O_PATH))
    assert process.close_events(watch) == 0
    process.close(process.open("f", O_RDONLY))
    assert process.close_events(watch) == 1
    with fails("EINVAL"):
        process.close_events(0)


def test_open_files_are_counted(process: ReferenceProcess) -> None:
    used = process.machine.file_table.used
    fd = make(process)
    base = process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    zero = process.open("/dev/zero", O_RDWR)
    process.mmap(0, PAGE, RW, MAP_PRIVATE, zero, 0)
    assert process.machine.file_table.used == used + 3
    process.close(fd)
    process.close(zero)
    process.munmap(base, PAGE)
    assert process.machine.file_table.used == used + 1, "the private mapping holds the device"


# ---------------------------------------------------------------------------------------------------------------- locks


def test_flock_is_held_until_the_last_mapping_goes(process: ReferenceProcess) -> None:
    fd = make(process)
    other = process.open("f", O_RDWR)
    process.flock(fd, LOCK_EX)
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)
    with fails("EAGAIN"):
        process.flock(other, LOCK_SH | LOCK_NB)
    with pytest.raises(Unresolved):
        process.flock(other, LOCK_SH)
    process.munmap(base, PAGE)
    process.flock(other, LOCK_EX | LOCK_NB)


def test_flock_shared_and_unlocked(process: ReferenceProcess) -> None:
    one = make(process)
    two = process.open("f", O_RDWR)
    process.flock(one, LOCK_SH)
    process.flock(two, LOCK_SH | LOCK_NB)
    with fails("EAGAIN"):
        process.flock(one, LOCK_EX | LOCK_NB)
    process.flock(two, LOCK_UN)
    process.flock(one, LOCK_EX | LOCK_NB)
    with fails("EINVAL"):
        process.flock(one, 0)


def test_ofd_locks_live_with_the_description_and_posix_locks_do_not(process: ReferenceProcess) -> None:
    other = ReferenceProcess(process.machine)
    for ofd in (True, False):
        fd = make(process)
        process.record_lock(fd, ofd=ofd)
        process.record_lock(fd, ofd=ofd)
        base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
        process.close(fd)
        theirs = other.open("f", O_RDWR)
        if ofd:
            with fails("EAGAIN"):
                other.record_lock(theirs, ofd=False)
            process.munmap(base, PAGE)
        other.record_lock(theirs, ofd=False)
        other.close(theirs)


# --------------------------------------------------------------------------------------------------------------- errors


def test_open(process: ReferenceProcess) -> None:
    process.mkdir("d")
    make(process)
    with fails("ENOENT"):
        process.open("nothing", O_RDONLY)
    with fails("ENOENT"):
        process.open("no/thing", O_RDWR | O_CREAT)
    with fails("ENOTDIR"):
        process.open("f/x", O_RDWR | O_CREAT)
    with fails("EEXIST"):
        process.open("f", O_RDWR | O_CREAT | O_EXCL)
    with fails("EISDIR"):
        process.open("d", O_RDWR)
    with fails("ENOTDIR"):
        process.open("f", O_RDONLY | O_DIRECTORY)
    assert process.fstat(process.open("d", O_RDONLY)).kind == "directory"
    assert process.fstat(process.open(".", O_RDONLY)).kind == "directory"
    make(process, path="d/inner")
    assert process.pread(process.open("d/inner", O_RDONLY), 9, 0) == b"abc"


@pytest.mark.parametrize("limit", [4, 5])
def test_too_many_descriptors(limit: int) -> None:
    process = ReferenceBackend(descriptors=limit).boot().spawn()
    for _ in range(limit - 3):
        fd = process.open("f", O_RDWR | O_CREAT)
    with fails("EMFILE"):
        process.open("f", O_RDWR)
    with fails("EMFILE"):
        process.dup(fd)
    with fails("EMFILE"):
        process.pipe()


def test_the_lowest_free_descriptor_is_taken(process: ReferenceProcess) -> None:
    first, second, third = (make(process, path=str(n)) for n in range(3))
    assert (first, second, third) == (3, 4, 5)
    process.close(second)
    assert process.dup(first) == second
    with fails("EBADF"):
        process.close(99)


def test_truncating_at_open_and_appending(process: ReferenceProcess) -> None:
    fd = make(process)
    append = process.open("f", O_WRONLY | O_APPEND)
    assert process.pwrite(append, b"d", 0) == 1
    assert process.pread(fd, 9, 0) == b"abcd"
    process.open("f", O_RDWR | O_TRUNC)
    assert process.fstat(fd) == Stat("regular", 0)


def test_ftruncate_pread_pwrite_lseek(process: ReferenceProcess) -> None:
    fd = make(process)
    read_only = process.open("f", O_RDONLY)
    write_only = process.open("f", O_WRONLY)
    reader, _writer = process.pipe()
    with fails("EINVAL"):
        process.ftruncate(read_only, 1)
    with fails("EINVAL"):
        process.ftruncate(fd, -1)
    with fails("EFBIG"):
        process.ftruncate(fd, 2**63 - 1)
    with fails("EBADF"):
        process.pread(write_only, 1, 0)
    with fails("EBADF"):
        process.pwrite(read_only, b"x", 0)
    with fails("EINVAL"):
        process.pread(fd, 1, -1)
    with fails("ESPIPE"):
        process.pread(reader, 1, 0)
    with fails("EISDIR"):
        process.pread(process.open(".", O_RDONLY), 1, 0)
    with fails("EBADF"):
        process.fstat(99)
    assert process.lseek(fd, 2, 0) == 2
    assert process.lseek(fd, 1, SEEK_CUR) == 3
    assert process.lseek(fd, -3, SEEK_END) == 0
    with fails("EINVAL"):
        process.lseek(fd, -1, SEEK_CUR)
    with fails("ESPIPE"):
        process.lseek(reader, 0, SEEK_CUR)
    assert process.counters()[:2] == (4, 2)


def test_a_write_past_the_end_leaves_zeros(process: ReferenceProcess) -> None:
    fd = make(process)
    process.pwrite(fd, b"z", 2 * PAGE)
    assert process.pread(fd, 3 * PAGE, 0) == b"abc" + bytes(2 * PAGE - 3) + b"z"


def test_a_full_disk(process: ReferenceProcess) -> None:
    process.free_space("/own")
    disk = process.machine.mounts["own"].disk
    disk.capacity = PAGE
    fd = make(process, b"", "/own/f")
    assert process.pwrite(fd, b"x" * 2 * PAGE, 0) == PAGE
    assert process.fstat(fd).size == PAGE
    with fails("ENOSPC"):
        process.pwrite(fd, b"x", PAGE)
    assert process.fstat(fd).size == PAGE


@pytest.mark.parametrize(
    ("size", "offset", "written"),
    [(2 * PAGE, 2 * PAGE - 1, 1), (2 * PAGE, PAGE, PAGE), (PAGE + 100, 8, PAGE - 8), (100, 8, 0), (PAGE, PAGE, 0)],
)
def test_a_write_past_a_seal_against_growth_ends_where_the_last_whole_page_does(
    process: ReferenceProcess, size: int, offset: int, written: int
) -> None:
    """As Linux 6.18 was seen to do."""
    fd = process.memfd()
    process.ftruncate(fd, size)
    process.seal(fd, SEAL_GROW)

    if written:
        assert process.pwrite(fd, b"x" * 2 * PAGE, offset) == written
    else:
        with fails("EPERM"):
            process.pwrite(fd, b"x" * 2 * PAGE, offset)
    assert process.fstat(fd).size == size


def test_a_lock_that_cannot_become_another_is_lost(process: ReferenceProcess) -> None:
    """As flock(2) says: first the one is given up, and then the other is asked for."""
    first, second = make(process), process.open("f", O_RDWR)
    process.flock(first, LOCK_SH)
    process.flock(second, LOCK_SH)
    with fails("EAGAIN"):
        process.flock(first, LOCK_EX | LOCK_NB)
    process.flock(second, LOCK_EX | LOCK_NB)


def test_closing_a_mere_path_gives_up_no_record_lock(process: ReferenceProcess) -> None:
    fd = make(process)
    process.record_lock(fd, ofd=False)
    process.close(process.open("f", O_PATH))
    with fails("EAGAIN"):
        process.record_lock(fd, ofd=True)
    process.close(process.open("f", O_RDONLY))
    process.record_lock(fd, ofd=True)


def test_no_file_has_an_empty_name(process: ReferenceProcess) -> None:
    with fails("ENOENT"):
        process.open("", O_RDWR | O_CREAT)


def test_seals(process: ReferenceProcess) -> None:
    fd = process.memfd()
    process.ftruncate(fd, PAGE)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    with fails("EBUSY"):
        process.seal(fd, SEAL_WRITE)
    process.munmap(base, PAGE)
    process.seal(fd, SEAL_WRITE | SEAL_SHRINK | SEAL_GROW)
    for call in (
        lambda: process.pwrite(fd, b"x", 0),
        lambda: process.ftruncate(fd, 0),
        lambda: process.ftruncate(fd, 2 * PAGE),
        lambda: process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0),
    ):
        with fails("EPERM"):
            call()
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    with fails("EACCES"):
        process.mprotect(base, PAGE, RW)
    with fails("EINVAL"):
        process.seal(make(process), SEAL_WRITE)


@pytest.mark.parametrize(
    "change",
    [
        lambda process, fd, base: process.pwrite(fd, b"x", 0),
        lambda process, fd, base: process.ftruncate(fd, 1),
        lambda process, fd, base: process.ftruncate(fd, 3),
        lambda process, fd, base: process.ftruncate(fd, 9),
        lambda process, fd, base: process.store(base, b"x"),
        lambda process, fd, base: process.madvise(base, PAGE, MADV_REMOVE),
    ],
    ids=["write", "shorter", "as-long", "longer", "store", "hole"],
)
def test_a_change_ends_what_backdate_did(
    process: ReferenceProcess, change: Callable[[ReferenceProcess, int, int], object]
) -> None:
    fd = make(process)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    assert not process.has_old_mtime(fd)
    process.set_old_mtime(fd)
    assert process.has_old_mtime(fd)
    process.pwrite(fd, b"", 0)
    assert process.has_old_mtime(fd)

    change(process, fd, base)

    assert not process.has_old_mtime(fd)
    process.set_old_mtime(fd)
    assert process.has_old_mtime(fd)


def test_processes_that_may_not_set_an_old_mtime(process: ReferenceProcess) -> None:
    fd = make(process)
    path = process.open("f", O_PATH)
    process.set_append_only(fd, True)
    with fails("EPERM"):
        process.set_old_mtime(fd)
    with fails("EBADF"):
        process.set_old_mtime(path)
    assert not process.has_old_mtime(path)
    for call in (process.set_old_mtime, process.has_old_mtime):
        with fails("EBADF"):
            call(99)


def test_append_only(process: ReferenceProcess) -> None:
    fd = make(process)
    process.set_append_only(fd, True)
    with fails("EACCES"):
        process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    with fails("EPERM"):
        process.open("f", O_RDWR)
    with fails("EPERM"):
        process.ftruncate(fd, 0)
    with fails("EPERM"):
        process.unlink("f")
    process.drop_capability("CAP_LINUX_IMMUTABLE")
    with fails("EPERM"):
        process.set_append_only(fd, False)


def test_devices_and_unusual_files(process: ReferenceProcess) -> None:
    zero, null, random, maps, attribute = (
        process.open(path, O_RDONLY)
        for path in ("/dev/zero", "/dev/null", "/dev/random", "/proc/maps", "/sys/attribute")
    )
    assert process.pread(zero, 5, 0) == bytes(5)
    assert process.pread(null, 5, 0) == b""
    assert process.pread(random, 40, 3) == process.pread(random, 50, 0)[3:43]
    process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, zero, 0)
    assert re.fullmatch(rb"[0-9a-f]+-[0-9a-f]+ r--p 0+ 00:00 0\n", process.pread(maps, 200, 0))
    assert process.pread(attribute, 9, 0) == b"1\n"
    assert process.fstat(zero).kind == "character"
    assert process.fstat(maps).kind == "regular"
    for fd in (null, random, maps, attribute):
        with pytest.raises(Refused) as refused:
            process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
        assert refused.value.allowed == {"ENODEV"}


def test_a_descriptor_can_be_opened_by_its_path(process: ReferenceProcess) -> None:
    reader, _writer = process.pipe()
    assert process.fstat(process.open(f"/dev/fd/{reader}", O_RDONLY)).kind == "fifo"
    for flags in (O_RDONLY, O_RDWR | O_CREAT):
        with fails("ENOENT"):
            process.open("/dev/fd/99", flags)


def test_which_bytes_of_a_part_are_open(process: ReferenceProcess) -> None:
    """They are counted from where the part begins; indeterminate bytes before and after it are not counted."""
    inode = inode_of(process, make(process, b"a" * (3 * PAGE)))
    for index in (0, 1, 2):
        inode.cache.page(index).indeterminate = {5: b"x\0", PAGE - 1: b"y\0"}
    assert inode.indeterminate_bytes(PAGE + 5, PAGE) == {0: b"x\0", PAGE - 6: b"y\0"}
    assert inode.indeterminate_bytes(PAGE + 6, PAGE - 7) == {}
    assert inode.indeterminate_bytes(PAGE + 6, PAGE) == {PAGE - 7: b"y\0", PAGE - 1: b"x\0"}


@pytest.mark.parametrize("touched", [3, 40])
def test_a_hole_in_the_middle_of_what_is_mapped(process: ReferenceProcess, touched: int) -> None:
    """Whether more or fewer pages have been touched than are cut out."""
    fd = make(process, b"a" * (40 * PAGE))
    base = process.mmap(0, 30 * PAGE, RW, MAP_SHARED, fd, 7 * PAGE)
    for number in range(min(touched, 30)):
        process.load(base + number * PAGE, 1)
    entries = process.space.table.entries
    before = set(entries)
    inode_of(process, fd).punch(9 * PAGE, 5 * PAGE, process.choices)
    assert before - set(entries) == before & set(range(base // PAGE + 2, base // PAGE + 7))
    zero = [number for number in range(40) if process.pread(fd, 1, number * PAGE) == b"\0"]
    assert zero == [9, 10, 11, 12, 13]
    assert [number for number in range(30) if process.load(base + number * PAGE, 1) == b"\0"] == [2, 3, 4, 5, 6]


SMALL = 16
"""Bytes of a page, so that few bytes are many pages."""
WINDOW = (3 * SMALL, 15 * SMALL)
"""The part of the file that is mapped."""
STEPS = ("write", "cut", "read", "punch", "store", "load", "read-into", "write-from", "sync", "evict")


@settings(derandomize=True, database=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 17 * SMALL), st.integers(1, 5 * SMALL), st.integers(0, 200)),
        min_size=4,
        max_size=14,
    )
)
def test_a_file_is_a_sequence_of_bytes(steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever is done to it, by calls and in memory: the same is done to an array of bytes."""
    file = FileAndBytes()
    for number, (step, at, length, other) in enumerate(steps):
        data = bytes((7 * number + place) % 255 + 1 for place in range(length))
        file.make(step, at, data, other)
        assert file.process.fstat(file.fd).size == len(file.bytes)
        assert file.disk.used == len(file.room) * SMALL
    file.compare()


class FileAndBytes:
    """A file of the reference with a mapping and a buffer, and arrays of bytes that are changed in the same way."""

    def __init__(self) -> None:
        self.process = process = ReferenceBackend(page=SMALL).boot().spawn()
        self.fd = fd = process.open("f", O_RDWR | O_CREAT)
        file_system = inode_of(process, fd).file_system
        assert file_system is not None
        self.disk = file_system.disk
        first, end = WINDOW
        scratch, _ = process.scratch_range()
        self.window = process.mmap(scratch + 7 * SMALL, end - first, RW, MAP_SHARED | MAP_FIXED, fd, first) - first
        self.buffer = process.mmap(scratch + 39 * SMALL, 24 * SMALL, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        self.bytes, self.memory = bytearray(), bytearray(24 * SMALL)
        self.room: set[int] = set()
        """The blocks that take room on the disk."""

    def write(self, data: bytes | bytearray, offset: int) -> None:
        """Write to the array of bytes."""
        self.bytes.extend(bytes(max(offset - len(self.bytes), 0)))
        self.bytes[offset : offset + len(data)] = data
        self.room.update(range(offset // SMALL, (offset + len(data) - 1) // SMALL + 1))

    def make(self, step: str, at: int, data: bytes, other: int) -> None:
        """Make one step on the file and on the array."""
        process, fd, file, length = self.process, self.fd, self.bytes, len(data)
        if step == "write":
            assert process.pwrite(fd, data, at) == length
            self.write(data, at)
        elif step == "cut":
            process.ftruncate(fd, at)
            file[at:] = bytes(max(at - len(file), 0))
            self.room = {block for block in self.room if block * SMALL < at}
        elif step == "read":
            assert process.pread(fd, length, at) == file[at : at + length]
        elif step == "read-into":
            part = file[at : at + length]
            assert process.read_into(fd, self.buffer + other, length, at) == len(part)
            self.memory[other : other + len(part)] = part
        elif step == "write-from":
            assert process.write_from(fd, self.buffer + other, length, at) == length
            self.write(self.memory[other : other + length], at)
        elif step == "sync":
            process.fsync(fd)
        elif step == "evict":
            process.drop_cache(fd)
        else:
            self.make_in_memory(step, at, data)

    def make_in_memory(self, step: str, at: int, data: bytes) -> None:
        """Make a step by the mapping."""
        first, end = WINDOW
        start, stop = max(at, first), min(at + len(data), end, len(self.bytes))
        if step == "punch":
            number, count = at // SMALL % 12, len(data) // SMALL + 1
            count = min(count, 12 - number)
            place = first + number * SMALL
            self.process.madvise(self.window + place, count * SMALL, MADV_REMOVE)
            self.bytes[place : place + count * SMALL] = bytes(len(self.bytes[place : place + count * SMALL]))
            self.room -= set(range(place // SMALL, place // SMALL + count))
        elif step == "store" and start < stop:
            self.process.store(self.window + start, data[: stop - start])
            self.write(data[: stop - start], start)
        elif step == "load" and start < stop:
            assert self.process.load(self.window + start, stop - start) == self.bytes[start:stop]

    def compare(self) -> None:
        """Compare the whole file, the buffer, and what the mapping shows."""
        process, file = self.process, self.bytes
        first, end = WINDOW
        assert process.pread(self.fd, 1000, 0) == file
        assert process.load(self.buffer, len(self.memory)) == self.memory
        there = min(-(-len(file) // SMALL) * SMALL, end)
        if there > first:
            assert process.load(self.window + first, there - first) == file[first:there].ljust(there - first, b"\0")
        for place in range(max(there, first), end, SMALL):
            with faults("SIGBUS", at=self.window + place):
                process.load(self.window + place, 1)


@pytest.mark.parametrize(("start", "length"), [(0, 3), (5, 4), (PAGE - 2, 2), (PAGE - 2, 5), (7, 2 * PAGE)])
def test_written_bytes_are_determined(process: ReferenceProcess, start: int, length: int) -> None:
    """Nor is what the kernel stores; bytes before and after it stay indeterminate."""
    for call in ("write", "store"):
        fd = make(process, b"a" * (4 * PAGE), path=call)
        inode = inode_of(process, fd)
        base = process.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0)
        for index in range(4):
            inode.cache.page(index).indeterminate = dict.fromkeys(range(PAGE), b"")
        if call == "write":
            process.pwrite(fd, b"x" * length, PAGE + start)
        else:
            process.store(base + PAGE + start, b"x" * length)
        written = set(range(PAGE + start, PAGE + start + length))
        assert inode.indeterminate_bytes(0, 4 * PAGE).keys() == set(range(4 * PAGE)) - written


def test_a_new_file_has_no_date_to_be_changed(process: ReferenceProcess) -> None:
    fd = process.open("new", O_RDWR | O_CREAT)
    assert not process.has_old_mtime(fd)
    process.set_old_mtime(fd)
    assert process.has_old_mtime(fd)


def test_a_watch_reports_the_closes_since_the_last_read() -> None:
    """Return the number of events, with equal ones in a row coalesced, and of closes."""
    watch = InotifyWatch()
    assert watch.take() == (0, 0)
    for writable in (True, True, False, True):
        watch.note(writable)
    assert watch.take() == (3, 4)
    assert watch.take() == (0, 0)
    watch.note(True)
    assert watch.take() == (1, 1), "a reported close is no longer the last"


FILE = 12
"""Pages of the file below."""
WINDOW_AT = 4
"""Its first page that is mapped."""
WINDOW_PAGES = 5


def mapped_between_others(process: ReferenceProcess) -> tuple[int, int]:
    """(a descriptor, a page number): of a file that is mapped in part, right between two mappings of another one.

    All pages have been touched.  The page number is what the file's first page would have.
    """
    fd, other = make(process, b"a" * (FILE * PAGE)), make(process, b"b" * (2 * FILE * PAGE), path="other")
    base = process.scratch_range()[0] + 37 * PAGE
    end = base + WINDOW_PAGES * PAGE
    for start, pages, which, offset in (
        (base, WINDOW_PAGES, fd, WINDOW_AT),
        (base - FILE * PAGE, FILE, other, 0),
        (end, FILE, other, FILE),
    ):
        process.mmap(start, pages * PAGE, RW, MAP_SHARED | MAP_FIXED, which, offset * PAGE)
        for number in range(pages):
            process.load(start + number * PAGE, 1)
    return fd, base // PAGE - WINDOW_AT


@pytest.mark.parametrize("first", range(FILE))
@pytest.mark.parametrize("count", [1, 2, 5, 7, FILE])
def test_a_hole_takes_the_files_own_pages_only(process: ReferenceProcess, first: int, count: int) -> None:
    fd, zero = mapped_between_others(process)
    before = set(process.space.table.entries)
    inode = inode_of(process, fd)
    changes = inode.content_version
    inode.punch(first * PAGE, count * PAGE, process.choices)
    hole = set(range(first, first + count))
    window = set(range(WINDOW_AT, WINDOW_AT + WINDOW_PAGES))
    assert before - set(process.space.table.entries) == {zero + number for number in hole & window}
    assert set(inode.cache.pages) == set(range(FILE)) - hole
    assert inode.content_version != changes


@pytest.mark.parametrize("locked", [None, (0, 1), (1, 1), (3, 2), (0, WINDOW_PAGES)])
def test_eviction_takes_the_files_own_pages_that_are_not_locked(
    process: ReferenceProcess, locked: tuple[int, int] | None
) -> None:
    fd, zero = mapped_between_others(process)
    kept: set[int] = set()
    if locked:
        first, count = WINDOW_AT + locked[0], locked[1]
        process.mlock((zero + first) * PAGE, count * PAGE)
        kept = set(range(first, first + count))
    before = set(process.space.table.entries)
    process.drop_cache(fd)
    gone = set(range(WINDOW_AT, WINDOW_AT + WINDOW_PAGES)) - kept
    assert before - set(process.space.table.entries) == {zero + number for number in gone}
    assert set(inode_of(process, fd).cache.pages) == kept
    assert process.pread(fd, FILE * PAGE, 0) == b"a" * (FILE * PAGE)


@pytest.mark.parametrize(
    "size", [0, 1, 3 * PAGE, 4 * PAGE, 4 * PAGE + 1, 6 * PAGE, 6 * PAGE + 7, 9 * PAGE, FILE * PAGE]
)
def test_a_cut_takes_the_files_own_pages_past_its_end(process: ReferenceProcess, size: int) -> None:
    fd, zero = mapped_between_others(process)
    before = set(process.space.table.entries)
    process.ftruncate(fd, size)
    end = -(-size // PAGE)
    gone = [number for number in range(WINDOW_AT, WINDOW_AT + WINDOW_PAGES) if number >= end]
    assert before - set(process.space.table.entries) == {zero + number for number in gone}
    assert set(inode_of(process, fd).cache.pages) == set(range(end))


@pytest.mark.parametrize("backend", [ReferenceBackend, NativeBackend])
@pytest.mark.parametrize(("order", "events"), [(("a", "c"), 0), (("c", "a"), 1)], ids=["another", "its own"])
def test_a_watch_ends_with_the_last_name_unless_the_file_is_open_by_it(
    backend: Callable[[], Backend], order: Sequence[str], events: int
) -> None:
    """The file is open by the name a; its last name is another one, or this."""
    system = backend().boot()
    try:
        process = system.spawn()
        fd = process.open("a", O_RDWR | O_CREAT)
        watch = process.watch("a")
        process.link("a", "c")
        for name in order:
            process.unlink(name)

        process.close(fd)

        assert process.close_events(watch) == events
    finally:
        system.close()


def test_a_watch_ends_where_the_last_name_is_replaced(process: ReferenceProcess) -> None:
    fd = process.open("a", O_RDWR | O_CREAT)
    process.close(process.open("b", O_RDWR | O_CREAT))
    watch = process.watch("a")
    process.link("a", "c")
    process.rename("b", "a")
    process.rename("a", "c")

    process.close(fd)

    assert process.close_events(watch) == 0
