"""Test calls with a buffer in memory: how many bytes they transfer, which ones, and which are indeterminate."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_APPEND,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SEAL_WRITE,
    Unresolved,
)
from pytest_mmapconf.outcomes import Failed, Returned
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def file(process: ReferenceProcess, content: bytes = b"") -> int:
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, content, 0)
    return fd


def before_a_hole(process: ReferenceProcess) -> int:
    """Return the address of five bytes before a hole."""
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.munmap(base + PAGE, PAGE)
    process.store(base + PAGE - 5, b"abcde")
    return base + PAGE - 5


def test_a_buffer_outside_user_space_is_refused_first(process: ReferenceProcess) -> None:
    fd = file(process, b"abc")
    for addr, length in ((process.task_size, 1), (process.task_size - 1, 2), (1 << 63, 1)):
        with fails("EFAULT"):
            process.read_into(fd, addr, length, 3)
        with fails("EFAULT"):
            process.write_from(process.open("/dev/null", O_RDWR), addr, length, 0)
    assert process.read_into(fd, process.task_size - 1, 1, 3) == 0, "there is nothing to transfer"


def test_a_transfer_ends_at_a_hole(process: ReferenceProcess) -> None:
    fd, at = file(process, b"0123456789"), before_a_hole(process)
    assert process.write_from(fd, at, 10, 2) == 5
    assert process.pread(fd, 20, 0) == b"01abcde789"
    assert process.read_into(fd, at, 10, 5) == 5
    assert process.load(at, 5) == b"de789"
    assert process.last_access == ("load", at, "")
    for move in (process.read_into, process.write_from):
        with fails("EFAULT"):
            move(fd, at + 5, 1, 0)
        assert move(fd, at + 5, 0, 0) == 0
    assert process.read_into(fd, at + 5, 1, 10) == 0


def test_a_buffer_may_cross_pages(process: ReferenceProcess) -> None:
    fd = file(process, b"0123456789")
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    assert process.read_into(fd, base + PAGE - 3, 10, 0) == 10
    assert process.load(base + PAGE - 4, 12) == b"\x000123456789\0"
    assert process.write_from(fd, base + PAGE - 3, 10, 5) == 10
    assert process.pread(fd, 20, 0) == b"012340123456789"


def test_a_store_by_the_kernel_copies_a_private_page(process: ReferenceProcess) -> None:
    fd = file(process, b"old")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)
    assert process.read_into(fd, base + 8, 3, 0) == 3
    assert (process.load(base, 11), process.pread(fd, 20, 0)) == (b"old" + bytes(5) + b"old", b"old")


def test_a_write_to_a_device_does_not_access_the_buffer(process: ReferenceProcess) -> None:
    zero = process.open("/dev/zero", O_RDWR)
    at = before_a_hole(process)
    assert process.write_from(zero, at + 5, 10, 0) == 10
    assert process.read_into(zero, at, 10, 0) == 5
    assert process.load(at, 5) == bytes(5)


def test_overlapping_copies_are_unresolved(process: ReferenceProcess) -> None:
    fd = file(process, b"a" * 2 * PAGE)
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    for move in (process.read_into, process.write_from):
        with pytest.raises(Unresolved, match="onto one another"):
            move(fd, base + PAGE, 2, PAGE - 1)
        assert move(fd, base + PAGE, 2, PAGE - 2) == 2


@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_buffer_may_span_mappings(process: ReferenceProcess, at: int) -> None:
    """The second mapping is a window of the file from its third page on; overlapping copies are unresolved."""
    fd = file(process, b"a" * (8 * PAGE))
    base = process.scratch_range()[0] + at * PAGE
    process.mmap(base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 2 * PAGE, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 2 * PAGE)
    for addr, length, offset, overlaps in (
        (base, 2 * PAGE, 2 * PAGE, False),
        (base + PAGE, PAGE + 5, 2 * PAGE + 4, True),
        (base + PAGE, PAGE + 5, 2 * PAGE + 5, False),
        (base + 2 * PAGE + 9, 9, 2 * PAGE + 17, True),
        (base + 2 * PAGE + 9, 9, 2 * PAGE + 18, False),
        (base + 2 * PAGE + 9, 9, 2 * PAGE, False),
        (base + 2 * PAGE + 9, 9, 2 * PAGE + 1, True),
        (base + 4 * PAGE, PAGE, 3 * PAGE, False),
    ):
        for move in (process.read_into, process.write_from):
            if overlaps:
                with pytest.raises(Unresolved, match="onto one another"):
                    move(fd, addr, length, offset)
            else:
                assert move(fd, addr, length, offset) == length


def test_a_copy_of_an_indeterminate_byte_is_indeterminate() -> None:
    """A byte stored past the end of a file that has then grown is that byte or zero; so is its copy."""
    following = ObservedChoices()
    process = ReferenceSystem(Parameters(), following).spawn()
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"a", 0)
    shared = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.store(shared + 1, b"st")
    process.ftruncate(fd, 3)
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    assert process.read_into(fd, base + 4, 3, 0) == 3
    assert process.write_from(fd, base + 4, 3, 10) == 3
    for at, content in ((base + 4, b"a\0\0"), (shared + 10, b"as\0")):
        following.observe("load", Returned(content))
        assert process.load(at, 3) == content


def test_below_level_linux_a_partial_transfer_is_unresolved() -> None:
    following = ObservedChoices("posix")
    process = ReferenceSystem(Parameters(), following).spawn()
    fd = process.open("file", O_CREAT | O_RDWR)
    following.observe("write_from", Failed("EFAULT"))
    with pytest.raises(Unresolved, match="below level linux"):
        process.write_from(fd, before_a_hole(process), 10, 0)


def test_reads_and_writes_are_counted(process: ReferenceProcess) -> None:
    fd, at = file(process, b"abc"), before_a_hole(process)
    before = process.counters()
    for times in (1, 2, 3):
        process.read_into(fd, at, 1, 0)
        assert process.counters()[:2] == (before.reads + times, before.writes)
    for times in (1, 2, 3):
        process.write_from(fd, at, 1, 0)
        assert process.counters()[:2] == (before.reads + 3, before.writes + times)


def test_addresses_wrap(process: ReferenceProcess) -> None:
    fd, at = file(process, b"0123456789"), before_a_hole(process)
    far = at + (1 << 64)
    assert process.read_into(fd, far, 9, 4) == 5
    assert process.write_from(fd, far, 9, 0) == 5
    assert process.pread(fd, 20, 0) == b"4567856789"
    shared = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0) + (1 << 64)
    for move in (process.read_into, process.write_from):
        with pytest.raises(Unresolved, match="onto one another"):
            move(fd, shared, 5, 4)
        assert move(fd, shared, 5, 5) == 5


@pytest.mark.parametrize(("start", "length"), [(0, 1), (PAGE - 3, 3), (PAGE - 3, 10), (5, 2 * PAGE), (7, 3 * PAGE - 7)])
@pytest.mark.parametrize("offset", [0, 5, PAGE + 3])
def test_the_requested_bytes_are_transferred(process: ReferenceProcess, start: int, length: int, offset: int) -> None:
    content = bytes(range(1, 252)) * (5 * PAGE // 251 + 1)
    fd = file(process, content)
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, 4 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert process.read_into(fd, base + start, length, offset) == length
    memory = bytes(start) + content[offset : offset + length] + bytes(4 * PAGE - start - length)
    assert process.load(base, 4 * PAGE) == memory
    process.ftruncate(fd, 0)
    assert process.write_from(fd, base + start, length, offset) == length
    assert process.pread(fd, 6 * PAGE, 0) == bytes(offset) + content[offset : offset + length]


@pytest.mark.parametrize("pages", [1, 2])
def test_a_page_without_the_protection_ends_the_transfer(process: ReferenceProcess, pages: int) -> None:
    fd = file(process, b"a" * 4 * PAGE)
    base = process.mmap(0, 4 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mprotect(base + pages * PAGE, PAGE, PROT_READ)
    assert process.read_into(fd, base + 9, 4 * PAGE - 9, 0) == pages * PAGE - 9
    process.mprotect(base + pages * PAGE, PAGE, PROT_NONE)
    assert process.write_from(fd, base + 9, 4 * PAGE - 9, 0) == pages * PAGE - 9
    for move in (process.read_into, process.write_from):
        with fails("EFAULT"):
            move(fd, base + pages * PAGE, PAGE, 0)


def test_a_write_to_a_full_disk_is_partial(process: ReferenceProcess) -> None:
    fd = process.open("/own/file", O_CREAT | O_RDWR)
    disk = process.machine.mounts["own"].disk
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x" * 3 * PAGE)
    disk.capacity = disk.used + 2 * PAGE
    assert process.write_from(fd, base, 3 * PAGE, 0) == 2 * PAGE
    with fails("ENOSPC"):
        process.write_from(fd, base, PAGE, 2 * PAGE)
    process.munmap(base, PAGE)
    with fails("EFAULT"):
        process.write_from(fd, base, PAGE, 2 * PAGE)


def test_appending_from_memory(process: ReferenceProcess) -> None:
    fd = file(process, b"abc")
    appending = process.open("file", O_RDWR | O_APPEND)
    assert process.write_from(appending, before_a_hole(process), 5, 1) == 5
    assert process.pread(fd, 20, 0) == b"abcabcde"


@pytest.mark.parametrize(("at", "length", "offset"), [(0, 4, 0), (8, 4, 0), (0, 4, 6), (8, 4, 6), (2, 5, 3)])
def test_memory_next_to_a_buffer_has_no_effect(process: ReferenceProcess, at: int, length: int, offset: int) -> None:
    """The file's fourth to sixth page are mapped five pages after the start of the range."""
    fd = file(process, b"a" * (16 * PAGE))
    base = process.scratch_range()[0] + 7 * PAGE
    process.mmap(base, 13 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.munmap(base + 4 * PAGE, PAGE)
    process.mmap(base + 5 * PAGE, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 3 * PAGE)
    for move in (process.read_into, process.write_from):
        if at == 2:  # two pages, a hole
            assert move(fd, base + at * PAGE, 2 * PAGE, offset * PAGE) == 2 * PAGE
        else:
            assert move(fd, base + at * PAGE, length * PAGE, offset * PAGE) == length * PAGE


# -------------------------------------------------------------------------------------------------- indeterminate bytes


def file_with_indeterminate_bytes(process: ReferenceProcess, choices: dict[int, bytes]) -> int:
    """Make a file of six pages; `choices`: the allowed values of some of its bytes, by offset."""
    fd = file(process, bytes(6 * PAGE))
    cache = process.descriptors[fd].description.inode.cache
    for at, values in choices.items():
        page = cache.page(at // PAGE)
        page.indeterminate = (page.indeterminate or {}) | {at % PAGE: values}
    return fd


def indeterminate_bytes(process: ReferenceProcess, base: int) -> dict[int, bytes]:
    """Return the allowed values of the indeterminate bytes in memory from `base` on, by offset."""
    return {
        (number * PAGE - base) + at: values
        for number, page in process.space.table.entries.items()
        for at, values in (page.indeterminate or {}).items()
        if number * PAGE >= base
    }


PLACES = (PAGE - 5, PAGE - 1, PAGE, PAGE + 3, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE + 7)


@pytest.mark.parametrize("start", [0, 1, 3, 7, PAGE - 5, PAGE - 1, PAGE + 12])
@pytest.mark.parametrize(("offset", "length"), [(0, 4 * PAGE), (PAGE - 5, 5), (PAGE - 4, 4), (PAGE - 1, PAGE + 2)])
def test_an_indeterminate_byte_that_is_read_is_indeterminate_in_memory(
    process: ReferenceProcess, start: int, offset: int, length: int
) -> None:
    choices = {at: bytes((1 + number, 0)) for number, at in enumerate(PLACES)}
    fd = file_with_indeterminate_bytes(process, choices)
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, 6 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"x" * 6 * PAGE)
    for at in (0, start, 6 * PAGE - 1):
        page = process.space.table.entries[(base + at) // PAGE]
        page.indeterminate = (page.indeterminate or {}) | {at % PAGE: b"before"}
    expected = {at: b"before" for at in (0, 6 * PAGE - 1) if not start <= at < start + length}
    expected |= {start + at - offset: values for at, values in choices.items() if offset <= at < offset + length}
    assert process.read_into(fd, base + start, length, offset) == length
    assert indeterminate_bytes(process, base) == expected


@pytest.mark.parametrize("start", [0, 1, 3, 7, PAGE - 5, PAGE - 1, PAGE + 12])
@pytest.mark.parametrize(("offset", "length"), [(0, 4 * PAGE), (PAGE - 5, 5), (PAGE - 4, 4), (PAGE - 1, PAGE + 2)])
def test_an_indeterminate_byte_that_is_written_is_indeterminate_in_the_file(
    process: ReferenceProcess, start: int, offset: int, length: int
) -> None:
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"x" * 5 * PAGE)
    choices = {at: bytes((1 + number, 0)) for number, at in enumerate(PLACES)}
    for at, values in choices.items():
        page = process.space.table.entries[(base + at) // PAGE]
        page.indeterminate = (page.indeterminate or {}) | {at % PAGE: values}
    fd = file_with_indeterminate_bytes(
        process, {start + 2: b"gone", 6 * PAGE - 1: b"stays", start + length + 1: b"stays"}
    )
    expected = {start + at - offset: values for at, values in choices.items() if offset <= at < offset + length}
    assert process.write_from(fd, base + offset, length, start) == length
    expected |= {6 * PAGE - 1: b"stays", start + length + 1: b"stays"}
    inode = process.descriptors[fd].description.inode
    assert inode.indeterminate_bytes(0, 6 * PAGE) == expected


def test_an_indeterminate_byte_that_is_not_transferred_changes_nothing(process: ReferenceProcess) -> None:
    fd = file_with_indeterminate_bytes(process, {2: b"ab", 5: b"cd", 6: b"ef"})
    at = before_a_hole(process)
    assert process.read_into(fd, at, 10, 1) == 5
    assert indeterminate_bytes(process, at - at % PAGE) == {at % PAGE + 1: b"ab", at % PAGE + 4: b"cd"}
    own = process.open("/own/file", O_CREAT | O_RDWR)
    disk = process.machine.mounts["own"].disk
    disk.capacity = disk.used + PAGE
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x" * 2 * PAGE)
    for page in range(2):
        process.space.table.entries[base // PAGE + page].indeterminate = {0: b"ab", 9: b"cd", PAGE - 1: b"ef"}
    assert process.write_from(own, base + 1, 2 * PAGE - 1, 0) == PAGE
    inode = process.descriptors[own].description.inode
    assert inode.indeterminate_bytes(0, 3 * PAGE) == {8: b"cd", PAGE - 2: b"ef", PAGE - 1: b"ab"}


@pytest.mark.parametrize("errno", ["EPERM", "EFAULT"])
def test_either_error_of_a_sealed_file_and_a_buffer_that_cannot_be_read_is_accepted(errno: str) -> None:
    choices = ObservedChoices()
    process = ReferenceSystem(Parameters(), choices).spawn()
    fd = process.memfd()
    process.seal(fd, SEAL_WRITE)
    choices.observe("pwrite", Failed(errno))

    with fails(errno):
        process.write_from(fd, process.scratch_range()[0], 1, 0)
