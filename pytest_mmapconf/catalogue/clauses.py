"""The clauses: the requirements that the suite judges, each with an id that never changes.

They are data, in `conformance/clauses.toml`; this module reads and validates that file.
A clause belongs to a level.  Levels are nested: the level "posix" includes every documented clause.
A clause that holds on some systems only (from a kernel version on, on a file system, with an observed property) has a
condition; on other systems it is unsupported.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from ..data_files import DataError, parse_toml
from ..text import PrintableError
from ..version import PACKAGE
from .conditions import Condition, ConditionError
from .conditions import parse as parse_condition
from .tables import table_error

LEVELS: Final = ("documented", "posix", "linux")
"""From the narrowest to the widest; each includes those before."""

REQUIRED: Final = ("id", "level", "text", "observed", "source")
OPTIONAL: Final = ("linux", "when")


class CatalogueError(PrintableError):
    """The catalogue is not valid; the message names the clause."""


@dataclass(frozen=True)
class Clause:
    """One requirement of the specification."""

    id: str
    """The name, such as "munmap.errno.EINVAL"; it never changes."""
    level: str
    """One of LEVELS."""
    group: str
    """The first part of the id."""
    text: str
    """The requirement, in words."""
    observed: str
    """A description of how a program observes whether the requirement is kept."""
    source: str
    """The document that states it: "chapter 06_02", "mmap(2)", "XSH mmap()" …"""
    linux: str = ""
    """The difference of Linux or POSIX from the chapter, if any."""
    when: Condition | None = None
    """The systems that it holds on; None for every system."""


def included(level: str) -> tuple[str, ...]:
    """Return the levels that `level` includes, `level` last."""
    return LEVELS[: LEVELS.index(level) + 1]


def parse(text: str) -> dict[str, Clause]:
    """Parse a catalogue; return its clauses by id, in order.  Raises CatalogueError."""
    try:
        document = parse_toml(text)
    except DataError as error:
        raise CatalogueError(str(error)) from None
    clauses: dict[str, Clause] = {}
    entries = document.get("clause", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CatalogueError("clause: only tables named [[clause]] are allowed")
    for number, entry in enumerate(entries, start=1):
        clause = _clause(entry, f"clause {number} ({entry.get('id', 'without id')})")
        if clause.id in clauses:
            raise CatalogueError(f"clause {number}: {clause.id} is there twice")
        clauses[clause.id] = clause
    return clauses


def _clause(entry: Mapping[str, object], where: str) -> Clause:
    error = table_error(entry, REQUIRED, REQUIRED + OPTIONAL)
    if error is not None:
        raise CatalogueError(f"{where}: {error}")
    fields = {name: str(value).strip() for name, value in entry.items() if name != "when"}
    if fields["level"] not in LEVELS:
        raise CatalogueError(f"{where}: level {fields['level']!r} is not one of {', '.join(LEVELS)}")
    try:
        when = parse_condition(entry["when"], with_properties=True) if "when" in entry else None
    except ConditionError as wrong:
        raise CatalogueError(f"{where}: when: {wrong}") from None
    return Clause(group=fields["id"].partition(".")[0], when=when, **fields)


@functools.cache
def load() -> Mapping[str, Clause]:
    """Return the suite's own clauses by id."""
    return parse((files(f"{PACKAGE}.conformance") / "clauses.toml").read_text(encoding="utf-8"))
