"""What is seen of a failure, as plain data: `evidence` in `schema.json`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..contract import Process
from ..testing import ExpectationFailed
from ..version import PACKAGE

if TYPE_CHECKING:
    from ..differential.lockstep import Divergence

PICTURES: Final = 4
"""How many processes a failing case shows at most."""
LINES: Final = 60
"""How many lines of each."""

LOCKSTEP: Final = f"{PACKAGE}.differential.lockstep"


def as_divergence(error: BaseException | None) -> Divergence | None:
    """The error, if it is a difference that lockstep has found; asked without importing what few runs need."""
    lockstep = sys.modules.get(LOCKSTEP)
    return error if lockstep is not None and isinstance(error, lockstep.Divergence) else None


def failure_evidence(excinfo: pytest.ExceptionInfo[BaseException]) -> dict[str, Any]:
    """What a case that fails has seen."""
    divergence = as_divergence(excinfo.value)
    if divergence is not None:
        return of_difference(divergence)
    evidence: dict[str, Any] = {}
    if isinstance(excinfo.value, ExpectationFailed):
        evidence = {"expected": excinfo.value.expected, "seen": excinfo.value.seen}
    pictures = [{"of": name, "text": text} for name, text in _pictures(excinfo)]
    return {**evidence, "pictures": pictures} if pictures else evidence


def of_difference(divergence: Divergence) -> dict[str, Any]:
    """A difference from the reference."""
    pictures = zip(("the implementation", "the reference"), map(_shortened, divergence.pictures), strict=True)
    return {
        "step": divergence.step,
        "answer": divergence.seen,
        "allowed": list(divergence.allowed),
        "cited": list(divergence.clauses),
        "pictures": [{"of": of, "text": text} for of, text in pictures],
    }


def _pictures(excinfo: pytest.ExceptionInfo[BaseException]) -> Iterator[tuple[str, str]]:
    """The address spaces of the processes that the failing code had in its hands, by their names there."""
    found: dict[int, tuple[str, Process]] = {}
    for entry in excinfo.traceback:
        for name, value in entry.frame.f_locals.items():
            for process in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(process, Process) and name != "self":
                    found.setdefault(id(process), (name, process))
    for name, process in islice(found.values(), PICTURES):
        try:
            picture = process.maps()
        except Exception:  # no picture, or none any more: the failure is told all the same
            continue
        yield name, _shortened(picture)


def _shortened(picture: str) -> str:
    """A picture, not too long."""
    lines = picture.splitlines()
    if len(lines) > LINES:
        lines[LINES:] = [f"… and {len(lines) - LINES} lines more"]
    return "\n".join(lines)
