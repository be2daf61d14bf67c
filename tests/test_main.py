"""`python -m pytest_mmapconf`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mmapconf import __main__
from pytest_mmapconf.catalogue import clauses as catalogue


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


@pytest.mark.parametrize("wrong", [[], ["no-such-command"], ["clauses", "--level", "posicks"]])
def test_wrong_command_lines(capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(wrong)

    assert caught.value.code == 2
    assert "usage: python -m pytest_mmapconf" in capsys.readouterr().err
