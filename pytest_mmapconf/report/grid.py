"""The grid of mmap's matrix in a report: the expected outcome and the verdict of each protection, type and object.

The cases are those of `conformance/mmap_matrix.py`, recognised by their ids; `catalogue.mmap_matrix` has the expected
outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..catalogue.mmap_matrix import CASE_ID, PROTECTIONS, ROWS, expected_errors
from ..catalogue.verdicts import VERDICTS, CaseResult
from .result import Run


class Field(NamedTuple):
    """One call."""

    verdict: str
    expected: str
    """ "maps", or the errnos."""
    cases: list[CaseResult]


class Line(NamedTuple):
    """One type over one object: for each of PROTECTIONS, without and with MAP_FIXED; None for what was not asked."""

    kind: str
    thing: str
    fields: list[tuple[Field | None, Field | None]]


def grid(run: Run) -> list[Line]:
    """The lines of the matrix; none where none of its cases was run."""
    found: dict[tuple[str, ...], list[CaseResult]] = {}
    for case in run.cases:
        if match := CASE_ID.fullmatch(case.id):
            rights, kind, thing, fixed = match.groups("")
            found.setdefault((kind, thing, rights, fixed), []).append(case)
    if not found:
        return []

    def field(kind: str, thing: str, rights: str, fixed: str) -> Field | None:
        cases = found.get((kind, thing, rights, fixed), [])
        expected = expected_errors(rights, kind, thing) or "maps"
        return Field(gravest(cases), expected, cases) if cases else None

    return [
        Line(
            kind,
            thing,
            [(field(kind, thing, rights, ""), field(kind, thing, rights, "-fixed")) for rights in PROTECTIONS],
        )
        for kind, thing in ROWS
    ]


def gravest(cases: Sequence[CaseResult]) -> str:
    """The verdict that deserves attention first."""
    return min((case.verdict for case in cases), key=VERDICTS.index)
