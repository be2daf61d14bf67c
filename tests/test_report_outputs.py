"""report.outputs: paths that are refused before a run, and errors of writing after it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mmapconf.report.outputs import OutputError, prepare, replace

Judge = Callable[..., pytest.RunResult]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("report.txt", "there is no report for the ending .txt; use .json"),
        ("report", "there is no report for no ending; use .json"),
        ("file/report.json", "cannot be written: its directory is a file"),
        ("folder.json", "cannot be written: it is not a regular file"),
        ("pipe.json", "cannot be written: it is not a regular file"),
        ("x" * 256 + ".json", "cannot be written: File name too long"),
    ],
)
def test_unwritable_path_is_an_error_before_the_run(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")

    with pytest.raises(OutputError) as error:
        prepare([tmp_path / name])

    assert str(error.value).startswith(f"--mmap-report={tmp_path / name}: {said}")


def test_directory_is_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "Report.JSON"

    prepare([path])

    assert list(path.parent.iterdir()) == []


def test_a_report_that_is_there_stays_whole_if_there_is_no_space(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    program = (
        "import resource, signal, sys; from pathlib import Path; from pytest_mmapconf.report.outputs import replace\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "replace(Path(sys.argv[1]), 'new')"
    )

    done = subprocess.run([sys.executable, "-B", "-c", program, str(path)], capture_output=True, text=True)

    assert "File too large" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_in_a_directory_that_is_not_writable_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_text("a longer old text")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    replace(path, "new")

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_usage_error_prevents_the_run(judge: Judge) -> None:
    result = judge("Good", "--mmap-report=v.json", "--mmap-report=v.txt")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*v.txt: there is no report for the ending .txt; use .json*"])
    assert not result.outlines


def test_report_that_cannot_be_written_after_the_run(judge: Judge, pytester: pytest.Pytester) -> None:
    """The verdicts are still printed, the other report is written, and the exit status is an error."""
    pytester.makepyfile(
        vanishing=f"""
        import shutil
        from subjects import *
        class Vanishing(Known):
            def facts(self):
                shutil.rmtree({os.fspath(pytester.path / "gone")!r})
                return super().facts()
        """
    )

    result = judge(
        "",
        "--mmap-backend=python:vanishing:Vanishing",
        "--mmap-report=gone/v.json",
        "--mmap-report=v.json",
    )

    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(
        [
            "--mmap-report=*gone/v.json: cannot be written: No such file or directory",
            "conforms to level documented: 3 pass",
        ]
    )
    assert "3 pass" in (pytester.path / "v.json").read_text()
