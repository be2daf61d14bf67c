"""What has come in of one system: the names of its cases, then their verdicts.

There is one such system in a run, however many workers ask it; with `--dist=each` there is one for each worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ..catalogue import verdicts
from ..catalogue.conditions import FACTS
from ..catalogue.verdicts import FAIL, FLAKY, PASS, UNRESOLVED, UNSUPPORTED, CaseResult, ClauseResult
from ..contract import Facts
from ..expectations.file import Entry, choose, holding
from .expectation_hooks import agrees, on_record
from .settings import Settings
from .stash import ATTRIBUTE


class SystemResults:
    """What has come in of one system, whose `facts` are those of the controller's backend until it tells its own."""

    def __init__(self, settings: Settings, facts: Facts, worker: str = "") -> None:
        self.settings = settings
        self.facts = facts
        self.worker = worker
        """Who judges it, where each worker has a system of its own."""
        self.names: dict[str, tuple[str, tuple[str, ...]]] = {}
        """By node id, the id and the clauses of every case that is to be run."""
        self.not_whole: set[str] = set()
        """Clauses of which some case is not to be run."""
        self.cases: dict[str, CaseResult] = {}
        """By node id."""
        self.partial = False
        """Whether somebody (-k, -m …) took cases away."""
        self.others: list[Facts] = []
        """What workers say of themselves that do not ask the same system as the first did."""
        self._told = False
        self._crashed: dict[str, str] = {}

    def announce(self, data: dict[str, Any]) -> None:
        """Take what a worker says of itself before its first case."""
        self.names.update(data["names"])
        self.not_whole.update(data["not whole"])
        if data["facts"]:
            facts = Facts(**data["facts"])
            if self.worker:
                facts = replace(facts, details={**facts.details, "worker": self.worker})
            if self._told and compared(facts) != compared(self.facts):
                self.others.append(facts)
            else:
                self.facts, self._told = facts, True
        for nodeid in [nodeid for nodeid in self._crashed if nodeid in self.names]:
            self.case(nodeid, *self.names[nodeid]).add(UNRESOLVED, self._crashed.pop(nodeid))

    def take(self, report: pytest.TestReport) -> None:
        """Take a report of a phase of a case, or that its worker has died in it."""
        data = getattr(report, ATTRIBUTE, None)
        if data is None:
            if crashed(report):
                self.crash(report)
        elif "names" in data:
            self.announce(data)
        else:
            case = self.case(report.nodeid, data["case"], data["clauses"])
            case.clauses = tuple(data.get("broken", case.clauses))
            case.add(data["verdict"], data["reason"])
            case.add_observed(*data.get("seen", (data["verdict"], data["reason"])))
            case.expected = data.get("expected", case.expected)
            case.recorded.update(data.get("recorded", ()))
            case.reproducer += data.get("reproducer", ())
            case.evidence.update(data.get("evidence", ()))
            case.program = data.get("program", case.program)
            self.partial = self.partial or "partial" in data

    def crash(self, report: pytest.TestReport) -> None:
        """Note that a worker has died in a case; pytest-xdist knows no more of it than the node id."""
        why = str(report.longrepr)
        if report.nodeid not in self.names:  # until a worker lives long enough to say whose it is
            self._crashed[report.nodeid] = why
            return
        case = self.case(report.nodeid, *self.names[report.nodeid])
        case.add_observed(UNRESOLVED, why)
        entry = choose(self.entries, case.id, case.clauses)
        if entry is not None and agrees(entry, UNRESOLVED):
            case.expected = entry.as_data
            case.add(*on_record(entry, report))
        else:
            case.add(UNRESOLVED, why)

    def case(self, nodeid: str, id: str, clauses: Iterable[str]) -> CaseResult:
        """What has come in of a case."""
        case = self.cases.get(nodeid)
        if case is None:
            case = self.cases[nodeid] = CaseResult(id, tuple(clauses))
        return case

    def finish(self, why: str) -> None:
        """Give a verdict to every case that was to be run and of which nothing has come in."""
        for nodeid, (id, clauses) in self.names.items():
            if nodeid not in self.cases:
                self.case(nodeid, id, clauses).add(UNRESOLVED, why)
        if not self.names:  # no worker has lived long enough to say whose cases they are
            for nodeid, crash in self._crashed.items():
                self.case(nodeid, nodeid, ()).add(UNRESOLVED, crash)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The expectations that are about this system."""
        return holding(self.settings.expectations, self.facts)

    @property
    def nothing_asked(self) -> bool:
        """Whether there were cases, and not one of them could be asked."""
        return bool(self.cases) and all(case.verdict == UNSUPPORTED for case in self.cases.values())

    def judged(self) -> list[ClauseResult]:
        """The verdicts on the clauses."""
        judged = verdicts.judge_all(self.settings.clauses, self.cases.values())
        passing = dict(self.passing(judged))
        return [_failed(entry, passing.get(entry.clause.id)) for entry in judged]

    def passing(self, judged: Iterable[ClauseResult]) -> Iterator[tuple[str, Entry]]:
        """The clauses that pass although they are on record, each with its entry; those of which every case was run."""
        entries = [entry for entry in self.entries if entry.kind == "clause" and entry.verdict != FLAKY]
        if not entries:
            return
        left = {id for nodeid, name in self.names.items() if nodeid not in self.cases for id in name[1]}
        for of in judged:
            entry = choose(entries, "", [of.clause.id])
            whole = of.clause.id not in left | self.not_whole
            if (
                entry
                and whole
                and of.verdict == PASS
                and not any(case.observed[0] == entry.verdict for case in of.cases)
            ):
                yield of.clause.id, entry


def _failed(judged: ClauseResult, entry: Entry | None) -> ClauseResult:
    """The verdict on a clause that passes, although this entry is about it."""
    if entry is None:
        return judged
    return replace(
        judged, verdict=FAIL, reason=f"passes, although on record as {entry.verdict}: {entry.summary} ({entry})"
    )


def compared(facts: Facts) -> list[str]:
    """What has to be the same for two workers to ask the same system."""
    return [facts.name, facts.version, *(facts.details.get(name.replace("_", " "), "") for name in FACTS)]


def crashed(report: pytest.CollectReport | pytest.TestReport) -> bool:
    """Whether pytest-xdist made this report up, for a worker that died."""
    return str(report.when) == "???"
