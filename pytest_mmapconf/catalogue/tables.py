"""Names and patterns that a user or an author has written: did-you-mean advice, wildcards, tables with fixed keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Final

FEW: Final = 12
"""Number of names up to which all of them are listed."""


def did_you_mean(wrong: str, right: Iterable[str]) -> str:
    """Return "did you mean …?" with the names close to a wrong one, or that contain it.

    If there is none, return a list of all names, or for many names their number and the nearest ones.
    """
    right = list(right)
    close = get_close_matches(wrong, right, n=3, cutoff=0.5)
    close = close or ([name for name in right if wrong.lower() in name.lower()][:3] if len(wrong) > 2 else [])
    if close:
        return f"did you mean {' or '.join(close)}?"
    if len(right) <= FEW:
        return f"there are: {', '.join(right)}"
    nearest = get_close_matches(wrong, right, n=3, cutoff=0.0)
    return f"there are {len(right)}, the nearest {', '.join(nearest)}"


def matches(patterns: Iterable[str], name: str) -> bool:
    """Return True if the name matches one of the patterns, in which only `*` and `?` are special."""
    return any(_expression(pattern).fullmatch(name) for pattern in patterns)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern), re.DOTALL)


def table_error(table: Mapping[str, object], required: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the first error of a table: a required key missing or empty, an unknown key, a value that is no text.

    The value of "when" is a condition, which `conditions.parse` checks.
    """
    for name in required:
        if not table.get(name):
            return f"{name} is missing"
    for name, value in table.items():
        if name not in known:
            return f"{name} is not known; there are {', '.join(known)}"
        if name != "when" and not isinstance(value, str):
            return f"{name} is not text"
    return None
