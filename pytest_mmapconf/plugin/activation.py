"""Activation: what a run with `--mmap-backend` does, on the controller and in each worker of pytest-xdist.

A worker parses the original command line again, so it activates the plugin too.  It never receives an invalid option:
the controller reports that before it starts a worker.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from .. import backends
from ..contract import Backend, Options
from ..report import outputs
from ..report.result import run_without_results
from ..trace.adapter import CheckedBackend
from ..trace.recorder import RecordedBackend
from ..version import PACKAGE
from . import collection, fixtures, options, search_folder, search_options, seeds
from .condition_hooks import ConditionHooks
from .expectation_hooks import ExpectationHooks
from .guarded_backend import Guard, GuardedBackend
from .hang_limit import HangLimit
from .item_hooks import VerdictHooks, WorkerAnnouncement
from .quick_cases import QuickCases
from .run_end import RunEnd
from .search_report import SearchReport
from .settings import Settings
from .stash import ATTRIBUTE, SETTINGS
from .terminal_hooks import LastLines, TerminalHooks
from .watchdog import Watchdog, exit_despite_threads


def activate(config: pytest.Config) -> None:
    """Check the options, create the backend, store the settings, and register the hooks.  Raises UsageError."""
    plan = search_options.plan(config)
    seeds.draw_new_seed(config)
    level = options.level(config)
    globs = options.value(config, "mmap_clause")
    clauses = options.selected_clauses(level, globs)
    backend_options = options.backend_options(config)
    name = options.value(config, "mmap_backend")
    reports = prepare_reports(config, name, level)
    run_end = RunEnd()
    if not is_worker(config):
        run_end.watch()
        config.add_cleanup(run_end.release)
    subject = make_backend(config, name, backend_options, run_end)
    program, reproducers = options.program(config), options.reproducers(config)
    tables, entries = options.expectations(config)
    update = options.update(config)
    scope = options.scope(config)
    judge = None
    if program is not None or reproducers:
        from ..differential.reproducers import Judge

        judge = Judge(subject, level)
    lockstep = bool(options.value(config, "mmap_lockstep"))
    backend = wrap_backend(subject, level, lockstep=lockstep, symbols=bool(reproducers or update))
    backend.configure(backend_options)
    closing = ExitStack()
    closing.callback(backend.close)
    config.add_cleanup(closing.close)

    config.stash[SETTINGS] = Settings(
        backend_name=name,
        backend=backend,
        level=level,
        clauses=clauses,
        narrowed=bool(globs),
        reports=reports,
        plan=plan,
        beginning=search_folder.beginning(config, plan),
        subject=subject,
        reproducers=reproducers,
        program=program,
        judge=judge,
        shard=options.shard(config),
        expectations=entries,
        update=update,
        scope=scope,
        has_used_processes=options.has_used_processes(config),
    )
    config.args = collection.arguments_to_collect(config)
    if not collection.is_selection_named(config):
        config.args_source = pytest.Config.ArgsSource.INVOCATION_DIR  # so that the header names no testpaths
    register_hooks(config, closing, tables, run_end)


def make_backend(config: pytest.Config, name: str, limits: Options, run_end: RunEnd) -> Backend:
    """Return the backend of this name.  Raises UsageError.

    Code of the user in this process gets a guard, with these time limits.
    """
    watchdog = Watchdog(limits.timeout, limits.start_timeout, run_end.end)
    watchdog.start()
    config.add_cleanup(watchdog.stop)
    before = frozenset(threading.enumerate())
    with watchdog.start_limit("the import of the backend"):
        subject = backends.make(
            name,
            config.hook.pytest_mmapconf_backends(),
            options.import_directories(config),
            options.recipe_files(config),
        )
    modules = [kind.__module__ for kind in type(subject).__mro__]
    if f"{PACKAGE}.agent.backend" in modules or modules[0].startswith(f"{PACKAGE}.reference."):
        watchdog.stop()  # an agent has limits of its own, and the reference needs none
        return subject
    config.add_cleanup(lambda: exit_despite_threads(before, limits.timeout))
    return GuardedBackend(CheckedBackend(subject), Guard(watchdog))


def prepare_reports(config: pytest.Config, name: str, level: str) -> tuple[Path, ...]:
    """Return the paths of --mmap-report; write reports of an unfinished run, unless this is a worker or no case runs.

    These reports remain if the run is killed, and no report of an earlier run can be mistaken for one of this run.
    Raises UsageError for a report that cannot be written.
    """
    reports = tuple(Path(config.invocation_params.dir, path) for path in options.value(config, "mmap_report"))
    if not is_worker(config) and not options.runs_no_case(config):
        try:
            outputs.prepare(reports)
            for path in reports:
                outputs.write(path, [run_without_results(name, level)])
        except outputs.OutputError as error:
            raise pytest.UsageError(str(error)) from error
        except OSError as error:
            raise pytest.UsageError(f"--mmap-report={path}: cannot be written: {error.strerror}") from error
    return reports


def wrap_backend(subject: Backend, level: str, *, lockstep: bool, symbols: bool) -> RecordedBackend:
    """Wrap the backend so that its calls are recorded, with or without symbols, and compared if `lockstep` is true."""
    backend = subject
    if lockstep:
        from ..differential.lockstep import LockstepBackend

        backend = LockstepBackend(backend, level)
    return RecordedBackend(backend, symbols)


def register_hooks(config: pytest.Config, closing: ExitStack, tables: list[dict[str, Any]], run_end: RunEnd) -> None:
    """Register the plugin's hooks.  `closing` closes the backend; `tables` are the expectations, as plain data."""

    def register(plugin: object, name: str) -> None:
        config.pluginmanager.register(plugin, f"{PACKAGE}.{name}")

    settings = config.stash[SETTINGS]
    collection_hooks = collection.CollectionHooks(config)
    register(fixtures, "fixtures")
    hang_limit, condition_hooks = HangLimit(options.backend_options(config).timeout), ConditionHooks(settings)
    register(hang_limit, "hang_limit")  # its set-up precedes those below
    register(condition_hooks, "condition_hooks")
    if not (config.option.setupshow or config.option.setuponly or config.option.setupplan):
        register(fixtures.FastFixtures(), "fast_fixtures")
        if not config.option.trace:
            register(QuickCases(condition_hooks, hang_limit), "quick_cases")
    register(CloseBackend(closing, run_end), "close_backend")
    register(collection_hooks, "collection_hooks")
    expectation_hooks = None
    if settings.expectations:
        expectation_hooks = ExpectationHooks(config)
        register(expectation_hooks, "expectation_hooks")
    if not is_worker(config):
        worker_input = {
            options.EXPECTATIONS: tables,
            options.SCOPE: settings.scope.source if settings.scope else "",
            seeds.DRAWN: seeds.seed_of(config),
            search_folder.BEGINNING: tuple(settings.beginning),
        }
        register(XdistHooks(worker_input), "xdist_hooks")
        if settings.plan.is_long:
            register(SearchReport(config), "search_report")
    register(VerdictHooks(collection_hooks, expectation_hooks), "verdict_hooks")
    if is_worker(config):
        register(WorkerAnnouncement(config, collection_hooks), "worker_announcement")
    else:
        terminal_hooks = TerminalHooks(config, closing, collection_hooks, run_end)
        register(terminal_hooks, "terminal_hooks")
        register(LastLines(terminal_hooks), "last_lines")


def is_worker(config: pytest.Config) -> bool:
    """True in a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


class XdistHooks:
    """The hooks of pytest-xdist, on the controller."""

    def __init__(self, worker_input: dict[str, Any]) -> None:
        self.worker_input = worker_input
        """The input of each worker, by key: its machine need not have the files of expectations and of the scope."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        from . import xdist_schedulers

        node.workerinput.update(self.worker_input)
        xdist_schedulers.tolerate_dead_worker(node)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """Return a scheduler that loses no case with a worker that dies; None for xdist's own.

        A scheduler of another plugin takes precedence.
        """
        from . import xdist_schedulers

        return xdist_schedulers.make_scheduler(config, log)


class CloseBackend:
    """Closes the backend after the last case, before the results are final and before a worker reports that it ends.

    The controller may end a worker's process after that report.  pytest's own clean-up comes later still; it closes the
    backend of a run that never began.
    """

    def __init__(self, closing: ExitStack, run_end: RunEnd) -> None:
        self.closing = closing
        self.run_end = run_end
        self.location: tuple[str, tuple[str, int | None, str]] = "", ("", None, "")
        """The node id and the location of the case that ran last."""

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self.location = nodeid, location

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        try:
            self.closing.close()
        except Exception as error:
            self.run_end.reason = self.run_end.reason or f"went wrong at its end: {error}"
        if is_worker(session.config) and self.run_end.reason:
            report = pytest.TestReport(*self.location, {}, "passed", None, "setup")
            setattr(report, ATTRIBUTE, {"wrong at the end": self.run_end.reason})
            session.config.hook.pytest_runtest_logreport(report=report)
        return (yield)
