"""Observe the properties of the system under test: each at most once a run, when the first case needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ..catalogue.properties import PROPERTIES
from ..contract import Backend

HOLDS: Final = "holds"
"""The text of a property that holds, in reports."""


class Observation(NamedTuple):
    """The result of an experiment."""

    holds: bool | None
    """None if the experiment could not be made."""
    reason: str = ""
    """Why it could not be made."""

    def __str__(self) -> str:
        if self.holds is None:
            return f"is not known: {self.reason}"
        return HOLDS if self.holds else "does not hold"


class ObservedProperties:
    """The observations of one run; with pytest-xdist, of one worker."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        """The backend under test, without wrappers."""
        self.observations: dict[str, Observation] = {}
        self._reported: set[str] = set()

    def observe(self, name: str) -> Observation:
        """Return whether the system has the property.  The first call boots a system and makes the experiment."""
        if name not in self.observations:
            self.observations[name] = _make_experiment(self.backend, name)
        return self.observations[name]

    def unmet(self, names: Iterable[str], clauses: Iterable[str]) -> str | None:
        """Return why a case that needs the properties cannot be judged; None if it can.

        A case that judges a clause that promises a property is judged whether the system has the property or not.
        """
        clauses = frozenset(clauses)
        for name in names:
            property = PROPERTIES[name]
            if not clauses.isdisjoint(property.clauses):
                continue
            observation = self.observe(name)
            if not observation.holds:
                why = (
                    f"could not be observed: {observation.reason}"
                    if observation.holds is None
                    else "does not hold on this system"
                )
                owner = f"; judged by {', '.join(property.clauses)}" if property.clauses else ""
                return f"needs {name} ({property.text.rstrip('.')}), which {why}{owner}"
        return None

    def news(self) -> dict[str, str]:
        """Return the observations since the last call, as texts by name."""
        new = {name: str(found) for name, found in self.observations.items() if name not in self._reported}
        self._reported.update(new)
        return new

    def clear(self) -> None:
        """Forget all observations: the backend now has another implementation."""
        self.observations.clear()
        self._reported.clear()


def _make_experiment(backend: Backend, name: str) -> Observation:
    """Make one experiment in a freshly booted system.  Passes on what the boot and the end of the system raise."""
    system = backend.boot()
    try:
        process = system.spawn()
        try:
            return Observation(PROPERTIES[name].observe(system, process))
        except Exception as error:  # whatever the reason, the property is not known
            return Observation(None, str(error).partition("\n")[0] or type(error).__name__)
    finally:
        system.close()
