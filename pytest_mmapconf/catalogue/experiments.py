"""Experiments that observe a property of the system under test, each in a process of a freshly booted system.

An experiment returns True if the property holds and False if it does not.  Any other exception than the ones that it
handles means that the property could not be observed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeAlias

from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MADV_NORMAL,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    O_CREAT,
    O_EXCL,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Fault,
    Process,
    Resource,
)

Experiment: TypeAlias = Callable[[Process], bool]

RW: Final = PROT_READ | PROT_WRITE
PATH: Final = "observed"
"""The name of the file of an experiment; each has a system, and so a directory, of its own."""


def new_file(process: Process, pages: int = 1) -> int:
    """Return a descriptor, open for reading and writing, of a new file of that many pages of "x"."""
    fd = process.open(PATH, O_CREAT | O_EXCL | O_RDWR)
    content = b"x" * (pages * process.sysconf(SC_PAGESIZE))
    written = 0
    while written < len(content):
        written += process.pwrite(fd, content[written:], written)
    return fd


def map_file(process: Process, pages: int = 1, prot: int = RW, kind: int = MAP_SHARED) -> int:
    """Map a new file of that many pages, and return the address."""
    return process.mmap(0, pages * process.sysconf(SC_PAGESIZE), prot, kind, new_file(process, pages), 0)


def fault_of(access: Callable[[], object]) -> Fault | None:
    """Return the fault of an access; None if it succeeds."""
    try:
        access()
    except Fault as fault:
        return fault
    return None


def errno_of(call: Callable[[], object]) -> int:
    """Return the errno of a call; 0 if it succeeds."""
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


def has_anonymous_memory(process: Process) -> bool:
    try:
        base = process.mmap(0, process.sysconf(SC_PAGESIZE), RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        process.store(base, b"x")
        return process.load(base, 2) == b"x\0"
    except (OSError, Fault):
        return False


def has_reservation(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    try:
        base = process.mmap(0, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    except OSError:
        return False
    return (
        fault_of(lambda: process.load(base, 1)) is not None
        and fault_of(lambda: process.load(base + page, 1)) is not None
    )


def has_prot_none(process: Process) -> bool:
    base = map_file(process, prot=PROT_NONE)
    return fault_of(lambda: process.load(base, 1)) is not None


def has_read_only(process: Process) -> bool:
    base = map_file(process, prot=PROT_READ)
    return fault_of(lambda: process.store(base, b"x")) is not None


def has_fixed(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process, 2)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    try:
        return process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, page) == base
    except OSError:
        return False


def has_noreplace(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process, 2)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    flags = MAP_SHARED | MAP_FIXED_NOREPLACE
    try:
        process.mmap(base, page, PROT_READ, flags, fd, 0)
    except OSError as error:
        if error.errno != errno.EEXIST:
            return False
    else:
        return False
    process.munmap(base, 2 * page)
    try:
        return process.mmap(base + page, page, PROT_READ, flags, fd, 0) == base + page
    except OSError:
        return False


def has_exact_fault_address(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_file(process, prot=PROT_READ)
    fault = fault_of(lambda: process.store(base + page - 1, b"x"))
    return fault is not None and fault.address == base + page - 1


def has_fork(process: Process) -> bool:
    base = map_file(process)
    try:
        child = process.fork()
    except OSError:
        return False
    return child.load(base, 1) == b"x" and child.exit() == 0


def has_no_execute(process: Process) -> bool:
    base = map_file(process, kind=MAP_PRIVATE)
    process.store(base, process.return_instruction())
    return fault_of(lambda: process.execute(base)) is not None


def has_remove_advice(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_file(process)
    try:
        process.madvise(base, page, MADV_REMOVE)
    except OSError:
        return False
    return process.load(base, page) == bytes(page)


def is_limit_of_address_space_kept(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * page)
    try:
        process.mmap(0, 128 * page, PROT_READ, MAP_SHARED, fd, 0)
    except OSError as error:
        return error.errno == errno.ENOMEM
    return False


def is_limit_of_locked_memory_kept(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_file(process, 3)
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    try:
        process.mlock(base, 2 * page)
        process.munlock(base, 2 * page)
    except OSError:
        return False
    try:
        process.mlock(base, 3 * page)
    except OSError as error:
        return error.errno == errno.ENOMEM
    return False


def do_locks_follow_the_mapped_file(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process)
    process.flock(fd, LOCK_EX | LOCK_NB)
    rival = process.open(PATH, O_RDWR)
    process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)
    try:
        process.flock(rival, LOCK_EX | LOCK_NB)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def is_mtime_set_by_the_store(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.set_old_mtime(fd)
    process.store(base, b"y")
    return not process.has_old_mtime(fd)


def is_growth_seen(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    process.ftruncate(fd, 2 * page)
    return fault_of(lambda: process.load(base + page, 1)) is None


def has_native_width(process: Process) -> bool:
    """A range that wraps is refused by munlock and madvise, and is empty for msync, if the kernel computes in `bits`.

    With wider numbers it is a long range, of which the three calls refuse the part that is not mapped (ENOMEM).
    """
    if process.bits == 64:
        return True
    page, span = process.sysconf(SC_PAGESIZE), 1 << process.bits
    base = map_file(process)
    wrapping: list[tuple[Callable[[], None], int]] = [
        (lambda: process.munlock(base, span - page), errno.EINVAL),
        (lambda: process.madvise(base, span - page, MADV_NORMAL), errno.EINVAL),
        (lambda: process.msync(base, span - 1, MS_ASYNC), 0),
    ]
    return any(errno_of(call) == wraps for call, wraps in wrapping)


def can_evict_pages(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process)
    process.drop_cache(fd)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    return process.mincore(base, page) == [False]
