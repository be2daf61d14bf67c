"""Files that a user has written: each error names the place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_mmapconf.data_files import MAX_DEPTH, DataError, parse_json, parse_toml, read_text

DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * DEEP + "]" * DEEP, f"line 1 column {MAX_DEPTH + 1}: lists or tables are nested too deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested more than 32 deep"),
        ('{"a": [1,\n' + "9" * 5000 + "]}", "line 2 column 1: a number has too many digits"),
        ('{"steps": [{"path": "\\ud800"}]}', r"steps\.0\.path: \\ud800 is half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ("{", "not JSON: .* line 1 column 2"),
    ],
)
def test_json_that_cannot_be_used_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * DEEP + "]" * DEEP, f"line 1 column {MAX_DEPTH + 5}: lists or tables are nested too deep"),
        (".".join("a" * DEEP) + " = 1", "line 1: a key has more than 32 parts"),
        ("a = 1\nb = " + "9" * 5000, "line 2 column 5: a number has too many digits"),
        ("a = ", "not TOML: Invalid value"),
    ],
)
def test_toml_that_cannot_be_used_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_toml(text)


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/zero"), tmp_path / "fifo", tmp_path):
        with pytest.raises(DataError, match="not a regular file"):
            read_text(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_text(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read: embedded null"):
        read_text(tmp_path / "a\0b")


def test_a_large_file_and_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="1,099,511,627,776 bytes"):
        read_text(path)
    path.write_bytes(b"a\nb\xff")
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_text(path)
