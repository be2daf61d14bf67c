"""The backend that is checked: its calls, and for each that goes wrong what to put right in the adapter."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import IntFlag
from typing import Any, Final

from ..contract import Backend, Fault, Process, System, Unresolved, errno_name

Tell = Callable[[Mapping[str, Any]], None]
"""Says what comes next, to whoever waits for it."""


class Wrong(Exception):
    """What an adapter does wrong: what was seen, and for each kind of adapter what to put right."""

    def __init__(self, seen: str, python: str, agent: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.python = python
        self.agent = agent


class Subject:
    """The backend that is checked; tells of each call before it is made."""

    def __init__(self, backend: Backend, tell: Tell = lambda message: None) -> None:
        self.backend = backend
        self.tell = tell
        self.page = 0

    @contextmanager
    def system(self) -> Iterator[System]:
        self.tell({"call": "boot()"})
        system = self.backend.boot()
        if not isinstance(system, System):
            raise Wrong(f"boot() returned {system!r}", f"boot() returns a {System.__module__}.System.", "")
        try:
            yield system
        except BaseException:
            with suppress(Exception):  # what has gone wrong first is told
                system.close()
            raise
        self.tell({"call": "close() of the system"})
        system.close()

    @contextmanager
    def process(self) -> Iterator[Process]:
        with self.system() as system:
            self.tell({"call": "spawn()"})
            process = system.spawn()
            if not isinstance(process, Process):
                raise Wrong(f"spawn() returned {process!r}", f"spawn() returns a {Process.__module__}.Process.", "")
            yield process

    # ---- calls: each returns what is right, and raises Wrong for everything else

    def _make(self, process: Process, name: str, arguments: Sequence[Any]) -> tuple[str, Any]:
        what = f"{name}({', '.join(map(shown, arguments))})"
        self.tell({"call": what})
        try:
            return what, getattr(process, name)(*arguments)
        except (OSError, Fault, NotImplementedError, Unresolved) as error:
            return what, error
        except Exception as error:
            raise Wrong(
                f"{what} raised {type(error).__name__}: {error}",
                f"{name} takes C's arguments in C's order, and raises OSError, Fault or NotImplementedError only.",
                "",
            ) from error

    def value(self, process: Process, name: str, *arguments: Any, kind: type = int) -> Any:
        """What a call returns that must not fail; of this kind."""
        what, result = self._make(process, name, arguments)
        if isinstance(result, (NotImplementedError, Unresolved)):
            raise result
        if isinstance(result, OSError):
            raise Wrong(
                f"{what} failed with {_errno(result)}",
                "It must succeed. Flags and names come with Linux's numbers: does the adapter hand them on translated?",
                "It must succeed. Flags and names come with Linux's numbers: does the agent translate them?",
            )
        if isinstance(result, Fault):
            raise Wrong(
                f"{what} got {result}",
                "This memory is mapped. Addresses, lengths and offsets are in bytes: does the adapter keep them?",
                "This memory is mapped. Addresses, lengths and offsets are in bytes, decimal or with 0x.",
            )
        if kind is bytes and isinstance(result, (bytearray, memoryview)):
            result = bytes(result)
        if not isinstance(result, kind) or isinstance(result, bool):
            raise Wrong(
                f"{what} returned {shown(result)}",
                f"{name} returns {KINDS[kind]}."
                + (" A call that fails raises OSError; it never returns -1." if kind is int else ""),
                "",
            )
        return result

    def done(self, process: Process, name: str, *arguments: Any) -> None:
        """A call that must succeed and returns nothing."""
        self.value(process, name, *arguments, kind=type(None))

    def refused(self, process: Process, number: int, name: str, *arguments: Any) -> None:
        """A call that must fail with this errno."""
        right = errno.errorcode[number]
        what, result = self._make(process, name, arguments)
        if isinstance(result, (NotImplementedError, Unresolved)):
            raise result
        python = f"A call that fails raises OSError(errno.{right}, …): the number first, and positive."
        if isinstance(result, Fault):
            raise Wrong(
                f"{what} got {result}",
                f"Only accesses to memory fault. {python}",
                f"Only accesses to memory fault. A call that fails is answered by `error {right}`.",
            )
        if not isinstance(result, OSError):
            raise Wrong(
                f"{what} returned {shown(result)}, and {right} belongs there",
                f"{python} It returns neither None nor -1 nor -errno.",
                f"A call that fails is answered by `error {right}`, not by `ok`: look at its result, then at errno.",
            )
        if result.errno != number:
            raise Wrong(
                f"{what} failed with {_errno(result)}, and {right} belongs there",
                python,
                f"A call that fails is answered by `error` and the name of errno, here {right}.",
            )

    def faulted(self, process: Process, at: int, name: str, *arguments: Any) -> None:
        """An access that must get SIGSEGV at this address."""
        what, result = self._make(process, name, arguments)
        if isinstance(result, (NotImplementedError, Unresolved)):
            raise result
        python = f'An access that is refused raises Fault("SIGSEGV", "SEGV_MAPERR" or "SEGV_ACCERR", {at:#x}).'
        agent = f"The process catches SIGSEGV and SIGBUS, answers `fault SIGSEGV SEGV_MAPERR {at:#x}`, and lives on."
        if isinstance(result, OSError):
            raise Wrong(f"{what} failed with {_errno(result)}", f"{python} OSError is for calls.", agent)
        if not isinstance(result, Fault):
            raise Wrong(f"{what} returned {shown(result)}, and nothing may be accessed at {at:#x}", python, agent)
        if result.signal != "SIGSEGV":
            raise Wrong(f"{what} got {shown(result.signal)} for a signal", f"{python} Names, not numbers.", agent)
        if not isinstance(result.code, str):
            raise Wrong(f"{what} got {shown(result.code)} for a si_code", f"{python} Names, not numbers.", agent)
        if result.address is not None and result.address != at:
            raise Wrong(
                f"{what} faulted at {shown(result.address)}, and {at:#x} is the first byte that cannot be accessed",
                f"{python} The address is that of the byte, not of its page; bytes before it are accessed.",
                f"{agent} The address is si_addr, that of the byte; bytes are accessed one by one from the lowest up.",
            )


KINDS: Final = {int: "an int", bytes: "bytes", type(None): "None"}


def shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value) if isinstance(value, IntFlag) or value >= 4096 else str(int(value))
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _errno(error: OSError) -> str:
    return errno_name(error) if error.errno in errno.errorcode else f"the errno {error.errno!r}"
