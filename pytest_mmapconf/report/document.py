"""A run as plain data: the JSON report, from which every other is made."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from .. import verdicts
from ..contract import Facts
from ..verdicts import Case, Judged
from ..version import suite_version


def document(facts: Facts, level: str, judged: Collection[Judged], cases: Collection[Case]) -> dict[str, Any]:
    """The JSON report of a run."""
    about = {**facts.details, "name": facts.name, "version": facts.version}
    return {
        "suite": {"name": "pytest-mmapconf", "version": suite_version()},
        "backend": dict(sorted(about.items())),
        "level": level,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "clauses": [
            {
                "id": entry.clause.id,
                "level": entry.clause.level,
                "group": entry.clause.group,
                "verdict": entry.verdict,
                "reason": entry.reason,
                "cases": [_case(case) for case in entry.cases],
            }
            for entry in sorted(judged, key=lambda entry: entry.clause.id)
        ],
        "totals": verdicts.totals(entry.verdict for entry in judged),
        "cases": verdicts.totals(case.verdict for case in cases),
    }


def _case(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {"id": case.id, "verdict": case.verdict, "reason": case.reason}
    if case.recorded:
        told["recorded"] = dict(sorted(case.recorded.items()))
    if case.reproducer:
        told["reproducer"] = case.reproducer
    return told
