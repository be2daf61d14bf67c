"""The results of a case, of a clause, of a run.  Plain data and plain functions.

A case's verdict is one of

* pass: the implementation keeps its promise;
* fail: it breaks its promise;
* unsupported: the case cannot run on it; the reason says why;
* unresolved: the suite could not judge (set-up failed, the implementation died or did not answer in time);
* expected: a deviation on record (an xfail mark, an entry in a file of expectations).  A pass where one is on record is
  a failure;
* flaky: on record as a case whose result varies.

A clause's verdict is that of its cases: one failure fails it, however many pass; and as a promise may have several
causes, not all of which every system can provoke, it passes when at least one case passes and none says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..contract import BACKEND_LACKS
from .clauses import Clause

PASS: Final = "pass"
FAIL: Final = "fail"
UNSUPPORTED: Final = "unsupported"
UNRESOLVED: Final = "unresolved"
EXPECTED: Final = "expected"
FLAKY: Final = "flaky"

VERDICTS: Final = (FAIL, UNRESOLVED, FLAKY, UNSUPPORTED, EXPECTED, PASS)
"""All verdicts, the most urgent first."""

CLAUSE_ORDER: Final = (FAIL, UNRESOLVED, EXPECTED, FLAKY, PASS, UNSUPPORTED)
"""The precedence of verdicts: a clause has the first of these that one of its cases has."""

RANK: Final = {name: rank for rank, name in enumerate((FAIL, UNRESOLVED, UNSUPPORTED, EXPECTED, FLAKY, PASS))}
"""The precedence of verdicts: a case has the first of these that one of its phases (set-up, call, teardown) has."""


@dataclass
class CaseResult:
    """The result of one case."""

    id: str
    clauses: tuple[str, ...]
    verdict: str = PASS
    reason: str = ""
    recorded: dict[str, Any] = field(default_factory=dict)
    reproducer: list[str] = field(default_factory=list)
    """The files that reproduce its failure."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The evidence of its failure, as plain data (`report/schema.json`)."""
    expected: dict[str, Any] = field(default_factory=dict)
    """The expectation that applies to it: file, number, verdict, reason, link of the entry; empty for none."""
    observed: tuple[str, str] = (PASS, "")
    """Its verdict and reason, regardless of expectations."""
    cause: dict[str, str] = field(default_factory=dict)
    """The call that caused its failure, and what that answered, as plain data (`report/schema.json`)."""
    program: str = ""
    """For a random case that failed: the program that shows the failure, as JSON."""

    def add(self, verdict: str, reason: str) -> None:
        """Add the verdict of another phase."""
        if RANK[verdict] < RANK[self.verdict]:
            self.verdict, self.reason = verdict, reason

    def add_observed(self, verdict: str, reason: str) -> None:
        """Add the verdict of another phase, regardless of expectations."""
        if RANK[verdict] < RANK[self.observed[0]]:
            self.observed = verdict, reason


@dataclass(frozen=True)
class ClauseResult:
    """The result of one clause."""

    clause: Clause
    verdict: str
    reason: str
    cases: tuple[CaseResult, ...]

    @property
    def causes_not_asked(self) -> tuple[CaseResult, ...]:
        """The unsupported cases of a clause that passes."""
        return tuple(case for case in self.cases if case.verdict == UNSUPPORTED) if self.verdict == PASS else ()


def judge(clause: Clause, cases: Iterable[CaseResult]) -> ClauseResult:
    """Return the result of a clause from its cases, at least one."""
    cases = tuple(sorted(cases, key=lambda case: case.id))
    verdict = next(verdict for verdict in CLAUSE_ORDER if any(case.verdict == verdict for case in cases))
    explained = UNSUPPORTED if verdict == PASS else verdict
    return ClauseResult(clause, verdict, reasons(case for case in cases if case.verdict == explained), cases)


def judge_all(clauses: Mapping[str, Clause], cases: Iterable[CaseResult]) -> list[ClauseResult]:
    """Return the results of the clauses that some case judges, in the catalogue's order."""
    asked: dict[str, list[CaseResult]] = {}
    for case in cases:
        for id in case.clauses:
            asked.setdefault(id, []).append(case)
    return [judge(clause, asked[id]) for id, clause in clauses.items() if id in asked]


def reasons(cases: Iterable[CaseResult], most: int = 3) -> str:
    """Return the different reasons of the cases in one line: the first `most`, and the number of the others."""
    different = list(dict.fromkeys(case.reason for case in cases if case.reason))
    lacking = [reason.removeprefix(BACKEND_LACKS) for reason in different if reason.startswith(BACKEND_LACKS)]
    listed = [reason for reason in different if not reason.startswith(BACKEND_LACKS)]
    if lacking:
        listed.insert(0, BACKEND_LACKS + ", no ".join(lacking))
    more = f"; and {len(listed) - most} more" if len(listed) > most else ""
    return "; ".join(listed[:most]) + more


def totals(verdicts: Iterable[str]) -> dict[str, int]:
    """Return the number of each verdict, zeros included."""
    counted = Counter(verdicts)
    return {verdict: counted[verdict] for verdict in VERDICTS}
