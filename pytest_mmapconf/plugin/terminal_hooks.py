"""On the controller: collect the results, and print and write the reports of the run."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from ..catalogue.verdicts import FAIL, UNRESOLVED, judge_all
from ..contract import Facts
from ..report import outputs, terminal
from ..report.causes import Group, number
from ..report.result import Run, clauses_of
from ..version import suite_version
from . import options
from .collection import CollectionHooks, is_selection_named
from .item_hooks import announcement, properties
from .results import SystemResults, is_crash
from .run_end import RunEnd
from .seeds import seed_of
from .settings import Shard
from .stash import ATTRIBUTE, SETTINGS

UNFINISHED: Final[dict[int, str]] = {
    pytest.ExitCode.INTERRUPTED: "was interrupted",
    pytest.ExitCode.INTERNAL_ERROR: "ended with an internal error",
}
"""The early ends of a run, by pytest's exit status."""


class TerminalHooks:
    """Collects the results of all systems; prints the summary and writes the files that the options ask for."""

    def __init__(self, config: pytest.Config, closing: ExitStack, collection: CollectionHooks, run_end: RunEnd) -> None:
        self.config = config
        self.settings = config.stash[SETTINGS]
        self.closing = closing
        self.collection = collection
        self.facts = Facts(self.settings.backend_name)
        self.results: dict[str, SystemResults] = {}
        """By the name of the system: the name of its worker with --dist=each, otherwise empty."""
        self.workers: dict[int, str] = {}
        """By the id of xdist's spec of a worker, the name of the first worker with that spec."""
        self.partial = is_selection_named(config) or self.settings.narrowed or self.settings.program is not None
        """True if some cases of the level are not in the run."""
        self.report_errors: list[str] = []
        """A message for each report that could not be written."""
        self.run_end = run_end
        run_end.write_reports = self.write_unfinished
        self.update_lines: list[str] | None = None
        """A line for each change of the files of expectations; None without --mmap-update-expectations."""

    @property
    def is_each(self) -> bool:
        """True if each worker judges a system of its own."""
        # A property, because xdist changes the option after this object is created: -n 0 sets it to "no".
        return bool(self.config.getoption("dist", "no") == "each")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.config.option.collectonly:
            return
        try:
            self.facts = self.settings.facts
            if self.config.pluginmanager.has_plugin("dsession"):
                self.closing.close()  # the controller needs the backend no more; each worker has its own
        except (Exception, SystemExit) as error:
            name = self.settings.backend_name
            kind = f"{type(error).__name__}: " if type(error).__module__ == "builtins" else ""
            raise pytest.UsageError(f"--mmap-backend={name}: cannot start: {kind}{error}") from error

    def pytest_report_header(self) -> list[str]:
        scope = self.settings.scope.name if self.settings.scope else ""
        first = terminal.header(self.facts, self.settings.level, seed_of(self.config), scope)
        return [first, *filter(None, [self.other_levels])]

    @property
    def other_levels(self) -> str:
        """A phrase about the clauses above the level that --mmap-clause matches too; empty if there are none."""
        return options.other_levels(self.settings.level, options.value(self.config, "mmap_clause"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.partial = self.partial or report.failed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Add the cases of this process; with workers, pytest calls this hook in the workers only."""
        if not self.config.option.collectonly:
            self.system("").add_announcement(announcement(session, self.collection))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        system = self.system(self.worker(report) if self.is_each else "")
        system.add_report(report)
        yield
        if is_crash(report) and report.nodeid in system.cases:
            # The worker reported no teardown, from which pytest's JUnit report takes the properties.
            teardown = pytest.TestReport(
                report.nodeid,
                report.location,
                {},
                "passed",
                None,
                "teardown",
                user_properties=properties(system.cases[report.nodeid]),
                node=report.node,
            )
            self.config.hook.pytest_runtest_logreport(report=teardown)

    def system(self, name: str) -> SystemResults:
        """Return the results of a system, empty ones if it is new."""
        if name not in self.results:
            self.results[name] = SystemResults(self.settings, self.facts, name)
        return self.results[name]

    def systems(self) -> list[SystemResults]:
        """Return the results of all systems, in the order of their workers' numbers."""
        return sorted(self.results.values(), key=lambda system: (len(system.worker), system.worker))

    def worker(self, report: pytest.TestReport) -> str:
        """Return the name of the worker that sent a report; for a replacement, the name of the worker it replaced."""
        gateway: Any = report.node.gateway
        return self.workers.setdefault(id(gateway.spec), gateway.id)

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        if report.failed:
            unresolved = report.when == "call" and getattr(report, ATTRIBUTE, {}).get("verdict") == UNRESOLVED
            if unresolved or (is_crash(report) and any(report.nodeid in of.cases for of in self.results.values())):
                return "error", "E", "ERROR"
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        wrong = next((of.wrong_at_the_end for of in self.results.values() if of.wrong_at_the_end), "")
        reason = self.run_end.reason or UNFINISHED.get(session.exitstatus, "")
        stopped = bool(session.shouldstop or session.shouldfail or reason)
        self.partial = self.partial or stopped
        if options.runs_no_case(self.config):
            return
        for system in self.results.values():
            if not stopped:
                system.finish("it was not run: pytest-xdist has lost it with a worker that died")
            if session.exitstatus == pytest.ExitCode.OK and not self.has_passed(system):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.settings.update:
            from ..expectations.update import update

            system = self.system("")
            self.update_lines = update(
                options.value(self.config, "mmap_expectations"),
                self.config.invocation_params.dir,
                self.settings.expectations,
                system.cases.values(),
                system.unexpected_passes(judge_all(self.settings.clauses, system.cases.values())),
            )
        self.run_end.reason = reason or wrong
        if self.run_end.status:
            session.exitstatus = self.run_end.status
        if self.run_end.reason and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self.write_reports()
        if self.report_errors and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        self.run_end.is_finished = True
        self.run_end.status = int(session.exitstatus)

    def write_reports(self) -> None:
        """Write the reports of the results so far."""
        runs = [self.result(system) for system in self.systems()] or [self.result(self.system(""))]
        for path in self.settings.reports:
            try:
                outputs.write(path, runs)
            except OSError as error:
                self.report_errors.append(f"--mmap-report={path}: cannot be written: {error.strerror or error}")

    def write_unfinished(self, reason: str) -> None:
        """Write the reports of a run that ends now, for this reason, without having been finished."""
        self.run_end.reason = reason
        self.write_reports()

    def has_passed(self, system: SystemResults) -> bool:
        """Return True if the run passes by the criteria that pytest does not know.

        No clause and no case fails or is unresolved, some case is supported, and all workers judged the same system.
        """
        verdicts = {result.verdict for result in system.clause_results()}
        verdicts |= {case.verdict for case in system.cases.values()}
        return not (system.is_unsupported or system.conflicting_facts or verdicts & {FAIL, UNRESOLVED})

    def result(self, system: SystemResults) -> Run:
        """Return the result of a system, for the reports."""
        shard, scope = self.settings.shard or Shard(1, 1), self.settings.scope
        judged = tuple(system.clause_results())
        return Run(
            suite_version(),
            system.facts,
            self.settings.level,
            datetime.now(UTC).isoformat(timespec="seconds"),
            len(judged) if scope else clauses_of(self.settings.level),
            self.partial or system.partial,
            judged,
            tuple(sorted(system.cases.values(), key=lambda case: case.id)),
            (shard.number,),
            shard.of,
            dict(sorted(system.properties.items())),
            scope.name if scope else "",
            self.run_end.reason,
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Print pytest's sections with a traceback of the first causes, then the verdicts and all causes."""
        groups = {system.worker: self.result(system).groups for system in self.systems()}
        stats = dict(terminalreporter.stats)
        if terminalreporter.verbosity < 2:
            for name in ("failed", "error"):
                if name in stats:
                    terminalreporter.stats[name] = list(self.distinct(stats[name], groups))
        try:
            yield
        finally:
            terminalreporter.stats.update(stats)
        self.print_verdicts(terminalreporter)

    def print_failures(
        self, terminalreporter: pytest.TerminalReporter, system: SystemResults, groups: Sequence[Group]
    ) -> None:
        """Print the failures of a system by cause."""
        if not groups or terminalreporter.verbosity < -1:
            return
        title = f": {system.worker}" if system.worker else ""
        terminalreporter.write_sep("=", f"mmap failures by cause{title}")
        verbose = terminalreporter.verbosity > 0
        for text, markup in terminal.failures(groups, shutil.get_terminal_size().columns, verbose=verbose):
            terminalreporter.write_line(text, **markup)
        page = any(path.suffix == ".html" for path in self.settings.reports)
        for line in terminal.next_commands(
            self.result(system), self.settings.backend_name, self.settings.reproducers, page
        ):
            terminalreporter.write_line(f"  next: {line}")

    def distinct(
        self, reports: Iterable[pytest.TestReport], groups: Mapping[str, Sequence[Group]]
    ) -> Iterator[pytest.TestReport]:
        """Yield the reports to show: of the cases of a group only the example, with the others listed.

        Only the largest groups are shown; the list of causes has all of them.
        """
        by_case = {
            (worker, case.id): (group, example)
            for worker, of in groups.items()
            for group, example in ((group, group.example.id) for group in of)
            for case in group.cases
        }
        shown_causes = [of.example.id for of in next(iter(groups.values()), ())[: terminal.SHOWN]]
        for report in reports:
            id = getattr(report, ATTRIBUTE, {}).get("case", "")
            group, example = by_case.get((self.worker(report) if self.is_each else "", id), (None, ""))
            if group is None:
                yield report
            elif id == example:
                if not self.is_each and id not in shown_causes:
                    continue
                if len(group.cases) > 1 and report.failed and self.config.getoption("tbstyle", "auto") != "line":
                    others = f"{number(len(group.cases) - 1, 'more case')}"
                    report.sections.append((others, terminal.alike(group)))
                yield report
            elif getattr(report, ATTRIBUTE, {}).get("search", {"new": ()})["new"]:
                yield report

    def print_verdicts(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdicts of each system, and what else the run has to report at its end."""
        for line in self.report_errors:
            terminalreporter.write_line(line, red=True, bold=True)
        for system in self.systems():
            if system.cases:
                title = f": {system.worker}, {terminal.describe_backend(system.facts)}" if system.worker else ""
                terminalreporter.write_sep("=", f"mmap conformance{title}")
                self.summarise(terminalreporter, system)
            self.print_failures(terminalreporter, system, self.result(system).groups)
        if self.update_lines is not None:
            terminalreporter.write_sep("=", "expectations")
            for line in self.update_lines or ["nothing to write"]:
                terminalreporter.write_line(line)

    def summarise(self, terminalreporter: pytest.TerminalReporter, system: SystemResults) -> None:
        """Print the summary of a system."""
        write = terminalreporter.write_line
        results = system.clause_results()
        if terminalreporter.verbosity >= 0:
            for line in terminal.table(results):
                write(line)
        verbose = terminalreporter.verbosity > 0
        if terminalreporter.verbosity >= -1:
            for text, markup in terminal.details(results, shutil.get_terminal_size().columns, verbose=verbose):
                write(text, **markup)
        for line in terminal.properties(system.properties, shutil.get_terminal_size().columns):
            write(line)
        if system.is_unsupported:
            write("no case could run: every case is unsupported", red=True, bold=True)
        files = terminal.reproducers(system.cases.values(), self.settings.reproducers, verbose=verbose)
        if files and terminalreporter.verbosity >= -1:
            write("reproducers", bold=True)
            for line in files:
                write(line)
        if system.conflicting_facts:
            first = terminal.describe_backend(system.facts)
            others = ", ".join(dict.fromkeys(map(terminal.describe_backend, system.conflicting_facts)))
            write(f"no statement: workers judged {first}, and {others}; see --dist=each", red=True)
        elif self.other_levels:
            write(self.other_levels, yellow=True)

    def print_statements(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the statement of each system: the last lines of a run."""
        for system in self.systems():
            if system.cases and not system.conflicting_facts:
                passed, line = self.result(system).statement
                named = f"{system.worker}: {line}" if system.worker else line
                terminalreporter.write_line(named, bold=True, **{"green" if passed else "red": True})


class LastLines:
    """Prints the statement when everything else is printed, pytest's own last line too."""

    def __init__(self, hooks: TerminalHooks) -> None:
        self.hooks = hooks

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        yield
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not options.runs_no_case(session.config):
            self.hooks.print_statements(terminal)
