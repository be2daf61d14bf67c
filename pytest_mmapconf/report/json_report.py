"""A run as JSON: all its data, without repetition.  `schema.json` describes each name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, TypeVar

from ..catalogue.clauses import LEVELS, Clause
from ..catalogue.verdicts import VERDICTS, CaseResult, ClauseResult, totals
from ..contract import Facts
from ..data_files import DataError, parse_json
from ..text import TEXT, PrintableError, printable
from .causes import as_data
from .result import Run

T = TypeVar("T")

FORMAT: Final = 1
"""Version of the format; incremented on incompatible changes."""

CLAUSE_FIELDS: Final = ("id", "level", "group", "text", "observed", "source", "linux")
"""Fields of a clause that are copied from the catalogue."""


class InvalidReport(PrintableError):
    """A text is not a JSON report; the message says why."""


def document(run: Run) -> dict[str, Any]:
    """Return the JSON report of a run."""
    about = {**run.facts.details, "name": run.facts.name, "version": run.facts.version}
    passed, text = run.statement
    return {
        "format": FORMAT,
        "suite": {"name": "pytest-mmapconf", "version": run.suite},
        "backend": dict(sorted(about.items())),
        "properties": dict(run.properties),
        "level": run.level,
        **({"scope": run.scope} if run.scope else {}),
        "date": run.date,
        "statement": {"good": passed, "text": text},
        **({"unfinished": run.unfinished} if run.unfinished else {}),
        "narrowed": run.narrowed,
        "shards": {"parts": list(run.shards), "of": run.shard_count},
        "totals": {
            "clauses": totals(entry.verdict for entry in run.judged),
            "cases": totals(case.verdict for case in run.cases),
            "level": run.total_clauses,
        },
        "causes": [as_data(group) for group in run.groups],
        "clauses": [_clause(entry) for entry in run.judged],
        "cases": [_case(case) for case in run.cases],
    }


def _clause(entry: ClauseResult) -> dict[str, Any]:
    about = asdict(entry.clause)
    return {
        **{name: about[name] for name in CLAUSE_FIELDS if about[name]},
        "verdict": entry.verdict,
        "reason": entry.reason,
        "cases": [case.id for case in entry.cases],
    }


def _case(case: CaseResult) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": case.id,
        "clauses": list(case.clauses),
        "verdict": case.verdict,
        "reason": case.reason,
    }
    if case.expected:
        entry["on record"] = {**case.expected, "seen": {"verdict": case.observed[0], "reason": case.observed[1]}}
    if case.recorded:
        entry["recorded"] = dict(sorted(case.recorded.items()))
    if case.reproducer:
        entry["reproducer"] = case.reproducer
    if case.cause:
        entry["cause"] = case.cause
    if case.evidence:
        entry["evidence"] = case.evidence
    return entry


def side_by_side(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the JSON report of one run, or of several."""
    if len(runs) == 1:
        return document(runs[0])
    return {"format": FORMAT, "runs": [document(run) for run in runs]}


# ------------------------------------------------------------------------------------------------------------ reading


def read(text: str) -> list[Run]:
    """Return the runs of a JSON report.  Raises InvalidReport."""
    if not text.strip():
        raise InvalidReport("it is empty: the run that should have written it did not complete")
    try:
        report = parse_json(text)
    except DataError as error:
        raise InvalidReport(f"it is {error}") from error
    if not isinstance(report, dict) or "format" not in report:
        raise InvalidReport("it is JSON, but not what --mmap-report=PATH.json writes")
    if report["format"] != FORMAT:
        raise InvalidReport(
            f"its format is {printable(repr(report['format']), 40)}, and this version of the suite reads {FORMAT}"
        )
    if "runs" in report:
        return [_run(run) for run in _list(report, "runs", dict)]
    return [_run(report)]


def _run(report: dict[str, Any]) -> Run:
    suite, backend, shards, sums = (_get(report, name, dict) for name in ("suite", "backend", "shards", "totals"))
    properties = _get(report, "properties", dict) if "properties" in report else {}
    cases = [_read_case(case) for case in _list(report, "cases", dict)]
    by_id: dict[str, list[CaseResult]] = {}
    for case in cases:
        by_id.setdefault(case.id, []).append(case)
    details = {name: _get(backend, name, str) for name in backend if name not in ("name", "version")}
    return Run(
        _get(suite, "version", str),
        Facts(_get(backend, "name", str), _get(backend, "version", str), details),
        _word(report, "level", LEVELS),
        _get(report, "date", str),
        _get(sums, "level", int),
        _get(report, "narrowed", bool),
        tuple(_read_clause(clause, by_id) for clause in _list(report, "clauses", dict)),
        tuple(cases),
        tuple(_list(shards, "parts", int)),
        _get(shards, "of", int),
        {name: _get(properties, name, str) for name in properties},
        _get(report, "scope", str) if "scope" in report else "",
        _get({"unfinished": "", **report}, "unfinished", str),
    )


def _read_clause(entry: dict[str, Any], cases: dict[str, list[CaseResult]]) -> ClauseResult:
    id, level, group, text, observed, source, linux = (
        _get({"linux": "", **entry}, name, str) for name in CLAUSE_FIELDS
    )
    clause = Clause(id, level, group, text, observed, source, linux)
    ids = dict.fromkeys(_list(entry, "cases", str))
    missing = [id for id in ids if id not in cases]
    if missing:
        case = printable(missing[0], 200)
        raise InvalidReport(f"clause {printable(clause.id, 200)} has the case {case}, which is not among the cases")
    own = [case for id in ids for case in cases[id] if clause.id in case.clauses]
    return ClauseResult(clause, _word(entry, "verdict", VERDICTS), _get(entry, "reason", str), tuple(own))


def _read_case(entry: dict[str, Any]) -> CaseResult:
    case = CaseResult(
        _get(entry, "id", str),
        tuple(_list(entry, "clauses", str)),
        _word(entry, "verdict", VERDICTS),
        _get(entry, "reason", str),
        _get(entry, "recorded", dict) if "recorded" in entry else {},
        _list(entry, "reproducer", str) if "reproducer" in entry else [],
        _read_evidence(_get(entry, "evidence", dict)) if "evidence" in entry else {},
    )
    if "cause" in entry:
        cause = _get(entry, "cause", dict)
        case.cause = {name: _get(cause, name, str) for name in ("call", "answer", *cause)}
    if "on record" in entry:
        case.expected = dict(_get(entry, "on record", dict))
        observed = _get(case.expected, "seen", dict)
        del case.expected["seen"]
        for name in ("file", "verdict", "reason", *(case.expected.keys() & {"link"})):
            _get(case.expected, name, str)
        _get(case.expected, "number", int)
        case.observed = _word(observed, "verdict", VERDICTS), _get(observed, "reason", str)
    return case


def _read_evidence(entry: dict[str, Any]) -> dict[str, Any]:
    if "expected" in entry:
        _get(entry, "seen", str)
    for name in entry.keys() & {"expected", "seen", "step", "answer", "output"}:
        _get(entry, name, str)
    for name in entry.keys() & {"allowed", "calls", "cited", "requests"}:
        _list(entry, name, str)
    for picture in _list(entry, "pictures", dict) if "pictures" in entry else ():
        _get(picture, "of", str), _get(picture, "text", str)
    program = _get(entry, "program", dict) if "program" in entry else {}
    for name in program.keys() & {"c", "python", "json", "lacks"}:
        _get(program, name, str)
    if "steps" in program:
        _list(program, "steps", str)
    return entry


def _get(entry: dict[str, Any], name: str, kind: type[T]) -> T:
    value = entry.get(name)
    if not isinstance(value, kind):
        raise InvalidReport(f"{name!r} is missing, or is not {KINDS[kind]}, in {json.dumps(entry)[:60]} …")
    if kind is str:
        return printable(value, TEXT, lines=True)  # type: ignore[return-value]
    return value


def _list(entry: dict[str, Any], name: str, kind: type[T]) -> list[T]:
    values = _get(entry, name, list)
    if not all(isinstance(value, kind) for value in values):
        raise InvalidReport(f"{name!r} is not a list, each of which is {KINDS[kind]}, in {json.dumps(entry)[:60]} …")
    return [printable(value, TEXT, lines=True) for value in values] if kind is str else values  # type: ignore[misc]


def _word(entry: dict[str, Any], name: str, words: Sequence[str]) -> str:
    value = _get(entry, name, str)
    if value not in words:
        raise InvalidReport(f"{name} {printable(value, 40)!r} is not one of {', '.join(words)}")
    return value


KINDS: Final = {str: "text", int: "a number", bool: "true or false", dict: "an object", list: "a list"}
