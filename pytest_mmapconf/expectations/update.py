"""Update files of expectations from a run: add new deviations to the last file, remove those that no longer occur.

Comments, order and everything else are kept.  The result of a run is less certain than an entry that a person wrote, so
an entry with a pattern is never changed; the update reports where it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, CaseResult
from ..data_files import read_text
from .file import Entry

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


class File:
    """A file of expectations, open for changes."""

    def __init__(self, name: str, folder: Path) -> None:
        import tomlkit

        self.name = name
        self.path = folder / name
        text = read_text(self.path) if self.path.exists() else ""
        self.document: TOMLDocument = tomlkit.parse(text)
        self.removed: set[int] = set()
        """The positions of the entries to remove, from 0."""
        self.changed = False

    def tables(self) -> Any:
        """Return tomlkit's array of the entries, an empty one if there is none yet."""
        import tomlkit

        if "expect" not in self.document:
            if self.document.body:
                self.document.add(tomlkit.nl())
            self.document.append("expect", tomlkit.aot())
        return self.document["expect"]

    def add(self, case: CaseResult) -> str:
        """Add an entry for a case; return a line that reports it."""
        import tomlkit

        verdict, reason = case.observed
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
        """Write the program that shows the failure of a random case into the file's directory; return its file name."""
        from ..differential.reproducers import file_name

        name = name or f"{self.path.stem}.{file_name(case.id)}.json"
        (self.path.parent / name).write_text(case.program, "utf-8")
        return name

    def save(self) -> None:
        """Remove the entries of `removed`, and write the file if it has changed."""
        tables = self.tables() if self.removed else []
        for position in sorted(self.removed, reverse=True):
            self.remove(tables, position)
        if self.removed or self.changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.document.as_string().lstrip("\n"), "utf-8")

    def remove(self, tables: Any, position: int) -> None:
        """Remove an entry, but keep the comments after it.

        tomlkit attaches them to the entry before them; a reader takes them as comments on the next entry.
        """
        from tomlkit.items import Whitespace

        body = tables[position].value.body
        first = next((at for at in range(len(body), 0, -1) if body[at - 1][0] is not None), 0)
        comments = body[first:]
        del tables[position]
        if position:
            while comments and isinstance(comments[0][1], Whitespace):  # the previous entry ends with an empty line
                del comments[0]
            tables[position - 1].value.body.extend(comments)
        else:
            at = next(at for at, (key, _) in enumerate(self.document.body) if key is not None and key.key == "expect")
            self.document.body[at : at + (not len(tables))] = comments


def update(
    files: Sequence[str],
    folder: Path,
    entries: Sequence[Entry],
    cases: Iterable[CaseResult],
    passing: Iterable[tuple[str, Entry]],
) -> list[str]:
    """Update files of expectations from a run; return a line for each entry that changes, or that a person must change.

    `files` are names relative to `folder`, `entries` the entries in them, `passing` the clauses that pass although an
    entry applies, each with that entry.
    """
    opened = {name: File(name, folder) for name in files}
    by_position = {(entry.file, entry.number): entry for entry in entries}
    lines = []
    for case in sorted(cases, key=lambda case: case.id):
        verdict = case.observed[0]
        entry = by_position.get((case.expected.get("file", ""), case.expected.get("number", 0)))
        exact = entry is not None and entry.kind == "case" and not entry.wild
        if verdict in (FAIL, UNRESOLVED) and case.verdict not in (EXPECTED, FLAKY) and not exact:
            lines.append(opened[files[-1]].add(case))
        elif entry is not None and entry.verdict != FLAKY:
            lines += _update_entry(opened[entry.file], entry, case, exact)
    lines += [_remove_entry(opened[entry.file], entry, f"clause {clause}", not entry.wild) for clause, entry in passing]
    for file in opened.values():
        file.save()
    return lines


def _update_entry(file: File, entry: Entry, case: CaseResult, exact: bool) -> list[str]:
    """Remove the entry of a case that passes, or record the verdict of the case; return the lines that report it.

    `exact` is True if the entry is for this case alone.
    """
    verdict, reason = case.observed
    if verdict == PASS and case.verdict == FAIL:
        return [_remove_entry(file, entry, f"case {case.id}", exact)]
    if not exact or verdict not in (FAIL, UNRESOLVED) or case.verdict == EXPECTED:
        return []
    table = file.tables()[entry.number - 1]
    table["verdict"] = verdict
    file.changed = True
    if case.program:
        table["program"] = file.write_program(case, str(table.get("program", "")))
    return [f"{file.name}: changed case {case.id}: {entry.verdict} is now {verdict}: {reason}"]


def _remove_entry(file: File, entry: Entry, passing: str, exact: bool) -> str:
    """Remove an entry, unless it is a pattern; return a line that reports it.

    `passing` is the case or the clause that passes, in words.
    """
    if not exact:
        return f"{entry}: left unchanged: {passing} passes, but {entry.id!r} may match others"
    file.removed.add(entry.number - 1)
    kept = f"; its program {name} is kept" if (name := file.tables()[entry.number - 1].get("program")) else ""
    return f"{file.name}: removed {passing} ({entry.verdict}: {entry.summary}): it passes{kept}"
