"""The bytes of a step: each decides one thing, zeros always the simplest one.

A step is a string of `STEP` bytes, and a program a string of steps, so whoever shrinks a program makes bytes smaller
and steps zeros, and needs to know nothing of calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

STEP: Final = 20
"""Bytes of a step."""


class Digits:
    """The bytes of a step, taken one by one; when there are no more, zeros."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def below(self, limit: int) -> int:
        """From 0 to before `limit`, at most 256."""
        at = self.at
        self.at = at + 1
        return self.data[at] % limit if at < len(self.data) else 0

    def of(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.below(len(options))]

    def once_in(self, times: int) -> bool:
        """Rarely so."""
        return self.below(times) == times - 1
