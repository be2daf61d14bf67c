"""A run as JSON: everything that is told of it, each thing once.  `schema.json` says what each name means."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from ..verdicts import Case, Judged, totals
from .run import Run

FORMAT: Final = 1
"""Grows when what there was before changes its meaning."""

OF_A_CLAUSE: Final = ("id", "level", "group", "text", "observed", "source", "linux")
"""What is taken from the catalogue."""


def document(run: Run) -> dict[str, Any]:
    """The JSON report of a run."""
    about = {**run.facts.details, "name": run.facts.name, "version": run.facts.version}
    good, text = run.statement
    return {
        "format": FORMAT,
        "suite": {"name": "pytest-mmapconf", "version": run.suite},
        "backend": dict(sorted(about.items())),
        "level": run.level,
        "date": run.date,
        "statement": {"good": good, "text": text},
        "narrowed": run.narrowed,
        "totals": {
            "clauses": totals(entry.verdict for entry in run.judged),
            "cases": totals(case.verdict for case in run.cases),
            "level": run.there,
        },
        "clauses": [_clause(entry) for entry in run.judged],
        "cases": [_case(case) for case in run.cases],
    }


def _clause(entry: Judged) -> dict[str, Any]:
    about = asdict(entry.clause)
    return {
        **{name: about[name] for name in OF_A_CLAUSE if about[name]},
        "verdict": entry.verdict,
        "reason": entry.reason,
        "cases": [case.id for case in entry.cases],
    }


def _case(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": case.id,
        "clauses": list(case.clauses),
        "verdict": case.verdict,
        "reason": case.reason,
    }
    if case.expected:
        told["on record"] = {**case.expected, "seen": {"verdict": case.seen[0], "reason": case.seen[1]}}
    if case.recorded:
        told["recorded"] = dict(sorted(case.recorded.items()))
    if case.reproducer:
        told["reproducer"] = case.reproducer
    if case.evidence:
        told["evidence"] = case.evidence
    return told
