"""Used processes: systems whose processes have a past, for the same cases as new processes (--mmap-process=used).

Real systems are often right in a new process and wrong later: in a child, after a file was truncated, where rights
were changed before.  A case states what is promised in any process, so it can be run in a used one as well, which

* is a child of a process that has made, truncated and removed a file, and has mapped memory and moved it,
* has taken all rights of each mapping that it makes, and given them back,
* has a parent that has mapped each file that it creates, by a descriptor of its own, and keeps the mapping until the
  name is removed,
* makes each call twice that changes nothing the second time, and each that was refused; the second outcome counts,
* gives lengths of whole pages without their last byte, which is the same range (at the second of two calls),
* has a hole of 4 GiB at the start of each such file: what a case calls offset 0 is at 4 GiB of the file, as far as the
  system has files so long.

None of this changes what a case may observe.  A call that is not promised, or that the system does not have, is left
out.  The calls are made through the recorder, so that a failing program contains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeAlias

from ..contract import (
    MAP_ANONYMOUS,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    SEEK_CUR,
    SEEK_END,
    Backend,
    Call,
    Facility,
    Process,
    Stat,
    System,
    Unresolved,
)
from .calls import LENGTHS, forward_calls, invoke
from .wrapping import TransparentBackend, WrappingProcess, WrappingSystem, unwrapped

RIGHTS: Final = PROT_READ | PROT_WRITE | PROT_EXEC

Promises: TypeAlias = Callable[[str], bool]
"""Returns True for the name of a call that the implementation promises."""

SHIFT: Final = 1 << 32
"""Bytes of the hole: offsets have more than 32 bits."""

NOT_SHIFTED: Final = 1 << 40
"""An offset from here on is about the largest one that there is, and left as it is."""

OFFSETS: Final = {
    "mmap": ((4, 5),),
    "ftruncate": ((0, 1),),
    "fallocate": ((0, 2),),
    "lseek": ((0, 1),),
    "pread": ((0, 2),),
    "pwrite": ((0, 2),),
    "read_into": ((0, 3),),
    "write_from": ((0, 3),),
    "preadv": ((0, 5),),
    "pwritev": ((0, 5),),
    "copy_file_range": ((0, 1), (2, 3)),
}
"""The calls with offsets in files, or a size: the places of the descriptor and of the offset in the arguments."""

AGAIN: Final = frozenset(
    (
        *("msync", "mprotect", "madvise", "mincore", "mseal", "load", "store"),
        *("mlock", "mlock2", "munlock", "mlockall", "munlockall"),
    )
)
"""The calls that have the same outcome and no further effect when they are made again.

munmap is not one: between two calls, the implementation may map memory of its own there.
"""

FILE: Final = "truncated-before"
"""The name of the file that the parent of a used process makes and removes."""


class UsedProcess(WrappingProcess):
    """A process that has made other calls before: forwarders made from `CALLS`."""

    def __init__(self, inside: Process, parent: Parent, promises: Promises, shifted: Iterable[int] = ()) -> None:
        super().__init__(inside)
        self.parent = parent
        self.promises = promises
        self.shifted = set(shifted)
        """The descriptors whose files begin with the hole.

        A descriptor that is closed remains: where calls are made concurrently, the same file may have it again.
        """

    def fork(self) -> Process:
        return UsedProcess(self.inside.fork(), self.parent, self.promises, self.shifted)

    def thread(self) -> Process:
        thread = UsedProcess(self.inside.thread(), self.parent, self.promises)
        thread.shifted = self.shifted  # threads have the same descriptors
        return thread

    def translated(self, call: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of a call with the offset that the file has."""
        if (call == "mmap" and arguments[3] & MAP_ANONYMOUS) or (
            call == "lseek" and arguments[2] in (SEEK_CUR, SEEK_END)
        ):
            return arguments
        moved = list(arguments)
        for fd_at, at in OFFSETS.get(call, ()):
            if arguments[fd_at] in self.shifted and 0 <= arguments[at] < NOT_SHIFTED:
                moved[at] += SHIFT
        return tuple(moved)

    def shortened(self, call: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of a call with lengths that are not whole pages, for the same range."""
        places = LENGTHS.get(call, ())
        if not places:
            return arguments
        page = self.parent.page
        return tuple(
            argument - 1 if at in places and argument > 0 and argument % page == 0 else argument
            for at, argument in enumerate(arguments)
        )

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        start = int(_make(self, "mmap", (addr, length, prot, flags, fd, offset)))
        # Bits that mmap ignores are an error of mprotect, and what grows downwards has no fixed start.
        if self.promises("mprotect") and not prot & ~RIGHTS and not flags & MAP_GROWSDOWN:
            self.change_rights(start, length, prot)
        return start

    def change_rights(self, start: int, length: int, prot: int) -> None:
        """Take all rights of a mapping and give them back, where the system can."""
        try:
            self.inside.mprotect(start, length, PROT_NONE)
        except (OSError, NotImplementedError):
            return
        try:
            self.inside.mprotect(start, length, prot)
        except OSError as error:
            raise Unresolved(f"the rights that mprotect took cannot be given back: {error}") from error

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        fd = self.inside.open(path, flags, mode)
        if flags & O_CREAT:
            self.parent.map(path)
        self.make_hole(fd, is_writable=bool(flags & (O_WRONLY | O_RDWR)))
        return fd

    def open_path_at(self, addr: int, flags: int) -> int:
        fd = self.inside.open_path_at(addr, flags)
        self.make_hole(fd, is_writable=bool(flags & (O_WRONLY | O_RDWR)))
        return fd

    def unlink(self, path: str) -> None:
        self.parent.unmap(path)
        self.inside.unlink(path)

    def rename(self, path: str, new_path: str) -> None:
        self.parent.unmap(new_path)
        self.inside.rename(path, new_path)
        self.parent.rename(path, new_path)

    def memfd(self) -> int:
        fd = self.inside.memfd()
        self.make_hole(fd, is_writable=True)
        return fd

    def make_hole(self, fd: int, is_writable: bool) -> None:
        """Note whether a file begins with the hole; an empty file gets one, where it can be written to."""
        self.shifted.discard(fd)
        if not (self.parent.has_holes and self.promises("fstat")):
            return
        with suppress(OSError, NotImplementedError):
            kind, size = self.inside.fstat(fd)
            if kind == "regular" and not size and is_writable:
                self.inside.ftruncate(fd, SHIFT)
                size = SHIFT
            if kind == "regular" and size >= SHIFT:
                self.shifted.add(fd)

    def dup(self, fd: int) -> int:
        other = self.inside.dup(fd)
        (self.shifted.add if fd in self.shifted else self.shifted.discard)(other)
        return other

    def fstat(self, fd: int) -> Stat:
        status = self.inside.fstat(fd)
        return status._replace(size=self.known(fd, status.size))

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        return self.known(fd, self.inside.lseek(*self.translated("lseek", (fd, offset, whence))))

    def known(self, fd: int, offset: int) -> int:
        """Return an offset of a file, or its size, as the case knows it."""
        return offset - SHIFT if fd in self.shifted and SHIFT <= offset < SHIFT + NOT_SHIFTED else offset


def _make(process: UsedProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    """Make a call of the process inside, once more if it was refused or is one of AGAIN; the last outcome counts."""
    arguments = process.translated(call, arguments)
    shortened = process.shortened(call, arguments)
    is_made_again = call in AGAIN
    try:
        result = invoke(process.inside, call, arguments if is_made_again else shortened)
    except OSError:
        is_made_again = True
    return invoke(process.inside, call, shortened) if is_made_again else result


forward_calls(UsedProcess, _make)


class Parent:
    """The parent of a used process, with its mappings of the files that the used process has created."""

    def __init__(self, process: Process, has_holes: bool) -> None:
        self.process = process
        self.has_holes = has_holes
        """True if the files that the used process creates begin with a hole."""
        self.page = process.sysconf(SC_PAGESIZE)
        self.mappings: dict[str, int] = {}
        """The address of its mapping by the path of the file."""

    def map(self, path: str) -> None:
        """Map a page of a file, where the system can."""
        with suppress(OSError, NotImplementedError):
            fd = self.process.open(path, O_RDONLY)
            with suppress(OSError, NotImplementedError):
                self.mappings[path] = self.process.mmap(0, self.page, PROT_READ, MAP_SHARED, fd, SHIFT)
            self.process.close(fd)

    def rename(self, path: str, new_path: str) -> None:
        """Note that a file has another name."""
        if path in self.mappings:
            self.mappings[new_path] = self.mappings.pop(path)

    def unmap(self, path: str) -> None:
        """Unmap a file, so that nothing but the used process refers to it."""
        if path in self.mappings:
            with suppress(OSError):
                self.process.munmap(self.mappings.pop(path), self.page)


class NoParent(Parent):
    """The parent of a used process where there is no fork: none."""

    def map(self, path: str) -> None:
        """Map nothing: the mapping would be the process's own."""


def used(process: Process, promises: Promises) -> UsedProcess:
    """Return a child of a process that has a past; the process itself, where there is no fork."""
    page = process.sysconf(SC_PAGESIZE)
    has_holes = False
    if all(map(promises, ("open", "ftruncate", "dup", "mmap", "munmap", "close", "unlink"))):
        with suppress(OSError, NotImplementedError):
            fd = process.open(FILE, O_CREAT | O_EXCL | O_RDWR)
            process.ftruncate(fd, page)
            has_holes = maps_the_end(process, fd, page)
            process.ftruncate(fd, 0)
            process.close(process.dup(fd))
            process.close(fd)
            process.unlink(FILE)
    if all(map(promises, ("mmap", "mremap", "munmap"))):
        with suppress(OSError, NotImplementedError):
            move_memory(process, page)
    if promises("fork"):
        try:
            return UsedProcess(process.fork(), Parent(process, has_holes), promises)
        except NotImplementedError:
            pass
        except OSError as error:
            raise Unresolved(f"a process cannot fork: {error}") from error
    return UsedProcess(process, NoParent(process, has_holes), promises)


def maps_the_end(process: Process, fd: int, page: int) -> bool:
    """Return True if the page after the end of a file of one page can be mapped.

    POSIX allows ENXIO there, and not for the first page of an empty file, which the hole would make such a page.
    """
    try:
        process.munmap(process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page), page)
    except OSError:
        return False
    return True


def move_memory(process: Process, page: int) -> None:
    """Map a page of memory, move it twice, and unmap it."""
    start = process.mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    length = page
    with suppress(OSError, NotImplementedError):
        moved = process.mremap(start, page, page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
        process.munmap(moved, page)
    with suppress(OSError, NotImplementedError):
        start = process.mremap(start, page, 2 * page, MREMAP_MAYMOVE)
        length = 2 * page
    process.munmap(start, length)


class UsedSystem(WrappingSystem):
    """A system whose processes are used ones."""

    def __init__(self, inside: System, promises: Promises) -> None:
        super().__init__(inside)
        self.promises = promises

    def spawn(self) -> Process:
        return used(self.inside.spawn(), self.promises)

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        return self.inside.run_concurrently(inner(calls))

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        return self.inside.together(inner(calls), rounds)

    def facility(self, facility: Facility) -> str:
        return self.inside.facility(facility)

    def crash(self) -> None:
        self.inside.crash()

    def full_file_table(self) -> AbstractContextManager[None]:
        return self.inside.full_file_table()

    def mapping_limit(self) -> int:
        return self.inside.mapping_limit()


def inner(calls: Sequence[Call]) -> list[Call]:
    """Return calls of used processes as calls of the processes inside, with the offsets that their files have."""
    translated = [
        call._replace(arguments=call.process.translated(call.name, call.arguments))
        if isinstance(call.process, UsedProcess)
        else call
        for call in calls
    ]
    return unwrapped(translated)


class UsedBackend(TransparentBackend):
    """A backend whose systems have used processes.  `promises`: whether a call is promised; all are by default."""

    def __init__(self, subject: Backend, promises: Promises = lambda call: True) -> None:
        super().__init__(subject)
        self.promises = promises

    def boot(self) -> System:
        return UsedSystem(self.subject.boot(), self.promises)
