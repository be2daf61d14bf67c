"""A pytest plugin that records the duration of a run's tests, from the end of collection to the end of the last one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

_began = 0.0
_tests = 0


def pytest_collection_finish(session: pytest.Session) -> None:
    global _began, _tests
    _tests = len(session.items)
    _began = time.perf_counter()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    seconds = time.perf_counter() - _began
    result = {"tests": _tests, "seconds": seconds, "exit": int(exitstatus)}
    Path(os.environ["STOPWATCH"]).write_text(json.dumps(result))
