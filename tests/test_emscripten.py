"""agent.emscripten: the tiny agent as a program of Emscripten."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(
    not (shutil.which("emcc") and shutil.which("node")), reason="needs emcc and node (Debian: emscripten, nodejs)"
)

AGENT = (sys.executable, "-m", "pytest_mmapconf.agent.emscripten")


def test_requests_are_answered_and_each_boot_has_an_empty_directory() -> None:
    requests = (
        "0 boot", "0 spawn", "1 sysconf 30", "1 open f 66 384", "1 pwrite 3 616263 0", "1 mmap 0 3 1 2 3 0",
        "1 msync 0x10 3 4", "0 end", "0 boot", "0 spawn", "2 open f 2 0", "2 load 0xffff0000 1",
    )  # fmt: skip
    said = "".join(f"{request}\n" for request in requests)

    done = subprocess.run([*AGENT], input=said, capture_output=True, text=True, timeout=300, check=True)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("mmapconf 1 system=Emscripten release=")
    assert lines[1:6] == ["0 ok /mmapconf-memory", "0 ok 1", "1 ok 65536", "1 ok 3", "1 ok 3"]
    assert lines[6].startswith("1 ok ")
    assert lines[7].startswith("1 ")
    assert lines[8:] == ["0 ok", "0 ok /mmapconf-memory", "0 ok 2", "2 error ENOENT", "2 fault - - -"]


def test_it_waits_for_requests() -> None:
    """Emscripten's own stdin ends where nothing has arrived yet."""
    with subprocess.Popen([*AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdout.readline()
        time.sleep(0.5)
        agent.stdin.write(b"0 boot\n")
        assert agent.stdout.readline() == b"0 ok /mmapconf-memory\n"
        agent.stdin.close()
        assert agent.wait(30) == 0
