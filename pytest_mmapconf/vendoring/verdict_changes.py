"""Changes of another version of the suite that may affect verdicts: clauses and cases that are new, removed or changed.

Clauses are compared by their text.  A case is new or removed according to its id; it has changed if its code has, and
may have changed if the code shared by the cases of its module has.  Code is compared by its syntax tree, so comments,
docstrings and layout are ignored.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from ..catalogue.clauses import LEVELS
from ..data_files import parse_toml
from ..plugin import isolated_run

CLAUSES: Final = "conformance/clauses.toml"

CASE_TABLE: Final = "catalogue/mmap_matrix.py"
"""The table of cases that is in no module of cases, as the report reads it as well."""

Clauses = Mapping[str, Mapping[str, Any]]
"""The entries of a catalogue, possibly of another version, by id."""


def current_case_ids() -> list[str]:
    """Return the ids of this suite's cases of every level."""
    from ..plugin.stash import CASE

    class CaseIds:
        def __init__(self) -> None:
            self.ids: list[str] = []

        def pytest_collection_finish(self, session: pytest.Session) -> None:
            self.ids = sorted(item.stash[CASE].id for item in session.items)

    collected = CaseIds()
    arguments = ["--collect-only", "--mmap-backend=reference", f"--mmap-level={LEVELS[-1]}"]
    status, output = isolated_run.run(arguments, [collected])
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"the cases could not be collected:\n{output}")
    return collected.ids


def summary(
    folder: Path, sources: Mapping[str, Path], old_cases: Collection[str], new_cases: Collection[str]
) -> list[str]:
    """Return the differences between the copy in `folder` and the suite made of `sources`, as lines."""
    old_clauses, new_clauses = clauses(folder / CLAUSES), clauses(sources[CLAUSES])
    old_code = _code_of_cases({str(path.relative_to(folder)): path for path in folder.glob("*/*.py")})
    new_code = _code_of_cases(sources)
    lines = [
        *_section("clauses, new", [id for id in new_clauses if id not in old_clauses], _clause(new_clauses)),
        *_section("clauses, removed", [id for id in old_clauses if id not in new_clauses], _clause(old_clauses)),
        *_section(
            "clauses, changed",
            [id for id, entry in new_clauses.items() if old_clauses.get(id, entry) != entry],
            lambda id: _changed_clause(id, old_clauses[id], new_clauses[id]),
        ),
        *_section("cases, new", sorted(set(new_cases) - set(old_cases))),
        *_section("cases, removed", sorted(set(old_cases) - set(new_cases))),
        *_section("cases, changed in their code", sorted(_changed_cases(old_code, new_code))),
        *_section("shared code of cases, changed", sorted(_changed_shares(old_code, new_code))),
    ]
    return ["", "Changes that may affect verdicts:", *(lines or ["  nothing"])]


def _code_of_cases(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Return the code of the modules of cases and of their table, by module."""
    prefix = "conformance/"
    return {
        name.removeprefix(prefix).removesuffix(".py"): code(path)
        for name, path in files.items()
        if name == CASE_TABLE or (name.startswith(prefix) and name.endswith(".py"))
    }


def clauses(path: Path) -> Clauses:
    """Return the clauses in the file of a catalogue; none if it cannot be read."""
    try:
        entries = parse_toml(path.read_text("utf-8")).get("clause", [])
        return {str(entry.get("id")): entry for entry in entries}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def code(path: Path) -> dict[str, str]:
    """Return the code of a module's cases by function, and the rest under ""; nothing if the module is not Python."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    functions = {
        node.name: ast.dump(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    tree.body = [node for node in tree.body if getattr(node, "name", None) not in functions]
    return {**functions, "": ast.dump(tree)}


Code = Mapping[str, Mapping[str, str]]


def _changed_cases(old: Code, new: Code) -> Iterable[str]:
    for module, functions in new.items():
        for name, text in functions.items():
            if name and old.get(module, {}).get(name, text) != text:
                yield f"{module}.{name.removeprefix('test_')}"


def _changed_shares(old: Code, new: Code) -> Iterable[str]:
    for module, functions in new.items():
        if old.get(module, {}).get("", functions[""]) != functions[""]:
            yield module


def _section(title: str, ids: Collection[str], describe: Callable[[str], list[str]] = lambda id: [id]) -> list[str]:
    if not ids:
        return []
    return [f"{title}: {len(ids)}", *(f"  {line}" for id in ids for line in describe(id))]


def _clause(entries: Clauses) -> Callable[[str], list[str]]:
    return lambda id: [f"{id} ({entries[id].get('level')})", f"    {entries[id].get('text')}"]


def _changed_clause(id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    lines = [id]
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name, "-"), new.get(name, "-")
        if was != now:
            lines += [f"    {name}: {now}", f"    {'was':>{len(name)}}: {was}"]
    return lines
