"""Mutate the reference's source with cosmic-ray, and measure how many of the mutants the tests detect.

    python benchmarks/source_mutation.py [--sample 200] [--seed 4] [--workers 2]

cosmic-ray lists the possible mutations and applies them.  As there are many thousands, a sample is drawn: at random
from the seed, at most one at each place of the source, none in an annotation, which is not evaluated.  Survivors are
printed as differences, unless they are listed in equivalent/ with the reason why no test distinguishes them from the
reference.  A listed mutant that a test detects is printed too: its reason is wrong.

Each mutant is judged by all cases of level linux but the random ones, on a machine that places mappings elsewhere
(odd_machine.py in tests/), and if these pass by the unit tests of the reference.  Only tests that run the changed lines
are run; a first run of all tests on the original source records them.  A run is a fork of this process, which has
imported all slow modules, but not the reference.  The fork imports the changed module from memory, so that no file is
modified.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from difflib import unified_diff
from functools import cache, partial
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import CodeType
from typing import Any, NamedTuple

import hypothesis  # noqa: F401 - its pytest plugin imports it at the end of each run
import pytest
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from coverage import Coverage

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = Path(
    (find_spec("pytest_mmapconf.reference") or sys.exit("the project is not installed")).origin or ""
).parent
EQUIVALENT = Path(__file__).parent / "equivalent"
LEFT_OUT = {"__init__.py", "mutant.py", "maps.py"}
"""Files of reference/ that are not mutated: they make mutants or print address spaces, and decide no result."""

CASES = ["--mmap-level=linux", "-m", "not mmap_random"]
JUDGES = {
    "cases": ["--mmap-backend=python:odd_machine:Odd", *CASES],
    "unit tests": sorted(str(path) for path in PROJECT.glob("tests/test_reference_*.py")),
}
OPTIONS = ["-x", "-q", "--tb=line", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
MEMORY = 4 << 30
"""Memory limit of a run, in bytes: some mutants allocate without bound."""

WARNED = "warned of by Python"
"""The result of a mutant that does not count."""

ALL = "all tests"
"""Key for lines that an import, or a fixture of several tests, runs."""


class Mutant(NamedTuple):
    """A mutation of one token."""

    module: str
    line: int
    column: int
    operator: str
    occurrence: int

    def source(self) -> str:
        """Return the source of the mutated module."""
        source: str = mutate_code((REFERENCE / self.module).read_text(), get_operator(self.operator)(), self.occurrence)
        return source

    def name(self) -> str:
        """Return the innermost function or class that contains the mutation; empty for none."""
        found = ""
        for node in ast.walk(parsed(self.module)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.lineno <= self.line <= (node.end_lineno or 0):
                found = node.name  # inner definitions follow later
        return found

    def difference(self) -> list[str]:
        """Return the mutation as the lines of a unified difference."""
        original = (REFERENCE / self.module).read_text().splitlines()
        return list(unified_diff(original, self.source().splitlines(), self.module, self.module, lineterm=""))

    def change(self) -> tuple[str, str, str]:
        """Return the module, the changed lines, and their replacement."""
        return (self.module, *changed(self.difference()[2:]))


def changed(difference: Iterable[str]) -> tuple[str, str]:
    """Return the lines that a difference removes, and those that it adds, without indentation."""
    lines = [(line[:1], line[1:].strip()) for line in difference]
    before, after = ("\n".join(line for sign, line in lines if sign == wanted) for wanted in "-+")
    return before, after


@cache
def parsed(module: str) -> ast.Module:
    """Return the source of a module of the reference."""
    return ast.parse((REFERENCE / module).read_text())


# ----------------------------------------------------------------------------------------------------------- the sample


def mutants(module: str) -> Iterator[Mutant]:
    """Yield all mutants of a module, except those in annotations."""
    skipped = list(unevaluated(module))
    nodes = list(ast_nodes(get_ast_from_path(REFERENCE / module)))
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue  # this operator needs an argument: the text to replace
        places = (start for node in nodes for start, _end in operator().mutation_positions(node))
        for occurrence, place in enumerate(places):
            if not any(start <= place < end for start, end in skipped):
                yield Mutant(module, place[0], place[1], name, occurrence)


def unevaluated(module: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the extent of each annotation of a module: lines and columns of its start and end."""
    for node in ast.walk(parsed(module)):
        found = None
        if isinstance(node, ast.arg | ast.AnnAssign):
            found = node.annotation
        elif isinstance(node, ast.FunctionDef):
            found = node.returns
        if found:
            yield (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)


def all_mutants() -> list[Mutant]:
    """Return all mutants."""
    modules = sorted(path.name for path in REFERENCE.glob("*.py") if path.name not in LEFT_OUT)
    return sorted(mutant for module in modules for mutant in mutants(module))


def draw(size: int, seed: int) -> list[Mutant]:
    """Return the mutants of the sample, which are the same for the same source and version of cosmic-ray."""
    found = all_mutants()
    Random(seed).shuffle(found)
    places: dict[tuple[str, int, int], Mutant] = {}
    for mutant in found:
        places.setdefault(mutant[:3], mutant)
    print(f"{len(found)} mutants at {len(places)} places outside of annotations")
    return list(places.values())[:size]


def mutants_in_output(output: str) -> list[Mutant]:
    """Return the mutants whose differences are in this program's output, at the current position of their lines."""
    changes = set()
    for difference in output.split("\n--- ")[1:]:
        module, *lines = difference.partition("\n\n")[0].splitlines()
        changes.add((module, *changed(lines[1:])))
    original = {module: (REFERENCE / module).read_text().splitlines() for module, _before, _after in changes}
    touched = {(module, line) for module, before, _after in changes for line in before.splitlines()}
    return [
        mutant
        for mutant in all_mutants()
        if mutant.module in original
        and (mutant.module, original[mutant.module][mutant.line - 1].strip()) in touched
        and mutant.change() in changes
    ]


# ---------------------------------------------------------------------------------------------------------------- a run


def run(judge: str, plugin: object, prepare: Callable[[], object]) -> int:
    """Return the exit status of a judge's run, negative if a signal has ended it."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.dont_write_bytecode = True
        status = int(pytest.ExitCode.INTERNAL_ERROR)  # for example out of memory; no exception may reach the parent
        try:
            prepare()
            status = pytest.main([*OPTIONS, *JUDGES[judge]], plugins=[plugin])
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class LineRecorder:
    """A plugin that records the tests that run each line."""

    def __init__(self, into: Path) -> None:
        self.into = into
        self.coverage = Coverage(data_file=None, include=[f"{REFERENCE}/*.py"], config_file=False)
        self.test = ALL

    def start(self) -> None:
        self.coverage.start()
        self.coverage.switch_context(ALL)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.test = nodeid
        self.coverage.switch_context(nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        if fixturedef.scope != "function":
            self.coverage.switch_context(ALL)
        try:
            return (yield)
        finally:
            self.coverage.switch_context(self.test)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        found = {Path(module).name: data.contexts_by_lineno(module) for module in data.measured_files()}
        self.into.write_text(json.dumps(found))


class TestSelector:
    """A plugin that selects these tests only."""

    def __init__(self, tests: Collection[str]) -> None:
        self.tests = tests

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if ALL not in self.tests:
            items[:] = [item for item in items if item.nodeid in self.tests]


# -------------------------------------------------------------------------------------------------------------- judging

Tests = dict[str, dict[str, dict[int, list[str]]]]
"""For each judge, module and line, the tests that run the line."""


def tests_by_line() -> Tests:
    """Return, for each judge and line of the original source, the tests that run it."""
    found: Tests = {}
    with tempfile.TemporaryDirectory() as scratch:
        for judge in JUDGES:
            recorder = LineRecorder(Path(scratch, judge))
            if run(judge, recorder, recorder.start):
                sys.exit(f"the {judge} fail without any mutant")
            noted = json.loads(recorder.into.read_text())
            found[judge] = {
                module: {int(line): tests for line, tests in lines.items()} for module, lines in noted.items()
            }
    return found


def statement_lines(module: str, line: int) -> set[int]:
    """Return the lines of the statement that contains a line; of a compound statement, those before its body."""
    found = {line}
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            lines = range(node.lineno, body[0].lineno if body else (node.end_lineno or node.lineno) + 1)
            found |= set(lines) if line in lines else set()
    return found


def outcome(mutant: Mutant, tests: Tests, timeout: int) -> str:
    """Return the result of a mutant: the judge that detects it, "time", "survived", or `WARNED` for a warning."""
    path = os.fspath(REFERENCE / mutant.module)
    original = SourceFileLoader.get_code
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        try:
            code = compile(mutant.source(), path, "exec")
        except SyntaxError:  # a warning, for example of `is` and a number; no test detects it
            return WARNED

    def get_code(loader: Any, name: str) -> CodeType | None:
        return code if loader.path == path else original(loader, name)

    def prepare() -> None:
        SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (timeout, timeout + 1))

    lines = statement_lines(mutant.module, mutant.line)
    for judge, modules in tests.items():
        reached = modules.get(mutant.module, {})
        chosen = {test for line in lines for test in reached.get(line, ())}
        if chosen and (status := run(judge, TestSelector(chosen), prepare)):
            return "time" if status == -signal.SIGXCPU else judge
    return "survived"


Change = tuple[str, str, str, str]
"""Function or class, module, changed line, replacement."""


def equivalent_mutants() -> dict[Change, str]:
    """Return the mutants listed as equivalent, with the reasons; tests/test_equivalent.py checks the lines."""
    found: dict[Change, str] = {}
    for path in sorted(EQUIVALENT.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["equivalent"]:
            becomes = entry["becomes"] if isinstance(entry["becomes"], list) else [entry["becomes"]]
            found |= {(entry["in"], f"{path.stem}.py", entry["line"], line): entry["why"] for line in becomes}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="number of mutants (%(default)s)")
    parser.add_argument("--seed", type=int, default=4, help="seed of the sample (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="number of concurrent runs (%(default)s)")
    parser.add_argument(
        "--timeout", type=int, default=10, metavar="SECONDS", help="processor time of each run (%(default)s)"
    )
    parser.add_argument("--without-tour", action="store_true", help="judge by the cases without the tour: a short run")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run only the survivors in this output")
    options = parser.parse_args()

    os.chdir(PROJECT)
    sys.path.insert(0, "tests")
    if options.without_tour:
        JUDGES["cases"][-1] += " and not mmap_tour"
    sample = mutants_in_output(options.again.read_text()) if options.again else draw(options.sample, options.seed)
    equivalent = equivalent_mutants()
    judging = partial(outcome, tests=tests_by_line(), timeout=options.timeout)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        for mutant, seen in zip(sample, pool.imap(judging, sample), strict=True):
            result = seen
            why = equivalent.get((mutant.name(), *mutant.change()))
            if why and result == "survived":
                result = "equivalent"
            elif why and result != WARNED:
                result = f"detected by {result}, but listed as equivalent: {why}"
            if result not in (*JUDGES, "equivalent", WARNED):
                print(f"\n{result}: in {mutant.name()}", *mutant.difference(), sep="\n", flush=True)
            counts[result.partition(":")[0]] += 1
    print(f"\n{len(sample)} mutants in {time.monotonic() - began:.0f} s: ", end="")
    print(", ".join(f"{counts[name]} {name}" for name in sorted(counts)))
    judged = len(sample) - counts["equivalent"] - counts[WARNED]
    print(f"detected: {(judged - counts['survived']) / (judged or 1):.1%} of the {judged} that are not equivalent")


if __name__ == "__main__":
    main()
