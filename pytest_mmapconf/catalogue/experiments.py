"""Experiments that observe a property of the system under test, each in a process of a freshly booted system.

An experiment returns True if the property holds and False if it does not.  Any other exception than the ones that it
handles means that the property could not be observed.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from typing import Final, TypeAlias

from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MADV_NORMAL,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_HUGETLB,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MLOCK_ONFAULT,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Fault,
    Process,
    Resource,
    Unresolved,
    Unsupported,
    errno_name,
    write_content,
)

Experiment: TypeAlias = Callable[[Process], bool]
FacilityExperiment: TypeAlias = Callable[[Process, str], bool]
"""An experiment with a facility of the system, whose path it is given."""

RW: Final = PROT_READ | PROT_WRITE
PATH: Final = "observed"
"""The name of the file of an experiment; each has a system, and so a directory, of its own."""


def new_file(process: Process) -> int:
    """Return a descriptor, open for reading and writing, of a new file of one page of "x"."""
    fd = process.open(PATH, O_CREAT | O_EXCL | O_RDWR)
    write_content(process, fd, b"x" * process.sysconf(SC_PAGESIZE))
    return fd


def private_memory(process: Process, length: int) -> tuple[int, int]:
    """Return the flags and the descriptor of private memory that reads as zeros, for mmap with the offset 0.

    It is the memory of a new file, which every level promises; on a system without files, of none.  The file is longer
    than `length`, so that a mapping of it may grow.
    """
    size = length + 16 * process.sysconf(SC_PAGESIZE)
    for number in itertools.count():
        try:
            fd = process.open(f"zeros-{number}", O_CREAT | O_EXCL | O_RDWR)
            process.pwrite(fd, b"\0", size - 1)
            return MAP_PRIVATE, fd
        except NotImplementedError:
            break
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise Unresolved(f"cannot make a file: {errno_name(error)}") from error
    return MAP_PRIVATE | MAP_ANONYMOUS, -1


def map_private_memory(process: Process, pages: int, prot: int) -> int:
    """Map that many pages of private memory, and return the address."""
    length = pages * process.sysconf(SC_PAGESIZE)
    flags, fd = private_memory(process, length)
    return process.mmap(0, length, prot, flags, fd, 0)


def end_of_user_space(process: Process, reported: int) -> int:
    """Return the first address above user space: the one that the backend reports if it is right, or by bisection.

    Raises Unsupported if no hint is followed, so that the end cannot be found.
    """
    page = process.sysconf(SC_PAGESIZE)
    flags, fd = private_memory(process, page)
    reported //= page
    if reported and not is_in_user_space(process, reported, page, flags, fd):
        return reported * page
    low, top = 0, (1 << process.bits) // page  # page numbers: low < end <= top
    found: int | None = low
    while found is not None:
        low, high = found, top
        while high - low > 1:
            middle = (low + high) // 2
            if is_in_user_space(process, middle, page, flags, fd):
                low = middle
            else:
                high = middle
        # A system leaves a gap below the stack, in which it follows no hint: what is mapped after it is user space.
        above = (high + (1 << power) for power in range(20) if high + (1 << power) < top)
        found = next((number for number in above if is_in_user_space(process, number, page, flags, fd)), None)
    if low == 0:
        raise Unsupported("the end of user space is not known: no hint is followed, and the backend does not report it")
    return high * page


def is_in_user_space(process: Process, number: int, page: int, flags: int, fd: int) -> bool:
    """True if page `number` is mapped, or if a new mapping of these flags is placed there when a hint asks for it."""
    addr = number * page
    actual = process.mmap(addr, page, PROT_READ, flags, fd, 0)
    process.munmap(actual, page)
    return actual == addr or errno_of(lambda: process.msync(addr, page, MS_ASYNC)) == 0


def are_upper_addresses_outside(process: Process) -> bool:
    """True if no page at 2^62 can be mapped; also with 32-bit addresses, of which the cases ask others."""
    page = process.sysconf(SC_PAGESIZE)
    return process.bits < 64 or not is_in_user_space(process, (1 << 62) // page, page, *private_memory(process, page))


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
        process.mmap(0, process.sysconf(SC_PAGESIZE), RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    except OSError:
        return False
    return True


def has_shared_mapping(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    try:
        flags, fd = MAP_SHARED, new_file(process)
    except NotImplementedError:
        flags, fd = MAP_SHARED | MAP_ANONYMOUS, -1
    try:
        process.mmap(0, page, RW, flags, fd, 0)
    except OSError:
        return False
    return True


def has_reservation(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    try:
        base = map_private_memory(process, 2, PROT_NONE)
    except OSError:
        return False
    return None not in (fault_of(lambda: process.load(base, 1)), fault_of(lambda: process.load(base + page, 1)))


def has_fixed(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    flags, fd = private_memory(process, 3 * page)
    base = process.mmap(0, 3 * page, PROT_READ, flags, fd, 0)
    flags, fd = private_memory(process, page)  # another file
    try:
        if process.mmap(base + page, page, RW, flags | MAP_FIXED, fd, 0) != base + page:
            return False
    except OSError:
        return False
    return fault_of(lambda: process.store(base + page, b"x")) is None


def has_noreplace(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    flags, fd = private_memory(process, 3 * page)
    base = process.mmap(0, 3 * page, PROT_READ, flags, fd, 0)
    flags |= MAP_FIXED_NOREPLACE
    try:
        process.mmap(base, page, PROT_READ, flags, fd, 0)
    except OSError as error:
        if error.errno != errno.EEXIST:
            return False
    else:
        return False
    try:
        free, _length = process.scratch_range()
    except NotImplementedError:
        process.munmap(base, 3 * page)
        free = base + page
    try:
        return process.mmap(free, page, PROT_READ, flags, fd, 0) == free
    except OSError:
        return False


def has_code_of_unmapped_page(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_private_memory(process, 1, PROT_READ)
    process.munmap(base, page)
    fault = fault_of(lambda: process.load(base, 1))
    return fault is not None and (fault.signal, fault.code) == ("SIGSEGV", "SEGV_MAPERR")


def has_fork(process: Process) -> bool:
    try:
        child = process.fork()
    except OSError:
        return False
    return child.exit() == 0


def has_no_execute(process: Process) -> bool:
    base = map_private_memory(process, 1, RW)
    process.store(base, process.return_instruction())
    return fault_of(lambda: process.execute(base)) is not None


def has_remove_advice(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MAP_SHARED, new_file(process), 0)
    try:
        process.madvise(base, page, MADV_REMOVE)
    except OSError:
        return False
    return process.load(base, page) == bytes(page)


def must_ranges_be_aligned(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    flags, fd = private_memory(process, 3 * page)
    base = process.mmap(0, 3 * page, RW, flags, fd, 0)
    calls: tuple[Callable[[], object], ...] = (
        lambda: process.munmap(base + 1, page),
        lambda: process.msync(base + 1, page, MS_ASYNC),
        lambda: process.mmap(0, page, PROT_READ, flags, fd, 1),
    )
    return all(errno_of(call) == errno.EINVAL for call in calls)


def is_unknown_advice_refused(process: Process) -> bool:
    base = map_private_memory(process, 1, RW)
    try:
        process.madvise(base, process.sysconf(SC_PAGESIZE), 99)
    except OSError as error:
        return error.errno == errno.EINVAL
    return False


def has_shared_validate(process: Process) -> bool:
    try:
        process.mmap(0, process.sysconf(SC_PAGESIZE), RW, MAP_SHARED_VALIDATE, new_file(process), 0)
    except OSError:
        return False
    return True


def has_droppable_memory(process: Process) -> bool:
    try:
        process.mmap(0, process.sysconf(SC_PAGESIZE), RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    except OSError:
        return False
    return True


def has_old_size_zero(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MAP_SHARED, new_file(process), 0)
    try:
        duplicate = process.mremap(base, 0, page, MREMAP_MAYMOVE)
    except OSError:
        return False
    return duplicate != base and process.load(duplicate, 1) == b"x"


def is_new_size_zero_refused(process: Process) -> bool:
    base = map_private_memory(process, 1, RW)
    return errno_of(lambda: process.mremap(base, process.sysconf(SC_PAGESIZE), 0, MREMAP_MAYMOVE)) == errno.EINVAL


def is_exhaustion_reported(process: Process) -> bool:
    """An implementation that looks for a gap page by page does not return in time: the property is then not known."""
    length = 1 << (process.bits - 19 if process.bits == 64 else 30)
    for _ in range(1 << 12):
        try:
            process.mmap(0, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        except OSError as error:
            return error.errno == errno.ENOMEM
    return False


def is_noexec_kept(process: Process, directory: str) -> bool:
    fd = process.open(f"{directory}/observed", O_CREAT | O_EXCL | O_RDWR)
    write_content(process, fd, b"x")
    page = process.sysconf(SC_PAGESIZE)
    return errno_of(lambda: process.mmap(0, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0)) == errno.EPERM


def is_unmappable(process: Process, path: str) -> bool:
    fd = process.open(path, O_RDONLY)
    return errno_of(lambda: process.mmap(0, process.sysconf(SC_PAGESIZE), PROT_READ, MAP_PRIVATE, fd, 0)) != 0


def has_populated_pages(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
    return process.mincore(base, page) == [True]


def has_lock_on_fault(process: Process) -> bool:
    base = map_private_memory(process, 1, RW)
    return errno_of(lambda: process.mlock2(base, process.sysconf(SC_PAGESIZE), MLOCK_ONFAULT)) != errno.EINVAL


def is_limit_of_address_space_kept(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    flags, fd = private_memory(process, 128 * page)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * page)
    try:
        process.mmap(0, 128 * page, PROT_READ, flags, fd, 0)
    except OSError as error:
        return error.errno == errno.ENOMEM
    return False


def is_limit_of_locked_memory_kept(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_private_memory(process, 3, RW)
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
        return error.errno in (errno.ENOMEM, errno.EAGAIN)
    return False


def is_invalidation_refused(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_private_memory(process, 1, RW)
    try:
        process.msync(base, page, MS_ASYNC | MS_INVALIDATE)
    except OSError:
        return False
    process.mlock(base, page)
    try:
        process.msync(base, page, MS_ASYNC | MS_INVALIDATE)
    except OSError as error:
        return error.errno == errno.EBUSY
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


def is_residency_reported(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    before = process.mincore(base, page)
    process.store(base, b"x")
    return (before, process.mincore(base, page)) == ([False], [True])


def are_size_changes_seen(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    fd = new_file(process)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    process.ftruncate(fd, 2 * page)
    if fault_of(lambda: process.load(base + page, 1)) is not None:
        return False
    process.ftruncate(fd, page)
    return fault_of(lambda: process.load(base + page, 1)) is not None


def do_private_pages_follow_the_file(process: Process) -> bool:
    fd = new_file(process)
    base = process.mmap(0, process.sysconf(SC_PAGESIZE), PROT_READ, MAP_PRIVATE, fd, 0)
    process.load(base, 1)
    process.pwrite(fd, b"y", 0)
    return process.load(base, 1) == b"y"


def are_views_coherent(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    try:
        fd = new_file(process)
    except NotImplementedError:
        return True  # without files there is one view of each page
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.store(base, b"y")
    return process.pread(fd, 1, 0) == process.load(other, 1) == b"y"


def can_holes_be_unmapped(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = map_private_memory(process, 3, RW)
    try:
        process.munmap(base + page, page)
        process.munmap(base, 3 * page)
        process.munmap(base, 3 * page)
    except OSError:
        return False
    return True


def can_be_writable_and_executable(process: Process) -> bool:
    try:
        map_private_memory(process, 1, RW | PROT_EXEC)
    except OSError:
        return False
    return True


def has_msync_without_type(process: Process) -> bool:
    base = map_private_memory(process, 1, RW)
    try:
        process.msync(base, process.sysconf(SC_PAGESIZE), 0)
        process.msync(base, process.sysconf(SC_PAGESIZE), MS_INVALIDATE)
    except OSError:
        return False
    return True


def has_unaligned_locks(process: Process) -> bool:
    base = map_private_memory(process, 1, RW)
    try:
        process.mlock(base + 1, 1)
        process.munlock(base + 1, 1)
    except OSError:
        return False
    return True


def has_native_width(process: Process) -> bool:
    """A range that wraps is refused by munlock and madvise, and is empty for msync, if the kernel computes in `bits`.

    With wider numbers it is a long range, of which the three calls refuse the part that is not mapped (ENOMEM).
    """
    if process.bits == 64:
        return True
    page, span = process.sysconf(SC_PAGESIZE), 1 << process.bits
    base = map_private_memory(process, 1, RW)
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


def has_huge_pages(process: Process) -> bool:
    """Without them the flag is an error; with them there may be no free one (ENOMEM).

    The error is EINVAL for a kernel that was built without huge pages, and ENOENT for a machine that has none, such as
    an emulated s390x: the kernel has not mounted its file system of huge pages there.
    """
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB
    error = errno_of(lambda: process.mmap(0, process.sysconf(SC_PAGESIZE), RW, flags, -1, 0))
    return error not in (errno.EINVAL, errno.ENOENT)


def has_large_mappings(process: Process) -> bool:
    """The pages past the end of the file take no memory."""
    fd = new_file(process)
    return errno_of(lambda: process.mmap(0, 1 << 36, PROT_NONE, MAP_SHARED, fd, 0)) != errno.ENOMEM


def moves_only_if_needed(process: Process) -> bool:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MAP_SHARED, new_file(process), 0)
    try:
        return process.mremap(base, page, page, MREMAP_MAYMOVE) == base
    except OSError:
        return False
