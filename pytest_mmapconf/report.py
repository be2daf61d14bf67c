"""From what pytest saw to what the user is told.

`Marking` sits where the cases run and writes on each of pytest's reports, as plain data, whose case it is and what it
came to; so it arrives whole from a worker of pytest-xdist, also from one that dies later.  `Reporting` sits on the
controller and makes of it the header line, the summary, and the JSON file.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from . import verdicts
from .catalogue import included, load
from .collection import CASE
from .contract import Facts, Process, Unresolved
from .settings import RECORDED, SETTINGS, Settings
from .verdicts import EXPECTED, FAIL, PASS, UNRESOLVED, UNSUPPORTED, VERDICTS, Case, Judged

ATTRIBUTE = "mmapconf"
"""The attribute of pytest's reports that carries our data."""

PICTURES = 4
"""How many processes a failing case shows at most."""
LINES = 60
"""How many lines of each."""


def suite_version() -> str:
    """The version of the suite; a copy without metadata has the one it was copied at no longer."""
    try:
        return version("pytest-mmapconf")
    except PackageNotFoundError:
        return "(copy)"


# ------------------------------------------------------------------------------------------- where the cases run


class Marking:
    """Turns what happened to a case into its verdict, on each report."""

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
        verdict, reason = (PASS, "") if error is None and report.passed else _verdict(report, error)
        data: dict[str, Any] = {"case": name.id, "clauses": list(name.clauses), "verdict": verdict, "reason": reason}
        if call.when == "call":
            recorded = item.stash.get(RECORDED, None)
            if recorded:
                data["recorded"] = {key: _plain(value) for key, value in recorded.items()}
            if verdict == FAIL and call.excinfo:
                report.sections.extend(_pictures(call.excinfo))
        setattr(report, ATTRIBUTE, data)
        return report


def _skipped(error: NotImplementedError) -> pytest.ExceptionInfo[BaseException]:
    """What pytest sees where a case cannot be asked."""
    skip = pytest.skip.Exception(f"unsupported: {str(error) or 'not implemented'}")
    skip._use_item_location = True  # the case's place, not this one's
    try:
        raise skip
    except pytest.skip.Exception as raised:
        return pytest.ExceptionInfo.from_exception(raised)


def _verdict(report: pytest.TestReport, error: BaseException | None) -> tuple[str, str]:
    """The verdict on one phase of a case, and why.  Puts right where pytest's own outcome says another thing."""
    on_record = getattr(report, "wasxfail", None)
    if isinstance(error, Unresolved) or (error is not None and report.when != "call" and not report.skipped):
        resolved = False
    else:
        resolved = not (on_record is not None and error is not None and report.when != "call")
    if not resolved:
        if on_record is not None:
            del report.wasxfail
        report.outcome = "failed"
        return UNRESOLVED, _say(error)
    if report.skipped:
        if on_record is not None:
            return EXPECTED, on_record.removeprefix("reason: ")
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return UNSUPPORTED, text.removeprefix("Skipped: ").removeprefix("unsupported: ")
    if error is None:  # it passed, although a deviation is on record, strict or not
        if report.passed:
            report.outcome = "failed"
            report.longrepr = f"[XPASS(strict)] {on_record}"
            del report.wasxfail
        return FAIL, f"passes although a deviation is on record: {on_record or str(report.longrepr)}"
    return FAIL, _say(error)


def _say(error: BaseException | None) -> str:
    """An exception in one line."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, (AssertionError, Unresolved, pytest.fail.Exception)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _plain(value: object) -> object:
    """A recorded value as JSON has it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _pictures(excinfo: pytest.ExceptionInfo[BaseException]) -> Iterator[tuple[str, str]]:
    """The address spaces of the processes that the failing code had in its hands, innermost last."""
    found: dict[int, tuple[str, Process]] = {}
    for entry in excinfo.traceback:
        for name, value in entry.frame.f_locals.items():
            for process in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(process, Process) and name != "self":
                    found.setdefault(id(process), (name, process))
    for name, process in islice(found.values(), PICTURES):
        try:
            lines = process.picture().splitlines()
        except Exception:  # no picture, or none any more: the failure is told all the same
            continue
        if len(lines) > LINES:
            lines[LINES:] = [f"… and {len(lines) - LINES} lines more"]
        yield f"address space of {name}", "\n".join(lines)


# -------------------------------------------------------------------------------------------------- the controller


def prepare(paths: Iterable[Path]) -> None:
    """Make sure, before anything runs, that the reports can be written.  Raises UsageError."""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        except OSError as error:
            raise pytest.UsageError(f"--mmap-report={path}: cannot be written: {error.strerror}") from error


class Reporting:
    """Gathers the verdicts and tells them."""

    def __init__(self, config: pytest.Config, closing: ExitStack) -> None:
        self.config = config
        self.settings: Settings = config.stash[SETTINGS]
        self.closing = closing
        self.facts: Facts | None = None
        self.cases: dict[str, Case] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.config.option.collectonly:
            return
        try:
            self.facts = self.settings.backend.facts()
        except Exception as error:
            raise pytest.UsageError(
                f"--mmap-backend={self.settings.backend_name}: cannot start: {_say(error)}"
            ) from error
        if self.config.pluginmanager.has_plugin("dsession"):
            self.closing.close()  # only the workers go on to use it

    def pytest_report_header(self) -> str:
        return header(self.settings, self.facts)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, ATTRIBUTE, None)
        case = self.cases.get(report.nodeid)
        if data is not None:
            if case is None:
                case = self.cases[report.nodeid] = Case(data["case"], tuple(data["clauses"]))
            if data["verdict"] != PASS:
                case.add(data["verdict"], data["reason"])
            if "recorded" in data:
                case.recorded = data["recorded"]
        elif report.failed and case is not None:  # the worker died on it
            case.add(UNRESOLVED, str(report.longrepr))

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        if report.failed and report.when == "call" and getattr(report, ATTRIBUTE, {}).get("verdict") == UNRESOLVED:
            return "error", "E", "ERROR"
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.nothing_asked and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not self.config.option.collectonly:
            for path in self.settings.reports:
                text = json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"
                path.write_text(text, encoding="utf-8")

    @property
    def nothing_asked(self) -> bool:
        """Whether there were cases, and not one of them could be asked."""
        return bool(self.cases) and all(case.verdict == UNSUPPORTED for case in self.cases.values())

    def judged(self) -> list[Judged]:
        return verdicts.judge_all(self.settings.clauses, self.cases.values())

    def document(self) -> dict[str, Any]:
        """The JSON report."""
        judged = self.judged()
        facts = self.facts or Facts(self.settings.backend_name)
        return {
            "suite": {"name": "pytest-mmapconf", "version": suite_version()},
            "backend": {"name": facts.name, "version": facts.version, **dict(sorted(facts.details.items()))},
            "level": self.settings.level,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "clauses": [
                {
                    "id": entry.clause.id,
                    "level": entry.clause.level,
                    "group": entry.clause.group,
                    "verdict": entry.verdict,
                    "reason": entry.reason,
                    "cases": [_case(case) for case in entry.cases],
                }
                for entry in sorted(judged, key=lambda entry: entry.clause.id)
            ],
            "totals": verdicts.totals(entry.verdict for entry in judged),
            "cases": verdicts.totals(case.verdict for case in self.cases.values()),
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.cases:
            return
        write = terminalreporter
        colours = {FAIL: "red", UNRESOLVED: "red", UNSUPPORTED: "yellow", EXPECTED: "yellow", PASS: "green"}
        write.section("mmap conformance")
        judged = self.judged()
        if write.verbosity >= 0:
            for line in table(judged):
                write.write_line(line)
        width = shutil.get_terminal_size().columns
        for verdict, text in details(judged, width):
            write.write_line(text, **{colours[verdict]: True})
        if self.nothing_asked:
            write.write_line("nothing could be asked: every case is unsupported", red=True, bold=True)
        good, line = statement(self.settings, judged, self.cases.values())
        write.write_line(line, **{"green" if good else "red": True, "bold": True})


def _case(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {"id": case.id, "verdict": case.verdict, "reason": case.reason}
    if case.recorded:
        told["recorded"] = dict(sorted(case.recorded.items()))
    return told


def header(settings: Settings, facts: Facts | None) -> str:
    """Who is judged, by what."""
    facts = facts or Facts(settings.backend_name)
    parts = [f"backend {facts.name} {facts.version}".strip()]
    parts += [f"{name} {facts.details[name]}" for name in ("kernel", "page") if name in facts.details]
    parts += [f"level {settings.level}"]
    return f"mmapconf {suite_version()}: {', '.join(parts)}"


def table(judged: Iterable[Judged]) -> list[str]:
    """A line for each group of clauses, with how many have which verdict."""
    groups: dict[str, Counter[str]] = {}
    for entry in judged:
        groups.setdefault(entry.clause.group, Counter())[entry.verdict] += 1
    there = {verdict for counts in groups.values() for verdict in counts}
    columns = [verdict for verdict in reversed(VERDICTS) if verdict in there or verdict == PASS]
    width = max([len(group) for group in groups] + [5])
    lines = [" ".join([f"{'group':{width}}", *(f"{verdict:>11}" for verdict in columns)])] if groups else []
    for group, counts in groups.items():
        lines.append(" ".join([f"{group:{width}}", *(f"{counts[v] or '·':>11}" for v in columns)]))
    return lines


def details(judged: Iterable[Judged], width: int) -> Iterator[tuple[str, str]]:
    """(verdict, text) for each clause that is not simply kept, gravest first."""
    judged = list(judged)
    for verdict in VERDICTS:
        for entry in judged:
            if entry.verdict != verdict or (verdict == PASS and not entry.reason):
                continue
            label = "partly" if verdict == PASS else verdict
            yield (
                verdict,
                textwrap.fill(
                    f"{label:11} {entry.clause.id}: {entry.reason}",
                    max(width, 40),
                    subsequent_indent=" " * 12,
                    break_long_words=False,
                    break_on_hyphens=False,
                ),
            )


def statement(settings: Settings, judged: Iterable[Judged], cases: Iterable[Case]) -> tuple[bool, str]:
    """(whether all is well, what the run has shown)."""
    counts = Counter(entry.verdict for entry in judged)
    asked = counts.total()
    levels = included(settings.level)
    of = sum(clause.level in levels for clause in load().values())
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in reversed(VERDICTS) if counts[verdict])
    good = not counts[FAIL] and not counts[UNRESOLVED] and bool(counts[PASS] or counts[EXPECTED])
    if asked < of:
        return good, f"partial run: {asked} of {of} clauses of level {settings.level} asked: {told}"
    if good:
        return True, f"conforms to level {settings.level}: {told}"
    return False, f"does not conform to level {settings.level}: {told}"
