"""A run as JSON: everything that is told of it, each thing once.  `schema.json` says what each name means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, TypeVar

from ..catalogue.clauses import LEVELS, Clause
from ..catalogue.verdicts import VERDICTS, CaseResult, ClauseResult, totals
from ..contract import Facts
from .result import Run

T = TypeVar("T")

FORMAT: Final = 1
"""Grows when what there was before changes its meaning."""

OF_A_CLAUSE: Final = ("id", "level", "group", "text", "observed", "source", "linux")
"""What is taken from the catalogue."""


class NoReport(ValueError):
    """A text is no JSON report, and why."""


def document(run: Run) -> dict[str, Any]:
    """The JSON report of a run."""
    about = {**run.facts.details, "name": run.facts.name, "version": run.facts.version}
    good, text = run.statement
    return {
        "format": FORMAT,
        "suite": {"name": "pytest-mmapconf", "version": run.suite},
        "backend": dict(sorted(about.items())),
        "level": run.level,
        "date": run.date,
        "statement": {"good": good, "text": text},
        "narrowed": run.narrowed,
        "shards": {"parts": list(run.shards), "of": run.of},
        "totals": {
            "clauses": totals(entry.verdict for entry in run.judged),
            "cases": totals(case.verdict for case in run.cases),
            "level": run.there,
        },
        "clauses": [_clause(entry) for entry in run.judged],
        "cases": [_case(case) for case in run.cases],
    }


def _clause(entry: ClauseResult) -> dict[str, Any]:
    about = asdict(entry.clause)
    return {
        **{name: about[name] for name in OF_A_CLAUSE if about[name]},
        "verdict": entry.verdict,
        "reason": entry.reason,
        "cases": [case.id for case in entry.cases],
    }


def _case(case: CaseResult) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": case.id,
        "clauses": list(case.clauses),
        "verdict": case.verdict,
        "reason": case.reason,
    }
    if case.expected:
        told["on record"] = {**case.expected, "seen": {"verdict": case.seen[0], "reason": case.seen[1]}}
    if case.recorded:
        told["recorded"] = dict(sorted(case.recorded.items()))
    if case.reproducer:
        told["reproducer"] = case.reproducer
    if case.evidence:
        told["evidence"] = case.evidence
    return told


def side_by_side(runs: Sequence[Run]) -> dict[str, Any]:
    """The JSON report of one run, or of several."""
    if len(runs) == 1:
        return document(runs[0])
    return {"format": FORMAT, "runs": [document(run) for run in runs]}


# ---------------------------------------------------------------------------------------------------------- and back


def read(text: str) -> list[Run]:
    """The runs that a JSON report tells of.  Raises NoReport."""
    if not text.strip():
        raise NoReport("it is empty: the run that was to write it has not come to its end")
    try:
        told = json.loads(text)
    except ValueError as error:
        raise NoReport(f"it is not JSON: {error}") from error
    if not isinstance(told, dict) or "format" not in told:
        raise NoReport("it is JSON, but not what --mmap-report=PATH.json writes")
    if told["format"] != FORMAT:
        raise NoReport(f"its format is {told['format']!r}, and this version of the suite reads {FORMAT}")
    if "runs" in told:
        return [_run(each) for each in _list(told, "runs", dict)]
    return [_run(told)]


def _run(told: dict[str, Any]) -> Run:
    suite, backend, shards, sums = (_get(told, name, dict) for name in ("suite", "backend", "shards", "totals"))
    cases = [_read_case(case) for case in _list(told, "cases", dict)]
    by_id: dict[str, list[CaseResult]] = {}
    for case in cases:
        by_id.setdefault(case.id, []).append(case)
    details = {name: _get(backend, name, str) for name in backend if name not in ("name", "version")}
    return Run(
        _get(suite, "version", str),
        Facts(_get(backend, "name", str), _get(backend, "version", str), details),
        _word(told, "level", LEVELS),
        _get(told, "date", str),
        _get(sums, "level", int),
        _get(told, "narrowed", bool),
        tuple(_read_clause(clause, by_id) for clause in _list(told, "clauses", dict)),
        tuple(cases),
        tuple(_list(shards, "parts", int)),
        _get(shards, "of", int),
    )


def _read_clause(told: dict[str, Any], cases: dict[str, list[CaseResult]]) -> ClauseResult:
    id, level, group, text, observed, source, linux = (_get({"linux": "", **told}, name, str) for name in OF_A_CLAUSE)
    clause = Clause(id, level, group, text, observed, source, linux)
    ids = dict.fromkeys(_list(told, "cases", str))
    missing = [id for id in ids if id not in cases]
    if missing:
        raise NoReport(f"clause {clause.id} has the case {missing[0]}, which is not among the cases")
    own = [case for id in ids for case in cases[id] if clause.id in case.clauses]
    return ClauseResult(clause, _word(told, "verdict", VERDICTS), _get(told, "reason", str), tuple(own))


def _read_case(told: dict[str, Any]) -> CaseResult:
    case = CaseResult(
        _get(told, "id", str),
        tuple(_list(told, "clauses", str)),
        _word(told, "verdict", VERDICTS),
        _get(told, "reason", str),
        _get(told, "recorded", dict) if "recorded" in told else {},
        _list(told, "reproducer", str) if "reproducer" in told else [],
        _read_evidence(_get(told, "evidence", dict)) if "evidence" in told else {},
    )
    if "on record" in told:
        case.expected = dict(_get(told, "on record", dict))
        seen = _get(case.expected, "seen", dict)
        del case.expected["seen"]
        for name in ("file", "verdict", "reason", *(case.expected.keys() & {"link"})):
            _get(case.expected, name, str)
        _get(case.expected, "number", int)
        case.seen = _word(seen, "verdict", VERDICTS), _get(seen, "reason", str)
    return case


def _read_evidence(told: dict[str, Any]) -> dict[str, Any]:
    for name in told.keys() & {"expected", "seen", "step", "answer"}:
        _get(told, name, str)
    for name in told.keys() & {"allowed", "cited"}:
        _list(told, name, str)
    for picture in _list(told, "pictures", dict) if "pictures" in told else ():
        _get(picture, "of", str), _get(picture, "text", str)
    program = _get(told, "program", dict) if "program" in told else {}
    for name in program.keys() & {"c", "python", "json", "lacks"}:
        _get(program, name, str)
    if "steps" in program:
        _list(program, "steps", str)
    return told


def _get(told: dict[str, Any], name: str, kind: type[T]) -> T:
    value = told.get(name)
    if not isinstance(value, kind):
        raise NoReport(f"{name!r} is missing, or is not {KINDS[kind]}, in {json.dumps(told)[:60]} …")
    return value


def _list(told: dict[str, Any], name: str, kind: type[T]) -> list[T]:
    values = _get(told, name, list)
    if not all(isinstance(value, kind) for value in values):
        raise NoReport(f"{name!r} is not a list, each of which is {KINDS[kind]}, in {json.dumps(told)[:60]} …")
    return values


def _word(told: dict[str, Any], name: str, words: Sequence[str]) -> str:
    value = _get(told, name, str)
    if value not in words:
        raise NoReport(f"{name} {value!r} is not one of {', '.join(words)}")
    return value


KINDS: Final = {str: "text", int: "a number", bool: "true or false", dict: "an object", list: "a list"}
