"""What a run has shown."""

from __future__ import annotations

import pytest
from runs import EINVAL, FLUSH, RANGE, case, run

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.report.result import Run, clauses_of

GOOD, BAD = case("a", RANGE), case("a", RANGE, verdict="fail")
LACKS, LOST = case("b", EINVAL, verdict="unsupported"), case("b", EINVAL, verdict="unresolved")


@pytest.mark.parametrize(
    ("shown", "good", "text"),
    [
        (run(GOOD), True, "conforms to level documented: 1 pass"),
        (run(GOOD, LACKS), True, "conforms to level documented: 1 pass, 1 unsupported"),
        (run(BAD, LACKS), False, "does not conform to level documented: 1 unsupported, 1 fail"),
        (run(GOOD, LOST), False, "does not conform to level documented: 1 pass, 1 unresolved"),
        (run(LACKS), False, "does not conform to level documented: 1 unsupported"),
        (
            run(GOOD, case("b", EINVAL, verdict="expected"), case("c", FLUSH, verdict="flaky")),
            True,
            "conforms to level documented but for what is on record of 2 clauses: 1 pass, 1 expected, 1 flaky",
        ),
        (run(GOOD, narrowed=True), True, "partial run: 1 of 1 clauses of level documented asked: 1 pass"),
        (run(BAD, narrowed=True), False, "partial run: 1 of 1 clauses of level documented asked: 1 fail"),
        (run(GOOD, there=2), True, "partial run: 1 of 2 clauses of level documented asked: 1 pass"),
        (run(there=2), False, "does not conform to level documented: none, 2 not judged"),
        (run(BAD, there=3), False, "does not conform to level documented: 1 fail, 2 not judged"),
        (run(GOOD, shards=(1, 3), of=4), True, "shard 1, 3 of 4: 1 of 1 clauses of level documented asked: 1 pass"),
        (run(GOOD, shards=(1, 2), of=2), True, "conforms to level documented: 1 pass"),
    ],
)
def test_the_statement(shown: Run, good: bool, text: str) -> None:
    assert shown.statement == (good, text)
    assert shown.good == good


def test_the_harness_is_broken_where_no_case_comes_to_an_end() -> None:
    told = "the harness is broken: nothing is known of the implementation, no case came to an end:"

    assert run(LOST).statement == (False, f"{told} 1 unresolved")
    assert run(LOST, LACKS, narrowed=True).statement == (False, f"{told} 1 unresolved")
    assert not run(LACKS).harness_is_broken
    assert not run(LOST, case("c", EINVAL)).harness_is_broken
    assert not run(LOST, BAD).harness_is_broken


def test_levels_are_nested() -> None:
    assert 0 < clauses_of("documented") < clauses_of("posix") < clauses_of("linux") == len(load())
