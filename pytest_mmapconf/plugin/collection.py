"""Collect the cases, give each its id, and select those that this run executes.

The installed cases are in the directory `conformance`, in modules without pytest's usual prefix, so that no run
collects them by accident.  This module collects them regardless of the naming options in the user's ini file, and
imports them as modules of this package regardless of the import mode.

The id of a case consists of its module, its function and its parameters: "munmap.range[whole]".  Unlike pytest's node
id, it does not depend on where the suite is installed and how it is run.
"""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Callable, Collection, Generator, Iterable
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
from . import fixtures, seeds
from .needed_properties import needs_of_item
from .stash import CASE, FAST_PARAMETERS, LEFT_OUT, PROGRAM, RECORDED, SETTINGS, CaseId
from .used_calls import OPTIONAL, calls_of

if TYPE_CHECKING:
    from ..differential.reproducers import Judge
    from ..trace.program import Program

CASES_PACKAGE = f"{PACKAGE}.conformance"
NODE = "conformance"
"""The first part of the node id of an installed case, regardless of the directory of the installation."""


def cases_directory() -> Path:
    """Return the directory of the installed cases."""
    spec = find_spec(CASES_PACKAGE)
    if spec is None or spec.origin is None:
        raise pytest.UsageError(f"{CASES_PACKAGE} does not exist: the installed cases are missing")
    return Path(spec.origin).parent


def arguments_to_collect(config: pytest.Config) -> list[str]:
    """Return the paths and node ids to collect: the installed cases, unless the user named others.

    The user may also name an installed case by the node id that pytest prints.
    """
    if is_selection_named(config):
        replay = [str(cases_directory())] if config.stash[SETTINGS].program is not None else []
        return [*replay, *(_installed_path(config, argument) for argument in config.args)]
    return [str(cases_directory())]


def is_selection_named(config: pytest.Config) -> bool:
    """Return True if the user named files or node ids to collect."""
    return config.args_source is pytest.Config.ArgsSource.ARGS


def _installed_path(config: pytest.Config, argument: str) -> str:
    """Return an argument with the path of the installed cases, if it is a node id of one of them."""
    path, colons, rest = argument.partition("::")
    parts = Path(path).parts
    if parts[:1] == (NODE,) and not Path(config.invocation_params.dir, path).exists():
        return str(cases_directory().joinpath(*parts[1:])) + colons + rest
    return argument


def collects_all(config: pytest.Config) -> bool:
    """Return True if the cases that this run does not ask for are collected as well, and deselected.

    An entry of expectations is compared with the ids of all cases, and a node id must lead to its case.
    """
    settings = config.stash[SETTINGS]
    return bool(settings.expectations) or settings.update or any("::" in argument for argument in config.args)


def names_clause(text: str, ids: Collection[str]) -> bool:
    """Return True if the text of a module contains one of these clause ids; each module spells its clauses out."""
    return any(id in text for id in ids)


def is_left_out(text: str, expression: str) -> bool:
    """Return True if the text of a module marks all its cases with a mark that the value of -m excludes.

    Reads "not MARK" and its conjunctions with "and", for which most runs use -m; pytest evaluates every other value.
    """
    terms = re.split(r" +and +", expression.strip())
    mark = re.search(r"^pytestmark = pytest\.mark\.(\w+)$", text, re.MULTILINE)
    return mark is not None and f"not {mark[1]}" in terms and all(re.fullmatch(r"(not )?\w+", term) for term in terms)


def clause_sets(function: Callable[..., object]) -> set[tuple[str, ...]]:
    """Return the clauses of each case of a function: those of its own marks, and those of one set of parameters."""
    marks = list(getattr(function, "pytestmark", ()))
    sets = {_clauses(marks)}
    for mark in marks:
        if mark.name == "parametrize":
            more_sets = {_clauses(getattr(entry, "marks", ())) for entry in mark.args[1]}
            sets = {tuple(dict.fromkeys((*ids, *more))) for ids in sets for more in more_sets}
    return sets


def _clauses(marks: Iterable[Any]) -> tuple[str, ...]:
    """Return the ids of the clauses that these marks name."""
    return tuple(id for mark in marks if getattr(mark, "mark", mark).name == "clause" for id in mark.args)


class CaseModule(pytest.Module):
    """A module of installed cases."""

    def _getobj(self) -> ModuleType:
        return import_module(f"{CASES_PACKAGE}.{self.path.stem}")

    def funcnamefilter(self, name: str) -> bool:
        """Return True for the function of a case that this run may ask for, or whose clauses are wrong.

        Most runs ask for a part of the cases, and pytest takes longer to collect a case than the reference to run it.
        """
        if not name.startswith("test_"):
            return False
        if collects_all(self.config):
            return True
        settings = self.config.stash[SETTINGS]
        sets = clause_sets(getattr(self.obj, name))
        return any(not ids or not load().keys() >= set(ids) or settings.asks_for(ids) for ids in sets)

    def classnamefilter(self, name: str) -> bool:
        return False

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Collect the cases and set the `location` of each; pytest's own lookup costs about 5 % of a case's time."""
        path = None
        for item in super().collect():
            if isinstance(item, pytest.Function):
                path = path or item.location[0]
                item.location = path, inspect.unwrap(item.obj).__code__.co_firstlineno - 1, item.name
                if getattr(item.obj, "is_hypothesis_test", False):
                    seeds.fix_seed(self.config, item.obj)
            yield item


class Replay(pytest.Item):
    """The program of --mmap-replay, as a case."""

    def __init__(self, *, file: str, program: Program, judge: Judge, **options: Any) -> None:
        super().__init__(f"replay[{file}]", **options)
        self.program = program
        self.judge = judge
        self.stash[CASE] = CaseId(f"replay.{Path(file).stem}", ())
        self.stash[PROGRAM] = program

    def runtest(self) -> None:
        judged = self.judge.judge(self.program)
        if judged.divergence is not None:
            self.stash[PROGRAM] = judged.program
            lines = [f"    {number:2}  {step}" for number, step in enumerate(judged.program, 1)]
            judged.divergence.add_note("\n".join(["the program, up to the difference:", *lines]))
            raise judged.divergence
        if judged.unsupported is not None:
            raise Unsupported(judged.unsupported)
        if judged.uncompared is not None:
            self.stash[RECORDED] = {"not compared": judged.uncompared}

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a difference without a traceback: it has occurred in the program, not in Python code."""
        if excinfo.errisinstance(AssertionError):
            return "\n".join([str(excinfo.value), *getattr(excinfo.value, "__notes__", ())])
        return super().repr_failure(excinfo, style)


class CasesDirectory(pytest.Directory):
    """The directory of the installed cases.

    The plugin's fixtures are registered for this directory too, like those of a conftest file in it.  Otherwise the
    conftest file of the user's project would take precedence over the plugin, and the installed cases would get its
    `process` or `page`.
    """

    obj = ModuleType(fixtures.__name__)  # a copy to parse for fixtures; pytest parses no module twice
    vars(obj).update(vars(fixtures))

    def collect(self) -> Iterable[CaseModule | Replay]:
        self.session._fixturemanager.parsefactories(self)
        settings = self.config.stash[SETTINGS]
        if settings.program is not None and settings.judge is not None:
            file, program = settings.program
            yield Replay.from_parent(self, file=file, program=program, judge=settings.judge)
            return
        for path in sorted(self.path.glob("*.py")):
            if path.name.startswith("_"):
                continue
            text = path.read_text(encoding="utf-8")
            if not collects_all(self.config):
                if names_clause(text, load()) and not names_clause(text, settings.clauses):
                    continue
                if settings.scope is not None and is_left_out(text, "not mmap_tour"):
                    continue  # no scope promises a row, see `is_in_scope`
                if is_left_out(text, self.config.getoption("markexpr")):
                    self.config.stash[LEFT_OUT] = True
                    continue
            yield CaseModule.from_parent(self, path=path, nodeid=f"{NODE}/{path.name}")


class CollectionHooks:
    """The hooks of collection: give cases their ids, report invalid cases, and deselect those outside the run."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = config.stash[SETTINGS]
        self.directory = cases_directory()
        self.has_deselected = False
        """True if another option or plugin (-k, -m, --lf …) has deselected cases that the plugin's options select."""
        self.incomplete_clauses: set[str] = set()
        """The ids of clauses of which a collected case was deselected."""

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> CasesDirectory | None:
        if path != self.directory:
            return None
        collector: CasesDirectory = CasesDirectory.from_parent(parent, path=path, nodeid=NODE)
        return collector

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.passed:
            errors = [text for item in report.result if isinstance(item, pytest.Item) for text in self.identify(item)]
            if errors:
                report.outcome = "failed"
                report.longrepr = "\n".join(errors)
                report.result = []
        return report

    def identify(self, item: pytest.Item) -> list[str]:
        """Store the id and the clauses of a case in its stash; return its errors.  Other tests are left unchanged."""
        clauses = dict.fromkeys(id for mark in item.iter_markers("clause") for id in mark.args)
        installed = item.path.parent == self.directory
        if not clauses and not installed and not _uses_plugin_fixtures(item):
            return []
        id = case_id(item)
        item.stash[CASE] = CaseId(id, tuple(clauses))
        parameters = fixtures.fast_parameters(item)
        if parameters is not None:
            item.stash[FAST_PARAMETERS] = parameters
        errors = [
            f"case {id}: there is no clause {clause!r}; {did_you_mean(str(clause), load())}"
            for clause in clauses
            if clause not in load()
        ]
        if installed and not clauses:
            errors.append(f"case {id}: names no clause")
        return errors

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a case with random programs several, one for each part of a long search."""
        plan = self.settings.plan
        if plan.is_long and "random_programs" in metafunc.fixturenames:
            workers = getattr(metafunc.config, "workerinput", {}).get("workercount", 1)
            parts = plan.parts(workers, self.settings.beginning.part)
            metafunc.parametrize("random_programs", parts, indirect=True, ids=[part.id for part in parts])

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept: list[pytest.Item] = []
        deselected: list[pytest.Item] = []
        for item in items:
            (kept if self.is_selected(item) and self.is_in_shard(item) else deselected).append(item)
        if deselected:
            config.hook.pytest_deselected(items=deselected)
            items[:] = kept
        self.has_deselected = self.has_deselected or config.stash.get(LEFT_OUT, False)

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        self.has_deselected = self.has_deselected or any(
            CASE in item.stash and self.is_selected(item) and self.is_in_shard(item) for item in items
        )
        self.incomplete_clauses.update(id for item in items if CASE in item.stash for id in item.stash[CASE].clauses)

    def pytest_collection_finish(self) -> None:
        """Exempt the objects that exist now from garbage collection.

        They are cases and libraries, which live to the end of the run; one collection that traverses them takes as long
        as a hundred cases.
        """
        gc.freeze()

    def is_in_shard(self, item: pytest.Item) -> bool:
        """Return True if an item, a case or another test, is in the part of --mmap-shard."""
        shard = self.settings.shard
        return shard is None or shard.has(item.stash[CASE].id if CASE in item.stash else item.nodeid)

    def is_selected(self, item: pytest.Item) -> bool:
        """Return True for a case whose clauses are all of the level, one of them selected; also for other tests."""
        name = item.stash.get(CASE, None)
        if name is None:
            return True
        if not name.clauses:
            return not self.settings.narrowed
        return self.settings.asks_for(name.clauses) and self.is_in_scope(item)

    def is_in_scope(self, item: pytest.Item) -> bool:
        """Return True if --mmap-scope promises a case with all that it needs, and for every case without a scope."""
        scope, case = self.settings.scope, item.stash[CASE]
        if scope is None:
            return True
        if not {"random_programs", "tour"}.isdisjoint(getattr(item, "fixturenames", ())):
            return False  # what these programs do is promised by the level, not by the scope
        calls = calls_of(getattr(item, "obj", None)) - OPTIONAL
        return scope.excludes(case.id, case.clauses, sorted(calls), needs_of_item(item)) is None


def _uses_plugin_fixtures(item: pytest.Item) -> bool:
    """Return True if the item uses the plugin's `system`, which all fixtures need that use the implementation."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get("system", ()) if info else ()
    return any(definition.func.__module__ == fixtures.__name__ for definition in definitions)


def case_id(item: pytest.Item) -> str:
    """Return the id of a case: its module, its class if it has one, its function, its parameters."""
    function = getattr(item, "originalname", None) or item.name
    parameters = item.name[len(function) :]
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return ".".join([item.path.stem, *classes, function.removeprefix("test_")]) + parameters
