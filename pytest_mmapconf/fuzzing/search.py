"""Looking for a program on which an implementation and the reference differ, and making it short.

A program is its theme and then its steps, `LENGTH` strings of `STEP` bytes in all (`generator`).  Whoever asks chooses
the bytes: hypothesis for the quick search that is part of the suite, a counted series of seeds for a long one.  What
was found is shrunk here and not by hypothesis, which does not know which bytes are one step: it needs seconds where
this needs a tenth of one.

Measured on eight planted defects, five seeds each (reference against a defective reference): programs until found,
seconds for shrinking, steps that are left.

* A state machine with a rule for each call and one string of bytes for each rule: up to 255, twice not in 400; 0.3 to
  9 s; 4 or 5.  That is the style which a prototype had found best.
* One tuple of strings of bytes, zeros for no step: up to 70, once 387; 0.4 to 1.3 s; 3 or 4.  Hypothesis spends most
  runs on mutating one program, by copying one step over another.
* One string for the whole program, which it cannot mutate: at most 20; 1 to 8 s; 3 to 5.  Shrunk here: 0.1 s; 3 to 5.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, NamedTuple

from ..contract import Backend, Unresolved
from ..differential.divergence import Divergence
from ..differential.lockstep import LockstepSystem
from ..differential.parameters import measure_parameters
from ..reference.observed_choices import ObservedChoices
from ..reference.system import ReferenceSystem
from ..trace.program import Program, SymbolicOutcome, names_in, needed
from ..trace.recorder import RecordedSystem
from . import STEP, World, in_working_directory

LENGTH: Final = 41
"""Strings of bytes of a program: one that it begins with, and the steps."""

MAX_ATTEMPTS: Final = 2000
"""How many programs shrinking may try."""


MAX_UNRESOLVED: Final = 3
"""After how many programs that came to no end no more are tried: each may have cost a timeout."""

AUDIT_INTERVAL: Final = 8
"""After how many calls that change something a glance audits.

Measured on the eight planted defects, twenty seeds each, programs until found (mean of the means) and milliseconds a
program: after each call 5.5 and 6.0, after every 4th 6.0 and 4.5, every 8th 6.1 and 3.5, at the end only 7.1 and 3.1.
"""


@dataclass
class Tally:
    """What a search has done so far."""

    programs: int = 0
    steps: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """In how many programs a call was refused by each clause."""
    effects: Counter[str] = field(default_factory=Counter)
    """How often what each clause promises has happened, where nothing was refused."""
    uncompared: Counter[str] = field(default_factory=Counter)
    """Why programs could not be compared to their end."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Calls that the implementation cannot be asked, and why."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls that failed for reasons of the implementation's own: (call, errno)."""


class Probe(NamedTuple):
    """A call that shows a difference."""

    actor: int
    """Which of the processes that live makes it."""
    call: str
    arguments: tuple[object, ...]


@dataclass
class Counterexample:
    """A program on which the two differ."""

    divergence: Divergence
    program: Program
    outcomes: Sequence[SymbolicOutcome]
    """What each step but the last came to on the implementation."""
    probe: Probe | None = None
    """The call by which an audit has shown the difference; None where the last step of the program shows it."""

    def listing(self) -> str:
        """The program, a line for each step."""
        lines = [f"    {number:2}  {step}" for number, step in enumerate(self.program, 1)]
        return "\n".join(["the program:", *lines])


def split(data: bytes) -> list[bytes]:
    """What a program begins with, then its steps; those that are none are left out."""
    begin, *steps = (data[at : at + STEP] for at in range(0, len(data), STEP))
    return [begin, *(step for step in steps if step[0])]


class Search:
    """Runs random programs on a backend's systems and the reference side by side, judged at `level`."""

    def __init__(self, subject: Backend, level: str) -> None:
        self.subject = subject
        self.level = level
        self.parameters = measure_parameters(subject)
        self.tally = Tally()
        self.unresolved: list[Unresolved] = []
        """Why programs came to no end: the implementation died, hangs or babbles."""
        self.refused: Counter[str] = Counter()
        """How often programs of a long search have been refused by each clause; what was seldom is drawn more often."""
        self.counterexample: Counterexample | None = None
        """What was found last, shrunk."""
        self.failing = b""
        """The program that `check` found it by."""

    def try_program(self, steps: Sequence[bytes]) -> Counterexample | None:
        """What is found by a program, shrunk; None also where the system can no longer be asked."""
        try:
            counterexample = self.run(steps)
        except Unresolved as unresolved:
            self.unresolved.append(unresolved)
            return None
        return counterexample and self.shrink(steps, counterexample)

    @property
    def gave_up(self) -> bool:
        """Whether so many programs came to no end that no more are tried."""
        return len(self.unresolved) >= MAX_UNRESOLVED

    def run(self, steps: Sequence[bytes]) -> Counterexample | None:
        """Run a program on a freshly booted system; the difference, if there is one.

        What a glance has seen is looked for closely; where it does not show again, the glance is what is told.
        """
        divergence = self.run_sparsely_audited(steps)
        if divergence is None:
            return None
        divergence.add_note("seen once, and not again when the same program was repeated: the implementation varies")
        for _ in range(MAX_UNRESOLVED):
            played = self.run_audited(steps)
            if isinstance(played, Counterexample):
                break
        return played if isinstance(played, Counterexample) else Counterexample(divergence, *played)

    def run_sparsely_audited(self, steps: Sequence[bytes]) -> Divergence | None:
        """Run a program with few audits and without noting it; what it shows, and counted in the tally."""
        system = self.boot("all", AUDIT_INTERVAL)
        tally = self.tally
        world: World | None = None
        try:
            world = World(system, self.level, self.refused)
            world.begin(steps[0])
            for step in steps[1:]:
                tally.steps += 1
                world.step(step)
                if system.uncompared is not None:
                    tally.uncompared[system.uncompared] += 1
                    break
            system.audit_all()
        except Divergence as divergence:
            return divergence
        finally:
            tally.programs += 1
            tally.refusals.update(system.machine.reached)
            tally.left_out.update(system.left_out)
            if world is not None:
                tally.effects.update(world.effects)
                tally.lacks.update(world.lacks)
            system.close()
        return None

    def run_audited(
        self, steps: Sequence[bytes], probe: Probe | None = None
    ) -> Counterexample | tuple[Program, Sequence[SymbolicOutcome]]:
        """Run a program with an audit after each call that changes something; the difference, else what it was.

        With `probe` there are no audits, and that call is made at the end.
        """
        system = self.boot("none" if probe else "all", 1)
        recorded = RecordedSystem(system)
        world: World | None = None
        try:
            world = World(recorded, self.level, self.refused)
            world.begin(steps[0])
            for step in steps[1:]:
                world.step(step)
                if system.uncompared is not None:
                    break
            if probe is not None and probe.actor < len(world.actors):
                world.call(world.actors[probe.actor], probe.call, *probe.arguments)
        except Divergence as divergence:
            return Counterexample(divergence, *needed(*recorded.program()), self.probe(system, world))
        finally:
            system.close()
        return recorded.program()

    def boot(self, audits: Literal["all", "none"], every: int) -> LockstepSystem:
        """A fresh system beside a fresh reference."""
        return LockstepSystem(
            self.subject.boot(), ReferenceSystem(self.parameters, ObservedChoices(self.level)), audits, every
        )

    def probe(self, system: LockstepSystem, world: World | None) -> Probe | None:
        """The call by which an audit has shown the difference; None where a call of the program did."""
        if world is None or system.probe is None:
            return None
        pair, call, arguments = system.probe
        models = [actor.model for actor in world.actors]
        at = models.index(pair.model) if pair.model in models else len(models)  # a fork has not come to its end
        return Probe(at, call, arguments)

    def shrink(self, steps: Sequence[bytes], counterexample: Counterexample) -> Counterexample:
        """The shortest program and the simplest steps that can be found on which the two differ too."""
        best = list(steps)
        attempts = 0

        def differs(candidate: list[bytes]) -> bool:
            nonlocal attempts, best, counterexample
            attempts += 1
            began = time.monotonic()
            try:
                other = self.run_audited(candidate) if attempts <= MAX_ATTEMPTS else None
            except Unresolved:  # what is shrunk must show the difference, not end the implementation
                attempts += round(MAX_ATTEMPTS / MAX_UNRESOLVED * min(time.monotonic() - began, 1))  # it may have hung
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
        if counterexample.probe is not None:  # as a step of the program, so that it shows without an audit
            with suppress(Unresolved):
                shown = self.run_audited(best, counterexample.probe)
                counterexample = shown if isinstance(shown, Counterexample) else counterexample
        return self.drop_unused_calls(counterexample) if counterexample.probe is None else counterexample

    def drop_unused_calls(self, counterexample: Counterexample) -> Counterexample:
        """What shows the difference too, without calls that a step has made beside those that matter."""
        for at in reversed(range(len(counterexample.program) - 1)):
            if at >= len(counterexample.program) - 1:  # a difference has shown before
                continue
            step, rest = counterexample.program[at], (*counterexample.program[:at], *counterexample.program[at + 1 :])
            used = {name for other in rest for name in (other.process, *names_in(other))}
            if used.isdisjoint(step.results):
                with suppress(Unresolved):
                    counterexample = self.replay(rest) or counterexample
        return counterexample

    def replay(self, program: Program) -> Counterexample | None:
        """The difference that the calls of a program show."""
        from ..differential.reproducers import (
            Judge,  # which takes long to import, and is needed where something is found only
        )

        judged = Judge(self.subject, self.level).run(program, "none")
        if judged.divergence is None:
            return None
        return Counterexample(judged.divergence, judged.program, judged.outcomes)

    # ---- a quick search

    def check(self, data: bytes) -> None:
        """Run a program that hypothesis has drawn; raises Divergence, that of the shrunk program."""
        if self.gave_up:
            return
        if self.counterexample is None or data != self.failing:
            self.counterexample = self.try_program(split(data))
            self.failing = data
        if self.counterexample is not None:
            raise self.counterexample.divergence

    # ---- a long search

    def run_long(self, steps: int, seed: str, progress: Callable[[str], None], every: float = 10.0) -> None:
        """Run programs of `steps` steps in all, a series that `seed` decides, until there is a difference.

        `progress` is given a line every so many seconds.
        """
        began = told = time.monotonic()
        while self.tally.steps < steps:
            random = Random(f"{seed} {self.tally.programs}")
            program = split(random.randbytes(LENGTH * STEP))
            self.refused = Counter(self.tally.refusals)
            self.counterexample = self.try_program(program)
            if self.counterexample is not None or self.gave_up:
                break
            now = time.monotonic()
            if now - told >= every:
                told = now
                progress(self.progress_line(now - began))
        progress(self.progress_line(time.monotonic() - began))

    def progress_line(self, seconds: float) -> str:
        """What has been done, in one line."""
        tally = self.tally
        return (
            f"{tally.steps} steps in {tally.programs} programs, {tally.steps / seconds:.0f} steps/s,"
            f" {resident() >> 20} MiB; {len(tally.refusals)} clauses refused by, {len(tally.effects)} seen kept,"
            f" {sum(tally.uncompared.values())} programs not compared to their end"
        )


def resident() -> int:
    """Bytes of memory that this process takes now; 0 where that is not told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
