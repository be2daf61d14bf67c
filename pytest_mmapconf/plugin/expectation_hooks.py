"""Apply expectations where the cases run: choose the entry for a case, and adjust its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pytest

from ..catalogue.clauses import load
from ..catalogue.tables import did_you_mean
from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, UNSUPPORTED
from ..expectations.file import Entry, choose, holding
from .collection import is_selection_named
from .stash import CASE, PART, PROGRAM, SETTINGS

CALL_PASSED = pytest.StashKey[bool]()
"""Of an item: present if its call has passed."""
STALE: Final = "the program on record no longer shows a difference"
REPLAYED = pytest.StashKey[bool]()
"""Of an item: present if the program on record was replayed and showed no difference."""


class ExpectationHooks:
    """The hooks of expectations, and `apply`, which `VerdictHooks` calls for each report of a case."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = config.stash[SETTINGS]
        self.entries: tuple[Entry, ...] = ()
        """The entries whose condition is true for the backend."""

    # ---- collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Choose the entries that apply to this backend; report an error for each that matches no case or clause."""
        try:
            self.entries = holding(
                self.settings.expectations, None if config.option.collectonly else self.settings.facts
            )
        except Exception:  # the backend fails to report its facts; every case will report that
            self.entries = holding(self.settings.expectations, None)
        for error in self.unmatched_entries(config, [item.stash[CASE].id for item in items if CASE in item.stash]):
            report = pytest.CollectReport("expectations", "failed", error, [])
            config.hook.pytest_collectreport(report=report)

    def unmatched_entries(self, config: pytest.Config, cases: list[str]) -> Iterable[str]:
        """Yield an error for each entry that matches no clause and no case.

        An entry for a case is checked only if this run has collected the whole module of the case.
        """
        option = config.option
        if self.settings.program is not None:
            return
        modules: set[str] | None = None  # the modules that were collected as a whole; None for all
        if option.ignore or option.ignore_glob or getattr(option, "lf", False):
            modules = set()
        elif is_selection_named(config):
            has_node_ids = any("::" in argument for argument in config.args)
            modules = set() if has_node_ids else {id.partition(".")[0] for id in cases}
        for entry in self.entries:
            known: Iterable[str] = cases if entry.kind == "case" else load()
            if any(map(entry.matches, known)) or (self.settings.plan.is_long and entry.program is not None):
                continue
            if entry.kind == "clause" or modules is None or entry.id.partition(".")[0] in modules:
                yield f"{entry}: there is no {entry.kind} {entry.id!r}; {did_you_mean(entry.id, known)}"

    # ---- running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Replay the program on record in place of a random case, which may not draw that program again."""
        entry = self.entry(item, ())
        if entry is None or entry.program is None:
            return
        from ..differential.reproducers import Judge

        judge = self.settings.judge or Judge(self.settings.bare, self.settings.level)
        replayed = judge.judge(entry.program)
        if replayed.divergence is not None:
            item.stash[PROGRAM] = replayed.program
            raise replayed.divergence
        if replayed.unsupported is None:
            item.stash[REPLAYED] = True

    def entry(self, item: pytest.Item, clauses: Iterable[str]) -> Entry | None:
        """Return the entry that applies to a case; `clauses` are those it has broken in addition to its own."""
        name = item.stash.get(CASE, None)
        if name is None or not self.entries:
            return None
        # The programs on record are known differences of a long search, which it goes on after.
        entries = [entry for entry in self.entries if entry.kind == "clause"] if PART in item.stash else self.entries
        return choose(entries, name.id, [*name.clauses, *clauses])

    def apply(self, item: pytest.Item, report: pytest.TestReport, data: dict[str, Any]) -> None:
        """Add the entry for a case to the data of a report, and adjust the verdict and pytest's outcome to it."""
        entry = self.entry(item, data.get("broken", ()))
        if entry is None:
            return
        data["expected"] = entry.as_data
        data.setdefault("seen", (data["verdict"], data["reason"]))
        verdict, reason = data["verdict"], data["reason"]
        if verdict in (FAIL, UNRESOLVED) and REPLAYED in item.stash and entry.verdict != FLAKY:
            data["reason"] = f"{STALE}; {reason}"
        elif agrees(entry, verdict):
            if verdict != UNSUPPORTED:
                data["verdict"], data["reason"] = expected_verdict(entry, report)
        elif verdict == PASS and entry.verdict == FLAKY and report.when == "call":
            data["verdict"], data["reason"] = FLAKY, entry.summary
            report.wasxfail = entry.summary
        elif verdict == PASS and entry.kind == "case" and is_repaired(item, report, entry):
            data["verdict"], data["reason"] = FAIL, f"passes, although on record as {entry.verdict}: {entry.summary}"
            report.outcome = "failed"
            report.longrepr = f"[XPASS(strict)] {data['reason']} ({entry})"


def is_repaired(item: pytest.Item, report: pytest.TestReport, entry: Entry) -> bool:
    """Return True if the verdict on record can no longer occur, now that this phase of the case has passed."""
    if report.when == "call":
        item.stash[CALL_PASSED] = True
    # a case may still become unresolved in the teardown: the implementation dies, or the system cannot be closed
    return CALL_PASSED in item.stash and report.when == ("teardown" if entry.verdict == UNRESOLVED else "call")


def agrees(entry: Entry, verdict: str) -> bool:
    """Return True if a verdict is the one on record; for flaky, if it is fail or unresolved."""
    return verdict == entry.verdict or (entry.verdict == FLAKY and verdict in (FAIL, UNRESOLVED))


def expected_verdict(entry: Entry, report: pytest.TestReport) -> tuple[str, str]:
    """Return the verdict and reason of a case that agrees with its entry, and make pytest count it as xfailed."""
    report.outcome = "skipped"
    report.wasxfail = entry.summary
    return (FLAKY if entry.verdict == FLAKY else EXPECTED), entry.summary
