"""report.merge: several JSON reports as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from runs import EINVAL, EVIDENCE, FLUSH, RANGE, case, run

from pytest_mmapconf.__main__ import main
from pytest_mmapconf.report.json_report import document
from pytest_mmapconf.report.merge import Contradiction, combined, merged, read_files
from pytest_mmapconf.report.result import Run
from pytest_mmapconf.report.view import labels

from test_report_json_report import SCHEMA  # isort: skip


def saved(folder: Path, **runs: Run) -> list[str]:
    """Write the JSON report of each run, named after it; return the paths."""
    for name, saved_run in runs.items():
        (folder / f"{name}.json").write_text(json.dumps(document(saved_run)))
    return [str(folder / f"{name}.json") for name in runs]


ONE = run(
    case("a[1]", RANGE),
    case("b", RANGE, EINVAL, verdict="fail", reason="why", evidence=EVIDENCE),
    total_clauses=3,
    shard_count=2,
)
ON_RECORD: dict[str, Any] = {
    "expected": {"file": "e.toml", "number": 2, "verdict": "fail", "reason": "known", "link": "https://x"},
    "observed": ("fail", "expected EINVAL"),
}
TWO = run(
    case("a[2]", RANGE, recorded={"x": True}),
    case("c", FLUSH, **ON_RECORD),
    total_clauses=3,
    date="2026-11-26T18:00:00+00:00",
    shard_count=2,
    shards=(2,),
)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    both = saved(tmp_path, one=ONE, two=TWO)

    assert [run for _, run in read_files(map(Path, both))] == [ONE, TWO]


def test_shards_are_combined() -> None:
    (whole,) = merged([("one", ONE), ("two", TWO)])

    assert [entry.id for entry in whole.cases] == ["a[1]", "a[2]", "b", "c"]
    assert [(entry.clause.id, entry.verdict, len(entry.cases)) for entry in whole.judged] == [
        (RANGE, "fail", 3),
        (EINVAL, "fail", 1),
        (FLUSH, "pass", 1),
    ]
    assert whole.statement == (False, "does not conform to level documented: 1 pass, 2 fail")
    assert ONE.partial
    assert not whole.partial
    assert whole.date == TWO.date


def test_run_is_complete_once_all_shards_are_given() -> None:
    one, two = replace(ONE, shards=(1,), shard_count=3), replace(TWO, shards=(3,), shard_count=3)
    (some,) = merged([("one", one), ("two", two)])
    (all,) = merged([("one", one), ("two", two), ("three", replace(TWO, shards=(2,), shard_count=3))])

    assert some.statement == (False, "shard 1, 3 of 3: 3 of 3 clauses of level documented asked: 1 pass, 2 fail")
    assert all.statement == (False, "does not conform to level documented: 1 pass, 2 fail")
    with pytest.raises(Contradiction, match=r"^one and two are of the same backend, but a shard of 3 and one of 2"):
        merged([("one", one), ("two", replace(TWO, shards=(2,), shard_count=2))])


def test_a_shard_that_has_judged_nothing_is_named() -> None:
    lost = run(case("c", verdict="unresolved", reason="died"), total_clauses=3, shard_count=2, shards=(2,))

    (whole,) = merged([("one", ONE), ("two", lost)])
    (cut,) = merged([("one", ONE), ("two", replace(TWO, unfinished="was interrupted"))])

    assert whole.statement[1].startswith("no statement, as the run of shard 2 of 2 completed no case: ")
    assert cut.statement[1].startswith("no statement, as the run of shard 2 of 2 was interrupted: ")


def test_the_same_case_twice_counts_once() -> None:
    (whole,) = merged([("one", ONE), ("again", ONE), ("two", TWO)])

    assert len(whole.cases) == 4


def test_missing_shard_makes_the_run_partial() -> None:
    (whole,) = merged([(str(number), run(case(f"{number}"), shard_count=4, shards=(number,))) for number in (4, 1, 3)])

    assert (whole.shards, whole.shard_count, whole.partial) == ((1, 3, 4), 4, True)
    assert whole.statement == (True, "shard 1, 3, 4 of 4: 1 of 1 clauses of level documented asked: 1 pass")


def test_two_runs_of_the_same_backend_are_placed_side_by_side() -> None:
    again = run(case("a[1]", verdict="fail"))

    assert merged([("one", again), ("other", again)]) == [again, again]
    assert labels([again, again]) == ["mine (1)", "mine (2)"]


def test_two_runs_that_contradict_each_other() -> None:
    other = run(case("a[1]", RANGE, verdict="unresolved", reason="died"), total_clauses=3, shard_count=2)

    with pytest.raises(Contradiction, match=r"^one and other are .* a\[1\] is pass in one and unresolved in the other"):
        merged([("one", ONE), ("other", other)])


def test_verdict_that_does_not_follow_from_the_cases_is_kept() -> None:
    """A clause may fail because it passes although a deviation is on record."""
    (entry,) = TWO.judged[:1]
    strict = replace(TWO, judged=(replace(entry, verdict="fail", reason="on record"), *TWO.judged[1:]))

    whole = combined([("two", strict), ("more", run(case("d", RANGE), shard_count=2))])

    assert [(entry.verdict, entry.reason) for entry in whole.judged] == [("fail", "on record"), ("pass", "")]


@pytest.mark.parametrize(
    "other",
    [
        run(case("a[2]"), name="other", shard_count=2, shards=(2,)),
        run(case("a[2]"), level="posix", shard_count=2, shards=(2,)),
        run(case("a[2]"), suite="0.2.0", shard_count=2, shards=(2,)),
        run(case("a[2]"), version="2", shard_count=2, shards=(2,)),
        run(case("a[2]"), details={"kernel": "7"}, shard_count=2, shards=(2,)),
        run(case("a[2]")),
    ],
    ids=["backend", "level", "suite", "version", "facts", "whole"],
)
def test_shards_of_different_runs_are_placed_side_by_side(other: Run) -> None:
    assert merged([("one", ONE), ("other", other)]) == [ONE, other]


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = saved(tmp_path, one=ONE, two=TWO, other=run(case("a[1]"), name="other"))
    out = tmp_path / "new folder"
    outputs = [part for ending in ("html", "md", "json") for part in ("-o", str(out / f"all.{ending}"))]

    assert main(["report", *files, *outputs]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "mine: does not conform to level documented: 1 pass, 2 fail",
        "other: conforms to level documented: 1 pass",
    ]
    document: dict[str, Any] = json.loads((out / "all.json").read_text())
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [entry["backend"]["name"] for entry in document["runs"]] == ["mine", "other"]
    assert "<!doctype html>" in (out / "all.html").read_text()
    assert "## other" in (out / "all.md").read_text()


def test_merged_report_can_be_read(tmp_path: Path) -> None:
    files = saved(tmp_path, one=ONE, other=run(case("a[1]"), name="other"))
    first, second = (str(tmp_path / name) for name in ("first.json", "second.json"))

    assert main(["report", *files, "-o", first]) == 0
    assert main(["report", first, "-o", second]) == 0

    assert Path(first).read_bytes() == Path(second).read_bytes()


def test_a_report_may_be_merged_into_its_own_file(tmp_path: Path) -> None:
    files = saved(tmp_path, one=ONE, two=TWO)

    assert main(["report", *files, "-o", files[0]]) == 0

    assert len(json.loads(Path(files[0]).read_text())["cases"]) == 4


def changed(**changes: Any) -> str:
    return json.dumps({**document(ONE), **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty: the run that should have written it did not complete"),
        ('{"format": 1,', "it is not JSON: "),
        ("[1]", "it is JSON, but not what --mmap-report=PATH.json writes"),
        ('{"format": 2}', "its format is 2, and this version of the suite reads 1"),
        ('{"format": 1}', "'suite' is missing, or is not an object"),
        (changed(level="high"), "level 'high' is not one of documented, posix, linux"),
        (changed(cases=[{"id": "a", "clauses": [], "verdict": "good", "reason": ""}]), "verdict 'good' is not one of"),
        (changed(cases=[{"id": "a", "clauses": [], "verdict": "pass", "reason": None}]), "'reason' is missing, or is"),
        (changed(cases=[]), "clause munmap.range has the case a[1], which is not among the cases"),
        (changed(backend={"name": "a", "version": "", "page": 4096}), "'page' is missing, or is not text"),
        (changed(clauses=[1]), "'clauses' is not a list, each of which is an object"),
    ],
)
def test_invalid_report_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    path = tmp_path / "one.json"
    path.write_text(text)

    assert main(["report", str(path), "-o", str(tmp_path / "all.html")]) == 2

    assert capsys.readouterr().err.startswith(f"{path}: {said}")
    assert not (tmp_path / "all.html").exists()


def test_other_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = saved(tmp_path, one=ONE)
    (tmp_path / "latin.json").write_bytes(b"\xff")

    def said(*arguments: str) -> str:
        assert main(["report", *arguments]) == 2
        return capsys.readouterr().err.strip().replace(str(tmp_path), "…")

    assert said("none.json", "-o", f"{tmp_path}/all.html") == "none.json: cannot be read: No such file or directory"
    assert said(f"{tmp_path}/latin.json", "-o", f"{tmp_path}/all.html").startswith("…/latin.json: line 1: not UTF-8: ")
    assert said(one, "-o", f"{tmp_path}/all.txt") == (
        "-o …/all.txt: there is no report for the ending .txt; use .json, .html, .md, .svg"
    )
    assert said(one, "-o", f"{one}/all.md") == "-o …/one.json/all.md: cannot be written: its directory is a file"
