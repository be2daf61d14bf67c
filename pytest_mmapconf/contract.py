"""The interface of an implementation of memory-mapped I/O to this suite.

A *backend* names an implementation and boots a *system*.  A system has files, facilities and *processes*, and can be
thrown away.  A process has descriptors and an address space, and every call of the documented API is one plain method
of it, with C's arguments in C's order.

To judge your own implementation, write one class::

    class Mine(Process):
        def sysconf(self, name): ...
        def mmap(self, addr, length, prot, flags, fd, offset): ...
        def munmap(self, addr, length): ...
        def load(self, addr, length): ...
        def store(self, addr, data): ...

and run ``pytest --mmap-backend=python:MODULE:Mine``.  A method that you leave out raises
`NotImplementedError`, and every case that needs it is *unsupported*.

Rules for all calls:

* Addresses, lengths and offsets are in bytes.  Addresses are plain integers from 0 to ``2 ** bits - 1``.
* A call that fails raises `OSError` with the errno (Python's number of the name, `errno.EINVAL`); it never returns -1.
  On a system that does not report why a call failed it raises `NoErrno`.
* A load, store or execution that the hardware would refuse raises `Fault`; the process lives on.
* A call that the implementation lacks raises `NotImplementedError` with the reason as its text; `Unsupported` is one.
* A failure of the harness (a set-up that fails, an agent that sends garbage) raises `Unresolved` with the reason;
  a call that ends its process or the system raises `Died`.
* Flag and name constants have Linux's generic values (asm-generic, x86-64).  A backend for another system translates.

This module imports nothing of the project's own, and nothing that costs time.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

# --------------------------------------------------------------------------------------------------------- constants


class Prot(IntFlag):
    """Protection of pages, for mmap and mprotect (clauses mmap.prot.*); the last two are flags of mprotect only."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXEC = 4
    GROWSDOWN = 0x01000000
    GROWSUP = 0x02000000


class Map(IntFlag):
    """Flags of mmap.  The lowest four bits are the type: SHARED, PRIVATE, SHARED_VALIDATE (both bits) or DROPPABLE."""

    SHARED = 0x01
    PRIVATE = 0x02
    SHARED_VALIDATE = 0x03
    DROPPABLE = 0x08
    FIXED = 0x10
    ANONYMOUS = 0x20
    BELOW_2_GIB = 0x40
    GROWSDOWN = 0x100
    DENYWRITE = 0x800
    EXECUTABLE = 0x1000
    LOCKED = 0x2000
    NORESERVE = 0x4000
    POPULATE = 0x8000
    NONBLOCK = 0x10000
    STACK = 0x20000
    HUGETLB = 0x40000
    SYNC = 0x80000
    FIXED_NOREPLACE = 0x100000
    UNINITIALIZED = 0x4000000


class Mremap(IntFlag):
    """Flags of mremap."""

    MAYMOVE = 1
    FIXED = 2
    DONTUNMAP = 4


class Ms(IntFlag):
    """Flags of msync."""

    ASYNC = 1
    INVALIDATE = 2
    SYNC = 4


class O(IntFlag):  # noqa: E742 - the field's own prefix
    """Flags of open.  The lowest two bits are the access mode."""

    RDONLY = 0
    WRONLY = 1
    RDWR = 2
    CREAT = 0o100
    EXCL = 0o200
    TRUNC = 0o1000
    APPEND = 0o2000
    DIRECTORY = 0o200000
    CLOEXEC = 0o2000000
    PATH = 0o10000000


PROT_NONE: Final = Prot.NONE
PROT_READ: Final = Prot.READ
PROT_WRITE: Final = Prot.WRITE
PROT_EXEC: Final = Prot.EXEC
PROT_GROWSDOWN: Final = Prot.GROWSDOWN
PROT_GROWSUP: Final = Prot.GROWSUP

MAP_SHARED: Final = Map.SHARED
MAP_PRIVATE: Final = Map.PRIVATE
MAP_SHARED_VALIDATE: Final = Map.SHARED_VALIDATE
MAP_DROPPABLE: Final = Map.DROPPABLE
MAP_FIXED: Final = Map.FIXED
MAP_ANONYMOUS: Final = Map.ANONYMOUS
MAP_32BIT: Final = Map.BELOW_2_GIB
MAP_GROWSDOWN: Final = Map.GROWSDOWN
MAP_DENYWRITE: Final = Map.DENYWRITE
MAP_EXECUTABLE: Final = Map.EXECUTABLE
MAP_LOCKED: Final = Map.LOCKED
MAP_NORESERVE: Final = Map.NORESERVE
MAP_POPULATE: Final = Map.POPULATE
MAP_NONBLOCK: Final = Map.NONBLOCK
MAP_STACK: Final = Map.STACK
MAP_HUGETLB: Final = Map.HUGETLB
MAP_SYNC: Final = Map.SYNC
MAP_FIXED_NOREPLACE: Final = Map.FIXED_NOREPLACE
MAP_UNINITIALIZED: Final = Map.UNINITIALIZED

MREMAP_MAYMOVE: Final = Mremap.MAYMOVE
MREMAP_FIXED: Final = Mremap.FIXED
MREMAP_DONTUNMAP: Final = Mremap.DONTUNMAP

MS_ASYNC: Final = Ms.ASYNC
MS_INVALIDATE: Final = Ms.INVALIDATE
MS_SYNC: Final = Ms.SYNC

O_RDONLY: Final = O.RDONLY
O_WRONLY: Final = O.WRONLY
O_RDWR: Final = O.RDWR
O_CREAT: Final = O.CREAT
O_EXCL: Final = O.EXCL
O_TRUNC: Final = O.TRUNC
O_APPEND: Final = O.APPEND
O_DIRECTORY: Final = O.DIRECTORY
O_CLOEXEC: Final = O.CLOEXEC
O_PATH: Final = O.PATH

SEEK_SET: Final = 0
SEEK_CUR: Final = 1
SEEK_END: Final = 2
SEEK_DATA: Final = 3
SEEK_HOLE: Final = 4

FALLOC_FL_KEEP_SIZE: Final = 0x01
FALLOC_FL_PUNCH_HOLE: Final = 0x02
FALLOC_FL_COLLAPSE_RANGE: Final = 0x08
FALLOC_FL_ZERO_RANGE: Final = 0x10
FALLOC_FL_INSERT_RANGE: Final = 0x20

LOCK_SH: Final = 1
LOCK_EX: Final = 2
LOCK_NB: Final = 4
LOCK_UN: Final = 8

MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
MCL_ONFAULT: Final = 4

MLOCK_ONFAULT: Final = 1

MADV_NORMAL: Final = 0
MADV_RANDOM: Final = 1
MADV_SEQUENTIAL: Final = 2
MADV_WILLNEED: Final = 3
MADV_DONTNEED: Final = 4
MADV_FREE: Final = 8
MADV_REMOVE: Final = 9
MADV_DONTFORK: Final = 10
MADV_DOFORK: Final = 11
MADV_WIPEONFORK: Final = 18
MADV_KEEPONFORK: Final = 19
MADV_COLD: Final = 20
MADV_PAGEOUT: Final = 21
MADV_POPULATE_READ: Final = 22
MADV_POPULATE_WRITE: Final = 23
MADV_DONTNEED_LOCKED: Final = 24

SEAL_SEAL: Final = 1
SEAL_SHRINK: Final = 2
SEAL_GROW: Final = 4
SEAL_WRITE: Final = 8
SEAL_FUTURE_WRITE: Final = 16

SC_PAGESIZE: Final = 30
"""The name `_SC_PAGESIZE` of sysconf, as glibc numbers it.  Any other number is passed on as it is."""


# -------------------------------------------------------------------------------------- kinds of arguments and results


class Kind(NamedTuple):
    """The kind of an argument or a result: how programs, reproducers and the agent's protocol write it."""

    name: str
    prefix: str = ""
    """Prefix of the constants of this kind, such as "PROT_"; empty where the value is not written with constants."""
    combined: bool = True
    """True if constants of this kind are combined by bitwise or; False if the value is one of them."""


Address: TypeAlias = Annotated[int, Kind("address")]
"""An address; as the result of a call, the beginning of a mapping."""
Length: TypeAlias = Annotated[int, Kind("amount")]
"""A number of bytes."""
Offset: TypeAlias = Annotated[int, Kind("amount")]
"""A position in a file, in bytes from its beginning."""
Amount: TypeAlias = Annotated[int, Kind("amount")]
"""A number that may be stated as a number of pages and bytes."""
Count: TypeAlias = Annotated[int, Kind("count")]
"""A number of things other than bytes."""
Fd: TypeAlias = Annotated[int, Kind("fd")]
"""A file descriptor."""
FdPair: TypeAlias = Annotated[tuple[int, int], Kind("fds")]
"""Two file descriptors that one call creates."""
Range: TypeAlias = Annotated[tuple[int, int], Kind("scratch_range")]
"""An address and a length in bytes."""
Path: TypeAlias = Annotated[str, Kind("path")]
"""The path of a file; a relative one is relative to the system's own directory."""
FacilityPath: TypeAlias = Annotated[str, Kind("nothing")]
"""The path of a facility, which programs write as the facility's name rather than as a result."""
FileMode: TypeAlias = Annotated[int, Kind("mode")]
"""Permissions of a new file."""
ProtBits: TypeAlias = Annotated[int, Kind("prot", "PROT_")]
MapFlags: TypeAlias = Annotated[int, Kind("map", "MAP_")]
MremapFlags: TypeAlias = Annotated[int, Kind("mremap", "MREMAP_")]
MsyncFlags: TypeAlias = Annotated[int, Kind("ms", "MS_")]
OpenFlags: TypeAlias = Annotated[int, Kind("open", "O_")]
Whence: TypeAlias = Annotated[int, Kind("seek", "SEEK_", combined=False)]
LockOperation: TypeAlias = Annotated[int, Kind("lock", "LOCK_")]
MlockallFlags: TypeAlias = Annotated[int, Kind("mcl", "MCL_")]
Mlock2Flags: TypeAlias = Annotated[int, Kind("mlock", "MLOCK_")]
Advice: TypeAlias = Annotated[int, Kind("madv", "MADV_", combined=False)]
AllocationMode: TypeAlias = Annotated[int, Kind("falloc", "FALLOC_FL_")]
Seals: TypeAlias = Annotated[int, Kind("seal", "SEAL_")]
ConfigurationName: TypeAlias = Annotated[int, Kind("sysconf", "SC_", combined=False)]


# ------------------------------------------------------------------------------------------------------ observations


class Fault(Exception):
    """A memory access that was refused, with what a signal handler receives.

    `signal` is "SIGSEGV", "SIGBUS" (or another name), or "-" on a system without signals.  `code` is si_code by
    name: "SEGV_MAPERR" (nothing mapped), "SEGV_ACCERR" (mapped without the right), "BUS_ADRERR" (past the end of the
    file), "SI_KERNEL" …, a number as text where it has no name, or "-".  `address` is si_addr, or None where the system
    does not report it.
    """

    def __init__(self, signal: str, code: str, address: int | None) -> None:
        super().__init__(signal, code, address)
        self.signal = signal
        self.code = code
        self.address = address

    def __str__(self) -> str:
        where = "an address that was not reported" if self.address is None else _hexadecimal(self.address)
        return f"{self.signal} ({self.code}) at {where}"


def _hexadecimal(number: object) -> str:
    """Return a number with its prefix; what a backend gave in place of a number as it is shown in Python."""
    return f"{number:#x}" if isinstance(number, int) else repr(number)


class NoErrno(OSError):
    """A call has failed, on a system that does not report why: it returns -1 and has no errno."""

    def __init__(self) -> None:
        super().__init__("the call failed, and the system does not report why")


class Unsupported(NotImplementedError):
    """The implementation cannot be asked this; the text says why.  The case ends *unsupported*, never green."""


class Unresolved(Exception):
    """No verdict is possible, and why: set-up failed, the implementation died, hangs or sends garbage."""

    problem = ""
    """The id of what is wrong with an agent (`agent.problems.Problem`); empty for any other reason."""


class Died(Unresolved):
    """A call ended its process or the system, or did not return: the clauses that the case asks for are broken.

    Raised only where the call is known to be the cause.  `output` is what the system last wrote to its stderr or
    console, `requests` are the last requests to it, the one that it did not survive at the end.  `last_words` is the
    line of the output that says why it ended; empty if none does.  `hangs`: the call did not return in time.
    """

    def __init__(
        self, text: str, output: str = "", requests: Sequence[str] = (), last_words: str = "", hangs: bool = False
    ) -> None:
        super().__init__(text, output, tuple(requests), last_words, hangs)
        self.last_words = last_words
        self.hangs = hangs
        self.text = text
        self.output = output
        self.requests = tuple(requests)

    def __str__(self) -> str:
        return self.text


class Stat(NamedTuple):
    """The part of the result of fstat that the suite uses."""

    kind: str
    """"regular", "directory", "character", "block", "fifo", "socket" or "other"."""
    size: int
    """Bytes."""


class Counters(NamedTuple):
    """Counters of a process since it began (Linux: syscr and syscw of /proc/PID/io, getrusage)."""

    reads: int
    """Calls that read from a descriptor (read, pread, …)."""
    writes: int
    """Calls that write to a descriptor."""
    faults: int
    """Page faults, minor and major together."""


# ------------------------------------------------------------------------------------------------------------ process


BACKEND_LACKS: Final = "the backend has no "
"""The beginning of the message about a call or attribute that a backend does not have; its name follows."""


def _missing(call: str) -> Unsupported:
    return Unsupported(BACKEND_LACKS + call)


class Process:
    """A process: a table of descriptors and an address space.  Override what your implementation has."""

    bits: int = 64
    """Width of an address."""

    # ---- the documented API

    def mmap(self, addr: Address, length: Length, prot: ProtBits, flags: MapFlags, fd: Fd, offset: Offset) -> Address:
        """Map `length` bytes of the file of `fd` from `offset` on and return the address (clauses mmap.*).

        `addr` 0 is NULL.  `fd` is -1 with MAP_ANONYMOUS.  Unknown bits in `prot` and `flags` are passed on.  A failed
        call raises OSError: EACCES, EAGAIN, EBADF, EINVAL, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM and others.
        """
        raise _missing("mmap")

    def munmap(self, addr: Address, length: Length) -> None:
        """Remove what is mapped in the pages of [addr, addr + length) (clauses munmap.*)."""
        raise _missing("munmap")

    def mremap(
        self, addr: Address, old_size: Length, new_size: Length, flags: MremapFlags, new_addr: Address = 0
    ) -> Address:
        """Change a mapping's size, move it where `flags` allow, return its address (clauses mremap.*).

        `new_addr` is looked at with MREMAP_FIXED and MREMAP_DONTUNMAP only.
        """
        raise _missing("mremap")

    def msync(self, addr: Address, length: Length, flags: MsyncFlags) -> None:
        """Write changes of the mapped pages in [addr, addr + length) to the file's storage (clauses msync.*)."""
        raise _missing("msync")

    def sysconf(self, name: ConfigurationName) -> Amount:
        """The value of configuration item `name`: bytes for SC_PAGESIZE; an invalid name raises EINVAL (paging.*)."""
        raise _missing("sysconf")

    # ---- neighbours of the documented API

    def mprotect(self, addr: Address, length: Length, prot: ProtBits) -> None:
        """Set the protection of the pages in [addr, addr + length)."""
        raise _missing("mprotect")

    def fragment(self, addr: Address, pages: Count) -> str | None:
        """Split a mapping with PROT_NONE: mprotect to PROT_READ page 1, 3, 5 … of `pages` pages from `addr` on.

        Stops at the first mprotect that fails and returns its errno's name; None when all have succeeded.  This
        default makes the calls one by one; a backend whose calls have a high latency should override it.
        """
        page = self.sysconf(SC_PAGESIZE)
        for index in range(1, pages, 2):
            try:
                self.mprotect(addr + index * page, page, PROT_READ)
            except OSError as error:
                return errno_name(error)
        return None

    def mlock(self, addr: Address, length: Length) -> None:
        """Lock the pages of [addr, addr + length) into memory."""
        raise _missing("mlock")

    def munlock(self, addr: Address, length: Length) -> None:
        """Unlock the pages in [addr, addr + length)."""
        raise _missing("munlock")

    def mlock2(self, addr: Address, length: Length, flags: Mlock2Flags) -> None:
        """Lock the pages of [addr, addr + length); with MLOCK_ONFAULT each page when it is first accessed."""
        raise _missing("mlock2")

    def mseal(self, addr: Address, length: Length, flags: Amount = 0) -> None:
        """Seal the mappings of [addr, addr + length): they cannot be changed until the process ends or execs."""
        raise _missing("mseal")

    def mlockall(self, flags: MlockallFlags) -> None:
        """Lock all mappings (MCL_CURRENT), or future ones (MCL_FUTURE); MCL_ONFAULT: each page when first accessed."""
        raise _missing("mlockall")

    def munlockall(self) -> None:
        """Unlock all mappings, and undo mlockall's effect on future mappings."""
        raise _missing("munlockall")

    def madvise(self, addr: Address, length: Length, advice: Advice) -> None:
        """Advise the system about the pages in [addr, addr + length) (MADV_*); some advice changes them (madvise.*)."""
        raise _missing("madvise")

    def mincore(self, addr: Address, length: Length) -> list[bool]:
        """Return for each page of [addr, addr + length) whether it is resident."""
        raise _missing("mincore")

    # ---- memory accesses

    def load(self, addr: Address, length: Length) -> bytes:
        """Load `length` bytes one by one from `addr` up.  The first one that cannot be loaded raises Fault."""
        raise _missing("load")

    def store(self, addr: Address, data: bytes) -> None:
        """Store `data` one byte after another from `addr` up.  The first that cannot be stored raises Fault."""
        raise _missing("store")

    def audit(self, ranges: Sequence[tuple[int, int]], fds: Sequence[int] = ()) -> list[str]:
        """Return digests of pages and files, to be compared with what they should contain.

        `ranges`: (address of a page, how many pages); for each page its CRC-32 in eight digits, or the si_code of the
        fault, where it cannot be loaded.  `fds`: for each, "SIZE:CRC" of the file and its first 65,536 bytes; "-" for
        a value that is not available.  This default loads and reads everything; a backend whose calls have a high
        latency should override it.
        """
        from zlib import crc32

        page = self.sysconf(SC_PAGESIZE)
        if page <= 0:
            raise Unresolved(f"sysconf reports a page size of {page} bytes")
        digests = []
        for addr, pages in ranges:
            for at in range(addr, addr + pages * page, page):
                try:
                    digests.append(f"{crc32(self.load(at, page)):08x}")
                except Fault as fault:
                    digests.append(fault.code)
        for fd in fds:
            try:
                size: object = self.fstat(fd).size
            except OSError:
                size = "-"
            try:
                digests.append(f"{size}:{crc32(self.pread(fd, 65536, 0)):08x}")
            except OSError:
                digests.append(f"{size}:-")
        return digests

    def batch(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[object]:
        """Make calls of this process, each by name and arguments, in order; a call that fails does not stop the others.

        Return for each call its result, or the OSError, Fault or NotImplementedError that it raised.  No call ends,
        forks or replaces the process.  This default makes the calls one by one; a backend whose calls have a high
        latency should override it.
        """
        results: list[object] = []
        for name, arguments in calls:
            try:
                results.append(getattr(self, name)(*arguments))
            except (OSError, Fault, NotImplementedError) as error:
                results.append(error)
        return results

    def return_instruction(self) -> bytes:
        """Return the machine code of a function that only returns; `execute` can call it."""
        raise _missing("return_instruction")

    def execute(self, addr: Address) -> None:
        """Call the function at `addr`, which is `return_instruction`.  Refused execution raises Fault."""
        raise _missing("execute")

    def add(self, addr: Address, times: Count, lock: Address = 0) -> None:
        """Add 1 to the 4-byte word at `addr`, `times` times, each by a load, an addition and a store.

        Where `lock` is not 0 it is the address of another 4-byte word, 0 at first, that is taken (atomically) before
        and given back after each addition.  Meant to be run in several processes by `System.run_concurrently`.
        """
        raise _missing("add")

    # ---- files

    def open(self, path: Path, flags: OpenFlags, mode: FileMode = 0o600) -> Fd:
        """Open a file and return the lowest free descriptor.  A relative path starts in the system's own directory."""
        raise _missing("open")

    def close(self, fd: Fd) -> None:
        """Close a descriptor."""
        raise _missing("close")

    def dup(self, fd: Fd) -> Fd:
        """Return another descriptor, the lowest free one, of the same open file description."""
        raise _missing("dup")

    def ftruncate(self, fd: Fd, length: Length) -> None:
        """Make the file `length` bytes long."""
        raise _missing("ftruncate")

    def fallocate(self, fd: Fd, mode: AllocationMode, offset: Offset, length: Length) -> None:
        """Change the storage of the bytes [offset, offset + length) of a file (Linux: fallocate; clauses fallocate.*).

        Mode 0 takes storage for them and makes the file as long as the range if it is shorter.  FALLOC_FL_PUNCH_HOLE
        and FALLOC_FL_ZERO_RANGE make them zero, FALLOC_FL_COLLAPSE_RANGE removes them, FALLOC_FL_INSERT_RANGE inserts
        as many zeros before them; FALLOC_FL_KEEP_SIZE keeps the size.  EOPNOTSUPP: the file system has not this mode.
        """
        raise _missing("fallocate")

    def lseek(self, fd: Fd, offset: Offset, whence: Whence) -> Offset:
        """Move the file offset and return it."""
        raise _missing("lseek")

    def pread(self, fd: Fd, length: Length, offset: Offset) -> bytes:
        """Read up to `length` bytes from `offset`; fewer at the end of the file."""
        raise _missing("pread")

    def pwrite(self, fd: Fd, data: bytes, offset: Offset) -> Length:
        """Write at `offset` and return how many bytes were written."""
        raise _missing("pwrite")

    def read_into(self, fd: Fd, addr: Address, length: Length, offset: Offset) -> Length:
        """pread into the process's own memory: up to `length` bytes from `offset`, to `addr`; how many (buffer.*).

        Memory that cannot be stored to is never a fault: the call ends there, or fails with EFAULT.
        """
        raise _missing("read_into")

    def write_from(self, fd: Fd, addr: Address, length: Length, offset: Offset) -> Length:
        """pwrite from the process's own memory: the `length` bytes at `addr`, to `offset`; how many (buffer.*).

        Memory that cannot be loaded from is never a fault: the call ends there, or fails with EFAULT.
        """
        raise _missing("write_from")

    def preadv(
        self, fd: Fd, addr: Address, length: Length, addr_2: Address, length_2: Length, offset: Offset
    ) -> Length:
        """pread into two pieces of the process's memory, one after the other; how many bytes (buffer.two)."""
        raise _missing("preadv")

    def pwritev(
        self, fd: Fd, addr: Address, length: Length, addr_2: Address, length_2: Length, offset: Offset
    ) -> Length:
        """pwrite from two pieces of the process's memory, one after the other; how many bytes (buffer.two)."""
        raise _missing("pwritev")

    def open_path_at(self, addr: Address, flags: OpenFlags) -> Fd:
        """Open the existing file whose path is the text at `addr`, which ends with a byte 0 (buffer.path)."""
        raise _missing("open_path_at")

    def fstat_into(self, fd: Fd, addr: Address) -> None:
        """Store what the system knows of a file at `addr` (Linux: struct statx, of 256 bytes; clause buffer.result)."""
        raise _missing("fstat_into")

    def copy_file_range(self, fd: Fd, offset: Offset, to_fd: Fd, to_offset: Offset, length: Length) -> Length:
        """Copy up to `length` bytes between two files, or parts of one, and return how many were copied."""
        raise _missing("copy_file_range")

    def fstat(self, fd: Fd) -> Stat:
        """The kind and size of a file."""
        raise _missing("fstat")

    def fsync(self, fd: Fd) -> None:
        """Write the file's data to its storage."""
        raise _missing("fsync")

    def drop_cache(self, fd: Fd) -> None:
        """fsync, then ask that the file's pages leave memory (POSIX_FADV_DONTNEED).  They may stay."""
        raise _missing("drop_cache")

    def set_old_mtime(self, fd: Fd) -> None:
        """Set the times of the file's last access and modification to a moment long past (futimens)."""
        raise _missing("set_old_mtime")

    def has_old_mtime(self, fd: Fd) -> bool:
        """Return whether that moment is still the time of the last modification (fstat, st_mtim)."""
        raise _missing("has_old_mtime")

    def unlink(self, path: Path) -> None:
        """Remove a name of a file."""
        raise _missing("unlink")

    def rename(self, path: Path, new_path: Path) -> None:
        """Give a file another name; a file that has that name loses it."""
        raise _missing("rename")

    def link(self, path: Path, new_path: Path) -> None:
        """Give a file a second name."""
        raise _missing("link")

    def mkdir(self, path: Path) -> None:
        """Make a directory."""
        raise _missing("mkdir")

    def pipe(self) -> FdPair:
        """A new pipe: (read end, write end)."""
        raise _missing("pipe")

    def socketpair(self) -> FdPair:
        """Two connected AF_UNIX stream sockets."""
        raise _missing("socketpair")

    def memfd(self) -> Fd:
        """A new anonymous file that can be sealed (Linux: memfd_create with MFD_ALLOW_SEALING), open for both."""
        raise _missing("memfd")

    def seal(self, fd: Fd, seals: Seals) -> None:
        """Add seals (SEAL_*) to a file made by memfd."""
        raise _missing("seal")

    def set_append_only(self, fd: Fd, on: bool) -> None:
        """Set or clear the file's append-only attribute (Linux: FS_IOC_SETFLAGS, FS_APPEND_FL)."""
        raise _missing("set_append_only")

    def flock(self, fd: Fd, operation: LockOperation) -> None:
        """Lock or unlock the open file description (LOCK_*).  With LOCK_NB, held by another: EAGAIN."""
        raise _missing("flock")

    def record_lock(self, fd: Fd, *, ofd: bool) -> None:
        """Take a write lock on the whole file, without waiting: owned by the open file description or the process.

        Held by another: EAGAIN (also where the system says EACCES).
        """
        raise _missing("record_lock")

    def watch(self, path: Path) -> Fd:
        """Return a descriptor that counts the releases of open file descriptions of `path` (inotify, IN_CLOSE)."""
        raise _missing("watch")

    def close_events(self, watch: Fd) -> int:
        """Return how many closes the descriptor from `watch` has counted since the last call.

        Closes in a row that are alike (of files open for writing, or of others) count as one.
        """
        raise _missing("close_events")

    def free_space(self, path: Path) -> int:
        """Bytes free in the file system that holds `path`."""
        raise _missing("free_space")

    # ---- lifecycle

    def fork(self) -> Process:
        """A child: the same descriptors, the same mappings at the same addresses."""
        raise _missing("fork")

    def load_in_child(self, addr: Address, length: Amount) -> bytes:
        """Return what a child that is forked for it loads; the child then ends.

        So what a child has at the moment of its fork can be asked beside the calls of other threads.
        """
        child = self.fork()
        try:
            return child.load(addr, length)
        finally:
            child.exit()

    def thread(self) -> Process:
        """Another thread of this process: an actor of its own in the same address space and table of descriptors.

        It makes calls and accesses as the process does, but fork, exec, exit, kill and thread are calls of the process
        that it was made from, with which it ends.  Without threads raise Unsupported.
        """
        raise _missing("thread")

    def exit(self, status: Count = 0) -> Amount:
        """End normally; return, once the process has been waited for, the exit status that its parent received."""
        raise _missing("exit")

    def kill(self) -> None:
        """End by SIGKILL; returns once the process has been waited for."""
        raise _missing("kill")

    def exec(self) -> None:
        """Become another program: descriptors without O_CLOEXEC stay, mappings are removed.

        Returns when the new program has answered.
        """
        raise _missing("exec")

    # ---- privileges and limits

    def set_limit_headroom(self, resource: Resource, headroom: Length) -> None:
        """Limit this process to `headroom` more bytes of the resource than it uses now.

        Of STACK nothing counts as used: a mapping that grows downwards may become `headroom` bytes long.
        """
        raise _missing("set_limit_headroom")

    def drop_capability(self, capability: str) -> None:
        """Drop a privilege by its Linux name ("CAP_IPC_LOCK").  One that the process does not have is no error."""
        raise _missing("drop_capability")

    # ---- introspection

    def scratch_range(self) -> Range:
        """Return (address, length) of a range that the implementation does not use itself, for MAP_FIXED and hints.

        Page aligned, empty at the start of each process, at least 1 MiB.
        """
        raise _missing("scratch_range")

    def errno_cleared(self) -> bool:
        """Return whether the last call of this process or thread set errno to 0; before it, errno was another value."""
        raise _missing("errno_cleared")

    def counters(self) -> Counters:
        """Return how much the process has done so far."""
        raise _missing("counters")

    def maps(self) -> str:
        """Return the address space as text, to be shown with a failing case."""
        raise _missing("maps")


class Resource(StrEnum):
    """A resource that `Process.set_limit_headroom` limits."""

    ADDRESS_SPACE = "address-space"
    LOCKED_MEMORY = "locked-memory"
    DATA = "data"
    """Private memory that may be written, file-backed or anonymous."""
    STACK = "stack"
    """One mapping that grows downwards."""


# ------------------------------------------------------------------------------------------------------------- system


class Facility(StrEnum):
    """Something that a case needs of its environment; `System.facility` returns its path.

    Files that cannot be mapped, each for its own reason, and directories with one special property each.
    """

    DEV_ZERO = "dev-zero"
    """The device of zeros."""
    DEV_NULL = "dev-null"
    """A character device that cannot be mapped: the null device."""
    DEV_RANDOM = "dev-random"
    """A character device that cannot be mapped: the random device."""
    PROC_FILE = "proc-file"
    """A regular file that cannot be mapped and lies on a noexec file system (Linux: /proc/self/maps)."""
    SYS_FILE = "sys-file"
    """A regular file that cannot be mapped, which Linux detects late (an attribute in /sys)."""
    NOEXEC_DIRECTORY = "noexec-directory"
    """A directory, writable, on a file system from which nothing may be executed."""
    OWN_FILE_SYSTEM = "own-file-system"
    """A directory on a file system that only this case uses, so that its free space shows when storage is released."""
    CRASHING_FILE_SYSTEM = "crashing-file-system"
    """A directory on a file system with a disk of its own, whose power `System.crash` cuts."""
    MANDATORY_LOCK = "mandatory-lock"
    """The path of a file, readable and writable, on which another process holds a mandatory write lock."""


class Call(NamedTuple):
    """A call to be made, for `System.run_concurrently` and `System.together`."""

    process: Process
    name: str
    arguments: tuple[object, ...]
    stage: int = 0
    """For `System.together`: it begins when all calls of the stages before have returned."""

    def make(self) -> object:
        return getattr(self.process, self.name)(*self.arguments)


Calls: TypeAlias = Annotated[Sequence[Call], Kind("calls")]
Results: TypeAlias = Annotated[list[object], Kind("run_concurrently")]
Tally: TypeAlias = Annotated[dict[tuple[str, ...], int], Kind("tally")]
"""The outcomes of rounds, and how many rounds each had: for each call, in the order of the calls, one text.

"ok"; "ok RESULT" for a result: a number, an address in hexadecimal, the bytes loaded in hexadecimal; "error ENAME";
"fault SIGNAL CODE".
"""


class System:
    """A booted implementation: files, facilities, processes.  One is booted for each case and closed after it."""

    def spawn(self) -> Process:
        """A new process, related to no other."""
        raise _missing("spawn")

    def run_concurrently(self, calls: Calls) -> Results:
        """Make several calls, each of another process, at the same time; return their results in order.

        The default makes one after the other, which is one of the orders that "at the same time" allows.
        """
        return [call.make() for call in calls]

    def together(self, calls: Calls, rounds: Count) -> Tally:
        """Make calls of several threads and processes concurrently, in `rounds` rounds, and return their outcomes.

        A round has stages (`Call.stage`, from 0 on).  Threads and processes make their calls of a stage at the same
        time, each in the order in which they are given, and begin the next stage when all have made theirs.  So a
        stage with calls of one actor only is a call that has returned before the next stage begins.  There may be
        fewer rounds than asked for where they take long.  A result that is longer than 24 bytes is cut off.

        Not for fork, exec, exit, kill and thread.  Where no two threads can run concurrently, raise Unsupported.
        """
        raise _missing("together")

    def facility(self, facility: Facility) -> FacilityPath:
        """Return the path of a facility, usable by every process of the system; without one raise Unsupported."""
        raise _missing(f"facility {facility.value}")

    def crash(self) -> None:
        """Cut the power of the crashing file system and start it again.

        Every process of the system ends.  The facility's path is the same afterwards; what was synced is there.
        """
        raise _missing("crash")

    def full_file_table(self) -> AbstractContextManager[None]:
        """A context in which the whole system's table of open files is full (for a process without CAP_SYS_ADMIN)."""
        raise _missing("full_file_table")

    def mapping_limit(self) -> int:
        """Return how many mappings a process may have.  A backend may lower its limit here."""
        raise _missing("mapping_limit")

    def close(self) -> None:
        """End every process, remove every file.  Called once, whatever happened."""


# ------------------------------------------------------------------------------------------------------------ backend


@dataclass(frozen=True)
class Options:
    """The options of a run that concern every backend."""

    directory: str | None = None
    """--mmap-dir: the file system under test is the one that holds this directory; None: the backend chooses."""
    timeout: float = 30.0
    """--mmap-timeout: seconds that one call may take."""
    start_timeout: float | None = None
    """--mmap-start-timeout: seconds that the start of the implementation, and a boot, may take; None: as `timeout`."""
    disruptive: bool = False
    """--mmap-disruptive: may disturb the machine for a moment (a full file table)."""


@dataclass
class Facts:
    """The implementation that was judged; for headers, reports, conditions."""

    name: str
    """The backend, as the user named it."""
    version: str = ""
    """The implementation's own version."""
    details: Mapping[str, str] = field(default_factory=dict)
    """More, by name: "kernel", "machine", "libc", "page" (bytes), "bits", "file system", "user" …, for `conditions`."""


class Backend:
    """A named implementation.  Lives for a whole run; boots a system for each case."""

    name: str = "?"
    options: Options = Options()

    def configure(self, options: Options) -> None:
        """Take the user's options.  Called once, before anything else."""
        self.options = options

    def facts(self) -> Facts:
        """Return facts about the implementation.  May start it."""
        return Facts(self.name)

    def boot(self) -> System:
        """A fresh system, sharing nothing with those before."""
        raise _missing("boot")

    def close(self) -> None:
        """End what the backend keeps running between systems.  Called once, whatever happened."""


BLOCK_SIZE: Final = 1 << 20
"""Largest number of bytes of one pwrite of `write_content`."""


def write_content(process: Process, fd: int, content: bytes) -> None:
    """Write bytes to the beginning of a file, with as many calls of pwrite as that takes.

    Raises Unresolved if pwrite does not return a number of bytes that it can have written: the loop would not end.
    """
    written = 0
    while written < len(content):
        block = content[written : written + BLOCK_SIZE]
        more = process.pwrite(fd, block, written)
        if not isinstance(more, int) or not 0 < more <= len(block):
            raise Unresolved(f"pwrite of {len(block)} bytes returned {more!r}")
        written += more


def errno_name(error: OSError) -> str:
    """The symbolic name of an error's number: "EINVAL"."""
    if error.errno == errno.EOPNOTSUPP:  # Linux has two names for this number, and Python knows it by the other
        return "EOPNOTSUPP"
    if isinstance(error, NoErrno):
        return "-"
    return errno.errorcode.get(error.errno or 0, str(error.errno))
