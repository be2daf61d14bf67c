"""The fixture `tour`: run rows of the tour on the backend under test, compared with the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..differential.parameters import measure_parameters
from ..tour import array
from ..tour.run import axis_texts, reduced, run_row
from .stash import PROGRAM, SETTINGS

if TYPE_CHECKING:
    from ..contract import Backend
    from ..reference.machine import Parameters

MEASURED: pytest.StashKey[tuple[object, Parameters]] = pytest.StashKey()
"""Of the config: the system of which the parameters were measured last, and these."""


class TourRunner:
    """The value of the fixture `tour` in one case."""

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.settings = item.config.stash[SETTINGS]

    def parameters(self, backend: Backend) -> Parameters:
        """Return the parameters of the system under test, which are measured once."""
        stash = self.item.config.stash
        system = getattr(backend, "subject", backend)
        measured = stash.get(MEASURED, None)
        if measured is None or measured[0] is not system:
            measured = stash[MEASURED] = system, measure_parameters(backend)
        return measured[1]

    def __call__(self, id: str) -> None:
        """Run a row, and raise its difference with the program; Unsupported if the row cannot be judged."""
        __tracebackhide__ = True
        backend, level = self.settings.bare, self.settings.level
        difference = run_row(backend, self.parameters(backend), level, array.row(id))
        if difference is None:
            return
        if self.settings.reproducers:
            difference = reduced(backend, level, difference)
        self.item.stash[PROGRAM] = difference.program
        divergence = difference.divergence
        lines = [f"    {number:2}  {step}" for number, step in enumerate(difference.program, 1)]
        divergence.add_note("\n".join(["the row:", *axis_texts(array.row(id)), "the program:", *lines]))
        raise divergence from None
