"""The machine: facilities, limits, processes at the same time."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Call,
    Facility,
    Options,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.kernel import Machine
from pytest_mmapconf.words import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def machine() -> Machine:
    return ReferenceBackend().boot()


def test_the_backend_says_what_it_is() -> None:
    backend = ReferenceBackend(page=16384)
    backend.configure(Options())
    assert backend.facts().name == "reference"
    assert backend.facts().details["page"] == "16384"
    assert backend.boot().spawn().sysconf(SC_PAGESIZE) == 16384
    backend.close()


def test_machines_share_nothing() -> None:
    backend = ReferenceBackend()
    backend.boot().spawn().open("f", O_RDWR | O_CREAT)
    with fails("ENOENT"):
        backend.boot().spawn().open("f", O_RDONLY)


def test_every_facility_leads_somewhere(machine: Machine) -> None:
    process = machine.spawn()
    kinds = {facility: process.fstat(process.open(machine.facility(facility), O_RDONLY)).kind for facility in Facility}
    assert kinds == {
        Facility.DEV_ZERO: "character",
        Facility.DEV_NULL: "character",
        Facility.DEV_RANDOM: "character",
        Facility.PROC_FILE: "regular",
        Facility.SYS_FILE: "regular",
        Facility.NOEXEC_DIRECTORY: "directory",
        Facility.OWN_FILE_SYSTEM: "directory",
        Facility.CRASHING_FILE_SYSTEM: "directory",
        Facility.MANDATORY_LOCK: "regular",
    }
    with fails("ENOENT"):
        process.open("/nowhere/file", O_RDWR | O_CREAT)


def test_a_random_device_reads_the_same_at_the_same_offset(machine: Machine) -> None:
    process = machine.spawn()
    fd = process.open("/dev/random", O_RDONLY)
    whole = process.pread(fd, 200, 0)
    assert len(set(whole)) > 50
    for offset, length in ((0, 32), (31, 2), (32, 64), (40, 40), (5, 190)):
        assert process.pread(fd, length, offset) == whole[offset : offset + length]


def test_nothing_may_be_executed_from_noexec(machine: Machine) -> None:
    process = machine.spawn()
    fd = process.open("/noexec/f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"x", 0)
    for flags in (MAP_SHARED, MAP_PRIVATE):
        with fails("EPERM"):
            process.mmap(0, PAGE, PROT_READ | PROT_EXEC, flags, fd, 0)
        base = process.mmap(0, PAGE, PROT_READ, flags, fd, 0)
        with fails("EACCES"):
            process.mprotect(base, PAGE, PROT_READ | PROT_EXEC)


def test_a_mandatory_lock_is_eagain(machine: Machine) -> None:
    process = machine.spawn()
    fd = process.open(machine.facility(Facility.MANDATORY_LOCK), O_RDWR)
    with fails("EAGAIN"):
        process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)


def test_a_special_file_that_nobody_names_or_has_open_gives_its_storage_back(machine: Machine) -> None:
    process = machine.spawn()
    path = machine.facility(Facility.MANDATORY_LOCK)
    room = process.free_space("/mandatory")
    fd = process.open(path, O_RDWR)
    process.pwrite(fd, b"x", 0)
    process.unlink(path)
    assert process.free_space("/mandatory") == room - PAGE
    process.close(fd)
    assert process.free_space("/mandatory") == room


def test_a_full_file_table(machine: Machine) -> None:
    process = machine.spawn()
    fd = process.open("f", O_RDWR | O_CREAT)
    zero = process.open("/dev/zero", O_RDWR)
    with machine.full_file_table():
        process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        process.drop("CAP_SYS_ADMIN")
        with fails("ENFILE"):
            process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        with fails("ENFILE"):
            process.mmap(0, PAGE, RW, MAP_SHARED, zero, 0)
        with fails("ENFILE"):
            process.open("f", O_RDWR)
        process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
        process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
        process.mmap(0, PAGE, RW, MAP_PRIVATE, zero, 0)
    process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)


def test_the_mapping_limit_is_met_by_mmap_one_later_than_by_splitting(machine: Machine) -> None:
    most = machine.mapping_limit()
    assert most == 256
    process = machine.spawn()
    base = process.arena()[0]
    for n in range(most - 1):
        process.mmap(base + 2 * n * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    free = base + 2 * most * PAGE
    process.mmap(free, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("ENOMEM"):
        process.munmap(free + PAGE, PAGE)
    with fails("ENOMEM"):
        process.mprotect(free + PAGE, PAGE, PROT_READ)
    with fails("ENOMEM"):
        process.mmap(free + PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("ENOMEM"):
        process.mremap(base, PAGE, 2 * PAGE * PAGE, 1)
    process.mmap(free + 4 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("ENOMEM"):
        process.mmap(free + 6 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.munmap(free, PAGE)


def test_one_mapping_below_the_limit_a_fixed_mapping_may_split(machine: Machine) -> None:
    most = machine.mapping_limit()
    process = machine.spawn()
    base = process.arena()[0]
    for n in range(1, most - 1):
        process.mmap(base + 4 * n * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)
    assert len(process.space.mappings) == most + 1


def test_additions_at_the_same_time_take_turns(machine: Machine) -> None:
    one = machine.spawn()
    base = one.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    two, three = one.fork(), one.fork()
    calls = [Call(process, "add", (base, 1000, base + 4)) for process in (one, two, three)]
    assert machine.together(calls) == [None, None, None]
    assert one.word(base) == 3000
    assert one.word(base + 4) == 0, "the lock has been given back"
    machine.together([Call(process, "add", (base + 8, 1000)) for process in (one, two)])
    assert one.word(base + 8) == 1000, "each load comes before the other's store"


def test_an_addition_alone_is_exact_and_wraps(machine: Machine) -> None:
    process = machine.spawn()
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"\xfe\xff\xff\xff")
    process.add(base, 7)
    assert process.word(base) == 5
    assert machine.together([Call(process, "load", (base, 1))]) == [b"\x05"]


def test_closing_ends_every_process_and_empties_the_file_table(machine: Machine) -> None:
    used = machine.file_table.used
    process = machine.spawn()
    process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.fork()
    machine.close()
    assert machine.processes == []
    assert machine.file_table.used == used - 1, "the terminal's description goes with the last process"
