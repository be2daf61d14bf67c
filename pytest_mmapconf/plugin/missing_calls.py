"""A case that fails because a call is not implemented is unsupported; the cases of one clause say so, and fail.

A call that always answers ENOSYS would otherwise fail each clause that has a case with this call.
"""

from __future__ import annotations

import errno
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from ..catalogue.properties import PROPERTIES, call_property
from .failure_cause import chain
from .used_calls import calls_of

if TYPE_CHECKING:
    from .observed_properties import ObservedProperties


@cache
def call_properties(case: Any) -> tuple[str, ...]:
    """Return the names of the properties by which the calls of a case are implemented."""
    names = (call_property(call) for call in sorted(calls_of(case))) if callable(case) else ()
    return tuple(name for name in names if name in PROPERTIES)


def row_properties(item: pytest.Item) -> tuple[str, ...]:
    """Return the name of the property by which the call of a row of the tour is implemented; its id has the call."""
    if item.get_closest_marker("mmap_tour") is None:
        return ()
    from ..tour import array

    name = call_property(array.call_of(vars(item)["callspec"].params["row"]))
    return (name,) if name in PROPERTIES else ()


def missing_call(
    error: BaseException | None, names: tuple[str, ...], clauses: tuple[str, ...], properties: ObservedProperties
) -> str | None:
    """Return why a case that raised `error` cannot be judged: a call of it is not implemented; None if it can.

    `names` are the call's properties of the case, which have been observed before the case began.
    """
    if not any(map(_is_not_implemented, chain(error))):
        return None
    missing = [name for name in names if properties.observe(name).holds is False]
    # A case of several clauses would fail the others as well.
    return properties.unmet(missing, clauses if len(clauses) == 1 else ())


def _is_not_implemented(error: BaseException) -> bool:
    """Return True for ENOSYS, raised or as the result that differs from the reference's."""
    return getattr(error, "errno", None) == errno.ENOSYS or getattr(error, "observed", "") == "ENOSYS"
