"""Stop to run cases in which the implementation would die or hang again: each hang costs a whole time limit.

A case is not run, and is unresolved with the reason, once

* `MAX_HANGS` cases of its function have run out of time,
* the last `MAX_DEATHS` cases that use one of its calls ended in that call, because the process ended or did not answer,
* the last `MAX_DEATHS` cases of all ended outside of a call of theirs: the agent did not start, boot or end a system,
* `MAX_LATE` cases have run out of time in one of its calls.

Each process of pytest counts by itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from typing import Final

import pytest

from ..agent.problems import is_gone
from ..contract import Died, Unresolved
from .stash import CASE, SETTINGS
from .used_calls import calls_of

MAX_HANGS: Final = 3
"""Cases of one function that may run out of time before the others are not run."""

MAX_DEATHS: Final = 8
"""Cases in a row that may end in the same call before other cases with this call are not run."""

MAX_LATE: Final = 20
"""Cases that may run out of time in the same call before other cases with this call are not run."""

OUTSIDE: Final = ""
"""In place of a call: the start, the boot or the end of a system."""


class HangLimit:
    """Counts the cases in which the implementation has ended or did not answer, in one process of pytest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """The time limit of one call."""
        self.hangs: Counter[str] = Counter()
        """By function."""
        self.deaths: Counter[str] = Counter()
        """By call: the cases that ended in it since one that uses it did not."""
        self.late: Counter[str] = Counter()
        """By call: the cases that ran out of time in it."""
        self.began = 0.0
        self.calls: frozenset[str] = frozenset()
        """The calls of the case that runs; empty if it is not run."""
        self.ended_in: str | None = None
        """The call in which the case that runs has ended; None for none."""

    @pytest.hookimpl(wrapper=True, trylast=True)  # but before ConditionHooks, whose experiments would also wait
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        self.begin(item)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self.begin_call()

    def begin(self, item: pytest.Item) -> None:
        """Begin to watch a case; raise Unresolved if it is not to be run."""
        self.calls, self.ended_in = frozenset(), None
        if CASE in item.stash:
            calls = calls_of(getattr(item, "obj", None)) | {OUTSIDE}
            reason = self.reason_not_to_run(item.nodeid.partition("[")[0], calls)
            if reason:
                raise Unresolved(f"not run: {reason}")
            self.calls = calls
        self.began = time.monotonic()

    def begin_call(self) -> None:
        """Begin to watch the call of a case: the experiments before it may have taken long."""
        self.began = time.monotonic()

    @property
    def has_counted(self) -> bool:
        """True if a case has hung, or one of the last cases has ended in a call."""
        return bool(self.hangs or self.deaths or self.late)

    def reason_not_to_run(self, function: str, calls: frozenset[str]) -> str:
        """Return why a case of this function, with these calls, is not run; empty if it is."""
        if not self.has_counted:
            return ""
        if self.hangs[function] >= MAX_HANGS:
            return f"in {MAX_HANGS} cases of this function a call did not return"
        for call in sorted(calls):
            if self.deaths[call] >= MAX_DEATHS:
                if call == OUTSIDE:
                    return f"in the last {MAX_DEATHS} cases the implementation did not start, boot or end a system"
                return f"the last {MAX_DEATHS} cases that call {call} ended in it"
            if self.late[call] >= MAX_LATE:
                return f"in {MAX_LATE} cases {call or 'the start or end of a system'} did not return"
        return ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_exception_interact(self, call: pytest.CallInfo[object], node: pytest.Item | pytest.Collector) -> None:
        error = call.excinfo.value if call.excinfo else None
        died = error if isinstance(error, Died) else getattr(error, "died", None)
        is_late = time.monotonic() - self.began >= self.seconds
        if call.when == "call" and died is not None and is_late:
            self.hangs[node.nodeid.partition("[")[0]] += 1
        if not self.calls or self.ended_in is not None:
            return
        if died is None and not is_gone(error):
            return
        recorded = node.config.stash[SETTINGS].backend.last if call.when == "call" else None
        last = recorded.noted[-1] if recorded is not None and recorded.noted else None
        self.ended_in = last[1] if last is not None and last[5] in (error, died) else OUTSIDE
        self.deaths[self.ended_in] += 1
        if is_late:
            self.late[self.ended_in] += 1

    def pytest_runtest_logfinish(self) -> None:
        if self.deaths and self.ended_in != OUTSIDE:
            for call in self.calls - {self.ended_in}:
                del self.deaths[call]  # a Counter raises no error if it is not there
