"""Tables with fixed keys, and suggestions for misspelt names."""

from __future__ import annotations

import pytest

from pytest_mmapconf.catalogue.tables import did_you_mean, table_error


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"id": "a"}, None),
        ({"id": "a", "when": {"kernel": ">=6"}}, None),
        ({}, "id is missing"),
        ({"id": ""}, "id is missing"),
        ({"id": "a", "note": "b"}, "note is not known; there are id, when"),
        ({"id": 1}, "id is not text"),
    ],
)
def test_first_error_of_a_table(table: dict[str, object], error: str | None) -> None:
    assert table_error(table, ("id",), ("id", "when")) == error


def test_close_names_are_suggested() -> None:
    assert did_you_mean("mnap", ["mmap", "msync"]) == "did you mean mmap?"
    assert did_you_mean("zzz", ["mmap", "msync"]) == "there are: mmap, msync"
    assert did_you_mean("zzz", [f"mmap{number}" for number in range(20)]).startswith("there are 20, the nearest mmap")
    assert did_you_mean("seal", ["mmap", "memfd.sealing.write"]) == "did you mean memfd.sealing.write?"
