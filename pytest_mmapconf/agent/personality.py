"""Address randomisation of the processes that are started.

Without it a random program that has failed fails again, and the addresses in reports are equal from run to run.  The
personality of a process survives fork and exec, so the one who starts the agent sets it: an agent that executes itself
again to that end would leave the emulator that runs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

ADDR_NO_RANDOMIZE: Final = 0x0040000
"""From sys/personality.h."""

UNCHANGED: Final = 0xFFFFFFFF
"""The argument with which personality(2) only returns the present value."""


@contextlib.contextmanager
def without_address_randomisation() -> Iterator[None]:
    """Let the processes that this thread starts have no address randomisation, where the system permits that."""
    try:
        import ctypes  # slow to import, and only needed where an agent is started

        personality = ctypes.CDLL(None).personality
        before = personality(ctypes.c_ulong(UNCHANGED))
    except (ImportError, OSError, AttributeError):  # no ctypes, or no such call
        yield
        return
    changed = before != -1 and personality(ctypes.c_ulong(before | ADDR_NO_RANDOMIZE)) != -1
    try:
        yield
    finally:
        if changed:
            personality(ctypes.c_ulong(before))
