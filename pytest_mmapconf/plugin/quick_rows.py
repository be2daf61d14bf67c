"""Rows of the tour without pytest's phases: for a row, these take as long as the reference takes to run it.

The set-up and the teardown of a row do nothing.  So its program is run before them.  If it passes, pytest gets the
reports that it would have had; if it does not, pytest runs the case as usual, and the case raises what has shown.

A row is run as usual also where something could notice the difference: hooks of the phases, fixtures or marks of the
user, options that show the phases, a clause whose condition does not hold, or a row that hung before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from ..contract import Unsupported
from ..version import PACKAGE
from .collection import CaseModule
from .stash import FAST_PARAMETERS, ROW_OUTCOME

if TYPE_CHECKING:
    from .condition_hooks import ConditionHooks
    from .hang_limit import HangLimit

PHASES: Final = ("pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown", "pytest_pyfunc_call")
"""The hooks that are not called for a row that passes."""

KNOWN: Final = ("_pytest.", "_hypothesis_pytestplugin", f"{PACKAGE}.")
"""The beginnings of the names of modules whose hooks of the phases do nothing for a row that passes."""

MARKS: Final = frozenset({"clause", "mmap_tour", "parametrize"})
"""The marks of a row; others, such as skip and xfail, are evaluated in the phases."""


class QuickRows:
    """Runs the rows of the tour."""

    def __init__(self, conditions: ConditionHooks, hang_limit: HangLimit) -> None:
        self.conditions = conditions
        self.hang_limit = hang_limit
        self.has_foreign_hooks: bool | None = None
        """True if another plugin has hooks of the phases; None before the first row."""

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not self.may_run(item, nextitem):
            return None
        from .tour import TourRunner  # imports the reference

        run = TourRunner(item)
        outcome = item.stash[ROW_OUTCOME] = run.judge(str(item.stash[FAST_PARAMETERS]["row"]))
        if outcome.difference is not None or outcome.error is not None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for call in (
            pytest.CallInfo.from_call(lambda: None, "setup"),
            pytest.CallInfo.from_call(lambda: run(outcome.id), "call"),
            pytest.CallInfo.from_call(lambda: None, "teardown"),
        ):
            report = item.ihook.pytest_runtest_makereport(item=item, call=call)
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def may_run(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Return True if an item is an installed row, and nothing can notice that it is run without its phases."""
        if (
            not isinstance(item.parent, CaseModule)
            or item.parent.path.stem != "tour"
            or FAST_PARAMETERS not in item.stash
        ):
            return False
        if nextitem is None or nextitem.parent is not item.parent:
            return False  # the teardown of the last case of a module is that of the module, too
        if self.has_foreign_hooks is None:
            self.has_foreign_hooks = has_foreign_hooks(item.config)
        if self.has_foreign_hooks or self.hang_limit.has_counted:
            return False
        if any(mark.name not in MARKS for mark in item.iter_markers()):
            return False
        try:
            self.conditions.require(item)
        except Unsupported:
            return False
        return True


def has_foreign_hooks(config: pytest.Config) -> bool:
    """Return True if a plugin that is not KNOWN, or a conftest file, has hooks of the phases."""
    hooks = [hook for name in PHASES for hook in getattr(config.hook, name).get_hookimpls()]
    return not all(hook.function.__module__.startswith(KNOWN) for hook in hooks)
