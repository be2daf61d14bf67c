"""`python -m pytest_mmapconf`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mmapconf import __main__
from pytest_mmapconf.catalogue import clauses as catalogue
from pytest_mmapconf.version import suite_version


def test_clauses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")

    assert __main__.main(["clauses", "--level", "posix"]) == 0

    listed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert listed == [[c.id, c.level] for c in catalogue.load().values() if c.level in ("documented", "posix")]


def test_clauses_that_match(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")

    assert __main__.main(["clauses", "munmap.r*"]) == 0

    clauses = [clause for clause in catalogue.load().values() if clause.id.startswith("munmap.r")]
    listed = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert listed == [[clause.id, clause.level, clause.text] for clause in clauses] != []


def test_no_clause_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["clauses", "munmap.rage"]) == 2

    assert "no clause matches; did you mean munmap.range" in capsys.readouterr().err


def test_a_reader_that_ends_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pytest_mmapconf", "clauses"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)

    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_path_of_the_source_of_the_agent(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["agent", "--source"]) == 0

    assert "int main(" in Path(capsys.readouterr().out.strip()).read_text()


def test_backends(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["backends"]) == 0

    assert {"native", "reference"} <= set(capsys.readouterr().out.splitlines())


def test_agent_prints_its_path(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mmapconf.agent.build.build_agent", lambda: Path("/cache/agent"))

    assert __main__.main(["agent"]) == 0

    assert capsys.readouterr().out == "/cache/agent\n"


def test_print_passes_all_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mmapconf.worked_example.main", lambda argv: 40 + len(argv))

    assert __main__.main(["print", "file", "--backend", "reference"]) == 43


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"pytest-mmapconf {suite_version()}\n"


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (["mutant"], "mutant: no such command; did you mean mutants"),
        (["clauses", "--level", "posicks"], "posicks: no such level; did you mean posix?"),
        (["mutants", "-n", "0"], "0: must be a whole number from 1 to 4096"),
        (["mutants", "-n", "two"], "two: must be a whole number from 1 to 4096"),
        (["mutants", "--programs", "-1"], "-1: must be a whole number from 0 to 1000000000"),
    ],
    ids=" ".join,
)
def test_wrong_command_lines_are_answered_with_advice(
    capsys: pytest.CaptureFixture[str], wrong: list[str], advice: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(wrong)

    assert caught.value.code == 2
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["mutants", "--json"], ["mutants", "--check", "--finds"], ["reach", "-o"]], ids=" ".join
)
def test_a_file_that_cannot_be_written_is_reported_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").touch()

    assert __main__.main([*command, str(tmp_path / "file" / "output")]) == 2

    out, err = capsys.readouterr()
    assert err.endswith("output: cannot be written: its directory is a file\n")
    assert out == ""


def test_the_script_is_named_in_its_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/me/.local/bin/mmapconf"])

    with pytest.raises(SystemExit):
        __main__.main(["--help"])

    assert "usage: mmapconf " in capsys.readouterr().out


@pytest.mark.parametrize(("line", "completed"), [("mmapconf mut", "mutants"), ("mmapconf mutants --pro", "--programs")])
def test_a_shell_completes(tmp_path: Path, line: str, completed: str) -> None:
    pytest.importorskip("argcomplete")
    output = tmp_path / "completions"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(output),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }

    script = "import sys; sys.argv[0] = 'mmapconf'; from pytest_mmapconf.__main__ import main; main()"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)

    assert completed in output.read_text().split("\013")[0]


@pytest.mark.parametrize("wrong", [[], ["no-such-command"], ["clauses", "--level", "posicks"]])
def test_wrong_command_lines(capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(wrong)

    assert caught.value.code == 2
    assert "usage: python -m pytest_mmapconf" in capsys.readouterr().err
