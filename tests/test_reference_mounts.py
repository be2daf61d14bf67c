"""The special file systems."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Facility,
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


def test_content_of_special_files(machine: ReferenceSystem) -> None:
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


def test_a_random_device_reads_the_same_at_the_same_offset(machine: ReferenceSystem) -> None:
    process = machine.spawn()
    fd = process.open("/dev/random", O_RDONLY)
    whole = process.pread(fd, 200, 0)
    assert len(set(whole)) > 50
    for offset, length in ((0, 32), (31, 2), (32, 64), (40, 40), (5, 190)):
        assert process.pread(fd, length, offset) == whole[offset : offset + length]


def test_nothing_may_be_executed_from_noexec(machine: ReferenceSystem) -> None:
    process = machine.spawn()
    fd = process.open("/noexec/f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"x", 0)
    for flags in (MAP_SHARED, MAP_PRIVATE):
        with fails("EPERM"):
            process.mmap(0, PAGE, PROT_READ | PROT_EXEC, flags, fd, 0)
        base = process.mmap(0, PAGE, PROT_READ, flags, fd, 0)
        with fails("EACCES"):
            process.mprotect(base, PAGE, PROT_READ | PROT_EXEC)


def test_a_mandatory_lock_is_eagain(machine: ReferenceSystem) -> None:
    process = machine.spawn()
    fd = process.open(machine.facility(Facility.MANDATORY_LOCK), O_RDWR)
    with fails("EAGAIN"):
        process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)


def test_a_special_file_without_a_name_or_a_descriptor_releases_its_storage(machine: ReferenceSystem) -> None:
    process = machine.spawn()
    path = machine.facility(Facility.MANDATORY_LOCK)
    room = process.free_space("/mandatory")
    fd = process.open(path, O_RDWR)
    process.pwrite(fd, b"x", 0)
    process.unlink(path)
    assert process.free_space("/mandatory") == room - PAGE
    process.close(fd)
    assert process.free_space("/mandatory") == room
