"""Runs for the tests of reports, built from verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.catalogue.verdicts import CaseResult, judge_all
from pytest_mmapconf.contract import Facts
from pytest_mmapconf.report.result import Run

RANGE = "munmap.range"
EINVAL = "munmap.errno.EINVAL"
FLUSH = "msync.flush"


def case(id: str, *clauses: str, verdict: str = "pass", reason: str = "", **more: Any) -> CaseResult:
    return CaseResult(id, clauses or (RANGE,), verdict, reason, **more)


def run(
    *cases: CaseResult, name: str = "mine", level: str = "documented", total_clauses: int | None = None, **more: Any
) -> Run:
    """Return a run of these cases; without `total_clauses`, the level has only the clauses of the cases."""
    judged = tuple(judge_all(load(), cases))
    details: Mapping[str, str] = more.pop("details", {})
    return Run(
        more.pop("suite", "0.1.0"),
        Facts(name, more.pop("version", ""), details),
        level,
        more.pop("date", "2026-11-26T17:00:00+00:00"),
        len(judged) if total_clauses is None else total_clauses,
        more.pop("narrowed", False),
        judged,
        tuple(sorted(cases, key=lambda case: case.id)),
        more.pop("shards", (1,)),
        more.pop("shard_count", 1),
    )


EVIDENCE: dict[str, Any] = {
    "expected": "EINVAL",
    "seen": "the call succeeded",
    "step": "process 1: munmap(0x1001, 4096)",
    "answer": "success",
    "allowed": ["EINVAL", "ENOMEM"],
    "cited": [EINVAL],
    "pictures": [
        {"of": "the implementation", "text": "0x1000-0x2000 rw-"},
        {"of": "the reference", "text": "0x1000-0x3000 r--"},
    ],
    "program": {
        "steps": ["r1 = p1.mmap(…)", "p1.munmap(r1 + 1, pages(1))"],
        "c": "int main(void)\n{\n}\n",
        "json": "{}",
    },
}
"""Evidence of a failing case, with a value for every name."""

MARKUP = "<script>alert(1)</script> \"' & | ` </pre> javascript:x \u202e \x1b[31m"
"""Text that an implementation may return as its name, or in messages."""
