"""The evidence of a failure, as plain data: `evidence` in `schema.json`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import pytest

from ..contract import Died, Process
from ..differential.divergence import Divergence, as_data, last_words, shortened
from ..testing import ExpectationFailed

MAX_PROCESSES: Final = 4
"""The largest number of processes whose address spaces a failing case shows."""


def as_divergence(error: BaseException | None) -> Divergence | None:
    """Return the error if it is a difference from the reference, and None otherwise."""
    return error if isinstance(error, Divergence) else None


def failure_evidence(excinfo: pytest.ExceptionInfo[BaseException]) -> dict[str, Any]:
    """Return the evidence of a failed case: the difference, or the outcomes and the address spaces.

    Of a process or a system that has ended it is what it last wrote, and the last requests to it.
    """
    if isinstance(excinfo.value, Died):
        return {"seen": excinfo.value.text, **last_words(excinfo.value)}
    divergence = as_divergence(excinfo.value)
    if divergence is not None:
        return as_data(divergence)
    evidence: dict[str, Any] = {}
    if isinstance(excinfo.value, ExpectationFailed):
        evidence = {"expected": excinfo.value.expected, "seen": excinfo.value.observed}
    maps = [{"of": name, "text": text} for name, text in _address_spaces(excinfo)]
    return {**evidence, "pictures": maps} if maps else evidence


def _address_spaces(excinfo: pytest.ExceptionInfo[BaseException]) -> Iterator[tuple[str, str]]:
    """Yield the address spaces of the processes in local variables of the traceback, each with the variable's name."""
    processes: dict[int, tuple[str, Process]] = {}
    for entry in excinfo.traceback:
        for name, value in entry.frame.f_locals.items():
            for process in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(process, Process) and name != "self":
                    processes.setdefault(id(process), (name, process))
    for name, process in islice(processes.values(), MAX_PROCESSES):
        try:
            maps = process.maps()
        except (
            Exception,
            SystemExit,
            GeneratorExit,
        ):  # not reported, or the process has ended; the failure is reported
            continue
        if isinstance(maps, str):
            yield name, shortened(maps)
