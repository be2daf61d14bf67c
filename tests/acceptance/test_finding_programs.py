"""docs/findings: each program exits with 0 on this kernel, and with another status on the system that it is about."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.recipes.recipe import processor_features

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "findings"
PROGRAMS = sorted(FOLDER.glob("*.c"))
TABLE = FOLDER.with_suffix(".md").read_text(encoding="utf-8")
KEYS = ["Promised", "Seen", "System", "Reported", "Needs", "Run"]


def comment(program: Path) -> dict[str, str]:
    """Return what the first comment of a program states by key; its title by ""."""
    text = program.read_text(encoding="utf-8").partition("*/")[0]
    entries = re.findall(r"^ \* (?:([A-Z][a-z]+): )?((?:.+)(?:\n \* (?![A-Z][a-z]+: ).+)*)", text, re.M)
    return {key: " ".join(value.replace("\n *", "").split()) for key, value in entries}


def is_here(need: str) -> bool:
    """Return whether this machine has a program, a module (module:NAME), a feature (cpu:NAME), or rights (root)."""
    if need == "root":
        return os.geteuid() == 0
    if need.startswith("cpu:"):
        return need.removeprefix("cpu:") in processor_features()
    module = need.removeprefix("module:")
    return shutil.which(need) is not None if module == need else importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_table_has_what_the_comment_states(program: Path) -> None:
    stated = comment(program)

    assert ["", *KEYS] == list(stated)
    (row,) = re.findall(rf"^\| \[(.*)\]\(findings/{re.escape(program.name)}\) \| (.*) \| `(.*)` \|$", TABLE, re.M)
    title, system, clause = row
    assert title == stated[""]
    assert re.search(rf"clauses? .*{re.escape(clause)}\b", stated["Promised"])
    assert clause in load()
    assert system.split()[-1] in stated["System"]


def test_the_table_has_no_other_row() -> None:
    assert TABLE.count("](findings/") == len(PROGRAMS)


@pytest.mark.skipif(sys.platform != "linux" or not is_here("gcc"), reason="needs Linux and gcc")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_on_this_kernel_the_promise_is_kept(program: Path, tmp_path: Path) -> None:
    if comment(program)["Needs"].endswith("root") and os.geteuid():
        pytest.skip("needs root")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", program, "-o", tmp_path / "finding"], check=True)

    ran = subprocess.run([tmp_path / "finding"], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_system_deviates(program: Path, tmp_path: Path) -> None:
    stated = comment(program)
    missing = [need for need in stated["Needs"].split() if not is_here(need)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    environment = {**os.environ, "SOURCE": str(program)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    compile, _, run = stated["Run"].partition(" && ")
    subprocess.run(["sh", "-c", compile], cwd=tmp_path, env=environment, check=True, timeout=300)

    ran = subprocess.run(
        ["sh", "-c", run], cwd=tmp_path, env=environment, capture_output=True, text=True, errors="replace", timeout=60
    )

    assert ran.returncode not in (0, 77), ran.stdout + ran.stderr
