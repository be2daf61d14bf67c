"""What is told of one run: the data behind every report, made by the run itself or read from a JSON report of one."""

from __future__ import annotations

from dataclasses import dataclass

from ..catalogue.clauses import included, load
from ..catalogue.verdicts import (
    EXPECTED,
    FAIL,
    FLAKY,
    PASS,
    UNRESOLVED,
    UNSUPPORTED,
    VERDICTS,
    CaseResult,
    ClauseResult,
    totals,
)
from ..contract import Facts


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
    judged: tuple[ClauseResult, ...]
    """The clauses that were asked, in the catalogue's order."""
    cases: tuple[CaseResult, ...]
    """All cases, by id; also those that are about no clause."""
    shards: tuple[int, ...] = (1,)
    """Which parts of the cases they are."""
    of: int = 1
    """How many parts there are."""

    @property
    def missing(self) -> int:
        """How many clauses of the level have no case: it was not run, or what it has shown is about other clauses."""
        return max(self.there - len(self.judged), 0)

    @property
    def shard(self) -> str:
        """Which part of the cases it is; empty for all."""
        return f"{', '.join(map(str, self.shards))} of {self.of}" if len(self.shards) < self.of else ""

    @property
    def harness_is_broken(self) -> bool:
        """Whether no case that was asked has come to an end, so that nothing is known of the implementation."""
        came_to = {case.verdict for entry in self.judged for case in entry.cases}
        return UNRESOLVED in came_to and came_to <= {UNRESOLVED, UNSUPPORTED}

    @property
    def good(self) -> bool:
        """Whether no clause fails or is unresolved, and something could be asked."""
        verdicts = {entry.verdict for entry in self.judged}
        return not verdicts & {FAIL, UNRESOLVED} and bool(verdicts & {PASS, EXPECTED, FLAKY})

    @property
    def partial(self) -> bool:
        """Whether it is too little to say that the level is kept, or to say that it is not for all that was run."""
        return self.narrowed or bool(self.shard) or (self.good and self.missing > 0)

    @property
    def statement(self) -> tuple[bool, str]:
        """(whether all is well, what the run has shown)."""
        counts = totals(entry.verdict for entry in self.judged)
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in reversed(VERDICTS) if counts[verdict]) or "none"
        if self.harness_is_broken:
            text = f"the harness is broken: nothing is known of the implementation, no case came to an end: {told}"
            return False, text
        if self.partial:
            part = f"shard {self.shard}" if self.shard else "partial run"
            asked = f"{len(self.judged)} of {self.there} clauses of level {self.level} asked"
            return self.good, f"{part}: {asked}: {told}"
        on_record = counts[EXPECTED] + counts[FLAKY]
        if self.good and on_record:
            return True, f"conforms to level {self.level} but for what is on record of {on_record} clauses: {told}"
        if self.good:
            return True, f"conforms to level {self.level}: {told}"
        missing = f", {self.missing} not judged" if self.missing else ""
        return False, f"does not conform to level {self.level}: {told}{missing}"


def clauses_of(level: str) -> int:
    """How many clauses a level has, those of the levels before it included."""
    levels = included(level)
    return sum(clause.level in levels for clause in load().values())
