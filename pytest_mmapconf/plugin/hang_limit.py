"""Stop to run cases of a function once several of them have not returned in time: each costs a whole time limit."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import pytest

from ..contract import Died, Unresolved
from .stash import CASE

MAX_HANGS: Final = 3
"""Cases of one function that may run out of time before the others are not run."""


class HangLimit:
    """Counts the cases of each function in which a call did not return, in one process of pytest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """The time limit of one call."""
        self.hangs: Counter[str] = Counter()
        self.began = 0.0

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        function = item.nodeid.partition("[")[0]
        if CASE in item.stash and self.hangs[function] >= MAX_HANGS:
            raise Unresolved(f"not run: in {MAX_HANGS} cases of this function a call did not return")
        self.began = time.monotonic()

    def pytest_exception_interact(self, call: pytest.CallInfo[object], node: pytest.Item | pytest.Collector) -> None:
        error = call.excinfo.value if call.excinfo else None
        died = error if isinstance(error, Died) else getattr(error, "died", None)
        if call.when == "call" and died is not None and time.monotonic() - self.began >= self.seconds:
            self.hangs[node.nodeid.partition("[")[0]] += 1
