"""Calls of several threads and processes at the same time, in C.

All that take part run the same loop: each makes its own calls of a stage, and they wait for each other between the
stages.  The one that had its turn last compares the outcomes of each round with those that are allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from .calls import CALLS
from .program import Step

KINDS: Final = {"nothing": "o", "address": "o", "amount": "n", "count": "n", "fd": "n", "data": "d"}
"""Per kind of result, how the outcome of a call is kept: without a result, with a number, with the bytes."""


class Written(NamedTuple):
    """A call in C."""

    prepared: Sequence[str]
    """The statements before it."""
    call: str
    """The expression."""
    texts: Mapping[str, str]
    """Its arguments by name."""


def rounds(
    calls: Sequence[Step],
    written: Sequence[Written],
    numbers: Mapping[str, int],
    least: str,
    allowed: Sequence[Sequence[str]],
    step: int,
) -> Iterator[str]:
    """Yield the lines that make calls together, in at least `least` rounds.

    `numbers` are those of the threads and processes by name, `step` is the number of the step in the program, and
    `allowed` has the texts of each outcome that a round may have.
    """
    actors = list(dict.fromkeys(numbers[call.process] for call in calls))
    judge = f"if (me == {actors[-1]})"
    described = "; ".join(f"{call.process}: {made.call}" for call, made in zip(calls, written, strict=True))
    yield f"{', '.join(f'by({actor})' for actor in actors)}; /* each knows the names */"
    yield f"if ({' || '.join(f'me == {actor}' for actor in actors)}) {{"
    yield "    static const char *const allowed[] = {"
    yield from (f"        {', '.join(map(json.dumps, texts))}," for texts in allowed)
    yield "    };"
    yield f"    const int calls = {len(calls)}, count = sizeof allowed / sizeof *allowed / {len(calls)};"
    yield ""
    yield f"    begin({json.dumps(f'step {step}, at the same time: {described}')});"
    yield "    for (int round = 0; !rounds->enough; round++) {"
    for stage in range(max(call.stage for call in calls) + 1):
        yield f"        begin_stage({len(actors)}, round);"
        for actor in actors:
            yield from _stage_of(
                actor,
                [at for at, call in enumerate(calls) if call.stage == stage and numbers[call.process] == actor],
                calls,
                written,
            )
    yield f"        meet({len(actors)});"
    yield f"        {judge}"
    yield f"            judge_round(allowed, count, calls, {least});"
    yield f"        meet({len(actors)});"
    yield "    }"
    yield f"    meet({len(actors)});"
    yield f"    {judge}"
    yield "        judge_rounds(allowed, count, calls);"
    yield f"    meet({len(actors)});"
    yield "}"


def _stage_of(actor: int, own: Sequence[int], calls: Sequence[Step], written: Sequence[Written]) -> Iterator[str]:
    """Yield the lines of the calls that a thread or process makes in a stage; `own` are their places."""
    if not own:
        return
    yield f"        if (me == {actor}) {{"
    for at in own:
        prepared, call, texts = written[at]
        yield from (f"            {line}" for line in prepared)
        length = "result" if calls[at].call == "pread" else texts.get("length", "0")
        yield f"            CALL({at}, {call}, '{KINDS[CALLS[calls[at].call].result]}', {length});"
    yield "        }"
