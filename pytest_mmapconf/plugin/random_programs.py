"""The fixture `random_programs`: run random programs on the backend under test, compared with the reference."""

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
from .stash import PROGRAM, SETTINGS

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


class RandomPrograms:
    """The value of the fixture `random_programs` in one case."""

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.settings = item.config.stash[SETTINGS]
        self.search = Search(self.settings.bare, self.settings.level)
        self.seed: int | str | None = item.config.getoption("--hypothesis-seed", None)

    def run(self) -> dict[str, object]:
        """Run programs until one shows a difference: a short series, or --mmap-steps; return counts for the report."""
        search = self.search
        if self.settings.steps:
            self.seed = secrets.randbits(32) if self.seed is None else self.seed
            report = functools.partial(write_line, self.item.config)
            report(f"random programs of the seed {self.seed}")
            search.run_long(self.settings.steps, f"{self.seed}", report)
        else:
            if self.seed is None and not drawn.derandomize:
                self.seed = secrets.randbits(32)
            quick(search, self.seed)
        return {
            "random programs": search.tally.programs,
            "steps": search.tally.steps,
            "refused by": dict(sorted(search.tally.refusals.items())),
            "seen kept": dict(sorted(search.tally.effects.items())),
        }

    def check(self) -> None:
        """Raise the difference that a program showed, with the reduced program.

        Without a difference, raises Unresolved if a program could not be judged, and Unsupported if there is no mmap.
        """
        __tracebackhide__ = True
        search = self.search
        if search.counterexample is not None:
            self.item.stash[PROGRAM] = search.counterexample.program
            divergence = search.counterexample.divergence
            divergence.add_note(search.counterexample.listing())
            divergence.add_note(f"repeat with --hypothesis-seed={self.seed}")
            raise divergence from None
        if search.unresolved:
            raise search.unresolved[0]
        if "mmap" in search.tally.lacks:
            raise Unsupported(search.tally.lacks["mmap"])
