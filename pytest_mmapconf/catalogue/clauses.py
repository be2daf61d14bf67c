"""The clauses: what the suite asks for, each with an id that never changes.

They are data, in `conformance/clauses.toml`; this module reads them, and refuses a file that is not as it should be.
A clause belongs to a level.  Levels are nested: who conforms to "posix" was also judged by every documented clause.
What holds on some systems only (from a kernel on, on a file system) has a condition; others cannot be asked.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from ..version import PACKAGE
from .conditions import Condition, ConditionError
from .conditions import parse as parse_condition

LEVELS: Final = ("documented", "posix", "linux")
"""From the narrowest to the widest; each includes those before."""

REQUIRED: Final = ("id", "level", "text", "observed", "source")
OPTIONAL: Final = ("linux", "when")


class CatalogueError(Exception):
    """The catalogue's text is not valid, and where."""


@dataclass(frozen=True)
class Clause:
    """One promise of the specification."""

    id: str
    """Its name, "munmap.errno.EINVAL": never changes."""
    level: str
    """One of LEVELS."""
    group: str
    """The first part of the id."""
    text: str
    """What it says."""
    observed: str
    """How a program can see whether it is kept."""
    source: str
    """Where it is written: "chapter 06_02", "mmap(2)", "XSH mmap()" …"""
    linux: str = ""
    """Where Linux or POSIX differ from the chapter."""
    when: Condition | None = None
    """Of whom it is asked; None for everybody."""


def included(level: str) -> tuple[str, ...]:
    """The levels that `level` includes, itself last."""
    return LEVELS[: LEVELS.index(level) + 1]


def parse(text: str) -> dict[str, Clause]:
    """The clauses of a catalogue's text by id, in its order.  Raises CatalogueError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"not TOML: {error}") from None
    clauses: dict[str, Clause] = {}
    for number, entry in enumerate(document.get("clause", []), start=1):
        clause = _clause(entry, f"clause {number} ({entry.get('id', 'without id')})")
        if clause.id in clauses:
            raise CatalogueError(f"clause {number}: {clause.id} is there twice")
        clauses[clause.id] = clause
    return clauses


def _clause(entry: Mapping[str, object], where: str) -> Clause:
    for name in REQUIRED:
        if not entry.get(name):
            raise CatalogueError(f"{where}: {name} is missing")
    for name, value in entry.items():
        if name not in REQUIRED + OPTIONAL:
            raise CatalogueError(f"{where}: {name} is not known; there are {', '.join(REQUIRED + OPTIONAL)}")
        if name != "when" and not isinstance(value, str):
            raise CatalogueError(f"{where}: {name} is not text")
    fields = {name: str(value).strip() for name, value in entry.items() if name != "when"}
    if fields["level"] not in LEVELS:
        raise CatalogueError(f"{where}: level {fields['level']!r} is not one of {', '.join(LEVELS)}")
    try:
        when = parse_condition(entry["when"]) if "when" in entry else None
    except ConditionError as error:
        raise CatalogueError(f"{where}: when: {error}") from None
    return Clause(group=fields["id"].partition(".")[0], when=when, **fields)


@functools.cache
def load() -> Mapping[str, Clause]:
    """The suite's own clauses by id."""
    return parse((files(f"{PACKAGE}.conformance") / "clauses.toml").read_text(encoding="utf-8"))
