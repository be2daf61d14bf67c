"""Rows of the tour that are run without pytest's phases have the results that they have with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HOOK = """
def pytest_runtest_setup(item):
    with open("set-up.txt", "a") as file:
        print(item.nodeid, file=file)
"""

MARK = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items[0].add_marker(pytest.mark.xfail(strict=True, reason="on record"))
"""


def run(pytester: pytest.Pytester, backend: str, hooks: str) -> list[dict[str, Any]]:
    """Run some rows of munmap, and return the cases of the report."""
    pytester.makepyfile(hooks=hooks)
    pytester.runpytest_subprocess(
        "-p", "hooks", f"--mmap-backend={backend}", "--mmap-level=linux", "--mmap-report=report.json",
        "--mmap-clause=munmap.hole", "-m", "mmap_tour", "-k", "munmap+hole",
    )  # fmt: skip
    cases: list[dict[str, Any]] = json.loads(Path("report.json").read_text())["cases"]
    return cases


def test_failures_are_those_of_the_usual_way(pytester: pytest.Pytester) -> None:
    quick = run(pytester, "mutant:munmap-takes-the-next-page", "")
    usual = run(pytester, "mutant:munmap-takes-the-next-page", HOOK)

    assert {case["verdict"] for case in quick} == {"pass", "fail"}
    assert quick == usual
    assert len(Path("set-up.txt").read_text().splitlines()) == len(usual)


def test_marks_are_evaluated(pytester: pytest.Pytester) -> None:
    cases = run(pytester, "reference", MARK)

    assert [case["verdict"] for case in cases].count("fail") == 1
    assert len(cases) > 1
