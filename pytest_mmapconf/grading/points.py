"""Tables of points: the rows of a grade, each with its points and the clauses that earn them.

A table is a TOML file; a clause counts in the first row that names it::

    [[row]]
    name = "munmap"
    points = 15
    clauses = ["munmap.*"]
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..catalogue.clauses import load as load_clauses
from ..catalogue.tables import did_you_mean, matches
from ..data_files import DataError, parse_toml, read_text, ready_made
from ..text import PrintableError

KEYS: Final = ("name", "points", "clauses")


class PointsError(PrintableError):
    """A table of points is not valid; the message names the file and the row."""


@dataclass(frozen=True)
class Row:
    """One row of a grade."""

    name: str
    points: float
    clauses: tuple[str, ...]
    """Patterns of clause ids."""


def load(name: str) -> tuple[Row, ...]:
    """Return the rows of the table of this name, or else of this file.  Raises PointsError."""
    ready = ready_made(__package__, "points")
    if name in ready:
        return parse(ready[name], name)
    if not os.path.exists(name):
        advice = did_you_mean(name, ready)
        raise PointsError(f"{name}: there is no such file, and no table of that name; {advice}")
    try:
        return parse(read_text(Path(name)), name)
    except DataError as error:
        raise PointsError(f"{name}: {error}") from error


def parse(text: str, name: str) -> tuple[Row, ...]:
    """Return the rows in the text of a TOML file; `name` is for messages.  Raises PointsError."""
    try:
        document = parse_toml(text)
    except DataError as error:
        raise PointsError(f"{name}: {error}") from error
    tables = document.pop("row", [])
    if document or not isinstance(tables, list) or not tables:
        raise PointsError(f"{name}: must have tables [[row]] and nothing else, each with {', '.join(KEYS)}")
    rows = tuple(_row(table, f"{name}: row {number}") for number, table in enumerate(tables, 1))
    names = [row.name for row in rows]
    for row in rows:
        if names.count(row.name) > 1:
            raise PointsError(f"{name}: there are two rows {row.name!r}")
    return rows


def _row(table: Any, where: str) -> Row:
    if not isinstance(table, dict) or set(table) != set(KEYS):
        raise PointsError(f"{where}: must have {', '.join(KEYS)}, and nothing else")
    name, points, clauses = (table[key] for key in KEYS)
    if not isinstance(name, str) or not name.strip():
        raise PointsError(f"{where}: name is not text")
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 < points < float("inf"):
        raise PointsError(f"{where}: points is not a number above 0")
    if not isinstance(clauses, list) or not clauses or not all(isinstance(pattern, str) for pattern in clauses):
        raise PointsError(f"{where}: clauses is not a list of texts")
    for pattern in clauses:
        if not any(matches([pattern], id) for id in load_clauses()):
            advice = did_you_mean(pattern, load_clauses())
            raise PointsError(f"{where}: no clause matches {pattern!r}; {advice}")
    return Row(name.strip(), float(points), tuple(clauses))
