"""Judge one mutant of the reference's source: does a case fail, or a unit test?

    python -P judge.py record     which tests run which lines of the honest source, into reached/
    python -P judge.py            judge what stands in package/ now; the status is 1 if anything fails

Run by source_mutation.py in a folder with package/, tests/ and honest/, the source as it should be.  The tests that
run the changed lines go first, so that most mutants cost little more than pytest's start.  All others go afterwards:
what a test finds may have been computed for an earlier one.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import sys
from collections.abc import Collection, Iterator
from difflib import SequenceMatcher
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import hypothesis  # noqa: F401 - its plugin imports it at the end of each run: here it is imported once
import pytest

JUDGES = {
    "cases": ["--mmap-backend=reference", "--mmap-level=linux", "-m", "not mmap_random"],
    "unit tests": sorted(str(path) for path in Path("tests").glob("test_reference_*.py")),
}
OPTIONS = ["-x", "-q", "--tb=line", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]

HONEST = Path("honest")
MUTATED = Path("package/pytest_mmapconf/reference")
REACHED = Path("reached")

MEMORY = 4 << 30
"""Bytes that a run may have: some mutants ask for more than there is."""


def succeeds(judge: str, plugin: object) -> bool:
    """Whether no test of a run fails, which is a process of its own."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(pytest.main([*OPTIONS, *JUDGES[judge]], plugins=[plugin]))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Reached(NamedTuple):
    """What runs a module."""

    tests: list[str]
    lines: dict[str, list[int]]
    """By line, as JSON has it, the places of its tests in the list of all."""


def read(module: str) -> Reached:
    """What is known of the tests that run a module."""
    path = Path(REACHED, f"{module}.json")
    return Reached(*json.loads(path.read_text())) if path.exists() else Reached([], {})


class Choosing:
    """Runs some tests only, or all but those."""

    def __init__(self, tests: Collection[str], others: bool) -> None:
        self.tests = tests
        self.others = others

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if (item.nodeid in self.tests) != self.others]


class Recording:
    """Notes which tests run which lines."""

    def __init__(self) -> None:
        coverage = import_module("coverage")  # no dependency of the project, so that types are not known everywhere
        self.coverage = coverage.Coverage(data_file=None, include=[f"{MUTATED}/*"], config_file=False)

    def pytest_sessionstart(self) -> None:
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        for module in data.measured_files():
            found = read(Path(module).name)
            numbers = {test: number for number, test in enumerate(found.tests)}
            for line, tests in data.contexts_by_lineno(module).items():
                found.lines.setdefault(str(line), []).extend(
                    numbers.setdefault(test, len(numbers)) for test in tests if test
                )
            Path(REACHED, f"{Path(module).name}.json").write_text(json.dumps([list(numbers), found.lines]))


def statements(source: str) -> Iterator[range]:
    """The lines of each statement, of a compound one those before its body."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            yield range(node.lineno, body[0].lineno if body else (node.end_lineno or node.lineno) + 1)


def changed() -> Iterator[tuple[str, set[int]]]:
    """The modules that are not as they should be, and the lines of the statements that are not."""
    for path in HONEST.glob("*.py"):
        honest, mutated = path.read_text(), (MUTATED / path.name).read_text()
        if honest != mutated:
            matcher = SequenceMatcher(None, honest.splitlines(), mutated.splitlines(), autojunk=False)
            lines = {
                line + 1
                for _tag, first, last, *_ in matcher.get_opcodes()
                if _tag != "equal"
                for line in range(first, last)
            }
            yield path.name, lines.union(*(each for each in statements(honest) if not lines.isdisjoint(each)))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path.insert(0, os.path.abspath("package"))
    sys.dont_write_bytecode = True
    if sys.argv[1:] == ["record"]:
        REACHED.mkdir()
        for judge in JUDGES:
            if not succeeds(judge, Recording()):
                sys.exit(f"the {judge} fail without any mutant")
        return

    tests: set[str] = set()
    for module, lines in changed():
        reached = read(module)
        tests |= {reached.tests[number] for line in lines for number in reached.lines.get(str(line), ())}
    for others in (False, True):
        for judge in JUDGES:
            if (tests or others) and not succeeds(judge, Choosing(tests, others)):
                print("killed by", judge)
                sys.exit(1)


if __name__ == "__main__":
    main()
