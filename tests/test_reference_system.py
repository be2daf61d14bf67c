"""The reference as a system: facilities, limits, processes at the same time."""

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
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Call,
    Facility,
    Options,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def machine() -> ReferenceSystem:
    return ReferenceBackend().boot()


def test_the_backend_says_what_it_is() -> None:
    backend = ReferenceBackend(page=16384)
    backend.configure(Options())
    assert backend.facts().name == "reference"
    assert backend.facts().details["page"] == "16384"
    assert backend.boot().spawn().sysconf(SC_PAGESIZE) == 16384
    backend.close()


def test_a_machine_is_as_usual_unless_it_says_otherwise() -> None:
    """The sizes and limits of x86-64, those of Linux, and of the machines here what few programs ever reach."""
    backend = ReferenceBackend()
    assert backend.facts().details == {
        "kernel": "Linux 6.18",
        "machine": "x86_64",
        "file system": "as ext4",
        "user": "root",
        "page": "4096",
        "bits": "64",
        "end": str(0x7FFFFFFFF000),
        "lowest": "65536",
        "mappings": "65530",
        "locked": "8388608",
        "descriptors": "1024",
        "capabilities": "CAP_IPC_LOCK,CAP_LINUX_IMMUTABLE,CAP_SYS_ADMIN,CAP_SYS_RAWIO",
    }
    for bits in (32, 63, 65):
        assert ReferenceBackend(bits=bits).facts().details["machine"] == "i686"
    machine = backend.boot()
    assert machine.file_table.limit == 1048576
    process = machine.spawn()
    assert process.address_space_limit is process.data_limit is None
    assert process.stack_limit == process.locked_limit == 8388608
    rooms = {path: process.free_space(path) for path in (".", "/own", "/crashing", "/noexec")}
    assert rooms == {".": 1099511627776, "/own": 1048576, "/crashing": 67108864, "/noexec": 1099511627776}


def test_machines_share_nothing() -> None:
    backend = ReferenceBackend()
    backend.boot().spawn().open("f", O_RDWR | O_CREAT)
    with fails("ENOENT"):
        backend.boot().spawn().open("f", O_RDONLY)


def test_every_facility_leads_somewhere(machine: ReferenceSystem) -> None:
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


def test_a_full_file_table(machine: ReferenceSystem) -> None:
    process = machine.spawn()
    fd = process.open("f", O_RDWR | O_CREAT)
    zero = process.open("/dev/zero", O_RDWR)
    with machine.full_file_table():
        process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        process.open("f", O_RDWR)
        process.drop_capability("CAP_SYS_ADMIN")
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


def test_mmap_reaches_the_mapping_limit_one_mapping_later_than_splitting(machine: ReferenceSystem) -> None:
    most = machine.mapping_limit()
    assert most == 256
    process = machine.spawn()
    base = process.scratch_range()[0]
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


def test_one_mapping_below_the_limit_a_fixed_mapping_may_split(machine: ReferenceSystem) -> None:
    most = machine.mapping_limit()
    process = machine.spawn()
    base = process.scratch_range()[0]
    for n in range(1, most - 1):
        process.mmap(base + 4 * n * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)
    assert len(process.space.mappings) == most + 1


def test_additions_at_the_same_time_take_turns(machine: ReferenceSystem) -> None:
    one = machine.spawn()
    base = one.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    two, three = one.fork(), one.fork()
    calls = [Call(process, "add", (base, 1000, base + 4)) for process in (one, two, three)]
    assert machine.run_concurrently(calls) == [None, None, None]
    assert one.load_word(base) == 3000
    assert one.load_word(base + 4) == 0, "the lock has been given back"
    machine.run_concurrently([Call(process, "add", (base + 8, 1000)) for process in (one, two)])
    assert one.load_word(base + 8) == 1000, "each load comes before the other's store"


def test_an_addition_alone_is_exact_and_wraps(machine: ReferenceSystem) -> None:
    process = machine.spawn()
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"\xfe\xff\xff\xff")
    process.add(base, 7)
    assert process.load_word(base) == 5
    assert machine.run_concurrently([Call(process, "load", (base, 1))]) == [b"\x05"]


def test_closing_ends_every_process_and_empties_the_file_table(machine: ReferenceSystem) -> None:
    used = machine.file_table.used
    process = machine.spawn()
    process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.fork()
    machine.close()
    assert machine.processes == []
    assert machine.file_table.used == used - 1, "the terminal's description goes with the last process"
