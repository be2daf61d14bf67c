"""The properties of the system that a case needs: by its marks, and by the constants that its code names."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from ..catalogue.properties import PROPERTIES
from ..testing import needs
from .used_functions import used_functions, words

MARK = needs().name


def needs_of_item(item: pytest.Item) -> tuple[str, ...]:
    """Return the properties that a case needs by its own marks and by the helpers that it uses."""
    own = (name for mark in item.iter_markers(MARK) for name in mark.args)
    return tuple(dict.fromkeys([*own, *needs_of(getattr(item, "obj", None))]))


@cache
def needs_of(case: Any) -> tuple[str, ...]:
    """Return the properties that the functions need which a case uses, itself included: by marks, and by names."""
    if not callable(case):
        return ()
    found: list[str] = []
    for named, function in used_functions(case):
        marks = [*getattr(named, "pytestmark", ()), *getattr(function, "pytestmark", ())]
        found += (name for mark in marks if mark.name == MARK for name in mark.args)
        names, _ = words(function)
        found += (property.name for property in PROPERTIES.values() if not names.isdisjoint(property.names))
    return tuple(dict.fromkeys(found))
