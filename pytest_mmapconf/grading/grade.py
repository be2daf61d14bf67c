"""The points of one report.

* Each clause of a row counts alike, and earns the share of its cases that pass.
* The cases that count are those that a model solution passes.
* One cause costs points in one row only: in the row where it costs most.  In another row its cases do not count, unless
  most of what that row asks for fails: such a row earns what it passes and no more.
* An unresolved case earns nothing, and is counted apart: the grade may rise by `open` points once it is judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..catalogue.tables import matches
from ..catalogue.verdicts import FAIL, PASS, UNRESOLVED, CaseResult
from ..report.result import Run
from .points import Row

OWN: Final = ("reference", "mutant:")
"""The beginnings of names of backends that come with the suite and are no student's solution."""

Cause: TypeAlias = str
Cases: TypeAlias = Mapping[str, Sequence[CaseResult]]
"""The cases of a row that count, by clause."""


class NoGrade(Exception):
    """A report cannot be graded; the message says why."""


@dataclass(frozen=True)
class Loss:
    """The cost of one cause, in points."""

    cause: str
    row: str
    points: float
    cases: tuple[str, ...]
    """The ids of all cases that it fails."""


@dataclass(frozen=True)
class Grade:
    """The points of one report."""

    earned: Mapping[str, float]
    """By the name of the row."""
    losses: tuple[Loss, ...]
    """The greatest first."""
    open: float
    """The points of cases that could not be judged."""
    unresolved: int
    """The number of these cases."""

    @property
    def total(self) -> float:
        return sum(self.earned.values())


def check(run: Run, scope: str) -> None:
    """Raise NoGrade for a report that cannot be graded, or was not made with this scope."""
    about = (run.facts.name, *run.facts.details.values())
    if any(text.startswith(OWN) or text.endswith("reference.backend:ReferenceBackend") for text in about):
        raise NoGrade(f"it judges {run.facts.name}, which comes with the suite")
    if run.scope != scope:
        raise NoGrade(f"it was made with {describe(run.scope)}, not with {describe(scope)}")
    if run.narrowed or run.shard:
        raise NoGrade("cases were left out: it is of a partial run")
    if not run.cases or run.harness_is_broken:
        raise NoGrade("no case could be judged")


def describe(scope: str) -> str:
    return f"--mmap-scope={scope}" if scope else "no --mmap-scope"


def counted_cases(runs: Iterable[Run]) -> frozenset[str]:
    """Return the ids of the cases that one of these runs has passed: what a model solution passes."""
    return frozenset(case.id for run in runs for case in run.cases if case.verdict == PASS)


def grade(run: Run, rows: Sequence[Row], counted: Collection[str]) -> Grade:
    """Return the points of a run; `counted` are the ids of the cases that count."""
    found = {row.name: cases for row, cases in zip(rows, cases_of_rows(run, rows, counted), strict=True)}
    points = {row.name: row.points for row in rows}
    losses = charge(found, points)
    charged = {loss.cause: loss.row for loss in losses}
    earned, open_points = {}, 0.0
    for row, cases in found.items():
        is_mostly_passed = share(cases) >= 0.5
        excused = {cause for cause, at in charged.items() if at != row} if is_mostly_passed else set()
        earned[row] = points[row] * share(cases, excused)
        unresolved = [case for of in cases.values() for case in of if case.verdict == UNRESOLVED]
        open_points += points[row] * cost(cases, {case.id for case in unresolved})
    number = len({case.id for of in found.values() for cs in of.values() for case in cs if case.verdict == UNRESOLVED})
    return Grade(earned, tuple(losses), open_points, number)


def cases_of_rows(run: Run, rows: Sequence[Row], counted: Collection[str]) -> list[Cases]:
    """Return the cases of each row that count, by clause.  A clause is in the first row that names it."""
    by_clause: dict[str, list[CaseResult]] = {}
    for case in run.cases:
        for id in case.clauses:
            if case.id in counted:
                by_clause.setdefault(id, []).append(case)
    found: list[Cases] = []
    for row in rows:
        ids = [id for id in by_clause if matches(row.clauses, id)]
        found.append({id: by_clause.pop(id) for id in ids})
    return found


def cause_of(case: CaseResult) -> Cause | None:
    """Return the cause of a failure: what has shown it, or else the call with its answer; None if it has not failed."""
    if case.verdict != FAIL:
        return None
    if not case.cause:
        return case.reason
    return case.cause.get("shown by") or f"{case.cause['call']} → {case.cause['answer']}"


def charge(rows: Mapping[str, Cases], points: Mapping[str, float]) -> list[Loss]:
    """Return for each cause the row where it costs most, and what it costs there; the greatest loss first."""
    causes: dict[Cause, dict[str, None]] = {}
    for cases in rows.values():
        for of in cases.values():
            for case in of:
                if (cause := cause_of(case)) is not None:
                    causes.setdefault(cause, {})[case.id] = None
    losses = []
    for cause, ids in causes.items():
        costs = {row: points[row] * cost(cases, ids) for row, cases in rows.items()}
        worst = max(costs, key=lambda row: costs[row])
        losses.append(Loss(cause, worst, costs[worst], tuple(ids)))
    return sorted(losses, key=lambda loss: -loss.points)


def cost(cases: Cases, ids: Collection[str]) -> float:
    """Return the share of a row that these cases are worth."""
    return sum(sum(case.id in ids for case in of) / len(of) for of in cases.values()) / max(len(cases), 1)


def share(cases: Cases, excused: Collection[Cause] = ()) -> float:
    """Return the share of a row that is earned; the cases that fail for the causes `excused` do not count."""
    shares = []
    for of in cases.values():
        counting = [case for case in of if cause_of(case) not in excused]
        if counting:
            shares.append(sum(case.verdict == PASS for case in counting) / len(counting))
    return sum(shares) / len(shares) if shares else 0.0
