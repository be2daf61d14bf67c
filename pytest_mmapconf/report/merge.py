"""Merge JSON reports: combine the shards of a run, and place different runs side by side.

Shards belong to one run if suite, backend (with all its facts) and level are equal, and if they are shards of the same
number of shards (`--mmap-shard`).  If a shard is given twice, both reports must agree on the verdict of every case;
otherwise it is unknown which of them is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..catalogue.clauses import load
from ..catalogue.verdicts import CLAUSE_ORDER, CaseResult, ClauseResult, judge
from ..data_files import DataError, read_text
from .json_report import InvalidReport, read
from .result import Run
from .view import labels


class Contradiction(ValueError):
    """Reports contradict each other; the message names them and the reason."""


def read_files(paths: Iterable[Path]) -> list[tuple[str, Run]]:
    """Return the runs of these files, each with the name of its file.  Raises InvalidReport."""
    runs: list[tuple[str, Run]] = []
    for path in paths:
        try:
            runs.extend((str(path), run) for run in read(read_text(path)))
        except (InvalidReport, DataError) as error:
            raise InvalidReport(f"{path}: {error}") from error
    return runs


def merged(runs: Iterable[tuple[str, Run]]) -> list[Run]:
    """Return the runs, each given with its file, after combining shards of one run.  Raises Contradiction."""
    parts: dict[object, list[tuple[str, Run]]] = {}
    for number, (file, run) in enumerate(runs):
        about = (
            run.suite,
            run.facts.name,
            run.facts.version,
            tuple(sorted(run.facts.details.items())),
            run.level,
            run.scope,
        )
        identity: object = about if run.shard_count > 1 else number  # a number is unique
        parts.setdefault(identity, []).append((file, run))
    return [of[0][1] if len(of) == 1 else combined(of) for of in parts.values()]


def combined(parts: Sequence[tuple[str, Run]]) -> Run:
    """Combine the shards of a run.  Raises Contradiction."""
    for file, run in parts:
        if run.shard_count != parts[0][1].shard_count:
            counts = f"a shard of {parts[0][1].shard_count} and one of {run.shard_count}"
            raise Contradiction(f"{parts[0][0]} and {file} are of the same backend, but {counts}")
    cases: dict[tuple[str, int], tuple[str, CaseResult]] = {}
    for file, run in parts:
        times: dict[str, int] = {}
        for case in run.cases:
            nth = times[case.id] = times.get(case.id, 0) + 1
            other, first = cases.setdefault((case.id, nth), (file, case))
            if first.verdict != case.verdict:
                raise Contradiction(
                    f"{other} and {file} are of the same shard, but {case.id} is {first.verdict} in one and "
                    f"{case.verdict} in the other: leave one out"
                )
    judged: dict[str, list[ClauseResult]] = {}
    for _, run in parts:
        for entry in run.judged:
            judged.setdefault(entry.clause.id, []).append(entry)
    all_cases = [case for _, case in sorted(cases.values(), key=lambda entry: entry[1].id)]
    about: dict[str, list[CaseResult]] = {}
    for case in all_cases:
        for id in case.clauses:
            about.setdefault(id, []).append(case)
    places = {id: place for place, id in enumerate(load())}
    ids = sorted(judged, key=lambda id: places.get(id, len(places)))
    return replace(
        parts[0][1],
        date=max(run.date for _, run in parts),
        total_clauses=max(run.total_clauses for _, run in parts),
        narrowed=any(run.narrowed for _, run in parts),
        unfinished=next((text for _, run in parts if (text := unfinished(run))), ""),
        judged=tuple(clause(judged[id], about.get(id, [])) for id in ids),
        cases=tuple(all_cases),
        properties={name: text for _, run in reversed(parts) for name, text in run.properties.items()},
        shards=tuple(sorted({number for _, run in parts for number in run.shards})),
    )


def unfinished(shard: Run) -> str:
    """Return what went wrong with a shard as a whole, after "the run ", with its number; empty if nothing did."""
    wrong = shard.unfinished or ("completed no case" if shard.harness_is_broken else "")
    return f"of shard {shard.shard} {wrong}" if wrong else ""


def clause(parts: Sequence[ClauseResult], cases: Sequence[CaseResult]) -> ClauseResult:
    """Judge a clause by all its cases; keep the verdict of a shard that is graver for another reason than its cases."""
    whole = judge(parts[0].clause, cases)
    gravest = min([whole, *parts], key=lambda entry: CLAUSE_ORDER.index(entry.verdict))
    return whole if gravest.verdict == whole.verdict else replace(whole, verdict=gravest.verdict, reason=gravest.reason)


def main(files: Sequence[str], outputs: Sequence[str]) -> int:
    """``report FILES… -o OUTPUT…``: merge reports and write the result; return the exit status.

    Raises InvalidReport, Contradiction, OutputError.
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
