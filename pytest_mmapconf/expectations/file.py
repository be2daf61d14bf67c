"""Deviations on record: failures that are known, so that a run fails for new ones only.

A file of expectations is TOML, with a table for each deviation::

    [[expect]]
    case = "munmap.range[whole]"        # or: clause = "munmap.range"
    verdict = "fail"                    # or: unresolved, unsupported, flaky
    reason = "munmap leaves the last page"
    link = "https://bugs.example/17"    # optional
    when = { kernel = "<6.17" }         # optional: `conditions`
    program = "random.json"             # optional: a program beside this file, replayed in place of a random case

In an id `*` and `?` are wildcards; brackets are literal.  An entry for a case takes precedence over one for its clause,
and of two for the same id the later one applies.  An entry whose condition is false is ignored.

Every verdict but flaky is strict.  A case on record that passes fails the run; so does a clause on record if each of
its cases ran and none had the verdict of the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..catalogue.conditions import Condition, ConditionError
from ..catalogue.conditions import parse as parse_condition
from ..catalogue.tables import matches, table_error
from ..catalogue.verdicts import FAIL, FLAKY, UNRESOLVED, UNSUPPORTED
from ..data_files import DataError, parse_toml, read_text
from ..text import PrintableError, printable

if TYPE_CHECKING:
    from ..contract import Facts
    from ..trace.program import Program

EXPECTED_VERDICTS: Final = (FAIL, UNRESOLVED, UNSUPPORTED, FLAKY)
KEYS: Final = ("case", "clause", "verdict", "reason", "link", "when", "program")


class ExpectationError(PrintableError):
    """A file of expectations is not valid; the message names the file and the entry."""


@dataclass(frozen=True)
class Entry:
    """One deviation on record."""

    file: str
    """The file that holds the entry, as the user named it."""
    number: int
    """The position in the file, from 1."""
    kind: str
    """The kind of `id`: "case" or "clause"."""
    id: str
    """The id of the case or clause, or a pattern."""
    verdict: str
    """One of EXPECTED_VERDICTS."""
    reason: str
    link: str = ""
    when: Condition | None = None
    program: Program | None = None
    """The program that is replayed in place of a random case."""

    def __str__(self) -> str:
        return f"{self.file}, entry {self.number}"

    @property
    def summary(self) -> str:
        """The reason, with the link if there is one."""
        return f"{self.reason} ({self.link})" if self.link else self.reason

    @property
    def wild(self) -> bool:
        """True if the id is a pattern."""
        return "*" in self.id or "?" in self.id

    def matches(self, id: str) -> bool:
        """Return True if the entry applies to the case, or the clause, of this id."""
        return self.id == id or (self.wild and matches([self.id], id))

    @property
    def as_data(self) -> dict[str, Any]:
        """The entry as plain data, for a report."""
        data = {"file": self.file, "number": self.number, "verdict": self.verdict, "reason": self.reason}
        return {**data, "link": self.link} if self.link else data


def holding(entries: Iterable[Entry], facts: Facts | None) -> tuple[Entry, ...]:
    """Return the entries whose condition holds for these facts; for None, those without a condition."""
    return tuple(
        entry for entry in entries if entry.when is None or (facts is not None and entry.when.unmet(facts) is None)
    )


def choose(entries: Sequence[Entry], case: str, clauses: Iterable[str]) -> Entry | None:
    """Return the entry that applies to a case with these clauses; `entries` are those whose condition holds."""
    clauses = list(clauses)
    for kind, ids in (("case", [case]), ("clause", clauses)):
        for entry in reversed(entries):
            if entry.kind == kind and any(map(entry.matches, ids)):
                return entry
    return None


# --------------------------------------------------------------------------------------------------------- the files


def read(file: str, folder: Path) -> list[dict[str, Any]]:
    """Return the tables of a file as plain data, with the text of their programs; names are relative to `folder`.

    Raises ExpectationError.
    """
    path = folder / file
    try:
        tables = parse_toml(read_text(path))
    except DataError as error:
        raise ExpectationError(f"{file}: {error}") from None
    others = [name for name in tables if name != "expect"]
    expect = tables.get("expect", [])
    if others or not isinstance(expect, list) or not all(isinstance(table, dict) for table in expect):
        name = printable(others[0], 80) if others else "expect"
        raise ExpectationError(f"{file}: {name}: only tables named [[expect]] are allowed")
    entries = []
    for number, table in enumerate(expect, 1):
        entry: dict[str, Any] = {**table, "file": file, "number": number}
        if isinstance(name := table.get("program"), str):
            try:
                entry["program"] = read_text(path.parent / name)
            except DataError as error:
                raise ExpectationError(f"{file}, entry {number}: program: {name} {error}") from None
        entries.append(entry)
    return entries


def parse(tables: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """Return the entries of tables returned by `read`.  Raises ExpectationError."""
    return tuple(map(_entry, tables))


def _entry(table: Mapping[str, Any]) -> Entry:
    """Return the entry of a table.  Raises ExpectationError."""
    values = {name: value for name, value in table.items() if name not in ("file", "number")}
    where = f"{table['file']}, entry {table['number']}"
    kinds = [kind for kind in ("case", "clause") if kind in values]
    if len(kinds) != 1:
        raise ExpectationError(f"{where}: must have either case or clause, with the id that it applies to")
    kind = kinds[0]
    where += f" ({printable(values[kind], 200)})"
    error = table_error(values, ("verdict", "reason"), KEYS)
    if error is not None:
        raise ExpectationError(f"{where}: {error}")
    if values["verdict"] not in EXPECTED_VERDICTS:
        raise ExpectationError(
            f"{where}: verdict {printable(values['verdict'], 40)!r} is not one of {', '.join(EXPECTED_VERDICTS)}"
        )
    try:
        when = parse_condition(values["when"]) if "when" in values else None
    except ConditionError as wrong:
        raise ExpectationError(f"{where}: when: {wrong}") from None
    if "program" in values and kind == "clause":
        raise ExpectationError(f"{where}: program is allowed for a case only, and this entry is for a clause")
    program = _program(values["program"], where) if "program" in values else None
    reason = printable(" ".join(values["reason"].split()))
    return Entry(
        file=table["file"],
        number=table["number"],
        kind=kind,
        id=values[kind],
        verdict=values["verdict"],
        reason=reason,
        link=printable(values.get("link", "")),
        when=when,
        program=program,
    )


def _program(text: str, where: str) -> Program:
    """Return the program of an entry; `where` names the entry in the error.  Raises ExpectationError."""
    from ..trace.program import ProgramError, from_json

    try:
        return from_json(text)
    except ProgramError as error:
        raise ExpectationError(f"{where}: program: {error}") from None
