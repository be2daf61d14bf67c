"""Expectations where the cases run: which entry is about a case, and what its verdict becomes by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pytest

from ..catalogue.clauses import load
from ..catalogue.tables import did_you_mean
from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, UNSUPPORTED
from ..expectations.file import Entry, choose, holding
from .collection import is_selection_named
from .stash import CASE, PROGRAM, SETTINGS

CALL_PASSED = pytest.StashKey[bool]()
"""Of an item."""
STALE: Final = "the program on record no longer shows a difference"
REPLAYED = pytest.StashKey[bool]()
"""Of an item: the program on record was made again, and shows nothing."""


class ExpectationHooks:
    """The hooks; and `weigh`, for whoever marks reports."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = config.stash[SETTINGS]
        self.entries: tuple[Entry, ...] = ()
        """Those whose condition holds."""

    # ---- collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Choose the entries that are about this backend; one that matches nothing is an error."""
        try:
            self.entries = holding(
                self.settings.expectations, None if config.option.collectonly else self.settings.facts
            )
        except Exception:  # it cannot even say who it is: so will every case
            self.entries = holding(self.settings.expectations, None)
        for wrong in self.matching_nothing(config, [item.stash[CASE].id for item in items if CASE in item.stash]):
            report = pytest.CollectReport("expectations", "failed", wrong, [])
            config.hook.pytest_collectreport(report=report)

    def matching_nothing(self, config: pytest.Config, cases: list[str]) -> Iterable[str]:
        """What is wrong with entries that match no clause and no case, of those cases that all runs collect."""
        option = config.option
        if self.settings.program is not None:
            return
        whole: set[str] | None = None  # the modules of which every case was collected; None for all there are
        if option.ignore or option.ignore_glob or getattr(option, "lf", False):
            whole = set()
        elif is_selection_named(config):
            parts = any("::" in argument for argument in config.args)
            whole = set() if parts else {id.partition(".")[0] for id in cases}
        for entry in self.entries:
            known: Iterable[str] = cases if entry.kind == "case" else load()
            if any(map(entry.matches, known)):
                continue
            if entry.kind == "clause" or whole is None or entry.id.partition(".")[0] in whole:
                yield f"{entry}: there is no {entry.kind} {entry.id!r}; {did_you_mean(entry.id, known)}"

    # ---- running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Make the program on record again, in the place of a case that would have to be lucky to come upon it."""
        entry = self.entry(item, ())
        if entry is None or entry.program is None:
            return
        from ..differential.reproducers import Judge

        judge = self.settings.judge or Judge(self.settings.bare, self.settings.level)
        judged = judge.judge(entry.program)
        if judged.divergence is not None:
            item.stash[PROGRAM] = judged.program
            raise judged.divergence
        if judged.unasked is None:
            item.stash[REPLAYED] = True

    def entry(self, item: pytest.Item, clauses: Iterable[str]) -> Entry | None:
        """The entry that counts for a case, which has broken these clauses beside its own."""
        name = item.stash.get(CASE, None)
        return choose(self.entries, name.id, [*name.clauses, *clauses]) if name and self.entries else None

    def weigh(self, item: pytest.Item, report: pytest.TestReport, data: dict[str, Any]) -> None:
        """Put what is on record of a case into the data of a report, and its verdict and pytest's outcome right."""
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
                data["verdict"], data["reason"] = on_record(entry, report)
        elif verdict == PASS and entry.verdict == FLAKY and report.when == "call":
            data["verdict"], data["reason"] = FLAKY, entry.summary
            report.wasxfail = entry.summary
        elif verdict == PASS and entry.kind == "case" and over(item, report, entry):
            data["verdict"], data["reason"] = FAIL, f"passes, although on record as {entry.verdict}: {entry.summary}"
            report.outcome = "failed"
            report.longrepr = f"[XPASS(strict)] {data['reason']} ({entry})"


def over(item: pytest.Item, report: pytest.TestReport, entry: Entry) -> bool:
    """Whether a case, a phase of which has passed, can no longer come to what is on record."""
    if report.when == "call":
        item.stash[CALL_PASSED] = True
    # the implementation may die, or the system not be closed, as late as in the teardown
    return CALL_PASSED in item.stash and report.when == ("teardown" if entry.verdict == UNRESOLVED else "call")


def agrees(entry: Entry, verdict: str) -> bool:
    """Whether a verdict is what is on record."""
    return verdict == entry.verdict or (entry.verdict == FLAKY and verdict in (FAIL, UNRESOLVED))


def on_record(entry: Entry, report: pytest.TestReport) -> tuple[str, str]:
    """The verdict and reason of a case that came to what is on record; pytest counts it as xfailed."""
    report.outcome = "skipped"
    report.wasxfail = entry.summary
    return (FLAKY if entry.verdict == FLAKY else EXPECTED), entry.summary
