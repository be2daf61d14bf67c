"""`python -m pytest_mmapconf mutants --conditional=N`: a seeded sample of mutants that are wrong in a state only.

Every mutant is combined with every condition (`conditions`).  A combination that never acts otherwise than the
reference, in no case, no row of the tour and none of `PROBES` random programs, cannot show as far as is known: it is
dropped, and counted.  The rest runs the cases and the tour, and then the cases in used processes
(--mmap-process=used), each mutant up to the first that fails.

A mutant may be dropped too late: its code runs, but does under its condition what the reference does.  So each survivor
runs `PROGRAMS` random programs.  What they find is a gap of the cases; what they do not find can perhaps not show.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

import pytest

from ..catalogue.clauses import LEVELS
from ..catalogue.verdicts import FAIL
from ..fuzzing.search import Search, program_of
from ..plugin.stash import CASE
from ..reference.mutant import Mutant
from ..trace.used_process import UsedBackend
from .conditions import OBSERVER, all_conditional
from .runner import InstrumentedReference, MutantResult, Progress, Runner, is_found_by, parallel_map, run_with_cases

PROBES: Final = 400
"""Random programs that show which combinations can act otherwise than the reference."""


PROGRAMS: Final = 1000
"""Random programs that look for a survivor."""


@dataclass
class Verdict:
    """The result of one mutant."""

    id: str
    killer: str = ""
    """The case or row that failed first; empty for a survivor."""
    used: bool = False
    """True if it failed in a used process, after all had passed in new ones."""
    acted: int = 0
    """The cases and rows in which it acts otherwise than the reference."""
    crash: str = ""
    program: int = 0
    """Number of the random program that found a survivor, from 1; 0 for none."""


@dataclass
class Sample:
    """A sample of conditional mutants, and their verdicts."""

    seed: str
    combinations: int = 0
    dropped: int = 0
    """Combinations that were drawn, and act like the reference wherever they were tried."""
    unreached: tuple[str, ...] = ()
    """Combinations of the sample that act otherwise in a random program only: no case or row reaches their state."""
    verdicts: tuple[Verdict, ...] = ()


def run(mutants: Sequence[Mutant], number: int, seed: str, level: str, workers: int) -> Sample:
    """Draw a sample of `number` conditional mutants that can show, and run cases and tour on them."""
    sample = Sample(seed)
    every = all_conditional(mutants)
    sample.combinations = len(every)
    order = Random(seed).sample(sorted(every), len(every))
    drawn = {id: every[id] for id in order[: 3 * number]}

    def work(runner: Runner) -> None:
        reference = InstrumentedReference(drawn.values())
        OBSERVER.install(reference.package)
        failing = runner.run_on_reference(reference)
        used = UsedCases(runner)
        failing += used.run_on_reference(reference)
        if failing:
            raise AssertionError(f"the reference fails {failing[:5]}")
        acting = Counter(id for of in (runner, used) for ids in of.differing.values() for id in ids)
        in_programs = probe(reference, seed)
        chosen: list[str] = []
        for id in order[: 3 * number]:
            if len(chosen) == number:
                break
            if acting[id] or id in in_programs:
                chosen.append(id)
            else:
                sample.dropped += 1
        progress = Progress("conditional mutants", len(chosen))
        verdicts: list[Verdict] = []

        def judge(id: str) -> Verdict:
            verdict = evaluate(runner, drawn[id], acting[id])
            if not verdict.killer:
                verdict = used.evaluate(drawn[id], acting[id])
            if not verdict.killer:
                verdict.program = find(drawn[id])
            return verdict

        for verdict in parallel_map(judge, chosen, workers):
            verdicts.append(verdict)
            progress(len(verdicts))
        sample.verdicts = tuple(sorted(verdicts, key=lambda verdict: verdict.id))
        sample.unreached = tuple(id for id in chosen if not acting[id])

    run_with_cases(level, work, tour=True)
    return sample


def probe(reference: InstrumentedReference, seed: str) -> set[str]:
    """Return the ids of the mutants that act otherwise than the reference in random programs."""
    found: set[str] = set()
    reference.differing = found
    search = Search(reference, LEVELS[-1])
    for number in range(PROBES):
        search.run(program_of(seed, number))
    return found


class UsedCases:
    """The cases of a runner, but for the rows of the tour, in used processes."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        items = runner.cases.items()
        self.cases = {id: item for id, item in items if item.get_closest_marker("mmap_tour") is None}
        self.differing: dict[str, set[str]] = {}
        """By case, the ids of the mutants that would have acted differently from the reference."""

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """A block in which the runner runs these cases."""
        runner = self.runner
        before = runner.cases, runner.differing, runner.make_subject
        runner.cases, runner.differing = self.cases, self.differing
        runner.make_subject = UsedBackend
        try:
            yield
        finally:
            runner.cases, runner.differing, runner.make_subject = before

    def run_on_reference(self, reference: InstrumentedReference) -> list[str]:
        """Run the cases on the reference, as `Runner.run_on_reference`."""
        with self.chosen():
            return [f"{id} in a used process" for id in self.runner.run_on_reference(reference)]

    def evaluate(self, mutant: Mutant, acted: int) -> Verdict:
        """Run one mutant, as `evaluate`."""
        with self.chosen():
            verdict = evaluate(self.runner, mutant, acted)
        verdict.used = bool(verdict.killer)
        return verdict


def evaluate(runner: Runner, mutant: Mutant, acted: int) -> Verdict:
    """Run one mutant on the cases and rows in which it acts otherwise, up to the first that fails."""
    verdict = Verdict(mutant.id, acted=acted)
    runner.replace_subject(mutant.boot())
    for id, item in ordered(runner, mutant):
        if runner.run(item) == FAIL:
            verdict.killer = id
            break
        verdict.crash = verdict.crash or runner.crash
    return verdict


def find(mutant: Mutant) -> int:
    """Return the number of the first random program, from 1 on, that finds a mutant; 0 if PROGRAMS do not."""
    search = Search(mutant.boot(), LEVELS[-1])
    result = MutantResult(mutant.id, mutant.clauses, mutant.bug, mutant.text)
    return next((number for number in range(1, PROGRAMS + 1) if is_found_by(number, result, search)), 0)


def ordered(runner: Runner, mutant: Mutant) -> Sequence[tuple[str, pytest.Item]]:
    """Return the cases and rows that may kill a mutant; those about its clause first."""
    able = [(id, item) for id, item in runner.cases.items() if runner.may_kill(id, mutant)]
    return sorted(able, key=lambda entry: mutant.clauses[0] not in entry[1].stash[CASE].clauses)


def survivor_line(verdict: Verdict) -> str:
    """Return a line about a survivor."""
    crashes = f", crashes: {verdict.crash}" if verdict.crash else ""
    found = f"random program {verdict.program} finds" if verdict.program else f"{PROGRAMS} random programs do not find"
    return f"survives: {verdict.id} (acts otherwise in {verdict.acted} cases and rows{crashes}); {found} it"


def lines(sample: Sample, began: float) -> list[str]:
    """Return the score and the survivors."""
    killed = [verdict for verdict in sample.verdicts if verdict.killer]
    by_tour = sum(verdict.killer.startswith("tour.") for verdict in killed)
    total = len(sample.verdicts) or 1
    survivors = [verdict for verdict in sample.verdicts if not verdict.killer]
    shown = len(killed) + sum(bool(verdict.program) for verdict in survivors)
    return [
        *map(survivor_line, survivors),
        f"seed {sample.seed}: {len(sample.verdicts)} of {sample.combinations} combinations drawn; "
        f"{sample.dropped} dropped that act like the reference wherever they were tried",
        f"killed: {len(killed)} of {len(sample.verdicts)} ({100 * len(killed) / total:.1f} %), "
        f"{by_tour} of these by a row of the tour, {sum(verdict.used for verdict in killed)} in used processes only; "
        f"{len(sample.unreached)} are reached by random programs only",
        f"of those that cases, rows or random programs show: {len(killed)} of {shown} "
        f"({100 * len(killed) / (shown or 1):.1f} %)",
        f"{time.monotonic() - began:.0f} s",
    ]


def main(mutants: Sequence[Mutant], number: int, seed: str, level: str, workers: int) -> int:
    """Run the command; return the exit status."""
    began = time.monotonic()
    sample = run(mutants, number, seed, level, workers)
    print("\n".join(lines(sample, began)), file=sys.stdout)
    return 0


def main_tour(mutants: Sequence[Mutant], level: str, workers: int) -> int:
    """Run every mutant on the tour alone, and print how many it kills; return the exit status."""
    began = time.monotonic()
    verdicts: list[Verdict] = []

    def work(runner: Runner) -> None:
        runner.items = [item for item in runner.items if item.get_closest_marker("mmap_tour")]
        runner.run_on_reference(InstrumentedReference(mutants))
        acting = Counter(id for ids in runner.differing.values() for id in ids)
        progress = Progress("mutants", len(mutants))
        by_id = {mutant.id: mutant for mutant in mutants}
        for verdict in parallel_map(lambda id: evaluate(runner, by_id[id], acting[id]), [*by_id], workers):
            verdicts.append(verdict)
            progress(len(verdicts))

    run_with_cases(level, work, tour=True)
    killed = sum(bool(verdict.killer) for verdict in verdicts)
    for verdict in verdicts:
        if not verdict.killer:
            print(f"survives the tour: {verdict.id} (acts otherwise in {verdict.acted} rows)")
    print(f"killed by the tour alone: {killed} of {len(verdicts)}; {time.monotonic() - began:.0f} s")
    return 0
