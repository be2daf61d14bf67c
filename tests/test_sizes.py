"""The sizes of functions and modules: what is long is split, or has its reason here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).resolve().parents[1]

FUNCTION_LINES: Final = 60
"""Lines that a function may have, decorators aside."""

MODULE_LINES: Final = 600
"""Lines that a module may have."""

ONE_FILE: Final = "the tests of one module, which are independent of each other, in one file of its name"

LONG_MODULES: Final = {
    "pytest_mmapconf/contract.py": "the contract is one page that authors of backends read from top to bottom",
    "pytest_mmapconf/agent/python_agent.py": "one file that is copied to the machine under test",
    "conformance/mmap_arguments.py": "cases of one call; a module is part of a case's id",
    "conformance/mmap_errors.py": "cases of one call; a module is part of a case's id",
    "conformance/mprotect.py": "cases of one call; a module is part of a case's id",
    "conformance/mremap.py": "cases of one call; a module is part of a case's id",
    "reference/mutants/mremap_ranges.py": "a list of independent mutants",
    "tests/test_agent_backend.py": ONE_FILE,
    "tests/test_agent_client.py": ONE_FILE,
    "tests/test_c_source.py": ONE_FILE,
    "tests/test_lockstep.py": ONE_FILE,
    "tests/test_plugin.py": ONE_FILE,
    "tests/test_reference_files.py": ONE_FILE,
    "tests/test_reference_mapping_calls.py": ONE_FILE,
    "tests/test_reference_observed_choices.py": ONE_FILE,
    "tests/test_reference_page_calls.py": ONE_FILE,
    "tests/test_smoke.py": ONE_FILE,
}
"""Modules that are longer, each with the reason."""


def modules() -> Iterator[tuple[str, str]]:
    """Yield the path and text of each module of the project."""
    for folder in ("pytest_mmapconf", "reference", "conformance", "benchmarks", "tests"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), path.read_text(encoding="utf-8")


def long_functions(text: str, limit: int = FUNCTION_LINES) -> list[str]:
    """Return the names of the functions that have more than `limit` lines."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    return [node.name for node in nodes if (node.end_lineno or 0) - node.lineno + 1 > limit]


def test_no_function_is_long() -> None:
    assert {path: names for path, text in modules() if (names := long_functions(text))} == {}


def test_no_module_is_long_without_a_reason() -> None:
    assert {path for path, text in modules() if text.count("\n") > MODULE_LINES} == set(LONG_MODULES)


@pytest.mark.parametrize(("lines", "names"), [(60, []), (61, ["long"])])
def test_a_planted_long_function_is_found(lines: int, names: list[str]) -> None:
    assert long_functions("def long():\n" + "    pass\n" * (lines - 1)) == names
