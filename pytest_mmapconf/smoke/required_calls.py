"""Which calls the cases of a clause name, and so which clauses can be asked of an implementation that has some of them.

Read from the compiled cases and the helpers and fixtures that they use.  It says what can be asked at most: what a case
needs beyond calls (rights, facilities, a second process) is only known when it is run.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from ..catalogue.clauses import included, load
from ..contract import Process
from ..plugin import fixtures
from ..version import PACKAGE

CALLS: Final = tuple(
    name for name, member in vars(Process).items() if isinstance(member, FunctionType) and not name.startswith("_")
)
"""Every call of the contract."""

MADE_OF_OTHERS: Final = frozenset({"fragment", "audit"})
"""Calls that everybody has: `Process` makes them of others."""

OPTIONAL: Final = MADE_OF_OTHERS | {"scratch_range", "maps"}
"""Calls that cases do without where there are none."""

AMBIGUOUS: Final = frozenset({"add"})
"""Calls whose name is a method of Python's own types as well; where one is meant, it stands as text in a Call."""


def possible(level: str, has: Collection[str]) -> tuple[int, int, Counter[str]]:
    """(how many of a level's clauses can be asked of who has these calls, how many there are, what the others need)."""
    levels = included(level)
    clauses = {id for id, clause in load().items() if clause.level in levels}
    least: dict[str, frozenset[str]] = {}
    """By clause, what its case that lacks least lacks."""
    for needed, ids in cases():
        lacking = needed - set(has)
        if all(id in clauses for id in ids):
            for id in ids:
                if id not in least or len(lacking) < len(least[id]):
                    least[id] = lacking
    missing = Counter(call for lacking in least.values() for call in lacking)
    return sum(not lacking for lacking in least.values()), len(clauses), missing


@cache
def cases() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    """For each case, with its parameters that name clauses of their own apart: the calls, and the clauses."""
    return tuple(found for module in _modules() for function in _tests(module) for found in _variants(function))


def _modules() -> Iterator[ModuleType]:
    package = f"{PACKAGE}.conformance"
    folder = Path(str(import_module(package).__file__)).parent
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            yield import_module(f"{package}.{path.stem}")


def _tests(module: ModuleType) -> Iterator[Any]:
    return (value for name, value in vars(module).items() if name.startswith("test_") and callable(value))


def _variants(function: Any) -> Iterator[tuple[frozenset[str], tuple[str, ...]]]:
    needed = frozenset(calls_of(function)) - OPTIONAL or frozenset({"mmap"})  # what is drawn is named nowhere
    marks = list(getattr(function, "pytestmark", ()))
    own = [id for mark in marks if mark.name == "clause" for id in mark.args]
    variants: set[tuple[str, ...]] = {()}
    for mark in marks:
        if mark.name == "parametrize":
            sets = {_clauses(getattr(one, "marks", ())) for one in mark.args[1]}
            variants = {(*before, *more) for before in variants for more in sets}
    for more in sorted(variants):
        yield needed, tuple(dict.fromkeys([*own, *more]))


def _clauses(marks: Iterable[Any]) -> tuple[str, ...]:
    return tuple(id for mark in marks if getattr(mark, "mark", mark).name == "clause" for id in mark.args)


def calls_of(case: Any) -> set[str]:
    """The calls that a case names, or a function of this package that it uses, or a fixture of it."""
    case = getattr(getattr(case, "hypothesis", None), "inner_test", case)
    wanted = inspect.signature(case).parameters
    found = {"sysconf"} if "page" in wanted else set()
    rest = [case, *(getattr(fixtures, f"make_{name}", None) for name in wanted)]
    seen: set[object] = set()
    while rest:
        function = inspect.unwrap(rest.pop())
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        names, texts = _words(function.__code__)
        found |= names & (set(CALLS) - AMBIGUOUS)
        if "Call" in names:
            found |= texts & set(CALLS)
        scope = function.__globals__
        ours = scope is case.__globals__ or str(scope.get("__package__")).startswith(PACKAGE)
        values = [scope[name] for name in names if ours and name in scope]
        rest += [value for value in values if callable(value)]
        # Of a table of functions a parameter picks one; that it is not known which counts as needing them all.
        rest += [one for value in values if isinstance(value, dict) for one in value.values() if callable(one)]
    return found


def _words(code: CodeType) -> tuple[set[str], set[str]]:
    """The names that compiled code uses, and the texts in it; those of the functions inside it as well."""
    names = set(code.co_names)
    texts = {text for text in code.co_consts if isinstance(text, str)}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more_names, more_texts = _words(inner)
            names |= more_names
            texts |= more_texts
    return names, texts
