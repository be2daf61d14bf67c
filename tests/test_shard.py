"""Shards: each case is in exactly one, which does not change when cases are added."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_mmapconf.plugin.settings import Shard

Judge = Callable[..., pytest.RunResult]


def report(path: Path) -> dict[str, Any]:
    """Read a JSON report."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_name_is_in_one_part() -> None:
    names = [f"munmap.range[{number}]" for number in range(1000)]

    for of in (1, 2, 3, 7):
        parts = [[name for name in names if Shard(number, of).has(name)] for number in range(1, of + 1)]
        assert sorted(name for part in parts for name in part) == sorted(names)
        assert all(len(part) > 800 / of for part in parts)


def test_part_of_a_name_never_changes() -> None:
    names = ["munmap.range[whole]", "mremap.grow", "munmap.hole", "msync.errno_EINVAL[both]", "paging.größe"]

    assert [next(n for n in range(1, 5) if Shard(n, 4).has(name)) for name in names] == [1, 3, 2, 3, 3]


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_shards_together_have_all_cases(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.makepyfile("def test_one(): pass\ndef test_two(): pass\ndef test_three(): pass\n")
    ids = []
    passed = 0
    for number in (1, 2, 3):
        result = judge(
            "Good",
            "conformance",
            "test_shards_together_have_all_cases.py",
            f"--mmap-shard={number}/3",
            f"--mmap-report={number}.json",
            *mode,
        )
        document = report(pytester.path / f"{number}.json")
        ids += [case["id"] for case in document["cases"]]
        passed += result.parseoutcomes()["passed"]
        assert document["shards"] == {"parts": [number], "of": 3}
        assert document["statement"]["text"].startswith(f"shard {number} of 3: ")
        result.stdout.fnmatch_lines([f"shard {number} of 3: * clauses of level documented asked: *"])

    judge("Good", "--mmap-report=whole.json")
    whole = report(pytester.path / "whole.json")
    assert sorted(ids) == sorted(case["id"] for case in whole["cases"])
    assert passed == len(ids) + 3  # and the tests that are no cases
    assert whole["shards"] == {"parts": [1], "of": 1}


def test_shard_is_not_narrowed(judge: Judge, pytester: pytest.Pytester) -> None:
    judge("Good", "--mmap-shard=1/2", "--mmap-report=shard.json")
    judge("Good", "--mmap-shard=1/2", "-k", "content", "--mmap-report=less.json")

    assert report(pytester.path / "shard.json")["narrowed"] is False
    assert report(pytester.path / "less.json")["narrowed"] is True


@pytest.mark.parametrize("given", ["0/2", "3/2", "1", "1/", "/2", "1/0", "-1/2", "a/b", "1/2/3", "²/3"])
def test_invalid_shards(judge: Judge, given: str) -> None:
    result = judge("Good", f"--mmap-shard={given}")

    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*--mmap-shard={given}: must be I/N, the I-th of N parts, such as 1/4"])
