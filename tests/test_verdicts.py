"""Verdicts: their precedence, and the reasons that are reported."""

from __future__ import annotations

import pytest

from pytest_mmapconf.catalogue.clauses import Clause
from pytest_mmapconf.catalogue.verdicts import VERDICTS, CaseResult, judge, judge_all, reasons, totals


def clause(id: str = "map.size") -> Clause:
    return Clause(id, "documented", id.partition(".")[0], "text", "observed", "source")


def case(verdict: str, reason: str = "", id: str = "", clauses: tuple[str, ...] = ("map.size",)) -> CaseResult:
    return CaseResult(id or verdict, clauses, verdict, reason)


@pytest.mark.parametrize(
    ("phases", "verdict", "reason"),
    [
        (["pass", "pass", "pass"], "pass", ""),
        (["pass", "fail", "unresolved"], "fail", "second"),
        (["pass", "unsupported", "pass"], "unsupported", "second"),
        (["pass", "unsupported", "unresolved"], "unresolved", "third"),
        (["pass", "expected", "pass"], "expected", "second"),
    ],
    ids="+".join,
)
def test_verdict_of_a_case_follows_from_its_phases(phases: list[str], verdict: str, reason: str) -> None:
    judged = CaseResult("c", ())
    for phase, why in zip(phases, ["first", "second", "third"], strict=True):
        judged.add(phase, why)

    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        (["pass"], "pass"),
        (["pass", "unsupported"], "pass"),
        (["unsupported", "unsupported"], "unsupported"),
        (["pass", "expected", "unsupported"], "expected"),
        (["pass", "unresolved", "expected"], "unresolved"),
        (["unresolved", "fail", "pass", "expected", "unsupported"], "fail"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_verdict_of_a_clause_follows_from_its_cases(cases: list[str], verdict: str) -> None:
    judged = judge(clause(), [case(of, f"why {of}", f"{of}-{n}") for n, of in enumerate(cases)])

    assert judged.verdict == verdict
    reason = {"pass": "why unsupported" if "unsupported" in cases else ""}.get(verdict, f"why {verdict}")
    assert judged.reason == reason


def test_clauses_without_cases_have_no_verdict() -> None:
    clauses = {id: clause(id) for id in ("map.size", "map.address", "file.end")}
    both = case("pass", clauses=("map.size", "file.end", "not.selected"))

    judged = judge_all(clauses, [both, case("fail", "wrong", clauses=("file.end",))])

    assert [(entry.clause.id, entry.verdict) for entry in judged] == [("map.size", "pass"), ("file.end", "fail")]


def test_reasons_are_listed_once_and_at_most_three() -> None:
    assert reasons([case("fail", "one"), case("fail", "one"), case("fail", "two")]) == "one; two"
    assert reasons(case("fail", f"number {n}") for n in range(5)) == "number 0; number 1; number 2; and 2 more"
    assert reasons([]) == ""


def test_missing_calls_are_one_reason() -> None:
    lacking = [case("unsupported", f"the backend has no {call}") for call in ("open", "fork", "load", "store", "open")]

    assert reasons([*lacking, case("unsupported", "no root")]) == (
        "the backend has no open, no fork, no load, no store; no root"
    )


def test_totals_name_every_verdict() -> None:
    assert totals(["pass", "fail", "pass"]) == {**dict.fromkeys(VERDICTS, 0), "pass": 2, "fail": 1}
