"""Compute the contents of a page about one run, or about several side by side; the template only lays them out.

A page shows each thing once.  Cases with the same verdict and reason are listed together, by function.  The evidence of
a failed case is shown under the first of its clauses; the others link to it.  As a broken implementation may fail in a
thousand cases for one reason, each clause shows the evidence of a few cases, with different reasons if possible, and
the page shows no more than a budget allows.  The JSON report has the evidence of all cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

from ..catalogue.clauses import LEVELS, Clause
from ..catalogue.verdicts import (
    EXPECTED,
    FAIL,
    FLAKY,
    PASS,
    UNRESOLVED,
    UNSUPPORTED,
    VERDICTS,
    CaseResult,
    ClauseResult,
    totals,
)
from .causes import Group
from .result import Run

SYMBOLS: Final = {PASS: "✓", FAIL: "✗", UNRESOLVED: "?", UNSUPPORTED: "○", EXPECTED: "!", FLAKY: "~"}
"""A symbol for each verdict, so that verdicts are not distinguished by colour alone."""

MEANINGS: Final = {
    PASS: "every case that the implementation supports passed",
    FAIL: "at least one case failed",
    UNRESOLVED: "the suite could not decide: the implementation crashed or did not respond, or set-up failed",
    UNSUPPORTED: "the implementation lacks what the cases need",
    EXPECTED: "a deviation on record",
    FLAKY: "on record as a clause whose verdict varies",
}

MAX_SHOWN: Final = 3
"""Largest number of failing cases that a clause shows with their evidence."""

MAX_REASONS: Final = 3
"""Largest number of reasons that a clause lists for cases whose evidence it does not show."""

OTHER_REASONS: Final = "for further reasons, which the JSON report has"

CASE_OVERHEAD: Final = 1500
"""Characters of HTML around the evidence of one case."""

BUDGET: Final = 540_000
"""Largest number of characters that the evidence of all cases may take on a page."""


class Listed(NamedTuple):
    """Cases of a clause with the same verdict and the same reason."""

    verdict: str
    reason: str
    number: int
    functions: list[tuple[str, list[str]]]
    """Functions, each with the parameters of its cases."""


class Shown(NamedTuple):
    """A failed case with its evidence."""

    anchor: str
    case: CaseResult

    @property
    def evidence(self) -> dict[str, Any]:
        """The evidence, with a value for every name that the template uses."""
        program = {"steps": [], "c": "", "lacks": "", **self.case.evidence.get("program", {})}
        return {
            "expected": "",
            "step": "",
            "pictures": [],
            "output": "",
            "calls": [],
            "requests": [],
            **self.case.evidence,
            "program": program,
        }


@dataclass
class Cell:
    """One clause in one run."""

    judged: ClauseResult
    shown: list[Shown] = field(default_factory=list)
    elsewhere: list[Shown] = field(default_factory=list)
    """Cases whose evidence is shown under another clause."""

    @property
    def verdict(self) -> str:
        return self.judged.verdict

    @property
    def passes(self) -> bool:
        """True if every case passes."""
        return all(case.verdict == PASS for case in self.judged.cases)

    @property
    def shown_reasons(self) -> set[str]:
        """The reasons that need not be repeated: those of the cases that are shown."""
        return {"", *(shown.case.reason for shown in self.shown)}

    @property
    def on_record(self) -> list[dict[str, Any]]:
        """The entries of files of expectations that match its cases, each once, with a link that is safe to follow."""
        entries = {
            (case.expected["file"], case.expected["number"]): case.expected
            for case in self.judged.cases
            if case.expected
        }
        return [{**entry, "link": safe_link(entry.get("link", ""))} for entry in entries.values()]

    @property
    def listed(self) -> list[Listed]:
        """The cases that are not shown, gravest verdict first."""
        excluded = {id(shown.case) for shown in chain(self.shown, self.elsewhere)}
        alike: dict[str, dict[str, list[CaseResult]]] = {}
        for case in self.judged.cases:
            if id(case) not in excluded:
                alike.setdefault(case.verdict, {}).setdefault(case.reason, []).append(case)
        rows: list[Listed] = []
        for verdict, reasons in sorted(alike.items(), key=lambda entry: order(entry[0])):
            entries = list(reasons.items())
            rest = [case for _, cases in entries[MAX_REASONS:] for case in cases]
            listed = entries[:MAX_REASONS]
            rows.extend(Listed(verdict, reason, len(cases), by_function(cases)) for reason, cases in listed)
            if rest:
                rows.append(Listed(verdict, OTHER_REASONS, len(rest), by_function(rest)))
        return rows


class Row(NamedTuple):
    """One clause in every run; None for a run without cases of it."""

    clause: Clause
    cells: list[Cell | None]

    @property
    def verdicts(self) -> list[str]:
        return list(dict.fromkeys(cell.verdict for cell in self.cells if cell))

    @property
    def functions(self) -> list[tuple[str, list[str]]]:
        """The cases of the clause in all runs, by function."""
        cases = {case.id: case for cell in self.cells if cell for case in cell.judged.cases}
        return by_function(cases[id] for id in sorted(cases))

    @property
    def differs(self) -> bool:
        """True if the runs that have cases of the clause differ in their verdicts."""
        return len(self.verdicts) > 1


def safe_link(link: str) -> str:
    """Return a link if its scheme is http or https, else an empty string."""
    return link if link.startswith(("https://", "http://")) else ""


def order(verdict: str) -> int:
    """Return the position of a verdict in VERDICTS, gravest first."""
    return VERDICTS.index(verdict)


def by_function(cases: Iterable[CaseResult]) -> list[tuple[str, list[str]]]:
    """Group cases by function, each with the parameters: "munmap.range[whole]" is "whole" of "munmap.range"."""
    functions: dict[str, list[str]] = {}
    for case in cases:
        function, bracket, parameters = case.id.partition("[")
        functions.setdefault(function, []).extend([parameters.removesuffix("]")] if bracket else [])
    return list(functions.items())


def groups(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """Return the clauses of all runs by group, with the evidence assigned to clauses."""
    cells = [{entry.clause.id: Cell(entry) for entry in run.judged} for run in runs]
    assign_evidence(cells)
    clauses: dict[str, Clause] = {}
    for run in sorted(runs, key=lambda run: -len(run.judged)):  # the longest run determines the order
        for entry in run.judged:
            clauses.setdefault(entry.clause.id, entry.clause)
    rows: dict[str, list[Row]] = {}
    for id, clause in clauses.items():
        rows.setdefault(clause.group, []).append(Row(clause, [of.get(id) for of in cells]))
    return rows


def assign_evidence(runs: Sequence[dict[str, Cell]]) -> None:
    """Assign the evidence of cases to clauses: one case of every clause, then a second, up to BUDGET characters."""
    waiting: list[tuple[int, int, Cell, CaseResult]] = []
    for number, cells in enumerate(runs):
        for cell in cells.values():
            waiting.extend((rank, number, cell, case) for rank, case in enumerate(most_informative(cell.judged)))
    remaining = BUDGET
    placed: dict[int, Shown] = {}
    for _, _, cell, case in sorted(waiting, key=lambda entry: entry[:2]):
        shown = placed.get(id(case))
        if shown is not None:
            cell.elsewhere.append(shown)
        elif (remaining := remaining - size(case.evidence)) >= 0:
            placed[id(case)] = Shown(f"case-{len(placed) + 1}", case)
            cell.shown.append(placed[id(case)])
        else:
            remaining += size(case.evidence)


def most_informative(judged: ClauseResult) -> list[CaseResult]:
    """Return the cases of a clause to show: the shortest evidence of each reason first, at most MAX_SHOWN."""
    cases = sorted((case for case in judged.cases if case.evidence), key=lambda case: size(case.evidence))
    firsts = {case.reason: case for case in reversed(cases)}
    first = [case for case in cases if firsts[case.reason] is case]
    return [*first, *(case for case in cases if firsts[case.reason] is not case)][:MAX_SHOWN]


def size(evidence: dict[str, Any]) -> int:
    """Estimate the number of characters that evidence takes on a page."""
    program = evidence.get("program", {})
    texts = [
        program.get("c", ""),
        evidence.get("output", ""),
        *evidence.get("requests", ()),
        *program.get("steps", ()),
        *(picture["text"] for picture in evidence.get("pictures", ())),
    ]
    return CASE_OVERHEAD + sum(map(len, texts))


# ------------------------------------------------------------------------------------------------- failures by cause

MAIN_CAUSES: Final = 12
"""Number of causes that a page shows first."""

MAX_CAUSES: Final = 40
"""Largest number of causes that a page lists."""

MAX_CASES: Final = 200
"""Largest number of cases that a page lists for one cause."""


class Cause(NamedTuple):
    """A group of failures with the same cause."""

    group: Group
    anchor: str
    """The anchor of a case of the group that is shown with its evidence; empty if none is."""

    @property
    def example(self) -> str:
        """A typical call; empty if none is known."""
        return self.group.example.cause.get("step", "")

    @property
    def functions(self) -> list[tuple[str, list[str]]]:
        """The cases, by function; the first of many."""
        return by_function(self.group.cases[:MAX_CASES])

    @property
    def left_out(self) -> int:
        """Number of cases that are not listed."""
        return max(len(self.group.cases) - MAX_CASES, 0)


def failures(run: Run, rows: Iterable[Row]) -> list[Cause]:
    """Return the failures of a run by cause, at most MAX_CAUSES; `rows` have the cases that are shown."""
    anchors = {id(shown.case): shown.anchor for row in rows for cell in row.cells if cell for shown in cell.shown}
    return [
        Cause(group, next((anchors[id(case)] for case in (group.example, *group.cases) if id(case) in anchors), ""))
        for group in run.groups[:MAX_CAUSES]
    ]


# ---------------------------------------------------------------------------------------------------------- the run


class Reason(NamedTuple):
    """A reason why clauses, or causes of them, are unsupported."""

    reason: str
    clauses: list[str]


def not_asked(run: Run) -> list[Reason]:
    """Return the unsupported clauses, by reason."""
    return by_reason((entry.reason, entry.clause.id) for entry in run.judged if entry.verdict == UNSUPPORTED)


def causes_not_asked(run: Run) -> list[Reason]:
    """Return the clauses that pass although some causes are unsupported, by reason."""
    return by_reason((entry.reason, entry.clause.id) for entry in run.judged if entry.causes_not_asked)


def by_reason(pairs: Iterable[tuple[str, str]]) -> list[Reason]:
    """Group ids of clauses by reason, the most frequent first."""
    ids: dict[str, list[str]] = {}
    for reason, id in pairs:
        ids.setdefault(reason, []).append(id)
    return sorted(map(Reason, ids.keys(), ids.values()), key=lambda entry: -len(entry.clauses))


def counts(run: Run) -> list[tuple[str, int, int]]:
    """Return (verdict, clauses, cases), pass first; verdicts that do not occur are left out, except pass and fail."""
    clauses, cases = totals(entry.verdict for entry in run.judged), totals(case.verdict for case in run.cases)
    entries = [(verdict, clauses[verdict], cases[verdict]) for verdict in reversed(VERDICTS)]
    return [entry for entry in entries if entry[1] or entry[2] or entry[0] in (PASS, FAIL)]


def levels(runs: Sequence[Run]) -> list[str]:
    """Return the levels that the clauses of these runs have."""
    occurring = {entry.clause.level for run in runs for entry in run.judged}
    return [level for level in LEVELS if level in occurring]


MAIN_FACTS: Final = (
    *("level", "scope", "processes", "shard", "suite", "date", "backend", "version", "kernel", "machine"),
    *("libc", "page", "run by", "file system", "user"),
)
"""Names of the facts that are shown first."""


def facts(run: Run) -> dict[str, str]:
    """Return the facts of a run by name: the backend, the suite, the level, the date."""
    details = {name: value for name, value in sorted(run.facts.details.items()) if value}
    about = {"level": run.level, "scope": run.scope, "shard": run.shard}
    about |= {"suite": f"pytest-mmapconf {run.suite}", "date": run.date}
    about |= {"backend": run.facts.name, "version": run.facts.version, **details}
    about |= {f"property {name}": text for name, text in run.properties.items()}
    return {name: about[name] for name in (*MAIN_FACTS, *about) if about.get(name)}


def labels(runs: Sequence[Run]) -> list[str]:
    """Return a distinct label for each run, made of the facts in which the runs differ."""
    labels: list[list[str]] = [[run.facts.name] for run in runs]
    others = sorted({name for run in runs for name in run.facts.details})
    for name in ("version", "level", "scope", "suite", *others, "shard", "date"):
        if len({tuple(parts) for parts in labels}) == len(runs):
            break
        values = [facts(run).get(name, "") for run in runs]
        if len(set(values)) > 1:
            for parts, value in zip(labels, values, strict=True):
                parts.extend([value] if value else [])
    texts = [", ".join(parts) for parts in labels]
    return [
        f"{label} ({texts[: number + 1].count(label)})" if texts.count(label) > 1 else label
        for number, label in enumerate(texts)
    ]


MAX_VALUE_LENGTH: Final = 200
"""Largest number of characters of a recorded value."""


class Choice(NamedTuple):
    """The values that cases have recorded under one name."""

    name: str
    values: list[list[tuple[str, int]]]
    """For each run: the observed values, each with its number of cases."""


def choices(runs: Sequence[Run]) -> list[Choice]:
    """Return the values that cases have recorded, by name."""
    counters: dict[str, list[Counter[str]]] = {}
    for number, run in enumerate(runs):
        for case in run.cases:
            for name, value in case.recorded.items():
                counters.setdefault(name, [Counter() for _ in runs])[number][describe_value(value)] += 1
    return [Choice(name, [of.most_common(5) for of in values]) for name, values in sorted(counters.items())]


def describe_value(value: object) -> str:
    """Return a recorded value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]} …"


def without_clause(run: Run) -> Iterator[CaseResult]:
    """Return the cases that have no clause, such as a user's own."""
    return (case for case in run.cases if not case.clauses)
