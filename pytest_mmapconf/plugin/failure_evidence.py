"""What is seen of a failure, as plain data: `evidence` in `schema.json`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import pytest

from ..contract import Process
from ..differential.divergence import Divergence, as_data, shortened
from ..testing import ExpectationFailed

PICTURES: Final = 4
"""How many processes a failing case shows at most."""


def as_divergence(error: BaseException | None) -> Divergence | None:
    """Return the error if it is a difference from the reference, and None otherwise."""
    return error if isinstance(error, Divergence) else None


def failure_evidence(excinfo: pytest.ExceptionInfo[BaseException]) -> dict[str, Any]:
    """What a case that fails has seen."""
    divergence = as_divergence(excinfo.value)
    if divergence is not None:
        return as_data(divergence)
    evidence: dict[str, Any] = {}
    if isinstance(excinfo.value, ExpectationFailed):
        evidence = {"expected": excinfo.value.expected, "seen": excinfo.value.observed}
    pictures = [{"of": name, "text": text} for name, text in _pictures(excinfo)]
    return {**evidence, "pictures": pictures} if pictures else evidence


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
        yield name, shortened(picture)
