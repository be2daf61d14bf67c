"""What a page shows of one run, or of several side by side: computed here, so that a template only has to lay it out.

A page tells each thing once.  Cases that came to the same for the same reason are listed together, by function.  What
was seen where a case fails stands under the first clause that needs it, others point there; and as a broken
implementation may fail in a thousand cases for one reason, each clause shows a few, of different reasons where there
are, and the page no more than a budget allows.  The JSON report has them all.
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
from .result import Run

SYMBOLS: Final = {PASS: "✓", FAIL: "✗", UNRESOLVED: "?", UNSUPPORTED: "○", EXPECTED: "!", FLAKY: "~"}
"""A sign for each verdict, so that colour is never the only one."""

MEANINGS: Final = {
    PASS: "the implementation kept its promise, in every case that could be asked",
    FAIL: "it broke its promise, in at least one case",
    UNRESOLVED: "the suite could not tell: the implementation died or hangs, or set-up failed",
    UNSUPPORTED: "it cannot be asked",
    EXPECTED: "a deviation on record",
    FLAKY: "on record as one that comes to this or that",
}

MOST: Final = 3
"""Failing cases that a clause shows with what was seen."""

REASONS: Final = 3
"""Reasons that a clause tells of cases that it does not show."""

OTHER_REASONS: Final = "for further reasons, which the JSON report has"

AROUND: Final = 1500
"""Characters around what was seen of one case."""

BUDGET: Final = 600_000
"""Characters that all of these may take together."""


class Listed(NamedTuple):
    """Cases of a clause that came to the same, for the same reason."""

    verdict: str
    reason: str
    number: int
    functions: list[tuple[str, list[str]]]
    """Each with the parameters of its cases."""


class Shown(NamedTuple):
    """A case with what was seen where it fails."""

    anchor: str
    case: CaseResult

    @property
    def evidence(self) -> dict[str, Any]:
        """What was seen, with something for every name."""
        program = {"steps": [], "c": "", "lacks": "", **self.case.evidence.get("program", {})}
        return {"expected": "", "step": "", "pictures": [], **self.case.evidence, "program": program}


@dataclass
class Cell:
    """One clause in one run."""

    judged: ClauseResult
    shown: list[Shown] = field(default_factory=list)
    elsewhere: list[Shown] = field(default_factory=list)
    """What stands under another clause."""

    @property
    def verdict(self) -> str:
        return self.judged.verdict

    @property
    def kept(self) -> bool:
        """Whether every case passes."""
        return all(case.verdict == PASS for case in self.judged.cases)

    @property
    def told(self) -> set[str]:
        """The reasons that need not be told again: those of the cases that are shown."""
        return {"", *(shown.case.reason for shown in self.shown)}

    @property
    def on_record(self) -> list[dict[str, Any]]:
        """The entries in files of expectations that its cases meet, each once, with a link that is safe to follow."""
        entries = {
            (case.expected["file"], case.expected["number"]): case.expected
            for case in self.judged.cases
            if case.expected
        }
        return [{**entry, "link": web(entry.get("link", ""))} for entry in entries.values()]

    @property
    def listed(self) -> list[Listed]:
        """The cases that are not shown, gravest first."""
        apart = {id(shown.case) for shown in chain(self.shown, self.elsewhere)}
        alike: dict[str, dict[str, list[CaseResult]]] = {}
        for case in self.judged.cases:
            if id(case) not in apart:
                alike.setdefault(case.verdict, {}).setdefault(case.reason, []).append(case)
        rows: list[Listed] = []
        for verdict, reasons in sorted(alike.items(), key=lambda entry: order(entry[0])):
            told = list(reasons.items())
            rest = [case for _, cases in told[REASONS:] for case in cases]
            rows.extend(Listed(verdict, reason, len(cases), by_function(cases)) for reason, cases in told[:REASONS])
            if rest:
                rows.append(Listed(verdict, OTHER_REASONS, len(rest), by_function(rest)))
        return rows


class Row(NamedTuple):
    """One clause in every run; None where it was not asked."""

    clause: Clause
    cells: list[Cell | None]

    @property
    def verdicts(self) -> list[str]:
        return list(dict.fromkeys(cell.verdict for cell in self.cells if cell))

    @property
    def functions(self) -> list[tuple[str, list[str]]]:
        """Its cases in all runs."""
        cases = {case.id: case for cell in self.cells if cell for case in cell.judged.cases}
        return by_function(cases[id] for id in sorted(cases))

    @property
    def differs(self) -> bool:
        """Whether not all runs that were asked come to the same."""
        return len(self.verdicts) > 1


def web(link: str) -> str:
    """A link, if it leads to the web; of what else it may be, nothing."""
    return link if link.startswith(("https://", "http://")) else ""


def order(verdict: str) -> int:
    """Where a verdict stands among all."""
    return VERDICTS.index(verdict)


def by_function(cases: Iterable[CaseResult]) -> list[tuple[str, list[str]]]:
    """Cases by function, each with the parameters: "munmap.range[whole]" is "whole" of "munmap.range"."""
    found: dict[str, list[str]] = {}
    for case in cases:
        function, bracket, parameters = case.id.partition("[")
        found.setdefault(function, []).extend([parameters.removesuffix("]")] if bracket else [])
    return list(found.items())


def groups(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """The clauses of all runs by group, as a page lays them out."""
    cells = [{entry.clause.id: Cell(entry) for entry in run.judged} for run in runs]
    place(cells)
    clauses: dict[str, Clause] = {}
    for run in sorted(runs, key=lambda run: -len(run.judged)):  # so that the catalogue's order is the longest run's
        for entry in run.judged:
            clauses.setdefault(entry.clause.id, entry.clause)
    found: dict[str, list[Row]] = {}
    for id, clause in clauses.items():
        found.setdefault(clause.group, []).append(Row(clause, [of.get(id) for of in cells]))
    return found


def place(runs: Sequence[dict[str, Cell]]) -> None:
    """Say where what was seen is shown: the first of every clause, then the second, while there is room."""
    waiting: list[tuple[int, int, Cell, CaseResult]] = []
    for number, cells in enumerate(runs):
        for cell in cells.values():
            waiting.extend((rank, number, cell, case) for rank, case in enumerate(telling(cell.judged)))
    room = BUDGET
    placed: dict[int, Shown] = {}
    for _, _, cell, case in sorted(waiting, key=lambda entry: entry[:2]):
        there = placed.get(id(case))
        if there is not None:
            cell.elsewhere.append(there)
        elif (room := room - size(case.evidence)) >= 0:
            placed[id(case)] = Shown(f"case-{len(placed) + 1}", case)
            cell.shown.append(placed[id(case)])
        else:
            room += size(case.evidence)


def telling(judged: ClauseResult) -> list[CaseResult]:
    """The cases of a clause whose evidence tells most: of each reason the shortest first."""
    cases = sorted((case for case in judged.cases if case.evidence), key=lambda case: size(case.evidence))
    firsts = {case.reason: case for case in reversed(cases)}
    first = [case for case in cases if firsts[case.reason] is case]
    return [*first, *(case for case in cases if firsts[case.reason] is not case)][:MOST]


def size(evidence: dict[str, Any]) -> int:
    """Characters that evidence takes on a page, roughly."""
    program = evidence.get("program", {})
    texts = [
        program.get("c", ""),
        *program.get("steps", ()),
        *(picture["text"] for picture in evidence.get("pictures", ())),
    ]
    return AROUND + sum(map(len, texts))


# ---------------------------------------------------------------------------------------------------------- the run


class Reason(NamedTuple):
    """Why clauses could not be asked."""

    reason: str
    clauses: list[str]


def not_asked(run: Run) -> list[Reason]:
    """What was unsupported, by reason."""
    return by_reason((entry.reason, entry.clause.id) for entry in run.judged if entry.verdict == UNSUPPORTED)


def causes_not_asked(run: Run) -> list[Reason]:
    """The same of causes, where the clause passes by others."""
    return by_reason((entry.reason, entry.clause.id) for entry in run.judged if entry.causes_not_asked)


def by_reason(pairs: Iterable[tuple[str, str]]) -> list[Reason]:
    """Clauses by reason, the most frequent first."""
    found: dict[str, list[str]] = {}
    for reason, id in pairs:
        found.setdefault(reason, []).append(id)
    return sorted(map(Reason, found.keys(), found.values()), key=lambda entry: -len(entry.clauses))


def counts(run: Run) -> list[tuple[str, int, int]]:
    """(verdict, clauses, cases) of a run, what passes first; only verdicts that there are, and pass and fail."""
    clauses, cases = totals(entry.verdict for entry in run.judged), totals(case.verdict for case in run.cases)
    told = [(verdict, clauses[verdict], cases[verdict]) for verdict in reversed(VERDICTS)]
    return [entry for entry in told if entry[1] or entry[2] or entry[0] in (PASS, FAIL)]


def levels(runs: Sequence[Run]) -> list[str]:
    """The levels that clauses of these runs have."""
    there = {entry.clause.level for run in runs for entry in run.judged}
    return [level for level in LEVELS if level in there]


MAIN_FACTS: Final = (
    *("level", "shard", "suite", "date", "backend", "version", "kernel", "machine"),
    *("libc", "page", "file system", "user"),
)
"""What a reader wants to know of a run first."""


def facts(run: Run) -> dict[str, str]:
    """Who was judged, by what and when, by name."""
    details = {name: value for name, value in sorted(run.facts.details.items()) if value}
    about = {"level": run.level, "shard": run.shard, "suite": f"pytest-mmapconf {run.suite}", "date": run.date}
    about |= {"backend": run.facts.name, "version": run.facts.version, **details}
    return {name: about[name] for name in (*MAIN_FACTS, *about) if about.get(name)}


def labels(runs: Sequence[Run]) -> list[str]:
    """What to call each run, by what tells them apart."""
    told: list[list[str]] = [[run.facts.name] for run in runs]
    others = sorted({name for run in runs for name in run.facts.details})
    for name in ("version", "level", "suite", *others, "shard", "date"):
        if len({tuple(parts) for parts in told}) == len(runs):
            break
        values = [facts(run).get(name, "") for run in runs]
        if len(set(values)) > 1:
            for parts, value in zip(told, values, strict=True):
                parts.extend([value] if value else [])
    found = [", ".join(parts) for parts in told]
    return [
        f"{label} ({found[: number + 1].count(label)})" if found.count(label) > 1 else label
        for number, label in enumerate(found)
    ]


LONGEST: Final = 200
"""Characters of a recorded value."""


class Choice(NamedTuple):
    """What cases have recorded under one name."""

    name: str
    values: list[list[tuple[str, int]]]
    """For each run: the values seen, and in how many cases."""


def choices(runs: Sequence[Run]) -> list[Choice]:
    """What cases have recorded, by name."""
    found: dict[str, list[Counter[str]]] = {}
    for number, run in enumerate(runs):
        for case in run.cases:
            for name, value in case.recorded.items():
                found.setdefault(name, [Counter() for _ in runs])[number][told(value)] += 1
    return [Choice(name, [of.most_common(5) for of in values]) for name, values in sorted(found.items())]


def told(value: object) -> str:
    """A recorded value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def without_clause(run: Run) -> Iterator[CaseResult]:
    """The cases that are about no clause: users' own."""
    return (case for case in run.cases if not case.clauses)
