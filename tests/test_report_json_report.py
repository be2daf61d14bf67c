"""report.json_report: a run as JSON, and the schema of the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_mmapconf.catalogue.clauses import LEVELS
from pytest_mmapconf.catalogue.verdicts import VERDICTS

Judge = Callable[..., pytest.RunResult]

SCHEMA: dict[str, Any] = json.loads((files("pytest_mmapconf.report") / "schema.json").read_text("utf-8"))


def valid(path: Path) -> dict[str, Any]:
    """Return a JSON report after validating it by the schema."""
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    return document


def counts(**of: int) -> dict[str, int]:
    return {**dict.fromkeys(VERDICTS, 0), **{name.removesuffix("_"): number for name, number in of.items()}}


def test_schema_is_valid_and_has_every_verdict_and_level() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert sorted(SCHEMA["$defs"]["verdict"]["enum"]) == sorted(VERDICTS)
    assert SCHEMA["$defs"]["level"]["enum"] == list(LEVELS)
    assert sorted(SCHEMA["$defs"]["counts"]["required"]) == sorted(VERDICTS)


def test_passing_run_with_and_without_workers(judge: Judge, pytester: pytest.Pytester) -> None:
    judge("Known", "--mmap-report=one.json")
    judge("Known", "--mmap-report=two.json", "-n", "2")
    one, two = valid(pytester.path / "one.json"), valid(pytester.path / "two.json")

    assert set(one.pop("date")) <= set("0123456789-:T+")
    two.pop("date")
    assert one == two
    assert one["suite"] == {"name": "pytest-mmapconf", "version": "(unknown)"}
    assert one["backend"] == {
        "name": "known",
        "version": "7.1",
        "kernel": "Toy 3",
        "page": "4096",
        "machine": "paper",
    }
    assert one["level"] == "documented"
    assert one["statement"] == {"good": True, "text": "conforms to level documented: 3 pass"}
    assert one["narrowed"] is False
    assert one["totals"] == {"clauses": counts(pass_=3), "cases": counts(pass_=5), "level": 3}
    assert one["clauses"][0] == {
        "id": "map.size",
        "level": "documented",
        "group": "map",
        "text": "A length of zero is refused.",
        "observed": "EINVAL",
        "source": "the chapter",
        "verdict": "pass",
        "reason": "",
        "cases": ["mapping.no_length[none]", "mapping.no_length[read]"],
    }
    assert [(clause["id"], clause["cases"]) for clause in one["clauses"][1:]] == [
        ("map.address", ["mapping.aligned"]),
        ("file.content", ["files.content", "files.content_written"]),
    ]
    kept = {"verdict": "pass", "reason": ""}
    assert one["cases"] == [
        {"id": "files.content", "clauses": ["file.content"], **kept},
        {"id": "files.content_written", "clauses": ["file.content"], **kept},
        {"id": "mapping.aligned", "clauses": ["map.address"], **kept, "recorded": {"address": "0x11000"}},
        {"id": "mapping.no_length[none]", "clauses": ["map.size"], **kept},
        {"id": "mapping.no_length[read]", "clauses": ["map.size"], **kept},
    ]


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_evidence_of_a_failing_case(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    judge("Bad", "--mmap-report=v.json", *mode)
    report = valid(pytester.path / "v.json")

    cases = {case["id"]: case for case in report["cases"]}
    assert cases["mapping.no_length[none]"] == {
        "id": "mapping.no_length[none]",
        "clauses": ["map.size"],
        "verdict": "fail",
        "reason": "expected EINVAL, but the call succeeded",
        "cause": {
            "call": "mmap",
            "answer": "success",
            "instead of": "EINVAL",
            "step": "r1 = p1.mmap(0, 0, PROT_NONE, MAP_PRIVATE, -1, 0)",
        },
        "evidence": {
            "expected": "EINVAL",
            "seen": "the call succeeded",
            "pictures": [{"of": "process", "text": "mapped up to 0x10000"}],
            "calls": [
                line for line in cases["mapping.no_length[none]"]["evidence"]["calls"] if "p1.mmap(0, 0, " in line
            ],
        },
    }
    assert cases["mapping.aligned"]["reason"] == "expected 0, but saw (65537 % 4096)"
    evidence = cases["mapping.aligned"]["evidence"]
    assert evidence["pictures"] == [{"of": "process", "text": "mapped up to 0x10001"}]
    assert evidence["calls"][-1].endswith("→ 65537")
    assert "evidence" not in cases["files.content"]
    assert [(group["call"], group["answer"], group["cases"]) for group in report["causes"]] == [
        ("mmap", "success", ["mapping.no_length[none]", "mapping.no_length[read]"]),
        ("mmap", "another address", ["mapping.aligned"]),
    ]


def test_partial_run(judge: Judge, pytester: pytest.Pytester) -> None:
    judge("Good", "--mmap-report=v.json", "-k", "aligned")

    report = valid(pytester.path / "v.json")
    assert report["narrowed"] is True
    assert report["statement"]["text"] == "partial run: 1 of 3 clauses of level documented asked: 1 pass"


@pytest.mark.parametrize("arguments", [["--mmap-clause=map.size"], ["test_mine.py"], ["-x"]])
def test_options_that_narrow_a_run(judge: Judge, pytester: pytest.Pytester, arguments: list[str]) -> None:
    pytester.makepyfile(test_mine="def test_mine(process): pass")

    judge("Bad", "--mmap-report=v.json", *arguments)

    assert valid(pytester.path / "v.json")["narrowed"] is True


def test_broken_harness_differs_from_broken_implementation(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        gone="""
        from subjects import *
        class Gone(Backend):
            def boot(self): raise Unresolved("ssh: no route to host")
        """
    )

    result = judge("", "--mmap-backend=python:gone:Gone", "--mmap-report=v.json")

    assert result.ret == 1
    text = "the harness is broken: nothing is known of the implementation, no case was completed: 3 unresolved"
    assert valid(pytester.path / "v.json")["statement"] == {"good": False, "text": text}
    result.stdout.fnmatch_lines([text])
    judge("Dies", "--mmap-report=v.json")
    assert "harness" not in valid(pytester.path / "v.json")["statement"]["text"]


def test_names_that_utf8_cannot_encode(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        odd="""
        from subjects import *
        class Odd(Known):
            def facts(self): return Facts("half \\udc80 <script>", "\\0\\x1b[31m", {"machine": '"'})
        """
    )

    judge("", "--mmap-backend=python:odd:Odd", "--mmap-report=v.json")

    assert valid(pytester.path / "v.json")["backend"] == {
        "name": "half \\udc80 <script>",
        "version": "\\x00\\x1b[31m",
        "machine": '"',
    }
