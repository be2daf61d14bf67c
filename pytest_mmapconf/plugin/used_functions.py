"""Find the functions that a case uses: itself, the helpers that it names, and theirs, from their compiled code.

The result is an upper bound: a function that is named need not be called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from ..version import PACKAGE
from . import fixtures


def inner_test(case: Any) -> Any:
    """Return the function of a case; of a case that hypothesis runs, the function that it wraps."""
    return getattr(getattr(case, "hypothesis", None), "inner_test", case)


def used_functions(case: Any) -> Iterator[tuple[Callable[..., object], FunctionType]]:
    """Yield each function of this package, or of the case's module, that a case uses, the case first.

    Each is given as it is named and without its wrappers.  The functions of the case's fixtures are among them; what a
    helper with optional calls uses is not.
    """
    case = inner_test(case)
    rest = [case, *(getattr(fixtures, f"make_{name}", None) for name in inspect.signature(case).parameters)]
    visited: set[object] = set()
    while rest:
        named = rest.pop()
        function = inspect.unwrap(named)
        if not isinstance(function, FunctionType) or function in visited:
            continue
        visited.add(function)
        yield named, function
        scope = function.__globals__
        is_own = scope is case.__globals__ or str(scope.get("__package__")).startswith(PACKAGE)
        values = [scope[name] for name in words(function)[0] if is_own and name in scope]
        rest += [value for value in values if callable(value)]
        # A parameter selects a function of a table; which one is unknown, so all of them count as used.
        rest += [entry for value in values if isinstance(value, dict) for entry in value.values() if callable(entry)]


def words(function: FunctionType) -> tuple[set[str], set[str]]:
    """Return the names and the string constants of a function; none of a helper with optional calls."""
    return (set(), set()) if hasattr(function, "has_optional_calls") else _words_of_code(function.__code__)


def _words_of_code(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the names and the string constants of compiled code, including those of the functions inside it."""
    names = set(code.co_names)
    texts = {text for text in code.co_consts if isinstance(text, str)}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more_names, more_texts = _words_of_code(inner)
            names |= more_names
            texts |= more_texts
    return names, texts
