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
from pytest_mmapconf.reference.kernel import Machine, Parameters
from pytest_mmapconf.testing import fails

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


@pytest.mark.parametrize(
    ("parameters", "top", "canonical"),
    [
        (Parameters(), 0x7FFFFFFFF000, 1 << 47),
        (Parameters(page=16384, user_bits=39), 0x7FFFFFC000, 1 << 39),
        (Parameters(bits=32, user_bits=31), 0x7FFFF000, 1 << 32),
        (Parameters(end=0x12345000), 0x12345000, 1 << 47),
    ],
)
def test_where_user_space_ends(parameters: Parameters, top: int, canonical: int) -> None:
    assert (parameters.top, parameters.canonical) == (top, canonical)


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


def test_what_special_files_read_as(machine: Machine) -> None:
    process = machine.spawn()
    for path, size in ((Facility.SYS_FILE, PAGE), (Facility.MANDATORY_LOCK, PAGE), (Facility.PROC_FILE, 0)):
        assert process.fstat(process.open(machine.facility(path), O_RDONLY)).size == size
    attribute, null, zero = (
        process.open(machine.facility(facility), O_RDONLY)
        for facility in (Facility.SYS_FILE, Facility.DEV_NULL, Facility.DEV_ZERO)
    )
    assert [process.pread(attribute, 1, offset) for offset in range(3)] == [b"1", b"\n", b""]
    assert process.pread(null, 300, 7) == b""
    assert process.pread(zero, 300, 7) == bytes(300)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".", "directory"),
        ("/dev", "directory"),
        ("//dev/.//zero", "character"),
        ("./d/./inner/f", "regular"),
        ("d//inner", "directory"),
        ("/own/d/f", "regular"),
    ],
)
def test_where_a_path_leads(machine: Machine, path: str, kind: str) -> None:
    process = machine.spawn()
    for directory in ("d", "d/inner", "/own/d"):
        process.mkdir(directory)
    for file in ("d/inner/f", "/own/d/f"):
        process.open(file, O_RDWR | O_CREAT)
    assert process.fstat(process.open(path, O_RDONLY)).kind == kind


def test_processes_are_numbered(machine: Machine) -> None:
    first = machine.spawn()
    child = first.fork()
    child.kill()
    assert [process.number for process in (first, child, machine.spawn())] == [1, 2, 3]


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


def test_the_mapping_limit_is_met_by_mmap_one_later_than_by_splitting(machine: Machine) -> None:
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


def test_a_lower_limit_of_mappings_stays() -> None:
    machine = ReferenceBackend(mappings=100).boot()
    assert machine.most_mappings == machine.mapping_limit() == machine.most_mappings == 100


def test_one_mapping_below_the_limit_a_fixed_mapping_may_split(machine: Machine) -> None:
    most = machine.mapping_limit()
    process = machine.spawn()
    base = process.scratch_range()[0]
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
    assert machine.run_concurrently(calls) == [None, None, None]
    assert one.word(base) == 3000
    assert one.word(base + 4) == 0, "the lock has been given back"
    machine.run_concurrently([Call(process, "add", (base + 8, 1000)) for process in (one, two)])
    assert one.word(base + 8) == 1000, "each load comes before the other's store"


def test_an_addition_alone_is_exact_and_wraps(machine: Machine) -> None:
    process = machine.spawn()
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"\xfe\xff\xff\xff")
    process.add(base, 7)
    assert process.word(base) == 5
    assert machine.run_concurrently([Call(process, "load", (base, 1))]) == [b"\x05"]


def test_closing_ends_every_process_and_empties_the_file_table(machine: Machine) -> None:
    used = machine.file_table.used
    process = machine.spawn()
    process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.fork()
    machine.close()
    assert machine.processes == []
    assert machine.file_table.used == used - 1, "the terminal's description goes with the last process"
