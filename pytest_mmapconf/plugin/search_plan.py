"""The plan of a long search: its parts, each of which is a test, so that pytest-xdist spreads them over workers.

The parts depend on the options and the number of workers alone, so every worker collects the same ones.  Which programs
a part runs is determined by the seed and the number of the part.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

STEPS_OF_A_PART: Final = 1000
"""Steps of a part of --mmap-steps, as long as there are no more than MOST_PARTS."""

MOST_PARTS: Final = 5000
"""The largest number of parts: pytest keeps a report of each."""

SLICES: Final = 60
"""The parts of --mmap-for that follow each other in one worker, as long as a part takes 1 to LONGEST seconds."""

LONGEST: Final = 20.0
"""Seconds of the longest part: the counts of a part that is interrupted in a worker are lost."""


class Part(NamedTuple):
    """One part of a search; one of `steps`, `seconds` and `depth` is set."""

    number: int
    """From 0; with --mmap-findings, after the parts that were run before."""
    of: int
    """The number of parts in this run."""
    steps: int = 0
    """The steps that it makes; 0 for no limit."""
    seconds: float = 0
    """The duration of the search, in seconds; 0 for no limit."""
    depth: int = 0
    """The calls that lead to a state, of an exhaustive search; 0 for random programs."""

    @property
    def id(self) -> str:
        """The parameter in the id of the case."""
        return f"exhaustive-{self.number + 1}" if self.depth else f"part-{self.number + 1}"


class Plan(NamedTuple):
    """The options of a search."""

    steps: int = 0
    """--mmap-steps."""
    seconds: float = 0
    """--mmap-for."""
    depth: int = 0
    """--mmap-exhaustive."""
    most: int = 0
    """--mmap-max-findings."""
    folder: str = ""
    """--mmap-findings, as the user named it."""

    @property
    def is_long(self) -> bool:
        """True if a search was asked for, and not the usual short series of programs."""
        return bool(self.steps or self.seconds or self.depth)

    def parts(self, workers: int, first: int = 0) -> Sequence[Part]:
        """Return the parts, numbered from `first` on."""
        if self.depth:
            number = EXHAUSTIVE_PARTS
            return [Part(at, number, depth=self.depth) for at in range(number)]
        if self.seconds:
            each = min(max(self.seconds / SLICES, 1.0), LONGEST)
            number = max(1, round(self.seconds / each)) * workers
            return [Part(first + at, number, seconds=self.seconds * workers / number) for at in range(number)]
        each_steps = max(STEPS_OF_A_PART, ceil(self.steps / MOST_PARTS / STEPS_OF_A_PART) * STEPS_OF_A_PART)
        number = ceil(self.steps / each_steps)
        return [Part(first + at, number, min(each_steps, self.steps - at * each_steps)) for at in range(number)]


NO_SEARCH: Final = Plan()
"""No search was asked for."""

EXHAUSTIVE_PARTS: Final = 64
"""The parts of an exhaustive search; each has an equal share of the states."""
