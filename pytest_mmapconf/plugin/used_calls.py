"""The calls that a case uses, read from its compiled code and from that of the helpers and fixtures that it uses."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, Final

from ..smoke.contract_calls import CALLS, DERIVED_CALLS
from .used_functions import inner_test, used_functions, words

OPTIONAL: Final = DERIVED_CALLS | {"scratch_range", "maps"}
"""Calls that cases use only if the backend has them."""

AMBIGUOUS: Final = frozenset({"add"})
"""Calls with the name of a method of Python's own types; a case names such a call as text in a Call."""


@cache
def calls_of(case: Any) -> frozenset[str]:
    """Return the calls named by a case, by the functions of this package that it uses, and by its fixtures.

    An item that is no function, such as a program to replay, names none.
    """
    if not callable(case):
        return frozenset()
    calls = {"sysconf"} if "page" in inspect.signature(inner_test(case)).parameters else set()
    for _, function in used_functions(case):
        names, texts = words(function)
        calls |= names & (set(CALLS) - AMBIGUOUS)
        if "Call" in names:
            calls |= texts & set(CALLS)
    return frozenset(calls)
