"""waiting: the time for which this process was stopped."""

from __future__ import annotations

import time

from pytest_mmapconf.waiting import DELAY, time_stopped


def test_a_wait_that_is_late_was_stopped() -> None:
    stopped = time_stopped(time.monotonic() - 5, 2)

    assert 3 <= stopped < 4


def test_a_small_delay_is_no_stop() -> None:
    assert time_stopped(time.monotonic() - 1, 1) == 0
    assert time_stopped(time.monotonic(), DELAY) == 0
