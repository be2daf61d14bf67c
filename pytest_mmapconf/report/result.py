"""The result of one run: the data of every report, made by the run itself or read from its JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

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
from ..version import suite_version
from . import causes


@dataclass(frozen=True)
class Run:
    """One run, or the shards of one."""

    suite: str
    """The suite's version."""
    facts: Facts
    level: str
    date: str
    """The time at which the run ended: ISO 8601, with the offset from UTC."""
    total_clauses: int
    """Number of clauses of the level, including those of the levels that it includes; with a scope, of those asked."""
    narrowed: bool
    """True if cases of the level were left out that are not in another shard either."""
    judged: tuple[ClauseResult, ...]
    """The clauses that have a case in this run, in the catalogue's order."""
    cases: tuple[CaseResult, ...]
    """All cases, ordered by id, including those of no clause."""
    shards: tuple[int, ...] = (1,)
    """Numbers of the shards whose cases these are, from 1."""
    shard_count: int = 1
    """Number of shards that the cases are divided into."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """The observed properties of the system: by name "holds", "does not hold", or why it is not known."""
    scope: str = ""
    """The name of --mmap-scope: only what that promises was asked; empty if everything of the level was."""
    unfinished: str = ""
    """The early end of the run, or the failure at its end, to follow "the run "; empty for a complete run."""

    @property
    def subject(self) -> str:
        """The subject of the statement of conformance, such as "level documented"."""
        return f"scope {self.scope} of level {self.level}" if self.scope else f"level {self.level}"

    @property
    def groups(self) -> list[causes.Group]:
        """The failed and unresolved cases by cause, the largest group first."""
        return causes.groups(self.cases)

    @property
    def missing(self) -> int:
        """Number of clauses of the level that have no case in this run."""
        return max(self.total_clauses - len(self.judged), 0)

    @property
    def shard(self) -> str:
        """Description of the shards, such as "1, 2 of 4"; empty if these are all shards."""
        return (
            f"{', '.join(map(str, self.shards))} of {self.shard_count}" if len(self.shards) < self.shard_count else ""
        )

    @property
    def harness_is_broken(self) -> bool:
        """True if every case is unresolved or unsupported, so that nothing is known of the implementation."""
        verdicts = {case.verdict for entry in self.judged for case in entry.cases}
        return UNRESOLVED in verdicts and verdicts <= {UNRESOLVED, UNSUPPORTED}

    @property
    def passed(self) -> bool:
        """True if no clause fails or is unresolved, and at least one is supported."""
        verdicts = {entry.verdict for entry in self.judged}
        return not (self.unfinished or verdicts & {FAIL, UNRESOLVED}) and bool(verdicts & {PASS, EXPECTED, FLAKY})

    @property
    def partial(self) -> bool:
        """True if the run covered too few clauses to support a statement on the level."""
        return self.narrowed or bool(self.shard) or (self.passed and self.missing > 0)

    @property
    def statement(self) -> tuple[bool, str]:
        """True if the run passed, and the statement of conformance as one line."""
        counts = totals(entry.verdict for entry in self.judged)
        summary = (
            ", ".join(f"{counts[verdict]} {verdict}" for verdict in reversed(VERDICTS) if counts[verdict]) or "none"
        )
        if self.unfinished:
            asked = f"some cases of {len(self.judged)} of {self.total_clauses} clauses of level {self.level} asked"
            return False, f"no statement, as the run {self.unfinished}: {asked}: {summary}"
        if self.harness_is_broken:
            text = f"the harness is broken: nothing is known of the implementation, no case was completed: {summary}"
            return False, text
        if self.partial:
            part = f"shard {self.shard}" if self.shard else "partial run"
            asked = f"{len(self.judged)} of {self.total_clauses} clauses of {self.subject} asked"
            if not self.missing and not self.shard:
                asked = f"of all {self.total_clauses} clauses of {self.subject} some cases asked, others not"
            return self.passed, f"{part}: {asked}: {summary}"
        on_record = counts[EXPECTED] + counts[FLAKY]
        if self.passed and on_record:
            return (
                True,
                f"conforms to {self.subject} except for deviations on record of {on_record} clauses: {summary}",
            )
        if self.passed:
            return True, f"conforms to {self.subject}: {summary}"
        missing = f", {self.missing} not judged" if self.missing else ""
        return False, f"does not conform to {self.subject}: {summary}{missing}"


def run_without_results(backend: str, level: str) -> Run:
    """Return a run of which nothing is known but that it began."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    reason = "has not ended, or was killed"
    return Run(suite_version(), Facts(backend), level, date, clauses_of(level), True, (), (), unfinished=reason)


def clauses_of(level: str) -> int:
    """Return the number of clauses of a level, including those of the levels that it includes."""
    levels = included(level)
    return sum(clause.level in levels for clause in load().values())
