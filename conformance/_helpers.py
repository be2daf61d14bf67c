"""Helpers of the case modules: types of fixtures, content that identifies each page, addresses for MAP_FIXED.

A case never chooses an address at random.  A MAP_FIXED mapping goes into a *free range* (`free_range`), in which the
implementation places nothing itself, or into a *reservation* (`reserve`): inaccessible memory that the case has mapped.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from ..catalogue.experiments import private_memory
from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Fault,
    Process,
    System,
    Unresolved,
    Unsupported,
    errno_name,
)
from ..testing import File, NewPath, Record, WriteFile, faults, needs, optional_calls

# Case modules import the types of their fixtures from here.
__all__ = ["MakeFile", "NewPath", "Record", "WriteFile"]

MakeFile = File

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


KINDS = [
    "file-shared",
    "file-private",
    pytest.param("anonymous-shared", marks=needs("anonymous-memory")),
    pytest.param("anonymous-private", marks=needs("anonymous-memory")),
]
"""The kinds of mappings, as values of a parameter."""
WITHOUT_FILE = MAP_ANONYMOUS
"""The flag of the anonymous kinds, under a name that does not make each case with such a parameter need them."""

shared_and_private = pytest.mark.parametrize(
    "kind",
    [pytest.param(MAP_SHARED, id="shared", marks=needs("shared-mapping")), pytest.param(MAP_PRIVATE, id="private")],
)
"""Run a case once with `kind` MAP_SHARED and once with MAP_PRIVATE."""


def prot_id(prot: int) -> str:
    """Return the id of a parameter that is a protection: "none", "read", "read-write" and so on."""
    bits = {PROT_READ: "read", PROT_WRITE: "write", PROT_EXEC: "exec"}
    return "-".join(name for bit, name in bits.items() if prot & bit) or "none"


def pages_of(page: int, *letters: str) -> bytes:
    """Return one page filled with each of the letters: ``pages_of(page, "a", "b")`` is two pages."""
    return b"".join(letter.encode() * page for letter in letters)


def lettered_pages(page: int, pages: int) -> bytes:
    """Return content of as many pages: one filled with A, one with B and so on."""
    return pages_of(page, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:pages])


@optional_calls
def map_memory(process: Process, length: int, prot: int = RW) -> int:
    """Map private memory that reads as zeros, of a file if there are files; return its address."""
    flags, fd = private_memory(process, length)
    return process.mmap(0, length, prot, flags, fd, 0)


@needs("fixed")
@optional_calls
def map_memory_at(process: Process, addr: int, length: int, prot: int = RW) -> None:
    """Map private memory that reads as zeros at `addr`, with MAP_FIXED."""
    flags, fd = private_memory(process, length)
    process.mmap(addr, length, prot, flags | MAP_FIXED, fd, 0)


@needs("reservation")
@optional_calls
def reserve(process: Process, pages: int) -> int:
    """Return the address of a new PROT_NONE mapping of `pages` pages, which MAP_FIXED may replace."""
    return map_memory(process, pages * process.sysconf(SC_PAGESIZE), PROT_NONE)


@optional_calls
def free_range(process: Process, pages: int) -> int:
    """Return the address of `pages` unmapped pages with at least one unmapped page on each side.

    They are in the scratch range if the implementation has one, otherwise where a mapping of that size has just been
    removed.
    """
    page = process.sysconf(SC_PAGESIZE)
    try:
        addr, length = process.scratch_range()
    except NotImplementedError:
        length = 0
    if length >= (pages + 2) * page:
        return addr + page
    addr = map_memory(process, (pages + 2) * page)
    process.munmap(addr, (pages + 2) * page)
    return addr + page


def assert_inaccessible(process: Process, addr: int) -> None:
    """Check that a load at `addr` faults: nothing is mapped there, or what is mapped is not readable."""
    with faults("SIGSEGV"):
        process.load(addr, 1)


@needs("unmapped-code")
def assert_nothing_mapped(process: Process, addr: int) -> None:
    """Check that a load at `addr` faults because no mapping is there (PROT_NONE has another si_code)."""
    with faults("SIGSEGV", code="SEGV_MAPERR"):
        process.load(addr, 1)


@contextmanager
def setup() -> Iterator[None]:
    """Run calls that the case needs but does not judge: if one of them fails, the case is unresolved."""
    try:
        yield
    except OSError as error:
        raise Unresolved(f"set-up failed: {errno_name(error)}") from error


def drop_page_cache(process: Process, fd: int) -> None:
    """Evict a file's pages from the page cache, if the implementation can; a later access has to read them again."""
    with suppress(Unsupported):
        process.drop_cache(fd)


def take_lock(process: Process, fd: int, lock: str) -> None:
    """Take an advisory write lock ("flock", "ofd" or "record") on the whole file, without waiting."""
    if lock == "flock":
        process.flock(fd, LOCK_EX | LOCK_NB)
    else:
        process.record_lock(fd, ofd=lock == "ofd")


def can_lock(take: Callable[[], None]) -> bool:
    """True if `take` takes its lock, False if it fails with EAGAIN because another process holds it."""
    try:
        take()
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        return False
    return True


def lock_from_another_process(system: System, path: str, lock: str) -> None:
    """Start another process that opens the file and takes the lock."""
    other = system.spawn()
    with setup():
        fd = other.open(path, O_RDWR)
    with requires("an OFD lock") if lock == "ofd" else setup():
        take_lock(other, fd, lock)


@contextmanager
def requires(what: str, *errors: int) -> Iterator[None]:
    """Run calls that need a privilege or a feature of the file system: if one fails, the case is unsupported.

    `errors`: the errnos that say so, if not all do.
    """
    try:
        yield
    except OSError as error:
        if errors and error.errno not in errors:
            raise
        raise Unsupported(f"{what}: {errno_name(error)}") from error


@contextmanager
def append_only(process: Process, fd: int) -> Iterator[None]:
    """Set the file's append-only attribute, and clear it at the end so that the file can be removed."""
    with requires("the append-only attribute"):
        process.set_append_only(fd, True)
    try:
        yield
    finally:
        process.set_append_only(fd, False)


@contextmanager
def requires_exec_mount() -> Iterator[None]:
    """Map an ordinary file with PROT_EXEC: EPERM means a noexec mount, on which the case is unsupported."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPERM:
            raise Unsupported("the directory of the files is on a noexec file system") from error
        raise


def record_execution(process: Process, addr: int, record: Record) -> None:
    """Record whether code without PROT_EXEC can be executed: POSIX leaves it to the implementation."""
    try:
        process.execute(addr)
    except Fault:
        record("execution without PROT_EXEC", "is prevented")
    else:
        record("execution without PROT_EXEC", "is not prevented")


def can_load(process: Process, addr: int) -> bool:
    """True if a load at `addr` succeeds; used where the hardware decides."""
    try:
        process.load(addr, 1)
    except Fault:
        return False
    return True
