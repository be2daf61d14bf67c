"""The results of one system: the names of its cases, then their verdicts.

A run judges one system, with any number of workers; with `--dist=each` every worker judges a system of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ..catalogue import verdicts
from ..catalogue.conditions import FACTS
from ..catalogue.verdicts import FAIL, FLAKY, PASS, UNRESOLVED, UNSUPPORTED, CaseResult, ClauseResult
from ..contract import Facts
from ..expectations.file import Entry, choose, holding
from .expectation_hooks import agrees, expected_verdict
from .settings import Settings
from .stash import ATTRIBUTE


class SystemResults:
    """The results of one system."""

    def __init__(self, settings: Settings, facts: Facts, worker: str = "") -> None:
        self.settings = settings
        self.facts = facts
        """The facts that a worker has reported first; until then, those of the controller's backend."""
        self.worker = worker
        """The name of the worker that judges the system, if each worker has its own; otherwise empty."""
        self.names: dict[str, tuple[str, tuple[str, ...]]] = {}
        """By node id, the id and the clauses of every case of the run."""
        self.incomplete_clauses: set[str] = set()
        """The ids of clauses of which a case is not in the run."""
        self.cases: dict[str, CaseResult] = {}
        """By node id, the results so far."""
        self.partial = False
        """True if another option or plugin (-k, -m …) has deselected cases."""
        self.properties: dict[str, str] = {}
        """The observed properties: the result of each experiment, as text."""
        self.conflicting_facts: list[Facts] = []
        """The facts of workers that judge another system than the first worker."""
        self.wrong_at_the_end = ""
        """The failure of a worker when it closed its backend; empty for none."""
        self._has_facts = False
        self._crashed: dict[str, str] = {}
        """By node id, the reason of a crash in a case whose id is not known yet."""

    def add_announcement(self, data: dict[str, Any]) -> None:
        """Add the facts and the cases that a worker reports before its first case."""
        self.names.update(data["names"])
        self.incomplete_clauses.update(data["incomplete clauses"])
        if data["facts"]:
            facts = Facts(**data["facts"])
            if self.worker:
                facts = replace(facts, details={**facts.details, "worker": self.worker})
            if self._has_facts and identity(facts) != identity(self.facts):
                self.conflicting_facts.append(facts)
            else:
                self.facts, self._has_facts = facts, True
        for nodeid in [nodeid for nodeid in self._crashed if nodeid in self.names]:
            self.case(nodeid, *self.names[nodeid]).add(UNRESOLVED, self._crashed.pop(nodeid))

    def add_report(self, report: pytest.TestReport) -> None:
        """Add a report of a phase of a case, of a worker's start, or of a worker's death."""
        data = getattr(report, ATTRIBUTE, None)
        if data is None:
            if is_crash(report):
                self.add_crash(report)
        elif "wrong at the end" in data:
            self.wrong_at_the_end = self.wrong_at_the_end or data["wrong at the end"]
        elif "names" in data:
            self.add_announcement(data)
        else:
            case = self.case(report.nodeid, data["case"], data["clauses"])
            case.clauses = tuple(data.get("broken", case.clauses))
            case.add(data["verdict"], data["reason"])
            case.add_observed(*data.get("seen", (data["verdict"], data["reason"])))
            case.expected = data.get("expected", case.expected)
            case.recorded.update(data.get("recorded", ()))
            case.reproducer += data.get("reproducer", ())
            case.evidence.update(data.get("evidence", ()))
            case.cause = case.cause or data.get("cause", {})
            case.program = data.get("program", case.program)
            self.partial = self.partial or "partial" in data
            self.add_properties(data.get("properties", {}))

    def add_properties(self, observed: Mapping[str, str]) -> None:
        """Add the results of experiments.  Workers whose results differ are both reported."""
        for name, text in observed.items():
            before = self.properties.get(name, text)
            self.properties[name] = text if text == before else f"{before}; of another worker: {text}"

    def add_crash(self, report: pytest.TestReport) -> None:
        """Add a report that a worker has died in a case; pytest-xdist reports only the node id of the case."""
        reason = str(report.longrepr)
        if report.nodeid not in self.names:  # no worker has reported the cases yet
            self._crashed[report.nodeid] = reason
            return
        case = self.case(report.nodeid, *self.names[report.nodeid])
        case.add_observed(UNRESOLVED, reason)
        entry = choose(self.entries, case.id, case.clauses)
        if entry is not None and agrees(entry, UNRESOLVED):
            case.expected = entry.as_data
            case.add(*expected_verdict(entry, report))
        else:
            case.add(UNRESOLVED, reason)

    def case(self, nodeid: str, id: str, clauses: Iterable[str]) -> CaseResult:
        """Return the result of a case; create it if the case has none yet."""
        case = self.cases.get(nodeid)
        if case is None:
            case = self.cases[nodeid] = CaseResult(id, tuple(clauses))
        return case

    def finish(self, reason: str) -> None:
        """Make every case of the run unresolved that has no result, for this reason."""
        for nodeid, (id, clauses) in self.names.items():
            if nodeid not in self.cases:
                self.case(nodeid, id, clauses).add(UNRESOLVED, reason)
        if not self.names:  # every worker died before it reported the cases
            for nodeid, crash in self._crashed.items():
                self.case(nodeid, nodeid, ()).add(UNRESOLVED, crash)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The expectations that apply to this system."""
        return holding(self.settings.expectations, self.facts)

    @property
    def is_unsupported(self) -> bool:
        """True if there are cases and every one is unsupported."""
        return bool(self.cases) and all(case.verdict == UNSUPPORTED for case in self.cases.values())

    def clause_results(self) -> list[ClauseResult]:
        """Return the results of the clauses."""
        results = verdicts.judge_all(self.settings.clauses, self.cases.values())
        passes = dict(self.unexpected_passes(results))
        return [_failed(result, passes.get(result.clause.id)) for result in results]

    def unexpected_passes(self, results: Iterable[ClauseResult]) -> Iterator[tuple[str, Entry]]:
        """Yield each clause that passes although it is on record, with its entry, if every case of it has run."""
        entries = [entry for entry in self.entries if entry.kind == "clause" and entry.verdict != FLAKY]
        if not entries:
            return
        not_run = {id for nodeid, name in self.names.items() if nodeid not in self.cases for id in name[1]}
        incomplete = not_run | self.incomplete_clauses
        for result in results:
            entry = choose(entries, "", [result.clause.id])
            if entry is None or result.verdict != PASS or result.clause.id in incomplete:
                continue
            if not any(case.observed[0] == entry.verdict for case in result.cases):
                yield result.clause.id, entry


def _failed(result: ClauseResult, entry: Entry | None) -> ClauseResult:
    """Return the failure of a clause that passes although this entry is on record; for None, the result itself."""
    if entry is None:
        return result
    return replace(
        result, verdict=FAIL, reason=f"passes, although on record as {entry.verdict}: {entry.summary} ({entry})"
    )


def identity(facts: Facts) -> list[str]:
    """Return the facts that are equal for two workers if they judge the same system."""
    return [facts.name, facts.version, *(facts.details.get(name.replace("_", " "), "") for name in FACTS)]


def is_crash(report: pytest.CollectReport | pytest.TestReport) -> bool:
    """Return True if pytest-xdist created the report for a worker that died."""
    return str(report.when) == "???"
