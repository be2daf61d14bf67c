"""The files of benchmarks/equivalent name lines that the reference has."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
FILES = sorted((PROJECT / "benchmarks" / "equivalent").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_is_in_the_reference(path: Path) -> None:
    source = (PROJECT / "reference" / f"{path.stem}.py").read_text()
    lines = {line.strip() for line in source.splitlines()}

    for entry in tomllib.loads(path.read_text())["equivalent"]:
        assert set(entry["line"].splitlines()) <= lines, entry["line"]


def test_there_are_files() -> None:
    assert FILES
