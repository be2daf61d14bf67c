"""The fixture `random_programs`: run random programs on the backend under test, compared with the reference."""

from __future__ import annotations

import functools
from contextlib import nullcontext

import pytest
from hypothesis import settings

from ..contract import Unsupported
from ..fuzzing.search import Search
from . import seeds
from .stash import PROGRAM, SETTINGS


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
        self.search = Search(self.settings.bare, self.settings.level, self.settings.clauses)
        self.seed = seeds.seed_of(item.config)

    def run(self) -> dict[str, object]:
        """Run programs until one shows a difference, and return counts for the report.

        The programs are a short series, as many as hypothesis's settings have examples, or those of --mmap-steps, which
        have a new seed unless one is given.
        """
        search, config = self.search, self.item.config
        if self.settings.steps:
            self.seed = seeds.given_seed(config) or seeds.new_seed()
            report = functools.partial(write_line, config)
            report(f"random programs of the seed {self.seed}")
            search.run_long(self.settings.steps, self.seed, report)
        else:
            search.run_short(settings().max_examples, self.seed)
        uncharged = {", ".join(clauses): count for clauses, count in sorted(search.tally.uncharged.items())}
        return {
            "seed": self.seed,
            **({"differences that break no judged clause": uncharged} if uncharged else {}),
            "random programs": search.tally.programs,
            "steps": search.tally.steps,
            "refused by": dict(sorted(search.tally.refusals.items())),
            "seen kept": dict(sorted(search.tally.effects.items())),
        }

    def check(self) -> None:
        """Raise the difference that a program showed, with the reduced program.

        Without a difference, raises Unresolved if a program could not be judged, and Unsupported if no mmap succeeded
        because there is none.
        """
        __tracebackhide__ = True
        search = self.search
        if search.counterexample is not None:
            self.item.stash[PROGRAM] = search.counterexample.program
            divergence = search.counterexample.divergence
            divergence.add_note(search.counterexample.listing())
            divergence.add_note(f"repeat with {seeds.OPTION}={self.seed}")
            raise divergence from None
        if search.unresolved:
            raise search.unresolved[0]
        if "mmap" in search.tally.lacks and not search.tally.effects["mmap.result.success"]:
            raise Unsupported(search.tally.lacks["mmap"])
