"""Time limits of a process that may be stopped: SIGSTOP, Ctrl-Z, a machine that gives it no processor for a while.

The system under test is often stopped as well, and cannot be judged by that time: it counts for no limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

DELAY: Final = 0.5
"""Seconds by which any wait may be late."""

LONGEST: Final = 1.0
"""Seconds of the longest wait; a longer one consists of several, so that a stop during it is noticed."""

Result = TypeVar("Result")


class RunningClock:
    """A clock that does not advance while this process is stopped during one of its waits."""

    def __init__(self) -> None:
        self._stopped = 0.0

    def time(self) -> float:
        """Return a time in seconds, from an arbitrary start."""
        return time.monotonic() - self._stopped

    def wait(self, wait_for: Callable[[float], Result], seconds: float) -> Result:
        """Return what a function returns that waits for at most so many seconds, which is called with this number."""
        began = time.monotonic()
        result = wait_for(seconds)
        self.count_wait(time.monotonic() - began, seconds)
        return result

    def wait_until(self, wait_for: Callable[[float], Result], deadline: float) -> Result:
        """Wait like `wait` until `deadline` of this clock, or until what the function returns is true."""
        while True:
            result = self.wait(wait_for, min(max(deadline - self.time(), 0.0), LONGEST))
            if result or self.time() >= deadline:
                return result

    def count_wait(self, taken: float, seconds: float) -> None:
        """Count a wait that should have taken at most `seconds`, and took `taken`."""
        if taken - seconds > DELAY:
            self._stopped += taken - seconds
