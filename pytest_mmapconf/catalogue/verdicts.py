"""What came out: of a case, of a clause, of a run.  Plain data and plain functions.

A case's verdict is one of

* pass: the implementation kept its promise;
* fail: it broke it;
* unsupported: it cannot be asked, and why;
* unresolved: the suite could not tell (set-up failed, the implementation died or hangs);
* expected: a deviation on record (an xfail mark, an entry in a file of expectations).  A pass where one is on record is
  a failure;
* flaky: on record as one that comes to this or that.

A clause's verdict is that of its cases: one failure fails it, however many pass; and as a promise may have several
causes, not all of which every system can provoke, it passes when at least one case passes and none says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .clauses import Clause

PASS: Final = "pass"
FAIL: Final = "fail"
UNSUPPORTED: Final = "unsupported"
UNRESOLVED: Final = "unresolved"
EXPECTED: Final = "expected"
FLAKY: Final = "flaky"

VERDICTS: Final = (FAIL, UNRESOLVED, FLAKY, UNSUPPORTED, EXPECTED, PASS)
"""All verdicts, what deserves attention first."""

CLAUSE_ORDER: Final = (FAIL, UNRESOLVED, EXPECTED, FLAKY, PASS, UNSUPPORTED)
"""A clause has the first of these that one of its cases has."""

RANK: Final = {name: rank for rank, name in enumerate((FAIL, UNRESOLVED, UNSUPPORTED, EXPECTED, FLAKY, PASS))}
"""A case has the first of these that one of its phases (set-up, call, teardown) has."""


@dataclass
class CaseResult:
    """What came out of one case."""

    id: str
    clauses: tuple[str, ...]
    verdict: str = PASS
    reason: str = ""
    recorded: dict[str, Any] = field(default_factory=dict)
    reproducer: list[str] = field(default_factory=list)
    """The files that show how it failed."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """What was seen where it failed, as plain data (`report/schema.json`)."""
    expected: dict[str, Any] = field(default_factory=dict)
    """What is on record of it: file, number, verdict, reason, link of the entry; empty for nothing."""
    seen: tuple[str, str] = (PASS, "")
    """What it came to, whatever is on record: verdict and reason."""
    program: str = ""
    """Of a random case that failed: the program that shows it, as JSON."""

    def add(self, verdict: str, reason: str) -> None:
        """What another phase of it came to."""
        if RANK[verdict] < RANK[self.verdict]:
            self.verdict, self.reason = verdict, reason

    def add_observed(self, verdict: str, reason: str) -> None:
        """What another phase of it came to, whatever is on record."""
        if RANK[verdict] < RANK[self.seen[0]]:
            self.seen = verdict, reason


@dataclass(frozen=True)
class ClauseResult:
    """What came out of one clause."""

    clause: Clause
    verdict: str
    reason: str
    cases: tuple[CaseResult, ...]

    @property
    def causes_not_asked(self) -> tuple[CaseResult, ...]:
        """The cases that could not be asked although the clause passes."""
        return tuple(case for case in self.cases if case.verdict == UNSUPPORTED) if self.verdict == PASS else ()


def judge(clause: Clause, cases: Iterable[CaseResult]) -> ClauseResult:
    """The verdict on a clause by its cases, of which there is at least one."""
    cases = tuple(sorted(cases, key=lambda case: case.id))
    verdict = next(verdict for verdict in CLAUSE_ORDER if any(case.verdict == verdict for case in cases))
    told = UNSUPPORTED if verdict == PASS else verdict
    return ClauseResult(clause, verdict, reasons(case for case in cases if case.verdict == told), cases)


def judge_all(clauses: Mapping[str, Clause], cases: Iterable[CaseResult]) -> list[ClauseResult]:
    """The verdicts on those clauses that were asked, in the catalogue's order."""
    asked: dict[str, list[CaseResult]] = {}
    for case in cases:
        for id in case.clauses:
            asked.setdefault(id, []).append(case)
    return [judge(clause, asked[id]) for id, clause in clauses.items() if id in asked]


LACKS: Final = "the backend has no "
"""How `contract` says that a backend leaves something out."""


def reasons(cases: Iterable[CaseResult], most: int = 3) -> str:
    """The different reasons of some cases in one line: the first few, and how many more there are."""
    different = list(dict.fromkeys(case.reason for case in cases if case.reason))
    lacking = [reason.removeprefix(LACKS) for reason in different if reason.startswith(LACKS)]
    told = [reason for reason in different if not reason.startswith(LACKS)]
    if lacking:
        told.insert(0, LACKS + ", no ".join(lacking))
    more = f"; and {len(told) - most} more" if len(told) > most else ""
    return "; ".join(told[:most]) + more


def totals(verdicts: Iterable[str]) -> dict[str, int]:
    """How many there are of each verdict; all verdicts are named."""
    counted = Counter(verdicts)
    return {verdict: counted[verdict] for verdict in VERDICTS}
