"""report.view: the contents of the page."""

from __future__ import annotations

import pytest
from runs import EINVAL, EVIDENCE, FLUSH, RANGE, case, run

from pytest_mmapconf.catalogue.verdicts import VERDICTS, CaseResult
from pytest_mmapconf.report import view


def failing(number: int, *clauses: str, reason: str = "why", letters: int = 10) -> CaseResult:
    evidence = {"program": {"c": "x" * letters}}
    return case(f"case[{number:03}]", *clauses, verdict="fail", reason=reason, evidence=evidence)


def test_every_verdict_has_its_own_symbol_and_a_meaning() -> None:
    assert set(view.SYMBOLS) == set(view.MEANINGS) == set(VERDICTS)
    assert len(set(view.SYMBOLS.values())) == len(VERDICTS)


def test_cases_with_equal_verdict_and_reason_are_listed_together() -> None:
    cases = [case("a.f[1]"), case("a.f[2-x]"), case("a.g"), case("a.h", verdict="unsupported", reason="no disk")]
    (row,) = view.groups([run(*cases)])["munmap"]

    (cell,) = row.cells
    assert cell
    assert cell.listed == [
        ("unsupported", "no disk", 1, [("a.h", [])]),
        ("pass", "", 3, [("a.f", ["1", "2-x"]), ("a.g", [])]),
    ]


def test_only_a_few_of_many_reasons_are_listed() -> None:
    cases = [case(f"a[{number}]", verdict="unsupported", reason=f"no {number}") for number in range(9)]
    (row,) = view.groups([run(*cases)])["munmap"]

    (cell,) = row.cells
    assert cell
    assert [(row.reason, row.number) for row in cell.listed] == [
        *((f"no {number}", 1) for number in range(3)),
        (view.OTHER_REASONS, 6),
    ]


def test_evidence_is_shown_once() -> None:
    shared = failing(1, RANGE, EINVAL)

    first, second = (row.cells[0] for row in view.groups([run(shared)])["munmap"])

    assert first
    assert second
    assert [entry.case for entry in first.shown] == [shared]
    assert (second.shown, second.elsewhere, second.listed) == ([], first.shown, [])


def test_a_few_failures_with_different_reasons_are_shown() -> None:
    alike = [failing(number, letters=100 + number) for number in range(20)]
    other = failing(99, reason="other", letters=5000)

    (row,) = view.groups([run(*alike, other)])["munmap"]

    (cell,) = row.cells
    assert cell
    assert [entry.case for entry in cell.shown] == [alike[0], other, alike[1]]
    assert [(row.number, row.reason) for row in cell.listed] == [(18, "why")]


def test_every_clause_shows_one_case_before_any_shows_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(view, "BUDGET", 4 * (view.CASE_OVERHEAD + 1000))

    def cases() -> list[CaseResult]:
        return [failing(number, (RANGE, FLUSH)[number % 2], letters=1000) for number in range(10)]

    groups = view.groups([run(*cases()), run(*cases(), name="other")])

    assert [[len(cell.shown) for cell in row.cells if cell] for of in groups.values() for row in of] == [[1, 1], [1, 1]]


def test_side_by_side() -> None:
    """A run without cases of a clause does not count as a difference."""
    one = run(case("a"), case("b", FLUSH), case("c", EINVAL))
    rows = view.groups([one, run(case("a"), case("c", EINVAL, verdict="fail"), name="other")])

    found = {row.clause.id: row.differs for of in rows.values() for row in of}
    assert found == {RANGE: False, EINVAL: True, FLUSH: False}
    assert rows["msync"][0].cells[1] is None


def test_labels_have_the_facts_in_which_runs_differ() -> None:
    assert view.labels([run(case("a"))]) == ["mine"]
    assert view.labels([run(case("a")), run(case("a"), name="other")]) == ["mine", "other"]
    native = [
        run(case("a"), name="native", version=version, details={"file system": kind, "page": "4096"})
        for version, kind in (("Linux 6", "ext4"), ("Linux 6", "tmpfs"), ("Linux 7", "ext4"))
    ]
    assert view.labels(native) == ["native, Linux 6, ext4", "native, Linux 6, tmpfs", "native, Linux 7, ext4"]


def test_shown_reasons_are_not_repeated() -> None:
    lacks = [case(id, id, verdict="unsupported", reason="no disk") for id in (RANGE, FLUSH)]

    assert view.not_asked(run(*lacks)) == [("no disk", [RANGE, FLUSH])]
    assert view.not_asked(run(case("a"), *lacks[:1])) == []
    assert view.causes_not_asked(run(case("a"), *lacks[:1])) == [("no disk", [RANGE])]


def test_choices() -> None:
    one = run(case("a", recorded={"readable": True}), case("b", recorded={"readable": True, "place": "0x1"}))
    two = run(case("a", recorded={"readable": False}), name="other")

    assert view.choices([one, two]) == [("place", [[("0x1", 1)], []]), ("readable", [[("yes", 2)], [("no", 1)]])]


def test_size_counts_the_shown_characters() -> None:
    assert view.size({}) == view.CASE_OVERHEAD
    assert view.size(EVIDENCE) == view.CASE_OVERHEAD + sum(
        map(
            len,
            [
                EVIDENCE["program"]["c"],
                *EVIDENCE["program"]["steps"],
                *(picture["text"] for picture in EVIDENCE["pictures"]),
            ],
        )
    )
