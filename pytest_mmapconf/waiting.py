"""Time limits of a process that may be stopped: SIGSTOP, Ctrl-Z, a machine that gives it no processor for a while.

The system under test is often stopped as well, and cannot be judged by that time: limits are extended by it.
"""

from __future__ import annotations

import time
from typing import Final

DELAY: Final = 0.5
"""Seconds by which any wait may be late."""


def time_stopped(began: float, wait: float) -> float:
    """Return the seconds for which this process did not run during a wait; 0 if it ran, but for `DELAY`.

    `began`: the monotonic time at which the wait began.  `wait`: the seconds after which it should have ended at the
    latest.
    """
    late = time.monotonic() - began - wait
    return late if late > DELAY else 0.0
