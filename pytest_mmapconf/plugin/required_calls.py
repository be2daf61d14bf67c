"""Find the calls that each case needs, and so the clauses that an implementation with some of the calls supports.

The calls are read from the compiled cases and from the helpers and fixtures that they use.  The result is an upper
bound: what a case needs beyond calls (privileges, facilities, a second process) is known only when it runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..catalogue.clauses import included, load
from ..version import PACKAGE
from .collection import clause_sets, is_left_out
from .used_calls import OPTIONAL, calls_of


def possible(level: str, has: Collection[str]) -> tuple[int, int, Counter[str]]:
    """Return the number of clauses of a level that these calls support, the number of all, and the missing calls."""
    levels = included(level)
    clauses = {id for id, clause in load().items() if clause.level in levels}
    missing_calls: dict[str, frozenset[str]] = {}
    """By clause, the missing calls of the case that lacks the fewest."""
    for needed, ids in cases():
        lacking = needed - set(has)
        if all(id in clauses for id in ids):
            for id in ids:
                if id not in missing_calls or len(lacking) < len(missing_calls[id]):
                    missing_calls[id] = lacking
    missing = Counter(call for lacking in missing_calls.values() for call in lacking)
    return sum(not lacking for lacking in missing_calls.values()), len(clauses), missing


@cache
def cases() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    """Return the calls and the clauses of each case; a parameter with clauses of its own makes a separate case."""
    return tuple(variant for module in _modules() for function in _tests(module) for variant in _variants(function))


def _modules() -> Iterator[ModuleType]:
    """Yield the modules of cases; not the tour, whose rows are about clauses that other cases judge too."""
    package = f"{PACKAGE}.conformance"
    folder = Path(str(import_module(package).__file__)).parent
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_") and not is_left_out(path.read_text(encoding="utf-8"), "not mmap_tour"):
            yield import_module(f"{package}.{path.stem}")


def _tests(module: ModuleType) -> Iterator[Any]:
    """Yield the cases of a module."""
    for name, value in vars(module).items():
        if name.startswith("test_") and callable(value):
            yield value


def _variants(function: Any) -> Iterator[tuple[frozenset[str], tuple[str, ...]]]:
    needed = frozenset(calls_of(function)) - OPTIONAL or frozenset({"mmap"})  # a case that draws its calls names none
    for ids in sorted(clause_sets(function)):
        yield needed, ids
