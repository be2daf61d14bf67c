"""The checks: basic behaviour of every implementation, in increasing order.  Users see the docstring of a check."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Facts,
    Process,
)
from .subject import Subject, Wrong, shown

RW: Final = PROT_READ | PROT_WRITE
MEMORY: Final = MAP_PRIVATE | MAP_ANONYMOUS


def start(subject: Subject) -> str:
    """The implementation starts and reports its facts."""
    subject.announce({"call": "facts()"})
    facts = subject.backend.facts()
    if not isinstance(facts, Facts):
        raise Wrong(f"facts() returned {shown(facts)}", f"facts() returns {Facts.__module__}.Facts.", "")
    return facts.version or facts.name


def boot(subject: Subject) -> str:
    """A system is booted, spawns a process, and is closed; twice."""
    for _ in range(2):
        with subject.process():
            pass
    return ""


def page(subject: Subject) -> str:
    """sysconf(_SC_PAGESIZE) gives the page size in bytes."""
    with subject.process() as process:
        size: int = subject.value(process, "sysconf", SC_PAGESIZE)
    if size < 512 or size & (size - 1):
        raise Wrong(
            f"sysconf({SC_PAGESIZE}) returned {size}",
            f"{SC_PAGESIZE} is _SC_PAGESIZE: the page size in bytes, a power of two.",
            f"{SC_PAGESIZE} is _SC_PAGESIZE, whatever number it has there: the page size in bytes, a power of two.",
        )
    subject.page = size
    return f"{size} bytes"


def mapping(subject: Subject) -> str:
    """mmap of anonymous memory gives an address, and two mappings do not overlap."""
    with subject.process() as process:
        one = _anonymous(subject, process, 2)
        two = _anonymous(subject, process, 2)
        for address in (one, two):
            if address <= 0 or address % subject.page:
                raise Wrong(
                    f"mmap returned {shown(address)}",
                    "mmap returns the address in bytes, a multiple of the page size. A call that fails raises OSError; "
                    "it never returns -1.",
                    "mmap is answered by `ok` and the address, a multiple of the page size; where it fails "
                    "(MAP_FAILED), by `error` and the name of errno.",
                )
        if abs(one - two) < 2 * subject.page:
            raise Wrong(
                f"two mappings of two pages are at {one:#x} and {two:#x}",
                "They overlap. Lengths are in bytes; a mapped range is not allocated again.",
                "They overlap. The length is the second argument, in bytes.",
            )
        subject.done(process, "munmap", one, 2 * subject.page)
    return ""


def memory(subject: Subject) -> str:
    """Mapped memory is zero at first, and keeps the stored bytes."""
    with subject.process() as process:
        size = subject.page
        at = _anonymous(subject, process, 2)
        _expect_bytes(subject, process, at, bytes(16), "Anonymous memory is zero at first.")
        data = bytes(range(1, 33))
        subject.done(process, "store", at + size - 16, data)
        fix = "load and store take the byte at the lowest address first, and change no byte."
        _expect_bytes(subject, process, at + size - 16, data, fix)
        _expect_bytes(subject, process, at + size, data[16:], fix)
    return ""


def fault(subject: Subject) -> str:
    """An access to unmapped memory faults, reports the address, and the process continues."""
    with subject.process() as process:
        size = subject.page
        at = _anonymous(subject, process, 3)
        subject.done(process, "munmap", at + size, size)
        subject.faulted(process, at + size, "load", at + size, 1)
        subject.faulted(process, at + size + 5, "store", at + size + 5, b"x")
        subject.faulted(process, at + size, "load", at + size - 4, 8)
        _expect_bytes(subject, process, at, b"\0", "A fault changes neither the process nor its memory.")
    return ""


def errors(subject: Subject) -> str:
    """A call that fails reports its errno."""
    with subject.process() as process:
        subject.refused(process, errno.EINVAL, "mmap", 0, 0, RW, MEMORY, -1, 0)
        at = _anonymous(subject, process, 1)
        subject.refused(process, errno.EINVAL, "munmap", at + 1, subject.page)
        _expect_bytes(subject, process, at, b"\0", "A call that fails changes nothing.")
    return ""


def prot(subject: Subject) -> str:
    """PROT_READ and PROT_NONE are enforced."""
    with subject.process() as process:
        size = subject.page
        readable = subject.value(process, "mmap", 0, size, PROT_READ, MEMORY, -1, 0)
        _expect_bytes(subject, process, readable, b"\0", "PROT_READ is 1, PROT_WRITE 2.")
        subject.faulted(process, readable, "store", readable, b"x")
        inaccessible = subject.value(process, "mmap", 0, size, PROT_NONE, MEMORY, -1, 0)
        subject.faulted(process, inaccessible, "load", inaccessible, 1)
    return ""


def files(subject: Subject) -> str:
    """Files are created, written and read; a file that was not created does not exist."""
    with subject.process() as process:
        subject.refused(process, errno.ENOENT, "open", "no-such-file", O_RDONLY)
        fd = _file(subject, process, "file", b"content")
        if fd < 0:
            raise Wrong(f"open returned {fd}", "open returns a descriptor, 0 or more; it never returns -1.", "")
        content = subject.value(process, "pread", fd, 64, 3, kind=bytes)
        if content != b"tent":
            raise Wrong(
                f"pread(fd, 64, 3) of a file with b'content' returned {shown(content)}",
                "pread takes (fd, length, offset), and returns the bytes up to the end of the file.",
                "pread is FD LENGTH OFFSET, pwrite FD BYTES OFFSET; pread returns the bytes up to the end of the file.",
            )
        subject.refused(process, errno.EEXIST, "open", "file", O_RDWR | O_CREAT | O_EXCL)
        subject.done(process, "close", fd)
    return ""


def shared(subject: Subject) -> str:
    """A shared mapping shows the file from the offset, and stores change the file."""
    with subject.process() as process:
        size = subject.page
        fd = _file(subject, process, "shared", b"a" * size + b"b" * size)
        at = subject.value(process, "mmap", 0, 2 * size, RW, MAP_SHARED, fd, 0)
        fix = "A mapping begins at `offset`, in bytes from the start of the file."
        _expect_bytes(subject, process, at + size - 1, b"ab", fix)
        second = subject.value(process, "mmap", 0, size, PROT_READ, MAP_SHARED, fd, size)
        _expect_bytes(subject, process, second, b"b", fix)
        subject.done(process, "store", at + size, b"new")
        content = subject.value(process, "pread", fd, 4, size, kind=bytes)
        if content != b"newb":
            fix = "MAP_SHARED is 1, MAP_PRIVATE 2: a store to a shared mapping changes the file immediately."
            raise Wrong(f"after a store of b'new' in a shared mapping, pread returned {shown(content)}", fix, fix)
        _expect_bytes(subject, process, second, b"newb", "Two shared mappings of a page show the same bytes.")
    return ""


def private(subject: Subject) -> str:
    """Stores to a private mapping do not change the file."""
    with subject.process() as process:
        size = subject.page
        fd = _file(subject, process, "private", b"a" * size)
        at = subject.value(process, "mmap", 0, size, RW, MAP_PRIVATE, fd, 0)
        subject.done(process, "store", at, b"new")
        _expect_bytes(
            subject, process, at, b"newa", "A private mapping shows the file, and the bytes stored to the mapping."
        )
        content = subject.value(process, "pread", fd, 4, 0, kind=bytes)
        if content != b"aaaa":
            fix = "MAP_SHARED is 1, MAP_PRIVATE 2: a store to a private mapping does not change the file."
            raise Wrong(f"after a store of b'new' in a private mapping, pread returned {shown(content)}", fix, fix)
    return ""


def fresh(subject: Subject) -> str:
    """A newly booted system has no files of the system before it."""
    with subject.process() as process:
        _file(subject, process, "leftover", b"by the system before")
    with subject.process() as process:
        subject.refused(process, errno.ENOENT, "open", "leftover", O_RDONLY)
    return ""


def front(subject: Subject) -> str:
    """exec starts the program again, run by what runs the implementation."""
    with subject.process() as process:
        subject.done(process, "exec")
        size = subject.value(process, "sysconf", SC_PAGESIZE)
    if size != subject.page:
        fix = "exec starts the new program by what runs the old one: an emulator in front of it is executed again."
        raise Wrong(f"after exec the page size is {size}, not {subject.page}", fix, fix)
    subject.announce({"call": "facts()"})
    by = subject.backend.facts().details.get("run by", "")
    return by and f"run by {by}"


def end(subject: Subject) -> str:
    """The backend is closed."""
    subject.announce({"call": "close() of the backend"})
    subject.backend.close()
    return ""


def _anonymous(subject: Subject, process: Process, pages: int) -> int:
    address: int = subject.value(process, "mmap", 0, pages * subject.page, RW, MEMORY, -1, 0)
    return address


def _file(subject: Subject, process: Process, path: str, content: bytes) -> int:
    fd: int = subject.value(process, "open", path, O_RDWR | O_CREAT | O_EXCL)
    written = subject.value(process, "pwrite", fd, content, 0)
    if written != len(content):
        raise Wrong(
            f"pwrite of {len(content)} bytes returned {written}",
            "pwrite takes (fd, data, offset) and returns the number of bytes written.",
            "pwrite is FD BYTES OFFSET, and its result is the number of bytes written.",
        )
    return fd


def _expect_bytes(subject: Subject, process: Process, at: int, expected: bytes, fix: str) -> None:
    observed = subject.value(process, "load", at, len(expected), kind=bytes)
    if observed != expected:
        call = f"load({at:#x}, {len(expected)})"
        raise Wrong(f"{call} returned {shown(observed)}, expected {shown(expected)}", fix, fix)


@dataclass(frozen=True)
class Check:
    """A check, and the names of the checks that it depends on."""

    make: Callable[[Subject], str]
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.make.__name__

    @property
    def text(self) -> str:
        return (self.make.__doc__ or "").rstrip(".")


CHECKS: Final = (
    Check(start),
    Check(boot, ("start",)),
    Check(page, ("boot",)),
    Check(mapping, ("page",)),
    Check(memory, ("mapping",)),
    Check(fault, ("memory",)),
    Check(errors, ("mapping", "memory")),
    Check(prot, ("fault",)),
    Check(files, ("page",)),
    Check(shared, ("memory", "files")),
    Check(private, ("shared",)),
    Check(fresh, ("files",)),
    Check(front, ("page",)),
    Check(end, ("start",)),
)
"""All checks, in increasing order."""
