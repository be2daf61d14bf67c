"""What a run of the installed suite told, and how to let other users run it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def open_to_all(folder: Path) -> None:
    """Let other users read what is in `folder`, and pass through the folders above it that pytest made."""
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    for parent in folder.parents:
        parent.chmod(parent.stat().st_mode | 0o011)
        if parent.name.startswith("pytest-of-"):
            break


NOBODY = 65534
"""An ordinary user."""


@dataclass
class Run:
    """A finished pytest run and the report that it wrote."""

    status: int
    output: str
    report: dict[str, Any]

    @property
    def verdicts(self) -> dict[str, str]:
        """Verdict by clause id."""
        return {clause["id"]: clause["verdict"] for clause in self.report["clauses"]}

    @property
    def case_verdicts(self) -> dict[str, str]:
        """Verdict by case id."""
        return {case["id"]: case["verdict"] for clause in self.report["clauses"] for case in clause["cases"]}

    def with_verdict(self, verdict: str) -> set[str]:
        """The clauses with this verdict."""
        return {clause for clause, seen in self.verdicts.items() if seen == verdict}
