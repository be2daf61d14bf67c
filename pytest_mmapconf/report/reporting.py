"""On the controller: gathers the verdicts and makes of them all that the user is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from .. import verdicts
from ..collection import named
from ..contract import Facts
from ..settings import SETTINGS
from ..verdicts import UNRESOLVED, UNSUPPORTED, Case, Judged
from ..version import suite_version
from . import outputs, terminal
from .marking import ATTRIBUTE
from .run import Run


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
        self.unwritten: list[str] = []
        """Of reports that could not be written, why."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.config.option.collectonly:
            return
        try:
            self.facts = self.settings.facts
        except Exception as error:
            name = self.settings.backend_name
            kind = f"{type(error).__name__}: " if type(error).__module__ == "builtins" else ""
            raise pytest.UsageError(f"--mmap-backend={name}: cannot start: {kind}{error}") from error
        if self.config.pluginmanager.has_plugin("dsession"):
            self.closing.close()  # only the workers go on to use it

    def pytest_report_header(self) -> str:
        return terminal.header(self.facts, self.settings.level)

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
            case.evidence.update(data.get("evidence", ()))
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
                try:
                    outputs.write(path, self.run())
                except OSError as error:
                    self.unwritten.append(f"--mmap-report={path}: cannot be written: {error.strerror or error}")
            if self.unwritten and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    @property
    def nothing_asked(self) -> bool:
        """Whether there were cases, and not one of them could be asked."""
        return bool(self.cases) and all(case.verdict == UNSUPPORTED for case in self.cases.values())

    def judged(self) -> list[Judged]:
        return verdicts.judge_all(self.settings.clauses, self.cases.values())

    def run(self) -> Run:
        """What is told of this run."""
        return Run(
            suite_version(),
            self.facts,
            self.settings.level,
            datetime.now(UTC).isoformat(timespec="seconds"),
            terminal.clauses_of(self.settings.level),
            self.partial,
            tuple(self.judged()),
            tuple(sorted(self.cases.values(), key=lambda case: case.id)),
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        for line in self.unwritten:
            write(line, red=True, bold=True)
        if not self.cases:
            return
        judged = self.judged()
        terminalreporter.write_sep("=", "mmap conformance")
        if terminalreporter.verbosity >= 0:
            for line in terminal.table(judged):
                write(line)
        if terminalreporter.verbosity >= -1:
            for text, markup in terminal.details(judged, shutil.get_terminal_size().columns):
                write(text, **markup)
        if self.nothing_asked:
            write("nothing could be asked: every case is unsupported", red=True, bold=True)
        files = [line for case in self.cases.values() for line in case.reproducer]
        if files and terminalreporter.verbosity >= -1:
            write("reproducers", bold=True)
            for line in files:
                write(f"  {line}")
        good, line = terminal.statement(self.settings.level, self.partial, judged)
        write(line, bold=True, **{"green" if good else "red": True})


def _crashed(report: pytest.CollectReport | pytest.TestReport) -> bool:
    """Whether pytest-xdist made this report up, for a worker that died."""
    return str(report.when) == "???"
