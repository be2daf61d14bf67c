"""Cases of a function are run no more once calls of several of them did not return."""

from __future__ import annotations

import pytest

CASES = """
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

    result.assert_outcomes(failed=5, errors=2)  # the second case ends at once, so it does not count
    result.stdout.fnmatch_lines(["*not run: in 3 cases of this function a call did not return*"])
