"""The report is the same, except for the time, for every distribution over workers, Pythons, machines and shards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finished import Run

Suite = Callable[..., Run]

LINUX = ("--mmap-backend=reference", "--mmap-level=linux", "--hypothesis-seed=1", "-m", "not mmap_tour")
"""Without the tour, which is thousands of cases of one kind."""

WHOLE = (*LINUX, "--mmap-clause=m*map.*")
"""Cases of all kinds from many files; the random ones draw the same programs from the same seed."""

PART = (*LINUX, "--mmap-clause=munmap.*")
"""About a hundred of these cases, random ones too, for runs that differ only in how the cases are distributed."""


@pytest.fixture(scope="module")
def other_machine(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield HOST:PORT of an execnet server that replaces another machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("other machine")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "execnet.script.socketserver", place],
            cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while "Accept" not in (folder / "log").read_text():
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield place
        finally:
            server.kill()
            server.wait()


def without_date(run: Run) -> dict[str, Any]:
    """Return a report without its date."""
    return {name: value for name, value in run.report.items() if name != "date"}


@pytest.mark.parametrize(
    "spread",
    [
        ("-n", "0"),
        ("-n", "1"),
        ("-n", "2"),
        ("-n", "4"),
        ("-n", "2", "--dist=loadscope"),
        ("-n", "2", "--dist=loadfile"),
        ("-n", "2", "--dist=loadgroup"),
        ("-n", "2", "--dist=worksteal"),
        ("-n", "2", "--dist=each"),
        ("--dist=load", "--tx", f"2*popen//python={sys.executable}"),
        ("--dist=load", "--tx", "popen", "--tx", "socket=OTHER"),
        ("--dist=each", "--tx", "popen", "--tx", "socket=OTHER"),
    ],
    ids=" ".join,
)
def test_the_same_report(suite: Suite, suite_once: Suite, other_machine: str, spread: tuple[str, ...]) -> None:
    selection = WHOLE if spread == ("-n", "2") else PART
    alone = without_date(suite_once(*selection, "-p", "no:xdist"))

    run = suite(*selection, *(word.replace("OTHER", other_machine) for word in spread))

    if "--dist=each" in spread:
        one, two = run.report["runs"]
        for each in (one, two):
            del each["date"]
            assert each["backend"].pop("worker") in ("gw0", "gw1")
        assert one == alone
        assert two == alone
    else:
        assert without_date(run) == alone


@pytest.mark.parametrize("spread", [(), ("-n", "2")], ids=["alone", "n2"])
def test_shards_put_together(
    suite: Suite, suite_once: Suite, installed: Path, tmp_path: Path, spread: tuple[str, ...]
) -> None:
    alone = without_date(suite_once(*PART, "-p", "no:xdist"))
    parts = []
    for number in (1, 2, 3):
        run = suite(*PART, f"--mmap-shard={number}/3", *spread)
        parts.append(tmp_path / "empty" / f"{number}.json")
        (tmp_path / "empty" / "report.json").rename(parts[-1])
        assert run.report["statement"]["text"].startswith(f"shard {number} of 3")

    together = tmp_path / "together.json"
    command = [sys.executable, "-m", "pytest_mmapconf", "report", *map(str, parts), "-o", str(together)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(installed)})

    merged = Run(0, "", json.loads(together.read_text()))
    assert without_date(merged) == {**alone, "shards": {"parts": [1, 2, 3], "of": 3}}
