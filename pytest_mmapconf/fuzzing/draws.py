"""The bytes of a step: each byte decides one choice, and zero always selects the simplest option.

A step is a string of `STEP` bytes, and a program a string of steps.  To shrink a program is therefore to make bytes
smaller and steps zero, without any knowledge of calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

STEP: Final = 20
"""Length of a step, in bytes."""


class Draws:
    """The bytes of a step, consumed one by one; zeros after the last one."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1; `limit` is at most 256."""
        at = self.at
        self.at = at + 1
        return self.data[at] % limit if at < len(self.data) else 0

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options; the first is the simplest."""
        return options[self.below(len(options))]

    def one_in(self, times: int) -> bool:
        """Return True once in `times` draws, never for a zero."""
        return self.below(times) == times - 1
