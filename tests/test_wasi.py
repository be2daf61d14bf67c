"""agent.wasi: the tiny agent as a WebAssembly program.  Continuous integration judges it too, as the recipe `wasi`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

AGENT = (sys.executable, "-m", "pytest_mmapconf.agent.wasi")


def test_requests_are_answered_and_each_boot_has_an_empty_directory(tmp_path: Path) -> None:
    """66 is O_RDWR and O_CREAT, of which the file of the first boot is made; the second boot does not have it."""
    requests = (
        "0 boot", "0 spawn", "1 sysconf 30", "1 open f 66 384", "1 pwrite 4 616263 0", "1 mmap 0 3 1 2 4 0", "0 end",
        "0 boot", "0 spawn", "1 load 0 1", "2 open f 2 0", "2 load 0xffff0000 1",
    )  # fmt: skip
    said = "".join(f"{request}\n" for request in requests)

    done = subprocess.run(
        [*AGENT, "--directory", str(tmp_path)], input=said, capture_output=True, text=True, timeout=300, check=True
    )

    lines = done.stdout.splitlines()
    assert lines[0].startswith("mmapconf 1 system=WASI")
    assert lines[1:6] == ["0 ok /", "0 ok 1", "1 ok 65536", "1 ok 4", "1 ok 3"]
    assert lines[6].startswith("1 ok ")
    assert lines[7:] == ["0 ok", "0 ok /", "0 ok 2", "1 bad no such process", "2 error ENOENT", "2 fault - - -"]
    assert os.listdir(tmp_path) == []


def test_a_second_process_is_unsupported(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AGENT, "--directory", str(tmp_path)], input="0 boot\n0 spawn\n0 spawn\n", capture_output=True, text=True
    )

    assert done.stdout.splitlines()[2:] == ["0 ok 1", "0 unsupported the system has one process"]
