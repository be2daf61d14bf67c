"""Random programs, each run on the implementation and on the reference side by side.

There is no list of expected results: the reference executes the same calls and determines, after each, which results
are allowed.  A failing case names the clauses of the step at which the implementation and the reference differ, and
shows the shortest program for which they do.
"""

from __future__ import annotations

import functools
import secrets
from contextlib import nullcontext, suppress

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ..contract import Unsupported
from ..differential.divergence import Divergence
from ..fuzzing import STEP
from ..fuzzing.search import LENGTH, Search
from ..plugin.stash import PROGRAM, SETTINGS
from ..testing import clause
from ._helpers import Record

drawn = settings(
    deadline=None,
    phases=[phase for phase in settings().phases if phase not in (Phase.shrink, Phase.explain)],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
"""The user's own settings, without hypothesis's shrinking: `search` reduces the failing program itself.

A program makes about fifty calls, and hypothesis's default is a hundred programs.  With each of thirty seeds, every
defect that the project's tests inject was detected within 61 programs of a series, and within 7 on average.
"""


def quick(search: Search, number: int | str | None) -> None:
    """Run the programs that hypothesis draws, with the given seed if any, until one shows a difference."""

    @drawn
    @given(st.binary(min_size=LENGTH * STEP, max_size=LENGTH * STEP))
    def agrees(data: bytes) -> None:
        search.check(data)

    with suppress(Divergence):  # `search.counterexample` has it
        (agrees if number is None else seed(number)(agrees))()


def write_line(config: pytest.Config, line: str) -> None:
    """Write a line to the terminal while the case is running; a worker has no terminal reporter and prints it."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        (terminal.write_line if terminal else print)(line)


@pytest.mark.mmap_random
@clause("mmap.range", "mmap.flag.shared", "mmap.flag.private", "munmap.range")
def test_random_programs(request: pytest.FixtureRequest, record: Record) -> None:
    chosen = request.config.stash[SETTINGS]
    search = Search(chosen.bare, chosen.level)
    number = request.config.getoption("--hypothesis-seed", None)

    if chosen.steps:
        number = secrets.randbits(32) if number is None else number
        report = functools.partial(write_line, request.config)
        report(f"random programs of the seed {number}")
        search.run_long(chosen.steps, f"{number}", report)
    else:
        if number is None and not drawn.derandomize:
            number = secrets.randbits(32)
        quick(search, number)

    record("random programs", search.tally.programs)
    record("steps", search.tally.steps)
    record("refused by", dict(sorted(search.tally.refusals.items())))
    record("seen kept", dict(sorted(search.tally.effects.items())))
    if search.counterexample is not None:
        request.node.stash[PROGRAM] = search.counterexample.program
        divergence = search.counterexample.divergence
        divergence.add_note(search.counterexample.listing())
        divergence.add_note(f"repeat with --hypothesis-seed={number}")
        raise divergence from None
    if search.unresolved:
        raise search.unresolved[0]
    if "mmap" in search.tally.lacks:
        raise Unsupported(search.tally.lacks["mmap"])
