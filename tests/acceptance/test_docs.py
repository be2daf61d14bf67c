"""Every command that README.md and docs/ show is run, from the wheel, and does what the page says.

A page is a session: its `sh` blocks are run from top to bottom in one scratch directory that contains the page's files.
A comment directly above a block adds to this:

    <!-- file: NAME -->       the block is the content of this file, which exists before the first command
    <!-- command: NAME -->    .ci/run takes this command from the README and runs it itself
    <!-- elsewhere: PATH -->  the commands take too long for a test; this file contains each of the lines, and runs them
    <!-- exits: STATUS -->    the command exits with this status and not with 0
    <!-- needs: PROGRAM … --> the block is left out, and the test skipped by name, if a program (or `root`) is missing
    <!-- prints -->           the command above prints these lines, in any order; … matches any text

The tour and random cases, many of one kind, are left out, but for a block that chooses with `-m` itself, and for

    <!-- whole -->            whose output is about every case, or shows a random one

Without them a run is partial; its statement about all clauses is the one of the page in other words.

What this machine cannot have (a board that ssh reaches) is replaced by a stand-in: a program of that name, first on
PATH.  There is no other exception: a block in another shell language, or one that the parser does not see, fails.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished import WITHOUT_TOUR

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")])
LANGUAGES = {"", "sh", "python", "c", "yaml", "toml", "json", "html", "text"}
MARKS = {"file", "command", "elsewhere", "exits", "needs", "prints", "whole"}

STATEMENT = r"conforms to level (\w+): (.*)"
PARTIAL = r"partial run: of all \\d+ clauses of level \1 some cases asked, others not: \2"
"""The statement of a run, escaped for a pattern, and that of the same run without the tour and random cases."""

FENCED = re.compile(r"(?P<marks>(?:^<!-- [^\n]* -->\n)*)^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S)
MARK = re.compile(r"<!-- ([a-z]+)(?:: (.*?))? -->")

STAND_INS = {
    "python": 'exec "$PYTHON" "$@"',
    "python3": 'exec "$PYTHON" "$@"',
    "pytest": 'exec "$PYTHON" -m pytest -p no:cacheprovider "$@"',
    "pip": '[ "$1" = install ] || exit 1',  # the wheel is on the path already
    "ssh": 'while [ "${1#-}" != "$1" ]; do shift; done; shift; cd "$BOARD" && exec sh -c "$*"',  # the board is a folder
    "qemu-system-x86_64": 'cd "$BOARD" && exec ./mmap_agent',
    "socat": 'cd "$BOARD" && exec ./mmap_agent',
    "git": '[ "$1" = clone ] && mkdir pytest-mmapconf && cd "$PROJECT" && '
    'cp -r benchmarks conformance reference pytest_mmapconf tests pyproject.toml "$OLDPWD/pytest-mmapconf"',
    "sudo": 'exec "$@"',
    "scp": 'for to; do :; done; [ "$to" = board: ] || exit 1; while [ $# -gt 1 ]; do cp "$1" "$BOARD"; shift; done',
}
"""Programs in `sh` that replace other machines, and programs that the environment of the tests does not have."""


@dataclass(frozen=True)
class Block:
    """A fenced block and the comments above it."""

    line: int
    language: str
    text: str
    marks: dict[str, str]


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["text"],
            {mark: value or "" for mark, value in MARK.findall(found["marks"])},
        )
        for found in FENCED.finditer(text)
    ]


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    """Provide the wheel, and the stand-ins first on PATH."""
    programs, board = tmp_path / "stand-ins", tmp_path / "board"
    board.mkdir()
    programs.mkdir()
    for name, script in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MMAPCONF_"))}
    return {
        **outside,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(installed),
        "BOARD": str(board),
        "PROJECT": str(PROJECT),
    }


def is_run_here(block: Block) -> bool:
    return block.language == "sh" and not block.marks.keys() & {"command", "elsewhere", "file"}


def is_here(what: str) -> bool:
    return os.getuid() == 0 if what == "root" else shutil.which(what) is not None


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run_here, blocks(page)))], ids=name)
def test_the_commands_of(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    left_out: list[str] = []
    output: str | None = ""
    """Output of the block that was run last; None if it was left out."""
    is_whole = False
    """True if that block ran all cases."""
    for block in blocks(page):
        if "file" in block.marks:
            (folder / block.marks["file"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.marks["file"]).write_text(block.text)
    folder.mkdir(exist_ok=True)

    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if "prints" in block.marks and output is not None:
            for line in filter(None, map(str.strip, block.text.splitlines())):
                pattern = ".*".join(map(re.escape, re.split("…|\\.{3}", line)))
                if not is_whole:
                    pattern = re.sub(rf"^{STATEMENT}", PARTIAL, pattern.replace("\\ ", " "))
                assert re.search(pattern, output), f"{where}: {line!r} is not in\n{output}"
        if not is_run_here(block):
            continue
        missing = [name for name in block.marks.get("needs", "").split() if not is_here(name)]
        if missing:
            left_out.append(f"{where} needs {' and '.join(missing)}")
            output = None
            continue
        is_whole = "whole" in block.marks
        done = subprocess.run(
            ["sh", "-e", "-c", block.text],
            cwd=folder,
            env=environment | ({} if is_whole else {"PYTEST_ADDOPTS": '-m "not mmap_tour and not mmap_random"'}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        output = done.stdout
        assert done.returncode == int(block.marks.get("exits", 0)), f"{where}:\n{block.text}\n{output}"
    if left_out:
        pytest.skip("the rest was run; left out: " + "; ".join(left_out))


def github(recipe: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the commands of a workflow's jobs in order, once for each value of a matrix of one dimension."""
    for job in recipe["jobs"].values():
        ((dimension, values),) = job.get("strategy", {}).get("matrix", {"": [""]}).items()
        for value in values:
            for step in job["steps"]:
                assert step.keys() & {"uses", "run"}
                command = step.get("run", "").replace(f"${{{{ matrix.{dimension} }}}}", str(value))
                assert "${{" not in command
                yield command, {"GITHUB_STEP_SUMMARY": "summary.md"}


def gitlab(recipe: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the commands of a pipeline's jobs in order, each once for each of its parallel runs."""
    before = recipe.pop("default")["before_script"]
    for job in recipe.values():
        total = job.get("parallel", 1)
        for index in range(1, total + 1):
            variables = {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(total)}
            yield from ((command, variables) for command in [*before, *job["script"]])


RECIPES = {".github/workflows/mmap.yml": github, ".gitlab-ci.yml": gitlab}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_for(recipe: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Run every job in one directory, which replaces the artifacts passed from job to job."""
    files = {block.marks["file"]: block.text for block in blocks(PROJECT / "docs/ci.md") if "file" in block.marks}
    assert {file for file in files if file.endswith(".yml")} == set(RECIPES)
    (tmp_path / "mine.py").write_text(files["mine.py"])

    for command, variables in RECIPES[recipe](yaml.safe_load(files[recipe])):
        done = subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=tmp_path,
            env=environment | variables | {"PYTEST_ADDOPTS": shlex.join(WITHOUT_TOUR)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    assert "clauses of level documented some cases asked" in (tmp_path / "mmap.md").read_text()
    assert (tmp_path / "mmap.html").stat().st_size > 10_000


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_has_its_treatment(page: Path) -> None:
    """Require that the test sees every block: its language, its comments, its place."""
    found = blocks(page)

    assert {block.language for block in found} <= LANGUAGES
    assert {mark for block in found for mark in block.marks} <= MARKS
    fences = len(re.findall(r"^\s*(?:```|~~~)", page.read_text(), re.MULTILINE))
    assert fences == 2 * len(found), "a fence that is indented or not closed"
    for block in found:
        if "command" in block.marks:
            assert page.name == "README.md"
            assert f"\nreadme {block.marks['command']}\n" in (PROJECT / ".ci/run").read_text()
        if "elsewhere" in block.marks:
            there = [line.strip() for line in (PROJECT / block.marks["elsewhere"]).read_text().splitlines()]
            assert set(block.text.splitlines()) <= {line.removeprefix(".venv/bin/") for line in there}
        if block.marks.keys() & {"exits", "needs"}:
            assert block.language == "sh"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_table_of_versions_has_every_combination() -> None:
    """And the oldest ones are the lower bounds of the package."""
    (combinations,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((PROJECT / "noxfile.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPATIBILITY"
    )
    table = (PROJECT / "docs" / "compatibility.md").read_text()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]

    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == combinations.keys()
    python, *pins = combinations["oldest"]
    assert project["requires-python"] == f">={python}"
    for pin, bound in zip(sorted(pins), sorted(project["dependencies"]), strict=True):
        assert pin.startswith(bound.replace(">=", "=="))
