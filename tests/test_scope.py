"""catalogue.scope: the file, what it promises, the ready-made scopes; and --mmap-scope."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import lab_kernel
import pytest

from pytest_mmapconf.catalogue.scope import KINDS, Scope, ScopeError, load, parse
from pytest_mmapconf.data_files import ready_made

LAB = "--mmap-backend=python:lab_kernel:{}Backend"


@pytest.mark.parametrize("name", ready_made("pytest_mmapconf.catalogue", "scopes"))
def test_ready_made_scopes_are_valid(name: str) -> None:
    scope = load(name, Path("/nowhere"))

    assert scope.name == name
    assert scope.text
    assert scope.promised or scope.not_promised


def test_without_lists_everything_is_promised() -> None:
    assert all(Scope("all", "all").promises(kind, "anything") for kind in KINDS)


def test_a_list_promises_what_matches_and_takes_away_what_does_not_count() -> None:
    scope = parse(
        'text = "x"\n[promised]\nclauses = ["munmap.*"]\n[not-promised]\nclauses = ["munmap.hole"]\ncases = ["a[b]"]',
        "x",
    )

    assert scope.promises("clauses", "munmap.range")
    assert not scope.promises("clauses", "munmap.hole")
    assert not scope.promises("clauses", "mmap.range")
    assert not scope.promises("cases", "a[b]")
    assert scope.promises("cases", "ab")
    assert scope.promises("calls", "fork")


@pytest.mark.parametrize(
    ("needed", "why"),
    [
        ({}, None),
        ({"case": "munmap.x"}, "case munmap.x"),
        ({"clauses": ["munmap.range", "munmap.hole"]}, "clause munmap.hole"),
        ({"calls": ["mremap"]}, "call mremap"),
        ({"properties": ["fixed"]}, "property fixed"),
    ],
)
def test_a_case_is_asked_if_all_that_it_needs_is_promised(needed: dict[str, Any], why: str | None) -> None:
    scope = parse(
        'text = "x"\n[not-promised]\nclauses = ["munmap.hole"]\ncalls = ["mremap"]\nproperties = ["fixed"]\n'
        'cases = ["munmap.x"]',
        "x",
    )

    assert scope.excludes(**{"case": "a", "clauses": ["munmap.range"], "calls": [], "properties": [], **needed}) == why


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text = ", "x: not TOML: "),
        ("[promised]", "x: text is missing"),
        ("text = 1", "x: text is missing"),
        ('text = "x"\npromises = 1', "x: promises is not known; there are text, promised, not-promised"),
        ('text = "x"\npromised = 1', "x: promised: is not a table"),
        ('text = "x"\n[promised]\nclause = []', "x: promised: clause is not known"),
        ('text = "x"\n[promised]\ncalls = "mmap"', "x: promised: calls is not a list of texts"),
        ('text = "x"\n[promised]\ncalls = ["mmpa"]', "x: promised: no call matches 'mmpa'; did you mean mmap"),
        ('text = "x"\n[not-promised]\nproperties = ["coherence"]', "did you mean coherent"),
        ('text = "x"\n[not-promised]\nclauses = ["munmap.rnage"]', "did you mean munmap.range"),
    ],
)
def test_an_invalid_scope_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ScopeError, match=re.escape(message)):
        parse(text, "x")


def test_a_missing_file_is_an_error_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(ScopeError, match="there is no such file, and no scope of that name; did you mean mmap-lab"):
        load("mmaplab", tmp_path)


@pytest.fixture
def solutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the module `lab_kernel` one that runs of pytest can import."""
    monkeypatch.setenv("PYTHONPATH", str(Path(lab_kernel.__file__).parent))


def judge(pytester: pytest.Pytester, solution: str, *options: str) -> dict[str, Any]:
    """Run the suite on a solution of the lab, and return the JSON report."""
    pytester.runpytest_subprocess(LAB.format(solution), "--mmap-report=report.json", *options)
    report: dict[str, Any] = json.loads((pytester.path / "report.json").read_text())
    return report


@pytest.mark.usefixtures("solutions")
def test_a_right_solution_conforms_to_its_scope(pytester: pytest.Pytester) -> None:
    report = judge(pytester, "LabProcess", "--mmap-scope=mmap-lab")

    assert report["statement"]["good"], report["statement"]["text"]
    assert report["statement"]["text"].startswith("conforms to scope mmap-lab of level documented: ")
    assert report["scope"] == "mmap-lab"
    assert report["narrowed"] is False
    assert {case["verdict"] for case in report["cases"]} == {"pass", "unsupported"}


@pytest.mark.usefixtures("solutions")
def test_workers_read_the_scope_of_the_controller(pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".toml",
        mine='text = "mine"\n[promised]\nclauses = ["munmap.result"]\n'
        'calls = ["m*map", "sysconf", "load", "store", "open", "pwrite"]',
    )

    report = judge(pytester, "LabProcess", "--mmap-scope=mine.toml", "-n1")

    assert {clause["id"] for clause in report["clauses"]} == {"munmap.result"}


def test_an_unknown_scope_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--mmap-backend=reference", "--mmap-scope=lab")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --mmap-scope=lab: there is no such file*mmap-lab*"])
