"""The backend that is checked: its calls, and advice for the adapter's author for each wrong result."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import IntFlag
from typing import Any, Final

from ..catalogue.clauses import load
from ..contract import Backend, Fault, Process, System, Unresolved, errno_name

Announce = Callable[[Mapping[str, Any]], None]
"""Announces the next action to the parent process."""


class Wrong(Exception):
    """The adapter does something wrong: the observation, and advice for each kind of adapter."""

    def __init__(self, observed: str, python: str, agent: str) -> None:
        super().__init__(observed)
        self.observed = observed
        self.python = python
        self.agent = agent


class Subject:
    """The backend that is checked; announces each call before making it."""

    def __init__(self, backend: Backend, announce: Announce = lambda message: None) -> None:
        self.backend = backend
        self.announce = announce
        self.page = 0

    @contextmanager
    def system(self) -> Iterator[System]:
        self.announce({"call": "boot()"})
        system = self.backend.boot()
        if not isinstance(system, System):
            raise Wrong(f"boot() returned {system!r}", f"boot() returns a {System.__module__}.System.", "")
        try:
            yield system
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                system.close()
            raise
        self.announce({"call": "close() of the system"})
        system.close()

    @contextmanager
    def process(self) -> Iterator[Process]:
        with self.system() as system:
            self.announce({"call": "spawn()"})
            process = system.spawn()
            if not isinstance(process, Process):
                raise Wrong(f"spawn() returned {process!r}", f"spawn() returns a {Process.__module__}.Process.", "")
            yield process

    # ---- calls: each returns a correct result, and raises Wrong for any other

    def _make(self, process: Process, name: str, arguments: Sequence[Any]) -> tuple[str, Any]:
        what = f"{name}({', '.join(map(shown, arguments))})"
        self.announce({"call": what})
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
        """Make a call that must succeed; return its result, which must be of type `kind`."""
        what, result = self._make(process, name, arguments)
        if isinstance(result, (NotImplementedError, Unresolved)):
            raise result
        if isinstance(result, OSError):
            raise Wrong(
                f"{what} failed with {_errno(result)}",
                "It must succeed. Flags and names have Linux's numbers: does the adapter translate them?",
                "It must succeed. Flags and names have Linux's numbers: does the agent translate them?",
            )
        if isinstance(result, Fault):
            raise Wrong(
                f"{what} got {result}",
                "This memory is mapped. Addresses, lengths and offsets are in bytes: does the adapter change them?",
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
        """Make a call that must succeed and returns nothing."""
        self.value(process, name, *arguments, kind=type(None))

    def refused(self, process: Process, number: int, name: str, *arguments: Any) -> None:
        """Make a call that must fail with this errno."""
        expected = errno.errorcode[number]
        what, result = self._make(process, name, arguments)
        if isinstance(result, (NotImplementedError, Unresolved)):
            raise result
        python = f"A call that fails raises OSError(errno.{expected}, …): the number first, and positive."
        if isinstance(result, Fault):
            raise Wrong(
                f"{what} got {result}",
                f"Only accesses to memory fault. {python}",
                f"Only accesses to memory fault. The answer to a call that fails is `error {expected}`.",
            )
        if not isinstance(result, OSError):
            raise Wrong(
                f"{what} returned {shown(result)}, expected {expected}",
                f"{python} It returns neither None nor -1 nor -errno.",
                f"The answer to a call that fails is `error {expected}`, not `ok`: check its result, then errno.",
            )
        if result.errno != number:
            raise Wrong(
                f"{what} failed with {_errno(result)}, expected {expected}",
                python,
                f"The answer to a call that fails is `error` and the name of errno, here {expected}.",
            )

    def faulted(self, process: Process, at: int, name: str, *arguments: Any) -> None:
        """Make an access that must get SIGSEGV at this address."""
        what, result = self._make(process, name, arguments)
        if isinstance(result, (NotImplementedError, Unresolved)):
            raise result
        python = f'An access that is refused raises Fault("SIGSEGV", "SEGV_MAPERR" or "SEGV_ACCERR", {at:#x}).'
        agent = f"The process catches SIGSEGV and SIGBUS, answers `fault SIGSEGV SEGV_MAPERR {at:#x}`, and continues."
        if isinstance(result, OSError):
            raise Wrong(f"{what} failed with {_errno(result)}", f"{python} OSError is for calls.", agent)
        if not isinstance(result, Fault):
            raise Wrong(f"{what} returned {shown(result)}, expected a fault at {at:#x}", python, agent)
        if result.signal != "SIGSEGV":
            raise Wrong(f"{what} got {shown(result.signal)} for a signal", f"{python} Names, not numbers.", agent)
        if not isinstance(result.code, str):
            raise Wrong(f"{what} got {shown(result.code)} for a si_code", f"{python} Names, not numbers.", agent)
        if result.address is not None and result.address not in (at, self.reported(at)):
            raise Wrong(
                f"{what} faulted at {shown(result.address)}, expected {at:#x}, the first byte that cannot be accessed",
                f"{python} The address is that of the byte, not of its page; bytes before it are accessed.",
                f"{agent} The address is si_addr, that of the byte; bytes are accessed one by one from the lowest up.",
            )

    def reported(self, at: int) -> int:
        """Return what the machine reports of a fault at this address: as is known of some, its page (fault.address)."""
        facts, when = self.backend.facts(), load()["fault.address"].when
        is_page = "machine" in facts.details and when is not None and when.unmet(facts) is not None
        return at - at % self.page if is_page else at


KINDS: Final = {int: "an int", bytes: "bytes", type(None): "None"}


def shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value) if isinstance(value, IntFlag) or value >= 4096 else str(int(value))
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _errno(error: OSError) -> str:
    return errno_name(error) if error.errno in errno.errorcode else f"the errno {error.errno!r}"
