"""Which cases a run collects."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from vendored import CASES, build

from pytest_mmapconf.plugin.collection import CASES_PACKAGE, cases_directory, clause_sets, is_left_out, names_clause

MODULES = sorted(path for path in cases_directory().glob("*.py") if not path.name.startswith("_"))

Judge = Callable[..., pytest.RunResult]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_cases_spells_out_their_clauses(path: Path) -> None:
    """A run that asks for none of the clauses in a module's text does not import the module."""
    module = import_module(f"{CASES_PACKAGE}.{path.stem}")
    functions = [value for name, value in vars(module).items() if name.startswith("test_")]

    ids = {id for function in functions for ids in clause_sets(function) for id in ids}

    assert ids
    text = path.read_text(encoding="utf-8")
    assert {id for id in ids if not names_clause(text, [id])} == set()


@pytest.mark.parametrize(
    ("expression", "is_out"),
    [
        ("", False),
        ("not mmap_tour", True),
        ("not mmap_random and not mmap_tour", True),
        ("mmap_random and not mmap_tour", True),
        ("mmap_tour", False),
        ("not mmap_tour_2", False),
        ("mmap_random or not mmap_tour", False),
        ("mmap_tour or mmap_random and not mmap_tour", False),
        ("not (mmap_random and not mmap_tour)", False),
        ("not mmap_tour and not(mmap_random)", False),
    ],
)
def test_a_module_is_left_out_that_the_marks_exclude(expression: str, is_out: bool) -> None:
    assert is_left_out("import pytest\n\npytestmark = pytest.mark.mmap_tour\n", expression) == is_out
    assert not is_left_out("@pytest.mark.mmap_tour\ndef test_a(): ...\n", expression)


def test_a_run_that_excludes_all_cases_of_a_module_does_not_import_it_and_is_partial(
    judge: Judge, tmp_path: Path
) -> None:
    """The run says that it has not asked everything, as when pytest deselects the cases itself."""
    module = "import pytest\n\npytestmark = pytest.mark.mmap_tour\nraise ImportError  # map.size\n"
    library = build(tmp_path / "lib", {**CASES, "tour.py": module})

    result = judge("Good", "-m", "not mmap_tour", library=library, alone=True)

    result.assert_outcomes(passed=5)
    assert "partial run: of all 3 clauses of level documented some cases asked, others not: 3 pass" in result.outlines


def test_clause_sets_combine_marks_of_function_and_parameters() -> None:
    @pytest.mark.clause("a")
    @pytest.mark.parametrize("size", [1, pytest.param(2, marks=pytest.mark.clause("b", "a"))])
    @pytest.mark.parametrize("kind", [pytest.param(3, marks=pytest.mark.clause("c"))])
    def case(size: Any, kind: Any) -> None: ...

    assert {frozenset(ids) for ids in clause_sets(case)} == {frozenset("ac"), frozenset("abc")}


@pytest.mark.parametrize(
    ("arguments", "collected"),
    [
        pytest.param([], {"mapping.py": 3, "files.py": 2}, id="level"),
        pytest.param(["--mmap-clause=file.content"], {"files.py": 2}, id="clause"),
        pytest.param(["--mmap-level=linux", "--mmap-clause=file.linux"], {"files.py": 1}, id="clause-of-another-level"),
    ],
)
def test_cases_that_the_run_does_not_ask_for_are_not_collected(
    judge: Judge, arguments: list[str], collected: dict[str, int]
) -> None:
    result = judge("Good", "--collect-only", "-q", *arguments)

    lines = [line for line in result.outlines if "::" in line]
    assert {module: sum(module in line for line in lines) for module in collected} == collected
    assert len(lines) == sum(collected.values())


def test_a_node_id_leads_to_a_case_of_another_level(judge: Judge) -> None:
    result = judge("Good", "conformance/files.py::test_first")

    result.assert_outcomes(deselected=1)
