"""Cases of refused accesses: which signal each cause raises, with which code, and where."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    Backend,
    Process,
)
from ..testing import clause, faults
from ._helpers import ANONYMOUS, RW, MakeFile, Record, assert_not_executable, free_range, shared_and_private

ACCESSES = ("load", "store", "execute")


def make(process: Process, access: str, addr: int) -> None:
    """Make an access of one byte."""
    if access == "load":
        process.load(addr, 1)
    elif access == "store":
        process.store(addr, b"x")
    else:
        process.execute(addr)


def a_page(process: Process, page: int, file: MakeFile, what: str, prot: int) -> int:
    """The address of a page of private memory or of a file, mapped with these rights."""
    if what == "anonymous":
        return process.mmap(0, page, prot, ANONYMOUS, -1, 0)
    return process.mmap(0, page, prot, MAP_SHARED, file(b"A" * page), 0)


WHAT = pytest.mark.parametrize("what", ["anonymous", "file"])


# ------------------------------------------------------------------------------------------------------------ the code


@clause("fault.unmapped")
@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("how", ["never-mapped", "unmapped"])
def test_where_nothing_is_mapped(process: Process, page: int, how: str, access: str) -> None:
    addr = free_range(process, 1)
    if how == "unmapped":
        addr = process.mmap(0, page, RW | PROT_EXEC, ANONYMOUS, -1, 0)
        process.store(addr, process.return_instruction())
        process.munmap(addr, page)

    with faults("SIGSEGV", code="SEGV_MAPERR"):
        make(process, access, addr)


@clause("fault.inaccessible")
@pytest.mark.parametrize("access", ["load", "store"])
@WHAT
def test_where_nothing_may_be_accessed(process: Process, page: int, file: MakeFile, what: str, access: str) -> None:
    """It is mapped all the same: that is another code."""
    addr = a_page(process, page, file, what, PROT_NONE)

    with faults("SIGSEGV", code="SEGV_ACCERR"):
        make(process, access, addr)


@clause("fault.inaccessible")
def test_where_access_was_taken_away(process: Process, page: int) -> None:
    addr = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(addr, b"x")
    process.mprotect(addr, page, PROT_NONE)

    with faults("SIGSEGV", code="SEGV_ACCERR"):
        process.load(addr, 1)


@clause("fault.read-only")
@WHAT
def test_a_store_where_only_loads_are_allowed(process: Process, page: int, file: MakeFile, what: str) -> None:
    """In a page that has been loaded from, and in one that has not."""
    for touched in (False, True):
        addr = a_page(process, page, file, what, PROT_READ)
        if touched:
            process.load(addr, 1)
        with faults("SIGSEGV", code="SEGV_ACCERR"):
            process.store(addr, b"x")


@clause("fault.not-executable")
def test_an_execution_where_it_is_not_allowed(backend: Backend, process: Process, page: int, record: Record) -> None:
    addr = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(addr, process.return_instruction())

    assert_not_executable(backend, process, addr, record)


@clause("fault.end-of-file")
@pytest.mark.parametrize("access", ["load", "store"])
@shared_and_private
def test_past_the_end_of_the_file(process: Process, page: int, file: MakeFile, kind: int, access: str) -> None:
    """Not SIGSEGV, and with the code of an address that does not exist in what is mapped."""
    base = process.mmap(0, 2 * page, RW, kind, file(b"A"), 0)

    with faults("SIGBUS", code="BUS_ADRERR"):
        make(process, access, base + page)


@clause("fault.end-of-file")
def test_past_the_end_of_shared_memory(process: Process, page: int) -> None:
    """Grown by mremap it has no more pages than before."""
    base = process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    grown = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    with faults("SIGBUS", code="BUS_ADRERR"):
        process.load(grown + page, 1)


# ----------------------------------------------------------------------------------------------------------- the place


@clause("fault.address")
@pytest.mark.parametrize("why", ["unmapped", "inaccessible", "past-the-end"])
@pytest.mark.parametrize("access", ["load", "store"])
@pytest.mark.parametrize("inside", [0, 1, 8, -1], ids=["first", "second", "ninth", "last"])
def test_the_address_of_the_very_byte(
    process: Process, page: int, file: MakeFile, inside: int, access: str, why: str
) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(b"A" * (page if why == "past-the-end" else 2 * page)), 0)
    if why == "unmapped":
        process.munmap(base + page, page)
    elif why == "inaccessible":
        process.mprotect(base + page, page, PROT_NONE)
    at = base + page + inside % page

    with faults("SIGBUS" if why == "past-the-end" else "SIGSEGV", at=at):
        make(process, access, at)


@clause("fault.address")
@pytest.mark.parametrize("access", ["load", "store"])
def test_an_access_that_comes_to_a_border(process: Process, page: int, access: str) -> None:
    """Byte by byte it comes as far as it may, and the fault is at the first byte that it may not have."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.mprotect(base + page, page, PROT_NONE)

    with faults("SIGSEGV", at=base + page):
        process.load(base + page - 4, 8) if access == "load" else process.store(base + page - 4, b"abcdefgh")

    assert process.load(base + page - 4, 4) == (bytes(4) if access == "load" else b"abcd")


# ----------------------------------------------------------------------------------------------------------- the order


@clause("fault.order")
@pytest.mark.parametrize(
    ("prot", "access"),
    [
        pytest.param(PROT_READ, "store", id="store-read-only"),
        pytest.param(PROT_NONE, "load", id="load-inaccessible"),
        pytest.param(PROT_NONE, "store", id="store-inaccessible"),
    ],
)
@shared_and_private
def test_rights_are_looked_at_before_the_end_of_the_file(
    process: Process, page: int, file: MakeFile, kind: int, prot: int, access: str
) -> None:
    base = process.mmap(0, page, prot, kind, file(), 0)

    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        make(process, access, base)


# ------------------------------------------------------------------------------------------------------------ and then


@clause("fault.cured")
@pytest.mark.parametrize("why", ["unmapped", "inaccessible", "read-only", "past-the-end"])
def test_once_the_cause_is_gone_the_access_works(process: Process, page: int, file: MakeFile, why: str) -> None:
    """The process goes on, and what has been refused is not refused for ever."""
    addr = free_range(process, 1)
    fd = file(b"" if why == "past-the-end" else b"A" * page)
    prot = {"inaccessible": PROT_NONE, "read-only": PROT_READ}.get(why, RW)
    if why != "unmapped":
        addr = process.mmap(0, page, prot, MAP_SHARED, fd, 0)
    with faults("SIGBUS" if why == "past-the-end" else "SIGSEGV"):
        process.store(addr, b"x")

    if why == "unmapped":
        addr = process.mmap(addr, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    elif why == "past-the-end":
        process.ftruncate(fd, page)
    else:
        process.mprotect(addr, page, RW)

    process.store(addr, b"x")
    assert process.pread(fd, 1, 0) == process.load(addr, 1) == b"x"
