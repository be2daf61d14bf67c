"""Calls that are handed memory: how far they come, what they copy, and what of it is open."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Unresolved,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.following import Failed, Following, Returned
from pytest_mmapconf.reference.kernel import Machine, Parameters
from pytest_mmapconf.reference.process import Process
from pytest_mmapconf.words import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> Process:
    return ReferenceBackend().boot().spawn()


def file(process: Process, content: bytes = b"") -> int:
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, content, 0)
    return fd


def before_a_hole(process: Process) -> int:
    """The address of five bytes before memory that is not mapped."""
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.munmap(base + PAGE, PAGE)
    process.store(base + PAGE - 5, b"abcde")
    return base + PAGE - 5


def test_outside_user_space_is_refused_before_anything_is_looked_at(process: Process) -> None:
    fd = file(process, b"abc")
    for addr, length in ((process.top, 1), (process.top - 1, 2), (1 << 63, 1)):
        with fails("EFAULT"):
            process.read_into(fd, addr, length, 3)
        with fails("EFAULT"):
            process.write_from(process.open("/dev/null", O_RDWR), addr, length, 0)
    assert process.read_into(fd, process.top - 1, 1, 3) == 0, "nothing to move"


def test_up_to_where_memory_ends(process: Process) -> None:
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


def test_a_buffer_goes_on_in_the_next_page(process: Process) -> None:
    fd = file(process, b"0123456789")
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    assert process.read_into(fd, base + PAGE - 3, 10, 0) == 10
    assert process.load(base + PAGE - 4, 12) == b"\x000123456789\0"
    assert process.write_from(fd, base + PAGE - 3, 10, 5) == 10
    assert process.pread(fd, 20, 0) == b"012340123456789"


def test_a_kernels_store_copies_a_private_page(process: Process) -> None:
    fd = file(process, b"old")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)
    assert process.read_into(fd, base + 8, 3, 0) == 3
    assert (process.load(base, 11), process.pread(fd, 20, 0)) == (b"old" + bytes(5) + b"old", b"old")


def test_devices_look_at_no_buffer_that_they_write_nothing_of(process: Process) -> None:
    zero = process.open(process.machine.facility(Facility.DEV_ZERO), O_RDWR)
    at = before_a_hole(process)
    assert process.write_from(zero, at + 5, 10, 0) == 10
    assert process.read_into(zero, at, 10, 0) == 5
    assert process.load(at, 5) == bytes(5)


def test_bytes_copied_onto_one_another_are_not_guessed_at(process: Process) -> None:
    fd = file(process, b"a" * 2 * PAGE)
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    for move in (process.read_into, process.write_from):
        with pytest.raises(Unresolved, match="onto one another"):
            move(fd, base + PAGE, 2, PAGE - 1)
        assert move(fd, base + PAGE, 2, PAGE - 2) == 2


@pytest.mark.parametrize("at", [1, 3, 7])
def test_what_is_copied_may_lie_in_several_mappings(process: Process, at: int) -> None:
    """One is of the file itself, a window from its third page on; where that has a byte of both, nobody knows."""
    fd = file(process, b"a" * (8 * PAGE))
    base = process.arena()[0] + at * PAGE
    process.mmap(base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 2 * PAGE, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 2 * PAGE)
    for addr, length, offset, guess in (
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
            if guess:
                with pytest.raises(Unresolved, match="onto one another"):
                    move(fd, addr, length, offset)
            else:
                assert move(fd, addr, length, offset) == length


def test_what_is_open_stays_so_when_it_is_copied() -> None:
    """A byte stored behind the end of a file that has then grown is that byte or zero; so is its copy."""
    following = Following()
    process = Machine(Parameters(), following).spawn()
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"a", 0)
    shared = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.store(shared + 1, b"st")
    process.ftruncate(fd, 3)
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    assert process.read_into(fd, base + 4, 3, 0) == 3
    assert process.write_from(fd, base + 4, 3, 10) == 3
    for at, content in ((base + 4, b"a\0\0"), (shared + 10, b"as\0")):
        following.tell("load", Returned(content))
        assert process.load(at, 3) == content


def test_below_level_linux_a_part_is_open() -> None:
    following = Following("posix")
    process = Machine(Parameters(), following).spawn()
    fd = process.open("file", O_CREAT | O_RDWR)
    following.tell("write_from", Failed("EFAULT"))
    with pytest.raises(Unresolved, match="below level linux"):
        process.write_from(fd, before_a_hole(process), 10, 0)
