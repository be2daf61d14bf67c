"""report.result: the statement of conformance of a run."""

from __future__ import annotations

import pytest
from runs import EINVAL, FLUSH, RANGE, case, run

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.report.result import Run, clauses_of

GOOD, BAD = case("a", RANGE), case("a", RANGE, verdict="fail")
LACKS, LOST = case("b", EINVAL, verdict="unsupported"), case("b", EINVAL, verdict="unresolved")


NOT_ALL_CASES = "partial run: of all 1 clauses of level documented some cases asked, others not"


@pytest.mark.parametrize(
    ("shown", "passed", "text"),
    [
        (run(GOOD), True, "conforms to level documented: 1 pass"),
        (run(GOOD, LACKS), True, "conforms to level documented: 1 pass, 1 unsupported"),
        (run(BAD, LACKS), False, "does not conform to level documented: 1 unsupported, 1 fail"),
        (run(GOOD, LOST), False, "does not conform to level documented: 1 pass, 1 unresolved"),
        (run(LACKS), False, "does not conform to level documented: 1 unsupported"),
        (
            run(GOOD, case("b", EINVAL, verdict="expected"), case("c", FLUSH, verdict="flaky")),
            True,
            "conforms to level documented except for deviations on record of 2 clauses: 1 pass, 1 expected, 1 flaky",
        ),
        (run(GOOD, narrowed=True), True, f"{NOT_ALL_CASES}: 1 pass"),
        (run(BAD, narrowed=True), False, f"{NOT_ALL_CASES}: 1 fail"),
        (run(GOOD, total_clauses=2), True, "partial run: 1 of 2 clauses of level documented asked: 1 pass"),
        (run(total_clauses=2), False, "does not conform to level documented: none, 2 not judged"),
        (run(BAD, total_clauses=3), False, "does not conform to level documented: 1 fail, 2 not judged"),
        (
            run(GOOD, shards=(1, 3), shard_count=4),
            True,
            "shard 1, 3 of 4: 1 of 1 clauses of level documented asked: 1 pass",
        ),
        (run(GOOD, shards=(1, 2), shard_count=2), True, "conforms to level documented: 1 pass"),
    ],
)
def test_the_statement(shown: Run, passed: bool, text: str) -> None:
    assert shown.statement == (passed, text)
    assert shown.passed == passed


def test_harness_is_broken_if_no_case_completes() -> None:
    text = "the harness is broken: nothing is known of the implementation, no case was completed:"

    assert run(LOST).statement == (False, f"{text} 1 unresolved")
    assert run(LOST, LACKS, narrowed=True).statement == (False, f"{text} 1 unresolved")
    assert not run(LACKS).harness_is_broken
    assert not run(LOST, case("c", EINVAL)).harness_is_broken
    assert not run(LOST, BAD).harness_is_broken


def test_levels_are_nested() -> None:
    assert 0 < clauses_of("documented") < clauses_of("posix") < clauses_of("linux") == len(load())
