"""From what pytest saw to what the user is told.

`Marking` sits where the cases run and writes on each of pytest's reports, as plain data, whose case it is and what it
came to; so it arrives whole from a worker of pytest-xdist, also from one that dies later.  `Announcing` tells the
controller the names of a worker's cases before the first of them runs, for a worker that dies in it.  `Reporting` sits
on the controller and makes of it all the header line, the summary, and the JSON file.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from . import verdicts
from .catalogue import included, load
from .collection import CASE, Collection, named
from .contract import Backend, Facts, Process, Unresolved
from .settings import PROGRAM, RECORDED, SETTINGS

if TYPE_CHECKING:
    from .lockstep import Divergence
from .verdicts import EXPECTED, FAIL, PASS, UNRESOLVED, UNSUPPORTED, VERDICTS, Case, Judged

ATTRIBUTE: Final = "mmapconf"
"""The attribute of pytest's reports that carries our data."""

BROKEN = pytest.StashKey[tuple[str, ...]]()
"""Of an item that has failed: the clauses."""

PICTURES: Final = 4
"""How many processes a failing case shows at most."""
LINES: Final = 60
"""How many lines of each."""


def suite_version() -> str:
    """The suite's version.  A copy under another name has no metadata of its own."""
    try:
        return version("pytest-mmapconf") if __package__ == "pytest_mmapconf" else "(copy)"
    except PackageNotFoundError:
        return "(not installed)"


# ------------------------------------------------------------------------------------------- where the cases run


class Marking:
    """Turns what happened to a case into its verdict, on each report."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

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
        verdict, reason = (PASS, "") if simply_passed else _verdict(report, error)
        data: dict[str, Any] = {"case": name.id, "clauses": name.clauses, "verdict": verdict, "reason": reason}
        if call.when == "call":
            recorded = item.stash.get(RECORDED, None)
            not_compared = _not_compared(item.config.stash[SETTINGS].backend)
            if not_compared is not None and verdict == PASS:
                recorded = {**(recorded or {}), "not compared": not_compared}
            if recorded:
                data["recorded"] = {key: _plain(value) for key, value in recorded.items()}
            if verdict == FAIL and call.excinfo:
                divergence = _divergence(call.excinfo.value)
                if divergence is not None:
                    cited = [id for id in divergence.clauses if id in item.config.stash[SETTINGS].clauses]
                    data["broken"] = cited or name.clauses
                    titles = "address space of the implementation", "address space of the reference"
                    report.sections.extend(zip(titles, map(_shortened, divergence.pictures), strict=True))
                else:
                    report.sections.extend(_pictures(call.excinfo))
        self.keep_evidence(item, call.when, verdict, data)
        if self.collection.dropped:
            data["partial"] = True
        setattr(report, ATTRIBUTE, data)
        return report

    def keep_evidence(self, item: pytest.Item, when: str, verdict: str, data: dict[str, Any]) -> None:
        """With --mmap-reproducers, write what shows a failure, once the case is over and its system closed."""
        settings = item.config.stash[SETTINGS]
        if not settings.reproducers or settings.judge is None:
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
        from . import evidence

        clauses = item.stash[BROKEN]
        program = item.stash.get(PROGRAM, None) or (recorded.program()[0] if recorded is not None else ())
        folder = Path(item.config.invocation_params.dir, settings.reproducers)
        data["reproducer"] = evidence.write(
            settings.judge, program, data["case"], clauses, folder, settings.reproducers
        )


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
    if isinstance(error, Unresolved) or (report.when != "call" and not imperative and _divergence(error) is None):
        if on_record is not None:  # a deviation on record says nothing of this
            del report.wasxfail
        report.outcome = "failed"
        return UNRESOLVED, _say(error)
    if on_record is not None:
        return EXPECTED, on_record.removeprefix("reason: ")
    return FAIL, _say(error)


def _divergence(error: BaseException | None) -> Divergence | None:
    """The error, if it is a difference that lockstep has found; asked without importing what few runs need."""
    lockstep = sys.modules.get(f"{__package__}.lockstep")
    return error if lockstep is not None and isinstance(error, lockstep.Divergence) else None


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


def _pictures(excinfo: pytest.ExceptionInfo[BaseException]) -> Iterator[tuple[str, str]]:
    """The address spaces of the processes that the failing code had in its hands."""
    found: dict[int, tuple[str, Process]] = {}
    for entry in excinfo.traceback:
        for name, value in entry.frame.f_locals.items():
            for process in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(process, Process) and name != "self":
                    found.setdefault(id(process), (name, process))
    for name, process in islice(found.values(), PICTURES):
        try:
            picture = process.picture()
        except Exception:  # no picture, or none any more: the failure is told all the same
            continue
        yield f"address space of {name}", _shortened(picture)


def _shortened(picture: str) -> str:
    """A picture, not too long."""
    lines = picture.splitlines()
    if len(lines) > LINES:
        lines[LINES:] = [f"… and {len(lines) - LINES} lines more"]
    return "\n".join(lines)


class Announcing:
    """In a worker: tells the controller, before the first test, the names of all cases."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self.config.pluginmanager.unregister(self)
        cases = {item.nodeid: item.stash[CASE] for item in item.session.items if CASE in item.stash}
        report = pytest.TestReport(item.nodeid, item.location, {}, "passed", None, "setup")
        setattr(report, ATTRIBUTE, {"names": {node: (name.id, name.clauses) for node, name in cases.items()}})
        self.config.hook.pytest_runtest_logreport(report=report)


# -------------------------------------------------------------------------------------------------- the controller


def prepare(paths: Iterable[Path]) -> None:
    """Make sure, before anything runs, that the reports can be written.  Raises UsageError."""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        except FileExistsError:
            raise pytest.UsageError(f"--mmap-report={path}: cannot be written: its folder is a file") from None
        except OSError as error:
            raise pytest.UsageError(f"--mmap-report={path}: cannot be written: {error.strerror}") from error


class Reporting:
    """Gathers the verdicts and tells them."""

    def __init__(self, config: pytest.Config, closing: ExitStack) -> None:
        self.config = config
        self.settings = config.stash[SETTINGS]
        self.closing = closing
        self.facts = Facts(self.settings.backend_name)
        self.names: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.cases: dict[str, Case] = {}
        self.partial = named(config) or self.settings.narrowed
        """Whether there are cases of the level that were not run."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.config.option.collectonly:
            return
        try:
            self.facts = self.settings.backend.facts()
        except Exception as error:
            name = self.settings.backend_name
            kind = f"{type(error).__name__}: " if type(error).__module__ == "builtins" else ""
            raise pytest.UsageError(f"--mmap-backend={name}: cannot start: {kind}{error}") from error
        if self.config.pluginmanager.has_plugin("dsession"):
            self.closing.close()  # only the workers go on to use it

    def pytest_report_header(self) -> str:
        return header(self.facts, self.settings.level)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.partial = self.partial or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, ATTRIBUTE, None)
        if data is None:
            if _crashed(report) and report.nodeid in self.names:
                self.case(report.nodeid, *self.names[report.nodeid]).add(UNRESOLVED, str(report.longrepr))
        elif "names" in data:
            self.names.update(data["names"])
        else:
            case = self.case(report.nodeid, data["case"], data["clauses"])
            case.clauses = tuple(data.get("broken", case.clauses))
            case.add(data["verdict"], data["reason"])
            case.recorded.update(data.get("recorded", ()))
            case.reproducer += data.get("reproducer", ())
            self.partial = self.partial or "partial" in data

    def case(self, nodeid: str, id: str, clauses: Iterable[str]) -> Case:
        case = self.cases.get(nodeid)
        if case is None:
            case = self.cases[nodeid] = Case(id, tuple(clauses))
        return case

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        if report.failed:
            unresolved = report.when == "call" and getattr(report, ATTRIBUTE, {}).get("verdict") == UNRESOLVED
            if unresolved or (_crashed(report) and report.nodeid in self.names):
                return "error", "E", "ERROR"
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.partial = self.partial or bool(session.shouldstop or session.shouldfail)
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
        about = {**self.facts.details, "name": self.facts.name, "version": self.facts.version}
        return {
            "suite": {"name": "pytest-mmapconf", "version": suite_version()},
            "backend": dict(sorted(about.items())),
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
        write = terminalreporter.write_line
        judged = self.judged()
        terminalreporter.write_sep("=", "mmap conformance")
        if terminalreporter.verbosity >= 0:
            for line in table(judged):
                write(line)
        if terminalreporter.verbosity >= -1:
            for text, markup in details(judged, shutil.get_terminal_size().columns):
                write(text, **markup)
        if self.nothing_asked:
            write("nothing could be asked: every case is unsupported", red=True, bold=True)
        files = [line for case in self.cases.values() for line in case.reproducer]
        if files and terminalreporter.verbosity >= -1:
            write("reproducers", bold=True)
            for line in files:
                write(f"  {line}")
        good, line = statement(self.settings.level, self.partial, judged)
        write(line, bold=True, **{"green" if good else "red": True})


def _crashed(report: pytest.CollectReport | pytest.TestReport) -> bool:
    """Whether pytest-xdist made this report up, for a worker that died."""
    return str(report.when) == "???"


def _case(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {"id": case.id, "verdict": case.verdict, "reason": case.reason}
    if case.recorded:
        told["recorded"] = dict(sorted(case.recorded.items()))
    if case.reproducer:
        told["reproducer"] = case.reproducer
    return told


def header(facts: Facts, level: str) -> str:
    """Who is judged, by what."""
    parts = [f"backend {facts.name} {facts.version}".strip()]
    if facts.details.get("kernel", "") not in facts.version:
        parts.append(f"kernel {facts.details['kernel']}")
    if "page" in facts.details:
        parts.append(f"page {facts.details['page']}")
    return f"mmapconf {suite_version()}: {', '.join([*parts, f'level {level}'])}"


def table(judged: Iterable[Judged]) -> list[str]:
    """A line for each group of clauses, with how many have which verdict."""
    groups: dict[str, Counter[str]] = {}
    for entry in judged:
        groups.setdefault(entry.clause.group, Counter())[entry.verdict] += 1
    counts = sum(groups.values(), Counter())
    columns = [verdict for verdict in reversed(VERDICTS) if counts[verdict] or verdict == PASS]
    width = max(map(len, groups), default=0)
    lines = [" " * width + "".join(f"{verdict:>{len(verdict) + 3}}" for verdict in columns)] if groups else []
    for group, of in groups.items():
        lines.append(f"{group:{width}}" + "".join(f"{of[verdict] or '·':>{len(verdict) + 3}}" for verdict in columns))
    return lines


HEADINGS: Final = {
    FAIL: ("fail", "red"),
    UNRESOLVED: ("unresolved", "red"),
    UNSUPPORTED: ("unsupported", "yellow"),
    EXPECTED: ("expected, a deviation on record", "yellow"),
    PASS: ("pass, but some causes could not be asked", "green"),
}


def details(judged: Iterable[Judged], width: int) -> Iterator[tuple[str, dict[str, bool]]]:
    """Lines, each with how it is to be written: the clauses that are not simply kept, gravest first, and why."""
    told = [entry for entry in judged if entry.verdict != PASS or entry.reason]
    indent = 4 + max((len(entry.clause.id) for entry in told), default=0)
    for verdict in VERDICTS:
        entries = [entry for entry in told if entry.verdict == verdict]
        if entries:
            text, colour = HEADINGS[verdict]
            yield text, {colour: True, "bold": True}
        for entry in entries:
            same = sum(case.verdict == verdict for case in entry.cases)
            share = f" ({same} of {len(entry.cases)} cases)" if verdict in (FAIL, UNRESOLVED) else ""
            first = f"  {entry.clause.id}".ljust(indent)
            lines = textwrap.wrap(
                entry.reason + share, max(width - indent, 36), break_long_words=False, break_on_hyphens=False
            )
            for number, line in enumerate(lines or [""]):
                yield (" " * indent if number else first) + line, {}


def statement(level: str, partial: bool, judged: Iterable[Judged]) -> tuple[bool, str]:
    """(whether all is well, what the run has shown)."""
    counts = Counter(entry.verdict for entry in judged)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in reversed(VERDICTS) if counts[verdict])
    good = not counts[FAIL] and not counts[UNRESOLVED] and bool(counts[PASS] or counts[EXPECTED])
    levels = included(level)
    there = sum(clause.level in levels for clause in load().values())
    if partial or counts.total() < there:
        return good, f"partial run: {counts.total()} of {there} clauses of level {level} asked: {told or 'none'}"
    return good, f"{'conforms' if good else 'does not conform'} to level {level}: {told}"
