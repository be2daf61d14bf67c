"""Levels are closed: a case has clauses of one level, and uses only what this level has."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest
from level_scope import allowed_uses

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.plugin import required_calls


def test_clauses_of_a_case_are_of_one_level() -> None:
    mixed = [ids for _, ids in required_calls.cases() if len({load()[id].level for id in ids}) > 1]

    assert mixed == []


def test_case_uses_only_what_its_level_has(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case of the levels documented and posix, but those that draw their calls."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    backend = ["--mmap-backend=python:level_scope:WatchedBackend", "--mmap-level=posix"]
    result = pytester.runpytest_subprocess(
        "-p", "level_scope", "-q", "-m", "not mmap_random and not mmap_tour", *backend
    )
    assert result.ret == 0

    beyond: dict[tuple[str, str], set[str]] = defaultdict(set)
    lines = (pytester.path / "uses.jsonl").read_text().splitlines()
    for id, clauses, properties, uses in map(json.loads, lines):
        level = load()[clauses[0]].level
        for use in set(uses) - allowed_uses(level, properties):
            beyond[level, use].add(id.partition("[")[0])
    assert len(lines) > 1000
    assert all(any(f'"{use}"' in line for line in lines) for use in ("si_code", "MAP_ANONYMOUS", "mlock", "munmap"))
    assert dict(beyond) == {}
