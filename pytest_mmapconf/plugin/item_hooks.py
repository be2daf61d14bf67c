"""Attach the result of a case to each of pytest's reports, in the process that runs the case.

The result is plain data, which pytest-xdist sends to the controller with each report; so the results of a worker that
dies later are not lost.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import asdict
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import pytest

from ..catalogue.clauses import load
from ..catalogue.verdicts import EXPECTED, FAIL, PASS, UNRESOLVED, UNSUPPORTED, CaseResult
from ..contract import Backend, Died, Unresolved
from ..differential.divergence import MAX_LINES, shortened
from ..text import TEXT, printable, printable_data, shown
from . import failure_text
from .collection import CollectionHooks
from .failure_cause import failure_cause
from .failure_evidence import as_divergence, failure_evidence
from .set_up_calls import failed_set_up
from .stash import ATTRIBUTE, CASE, FOUND, PROGRAM, RECORDED, SETTINGS

if TYPE_CHECKING:
    from ..differential.reproducers import Judge
    from .expectation_hooks import ExpectationHooks

BROKEN = pytest.StashKey[tuple[str, ...]]()
"""Of an item that has failed: the clauses that it has broken."""

RESULT = pytest.StashKey[CaseResult]()
"""Of an item: its result from the phases so far."""


class VerdictHooks:
    """Determines the verdict of each phase of a case and attaches it to the report."""

    def __init__(self, collection: CollectionHooks, expectations: ExpectationHooks | None = None) -> None:
        self.collection = collection
        self.expectations = expectations

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        name = item.stash.get(CASE, None)
        if name is None:
            return (yield)
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, NotImplementedError) and call.when != "teardown":
            call.excinfo = as_skip(error)
        if error is None:
            report = yield
        else:
            with failure_text.shortened(call, item.config):
                report = yield
        passed = report.passed and not hasattr(report, "wasxfail")
        if passed and call.when == "setup":
            return report
        if passed and call.when == "teardown" and self.expectations is None and BROKEN not in item.stash:
            item.config.stash[SETTINGS].backend.last = None
            if RESULT in item.stash:
                report.user_properties.extend(properties(item.stash[RESULT]))
            return report
        data = self.result(item, call, report)
        self.add_reproducers(item, call.when, data)
        if self.expectations is not None:
            self.expectations.apply(item, report, data)
        self.add_properties(item, report, data)
        if self.collection.has_deselected:
            data["partial"] = True
        setattr(report, ATTRIBUTE, printable_data(data))
        make_printable(report)
        return report

    def result(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> dict[str, Any]:
        """Return the result of a phase as plain data; correct pytest's outcome if it differs."""
        name, settings = item.stash[CASE], item.config.stash[SETTINGS]
        error = call.excinfo.value if call.excinfo else None
        is_pass = report.passed and not hasattr(report, "wasxfail")
        verdict, reason = (PASS, "") if is_pass else _verdict(report, error, name.clauses)
        if error is not None and verdict == FAIL and not hasattr(report, "wasxfail"):
            reason = failure_text.reason(error, settings.backend.last) or failure_text.readable(reason)
        data: dict[str, Any] = {"case": name.id, "clauses": name.clauses, "verdict": verdict, "reason": reason}
        divergence = as_divergence(error)
        if divergence is not None and verdict == FAIL:  # in each phase: set-up and teardown are compared as well
            data["broken"] = [id for id in divergence.clauses if id in settings.clauses] or name.clauses
        observed = settings.properties.news()
        if observed:
            data["properties"] = observed
        if error is None and verdict == FAIL:  # it passed, although it has an xfail mark
            data["seen"] = PASS, ""
        if call.when == "call":
            add_result_of_call(item, call, report, data)
        if error is not None and verdict in (FAIL, UNRESOLVED):
            program = item.stash.get(PROGRAM, ())
            data["cause"] = failure_cause(error, settings.backend.last, program, is_judged=verdict == FAIL)
        return data

    def add_reproducers(self, item: pytest.Item, when: str, data: dict[str, Any]) -> None:
        """Write the reproducers of a failed case and add them to the data, if the options ask for them.

        This waits for the teardown: the reproducers run after the case's system is closed.
        """
        settings = item.config.stash[SETTINGS]
        if when != "teardown":
            if data["verdict"] == FAIL:
                broken: tuple[str, ...] = tuple(data.get("broken", data["clauses"]))
                item.stash[BROKEN] = broken
            return
        recorded, settings.backend.last = settings.backend.last, None
        if BROKEN not in item.stash:
            return
        random = settings.update and item.get_closest_marker("mmap_random")
        if not (settings.reproducers or random):
            return
        from ..differential import reproducers

        clauses = item.stash[BROKEN]
        if FOUND in item.stash and not item.stash[FOUND]["new"]:
            return  # the same was found before
        judge = settings.judge or reproducers.Judge(settings.bare, settings.level)
        program = item.stash.get(PROGRAM, None) or (recorded.program()[0] if recorded is not None else ())
        if settings.reproducers:
            directory = Path(item.config.invocation_params.dir, settings.reproducers)
            data["reproducer"], data["evidence"] = reproducers.write(
                judge, program, data["case"], clauses, directory, settings.reproducers
            )
            if FOUND in item.stash:
                data["findings"] = write_findings(judge, item.stash[FOUND]["new"], directory, settings.reproducers)
        if random:
            data["program"] = reproducers.shortened(judge, program)

    def add_properties(self, item: pytest.Item, report: pytest.TestReport, data: dict[str, Any]) -> None:
        """Update the case's result; at the teardown, add its properties for pytest's own reports (--junitxml)."""
        result = item.stash.get(RESULT, None)
        if result is None:
            result = item.stash[RESULT] = CaseResult(data["case"], data["clauses"])
        result.clauses = tuple(data.get("broken", result.clauses))
        result.add(data["verdict"], data["reason"])
        if report.when == "teardown":
            report.user_properties.extend(properties(result))


def add_result_of_call(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, data: dict[str, Any]
) -> None:
    """Add what only the call of a case has: what it recorded, the evidence of its failure, what a search has found."""
    recorded = item.stash.get(RECORDED, None)
    not_compared = _not_compared(item.config.stash[SETTINGS].backend)
    if not_compared is not None and data["verdict"] == PASS:
        recorded = {**(recorded or {}), "not compared": not_compared}
    if recorded:
        data["recorded"] = {key: _as_json(value) for key, value in recorded.items()}
    if data["verdict"] == FAIL and call.excinfo:
        _add_evidence(report, data, call.excinfo, item)
    found = item.stash.get(FOUND, None)
    if found is not None:
        data["search"] = found
        broken = [id for new in found["new"] for id in new["clauses"]]
        if data["verdict"] == FAIL and broken:
            data["broken"] = list(dict.fromkeys(id for id in broken if id in load())) or data["clauses"]


def write_findings(judge: Judge, found: list[dict[str, Any]], directory: Path, called: str) -> dict[str, list[str]]:
    """Write the reproducers of each finding of a part of a search; return their files by the finding's id."""
    from ..differential import reproducers
    from ..trace.program import from_json

    return {
        new["id"]: reproducers.write(judge, from_json(new["program"]), new["id"], new["clauses"], directory, called)[0]
        for new in found
    }


def make_printable(report: pytest.TestReport) -> None:
    """Make the texts of a report printable that pytest shows: of tracebacks and sections."""
    for traceback, crash, _description in getattr(report.longrepr, "chain", ()):
        if crash is not None:
            crash.message = printable(crash.message, TEXT, lines=True)
        for entry in traceback.reprentries:
            entry.lines = [printable(line) for line in entry.lines]
            arguments = getattr(entry, "reprfuncargs", None)
            if arguments is not None:
                arguments.args = [(name, printable(value)) for name, value in arguments.args]
            variables = getattr(entry, "reprlocals", None)
            if variables is not None:
                variables.lines = [printable(line) for line in variables.lines]
    report.sections = [(title, printable(text, TEXT, lines=True)) for title, text in report.sections]


def properties(case: CaseResult) -> list[tuple[str, object]]:
    """Return the properties of a case for pytest's own reports."""
    clauses = [("mmap.clause", id) for id in case.clauses]
    return [("mmap.case", case.id), *clauses, ("mmap.verdict", case.verdict)]


def as_skip(error: NotImplementedError) -> pytest.ExceptionInfo[BaseException]:
    """Return a skip, with the reason, for a case that the backend does not support."""
    skip = pytest.skip.Exception(f"{UNSUPPORTED}: {str(error) or 'not implemented'}")
    skip._use_item_location = True  # show the location of the case, not of this line
    try:
        raise skip
    except pytest.skip.Exception as raised:
        return pytest.ExceptionInfo.from_exception(raised)


def _add_evidence(
    report: pytest.TestReport, data: dict[str, Any], excinfo: pytest.ExceptionInfo[BaseException], item: pytest.Item
) -> None:
    """Add what shows the failure of a case to its data, and, unless --tb=line, to the sections of pytest's report."""
    config, settings = item.config, item.config.stash[SETTINGS]
    data["evidence"] = evidence = failure_evidence(excinfo)
    program = item.stash.get(PROGRAM, ())
    made = failure_text.call_lines(settings.backend.last) or failure_text.numbered(program)
    if made:
        evidence["calls"] = made[-failure_text.MAX_EVIDENCE :]
    if config.getoption("tbstyle", "auto") == "line":
        return
    report.sections += failure_text.sections(data.get("broken", data["clauses"]), settings.backend.last)
    for maps in evidence.get("pictures", ()):
        is_verbose = config.getoption("verbose", 0) > 0  # without the terminal plugin there is no such option
        most = MAX_LINES if is_verbose else failure_text.MAX_PICTURE
        text = shortened(maps["text"], most, "… and more: -v shows it")
        report.sections.append((f"address space of {maps['of']}", text))
    if "requests" in evidence:
        report.sections.append(("last requests", "\n".join(evidence["requests"])))
    if "output" in evidence:
        report.sections.append(("last output of the system", evidence["output"]))


def _verdict(report: pytest.TestReport, error: BaseException | None, clauses: Iterable[str]) -> tuple[str, str]:
    """Return the verdict and reason of one phase of a case of these clauses; correct pytest's outcome if it differs."""
    on_record: str | None = getattr(report, "wasxfail", None)
    if report.skipped and on_record is None:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return UNSUPPORTED, text.removeprefix("Skipped: ").removeprefix(f"{UNSUPPORTED}: ")
    if error is None:  # the case passed although a deviation is on record
        if on_record is not None:
            del report.wasxfail
            report.longrepr = f"[XPASS(strict)] {on_record}"
        report.outcome = "failed"
        return FAIL, f"passes, although a deviation is on record: {str(report.longrepr).partition('] ')[2]}"
    imperative = isinstance(error, pytest.xfail.Exception)
    if (
        (isinstance(error, Unresolved) and not (isinstance(error, Died) and report.when == "call"))
        or _timed_out(error)
        or (report.when != "call" and not imperative and as_divergence(error) is None)
    ):
        if on_record is not None:  # the deviation on record is another one
            del report.wasxfail
        report.outcome = "failed"
        return UNRESOLVED, _in_one_line(error)
    if on_record is not None:
        return EXPECTED, on_record.removeprefix("reason: ")
    set_up = failed_set_up(error, clauses)
    if set_up is not None:
        return UNRESOLVED, f"set-up failed: {set_up}"
    return FAIL, _in_one_line(error)


def _timed_out(error: BaseException) -> bool:
    """Return True if pytest-timeout has ended the case, so that no clause is known to be broken."""
    frames = walk_tb(error.__traceback__) if isinstance(error, pytest.fail.Exception) else ()
    return any(frame.f_globals.get("__name__") == "pytest_timeout" for frame, _line in frames)


def _not_compared(backend: Backend) -> str | None:
    """Return why lockstep stopped comparing the last system; None if it did not, or there is no lockstep."""
    system = getattr(backend, "last", None)
    reason: str | None = getattr(getattr(system, "inside", system), "uncompared", None)
    return reason


def _in_one_line(error: BaseException) -> str:
    """Return an exception as one line of text; of a group of exceptions, the first."""
    if isinstance(error, BaseExceptionGroup):
        return f"{_in_one_line(error.exceptions[0])} (the first of {len(error.exceptions)})"
    text = printable(shown(error).strip().partition("\n")[0])
    if text and isinstance(error, (AssertionError, Unresolved, pytest.fail.Exception)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _as_json(value: object) -> object:
    """Return a recorded value as a type that JSON has."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


class WorkerAnnouncement:
    """In a worker: sends the backend's facts and the ids of all cases to the controller before the first test."""

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
    """Return the backend's facts and the cases of the run, as plain data."""
    cases = {item.nodeid: item.stash[CASE] for item in session.items if CASE in item.stash}
    try:
        facts = asdict(session.config.stash[SETTINGS].facts)
    except Exception:  # the backend fails to report its facts; each case will report that
        facts = None
    return {
        "facts": facts,
        "names": {node: (name.id, name.clauses) for node, name in cases.items()},
        "incomplete clauses": sorted(collection.incomplete_clauses),
    }
