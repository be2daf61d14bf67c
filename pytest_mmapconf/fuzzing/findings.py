"""A long search: parts of a series of random programs, and the distinct differences that they show.

A search goes on after a difference.  Two differences are the same finding if call, kind and clauses are equal
(`divergence.Key`).  The first program with a finding is shrunk; later ones are counted.  After a difference that is
known, because it was found before or is on record, a program goes on where the model can follow the subject
(`comparison.Comparison.follow`); what cannot be followed ends that program only.

A search consists of *parts*, which do not depend on each other: the programs of a part are determined by the seed and
the number of the part.  So parts can run in any order, in any number of processes.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from ..contract import Unresolved
from ..differential.divergence import Divergence, Key
from ..trace.program import Program, SymbolicOutcome
from .search import REPETITIONS, Counterexample, Search, Tally, program_of

PROGRAMS_OF_A_PART: Final = 1 << 20
"""Distance between the numbers of the first programs of two parts."""


@dataclass
class Finding:
    """A difference, and the first program that showed it."""

    counterexample: Counterexample
    """The program, shrunk."""
    where: str
    """The part that found it."""
    key: Key
    """The difference as the unshrunk program showed it."""


class LongSearch:
    """Runs parts of a search with one `Search`, and collects what they find."""

    def __init__(self, search: Search, is_on_record: Callable[[Divergence], bool], most: int) -> None:
        self.search = search
        self.is_on_record = is_on_record
        self.most = most
        """The number of findings after which the search ends."""
        self.findings: dict[Key, Finding] = {}
        self.new: list[Finding] = []
        """The findings of the current part."""
        self.keep: Callable[[Finding], object] = lambda finding: None
        """Called with each finding as soon as it is found."""
        search.is_known = self.is_known

    def is_known(self, divergence: Divergence) -> bool:
        """Return True if a difference was found before, or is on record."""
        return divergence.key in self.findings or self.is_on_record(divergence)

    @property
    def has_ended(self) -> bool:
        """True if there are as many findings as were asked for."""
        return len(self.findings) >= self.most

    def begin(self) -> None:
        """Begin a part: its counts do not depend on those before it."""
        self.search.tally = Tally()
        self.search.refused = Counter()
        self.search.unresolved = []
        self.new = []

    def run_part(self, seed: str, part: int, where: str, steps: float = inf, end: float = inf) -> list[Finding]:
        """Run programs of a part, of `steps` steps in all or up to the time `end`; return what is new."""
        self.begin()
        search = self.search
        for number in itertools.count(part * PROGRAMS_OF_A_PART):
            if search.tally.steps >= steps or time.monotonic() >= end or search.gave_up or self.has_ended:
                break
            search.refused = Counter(search.tally.refusals)
            self.run_program(program_of(seed, number), where)
        return self.new

    def run_program(self, steps: list[bytes], where: str) -> None:
        """Run a program; shrink and keep a difference that is new, count one that is known."""
        search = self.search
        try:
            divergence = search.run_sparsely_audited(steps)
            if divergence is None:
                return
            if not search.counts(divergence):
                search.tally.uncharged[divergence.clauses] += 1
                return
            counterexample = self.reproduced(steps, divergence)
            if counterexample is None:
                return
            key = counterexample.divergence.key
            search.wanted = key
            try:
                shrunk = search.shrink(steps, counterexample)
            finally:
                search.wanted = None
        except Unresolved as unresolved:
            search.unresolved.append(unresolved)
            return
        self.add(Finding(shrunk, where, key))

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings[finding.key] = finding
        self.new.append(finding)
        self.keep(finding)

    def reproduced(self, steps: list[bytes], divergence: Divergence) -> Counterexample | None:
        """Return the counterexample that a fully audited run shows; None if the difference turns out to be known.

        The sparse audit has shown it after the call that caused it, perhaps a known one.
        """
        program: Program = ()
        outcomes: Sequence[SymbolicOutcome] = ()
        for _ in range(REPETITIONS):
            known: set[Key] = set()
            result = self.search.run_audited(steps, followed=known)
            if isinstance(result, Counterexample):
                return result
            program, outcomes = result
            if known:
                self.search.tally.followed.update(known)
                return None
        divergence.add_note(
            "this occurred once, and not again when the same program was repeated: the implementation varies"
        )
        return Counterexample(divergence, program, outcomes)
