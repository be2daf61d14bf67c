"""The page of implementations: what each of them keeps, where each deviates, and how to judge it again.

It is made from the JSON reports of many runs, as Markdown for a documentation site and as a page of its own.  Rows are
implementations, so that thirty of them fit on a screen.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from ..catalogue.properties import PROPERTIES
from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, UNSUPPORTED
from . import view
from .badge import badge, conclusion
from .markdown import names, plain
from .outputs import OutputError, check_writable
from .result import Run

TITLE: Final = "Implementations"

INTRODUCTION: Final = (
    "What conforms, and where it does not. Each row is one run of the suite, which the command in the last table "
    "repeats. A cell has the clauses that the implementation keeps, of those that could be asked."
)

FACTS: Final = ("kernel", "libc", "machine", "bits", "byte order", "page", "file system")
"""The facts of an implementation that are shown."""

DEVIATES: Final = (FAIL, UNRESOLVED, EXPECTED, FLAKY)
"""The verdicts of clauses that are not kept."""


class Count(NamedTuple):
    """The clauses of one group that could be asked of one implementation."""

    kept: int
    asked: int

    @property
    def text(self) -> str:
        """The text of the cell: one number if all are kept."""
        return "·" if not self.asked else f"{self.kept}" if self.kept == self.asked else f"{self.kept} of {self.asked}"


class Deviation(NamedTuple):
    """Clauses that implementations do not keep for one reason."""

    reason: str
    link: str
    """A page about it; empty if there is none."""
    clauses: tuple[str, ...]
    implementations: tuple[str, ...]


class Choice(NamedTuple):
    """A property that some implementations have and others have not; none of them is wrong."""

    text: str
    having: tuple[str, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Implementation:
    """One run, as a row of the page."""

    run: Run

    @property
    def name(self) -> str:
        """The name of the backend, with the scope if only that was asked."""
        return self.run.facts.name + (f", scope {self.run.scope}" if self.run.scope else "")

    @property
    def badge_file(self) -> str:
        """The name of the file with its badge."""
        return re.sub(r"[^\w.-]+", "-", f"{self.name}-{self.run.level}").strip("-") + ".svg"

    @property
    def conclusion(self) -> tuple[str, str]:
        """The kind of the conclusion, and the conclusion as a few words."""
        return conclusion(self.run)

    @property
    def facts(self) -> list[str]:
        """The values of FACTS; empty text for those that are not known."""
        return [self.run.facts.details.get(name, "") for name in FACTS]

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        run = self.run
        words = ["pytest", f"--mmap-backend={run.facts.name}", f"--mmap-level={run.level}"]
        if run.scope:
            words.append(f"--mmap-scope={run.scope}")
        if any(case.expected for case in run.cases):
            words.append("--mmap-expectations=known")
        return shlex.join(words)

    def count(self, group: str) -> Count:
        """Return the count of a group of clauses."""
        verdicts = [entry.verdict for entry in self.run.judged if entry.clause.group == group]
        return Count(verdicts.count(PASS), len(verdicts) - verdicts.count(UNSUPPORTED))


def implementations(runs: Iterable[Run]) -> list[Implementation]:
    """Return the rows of the page, by name."""
    return sorted(map(Implementation, runs), key=lambda entry: (entry.name, entry.run.level))


def clause_groups(rows: Sequence[Implementation]) -> list[str]:
    """Return the groups of the clauses that any run has, in the catalogue's order; the longest run determines it."""
    runs = sorted((row.run for row in rows), key=lambda run: -len(run.judged))
    return list(dict.fromkeys(entry.clause.group for run in runs for entry in run.judged))


def deviations(rows: Sequence[Implementation]) -> list[Deviation]:
    """Return the deviations, each once with all its implementations; those of the most implementations first."""
    found: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        for entry in row.run.judged:
            if entry.verdict not in DEVIATES:
                continue
            records = [case.expected for case in entry.cases if case.expected]
            reasons = {(record["reason"], view.safe_link(record.get("link", ""))) for record in records}
            for reason in sorted(reasons) or [(entry.reason, "")]:
                clauses, names = found.setdefault(reason, ({}, {}))
                clauses[entry.clause.id] = names[row.name] = None
    entries = [Deviation(*reason, tuple(clauses), tuple(names)) for reason, (clauses, names) in found.items()]
    return sorted(entries, key=lambda entry: (-len(entry.implementations), -len(entry.clauses), entry.reason))


def choices(rows: Sequence[Implementation]) -> list[Choice]:
    """Return the properties in which the implementations differ, and that no clause promises."""
    observed: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for name, value in row.run.properties.items():
            observed.setdefault(name, {}).setdefault(value, []).append(row.name)
    return [
        Choice(PROPERTIES[name].text, tuple(by["holds"]), tuple(by["does not hold"]))
        for name, by in sorted(observed.items())
        if name in PROPERTIES and not PROPERTIES[name].clauses and "holds" in by and "does not hold" in by
    ]


# ------------------------------------------------------------------------------------------------------------ Markdown


def markdown(runs: Sequence[Run], badges: str = "") -> str:
    """Return the page as Markdown; `badges` is the directory of the badges as a link, empty for none."""
    rows = implementations(runs)
    groups = clause_groups(rows)
    lines = [f"# {TITLE}", "", INTRODUCTION, ""]
    conclusions = [[code_name(row.name), mark(row, badges), *map(plain, row.facts)] for row in rows]
    lines += table(("implementation", "conclusion", *FACTS), conclusions)
    lines += ["## Clauses by subject", ""]
    lines += table(
        ("implementation", "level", *groups),
        ([code_name(row.name), row.run.level, *(row.count(group).text for group in groups)] for row in rows),
    )
    lines += [
        "## Deviations",
        "",
        "What an implementation does not keep: the reason on record, or what was seen.",
        "",
    ]
    lines += table(
        ("deviation", "clauses", "implementations"),
        (
            [
                plain(entry.reason) + (f" ([report]({entry.link}))" if entry.link else ""),
                names(entry.clauses),
                ", ".join(map(code_name, entry.implementations)),
            ]
            for entry in deviations(rows)
        ),
    )
    lines += ["## Choices", "", "In these the implementations differ, and each is right.", ""]
    lines += table(
        ("property", "holds", "does not hold"),
        ([plain(entry.text), listed(entry.having, rows), listed(entry.lacking, rows)] for entry in choices(rows)),
    )
    lines += ["## What was run", ""]
    lines += table(
        ("command", "suite", "date"),
        ([code_name(row.command), plain(row.run.suite), row.run.date[:10]] for row in rows),
    )
    lines += ["## What could not be asked", ""]
    lines += table(("implementation", "why", "clauses"), not_asked(rows))
    return "\n".join(lines).rstrip("\n") + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, or of a sentence if it has no rows."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return ["None.", ""]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body, ""]


def code_name(name: str) -> str:
    """Return a name or a command as code if it has nothing that ends code, else as text."""
    return f"`{name}`" if re.fullmatch(r"[\w.:=,/ -]+", name) else plain(name)


def mark(row: Implementation, badges: str) -> str:
    """Return the conclusion about an implementation: its badge, or the words."""
    text = plain(row.conclusion[1])
    return f"![{text}]({badges}/{row.badge_file})" if badges else text


def listed(names: Sequence[str], rows: Sequence[Implementation]) -> str:
    """Return names of implementations, or "all others" if these are most of all."""
    if len(names) > len(rows) / 2:
        return "all others"
    return ", ".join(map(code_name, names))


def not_asked(rows: Iterable[Implementation]) -> Iterator[list[str]]:
    """Yield the clauses that could not be asked of each implementation, by reason."""
    for row in rows:
        for reason, ids in view.not_asked(row.run):
            yield [code_name(row.name), plain(reason), names(ids)]


# ---------------------------------------------------------------------------------------------------------------- HTML


def html(runs: Sequence[Run], badges: str = "") -> str:
    """Return the page as one HTML file."""
    from jinja2 import Environment, StrictUndefined

    rows = implementations(runs)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    package = files(__package__)
    return environment.from_string((package / "implementations.html.j2").read_text("utf-8")).render(
        title=TITLE,
        introduction=INTRODUCTION,
        style=(package / "page.css").read_text("utf-8"),
        facts=FACTS,
        rows=rows,
        badges=badges,
        groups=clause_groups(rows),
        deviations=deviations(rows),
        choices=choices(rows),
        half=len(rows) / 2,
    )


KINDS: Final = {".md": markdown, ".html": html}
"""Functions that render the page, by suffix of the path."""


def main(runs: Sequence[Run], outputs: Sequence[Path]) -> int:
    """Write the page, and a badge of each implementation into `badges` beside it; return the exit status 0.

    Raises OutputError where a file cannot be written.
    """
    for output in outputs:
        if output.suffix.lower() not in KINDS:
            raise OutputError(f"-o {output}: the page of implementations is {' or '.join(KINDS)}")
        check_writable(output, "-o ")
    badges = {row.badge_file: badge([row.run]) for row in implementations(runs)}
    for output in outputs:
        directory = output.parent / "badges"
        for name, image in badges.items():
            check_writable(directory / name, "-o ")
            (directory / name).write_text(image, "utf-8")
        output.write_text(KINDS[output.suffix.lower()](runs, directory.name), "utf-8")
    print(f"{len(badges)} implementations: {', '.join(map(str, outputs))}")
    return 0
