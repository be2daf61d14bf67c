"""Make a case unsupported, before a system is booted for it, if it cannot be judged on the system under test.

That is so if the condition of one of its clauses is false, or if the system does not have a property that it needs.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from ..catalogue.clauses import load
from ..contract import Unsupported
from .item_hooks import as_skip
from .missing_calls import call_properties, missing_call, row_properties
from .needed_properties import needs_of_item
from .settings import Settings
from .stash import CASE

if TYPE_CHECKING:
    from ..catalogue.conditions import Condition


class ConditionHooks:
    """The hooks that decide whether a case can be judged."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.conditions: dict[pytest.Item, list[tuple[str, Condition]]] = {}
        """For each case that has clauses with a condition, the ids and conditions of these clauses."""
        self.calls: dict[pytest.Item, tuple[str, ...]] = {}
        """For each case, the properties that its calls are implemented."""
        self.needs: dict[pytest.Item, tuple[str, ...]] = {}
        """For each case that needs properties, their names."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if CASE not in item.stash:
                continue
            conditions = [(id, when) for id in item.stash[CASE].clauses if (when := load()[id].when)]
            if conditions:
                self.conditions[item] = conditions
            self.calls[item] = (*call_properties(getattr(item, "obj", None)), *row_properties(item))
            names = needs_of_item(item)
            if names:
                self.needs[item] = names

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        self.require(item)
        return (yield)

    def require(self, item: pytest.Item) -> None:
        """Raise Unsupported if a case cannot be judged on the system; observe the properties that it may ask for."""
        for id, when in self.conditions.get(item, ()):
            unmet = when.unmet(self.settings.facts, self.settings.properties.observe)
            if unmet is not None:
                raise Unsupported(f"{id} is {unmet}")
        if item in self.needs:
            unmet = self.settings.properties.unmet(self.needs[item], item.stash[CASE].clauses)
            if unmet is not None:
                raise Unsupported(unmet)
        for name in self.calls.get(item, ()):
            self.settings.properties.observe(name)  # now, as the case's own system will be the only one
        if "user_space_end" in getattr(item, "fixturenames", ()):
            self.settings.properties.end_of_user_space()  # for the same reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Make a case that meets a call which is not implemented unsupported."""
        if item not in self.calls or call.excinfo is None or call.when == "teardown":
            return
        unmet = missing_call(call.excinfo.value, self.calls[item], item.stash[CASE].clauses, self.settings.properties)
        if unmet is not None:
            call.excinfo = as_skip(Unsupported(unmet))
