"""Deviations on record: what an implementation is known not to do, so that a run is red for what is new.

A file of expectations is TOML, a table for each::

    [[expect]]
    case = "munmap.range[whole]"        # or: clause = "munmap.range"
    verdict = "fail"                    # or: unresolved, unsupported, flaky
    reason = "munmap leaves the last page"
    link = "https://bugs.example/17"    # optional
    when = { kernel = "<6.17" }         # optional: `conditions`
    program = "random.json"             # optional: what to replay in place of a random case, beside this file

In an id `*` and `?` are wild; brackets are themselves.  What is said of a case goes before what is said of its clause,
and of two that say the same sort of thing the later counts.  An entry whose condition does not hold is not looked at.

All but flaky is strict.  A case on record that passes fails the run; so does a clause on record of which every case was
asked and none has come to what the entry says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..catalogue.conditions import Condition, ConditionError
from ..catalogue.conditions import parse as parse_condition
from ..catalogue.verdicts import FAIL, FLAKY, UNRESOLVED, UNSUPPORTED

if TYPE_CHECKING:
    from ..contract import Facts
    from ..trace.program import Program

EXPECTED_VERDICTS: Final = (FAIL, UNRESOLVED, UNSUPPORTED, FLAKY)
NAMES: Final = ("case", "clause", "verdict", "reason", "link", "when", "program")


class ExpectationError(ValueError):
    """A file of expectations that cannot be understood, and where."""


@dataclass(frozen=True)
class Entry:
    """One deviation on record."""

    file: str
    """Where it stands, as the user calls the file."""
    number: int
    """Which of the file it is, from 1."""
    kind: str
    """What it is about: "case" or "clause"."""
    id: str
    """The id of that, or a pattern."""
    verdict: str
    """One of EXPECTED_VERDICTS."""
    reason: str
    link: str = ""
    when: Condition | None = None
    program: Program | None = None
    """What is replayed in the place of a random case."""

    def __str__(self) -> str:
        return f"{self.file}, entry {self.number}"

    @property
    def summary(self) -> str:
        """Why, in one line."""
        return f"{self.reason} ({self.link})" if self.link else self.reason

    @property
    def wild(self) -> bool:
        """Whether its id is a pattern."""
        return "*" in self.id or "?" in self.id

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.id).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)

    def matches(self, id: str) -> bool:
        """Whether it is about the case, or the clause, of this id."""
        return self.id == id or (self.wild and self._pattern.fullmatch(id) is not None)

    @property
    def as_data(self) -> dict[str, Any]:
        """What a report says of it, as plain data."""
        told = {"file": self.file, "number": self.number, "verdict": self.verdict, "reason": self.reason}
        return {**told, "link": self.link} if self.link else told


def holding(entries: Iterable[Entry], facts: Facts | None) -> tuple[Entry, ...]:
    """The entries that are about an implementation that tells these facts, or about any where it tells none."""
    return tuple(
        entry for entry in entries if entry.when is None or (facts is not None and entry.when.unmet(facts) is None)
    )


def choose(entries: Sequence[Entry], case: str, clauses: Iterable[str]) -> Entry | None:
    """The entry that counts for a case, of those that hold."""
    clauses = list(clauses)
    for kind, ids in (("case", [case]), ("clause", clauses)):
        for entry in reversed(entries):
            if entry.kind == kind and any(map(entry.matches, ids)):
                return entry
    return None


# --------------------------------------------------------------------------------------------------------- the files


def read(file: str, folder: Path) -> list[dict[str, Any]]:
    """The tables of a file, as plain data, with the text of their programs; `folder` is where relative names start.

    Raises ExpectationError.
    """
    path = folder / file
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExpectationError(f"{file}: not TOML: {error}") from None
    except OSError as error:
        raise ExpectationError(f"{file}: cannot be read: {error.strerror}") from None
    others = [name for name in tables if name != "expect"]
    expect = tables.get("expect", [])
    if others or not isinstance(expect, list) or not all(isinstance(table, dict) for table in expect):
        raise ExpectationError(f"{file}: {others[0] if others else 'expect'}: there are only tables called [[expect]]")
    found = []
    for number, table in enumerate(expect, 1):
        told: dict[str, Any] = {**table, "file": file, "number": number}
        if isinstance(name := table.get("program"), str):
            try:
                told["program"] = (path.parent / name).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ExpectationError(f"{file}, entry {number}: program: {name} cannot be read: {error}") from None
        found.append(told)
    return found


def parse(tables: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """The entries that `read` has found.  Raises ExpectationError."""
    return tuple(map(_entry, tables))


def _entry(table: Mapping[str, Any]) -> Entry:
    told = {name: value for name, value in table.items() if name not in ("file", "number")}
    where = f"{table['file']}, entry {table['number']}"
    kinds = [kind for kind in ("case", "clause") if kind in told]
    if len(kinds) != 1:
        raise ExpectationError(f"{where}: must have either case or clause, the id that it is about")
    kind = kinds[0]
    where += f" ({told[kind]})"
    for name in ("verdict", "reason"):
        if not told.get(name):
            raise ExpectationError(f"{where}: {name} is missing")
    for name, value in told.items():
        if name not in NAMES:
            raise ExpectationError(f"{where}: {name} is not known; there are {', '.join(NAMES)}")
        if name != "when" and not isinstance(value, str):
            raise ExpectationError(f"{where}: {name} is not text")
    if told["verdict"] not in EXPECTED_VERDICTS:
        raise ExpectationError(f"{where}: verdict {told['verdict']!r} is not one of {', '.join(EXPECTED_VERDICTS)}")
    try:
        when = parse_condition(told["when"]) if "when" in told else None
    except ConditionError as error:
        raise ExpectationError(f"{where}: when: {error}") from None
    if "program" in told and kind == "clause":
        raise ExpectationError(f"{where}: program is for a case, and this is about a clause")
    program = _program(told["program"], where) if "program" in told else None
    reason = " ".join(told["reason"].split())
    return Entry(
        table["file"], table["number"], kind, told[kind], told["verdict"], reason, told.get("link", ""), when, program
    )


def _program(text: str, where: str) -> Program:
    from ..trace.program import ProgramError, from_json

    try:
        return from_json(text)
    except ProgramError as error:
        raise ExpectationError(f"{where}: program: {error}") from None
