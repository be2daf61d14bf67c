"""Helpers of cases with threads: rounds of calls, and what has to come of every round.

A case gives the calls of a round in stages, `at_once(call(process, "munmap", base, page))`: the calls of one stage are
made at the same time, and a stage begins when those before have returned.  So a stage with one call is a call that has
returned before the next stage begins, and `Always` states what a later access of another thread must find.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..contract import Call, Process, System

ROUNDS: Final = 300
"""Rounds of a case: enough that a race of a few hundred nanoseconds is met, and a matter of milliseconds."""


def call(process: Process, name: str, *arguments: object) -> Call:
    """Return a call to be made in a round."""
    return Call(process, name, arguments)


def run_rounds(system: System, *stages: Sequence[tuple[Call, str | tuple[str, ...]]], rounds: int = ROUNDS) -> None:
    """Make rounds of calls, and check that each call had its outcome, or one of its outcomes, in every round.

    Each stage is a list of pairs: a call, and the beginning of its outcome as text ("ok", "ok 41", "fault SIGSEGV").
    """
    calls = [made._replace(stage=stage) for stage, pairs in enumerate(stages) for made, _expected in pairs]
    expected = [outcome for pairs in stages for _made, outcome in pairs]
    tally = system.together(calls, rounds)
    total = sum(tally.values())
    assert total > 0, "no round was made"
    wrong = {outcomes: count for outcomes, count in tally.items() if not are_as_expected(outcomes, expected)}
    assert not wrong, "\n".join(
        f"in {count} of {total} rounds {differences(calls, outcomes, expected)}" for outcomes, count in wrong.items()
    )


def are_as_expected(outcomes: Sequence[str], expected: Sequence[str | tuple[str, ...]]) -> bool:
    """Return True if each outcome begins as it should."""
    return all(outcome.startswith(begin) for outcome, begin in zip(outcomes, expected, strict=True))


def differences(calls: Sequence[Call], outcomes: Sequence[str], expected: Sequence[str | tuple[str, ...]]) -> str:
    """Return the calls that had another outcome than the expected one, as text."""
    return "; ".join(
        f"{made.name} of stage {made.stage} had {outcome!r}, not {begin!r}"
        for made, outcome, begin in zip(calls, outcomes, expected, strict=True)
        if not outcome.startswith(begin)
    )
