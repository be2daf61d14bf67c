"""Calls that an agent's threads and processes make concurrently, in many rounds, and the tally of their outcomes.

One request to each process that takes part (PROTOCOL.md, `together`) has the calls of all its threads.  The agent's
processes wait for each other themselves, before each stage, so that a round takes microseconds.  Each answers with the
outcomes of its calls in each round; those of the same round belong together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..contract import Call, Unsupported
from .problems import Problem
from .stream import Agent, short


@runtime_checkable
class Actor(Protocol):
    """A process or a thread of an agent."""

    @property
    def place(self) -> tuple[int, int]:
        """The number of the process, and of the thread in it."""

    def request_of(self, call: Call) -> str:
        """Return the request that makes a call."""


def together(agent: Agent, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
    """Make calls concurrently, in rounds; return how often each outcome occurred."""
    if not agent.has_threads:
        raise Unsupported("the agent has no threads")
    if agent.processors < 2:
        raise Unsupported("the system has one processor: no two threads run at the same time")
    of: dict[int, list[tuple[int, str]]] = {}
    threads: dict[int, set[int]] = {}
    for at, call in enumerate(calls):
        if not isinstance(call.process, Actor):
            raise TypeError("calls made together are those of processes and threads of this system")
        number, thread = call.process.place
        of.setdefault(number, []).append((at, f"; {thread:d} {call.stage:d} {call.process.request_of(call)}"))
        threads.setdefault(number, {0}).add(thread)
    stages = max(call.stage for call in calls) + 1
    actors = sum(map(len, threads.values()))
    place = 0
    requests = {}
    for number, own in of.items():
        script = " ".join(part for _at, part in own)
        requests[number] = f"together {rounds:d} {actors:d} {place:d} {stages:d} {script}"
        agent.send(number, requests[number])
        place += len(threads[number])
    sequences = {number: parse(agent, agent.receive(number, request)) for number, request in requests.items()}
    if len({len(sequence) for sequence in sequences.values()}) > 1:
        raise agent.fail(Problem.WRONG_ANSWER, "its processes answered for different numbers of rounds")
    tally: Counter[tuple[str, ...]] = Counter()
    for parts in zip(*sequences.values(), strict=True):
        outcomes = [""] * len(calls)
        for number, part in zip(sequences, parts, strict=True):
            for (at, _request), outcome in zip(of[number], part, strict=True):
                outcomes[at] = outcome
        tally[tuple(outcomes)] += 1
    return dict(tally)


def parse(agent: Agent, answer: str) -> list[list[str]]:
    """Return the outcomes of the calls of one process in each round."""
    sequence, *different = answer.split(" | ")
    try:
        outcomes = [text.split(";") for text in different]
        return [
            outcomes[int(number)]
            for run in sequence.split(",")
            for number, times in [run.split("*")]
            for _ in range(int(times))
        ]
    except (ValueError, IndexError):
        raise agent.fail(
            Problem.WRONG_ANSWER, f"it answered {short(answer)!r} where the outcomes of rounds belong"
        ) from None
