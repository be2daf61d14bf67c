"""`python -m pytest_mmapconf mutants`: select mutants, run them, print the matrix or what the gate misses."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from ..catalogue.clauses import included, load
from ..reference import mutant as mutant_module
from ..reference.mutant import Mutant
from ..report.outputs import check_writable
from . import variants
from .mutation_matrix import FINDS, find_gaps, finds_text, known_finds, reasons, run
from .runner import MutantResult

PROGRAMS: Final = 4000
"""Default number of random programs for each mutant; the first four hundred find nearly all mutants."""

SHARE_OF_TOUR: Final = 5
"""Of the rows of the tour, the gate runs one in so many on each variant: each row on three of the variants."""


def select(globs: Sequence[str], level: str) -> list[Mutant]:
    """Return the mutants of a level whose id, or one of whose clauses, matches a pattern.  Raises UsageError."""
    levels = included(level)
    catalogue = load()
    candidates = [
        mutant
        for mutant in mutant_module.load().values()
        if mutant.clauses[0] not in catalogue or catalogue[mutant.clauses[0]].level in levels
    ]
    for glob in globs:
        if not any(matches(mutant, glob) for mutant in candidates):
            raise pytest.UsageError(f"{glob}: no mutant's id or clause matches; --list lists them")
    return [mutant for mutant in candidates if not globs or any(matches(mutant, glob) for glob in globs)]


def matches(mutant: Mutant, glob: str) -> bool:
    """Return whether a pattern matches the id or a clause of a mutant."""
    return any(fnmatchcase(name, glob) for name in (mutant.id, *mutant.clauses))


def list_mutants(mutants: Iterable[Mutant]) -> list[str]:
    """Return a line for each mutant."""
    return [f"{m.id}  [{', '.join(m.clauses)}]  {m.text}  ({m.bug})" for m in mutants]


def format_result(result: MutantResult, programs: int) -> str:
    """Return the result of a mutant as a line."""
    by = ", ".join(result.killers[:3]) + (f" and {len(result.killers) - 3} more" if len(result.killers) > 3 else "")
    programs_text = (
        f"random program {result.programs} ({', '.join(result.cited)})" if result.programs else "no random program"
    )
    killed = f"{result.id}: {result.crash or by or 'NOT KILLED by ' + result.clauses[0]}"
    return f"{killed}; {programs_text}" if programs else killed


def summary(results: Sequence[MutantResult], programs: int) -> list[str]:
    """Return lines with the number of mutants that cases kill, and that random programs find."""
    sound = [result for result in results if not result.crash]
    found = [result for result in sound if result.programs]
    named = sum(result.is_named for result in found)
    lines = [
        f"killed by deterministic cases: {sum(bool(result.killers) for result in sound)} of {len(results)}",
        f"found by at most {programs} random programs: {len(found)} of {len(results)}, "
        f"{named} by a clause that they name",
    ]
    return lines if programs else lines[:1]


def survivors(results: Sequence[MutantResult], programs: int) -> list[str]:
    """Return a line for each mutant that survives the cases, or the random programs, or crashes."""
    lines = [f"survives the cases: {result.id} ({result.clauses[0]})" for result in results if not result.killers]
    lines += [
        f"survives random programs: {result.id} ({result.clauses[0]})"
        for result in results
        if programs and not result.programs
    ]
    return lines + [f"crashes: {result.id}: {result.crash}" for result in results if result.crash]


def main(
    globs: Sequence[str],
    level: str,
    workers: int,
    programs: int,
    everything: bool,
    check: bool,
    path: str | None,
    finds: str | None = None,
) -> int:
    """Run `python -m pytest_mmapconf mutants`; return the exit status.  Raises UsageError and OutputError."""
    for option, file in (("--json=", path), ("--finds=", finds)):
        if file:
            check_writable(Path(file), option)
    began = time.monotonic()
    mutants = select(globs, level)
    accepted = reasons()
    matrix = run(mutants, level, workers, programs, everything, accepted if check else None)
    verdicts = [] if globs or not check else list(variants.run(variants.select(()), workers, SHARE_OF_TOUR))
    if check:
        lines = missing = find_gaps(matrix, {mutant.id: mutant for mutant in mutants}, accepted) + variants.gaps(
            verdicts
        )
    else:
        lines = [*(format_result(result, programs) for result in matrix.results), *survivors(matrix.results, programs)]
        missing = survivors(matrix.results, 0)
    print("\n".join([*lines, *summary(matrix.results, programs), *([variants.summary(verdicts)] if verdicts else [])]))
    print(f"{len(mutants)} mutants, {len(matrix.cases)} cases, {time.monotonic() - began:.0f} s")
    known = known_finds()
    others = [result.id for result in matrix.results if result.programs and result.programs != known.get(result.id)]
    if others and not finds:
        print(f"{len(others)} mutants are not found by the program on record ({FINDS}): --finds=FILE writes a new one")
    if finds:
        Path(finds).write_text(finds_text(matrix.results, known), encoding="utf-8")
    if path:
        text = json.dumps({"level": level, "mutants": [asdict(result) for result in matrix.results]}, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")
    return 1 if missing else 0


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
