"""`python -m pytest_mmapconf grade`: the reports of a class, graded in one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..catalogue.tables import matches
from ..report.json_report import InvalidReport
from ..report.merge import read_files
from ..report.result import Run
from .grade import Grade, NoGrade, check, counted_cases, grade
from .points import PointsError, load
from .table import FORMS, as_text


def main(scope: str, points: str, model: str | None, files: Sequence[str], outputs: Sequence[str]) -> int:
    """Print the table of grades and write it to `outputs`; return the exit status.

    `model` is the report of a model solution; without it the cases count that one of the reports passes.  A report that
    cannot be graded has a line that says why, and makes the status 1; an invalid argument makes it 2.
    """
    try:
        rows = load(points)
        for output in outputs:
            if Path(output).suffix.lower() not in FORMS:
                raise PointsError(f"-o {output}: there is no table of that kind; use {', '.join(FORMS)}")
        runs: dict[str, Run] = {}
        students: dict[str, Grade | str] = {}
        for file in files:
            name = student(file, {*students, *runs})
            try:
                runs[name] = read_one(file, scope)
            except (InvalidReport, NoGrade) as error:
                students[name] = str(error)
        counted = counted_cases([read_one(model, scope)] if model else runs.values())
        for row in rows:
            if not any(counts_in(row.clauses, run, counted) for run in runs.values()) and runs:
                raise PointsError(f"{points}: row {row.name!r}: no case of it counts with this scope")
    except (PointsError, InvalidReport, NoGrade) as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    students |= {name: grade(run, rows, counted) for name, run in runs.items()}
    print(as_text(students, rows), end="")
    for output in outputs:
        try:
            Path(output).write_text(FORMS[Path(output).suffix.lower()](students, rows), "utf-8", "backslashreplace")
        except OSError as error:
            print(f"grade: -o {output}: cannot be written: {error.strerror}", file=sys.stderr)
            return 2
    return int(any(isinstance(of, str) for of in students.values()))


def counts_in(patterns: Sequence[str], run: Run, counted: frozenset[str]) -> bool:
    """Return True if a case of the run counts for one of the clauses."""
    return any(case.id in counted and any(matches(patterns, id) for id in case.clauses) for case in run.cases)


def student(file: str, taken: set[str]) -> str:
    """Return the name of a student: that of the file, or its path if two files have one name."""
    name = Path(file).stem
    return file if name in taken else name


def read_one(file: str, scope: str) -> Run:
    """Return the run of a report.  Raises InvalidReport, NoGrade."""
    try:
        runs = read_files([Path(file)])
    except InvalidReport as error:
        raise NoGrade(str(error.__cause__ or error)) from error  # the cause does not name the file
    if len(runs) != 1:
        raise NoGrade("it has several runs side by side")
    check(runs[0][1], scope)
    return runs[0][1]
