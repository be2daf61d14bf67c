"""The search for a program on which an implementation and the reference differ, and its reduction.

A program is its theme and its steps: `LENGTH` strings of `STEP` bytes in all.  A seed determines the bytes of a series
of programs: Python's generator draws them, whose numbers stay the same from version to version.  A counterexample is
shrunk here and not by hypothesis, which does not know which bytes form a step: it needs seconds where this module needs
a tenth of one.

Measured on eight injected defects, five seeds each (the reference against a defective reference): programs until the
defect is detected, seconds for shrinking, steps that are left.

* A state machine with a rule for each call and one string of bytes for each rule: up to 255, twice not in 400; 0.3 to
  9 s; 4 or 5.  This style was the best one in a prototype.
* One tuple of strings of bytes, zeros for no step: up to 70, once 387; 0.4 to 1.3 s; 3 or 4.  Hypothesis spends most
  runs on mutating one program, by copying one step over another.
* One string for the whole program, which hypothesis cannot mutate: at most 20; 1 to 8 s; 3 to 5.  Shrunk by this
  module: 0.1 s; 3 to 5.
* The bytes of one generator, the themes in turn, shrunk by this module: with each of thirty seeds, every defect within
  58 programs, and within 7 on average.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Final, Literal, NamedTuple, TypeVar

from ..contract import Backend, Unresolved
from ..differential.comparison import LeaveOut
from ..differential.divergence import Divergence, Key
from ..differential.lockstep import LockstepSystem
from ..differential.parameters import measure_parameters
from ..differential.unused_calls import without_unused_calls
from ..reference.observed_choices import ObservedChoices
from ..reference.system import ReferenceSystem
from ..trace.program import Program, SymbolicOutcome, needed
from ..trace.recorder import RecordedSystem
from . import STEP, THEMES, ProgramGenerator, in_working_directory
from .levels import not_promised

T = TypeVar("T")

LENGTH: Final = 41
"""Strings of bytes of a program: one for its theme, and the steps."""

MAX_ATTEMPTS: Final = 2000
"""Largest number of programs that shrinking tries."""

MAX_SECONDS: Final = 20.0
"""Seconds after which shrinking tries no further program: with a slow implementation each may take a second."""

MAX_UNRESOLVED: Final = 3
"""Programs without a result after which a search gives up: each may have taken a timeout."""

REPETITIONS: Final = 3
"""Fully audited runs that try to reproduce a difference."""

AUDIT_INTERVAL: Final = 8
"""State-changing calls from one audit to the next in a sparsely audited run.

Measured on the eight injected defects, twenty seeds each, programs until the defect is detected (mean of the means) and
milliseconds a program: with an audit after each call 5.5 and 6.0, after every 4th 6.0 and 4.5, every 8th 6.1 and 3.5,
at the end only 7.1 and 3.1.
"""


@dataclass
class Tally:
    """The counts of a search."""

    programs: int = 0
    steps: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """For each clause, the programs in which a call failed by it."""
    effects: Counter[str] = field(default_factory=Counter)
    """For each clause, how often a successful call has exercised it."""
    uncompared: Counter[str] = field(default_factory=Counter)
    """The reasons why programs could not be compared to their end."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Calls that the implementation does not support, and the reasons."""
    uncharged: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """For the clauses that a difference breaks, none of which is judged, the programs with such a difference."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls that failed for lack of a resource of the implementation: (call, errno)."""
    totals: dict[str, int] = field(default_factory=dict)
    """Further counts of an exhaustive search."""
    followed: Counter[Key] = field(default_factory=Counter)
    """For each known difference, the programs with it."""


class Probe(NamedTuple):
    """A call that shows a difference which an audit has detected."""

    actor: int
    """Index of the process that makes the call, among the living ones."""
    call: str
    arguments: tuple[object, ...]


@dataclass
class Counterexample:
    """A program on which the implementation and the reference differ."""

    divergence: Divergence
    program: Program
    outcomes: Sequence[SymbolicOutcome]
    """The outcome of each step but the last on the implementation."""
    probe: Probe | None = None
    """The call that shows the difference that an audit has detected; None if the last step shows it."""

    def listing(self) -> str:
        """Return the program with one line for each step."""
        lines = [f"    {number:2}  {step}" for number, step in enumerate(self.program, 1)]
        return "\n".join(["the program:", *lines])


def split(data: bytes) -> list[bytes]:
    """Return the bytes of a program's theme and of each of its steps, without the empty steps."""
    begin, *steps = (data[at : at + STEP] for at in range(0, len(data), STEP))
    return [begin, *(step for step in steps if step[0])]


def program_of(seed: str, number: int) -> list[bytes]:
    """Return the theme and the steps of a program of the series that `seed` determines.

    The series goes through the themes in an order of its own, so that a short one leaves none out.
    """
    themes = Random(seed).sample(range(len(THEMES)), len(THEMES))
    begin, *steps = split(Random(f"{seed} {number}").randbytes(LENGTH * STEP))
    return [bytes((themes[number % len(THEMES)],)) + begin[1:], *steps]


class Search:
    """Runs random programs on a backend's systems and the reference side by side, judged at `level`.

    A difference counts if it breaks one of `clauses`; None for all.
    """

    def __init__(self, subject: Backend, level: str, clauses: Container[str] | None = None) -> None:
        self.subject = subject
        self.level = level
        self.clauses = clauses
        self.parameters = measure_parameters(subject)
        self.missing = not_promised(subject.facts())
        """Clauses that are not promised on the subject."""
        self.tally = Tally()
        self.unresolved: list[Unresolved] = []
        """Why programs have no result, one reason each: the subject died, hangs, or its data are invalid."""
        self.refused: Counter[str] = Counter()
        """For each clause, the programs of a long search in which a call failed by it; a low number is preferred."""
        self.counterexample: Counterexample | None = None
        """The latest counterexample, shrunk."""
        self.is_known: Callable[[Divergence], bool] = lambda divergence: False
        """Return True for a difference after which programs go on, where the model can follow."""
        self.wanted: Key | None = None
        """While a counterexample is shrunk: the difference that it must show; None for any that counts."""

    def try_program(self, steps: Sequence[bytes]) -> Counterexample | None:
        """Run a program and return its shrunk counterexample; None also if the program has no result."""
        try:
            counterexample = self.run(steps)
        except Unresolved as unresolved:
            self.unresolved.append(unresolved)
            return None
        return counterexample and self.shrink(steps, counterexample)

    @property
    def gave_up(self) -> bool:
        """True if so many programs had no result that the search has ended."""
        return len(self.unresolved) >= MAX_UNRESOLVED

    def run(self, steps: Sequence[bytes]) -> Counterexample | None:
        """Run a program on a freshly booted system and return the counterexample, if any.

        A difference that a sparsely audited run detects is reproduced with full auditing; if it does not recur, the
        original difference is reported.
        """
        divergence = self.run_sparsely_audited(steps)
        if divergence is None:
            return None
        if not self.counts(divergence):
            self.tally.uncharged[divergence.clauses] += 1
            return None
        divergence.add_note(
            "this occurred once, and not again when the same program was repeated: the implementation varies"
        )
        for _ in range(REPETITIONS):
            result = self.run_audited(steps)
            if isinstance(result, Counterexample):
                break
        return result if isinstance(result, Counterexample) else Counterexample(divergence, *result)

    def counts(self, divergence: Divergence) -> bool:
        """Return True if a difference breaks a clause that is judged and promised, and is the one that is wanted."""
        if self.wanted is not None and divergence.key != self.wanted:
            return False
        judged = self.clauses
        return (judged is None and not divergence.clauses) or any(
            id not in self.missing and (judged is None or id in judged) for id in divergence.clauses
        )

    def run_sparsely_audited(self, steps: Sequence[bytes]) -> Divergence | None:
        """Run a program with few audits, add it to the tally, and return the difference; the calls are not recorded."""
        return self.without_refused_calls(partial(self._run_sparsely_audited, steps))

    def without_refused_calls(self, run: Callable[[frozenset[int]], T]) -> T:
        """Run a program, again each time that a call must be left out which the subject has refused by mistake.

        `run` is given the calls that the model does not make.
        """
        omitted: frozenset[int] = frozenset()
        while True:
            try:
                return run(omitted)
            except LeaveOut as call:
                omitted |= {call.number}

    def _run_sparsely_audited(self, steps: Sequence[bytes], omitted: frozenset[int]) -> Divergence | None:
        system = self.boot("all", AUDIT_INTERVAL, omitted)
        tally = self.tally
        generator: ProgramGenerator | None = None
        made = 0
        try:
            generator = ProgramGenerator(system, self.level, self.refused, self.missing)
            generator.begin(steps[0])
            for step in steps[1:]:
                made += 1
                generator.step(step)
                if system.uncompared is not None:
                    tally.uncompared[system.uncompared] += 1
                    break
            system.audit_all()
        except Divergence as divergence:
            return divergence
        except LeaveOut:
            made = -1
            raise
        finally:
            if made >= 0:
                tally.programs += 1
                tally.steps += made
                tally.refusals.update(system.machine.reached)
                tally.left_out.update(system.left_out)
                tally.followed.update(set(system.followed))
                if generator is not None:
                    tally.effects.update(generator.effects)
                    tally.lacks.update(generator.lacks)
            system.close()
        return None

    def run_audited(
        self, steps: Sequence[bytes], probe: Probe | None = None, followed: set[Key] | None = None
    ) -> Counterexample | tuple[Program, Sequence[SymbolicOutcome]]:
        """Run a program with an audit after each state-changing call.

        Return the counterexample; if there is no difference, the program and its outcomes.  With `probe` there are no
        audits, and that call is made at the end.  The known differences that occur are added to `followed`.
        """
        followed = set() if followed is None else followed
        return self.without_refused_calls(partial(self._run_audited, steps, probe, followed))

    def _run_audited(
        self, steps: Sequence[bytes], probe: Probe | None, followed: set[Key], omitted: frozenset[int]
    ) -> Counterexample | tuple[Program, Sequence[SymbolicOutcome]]:
        system = self.boot("none" if probe else "all", 1, omitted)
        recorded = RecordedSystem(system)
        generator: ProgramGenerator | None = None
        try:
            generator = ProgramGenerator(recorded, self.level, self.refused, self.missing)
            generator.begin(steps[0])
            for step in steps[1:]:
                generator.step(step)
                if system.uncompared is not None:
                    break
            if probe is not None and probe.actor < len(generator.actors):
                generator.call(generator.actors[probe.actor], probe.call, *probe.arguments)
        except Divergence as divergence:
            if self.counts(divergence):
                return Counterexample(divergence, *needed(*recorded.program()), self.probe(system, generator))
        finally:
            followed.update(system.followed)
            system.close()
        return recorded.program()

    def boot(self, audits: Literal["all", "none"], every: int, omitted: frozenset[int] = frozenset()) -> LockstepSystem:
        """Boot a system and pair it with a new reference, whose model does not make the calls of `omitted`."""
        system = LockstepSystem(
            self.subject.boot(), ReferenceSystem(self.parameters, ObservedChoices(self.level)), audits, every
        )
        system.omitted, system.is_known = omitted, self.is_known
        return system

    def probe(self, system: LockstepSystem, generator: ProgramGenerator | None) -> Probe | None:
        """Return the call that shows the difference of an audit; None if a call of the program shows it."""
        if generator is None or system.probe is None:
            return None
        pair, call, arguments = system.probe
        models = [actor.model for actor in generator.actors]
        at = models.index(pair.model) if pair.model in models else len(models)  # a child whose fork is not complete
        return Probe(at, call, arguments)

    def shrink(self, steps: Sequence[bytes], counterexample: Counterexample) -> Counterexample:
        """Return a counterexample with as few and as simple steps as shrinking reaches, in bounded time."""
        best = list(steps)
        end = time.monotonic() + MAX_SECONDS
        attempts = 0

        def differs(candidate: list[bytes]) -> bool:
            nonlocal attempts, best, counterexample
            attempts += 1
            began = time.monotonic()
            try:
                other = self.run_audited(candidate) if attempts <= MAX_ATTEMPTS and began < end else None
            except Unresolved:  # the shrunk program must show the difference, not end the implementation
                attempts += round(
                    MAX_ATTEMPTS / MAX_UNRESOLVED * min(time.monotonic() - began, 1)
                )  # a timeout may have passed
                other = None
            if not isinstance(other, Counterexample):
                return False
            best, counterexample = candidate, other
            return True

        if in_working_directory(best[0]) != best[0]:
            differs([in_working_directory(best[0]), *best[1:]])
        before: list[bytes] = []
        while best != before:
            before = best
            size = len(best)
            while size:
                at = 1
                while at < len(best):
                    if not differs(best[:at] + best[at + size :]):
                        at += size
                size //= 2
            for at in range(1, len(best)):
                for place in range(1, STEP):
                    step = best[at]
                    for value in (0, 1, 2, step[place] // 2):
                        if value < step[place] and differs(
                            [*best[:at], step[:place] + bytes((value,)) + step[place + 1 :], *best[at + 1 :]]
                        ):
                            break
        if counterexample.probe is not None:  # as a step, the call shows the difference without an audit
            wanted, self.wanted = self.wanted, None
            with suppress(Unresolved):
                shown = self.run_audited(best, counterexample.probe)
                counterexample = shown if isinstance(shown, Counterexample) else counterexample
            self.wanted = wanted and counterexample.divergence.key
        return self.drop_unused_calls(counterexample, end) if counterexample.probe is None else counterexample

    def drop_unused_calls(self, counterexample: Counterexample, end: float = inf) -> Counterexample:
        """Remove calls whose results no other call uses, as long as the difference remains, up to the time `end`."""
        return without_unused_calls(counterexample, self.replay, end)

    def replay(self, program: Program) -> Counterexample | None:
        """Make the calls of a program again and return the counterexample, if any."""
        from ..differential.reproducers import Judge  # slow to import, and needed for a counterexample only

        judged = Judge(self.subject, self.level).run(program, "none")
        if judged.divergence is None or not self.counts(judged.divergence):
            return None
        return Counterexample(judged.divergence, judged.program, judged.outcomes)

    # ---- a short search

    def run_short(self, programs: int, seed: str) -> None:
        """Run programs of the series that `seed` determines, until a difference is found.

        No program depends on those before it, nor on what the implementation did with them.
        """
        for number in range(programs):
            self.counterexample = self.try_program(program_of(seed, number))
            if self.counterexample is not None or self.gave_up:
                break


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes; 0 if it is not known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
