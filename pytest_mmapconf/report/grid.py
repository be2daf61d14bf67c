"""The matrix of protections, types and objects, as it came out: a grid of what each call should come to, and did.

The cases are those of `conformance/mmap_matrix.py`, told by their ids; what they expect is that module's table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..catalogue.verdicts import VERDICTS, Case
from .result import Run

CASE: Final = re.compile(r"mmap_matrix\.\w+\[([r-][w-][x-])-([a-z]+)-([a-z]+)(-fixed)?\]")
"""Rights, type, object, and whether with MAP_FIXED."""

RIGHTS: Final = ("---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx")


class Field(NamedTuple):
    """One call."""

    verdict: str
    expected: str
    """ "maps", or the errnos."""
    cases: list[Case]


class Line(NamedTuple):
    """One type over one object: for each of RIGHTS, without and with MAP_FIXED; None for what was not asked."""

    kind: str
    thing: str
    fields: list[tuple[Field | None, Field | None]]


def grid(run: Run) -> list[Line]:
    """The lines of the matrix; none where none of its cases was run."""
    found: dict[tuple[str, ...], list[Case]] = {}
    for case in run.cases:
        if match := CASE.fullmatch(case.id):
            rights, kind, thing, fixed = match.groups("")
            found.setdefault((kind, thing, rights, fixed), []).append(case)
    if not found:
        return []
    from ..conformance.mmap_matrix import TABLE

    def field(kind: str, thing: str, rights: str, fixed: str) -> Field | None:
        cases = found.get((kind, thing, rights, fixed), [])
        row = TABLE[kind, thing]
        errors = row.with_write if "w" in rights else row.without_write
        return Field(gravest(cases), errors or "maps", cases) if cases else None

    return [
        Line(kind, thing, [(field(kind, thing, rights, ""), field(kind, thing, rights, "-fixed")) for rights in RIGHTS])
        for kind, thing in TABLE
    ]


def gravest(cases: Sequence[Case]) -> str:
    """The verdict that deserves attention first."""
    return min((case.verdict for case in cases), key=VERDICTS.index)
