"""The result of a run of the installed suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ORDINARY_USER = 65534
"""An unprivileged user."""

WITHOUT_TOUR = ("-m", "not mmap_tour")
"""Arguments that leave out the tour, which is thousands of cases of one kind."""


@dataclass
class Run:
    """A finished pytest run and the report that it wrote."""

    status: int
    output: str
    report: dict[str, Any]

    @property
    def verdicts(self) -> dict[str, str]:
        """Verdicts by clause id."""
        return {clause["id"]: clause["verdict"] for clause in self.report["clauses"]}

    @property
    def case_verdicts(self) -> dict[str, str]:
        """Verdicts by case id."""
        return {case["id"]: case["verdict"] for case in self.report["cases"]}

    def with_verdict(self, verdict: str) -> set[str]:
        """Return the clauses with this verdict."""
        return {clause for clause, seen in self.verdicts.items() if seen == verdict}
