"""A summary in Markdown, for the page of a CI run: the statement, what is not kept, what could not be asked.

Where such a page is shown there is room for a megabyte at most, and nobody reads it all; so no list is long, and what
is left out is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ..catalogue.verdicts import FAIL, PASS, UNRESOLVED, ClauseResult, totals
from . import view
from .result import Run

MOST: Final = 50
"""Lines of a list."""

LONGEST: Final = 200
"""Characters of a reason."""

SPECIAL: Final = re.compile(r"[\\`*_\[\]<>|~&$]")
"""What means something within a line to some dialect or other."""


def markdown(runs: Sequence[Run]) -> str:
    """The summary of one run, or of several side by side."""
    lines = ["# Conformance of mmap", ""]
    labels = view.labels(runs)
    for run, label in zip(runs, labels, strict=True):
        lines.extend(summary(run, label))
    if len(runs) > 1:
        lines.extend(differences(runs, labels))
    return "\n".join(lines).rstrip("\n") + "\n"


def summary(run: Run, label: str) -> Iterator[str]:
    """What is told of one run."""
    good, text = run.statement
    sign = view.SYMBOLS[PASS if good else UNRESOLVED if run.harness_is_broken else FAIL]
    yield f"## {plain(label)}"
    yield ""
    yield f"**{sign} {plain(text)}**"
    yield ""
    yield " · ".join(f"{plain(name)} {plain(value)}" for name, value in view.facts(run).items() if name in TOLD)
    yield ""
    yield from counts(run)
    wrong = [entry for entry in run.judged if entry.verdict in (FAIL, UNRESOLVED)]
    yield from table("Failed or unresolved", ("clause", "verdict", "why"), (broken(entry) for entry in wrong))
    for title, reasons in (
        ("Not asked", view.not_asked(run)),
        ("Kept, but some causes could not be asked", view.causes_not_asked(run)),
    ):
        yield from table(title, ("why", "clauses"), ((plain(why), names(ids)) for why, ids in reasons))


TOLD: Final = ("suite", "level", "version", "kernel", "machine", "libc", "page", "file system", "date")
"""The facts that are told."""


def counts(run: Run) -> Iterator[str]:
    """How many there are of each verdict."""
    told = view.counts(run)
    yield f"| | {' | '.join(f'{view.SYMBOLS[verdict]} {verdict}' for verdict, _, _ in told)} |"
    yield "|---|" + "---:|" * len(told)
    yield f"| clauses | {' | '.join(str(clauses) for _, clauses, _ in told)} |"
    yield f"| cases | {' | '.join(str(cases) for _, _, cases in told)} |"
    yield ""


def broken(entry: ClauseResult) -> tuple[str, str, str]:
    """A clause that is not kept, and in how many of its cases."""
    same = totals(case.verdict for case in entry.cases)[entry.verdict]
    why = f"{plain(entry.reason)} ({same} of {len(entry.cases)} cases)"
    return code(entry.clause.id), f"{view.SYMBOLS[entry.verdict]} {entry.verdict}", why


def names(ids: Sequence[str]) -> str:
    """Some clauses, not too many."""
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return ", ".join(map(code, ids[:10])) + more


def differences(runs: Sequence[Run], labels: Sequence[str]) -> Iterator[str]:
    """The clauses of which not all runs say the same."""
    rows = [row for of in view.groups(runs).values() for row in of if row.differs]
    signs = [[f"{view.SYMBOLS[cell.verdict]} {cell.verdict}" if cell else "·" for cell in row.cells] for row in rows]
    found = ((code(row.clause.id), *of) for row, of in zip(rows, signs, strict=True))
    yield from table("Where they differ", ("clause", *map(plain, labels)), found)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, if there is anything in it."""
    rows = list(rows)
    if not rows:
        return
    yield f"### {title}"
    yield ""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows[:MOST]:
        yield f"| {' | '.join(row)} |"
    yield ""
    if len(rows) > MOST:
        yield f"… and {len(rows) - MOST} more."
        yield ""


def plain(text: str) -> str:
    """Any text as itself on one line, whatever it holds."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(text) > LONGEST:
        text = text[:LONGEST] + " …"
    return SPECIAL.sub(r"\\\g<0>", text)


def code(id: str) -> str:
    """An id as it is."""
    return f"`{id}`" if re.fullmatch(r"[\w.-]+", id) else plain(id)
