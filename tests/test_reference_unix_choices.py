"""What the variants that play other Unix systems do differently from Linux."""

from __future__ import annotations

import pytest
from call_errno import errno

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Fault,
    Process,
    Resource,
)
from pytest_mmapconf.reference.variants import VARIANTS, VariantBackend

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS

SYSTEMS = ("freebsd", "netbsd", "macos", "illumos")


def spawn(name: str) -> tuple[Process, int]:
    """A process of a variant, and the bytes of its pages."""
    process = VariantBackend(VARIANTS[name]).boot().spawn()
    return process, process.sysconf(SC_PAGESIZE)


def new_file(process: Process, content: bytes) -> int:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


@pytest.mark.parametrize("name", ["freebsd", "netbsd"])
def test_offset_need_not_be_aligned(name: str) -> None:
    process, page = spawn(name)
    fd = new_file(process, b"a" * page + b"b" * page)

    base = process.mmap(0, 2, PROT_READ, MAP_SHARED, fd, page - 1)

    assert base % page == page - 1
    assert process.load(base, 2) == b"ab"
    assert process.mmap(base, 2, PROT_READ, MAP_SHARED | MAP_FIXED, fd, page - 1) == base


@pytest.mark.parametrize("name", SYSTEMS)
def test_alignment_of_addresses(name: str) -> None:
    process, page = spawn(name)
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    rounds = "" if name in ("freebsd", "netbsd") else "EINVAL"

    assert errno(lambda: process.msync(base + 1, 1, MS_SYNC)) == rounds
    assert errno(lambda: process.mprotect(base + 1, 1, PROT_READ)) == rounds
    assert errno(lambda: process.mlock(base + 1, 1)) == ("EINVAL" if name == "illumos" else "")
    assert errno(lambda: process.munmap(base + 1, 1)) == rounds


@pytest.mark.parametrize(("name", "outside"), [*zip(SYSTEMS, ["EINVAL", "EINVAL", "ENOMEM", "ENOMEM"], strict=True)])
def test_fixed_range_outside(name: str, outside: str) -> None:
    process, page = spawn(name)
    end = int(VariantBackend(VARIANTS[name]).facts().details["end"])

    assert errno(lambda: process.mmap(end, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)) == outside


@pytest.mark.parametrize(("name", "limit"), [*zip(SYSTEMS, ["ENOMEM", "EAGAIN", "ENOMEM", "EAGAIN"], strict=True)])
def test_limit_of_locked_memory(name: str, limit: str) -> None:
    process, page = spawn(name)
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, page)

    assert errno(lambda: process.mlock(base, 2 * page)) == limit


@pytest.mark.parametrize("name", SYSTEMS)
def test_access_past_the_end(name: str) -> None:
    process, page = spawn(name)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, new_file(process, b"a"), 0)

    with pytest.raises(Fault) as caught:
        process.load(base + page, 1)
    assert caught.value.code == ("BUS_OBJERR" if name in ("freebsd", "illumos") else "BUS_ADRERR")


def test_netbsd_reading_implies_executing() -> None:
    process, page = spawn("netbsd")
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())

    process.execute(base)


def test_macos_private_mapping_is_a_copy() -> None:
    process, page = spawn("macos")
    fd = new_file(process, b"a")
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    process.pwrite(fd, b"b", 0)

    assert process.load(base, 1) == b"a"


def test_illumos_unmaps_before_it_finds_too_little_room() -> None:
    process, page = spawn("illumos")
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + page, page)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 0)

    assert errno(lambda: process.mmap(base, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)) == "ENOMEM"
    with pytest.raises(Fault, match="MAPERR"):
        process.load(base, 1)


def test_illumos_negative_offset() -> None:
    process, page = spawn("illumos")
    fd = new_file(process, b"a")

    assert errno(lambda: process.mmap(0, page, RW, MAP_SHARED, fd, (1 << 64) - page)) in ("ENXIO", "EOVERFLOW")


@pytest.mark.parametrize("name", SYSTEMS)
def test_time_changes_at_msync(name: str) -> None:
    process, page = spawn(name)
    fd = new_file(process, b"a")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.set_old_mtime(fd)
    process.store(base, b"x")

    assert process.has_old_mtime(fd)
    process.msync(base, page, MS_SYNC)
    assert not process.has_old_mtime(fd)
