"""Cases of /dev/zero, whose mappings are anonymous memory: the traditional way to obtain it."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Process,
    System,
)
from ..testing import clause, fails
from ._helpers import RW, Record, can_load, setup, shared_and_private


def open_zero_device(system: System, process: Process, mode: int = O_RDWR) -> int:
    """Open /dev/zero and return the descriptor."""
    path = system.facility(Facility.DEV_ZERO)
    with setup():
        return process.open(path, mode)


@clause("mmap.zero.private")
def test_private_mapping_is_private_zeroed_memory(system: System, process: Process, page: int) -> None:
    fd = open_zero_device(system, process)
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    assert process.load(base, 2 * page) == bytes(2 * page)
    process.store(base, b"abc")
    child = process.fork()
    child.store(base + 1, b"x")

    assert process.load(base, 3) == b"abc"
    assert child.load(base, 3) == b"axc"


@clause("mmap.zero.shared")
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_shared_mapping_is_zeroed_memory_shared_with_child(
    system: System, process: Process, page: int, touched: bool
) -> None:
    fd = open_zero_device(system, process)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    if touched:
        assert process.load(base, 2 * page) == bytes(2 * page)
    child = process.fork()
    process.store(base, b"p")
    child.store(base + 1, b"c")

    assert process.load(base, 3) == child.load(base, 3) == b"pc\0"


@clause("mmap.zero.apart")
@shared_and_private
def test_each_mapping_is_separate_memory(system: System, process: Process, page: int, kind: int) -> None:
    fd = open_zero_device(system, process)
    one, other = (process.mmap(0, page, RW, kind, fd, 0) for _ in range(2))
    process.store(one, b"abc")

    assert process.load(other, 3) == bytes(3)


@clause("mmap.zero.unchanged")
@shared_and_private
def test_device_reads_as_zero_after_stores(system: System, process: Process, page: int, kind: int) -> None:
    fd = open_zero_device(system, process)
    base = process.mmap(0, page, RW, kind, fd, 0)
    process.store(base, b"abc")

    assert process.pread(fd, 3, 0) == bytes(3)


@clause("mmap.zero.offset")
@pytest.mark.parametrize("offset", ["page", "2**40", "2**63-page", "2**63"])
def test_offset_is_ignored_by_private_mapping(system: System, process: Process, page: int, offset: str) -> None:
    offsets = {"page": page, "2**40": 1 << 40, "2**63-page": (1 << 63) - page, "2**63": -(1 << 63)}
    base = process.mmap(0, page, RW, MAP_PRIVATE, open_zero_device(system, process), offsets[offset])

    assert process.load(base, page) == bytes(page)


@clause("mmap.zero.offset")
def test_offset_is_accepted_by_shared_mapping(system: System, process: Process, page: int, record: Record) -> None:
    """On Linux the memory is shorter by the offset, so the mapped pages may be past its end."""
    base = process.mmap(0, page, RW, MAP_SHARED, open_zero_device(system, process), page)

    record("a shared mapping of /dev/zero from an offset on is there", can_load(process, base))


@clause("mmap.zero.length")
@shared_and_private
def test_device_has_no_end(system: System, process: Process, page: int, kind: int) -> None:
    """The length is rounded up, and the whole last page is accessible."""
    base = process.mmap(0, 8 * page + 1, RW, kind, open_zero_device(system, process), 0)
    process.store(base + 9 * page - 1, b"x")

    assert process.load(base + 8 * page, page) == bytes(page - 1) + b"x"


@clause("mmap.zero.mode")
@pytest.mark.parametrize(
    ("mode", "prot", "kind"),
    [
        pytest.param(O_RDONLY, RW, MAP_SHARED, id="read-only-shared-write"),
        pytest.param(O_RDONLY, PROT_WRITE, MAP_SHARED, id="read-only-shared-write-alone"),
        pytest.param(O_WRONLY, PROT_NONE, MAP_SHARED, id="write-only-shared-none"),
        pytest.param(O_WRONLY, PROT_WRITE, MAP_PRIVATE, id="write-only-private-write"),
    ],
)
def test_mode_of_descriptor_that_conflicts_is_refused(
    system: System, process: Process, page: int, mode: int, prot: int, kind: int
) -> None:
    fd = open_zero_device(system, process, mode)
    with fails("EACCES"):
        process.mmap(0, page, prot, kind, fd, 0)


@clause("mmap.zero.mode")
def test_read_only_descriptor_allows_private_stores_only(system: System, process: Process, page: int) -> None:
    """The private mapping is writable; the shared one cannot be made writable."""
    fd = open_zero_device(system, process, O_RDONLY)
    private = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    shared = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.store(private, b"x")

    assert process.load(private, 2) == b"x\0"
    with fails("EACCES"):
        process.mprotect(shared, page, RW)
