"""A backend in pytest's own process whose calls always end, and never end the run.

Each call has a time limit (`watchdog`).  Whatever a call raises that pytest or the interpreter would take as a request
to skip the case, to expect its failure or to end the run, becomes an ordinary exception: it is a mistake of the
backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest import SkipTest

import pytest

from ..contract import Backend, Call, Facility, Facts, Options, Process, System
from ..trace.calls import forward_calls, invoke
from ..trace.wrapping import TransparentBackend, WrappingProcess, WrappingSystem, unwrapped
from .watchdog import Watchdog

REQUESTS: Final = (
    SystemExit,
    GeneratorExit,
    pytest.skip.Exception,
    pytest.xfail.Exception,
    pytest.exit.Exception,
    SkipTest,
)
"""Exceptions by which code asks pytest, or the interpreter, for something other than a failure."""


STARTS: Final = frozenset(("configure", "facts", "boot"))
"""Calls that may start an implementation."""


class RaisedByBackend(Exception):
    """A backend has raised an exception that is none of the contract's and would end the run or hide a failure."""


class Guard:
    """Makes calls of a backend, with a time limit."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.watchdog = watchdog

    def make(self, call: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function of the backend returns; raise what it raises, if that is a failure."""
        try:
            with self.watchdog.start_limit(call) if call in STARTS else self.watchdog.limit(call):
                return function(*arguments)
        except REQUESTS as request:
            kind = type(request)
            name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
            raise RaisedByBackend(f"{call} raised {name}: {request}") from request


class GuardedProcess(WrappingProcess):
    """A process whose calls a guard makes."""

    def __init__(self, inside: Process, guard: Guard) -> None:
        super().__init__(inside)
        self.guard = guard

    def fork(self) -> Process:
        return GuardedProcess(self.guard.make("fork", self.inside.fork), self.guard)

    def thread(self) -> Process:
        return GuardedProcess(self.guard.make("thread", self.inside.thread), self.guard)

    def audit(self, ranges: Sequence[tuple[int, int]], fds: Sequence[int] = ()) -> list[str]:
        return self.guard.make("audit", self.inside.audit, ranges, fds)  # type: ignore[no-any-return]

    def batch(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[object]:
        return self.guard.make("batch", self.inside.batch, calls)  # type: ignore[no-any-return]

    def maps(self) -> str:
        return self.guard.make("maps", self.inside.maps)  # type: ignore[no-any-return]


def _make(process: GuardedProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    return process.guard.make(call, invoke, process.inside, call, arguments)


forward_calls(GuardedProcess, _make)


class GuardedSystem(WrappingSystem):
    """A system whose calls, and those of its processes, a guard makes."""

    def __init__(self, inside: System, guard: Guard) -> None:
        super().__init__(inside)
        self.guard = guard

    def spawn(self) -> Process:
        return GuardedProcess(self.guard.make("spawn", self.inside.spawn), self.guard)

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        return self.guard.make("run_concurrently", self.inside.run_concurrently, unwrapped(calls))  # type: ignore[no-any-return]

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        return self.guard.make("together", self.inside.together, unwrapped(calls), rounds)  # type: ignore[no-any-return]

    def facility(self, facility: Facility) -> str:
        return self.guard.make("facility", self.inside.facility, facility)  # type: ignore[no-any-return]

    def crash(self) -> None:
        self.guard.make("crash", self.inside.crash)

    def full_file_table(self) -> AbstractContextManager[None]:
        return self.guard.make("full_file_table", self.inside.full_file_table)  # type: ignore[no-any-return]

    def mapping_limit(self) -> int:
        return self.guard.make("mapping_limit", self.inside.mapping_limit)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.guard.make("close", self.inside.close)


class GuardedBackend(TransparentBackend):
    """A backend whose calls, and those of its systems and processes, a guard makes."""

    def __init__(self, subject: Backend, guard: Guard) -> None:
        super().__init__(subject)
        self.guard = guard

    def configure(self, options: Options) -> None:
        self.guard.make("configure", super().configure, options)

    def facts(self) -> Facts:
        return self.guard.make("facts", self.subject.facts)  # type: ignore[no-any-return]

    def boot(self) -> System:
        return GuardedSystem(self.guard.make("boot", self.subject.boot), self.guard)

    def close(self) -> None:
        self.guard.make("close of the backend", self.subject.close)
