"""report.causes: the failures of a run by cause."""

from __future__ import annotations

from runs import EINVAL, FLUSH, RANGE, case, run

from pytest_mmapconf.catalogue.verdicts import CaseResult
from pytest_mmapconf.report.causes import as_data, groups
from pytest_mmapconf.report.json_report import document


def failed(id: str, *clauses: str, call: str, answer: str, verdict: str = "fail", **more: str) -> CaseResult:
    cause = {"call": call, "answer": answer, **{name.replace("_", " "): text for name, text in more.items()}}
    return case(id, *clauses, verdict=verdict, reason="why", cause=cause)


CASES = [
    failed("c", EINVAL, call="munmap", answer="success", instead_of="EINVAL", step="p1.munmap(r1 + 1, 4096)"),
    failed("a", RANGE, call="munmap", answer="success", instead_of="ENOMEM", step="p1.munmap(0, 4096)"),
    failed("b", RANGE, call="munmap", answer="success", instead_of="EINVAL", step="p1.munmap(r12 + 1, 1)"),
    failed("d", FLUSH, call="msync", answer="wrong effect", shown_by="load → other bytes"),
    failed("f", FLUSH, call="msync", answer="wrong effect", shown_by="pread → other bytes", verdict="unresolved"),
    case("e", FLUSH, verdict="fail", reason="passes, although a deviation is on record"),
    case("g", FLUSH),
    case("h", FLUSH, verdict="unsupported", reason="no disk"),
    case("i", FLUSH, verdict="expected", reason="known", cause={"call": "msync", "answer": "EIO"}),
]


def test_groups() -> None:
    assert [(group.text, group.size, group.detail) for group in groups(CASES)] == [
        ("munmap → success", "3 cases of 2 clauses", "instead of EINVAL (2), ENOMEM (1)"),
        ("msync → wrong effect", "2 cases of 1 clause", "shown by load → other bytes (1), pread → other bytes (1)"),
        ("passes, although a deviation is on record", "1 case of 1 clause", ""),
    ]


def test_the_example_is_of_the_most_frequent_kind() -> None:
    assert groups(CASES)[0].example.id == "b"


def test_of_like_cases_the_example_has_the_fewest_calls() -> None:
    cases = [failed(id, RANGE, call="munmap", answer="success", instead_of="EINVAL") for id in "abc"]
    for one, calls in zip(cases, (3, 1, 2), strict=True):
        one.evidence["calls"] = ["a call"] * calls

    assert groups(cases)[0].example.id == "b"


def test_as_data() -> None:
    first, _, last = map(as_data, groups(CASES))

    assert first == {
        "call": "munmap",
        "answer": "success",
        "instead of": {"EINVAL": 2, "ENOMEM": 1},
        "example": "p1.munmap(r12 + 1, 1)",
        "clauses": [EINVAL, RANGE],
        "cases": ["a", "b", "c"],
    }
    assert last == {"answer": "passes, although a deviation is on record", "clauses": [FLUSH], "cases": ["e"]}
    assert document(run(*CASES))["causes"][0] == first


def test_cases_in_which_the_implementation_died_with_the_same_words() -> None:
    died = [
        failed("a", RANGE, call="munmap", answer="no answer", last_words="Assertion failed", step="p1.munmap(r1, 1)"),
        failed("b", FLUSH, call="mprotect", answer="no answer", last_words="Assertion failed"),
        failed("c", FLUSH, call="mprotect", answer="no answer"),
    ]

    first, second = groups(died)

    assert (first.text, first.detail) == ("died: Assertion failed", "in munmap (1), mprotect (1)")
    assert as_data(first)["answer"] == "died: Assertion failed"
    assert second.text == "mprotect → no answer"


def test_a_run_without_failures_has_no_groups() -> None:
    assert document(run(case("g", FLUSH)))["causes"] == []
