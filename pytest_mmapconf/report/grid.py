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
    """A field of the grid: one call of mmap."""

    verdict: str
    expected: str
    """ "maps", or the expected errnos."""
    cases: list[CaseResult]


class Line(NamedTuple):
    """A line of the grid: a mapping type and an object.

    `fields` has a pair for each of PROTECTIONS: without and with MAP_FIXED; None for a call that no case made.
    """

    kind: str
    thing: str
    fields: list[tuple[Field | None, Field | None]]


def grid(run: Run) -> list[Line]:
    """Return the lines of the matrix; none if none of its cases was run."""
    by_field: dict[tuple[str, ...], list[CaseResult]] = {}
    for case in run.cases:
        if match := CASE_ID.fullmatch(case.id):
            protection, kind, thing, fixed = match.groups("")
            by_field.setdefault((kind, thing, protection, fixed), []).append(case)
    if not by_field:
        return []

    def field(kind: str, thing: str, protection: str, fixed: str) -> Field | None:
        cases = by_field.get((kind, thing, protection, fixed), [])
        expected = expected_errors(protection, kind, thing) or "maps"
        return Field(gravest(cases), expected, cases) if cases else None

    return [
        Line(
            kind,
            thing,
            [(field(kind, thing, prot, ""), field(kind, thing, prot, "-fixed")) for prot in PROTECTIONS],
        )
        for kind, thing in ROWS
    ]


def gravest(cases: Sequence[CaseResult]) -> str:
    """Return the gravest of the verdicts of some cases."""
    return min((case.verdict for case in cases), key=VERDICTS.index)
