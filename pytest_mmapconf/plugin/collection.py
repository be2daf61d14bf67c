"""Which cases there are, what they are called, and which of them this run is about.

The installed cases lie in the folder `conformance`, in modules without pytest's usual prefix, so that nobody's run
collects them by accident; here they are collected whatever the user's ini file says of names, and imported as modules
of this package whatever it says of import modes.

A case's own name is made of its module, its function and its parameters: "munmap.range[whole]".  It is the same
wherever the suite is installed and however it is run; a node id is not.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Generator, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ..catalogue.clauses import load
from ..catalogue.tables import did_you_mean
from ..contract import Unsupported
from ..version import PACKAGE
from . import fixtures
from .settings import Settings
from .stash import CASE, FAST_PARAMETERS, PROGRAM, RECORDED, SETTINGS, CaseId

if TYPE_CHECKING:
    from ..catalogue.conditions import Condition
    from ..differential.reproducers import Judge
    from ..trace.program import Program

CASES_PACKAGE = f"{PACKAGE}.conformance"
NODE = "conformance"
"""What node ids of the installed cases begin with, wherever they are installed."""


def cases_directory() -> Path:
    """Where the installed cases are."""
    spec = find_spec(CASES_PACKAGE)
    if spec is None or spec.origin is None:
        raise pytest.UsageError(f"{CASES_PACKAGE} is not there: the installed cases are missing")
    return Path(spec.origin).parent


def arguments_to_collect(config: pytest.Config) -> list[str]:
    """What to collect: the installed cases, unless the user named something else.

    A node id of an installed case, as pytest prints it, may be named too.
    """
    if is_selection_named(config):
        also = [str(cases_directory())] if config.stash[SETTINGS].program is not None else []
        return [*also, *(_place(config, argument) for argument in config.args)]
    return [str(cases_directory())]


def is_selection_named(config: pytest.Config) -> bool:
    """Whether the user named what to collect."""
    return config.args_source is pytest.Config.ArgsSource.ARGS


def _place(config: pytest.Config, argument: str) -> str:
    path, colons, rest = argument.partition("::")
    parts = Path(path).parts
    if parts[:1] == (NODE,) and not Path(config.invocation_params.dir, path).exists():
        return str(cases_directory().joinpath(*parts[1:])) + colons + rest
    return argument


class CaseModule(pytest.Module):
    """A module of installed cases."""

    def _getobj(self) -> ModuleType:
        return import_module(f"{CASES_PACKAGE}.{self.path.stem}")

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test_")

    def classnamefilter(self, name: str) -> bool:
        return False

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Cases that know where they stand: pytest would look for it in each, for a twentieth of the time of a case."""
        path = None
        for item in super().collect():
            if isinstance(item, pytest.Function):
                path = path or item.location[0]
                item.location = path, inspect.unwrap(item.obj).__code__.co_firstlineno - 1, item.name
            yield item


class Replay(pytest.Item):
    """The program of --mmap-replay, as a case."""

    def __init__(self, *, file: str, program: Program, judge: Judge, **others: Any) -> None:
        super().__init__(f"replay[{file}]", **others)
        self.program = program
        self.judge = judge
        self.stash[CASE] = CaseId(f"replay.{Path(file).stem}", ())
        self.stash[PROGRAM] = program

    def runtest(self) -> None:
        judged = self.judge.judge(self.program)
        if judged.divergence is not None:
            lines = [f"    {number:2}  {step}" for number, step in enumerate(judged.program, 1)]
            judged.divergence.add_note("\n".join(["the program, as far as it was made:", *lines]))
            raise judged.divergence
        if judged.unasked is not None:
            raise Unsupported(judged.unasked)
        if judged.uncompared is not None:
            self.stash[RECORDED] = {"not compared": judged.uncompared}

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A difference needs no traceback: it has happened in the program."""
        if excinfo.errisinstance(AssertionError):
            return "\n".join([str(excinfo.value), *getattr(excinfo.value, "__notes__", ())])
        return super().repr_failure(excinfo, style)


class Cases(pytest.Directory):
    """The folder of the installed cases.

    Our fixtures are also this folder's own, as if it had a conftest file of them: else a conftest file of the project
    that pytest runs in would come before the plugin, and its `process` or `page` would be given to the installed cases.
    """

    obj = ModuleType(fixtures.__name__)  # what pytest parses for fixtures; it parses no module twice
    vars(obj).update(vars(fixtures))

    def collect(self) -> Iterable[CaseModule | Replay]:
        self.session._fixturemanager.parsefactories(self)
        settings = self.config.stash[SETTINGS]
        if settings.program is not None and settings.judge is not None:
            file, program = settings.program
            yield Replay.from_parent(self, file=file, program=program, judge=settings.judge)
            return
        for path in sorted(self.path.glob("*.py")):
            if not path.name.startswith("_"):
                yield CaseModule.from_parent(self, path=path, nodeid=f"{NODE}/{path.name}")


class ConditionHooks:
    """Says of cases whose clauses are not for everybody, before a system is booted, whether they can be asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cases: dict[pytest.Item, list[tuple[str, Condition]]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            ids = item.stash[CASE].clauses if CASE in item.stash else ()
            conditions = [(id, when) for id in ids if (when := load()[id].when)]
            if conditions:
                self.cases[item] = conditions

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        for id, when in self.cases.get(item, ()):
            unmet = when.unmet(self.settings.facts)
            if unmet is not None:
                raise Unsupported(f"{id} is {unmet}")
        return (yield)


class CollectionHooks:
    """The hooks of collection."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = config.stash[SETTINGS]
        self.folder = cases_directory()
        self.dropped = False
        """Whether somebody else (-k, -m, --lf …) takes away cases that the level and the clauses leave."""
        self.not_whole: set[str] = set()
        """Clauses of which some case was collected and is not run."""

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> Cases | None:
        if path != self.folder:
            return None
        made: Cases = Cases.from_parent(parent, path=path, nodeid=NODE)
        return made

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.passed:
            wrong = [text for item in report.result if isinstance(item, pytest.Item) for text in self.name(item)]
            if wrong:
                report.outcome = "failed"
                report.longrepr = "\n".join(wrong)
                report.result = []
        return report

    def name(self, item: pytest.Item) -> list[str]:
        """Give a case its name; say what is wrong with it.  Tests that are none of ours are left alone."""
        clauses = dict.fromkeys(id for mark in item.iter_markers("clause") for id in mark.args)
        installed = item.path.parent == self.folder
        if not clauses and not installed and not _uses_our_fixtures(item):
            return []
        id = case_id(item)
        item.stash[CASE] = CaseId(id, tuple(clauses))
        parameters = fixtures.fast_parameters(item)
        if parameters is not None:
            item.stash[FAST_PARAMETERS] = parameters
        wrong = [
            f"case {id}: there is no clause {clause!r}; {did_you_mean(str(clause), load())}"
            for clause in clauses
            if clause not in load()
        ]
        if installed and not clauses:
            wrong.append(f"case {id}: names no clause")
        return wrong

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept: list[pytest.Item] = []
        others: list[pytest.Item] = []
        for item in items:
            (kept if self.wanted(item) and self.in_shard(item) else others).append(item)
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = kept

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        self.dropped = self.dropped or any(
            CASE in item.stash and self.wanted(item) and self.in_shard(item) for item in items
        )
        self.not_whole.update(id for item in items if CASE in item.stash for id in item.stash[CASE].clauses)

    def pytest_collection_finish(self) -> None:
        """What stands now (cases, libraries) stays to the end: keep the garbage collector from looking at it again.

        One look takes as long as a hundred cases do.
        """
        gc.freeze()

    def in_shard(self, item: pytest.Item) -> bool:
        """Whether a case, or a test that is none of ours, is in the part of --mmap-shard."""
        shard = self.settings.shard
        return shard is None or shard.has(item.stash[CASE].id if CASE in item.stash else item.nodeid)

    def wanted(self, item: pytest.Item) -> bool:
        """Whether this run is about a case: every clause of it is of the level, and one is asked for."""
        name = item.stash.get(CASE, None)
        if name is None:
            return True
        if not name.clauses:
            return not self.settings.narrowed
        return self.settings.asks_for(name.clauses)


def _uses_our_fixtures(item: pytest.Item) -> bool:
    """Whether `system` is among its fixtures and is ours: all of ours that touch the implementation need that one."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get("system", ()) if info else ()
    return any(definition.func.__module__ == fixtures.__name__ for definition in definitions)


def case_id(item: pytest.Item) -> str:
    """The name of a case: its module, its class if it has one, its function, its parameters."""
    function = getattr(item, "originalname", None) or item.name
    parameters = item.name[len(function) :]
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return ".".join([item.path.stem, *classes, function.removeprefix("test_")]) + parameters
