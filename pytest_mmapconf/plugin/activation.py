"""What `--mmap-backend` starts, on the controller and in each worker alike.

A worker of pytest-xdist parses the original command line again, so everything here happens in it too; a wrong value
never gets that far, for the controller meets it before it starts a worker.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ..version import PACKAGE
from . import backends
from . import options as settings


def activate(config: pytest.Config) -> None:
    """Check what was asked for, and register the rest of the plugin.  Raises UsageError."""
    package = f"{PACKAGE}.conformance"
    if package not in sys.modules:
        pytest.register_assert_rewrite(package)
    from ..report import outputs
    from . import collection, fixtures
    from . import item_hooks as marking
    from . import terminal_hooks as reporting

    level = settings.level(config)
    globs = settings.value(config, "mmap_clause")
    clauses = settings.selected(level, globs)
    options = settings.options(config)
    reports = tuple(Path(config.invocation_params.dir, path) for path in settings.value(config, "mmap_report"))
    worker = hasattr(config, "workerinput")
    if not worker and not settings.asks_nothing(config):
        outputs.prepare(reports)

    name = settings.value(config, "mmap_backend")
    backend = backends.make(name, config.hook.pytest_mmapconf_backends(), backends.folders(config))
    subject, judge = backend, None
    program, reproducers = settings.program(config), settings.reproducers(config)
    tables, entries = settings.expectations(config)
    update = settings.update(config)
    if program is not None or reproducers:
        from ..differential import reproducers as evidence

        judge = evidence.Judge(subject, level)
    if settings.value(config, "mmap_lockstep"):
        from ..differential import lockstep

        backend = lockstep.LockstepBackend(backend, level)
    if reproducers or update:
        from ..trace import recorder

        backend = recorder.RecordedBackend(backend)
    backend.configure(options)
    closing = ExitStack()
    closing.callback(backend.close)
    config.add_cleanup(closing.close)

    config.stash[settings.SETTINGS] = settings.Settings(
        name,
        backend,
        level,
        clauses,
        bool(globs),
        reports,
        config.option.mmap_steps,
        subject,
        reproducers,
        program,
        judge,
        settings.shard(config),
        entries,
        update,
    )
    config.args = collection.places(config)
    if not collection.named(config):
        config.args_source = pytest.Config.ArgsSource.INVOCATION_DIR  # so that the header names no testpaths
    collecting = collection.Collection(config)
    register = config.pluginmanager.register
    register(fixtures, f"{PACKAGE}.fixtures")
    register(collection.Conditional(config.stash[settings.SETTINGS]), f"{PACKAGE}.conditional")
    option = config.option
    if not (option.setupshow or option.setuponly or option.setupplan):
        register(fixtures.ShortWay(backend), f"{PACKAGE}.short_way")
    register(Closing(closing), f"{PACKAGE}.closing")
    register(collecting, f"{PACKAGE}.collection")
    expecting = None
    if entries:
        from . import expectation_hooks as module

        expecting = module.Expecting(config)
        register(expecting, f"{PACKAGE}.expecting")
    if not worker:
        register(Distributing(tables), f"{PACKAGE}.distributing")
    register(marking.Marking(collecting, expecting), f"{PACKAGE}.marking")
    if worker:
        register(marking.Announcing(config, collecting), f"{PACKAGE}.announcing")
    else:
        register(reporting.Reporting(config, closing, collecting), f"{PACKAGE}.report")


class Distributing:
    """What pytest-xdist asks of us, where it is there and has workers."""

    def __init__(self, tables: list[dict[str, Any]]) -> None:
        self.tables = tables
        """Expectations, which a worker's machine need not have."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        from . import xdist_schedulers as scheduling

        node.workerinput[settings.EXPECTATIONS] = self.tables
        scheduling.outlive(node)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """One that loses no case with a worker that dies; None for xdist's own.  Another plugin's goes before it."""
        from . import xdist_schedulers as scheduling

        return scheduling.make(config, log)


class Closing:
    """Closes the backend when everything has been torn down, before a worker says that it has finished.

    Who is told that may end the process; pytest's own clean-up comes after it, and is for runs that never began.
    """

    def __init__(self, closing: ExitStack) -> None:
        self.closing = closing

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        try:
            return (yield)
        finally:
            self.closing.close()
