"""All the steps together, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .access_steps import AccessSteps
from .digits import Digits
from .file_steps import FileSteps
from .life_steps import LifeSteps
from .mapping_steps import MappingSteps
from .state import Actor


class World(MappingSteps, AccessSteps, FileSteps, LifeSteps):
    """What a program acts in.

    Each step is a method, given an actor and the digits of the step; it makes one call, or a few more where a file or
    descriptor is missing.
    """

    def step(self, data: bytes) -> None:
        """Make the step that `data` stands for; zeros for none.  Raises Divergence and what keeps from telling."""
        digits = Digits(data)
        kind = digits.below(256)
        if kind:
            name = STEPS[(kind - 1) % len(STEPS)]
            if name == SELDOM:
                name = digits.of(RARE)
            if self.level != "linux" and name in PARTIAL:
                name = "munmap"
            method: Callable[[Actor, Digits], None] = getattr(self, name)
            method(digits.of(self.actors), digits)


PARTIAL: Final = ("mprotect", "mlock", "mlock2", "munlock", "mlockall", "munlockall", "madvise")
"""The steps that can fail half-way, what is done then being known for Linux only."""

SELDOM: Final = "seldom"
"""Stands for one of the rare steps."""

RARE: Final = (
    "memfd",
    "memfd",
    "memfd",
    "drop",
    "limit",
    "mlockall",
    "mlock2",
    "munlockall",
    "mincore",
    "exec",
    "spawn",
    "together",
    "full_file_table",
    "flock",
    "record_lock",
    "watch",
    "lseek",
    "fstat",
    "evict",
    "elsewhere",
    "elsewhere",
    "crash",
)
"""The steps that are drawn seldom, because they cost much or few clauses hang on them."""

STEPS: Final = (
    *("mmap",) * 7,
    *("store",) * 5,
    *("load",) * 4,
    *("munmap",) * 3,
    *("mremap",) * 3,
    *("pwrite",) * 2,
    *("pread",) * 2,
    *("msync",) * 2,
    *("mprotect",) * 2,
    *("ftruncate",) * 2,
    *("fork",) * 3,
    *("open",) * 2,
    "close",
    "dup",
    "unlink",
    "exit",
    "mlock",
    "munlock",
    "execute",
    "sysconf",
    "fsync",
    "madvise",
    "madvise",
    "read_into",
    "write_from",
    *(SELDOM,) * 4,
)
"""The steps, each as often as it is drawn."""
