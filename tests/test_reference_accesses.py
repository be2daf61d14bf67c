"""Loads, stores and executions: which fault, where, and in which order."""

from __future__ import annotations

from contextlib import suppress

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Resource,
    Unresolved,
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


def test_an_access_may_cross_pages_and_mappings(process: Process) -> None:
    base = process.arena()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + PAGE - 3, b"abcdef")
    assert process.load(base + PAGE - 4, 8) == b"\0abcdef\0"
    assert process.load(base, 0) == b""


@pytest.mark.parametrize("prot", range(8))
def test_rights(process: Process, prot: int) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_code())
    process.mprotect(base, PAGE, prot)
    if prot == PROT_NONE:
        with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
            process.load(base, 1)
    else:
        assert process.load(base, 1) == b"\xc3"
    if prot & PROT_WRITE:
        process.store(base + 1, b"x")
    else:
        with faults("SIGSEGV", at=base + 1, code="SEGV_ACCERR"):
            process.store(base + 1, b"x")
    if prot & PROT_EXEC:
        process.execute(base)
    else:
        with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
            process.execute(base)


def test_rights_come_before_the_end_of_the_file_but_for_execution(process: Process) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.store(base, b"x")
    with faults("SIGBUS", at=base + 7, code="BUS_ADRERR"):
        process.load(base + 7, 1)
    with faults("SIGBUS", at=base, code="BUS_ADRERR"):
        process.execute(base)
    process.mprotect(base, PAGE, PROT_NONE)
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.load(base, 1)


def test_nothing_mapped_and_nothing_mappable(process: Process) -> None:
    with faults("SIGSEGV", at=process.top, code="SEGV_MAPERR"):
        process.load(process.top, 1)
    for addr in (1 << 47, 1 << 63, 2**64 - 1):
        with faults("SIGSEGV", code="SI_KERNEL"):
            process.store(addr, b"x")


def test_only_the_code_that_returns_can_be_run(process: Process) -> None:
    base = process.mmap(0, PAGE, PROT_READ | PROT_EXEC, ANONYMOUS, -1, 0)
    with pytest.raises(Unresolved):
        process.execute(base)


@pytest.mark.parametrize(
    ("bits", "user_bits", "addr", "code", "told"),
    [
        (64, 47, (1 << 47) - 1, "SEGV_MAPERR", True),
        (64, 47, 1 << 47, "SI_KERNEL", False),
        (64, 56, 1 << 47, "SEGV_MAPERR", True),
        (64, 56, 1 << 56, "SI_KERNEL", False),
        (32, 31, (1 << 32) - 1, "SEGV_MAPERR", True),
    ],
)
def test_which_addresses_are_none_is_the_machine_s(bits: int, user_bits: int, addr: int, code: str, told: bool) -> None:
    process = ReferenceBackend(bits=bits, user_bits=user_bits).boot().spawn()

    with pytest.raises(Fault) as seen:
        process.load(addr, 1)

    assert (seen.value.code, seen.value.address is not None) == (code, told)


def test_sizes_have_the_width_of_addresses() -> None:
    process = ReferenceBackend(bits=32, user_bits=31).boot().spawn()
    base = process.mmap(0, process.page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

    process.msync(base, (1 << 32) - 1, 0)  # rounds to 0

    with pytest.raises(OSError, match="wraps around"):
        process.mlock(base, (1 << 32) - process.page)


# --------------------------------------------------------------------------------------------------------- growing down


@pytest.fixture
def growing(process: Process) -> int:
    """A page that grows down, with 512 free pages below it."""
    return process.mmap(process.arena()[0] + 512 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)


def grows(process: Process, addr: int) -> bool:
    """Whether a load there succeeds where nothing was mapped before."""
    assert process.space.find(addr) is None
    if process.space.growing(addr) is not None:
        with suppress(Fault):
            process.load(addr, 1)
    if process.space.find(addr) is not None:
        return True
    with faults("SIGSEGV", at=addr, code="SEGV_MAPERR"):
        process.load(addr, 1)
    return False


@pytest.mark.parametrize(("below", "allowed"), [(300, 43), (258, 1), (257, 0)])
def test_growth_leaves_256_pages_to_what_can_be_accessed(
    process: Process, growing: int, below: int, allowed: int
) -> None:
    process.mmap(growing - below * PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    for byte in (0, PAGE - 1):
        assert not grows(process, growing - (allowed + 1) * PAGE + byte)
    assert not allowed or grows(process, growing - allowed * PAGE)


@pytest.mark.parametrize(("prot", "flags"), [(PROT_NONE, 0), (RW, MAP_GROWSDOWN)], ids=["inaccessible", "growing"])
def test_growth_goes_up_to_what_needs_no_gap(process: Process, growing: int, prot: int, flags: int) -> None:
    process.mmap(growing - 2 * PAGE, PAGE, prot, ANONYMOUS | MAP_FIXED | flags, -1, 0)

    assert grows(process, growing - PAGE)


def test_growth_keeps_to_the_limits(process: Process, growing: int) -> None:
    process.limit(Resource.ADDRESS_SPACE, PAGE)
    assert not grows(process, growing - 2 * PAGE)
    assert grows(process, growing - PAGE)
    assert process.space.size == 2 * PAGE


def test_a_locked_stack_keeps_to_the_limit_of_locked_memory(process: Process) -> None:
    process.drop("CAP_IPC_LOCK")
    base = process.arena()[0] + 8 * PAGE
    process.limit(Resource.LOCKED_MEMORY, 2 * PAGE)
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_LOCKED, -1, 0)

    assert not grows(process, base - 2 * PAGE)
    assert grows(process, base - PAGE)
    assert process.space.locked == 2 * PAGE


def test_what_is_left_of_a_stack_goes_on_growing(process: Process, growing: int) -> None:
    process.load(growing - 3 * PAGE, 1)
    process.munmap(growing - 3 * PAGE, 2 * PAGE)
    child = process.fork()

    assert grows(child, growing - 2 * PAGE)
    assert grows(process, growing - 3 * PAGE)
    assert process.load(growing - 3 * PAGE, 4 * PAGE) == bytes(4 * PAGE)


def test_nothing_grows_below_the_lowest_address(process: Process) -> None:
    process.mmap(65536, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)

    assert not grows(process, 65535)


# ------------------------------------------------------------------------------------------------------------ droppable


def test_what_was_stored_in_droppable_memory_may_be_zero(process: Process) -> None:
    base = process.mmap(0, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base + 1, b"xy")

    page = process.space.table.entries[base // PAGE]
    assert page.open == {1: b"x\0", 2: b"y\0"}
    assert process.load(base, 4) == b"\0xy\0"


@pytest.mark.parametrize("locked", [MAP_LOCKED, 0], ids=["locked", "not-locked"])
def test_how_much_a_stack_has_grown_hangs_on_no_address(process: Process, locked: int) -> None:
    """Also where it becomes many times as long."""
    process.mmap(1 << 20, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | locked, -1, 0)
    process.store(1 << 17, b"x")
    (mapping,) = process.space.mappings.values()
    assert (mapping.start, mapping.end) == (1 << 17, (1 << 20) + 3 * PAGE)
    assert process.space.size == mapping.end - mapping.start
    assert process.space.locked == (process.space.size if locked else 0)


@pytest.mark.parametrize("at", [1, 6, PAGE - 1])
def test_code_runs_wherever_it_stands(process: Process, at: int) -> None:
    base = process.mmap(0, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0)
    process.store(base + at, process.return_code())
    process.execute(base + at)
    with pytest.raises(Unresolved):
        process.execute(base + at - 1)


@pytest.mark.parametrize(("start", "length"), [(0, 6), (0, 7), (3, 3), (3, 4), (5, 5), (6, 1), (9, 9), (2, PAGE - 2)])
def test_what_is_stored_behind_the_end_is_open(process: Process, start: int, length: int) -> None:
    """The file has six bytes of its third page."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 2 * PAGE + 6)
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, PAGE)
    process.store(base + PAGE + start, b"x" * length)
    page = process.space.table.entries[base // PAGE + 1]
    assert sorted(page.open or ()) == list(range(max(start, 6), start + length))
    process.store(base + PAGE - 3, b"yyyzzz")
    assert page.data[:6] == b"zzz" + (b"\0" * start + b"x" * length + bytes(6))[3:6]
