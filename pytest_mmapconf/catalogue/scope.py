"""Scopes: what an implementation promises, so that nothing else is asked of it and nothing else counts.

A scope is a TOML file::

    text = "The classic mmap lab: mappings of files"

    [promised]                       # each list is optional; without it everything is promised
    calls = ["mmap", "munmap", "load", "store", "open", "close", "pwrite", "pread"]
    clauses = ["mmap.*", "munmap.*"]

    [not-promised]                   # taken away from what is promised
    properties = ["coherent", "anonymous-memory"]
    cases = ["mmap_order.*"]

Clauses and cases are ids, calls are methods of `contract.Process` or `contract.System`, properties are those of
`properties`.  `*` and `?` are wildcards; brackets are literal.  A case is asked if it is promised, and so is everything
that it needs: each of its clauses, calls and properties.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..contract import Process, System
from ..data_files import DataError, parse_toml, read_text, ready_made
from ..text import PrintableError
from .clauses import load as load_clauses
from .properties import PROPERTIES
from .tables import did_you_mean, matches

KINDS: Final = ("clauses", "cases", "calls", "properties")
"""The keys of a scope's tables."""

TABLES: Final = ("promised", "not-promised")


class ScopeError(PrintableError):
    """A scope is not valid; the message names the file and the entry."""


@dataclass(frozen=True)
class Scope:
    """The promises of an implementation."""

    name: str
    """As the user named it: a file, or a scope that comes with the suite."""
    text: str
    """Its description, in one line."""
    promised: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind, the patterns of what is promised; everything of a kind that is missing."""
    not_promised: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind, the patterns of what is not."""
    source: str = ""
    """The text of the TOML file."""

    def promises(self, kind: str, name: str) -> bool:
        """Return True if a clause, case, call or property is promised; `kind` is one of KINDS."""
        is_listed = kind not in self.promised or matches(self.promised[kind], name)
        return is_listed and not matches(self.not_promised.get(kind, ()), name)

    def excludes(
        self, case: str, clauses: Iterable[str], calls: Iterable[str], properties: Iterable[str]
    ) -> str | None:
        """Return what is not promised of what a case is about and needs, as text; None if all of it is promised."""
        needed = {"cases": [case], "clauses": clauses, "calls": calls, "properties": properties}
        for kind, names in needed.items():
            for name in names:
                if not self.promises(kind, name):
                    return f"{KIND_NAMES[kind]} {name}"
        return None


KIND_NAMES: Final = {"clauses": "clause", "cases": "case", "calls": "call", "properties": "property"}


def load(name: str, folder: Path) -> Scope:
    """Return the scope of this name, or else of this file, relative to `folder`.  Raises ScopeError."""
    ready = ready_made(__package__, "scopes")
    if name in ready:
        return parse(ready[name], name)
    path = folder / name
    if not path.exists():
        raise ScopeError(f"{name}: there is no such file, and no scope of that name; {did_you_mean(name, ready)}")
    try:
        return parse(read_text(path), name)
    except DataError as error:
        raise ScopeError(f"{name}: {error}") from error


def parse(text: str, name: str) -> Scope:
    """Return the scope in the text of a TOML file; `name` is for messages.  Raises ScopeError."""
    try:
        document = parse_toml(text)
    except DataError as error:
        raise ScopeError(f"{name}: {error}") from error
    for key in document:
        if key not in ("text", *TABLES):
            raise ScopeError(f"{name}: {key} is not known; there are text, {', '.join(TABLES)}")
    about = document.get("text")
    if not isinstance(about, str) or not about.strip():
        raise ScopeError(f"{name}: text is missing: one line that says what the scope is about")
    promised, not_promised = (_table(document.get(table, {}), f"{name}: {table}") for table in TABLES)
    return Scope(name, " ".join(about.split()), promised, not_promised, text)


def _table(table: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ScopeError(f"{where}: is not a table")
    known = {"clauses": load_clauses(), "calls": call_names(), "properties": PROPERTIES}
    for kind, patterns in table.items():
        if kind not in KINDS:
            raise ScopeError(f"{where}: {kind} is not known; there are {', '.join(KINDS)}")
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ScopeError(f"{where}: {kind} is not a list of texts")
        if kind not in known:
            continue  # the ids of cases are known once they are collected
        for pattern in patterns:
            if not any(matches([pattern], name) for name in known[kind]):
                advice = did_you_mean(pattern, known[kind])
                raise ScopeError(f"{where}: no {KIND_NAMES[kind]} matches {pattern!r}; {advice}")
    return {kind: tuple(patterns) for kind, patterns in table.items()}


def call_names() -> Collection[str]:
    """Return the names of all calls: methods of a process or of a system."""
    return {
        name
        for owner in (Process, System)
        for name, value in vars(owner).items()
        if callable(value) and not name.startswith("_")
    }
