"""Cases without the hooks of pytest's phases, which take longer than most cases on the reference.

A case of the suite that uses only the plugin's fixtures, on a backend of this package, does nothing that these hooks
are for: capturing output, logging, skipping by marks, and fixtures.  Its set-up, call and teardown are then called
directly, and pytest gets the reports that it would have had.

A case is run as usual where something could notice the difference: a backend whose code runs in this process, hooks of
the phases or marks of the user, options that show the phases, a clause whose condition does not hold, or an
implementation that hung or died before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..version import PACKAGE
from .collection import CaseModule
from .fixtures import fast_values
from .needed_properties import MARK
from .stash import FAST_PARAMETERS, SETTINGS

if TYPE_CHECKING:
    from .condition_hooks import ConditionHooks
    from .hang_limit import HangLimit

PHASES: Final = (
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_pyfunc_call",
)
"""The hooks that a quick case leaves out."""

KNOWN: Final = ("_pytest.", "_hypothesis_pytestplugin", f"{PACKAGE}.")
"""The beginnings of the names of modules whose hooks of the phases do nothing for a quick case."""

MARKS: Final = frozenset({"clause", "mmap_tour", "parametrize", MARK})
"""The marks of a quick case; others, such as skip and xfail, are evaluated in the phases."""


class QuickCases:
    """Runs the cases that need none of pytest's phases."""

    def __init__(self, conditions: ConditionHooks, hang_limit: HangLimit) -> None:
        self.conditions = conditions
        self.hang_limit = hang_limit
        self.has_foreign_hooks: bool | None = None
        """The value of `has_foreign_hooks`; None before the first case."""

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, pytest.Function) or not self.may_run(item, nextitem):
            return None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self.hang_limit.begin(item)
        values: dict[str, Any] = {}
        try:
            if run_phase(item, hook, "setup", lambda: values.update(fast_values(item))):
                arguments = {name: values[name] for name in item._fixtureinfo.argnames}
                self.hang_limit.begin_call()
                run_phase(item, hook, "call", lambda: item.obj(**arguments))
        except BaseException:  # KeyboardInterrupt or pytest.exit: the run ends
            if "system" in values:
                with suppress(Exception):
                    values["system"].close()
            raise
        run_phase(item, hook, "teardown", values["system"].close if "system" in values else lambda: None)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def may_run(self, item: pytest.Function, nextitem: pytest.Item | None) -> bool:
        """Return True if an item is a case of the suite, and nothing can notice that it is run without its phases."""
        if not isinstance(item.parent, CaseModule) or FAST_PARAMETERS not in item.stash:
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
        except Exception:  # unsupported, or an experiment has failed: the phases report it
            return False
        return True


def run_phase(item: pytest.Item, hook: Any, when: str, function: Callable[[], object]) -> bool:
    """Call the function of a phase and report the result by the item's hooks; return True if it raised nothing."""
    reraise: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
    if not item.config.getoption("usepdb", False):
        reraise += (KeyboardInterrupt,)
    call = pytest.CallInfo.from_call(function, when, reraise)  # type: ignore[arg-type]
    report = hook.pytest_runtest_makereport(item=item, call=call)
    hook.pytest_runtest_logreport(report=report)
    if call.excinfo is None:
        return True
    if not hasattr(report, "wasxfail") and not isinstance(call.excinfo.value, pytest.skip.Exception):
        hook.pytest_exception_interact(node=item, call=call, report=report)
    return False


def has_foreign_hooks(config: pytest.Config) -> bool:
    """Return True if code of the user could notice that the phases are left out.

    Such code is a backend in Python, which may print and log, and a hook of a plugin that is not KNOWN, or of a
    conftest file.
    """
    if config.stash[SETTINGS].has_user_code:
        return True
    hooks = [hook for name in PHASES for hook in getattr(config.hook, name).get_hookimpls()]
    return not all(hook.function.__module__.startswith(KNOWN) for hook in hooks)
