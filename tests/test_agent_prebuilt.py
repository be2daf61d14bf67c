"""Agents that were built before: used without a compiler, and only if every hash is right."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from pytest_mmapconf.agent import build, prebuilt
from pytest_mmapconf.agent.build import BuildError, build_agent

AGENT = b"#!/bin/sh\necho agent\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an agent for one machine; there is no compiler, and an empty cache."""
    folder = tmp_path / "prebuilt"
    folder.mkdir()
    (folder / "x86_64").write_bytes(AGENT)
    listed = {
        "source": sha256(build.SOURCE.read_bytes()).hexdigest(),
        "compiler": "a compiler",
        "agents": {"x86_64": sha256(AGENT).hexdigest()},
    }
    (folder / "agents.json").write_text(json.dumps(listed))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    original = prebuilt.agent_for
    monkeypatch.setattr(prebuilt, "agent_for", lambda machine, source: original(machine, source, folder))
    return folder


def test_it_is_used_without_a_compiler(folder: Path) -> None:
    first, second = build_agent(), build_agent()

    assert first == second
    assert first.read_bytes() == AGENT
    assert os.access(first, os.X_OK)


def test_a_cached_one_that_was_changed_is_written_again(folder: Path) -> None:
    build_agent().write_bytes(b"something else")

    assert build_agent().read_bytes() == AGENT


@pytest.mark.parametrize("machine", ["amd64", "AMD64", "x86_64"])
def test_other_names_of_the_machine(folder: Path, monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)

    assert build_agent().read_bytes() == AGENT


@pytest.mark.parametrize("wrong", ["agent", "source", "list", "no list", "machine"])
def test_one_that_cannot_be_trusted_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    listed = json.loads((folder / "agents.json").read_text())
    if wrong == "agent":
        (folder / "x86_64").write_bytes(AGENT + b"rm -rf /\n")
    elif wrong == "source":
        (folder / "agents.json").write_text(json.dumps({**listed, "source": sha256(b"older").hexdigest()}))
    elif wrong == "list":
        (folder / "agents.json").write_text("[")
    elif wrong == "no list":
        (folder / "agents.json").unlink()
    else:
        monkeypatch.setattr("platform.machine", lambda: "m68k")

    with pytest.raises(BuildError, match=r"there is no C compiler .* and the suite brings none for"):
        build_agent()
