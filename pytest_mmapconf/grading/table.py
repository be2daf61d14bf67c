"""The grades of a class as a table: text, CSV, HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from .grade import Grade
from .points import Row

Class = Mapping[str, Grade | str]
"""By student, the grade, or why there is none."""


def number(points: float) -> str:
    return f"{points:.1f}"


def header(rows: Sequence[Row]) -> list[str]:
    most = sum(row.points for row in rows)
    return ["student", *(f"{row.name} ({row.points:g})" for row in rows), f"grade ({most:g})", "open", "remark"]


def lines(students: Class, rows: Sequence[Row]) -> list[list[str]]:
    """Return a line for each student, the best first; those without a grade at the end."""
    graded = {name: of for name, of in students.items() if isinstance(of, Grade)}
    table = [
        [
            name,
            *(number(of.earned[row.name]) for row in rows),
            number(of.total),
            number(of.open),
            f"{of.unresolved} unresolved" if of.unresolved else of.losses[0].cause if of.losses else "",
        ]
        for name, of in sorted(graded.items(), key=lambda entry: (-entry[1].total, entry[0]))
    ]
    table += [
        [name, *[""] * (len(rows) + 2), f"no grade: {of}"] for name, of in students.items() if isinstance(of, str)
    ]
    return table


def as_text(students: Class, rows: Sequence[Row]) -> str:
    """Return the table as text; for a single student, with what each cause costs."""
    table = [header(rows), *lines(students, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    last = len(widths) - 1
    text = "\n".join(
        "  ".join(
            cell.ljust(width) if place in (0, last) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )
    if len(students) == 1:
        for of in students.values():
            for loss in of.losses if isinstance(of, Grade) else ():
                shown = f"{len(loss.cases)} cases, such as {loss.cases[0]}"
                text += f"\n-{number(loss.points)} {loss.row}: {loss.cause} ({shown})"
    return text + "\n"


def as_csv(students: Class, rows: Sequence[Row]) -> str:
    """Return the table as CSV.  A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    for line in [header(rows), *lines(students, rows)]:
        writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "@", "-")) else cell for cell in line])
    return output.getvalue()


def as_html(students: Class, rows: Sequence[Row]) -> str:
    """Return the table as a page."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header(rows))
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines(students, rows)
    )
    style = "table{border-collapse:collapse;font:14px sans-serif}td,th{border:1px solid #999;padding:2px 8px}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Grades</title>\n<style>{style}</style>\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</html>\n"
    )


FORMS: Final[dict[str, Callable[[Class, Sequence[Row]], str]]] = {
    ".txt": as_text,
    ".csv": as_csv,
    ".html": as_html,
}
"""The functions that write a table, by suffix of the path."""
