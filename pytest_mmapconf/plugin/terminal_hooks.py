"""On the controller: gathers the verdicts and makes of them all that the user is told."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from ..catalogue.verdicts import FAIL, UNRESOLVED, judge_all
from ..contract import Facts
from ..report import outputs, terminal
from ..report.result import Run, clauses_of
from ..version import suite_version
from . import options
from .collection import CollectionHooks, is_selection_named
from .item_hooks import announcement, properties
from .results import SystemResults, crashed
from .settings import Shard
from .stash import ATTRIBUTE, SETTINGS


class TerminalHooks:
    """Gathers the verdicts and tells them."""

    def __init__(self, config: pytest.Config, closing: ExitStack, collection: CollectionHooks) -> None:
        self.config = config
        self.settings = config.stash[SETTINGS]
        self.closing = closing
        self.collection = collection
        self.facts = Facts(self.settings.backend_name)
        self.gathered: dict[str, SystemResults] = {}
        """By the name of the system: with --dist=each its worker's, else empty."""
        self.workers: dict[int, str] = {}
        self.partial = is_selection_named(config) or self.settings.narrowed
        """Whether there are cases of the level that were not run."""
        self.unwritten: list[str] = []
        """Of reports that could not be written, why."""
        self.written: list[str] | None = None
        """What has been done to files of expectations."""

    @property
    def each(self) -> bool:
        """Whether each worker judges a system of its own."""
        return bool(self.config.getoption("dist", "no") == "each")  # told late: -n 0 makes it "no"

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

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called where there are no workers."""
        if not self.config.option.collectonly:
            self.system("").announce(announcement(session, self.collection))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        system = self.system(self.worker(report) if self.each else "")
        system.take(report)
        yield
        if crashed(report) and report.nodeid in system.cases:
            # No teardown has been reported, and pytest's JUnit report takes properties from there.
            told = properties(system.cases[report.nodeid])
            end = pytest.TestReport(
                report.nodeid, report.location, {}, "passed", None, "teardown", user_properties=told, node=report.node
            )
            self.config.hook.pytest_runtest_logreport(report=end)

    def system(self, name: str) -> SystemResults:
        """What has come in of a system."""
        if name not in self.gathered:
            self.gathered[name] = SystemResults(self.settings, self.facts, name)
        return self.gathered[name]

    def systems(self) -> list[SystemResults]:
        """All that something has come in of, by the number of their workers."""
        return sorted(self.gathered.values(), key=lambda system: (len(system.worker), system.worker))

    def worker(self, report: pytest.TestReport) -> str:
        """The worker that a report is from; the one that it stands in for, where that has died."""
        gateway: Any = report.node.gateway
        return self.workers.setdefault(id(gateway.spec), gateway.id)

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        if report.failed:
            unresolved = report.when == "call" and getattr(report, ATTRIBUTE, {}).get("verdict") == UNRESOLVED
            if unresolved or (crashed(report) and any(report.nodeid in of.cases for of in self.gathered.values())):
                return "error", "E", "ERROR"
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        stopped = bool(session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED)
        self.partial = self.partial or stopped
        if options.runs_no_case(self.config):
            return
        for system in self.gathered.values():
            if not stopped:
                system.finish("it was not run: pytest-xdist has lost it with a worker that died")
            if session.exitstatus == pytest.ExitCode.OK and not self.green(system):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.settings.update:
            from ..expectations.update import update

            system = self.system("")
            self.written = update(
                options.value(self.config, "mmap_expectations"),
                self.config.invocation_params.dir,
                self.settings.expectations,
                system.cases.values(),
                system.passing(judge_all(self.settings.clauses, system.cases.values())),
            )
        runs = [self.run(system) for system in self.systems()] or [self.run(self.system(""))]
        for path in self.settings.reports:
            try:
                outputs.write(path, runs)
            except OSError as error:
                self.unwritten.append(f"--mmap-report={path}: cannot be written: {error.strerror or error}")
        if self.unwritten and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def green(self, system: SystemResults) -> bool:
        """Whether nothing is wrong that no report of pytest's says."""
        verdicts = {judged.verdict for judged in system.judged()} | {case.verdict for case in system.cases.values()}
        return not (system.nothing_asked or system.others or verdicts & {FAIL, UNRESOLVED})

    def run(self, system: SystemResults) -> Run:
        """What is told of a system."""
        shard = self.settings.shard or Shard(1, 1)
        return Run(
            suite_version(),
            system.facts,
            self.settings.level,
            datetime.now(UTC).isoformat(timespec="seconds"),
            clauses_of(self.settings.level),
            self.partial or system.partial,
            tuple(system.judged()),
            tuple(sorted(system.cases.values(), key=lambda case: case.id)),
            (shard.number,),
            shard.of,
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.unwritten:
            terminalreporter.write_line(line, red=True, bold=True)
        for system in self.systems():
            if system.cases:
                title = f": {system.worker}, {terminal.describe_backend(system.facts)}" if system.worker else ""
                terminalreporter.write_sep("=", f"mmap conformance{title}")
                self.summarise(terminalreporter, system)
        if self.written is not None:
            terminalreporter.write_sep("=", "expectations")
            for line in self.written or ["nothing to write"]:
                terminalreporter.write_line(line)

    def summarise(self, terminalreporter: pytest.TerminalReporter, system: SystemResults) -> None:
        """Tell what has come in of a system."""
        write = terminalreporter.write_line
        judged = system.judged()
        if terminalreporter.verbosity >= 0:
            for line in terminal.table(judged):
                write(line)
        if terminalreporter.verbosity >= -1:
            for text, markup in terminal.details(judged, shutil.get_terminal_size().columns):
                write(text, **markup)
        if system.nothing_asked:
            write("nothing could be asked: every case is unsupported", red=True, bold=True)
        files = [line for case in system.cases.values() for line in case.reproducer]
        if files and terminalreporter.verbosity >= -1:
            write("reproducers", bold=True)
            for line in files:
                write(f"  {line}")
        if system.others:
            others = ", ".join(dict.fromkeys(map(terminal.describe_backend, system.others)))
            write(
                f"no statement: workers asked {terminal.describe_backend(system.facts)}, and {others}; see --dist=each",
                red=True,
            )
            return
        good, line = self.run(system).statement
        write(line, bold=True, **{"green" if good else "red": True})
