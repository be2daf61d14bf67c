"""Remove the calls of a program that a difference does not depend on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Protocol, TypeVar

from ..contract import Unresolved
from ..trace.program import Program, names_in


class Shown(Protocol):
    """A difference with the program that shows it."""

    @property
    def program(self) -> Program: ...


T = TypeVar("T", bound=Shown)


def without_unused_calls(shown: T, run_again: Callable[[Program], T | None], end: float = inf) -> T:
    """Return a difference whose program lacks calls whose results no other call uses, up to the time `end`.

    `run_again` runs a program and returns the difference if it remains, else None.
    """
    for at in reversed(range(len(shown.program) - 1)):
        if time.monotonic() > end:
            break
        if at >= len(shown.program) - 1:  # an earlier call shows a difference by now
            continue
        step, rest = shown.program[at], (*shown.program[:at], *shown.program[at + 1 :])
        used = {name for other in rest for name in (other.process, *names_in(other))}
        if used.isdisjoint(step.results):
            with suppress(Unresolved):
                shown = run_again(rest) or shown
    return shown
