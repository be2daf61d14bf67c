"""What several case modules share: types of the fixtures, content that tells its place, addresses for MAP_FIXED.

Cases never place anything at an address of their own invention.  What they map with MAP_FIXED goes into a *free range*
(`free_range`), which the implementation keeps free of its own, or into a *reservation* (`reserve`): inaccessible memory
that the case has mapped itself.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import pytest

from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MAP_ANONYMOUS,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Backend,
    Fault,
    Process,
    System,
    Unresolved,
    Unsupported,
    errno_name,
)
from ..plugin.fixtures import File, NewPath, Record, WriteFile
from ..testing import faults

# Cases name the types of their fixtures from here.
__all__ = ["MakeFile", "NewPath", "Record", "WriteFile"]

MakeFile = File

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


both_types = pytest.mark.parametrize(
    "kind", [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")]
)
"""Runs a case once with `kind` MAP_SHARED and once with MAP_PRIVATE."""


def pages_of(page: int, *letters: str) -> bytes:
    """Content in which each page repeats its own letter: ``pages_of(page, "a", "b")`` is two pages."""
    return b"".join(letter.encode() * page for letter in letters)


def numbered(page: int, pages: int) -> bytes:
    """As many pages, one of A, one of B …"""
    return pages_of(page, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:pages])


def free_range(process: Process, pages: int) -> int:
    """The address of `pages` pages in which nothing is mapped, with a page or more free on each side.

    In the scratch_range if the implementation has one; else where a mapping that large has just been.
    """
    page = process.sysconf(SC_PAGESIZE)
    try:
        addr, length = process.scratch_range()
    except NotImplementedError:
        length = 0
    if length >= (pages + 2) * page:
        return addr + page
    addr = process.mmap(0, (pages + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.munmap(addr, (pages + 2) * page)
    return addr + page


def end_of_user_space(backend: Backend, process: Process, page: int) -> int:
    """The first address above user space: what the backend says, if that is so, else by bisection."""
    low, high = 0, (1 << process.bits) // page  # pages: the end is above `low` and not above `high`
    told = int(backend.facts().details.get("end", "0")) // page
    if 0 < told < high and is_in_user_space(process, told - 1, page) and not is_in_user_space(process, told, page):
        return told * page
    while high - low > 1:
        middle = (low + high) // 2
        if is_in_user_space(process, middle, page):
            low = middle
        else:
            high = middle
    return high * page


def is_in_user_space(process: Process, number: int, page: int) -> bool:
    """Whether a page, by its number, could be mapped, or is: what no MAP_FIXED_NOREPLACE may have is above (ENOMEM)."""
    addr = number * page
    try:
        got = process.mmap(addr, page, PROT_NONE, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    except OSError as error:
        return error.errno != errno.ENOMEM  # it may be taken (EEXIST), or not for everyone (EPERM)
    process.munmap(got, page)
    if got != addr:
        raise Unsupported("MAP_FIXED_NOREPLACE does not keep to its address, so the end of user space is not known")
    return True


def reserve(process: Process, pages: int) -> int:
    """The address of `pages` pages of inaccessible memory, for MAP_FIXED to replace."""
    length = pages * process.sysconf(SC_PAGESIZE)
    return process.mmap(0, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)


def assert_nothing_mapped(process: Process, addr: int) -> None:
    """A load at `addr` faults because nothing is mapped there (PROT_NONE would be another code)."""
    with faults("SIGSEGV", at=addr, code="SEGV_MAPERR"):
        process.load(addr, 1)


def assert_inaccessible(process: Process, addr: int) -> None:
    """A load at `addr` faults although something is mapped there: it has no right to be read."""
    with faults("SIGSEGV", at=addr, code="SEGV_ACCERR"):
        process.load(addr, 1)


@contextmanager
def given() -> Iterator[None]:
    """Set-up by calls that are not judged: what fails here keeps the suite from telling."""
    try:
        yield
    except OSError as error:
        raise Unresolved(f"set-up failed: {errno_name(error)}") from error


def out_of_memory(process: Process, fd: int) -> None:
    """Have a file's pages leave memory, where that can be asked: what is there later has been brought in."""
    with suppress(Unsupported):
        process.drop_cache(fd)


def take_lock(process: Process, fd: int, lock: str) -> None:
    """Take an advisory write lock on the whole file, without waiting: "flock", "ofd" or "record"."""
    if lock == "flock":
        process.flock(fd, LOCK_EX | LOCK_NB)
    else:
        process.record_lock(fd, ofd=lock == "ofd")


def lock_by_another(system: System, path: str, lock: str) -> None:
    """Have a process of its own open the file and take the lock."""
    other = system.spawn()
    with given():
        take_lock(other, other.open(path, O_RDWR), lock)


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Set-up that not every user or file system is allowed: refused, the case cannot be asked."""
    try:
        yield
    except OSError as error:
        raise Unsupported(f"{what}: {errno_name(error)}") from error


@contextmanager
def append_only(process: Process, fd: int) -> Iterator[None]:
    """The file has the append-only attribute, which is taken away again so that the file can be removed."""
    with needing("the append-only attribute"):
        process.set_append_only(fd, True)
    try:
        yield
    finally:
        process.set_append_only(fd, False)


@contextmanager
def executable_files() -> Iterator[None]:
    """A mapping with PROT_EXEC of an ordinary file.  EPERM: the folder lies on a noexec file system."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPERM:
            raise Unsupported("the folder of the files lies on a noexec file system") from error
        raise


WITHOUT_EXECUTE_RIGHT: Final = ("i386", "i486", "i586", "i686", "mips", "s390")
"""Machines, by the start of their name, that may be unable to keep a readable page from being executed."""


def assert_not_executable(backend: Backend, process: Process, addr: int, record: Record) -> None:
    """Execution at `addr` faults; on a machine that may be unable to tell, that it does not is noted only."""
    try:
        with faults("SIGSEGV", at=addr, code="SEGV_ACCERR"):
            process.execute(addr)
    except AssertionError as error:
        machine = backend.facts().details.get("machine", "")
        if isinstance(error.__cause__, Fault) or not machine.startswith(WITHOUT_EXECUTE_RIGHT):
            raise
        record("execution without PROT_EXEC", "is not prevented")


def can_load(process: Process, addr: int) -> bool:
    """Whether a load at `addr` works: asked where that is the hardware's choice."""
    try:
        process.load(addr, 1)
    except Fault:
        return False
    return True
