"""Observe the properties of the system under test: each at most once a run, when the first case needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ..catalogue.experiments import end_of_user_space
from ..catalogue.properties import PROPERTIES
from ..contract import Backend, Unsupported

HOLDS: Final = "holds"
"""The text of a property that holds, in reports."""


class Observation(NamedTuple):
    """The result of an experiment."""

    holds: bool | None
    """None if the experiment could not be made."""
    reason: str = ""
    """The reason why it could not be made."""

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
        self._end: int | Unsupported | None = None

    def end_of_user_space(self) -> int:
        """Return the first address above user space.  Raises Unsupported if it cannot be found."""
        if self._end is None:
            self._end = _find_end(self.backend)
        if isinstance(self._end, Unsupported):
            raise self._end
        return self._end

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
        self._end = None
        self._reported.clear()


def _find_end(backend: Backend) -> int | Unsupported:
    """Return the first address above user space, or why it cannot be found.

    It is searched in a system of its own: a program that shows what a case found is without the many calls of this.
    """
    reported = backend.facts().details.get("end", "")
    system = backend.boot()
    try:
        return end_of_user_space(system.spawn(), int(reported) if reported.isdecimal() else 0)
    except Unsupported as reason:
        return reason
    except Exception as error:  # whatever the reason, the end is not known
        return Unsupported(f"the end of user space is not known: {str(error).partition(chr(10))[0]}")
    finally:
        system.close()


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
