"""What reference:posix-strict does differently from Linux."""

from __future__ import annotations

import pytest
from call_errno import errno

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_INVALIDATE,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Process,
)
from pytest_mmapconf.reference.variants import VARIANTS, VariantBackend

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> Process:
    return VariantBackend(VARIANTS["posix-strict"]).boot().spawn()


@pytest.fixture
def fd(process: Process) -> int:
    """A file of one page of "a"."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"a" * PAGE, 0)
    return fd


def test_last_of_several_errors(process: Process) -> None:
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)

    assert errno(lambda: process.mmap(0, PAGE, RW, MAP_SHARED, 99, 1)) == "EBADF"
    assert errno(lambda: process.mremap(base, 2 * PAGE, PAGE, 0x80)) == "EINVAL"


def test_refused_fixed_mapping_has_unmapped(process: Process, fd: int) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    read_only = process.open("f", 0)

    assert errno(lambda: process.mmap(base, PAGE, RW, MAP_SHARED | MAP_FIXED, read_only, 0)) == "EACCES"
    with pytest.raises(Fault, match="MAPERR"):
        process.load(base, 1)


def test_offset_past_the_end(process: Process, fd: int) -> None:
    process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)

    assert errno(lambda: process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, PAGE)) == "ENXIO"


def test_combination_of_rights(process: Process) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)

    assert errno(lambda: process.mmap(0, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0)) == "EOPNOTSUPP"
    assert errno(lambda: process.mprotect(base, PAGE, PROT_WRITE | PROT_EXEC)) == "EOPNOTSUPP"


def test_alignment_of_addresses(process: Process) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)

    assert errno(lambda: process.mlock(base + 1, 1)) == "EINVAL"
    assert errno(lambda: process.munlock(base + 1, 1)) == "EINVAL"
    process.msync(base + 1, PAGE, MS_SYNC)
    process.mprotect(base + 1, 1, PROT_READ)
    process.munmap(base + PAGE + 1, 1)
    with pytest.raises(Fault, match="ACCERR"):
        process.store(base, b"x")
    with pytest.raises(Fault, match="MAPERR"):
        process.load(base + PAGE, 1)
    process.store(base + 2 * PAGE, b"x")


def test_msync_requires_sync_or_async(process: Process) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)

    for flags in (0, MS_INVALIDATE):
        assert errno(lambda flags=flags: process.msync(base, PAGE, flags)) == "EINVAL"  # type: ignore[misc]


def test_rights_of_pages(process: Process, fd: int) -> None:
    writable = process.mmap(0, PAGE, PROT_WRITE, ANONYMOUS, -1, 0)
    readable = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(readable, process.return_instruction())

    with pytest.raises(Fault):
        process.load(writable, 1)
    process.execute(readable)


def test_fault_has_the_address_of_the_page(process: Process, fd: int) -> None:
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)

    with pytest.raises(Fault) as caught:
        process.load(base + PAGE + 5, 1)
    assert (caught.value.code, caught.value.address) == ("BUS_OBJERR", base + PAGE)


def test_private_mapping_is_a_copy(process: Process, fd: int) -> None:
    base = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)
    process.pwrite(fd, b"b" * PAGE, 0)

    assert process.load(base, 1) == b"a"


def test_added_and_removed_pages(process: Process, fd: int) -> None:
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)

    process.ftruncate(fd, 2 * PAGE)
    with pytest.raises(Fault, match="SIGBUS"):
        process.load(base + PAGE, 1)
    assert process.load(base, 1) == b"a"
    process.ftruncate(fd, 0)
    assert process.load(base, 1) == b"a"


def test_time_changes_at_msync(process: Process, fd: int) -> None:
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.set_old_mtime(fd)
    process.store(base, b"x")

    assert process.has_old_mtime(fd)
    process.msync(base, PAGE, MS_SYNC)
    assert not process.has_old_mtime(fd)


def test_too_many_mappings() -> None:
    system = VariantBackend(VARIANTS["posix-strict"]).boot()
    process = system.spawn()
    for _ in range(system.mapping_limit() + 1):
        process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)

    assert errno(lambda: process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)) == "EMFILE"


def test_buffer_that_ends_in_a_hole_moves_nothing(process: Process, fd: int) -> None:
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.munmap(base + PAGE, PAGE)

    assert errno(lambda: process.write_from(fd, base + PAGE - 2, 4, 0)) == "EFAULT"
