"""Cases of a function are run no more once calls of several of them did not return."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

CASES = """
import json
from pathlib import Path

import pytest
from pytest_mmapconf.testing import clause

@clause("munmap.range")
@pytest.mark.parametrize("number", range(6))
def test_hangs(process, number):
    process.munmap(number * 4096, 4096)

@clause("munmap.range")
def test_other(process):
    process.munmap(9 * 4096, 4096)
"""

SUBJECT = """
import time
from pytest_mmapconf.contract import Died, Process

class Hangs(Process):
    def sysconf(self, name):
        return 4096
    def mmap(self, *arguments):
        return 1 << 20
    def munmap(self, addr, length):
        if addr != 4096:
            time.sleep(0.6)
        raise Died("no answer to 'munmap' in 0.5 s")
"""


@pytest.mark.parametrize("lockstep", [[], ["--mmap-lockstep"]], ids=["plain", "lockstep"])
def test_after_three_hangs_the_other_cases_of_a_function_are_not_run(
    pytester: pytest.Pytester, lockstep: list[str]
) -> None:
    pytester.makepyfile(hangs=SUBJECT, test_mine=CASES)

    result = pytester.runpytest_subprocess(
        "--mmap-backend=python:hangs:Hangs", "--mmap-timeout=0.5", "test_mine.py", "-rE", *lockstep
    )

    result.assert_outcomes(failed=5, errors=2)  # the second case ends immediately, so it does not count
    result.stdout.fnmatch_lines(["*not run: in 3 cases of this function a call did not return*"])


MANY = """
import json
from pathlib import Path

import pytest
from pytest_mmapconf.testing import clause

@clause("munmap.range")
@pytest.mark.parametrize("number", range(12))
def test_{name}_{call}(process, number):
    process.{call}(4096, 4096)
"""

DYING = """
import os, sys, re
sys.stdout.write("mmapconf 1\\n"); sys.stdout.flush()
for line in sys.stdin:
    number, verb, *rest = line.split()
    answer = {{"boot": "ok /none", "spawn": "ok 1", "sysconf": "ok 4096"}}.get(verb, "ok")
    if verb == {dies!r}:
        os.kill(os.getpid(), 11)
    sys.stdout.write(f"{{number}} {{answer}}\\n"); sys.stdout.flush()
"""


@pytest.mark.parametrize(
    ("dies", "not_run", "reason"),
    [
        ("munmap", 8, "the last 8 cases that call munmap ended in it"),
        ("end", 16, "in the last 8 cases the implementation did not start, boot or end a system"),
    ],
)
def test_after_deaths_in_a_row_what_would_die_again_is_not_run(
    pytester: pytest.Pytester, dies: str, not_run: int, reason: str
) -> None:
    pytester.makepyfile(
        agent=DYING.format(dies=dies),
        test_a=MANY.format(name="a", call="munmap").replace("range(12)", "range(8)"),
        test_b=MANY.format(name="b", call="munmap").replace("range(12)", "range(8)"),
        test_c=MANY.format(name="c", call="mlock").replace("range(12)", "range(8)"),
    )

    result = pytester.runpytest_subprocess(
        "test_a.py",
        "test_b.py",
        "test_c.py",
        f"--mmap-backend=agent:{sys.executable} -S agent.py",
        "--mmap-level=linux",
        "--mmap-report=r.json",
        "--mmap-timeout=20",
    )

    assert result.ret == 1
    cases = json.loads(Path("r.json").read_text())["cases"]
    assert len(cases) == 24
    refused = [case["id"] for case in cases if case["reason"] == f"not run: {reason}"]
    assert len(refused) == not_run
    assert {case["verdict"] for case in cases if case["id"] in refused} == {"unresolved"}
    survivors = {case["id"].partition("[")[0] for case in cases if case["verdict"] == "pass"}
    assert survivors == ({"test_c.c_mlock"} if dies == "munmap" else set())
