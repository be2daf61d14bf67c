"""Where the cases run: what happened to a case, and whose it is, on each of pytest's reports.

It travels as plain data, so it arrives whole from a worker of pytest-xdist, also from one that dies later.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import pytest

from ..catalogue.verdicts import EXPECTED, FAIL, PASS, UNRESOLVED, UNSUPPORTED, CaseResult
from ..contract import Backend, Unresolved
from .collection import CollectionHooks
from .failure_evidence import as_divergence, failure_evidence
from .stash import ATTRIBUTE, CASE, PROGRAM, RECORDED, SETTINGS

if TYPE_CHECKING:
    from .expectation_hooks import ExpectationHooks

BROKEN = pytest.StashKey[tuple[str, ...]]()
"""Of an item that has failed: the clauses."""

WORST = pytest.StashKey[CaseResult]()
"""Of an item: what it came to so far."""


class VerdictHooks:
    """Turns what happened to a case into its verdict, on each report."""

    def __init__(self, collection: CollectionHooks, expecting: ExpectationHooks | None = None) -> None:
        self.collection = collection
        self.expecting = expecting

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        name = item.stash.get(CASE, None)
        if name is None:
            return (yield)
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, NotImplementedError) and call.when != "teardown":
            call.excinfo = _skipped(error)
        report = yield
        simply_passed = report.passed and not hasattr(report, "wasxfail")
        if simply_passed and call.when != "call" and WORST not in item.stash:
            return report  # nothing has been asked, or not yet
        verdict, reason = (PASS, "") if simply_passed else _verdict(report, error)
        data: dict[str, Any] = {"case": name.id, "clauses": name.clauses, "verdict": verdict, "reason": reason}
        if error is None and verdict == FAIL:  # it passed, although it has an xfail mark
            data["seen"] = PASS, ""
        if call.when == "call":
            recorded = item.stash.get(RECORDED, None)
            not_compared = _not_compared(item.config.stash[SETTINGS].backend)
            if not_compared is not None and verdict == PASS:
                recorded = {**(recorded or {}), "not compared": not_compared}
            if recorded:
                data["recorded"] = {key: _plain(value) for key, value in recorded.items()}
            if verdict == FAIL and call.excinfo:
                data["evidence"] = evidence = failure_evidence(call.excinfo)
                divergence = as_divergence(call.excinfo.value)
                if divergence is not None:
                    cited = [id for id in divergence.clauses if id in item.config.stash[SETTINGS].clauses]
                    data["broken"] = cited or name.clauses
                for picture in evidence.get("pictures", ()):
                    report.sections.append((f"address space of {picture['of']}", picture["text"]))
        self.keep_evidence(item, call.when, verdict, data)
        if self.expecting is not None:
            self.expecting.weigh(item, report, data)
        self.keep_properties(item, report, data)
        if self.collection.dropped:
            data["partial"] = True
        setattr(report, ATTRIBUTE, data)
        return report

    def keep_evidence(self, item: pytest.Item, when: str, verdict: str, data: dict[str, Any]) -> None:
        """Write or tell what shows a failure, where that was asked for, once the case is over and its system closed."""
        settings = item.config.stash[SETTINGS]
        if not (settings.reproducers or settings.update):
            return
        if when != "teardown":
            if verdict == FAIL:
                broken: tuple[str, ...] = tuple(data.get("broken", data["clauses"]))
                item.stash[BROKEN] = broken
            return
        recorded = getattr(settings.backend, "last", None)
        settings.backend.last = None  # type: ignore[attr-defined]
        if BROKEN not in item.stash:
            return
        random = settings.update and item.get_closest_marker("mmap_random")
        if not (settings.reproducers or random):
            return
        from ..differential import reproducers as evidence

        clauses = item.stash[BROKEN]
        judge = settings.judge or evidence.Judge(settings.bare, settings.level)
        program = item.stash.get(PROGRAM, None) or (recorded.program()[0] if recorded is not None else ())
        if settings.reproducers:
            folder = Path(item.config.invocation_params.dir, settings.reproducers)
            data["reproducer"], data["evidence"] = evidence.write(
                judge, program, data["case"], clauses, folder, settings.reproducers
            )
        if random:
            data["program"] = evidence.shortened(judge, program)

    def keep_properties(self, item: pytest.Item, report: pytest.TestReport, data: dict[str, Any]) -> None:
        """Once the case is over, what pytest's own reports (--junitxml) are to tell of it."""
        worst = item.stash.get(WORST, None)
        if worst is None:
            worst = item.stash[WORST] = CaseResult(data["case"], data["clauses"])
        worst.clauses = tuple(data.get("broken", worst.clauses))
        worst.add(data["verdict"], data["reason"])
        if report.when == "teardown":
            report.user_properties.extend(properties(worst))


def properties(case: CaseResult) -> list[tuple[str, object]]:
    """What pytest's own reports tell of a case."""
    clauses = [("mmap.clause", id) for id in case.clauses]
    return [("mmap.case", case.id), *clauses, ("mmap.verdict", case.verdict)]


def _skipped(error: NotImplementedError) -> pytest.ExceptionInfo[BaseException]:
    """What pytest sees where a case cannot be asked."""
    skip = pytest.skip.Exception(f"unsupported: {str(error) or 'not implemented'}")
    skip._use_item_location = True  # the case's place, not this one's
    try:
        raise skip
    except pytest.skip.Exception as raised:
        return pytest.ExceptionInfo.from_exception(raised)


def _verdict(report: pytest.TestReport, error: BaseException | None) -> tuple[str, str]:
    """The verdict on one phase of a case, and why.  Puts right where pytest's outcome says another thing."""
    on_record: str | None = getattr(report, "wasxfail", None)
    cannot_ask = report.skipped and on_record is None
    if cannot_ask:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return UNSUPPORTED, text.removeprefix("Skipped: ").removeprefix("unsupported: ")
    if error is None:  # it passed although a deviation is on record
        if on_record is not None:
            del report.wasxfail
            report.longrepr = f"[XPASS(strict)] {on_record}"
        report.outcome = "failed"
        return FAIL, f"passes, although a deviation is on record: {str(report.longrepr).partition('] ')[2]}"
    imperative = isinstance(error, pytest.xfail.Exception)
    if (
        isinstance(error, Unresolved)
        or _timed_out(error)
        or (report.when != "call" and not imperative and as_divergence(error) is None)
    ):
        if on_record is not None:  # a deviation on record says nothing of this
            del report.wasxfail
        report.outcome = "failed"
        return UNRESOLVED, _say(error)
    if on_record is not None:
        return EXPECTED, on_record.removeprefix("reason: ")
    return FAIL, _say(error)


def _timed_out(error: BaseException) -> bool:
    """Whether pytest-timeout has ended the case, which says of no clause that it is broken."""
    frames = walk_tb(error.__traceback__) if isinstance(error, pytest.fail.Exception) else ()
    return any(frame.f_globals.get("__name__") == "pytest_timeout" for frame, _line in frames)


def _not_compared(backend: Backend) -> str | None:
    """Why lockstep could not compare the system that was booted last to its end."""
    system = getattr(backend, "last", None)
    reason: str | None = getattr(getattr(system, "inside", system), "uncompared", None)
    return reason


def _say(error: BaseException) -> str:
    """An exception in one line; of several at once, the first."""
    if isinstance(error, BaseExceptionGroup):
        return f"{_say(error.exceptions[0])} (the first of {len(error.exceptions)})"
    text = str(error).strip().partition("\n")[0]
    if text and isinstance(error, (AssertionError, Unresolved, pytest.fail.Exception)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _plain(value: object) -> object:
    """A recorded value as JSON has it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


class WorkerAnnouncement:
    """In a worker: tells the controller, before the first test, what there is: the names of all cases."""

    def __init__(self, config: pytest.Config, collection: CollectionHooks) -> None:
        self.config = config
        self.collection = collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self.config.pluginmanager.unregister(self)
        report = pytest.TestReport(item.nodeid, item.location, {}, "passed", None, "setup")
        setattr(report, ATTRIBUTE, announcement(item.session, self.collection))
        self.config.hook.pytest_runtest_logreport(report=report)


def announcement(session: pytest.Session, collection: CollectionHooks) -> dict[str, Any]:
    """What there is, as plain data."""
    cases = {item.nodeid: item.stash[CASE] for item in session.items if CASE in item.stash}
    try:
        facts = asdict(session.config.stash[SETTINGS].facts)
    except Exception:  # each case will say so
        facts = None
    return {
        "facts": facts,
        "names": {node: (name.id, name.clauses) for node, name in cases.items()},
        "not whole": sorted(collection.not_whole),
    }
