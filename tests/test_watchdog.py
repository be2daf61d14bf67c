"""plugin.watchdog: the time for which a run is stopped counts for no limit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

SUBJECT = """
import time
from pytest_mmapconf.contract import Process

class Slow(Process):
    def sysconf(self, name):
        return 4096
    def munmap(self, addr, length):
        open("called", "w").close()
        time.sleep(0.6)
"""

CASE = """
from pytest_mmapconf.testing import clause

@clause("munmap.range")
def test_slow(process):
    process.munmap(4096, 4096)
"""


def test_a_run_that_is_stopped_and_continued(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(slow=SUBJECT, test_mine=CASE)
    options = ["-q", "-p", "no:cacheprovider", "--mmap-backend=python:slow:Slow", "--mmap-timeout=1"]
    command = [sys.executable, "-m", "pytest", *options, "test_mine.py"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    while not (pytester.path / "called").exists() and process.poll() is None:
        time.sleep(0.02)

    process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=60)

    assert "1 passed" in output
    assert process.returncode == 0
