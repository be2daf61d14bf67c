"""Files that a user names are regular files of limited size; others are usage errors, immediately."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_mmapconf.data_files import DataError, read_text

ENTRY = '[[expect]]\ncase = "munmap.range"\nverdict = "fail"\nreason = "no"\nprogram = "{program}"\n'


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ("--mmap-expectations", "/dev/zero"),
        ("--mmap-expectations", "pipe"),
        ("--mmap-expectations", "program-is-endless.toml"),
        ("--mmap-replay", "/dev/zero"),
        ("--mmap-replay", "pipe"),
        ("--mmap-report", "pipe.json"),
    ],
)
def test_a_pipe_or_a_device_is_a_usage_error(pytester: pytest.Pytester, option: str, path: str) -> None:
    Path("program-is-endless.toml").write_text(ENTRY.format(program="/dev/zero"))
    os.mkfifo("pipe")
    os.mkfifo("pipe.json")

    result = pytester.runpytest_subprocess("--mmap-backend=reference", f"{option}={path}", timeout=60)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{option}=*{path}*it is not a regular file*"])


def test_the_size_is_limited(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abcd")

    assert read_text(tmp_path / "file", 4) == "abcd"
    with pytest.raises(DataError, match="it has more than 3 bytes"):
        read_text(tmp_path / "file", 3)


def test_a_merge_reads_regular_files_only(pytester: pytest.Pytester) -> None:
    os.mkfifo("pipe.json")

    result = pytester.run(sys.executable, "-m", "pytest_mmapconf", "report", "-o", "o.json", "pipe.json", timeout=60)

    assert result.ret != 0
    result.stderr.fnmatch_lines(["*pipe.json: cannot be read: it is not a regular file*"])
