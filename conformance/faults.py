"""Cases of faulting accesses: the signal, si_code and address of each cause."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    Process,
)
from ..testing import clause, faults, needs
from ._helpers import ANONYMOUS, RW, MakeFile, free_range, shared_and_private

ACCESSES = ("load", "store", "execute")


def access_byte(process: Process, access: str, addr: int) -> None:
    """Access one byte in the given way."""
    if access == "load":
        process.load(addr, 1)
    elif access == "store":
        process.store(addr, b"x")
    else:
        process.execute(addr)


def map_page(process: Process, page: int, file: MakeFile, memory: str, prot: int) -> int:
    """Return the address of a page of private anonymous memory or of a file, mapped with this protection."""
    if memory == "anonymous":
        return process.mmap(0, page, prot, ANONYMOUS, -1, 0)
    return process.mmap(0, page, prot, MAP_SHARED, file(b"A" * page), 0)


MEMORY = pytest.mark.parametrize("memory", ["anonymous", "file"])


# ------------------------------------------------------------------------------------------------------ signal and code


@clause("fault.unmapped")
@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("history", ["never-mapped", "unmapped"])
def test_access_to_unmapped_page_is_maperr(
    process: Process, page: int, file: MakeFile, history: str, access: str
) -> None:
    addr = free_range(process, 1)
    if history == "unmapped":
        addr = process.mmap(0, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file(process.return_instruction()), 0)
        process.munmap(addr, page)

    with faults("SIGSEGV", code="SEGV_MAPERR"):
        access_byte(process, access, addr)


@clause("fault.inaccessible")
@pytest.mark.parametrize("access", ["load", "store"])
@MEMORY
def test_access_to_prot_none_page_is_accerr(
    process: Process, page: int, file: MakeFile, memory: str, access: str
) -> None:
    """The page is mapped, so si_code differs from that of an unmapped page."""
    addr = map_page(process, page, file, memory, PROT_NONE)

    with faults("SIGSEGV", code="SEGV_ACCERR"):
        access_byte(process, access, addr)


@clause("fault.inaccessible")
def test_load_after_mprotect_none_is_accerr(process: Process, page: int) -> None:
    addr = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(addr, b"x")
    process.mprotect(addr, page, PROT_NONE)

    with faults("SIGSEGV", code="SEGV_ACCERR"):
        process.load(addr, 1)


@clause("fault.read-only")
@MEMORY
def test_store_to_read_only_page_is_accerr(process: Process, page: int, file: MakeFile, memory: str) -> None:
    """The store faults whether or not the page has been loaded from before."""
    for touched in (False, True):
        addr = map_page(process, page, file, memory, PROT_READ)
        if touched:
            process.load(addr, 1)
        with faults("SIGSEGV", code="SEGV_ACCERR"):
            process.store(addr, b"x")


@clause("fault.not-executable")
def test_execution_of_non_executable_page_faults(process: Process, page: int, file: MakeFile) -> None:
    code = process.return_instruction()
    memory = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(memory, code)
    shared = process.mmap(0, page, PROT_READ, MAP_SHARED, file(code), 0)
    private = process.mmap(0, page, PROT_READ, MAP_PRIVATE, file(code), 0)
    inaccessible = process.mmap(0, page, PROT_NONE, MAP_SHARED, file(code), 0)

    for addr in (memory, shared, private, inaccessible):
        with faults("SIGSEGV", code="SEGV_ACCERR"):
            process.execute(addr)


@clause("fault.end-of-file")
@pytest.mark.parametrize("access", ["load", "store"])
@shared_and_private
def test_access_past_end_of_file_is_sigbus(process: Process, page: int, file: MakeFile, kind: int, access: str) -> None:
    """The signal is SIGBUS with BUS_ADRERR, not SIGSEGV."""
    base = process.mmap(0, 2 * page, RW, kind, file(b"A"), 0)

    with faults("SIGBUS", code="BUS_ADRERR"):
        access_byte(process, access, base + page)


@clause("fault.end-of-file")
def test_access_past_end_of_shared_memory_is_sigbus(process: Process, page: int) -> None:
    """Growing the mapping by mremap does not grow the shared memory object."""
    base = process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    grown = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    with faults("SIGBUS", code="BUS_ADRERR"):
        process.load(grown + page, 1)


# -------------------------------------------------------------------------------------------------------- fault address


@clause("fault.address")
@pytest.mark.parametrize("cause", ["unmapped", "inaccessible", "past-end-of-file"])
@pytest.mark.parametrize("access", ["load", "store"])
@pytest.mark.parametrize("offset", [0, 1, 8, -1], ids=["first", "second", "ninth", "last"])
def test_fault_address_is_accessed_byte(
    process: Process, page: int, file: MakeFile, offset: int, access: str, cause: str
) -> None:
    base = process.mmap(
        0, 2 * page, RW, MAP_SHARED, file(b"A" * (page if cause == "past-end-of-file" else 2 * page)), 0
    )
    if cause == "unmapped":
        process.munmap(base + page, page)
    elif cause == "inaccessible":
        process.mprotect(base + page, page, PROT_NONE)
    at = base + page + offset % page

    with faults("SIGBUS" if cause == "past-end-of-file" else "SIGSEGV", at=at):
        access_byte(process, access, at)


@clause("fault.address")
@pytest.mark.parametrize("access", ["load", "store"])
def test_access_across_boundary_faults_at_first_inaccessible_byte(process: Process, page: int, access: str) -> None:
    """The bytes before the boundary are accessed one by one; the fault address is the first inaccessible byte."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.mprotect(base + page, page, PROT_NONE)

    with faults("SIGSEGV", at=base + page):
        process.load(base + page - 4, 8) if access == "load" else process.store(base + page - 4, b"abcdefgh")

    assert process.load(base + page - 4, 4) == (bytes(4) if access == "load" else b"abcd")


# ----------------------------------------------------------------------------------------------------------- precedence


@clause("fault.order")
@pytest.mark.parametrize(
    ("prot", "access"),
    [
        pytest.param(PROT_READ, "store", id="store-to-read-only"),
        pytest.param(PROT_NONE, "load", id="load-from-inaccessible"),
        pytest.param(PROT_NONE, "store", id="store-to-inaccessible"),
    ],
)
@shared_and_private
def test_protection_is_checked_before_end_of_file(
    process: Process, page: int, file: MakeFile, kind: int, prot: int, access: str
) -> None:
    base = process.mmap(0, page, prot, kind, file(), 0)

    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        access_byte(process, access, base)


# ------------------------------------------------------------------------------------------------------ after the fault


@clause("fault.cured")
@pytest.mark.parametrize(
    "cause",
    [
        "unmapped",
        "inaccessible",
        "read-only",
        pytest.param("past-end-of-file", marks=needs("size-changes-seen")),
    ],
)
def test_access_succeeds_once_cause_is_removed(process: Process, page: int, file: MakeFile, cause: str) -> None:
    """The process survives the fault, and the same access succeeds later."""
    addr = free_range(process, 1)
    fd = file(b"" if cause == "past-end-of-file" else b"A" * page)
    prot = {"inaccessible": PROT_NONE, "read-only": PROT_READ}.get(cause, RW)
    if cause != "unmapped":
        addr = process.mmap(0, page, prot, MAP_SHARED, fd, 0)
    with faults("SIGBUS" if cause == "past-end-of-file" else "SIGSEGV"):
        process.store(addr, b"x")

    if cause == "unmapped":
        addr = process.mmap(addr, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    elif cause == "past-end-of-file":
        process.ftruncate(fd, page)
    else:
        process.mprotect(addr, page, RW)

    process.store(addr, b"x")
    assert process.pread(fd, 1, 0) == process.load(addr, 1) == b"x"
