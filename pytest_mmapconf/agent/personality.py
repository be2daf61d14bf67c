"""The personality of the processes that are started: no address randomisation, no habits of other systems.

Without randomisation a random program that has failed fails again, and the addresses in reports are equal from run to
run.  The personality of a process survives fork and exec, so the one who starts the agent sets it: an agent that
executes itself again to that end would leave the emulator that runs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

# From sys/personality.h.
ADDR_NO_RANDOMIZE: Final = 0x0040000
MMAP_PAGE_ZERO: Final = 0x0100000
"""Page 0 is mapped at exec, as System V has it; the cases access NULL."""
READ_IMPLIES_EXEC: Final = 0x0400000
"""Pages that can be read can be executed, as on processors without a bit for it."""

UNCHANGED: Final = 0xFFFFFFFF
"""The argument with which personality(2) only returns the present value."""


@contextlib.contextmanager
def plain_personality() -> Iterator[None]:
    """Let the processes that this thread starts have Linux's personality without address randomisation, if permitted.

    `setarch` may have given this process another one: it is of the user's shell, and not of the system that is judged.
    """
    try:
        import ctypes  # slow to import, and only needed where an agent is started

        personality = ctypes.CDLL(None).personality
        before = personality(ctypes.c_ulong(UNCHANGED))
    except (ImportError, OSError, AttributeError):  # no ctypes, or no such call
        yield
        return
    wanted = (before | ADDR_NO_RANDOMIZE) & ~(MMAP_PAGE_ZERO | READ_IMPLIES_EXEC)
    changed = before != -1 and personality(ctypes.c_ulong(wanted)) != -1
    try:
        yield
    finally:
        if changed:
            personality(ctypes.c_ulong(before))
