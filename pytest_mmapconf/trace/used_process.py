"""Used processes: systems whose processes have a past, for the same cases as new processes (--mmap-process=used).

Real systems are often right in a new process and wrong later: in a child, after a file was truncated, where rights
were changed before.  A case states what is promised in any process, so it can be run in a used one as well, which

* is a child of a process that has made, truncated and removed a file,
* has taken all rights of each mapping that it makes, and given them back,
* has opened each file that it creates once more, and closed it again.

None of this changes what a case may observe.  A call that is not promised, or that the system does not have, is left
out.  The calls are made through the recorder, so that a failing program contains them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeAlias

from ..contract import (
    MAP_GROWSDOWN,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Backend,
    Call,
    Facility,
    Process,
    System,
    Unresolved,
)
from .calls import forward_calls, invoke
from .wrapping import TransparentBackend, WrappingProcess, WrappingSystem, unwrapped

RIGHTS: Final = PROT_READ | PROT_WRITE | PROT_EXEC

Promises: TypeAlias = Callable[[str], bool]
"""Returns True for the name of a call that the implementation promises."""

FILE: Final = "truncated-before"
"""The name of the file that the parent of a used process makes and removes."""


class UsedProcess(WrappingProcess):
    """A process with a past: forwarders made from `CALLS`."""

    def __init__(self, inside: Process, promises: Promises) -> None:
        super().__init__(inside)
        self.promises = promises

    def fork(self) -> Process:
        return UsedProcess(self.inside.fork(), self.promises)

    def thread(self) -> Process:
        return UsedProcess(self.inside.thread(), self.promises)

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        start = self.inside.mmap(addr, length, prot, flags, fd, offset)
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
        if flags & O_CREAT and self.promises("close"):
            with suppress(OSError, NotImplementedError):
                self.inside.close(self.inside.open(path, O_RDONLY))
        return fd


def _forward(process: UsedProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    return invoke(process.inside, call, arguments)


forward_calls(UsedProcess, _forward)


def used(process: Process, promises: Promises) -> UsedProcess:
    """Return a child of a process that has truncated a file; the process itself, where there is no fork."""
    if all(map(promises, ("open", "ftruncate", "close", "unlink"))):
        with suppress(OSError, NotImplementedError):
            fd = process.open(FILE, O_CREAT | O_EXCL | O_RDWR)
            process.ftruncate(fd, process.sysconf(SC_PAGESIZE))
            process.ftruncate(fd, 0)
            process.close(fd)
            process.unlink(FILE)
    if promises("fork"):
        try:
            return UsedProcess(process.fork(), promises)
        except NotImplementedError:
            pass
        except OSError as error:
            raise Unresolved(f"a process cannot fork: {error}") from error
    return UsedProcess(process, promises)


class UsedSystem(WrappingSystem):
    """A system whose processes are used ones."""

    def __init__(self, inside: System, promises: Promises) -> None:
        super().__init__(inside)
        self.promises = promises

    def spawn(self) -> Process:
        return used(self.inside.spawn(), self.promises)

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        return self.inside.run_concurrently(unwrapped(calls))

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        return self.inside.together(unwrapped(calls), rounds)

    def facility(self, facility: Facility) -> str:
        return self.inside.facility(facility)

    def crash(self) -> None:
        self.inside.crash()

    def full_file_table(self) -> AbstractContextManager[None]:
        return self.inside.full_file_table()

    def mapping_limit(self) -> int:
        return self.inside.mapping_limit()


class UsedBackend(TransparentBackend):
    """A backend whose systems have used processes.  `promises`: whether a call is promised; all are by default."""

    def __init__(self, subject: Backend, promises: Promises = lambda call: True) -> None:
        super().__init__(subject)
        self.promises = promises

    def boot(self) -> System:
        return UsedSystem(self.subject.boot(), self.promises)
