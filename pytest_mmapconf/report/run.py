"""What is told of one run: the data behind every report, made by the run itself or read from a JSON report of one."""

from __future__ import annotations

from dataclasses import dataclass

from ..contract import Facts
from ..verdicts import Case, Judged
from . import terminal


@dataclass(frozen=True)
class Run:
    """One run, or the shards of one."""

    suite: str
    """The suite's version."""
    facts: Facts
    level: str
    date: str
    """When it ended: ISO 8601, with the offset from UTC."""
    there: int
    """How many clauses the level has, those of the levels before it included."""
    narrowed: bool
    """Whether cases of the level were left out, other than for other shards to run."""
    judged: tuple[Judged, ...]
    """The clauses that were asked, in the catalogue's order."""
    cases: tuple[Case, ...]
    """All cases, by id; also those that are about no clause."""
    shards: tuple[int, ...] = (1,)
    """Which parts of the cases they are."""
    of: int = 1
    """How many parts there are."""

    @property
    def partial(self) -> bool:
        """Whether it cannot say that the level is kept."""
        return self.narrowed or len(self.judged) < self.there or len(self.shards) < self.of

    @property
    def statement(self) -> tuple[bool, str]:
        """(whether all is well, what the run has shown)."""
        return terminal.statement(self.level, self.partial, self.judged, self.there, self.shard)

    @property
    def shard(self) -> str:
        """Which part of the cases it is; empty for all."""
        return f"{', '.join(map(str, self.shards))} of {self.of}" if len(self.shards) < self.of else ""

    @property
    def harness_is_broken(self) -> bool:
        """Whether it says nothing of the implementation."""
        return terminal.harness_is_broken(self.judged)
