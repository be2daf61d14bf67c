"""Writing expectations from a run: what is new goes into the last file, what is over comes out of the file it is in.

Comments, order and everything else stay as they are.  What came out of a run is not as certain as what a person has
written, so a pattern is never touched: what it gets wrong is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, CaseResult
from .file import Entry

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


class File:
    """A file of expectations that is being changed."""

    def __init__(self, name: str, folder: Path) -> None:
        import tomlkit

        self.name = name
        self.path = folder / name
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        self.document: TOMLDocument = tomlkit.parse(text)
        self.removed: set[int] = set()
        """Entries by their place."""
        self.changed = False

    def tables(self) -> Any:
        """The entries, as tomlkit has them."""
        import tomlkit

        if "expect" not in self.document:
            if self.document.body:
                self.document.add(tomlkit.nl())
            self.document.append("expect", tomlkit.aot())
        return self.document["expect"]

    def add(self, case: CaseResult) -> str:
        """Write an entry for a case; returns what was done."""
        import tomlkit

        verdict, reason = case.seen
        table = tomlkit.table()
        table["case"] = case.id
        table["verdict"] = verdict
        table["reason"] = " ".join(reason.split()) or verdict
        if case.program:
            table["program"] = self.write_program(case)
        tables = self.tables()
        if len(tables):
            tables[-1].add(tomlkit.nl())
        tables.append(table)
        self.changed = True
        return f"{self.name}: added case {case.id} ({verdict})"

    def write_program(self, case: CaseResult, name: str = "") -> str:
        """Write the program that shows the failure of a random case, beside the file; returns its name."""
        from ..differential.reproducers import file_name

        name = name or f"{self.path.stem}.{file_name(case.id)}.json"
        (self.path.parent / name).write_text(case.program, "utf-8")
        return name

    def save(self) -> None:
        """Take out what is over, and write the file."""
        tables = self.tables() if self.removed else []
        for place in sorted(self.removed, reverse=True):
            self.take_out(tables, place)
        if self.removed or self.changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.document.as_string().lstrip("\n"), "utf-8")

    def take_out(self, tables: Any, place: int) -> None:
        """Remove an entry, and not the comments behind it: to tomlkit they are of it, to a reader of the next."""
        from tomlkit.items import Whitespace

        body = tables[place].value.body
        first = next((at for at in range(len(body), 0, -1) if body[at - 1][0] is not None), 0)
        behind = body[first:]
        del tables[place]
        if place:
            while behind and isinstance(behind[0][1], Whitespace):  # the entry before ends with such a line
                del behind[0]
            tables[place - 1].value.body.extend(behind)
        else:
            at = next(at for at, (key, _) in enumerate(self.document.body) if key is not None and key.key == "expect")
            self.document.body[at : at + (not len(tables))] = behind


def update(
    files: Sequence[str],
    folder: Path,
    entries: Sequence[Entry],
    cases: Iterable[CaseResult],
    passing: Iterable[tuple[str, Entry]],
) -> list[str]:
    """Bring files of expectations in line with what came out; returns a line for each thing done or left.

    `entries` are those of the files, `passing` the clauses that pass although one is about them; relative names start
    in `folder`.
    """
    opened = {name: File(name, folder) for name in files}
    by_place = {(entry.file, entry.number): entry for entry in entries}
    told = []
    for case in sorted(cases, key=lambda case: case.id):
        seen = case.seen[0]
        entry = by_place.get((case.expected.get("file", ""), case.expected.get("number", 0)))
        exact = entry is not None and entry.kind == "case" and not entry.wild
        if seen in (FAIL, UNRESOLVED) and case.verdict not in (EXPECTED, FLAKY) and not exact:
            told.append(opened[files[-1]].add(case))
        elif entry is not None and entry.verdict != FLAKY:
            told += _revise(opened[entry.file], entry, case, exact)
    told += [_over(opened[entry.file], entry, f"clause {clause}", not entry.wild) for clause, entry in passing]
    for file in opened.values():
        file.save()
    return told


def _revise(file: File, entry: Entry, case: CaseResult, exact: bool) -> list[str]:
    """Bring an entry in line with what its case came to."""
    seen = case.seen[0]
    if seen == PASS and case.verdict == FAIL:
        return [_over(file, entry, f"case {case.id}", exact)]
    if not exact or seen not in (FAIL, UNRESOLVED) or case.verdict == EXPECTED:
        return []
    table = file.tables()[entry.number - 1]
    table["verdict"] = seen
    file.changed = True
    if case.program:
        table["program"] = file.write_program(case, str(table.get("program", "")))
    return [f"{file.name}: changed case {case.id}: {entry.verdict} is now {seen}: {case.seen[1]}"]


def _over(file: File, entry: Entry, what: str, exact: bool) -> str:
    """Take out an entry about something that passes, unless it is about other things too."""
    if not exact:
        return f"{entry}: left as it is: {what} passes, but {entry.id!r} may match others"
    file.removed.add(entry.number - 1)
    left = f"; its program {name} is left there" if (name := file.tables()[entry.number - 1].get("program")) else ""
    return f"{file.name}: removed {what} ({entry.verdict}: {entry.summary}): it passes{left}"
