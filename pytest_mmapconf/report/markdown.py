"""A summary in Markdown, for the page of a CI run.

It has the statement, the failures by cause, the clauses that fail, and those that are unsupported.
Such pages are limited to a megabyte, and long lists are not read; so every list is limited, and ends with the number of
entries left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ..catalogue.verdicts import FAIL, PASS, UNRESOLVED, ClauseResult, totals
from . import view
from .causes import Group
from .result import Run

MOST: Final = 50
"""Largest number of lines of a list."""

LONGEST: Final = 200
"""Largest number of characters of a reason."""

SPECIAL: Final = re.compile(r"[\\`*_\[\]<>|~&$]")
"""Characters with a meaning within a line in some dialect of Markdown."""


def markdown(runs: Sequence[Run]) -> str:
    """Return the summary of one run, or of several side by side."""
    lines = ["# Conformance of mmap", ""]
    labels = view.labels(runs)
    for run, label in zip(runs, labels, strict=True):
        lines.extend(summary(run, label))
    if len(runs) > 1:
        lines.extend(differences(runs, labels))
    return "\n".join(lines).rstrip("\n") + "\n"


def summary(run: Run, label: str) -> Iterator[str]:
    """Yield the lines about one run."""
    passed, text = run.statement
    sign = view.SYMBOLS[PASS if passed else UNRESOLVED if run.harness_is_broken else FAIL]
    yield f"## {plain(label)}"
    yield ""
    yield f"**{sign} {plain(text)}**"
    yield ""
    yield " · ".join(f"{plain(name)} {plain(value)}" for name, value in view.facts(run).items() if name in FACTS)
    yield ""
    yield from counts(run)
    yield from table(
        "Failures by cause",
        ("cause", "cases", "clauses", "detail", "for example"),
        (cause(group) for group in run.groups),
    )
    wrong = [entry for entry in run.judged if entry.verdict in (FAIL, UNRESOLVED)]
    yield from table("Failed or unresolved", ("clause", "verdict", "why"), (broken(entry) for entry in wrong))
    for title, reasons in (
        ("Not asked", view.not_asked(run)),
        ("Kept, but some causes could not be asked", view.causes_not_asked(run)),
    ):
        yield from table(title, ("why", "clauses"), ((plain(why), names(ids)) for why, ids in reasons))


FACTS: Final = ("suite", "level", "version", "kernel", "machine", "libc", "page", "file system", "date")
"""Names of the facts that are shown."""


def counts(run: Run) -> Iterator[str]:
    """Yield a table with the number of clauses and cases of each verdict."""
    columns = view.counts(run)
    yield f"| | {' | '.join(f'{view.SYMBOLS[verdict]} {verdict}' for verdict, _, _ in columns)} |"
    yield "|---|" + "---:|" * len(columns)
    yield f"| clauses | {' | '.join(str(clauses) for _, clauses, _ in columns)} |"
    yield f"| cases | {' | '.join(str(cases) for _, _, cases in columns)} |"
    yield ""


def cause(group: Group) -> tuple[str, ...]:
    """Return the fields of a group of failures."""
    example = group.example
    text = plain(example.cause.get("step", "")) or code(example.id)
    return plain(group.text), str(len(group.cases)), str(len(group.clauses)), plain(group.detail), text


def broken(entry: ClauseResult) -> tuple[str, str, str]:
    """Return the fields of a failed or unresolved clause: id, verdict, and reason with the number of its cases."""
    same = totals(case.verdict for case in entry.cases)[entry.verdict]
    why = f"{plain(entry.reason)} ({same} of {len(entry.cases)} cases)"
    return code(entry.clause.id), f"{view.SYMBOLS[entry.verdict]} {entry.verdict}", why


def names(ids: Sequence[str]) -> str:
    """Return up to ten ids as text, with the number of the others."""
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return ", ".join(map(code, ids[:10])) + more


def differences(runs: Sequence[Run], labels: Sequence[str]) -> Iterator[str]:
    """Yield a table of the clauses with different verdicts in different runs."""
    rows = [row for of in view.groups(runs).values() for row in of if row.differs]
    signs = [[f"{view.SYMBOLS[cell.verdict]} {cell.verdict}" if cell else "·" for cell in row.cells] for row in rows]
    fields = ((code(row.clause.id), *of) for row, of in zip(rows, signs, strict=True))
    yield from table("Where they differ", ("clause", *map(plain, labels)), fields)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, unless it is empty; at most MOST rows."""
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
    """Return text as one line that Markdown renders literally."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(text) > LONGEST:
        text = text[:LONGEST] + " …"
    return SPECIAL.sub(r"\\\g<0>", text)


def code(id: str) -> str:
    """Return an id as code, if it has only letters, digits, dots and hyphens."""
    return f"`{id}`" if re.fullmatch(r"[\w.-]+", id) else plain(id)
