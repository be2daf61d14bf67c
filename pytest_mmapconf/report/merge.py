"""Several JSON reports as one: shards of a run are put together, whatever else there is stands side by side.

Shards are of one run if suite, backend, with all that it tells of itself, and level are the same, and they say that
they are so many parts of as many (`--mmap-shard`).  A shard that is there twice must have come to the same, case by
case, else nobody knows which to believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..catalogue.clauses import load
from ..catalogue.verdicts import CLAUSE_ORDER, CaseResult, ClauseResult, judge
from .json_report import NoReport, read
from .result import Run
from .view import labels


class Contradiction(ValueError):
    """Reports that cannot be put together, and why."""


def read_files(paths: Iterable[Path]) -> list[tuple[str, Run]]:
    """The runs that these files tell of, each with its file's name.  Raises NoReport."""
    runs: list[tuple[str, Run]] = []
    for path in paths:
        try:
            runs.extend((str(path), run) for run in read(path.read_text("utf-8")))
        except (NoReport, UnicodeDecodeError) as error:
            raise NoReport(f"{path}: {error}") from error
        except OSError as error:
            raise NoReport(f"{path}: cannot be read: {error.strerror}") from error
    return runs


def merged(runs: Iterable[tuple[str, Run]]) -> list[Run]:
    """Runs, each from a file, with those that are shards of one put together.  Raises Contradiction."""
    parts: dict[object, list[tuple[str, Run]]] = {}
    for number, (file, run) in enumerate(runs):
        about = run.suite, run.facts.name, run.facts.version, tuple(sorted(run.facts.details.items())), run.level
        identity: object = about if run.of > 1 else number  # which no other has
        parts.setdefault(identity, []).append((file, run))
    return [of[0][1] if len(of) == 1 else together(of) for of in parts.values()]


def together(parts: Sequence[tuple[str, Run]]) -> Run:
    """One run from its shards."""
    for file, run in parts:
        if run.of != parts[0][1].of:
            raise Contradiction(
                f"{parts[0][0]} and {file} are of the same backend, but a part of {parts[0][1].of} and one of {run.of}"
            )
    cases: dict[tuple[str, int], tuple[str, CaseResult]] = {}
    for file, run in parts:
        times: dict[str, int] = {}
        for case in run.cases:
            nth = times[case.id] = times.get(case.id, 0) + 1
            other, there = cases.setdefault((case.id, nth), (file, case))
            if there.verdict != case.verdict:
                raise Contradiction(
                    f"{other} and {file} are of the same shard, but {case.id} is {there.verdict} in one and "
                    f"{case.verdict} in the other: leave one out"
                )
    judged: dict[str, list[ClauseResult]] = {}
    for _, run in parts:
        for entry in run.judged:
            judged.setdefault(entry.clause.id, []).append(entry)
    kept = [case for _, case in sorted(cases.values(), key=lambda entry: entry[1].id)]
    about: dict[str, list[CaseResult]] = {}
    for case in kept:
        for id in case.clauses:
            about.setdefault(id, []).append(case)
    places = {id: place for place, id in enumerate(load())}
    ids = sorted(judged, key=lambda id: places.get(id, len(places)))
    return replace(
        parts[0][1],
        date=max(run.date for _, run in parts),
        there=max(run.there for _, run in parts),
        narrowed=any(run.narrowed for _, run in parts),
        judged=tuple(clause(judged[id], about.get(id, [])) for id in ids),
        cases=tuple(kept),
        shards=tuple(sorted({number for _, run in parts for number in run.shards})),
    )


def clause(parts: Sequence[ClauseResult], cases: Sequence[CaseResult]) -> ClauseResult:
    """The verdict on a clause by all its cases; a verdict that a shard has for another reason than its cases stays."""
    whole = judge(parts[0].clause, cases)
    gravest = min([whole, *parts], key=lambda entry: CLAUSE_ORDER.index(entry.verdict))
    return whole if gravest.verdict == whole.verdict else replace(whole, verdict=gravest.verdict, reason=gravest.reason)


def main(files: Sequence[str], outputs: Sequence[str]) -> int:
    """``report FILES… -o OUTPUT…``: make reports of reports; return the exit status.

    Raises NoReport, Contradiction, OutputError.
    """
    from . import outputs as writing

    runs = merged(read_files(map(Path, files)))
    paths = [Path(output) for output in outputs]
    writing.prepare(paths, "-o ")
    for path in paths:
        try:
            writing.write(path, runs)
        except OSError as error:
            raise writing.OutputError(f"-o {path}: cannot be written: {error.strerror}") from error
    for run, label in zip(runs, labels(runs), strict=True):
        print(f"{label}: {run.statement[1]}")
    return 0
