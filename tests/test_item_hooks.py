"""The properties of each case in pytest's own JUnit report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

Judge = Callable[..., pytest.RunResult]


def properties(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the verdict and the clauses of each case by its id."""
    cases = {}
    for element in ElementTree.parse(path).iter("testcase"):
        listed = [(item.attrib["name"], item.attrib["value"]) for item in element.iter("property")]
        ids = [value for name, value in listed if name == "mmap.case"]
        verdicts = [value for name, value in listed if name == "mmap.verdict"]
        if ids or verdicts:
            (id,), (verdict,) = ids, verdicts
            cases[id] = verdict, [value for name, value in listed if name == "mmap.clause"]
    return cases


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_properties_name_cases_clauses_and_verdicts(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.makepyfile(
        mixed="""
        from subjects import *
        class Mixed(Bad):
            def pread(self, fd, length, offset):
                raise Unresolved("died") if offset else NotImplementedError("no pread")
        """
    )

    judge("", "--mmap-backend=python:mixed:Mixed", "--junitxml=junit.xml", *mode)

    assert properties(pytester.path / "junit.xml") == {
        "files.content": ("unsupported", ["file.content"]),
        "files.content_written": ("unresolved", ["file.content"]),
        "mapping.aligned": ("fail", ["map.address"]),
        "mapping.no_length[none]": ("fail", ["map.size"]),
        "mapping.no_length[read]": ("fail", ["map.size"]),
    }


def test_worst_phase_determines_the_verdict(judge: Judge, pytester: pytest.Pytester) -> None:
    judge("NotClosing", "--junitxml=junit.xml", "-k", "aligned or none")

    assert properties(pytester.path / "junit.xml") == {
        "mapping.aligned": ("unresolved", ["map.address"]),
        "mapping.no_length[none]": ("unresolved", ["map.size"]),
    }


def test_case_that_ran_out_of_time(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        slow="""
        import pytest, signal, time
        from subjects import *
        PLUGIN = {"__name__": "pytest_timeout", "pytest": pytest}
        exec("def timeout_sigalrm(*_): pytest.fail('Timeout (>1.0s) from pytest-timeout.')", PLUGIN)
        class Slow(Good):
            def mmap(self, *arguments):
                signal.signal(signal.SIGALRM, PLUGIN["timeout_sigalrm"])
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                time.sleep(60)
        """
    )
    judge("", "--mmap-backend=python:slow:Slow", "--junitxml=junit.xml", "-k", "aligned")

    assert properties(pytester.path / "junit.xml") == {"mapping.aligned": ("unresolved", ["map.address"])}


def test_case_whose_worker_died(judge: Judge, pytester: pytest.Pytester) -> None:
    result = judge("Crashes", "-n", "1", "--junitxml=junit.xml")

    result.assert_outcomes(passed=3, errors=2)
    assert properties(pytester.path / "junit.xml") == {
        "files.content": ("unresolved", ["file.content"]),
        "files.content_written": ("unresolved", ["file.content"]),
        "mapping.aligned": ("pass", ["map.address"]),
        "mapping.no_length[none]": ("pass", ["map.size"]),
        "mapping.no_length[read]": ("pass", ["map.size"]),
    }


def test_other_tests_have_no_properties(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_mine="def test_ordinary(): pass\ndef test_ours(process): pass")

    judge("Good", "--junitxml=junit.xml", "test_mine.py")

    assert properties(pytester.path / "junit.xml") == {"test_mine.ours": ("pass", [])}
    assert len(list(ElementTree.parse(pytester.path / "junit.xml").iter("testcase"))) == 2


ODD = """
from pytest_mmapconf.contract import SC_PAGESIZE, Backend, Fault, Process, System
from pytest_mmapconf.trace.calls import CALLS

class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

def answer(kind):
    if kind == "fault-of-another-type":
        raise Fault(11, None, "x")
    if kind == "exception-without-text":
        raise Unprintable
    if kind == "system-exit":
        raise SystemExit(0)
    if kind == "generator-exit":
        raise GeneratorExit
    return {"none": None, "zero": 0, "minus-one": -1, "text": "text"}[kind]

class OddProcess(Process):
    def sysconf(self, name):
        return 4096

for call in [*CALLS, "maps"]:
    if hasattr(Process, call) and call != "sysconf":
        setattr(OddProcess, call, lambda self, *arguments: answer(KIND))

class OddSystem(System):
    def spawn(self):
        return OddProcess()
    def close(self):
        pass

class Odd(Backend):
    def boot(self):
        return OddSystem()
"""
KINDS = (
    *("fault-of-another-type", "exception-without-text", "system-exit", "generator-exit"),
    *("none", "zero", "minus-one", "text"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backend_whose_every_call_is_odd_has_failing_cases_and_a_statement(
    pytester: pytest.Pytester, kind: str
) -> None:
    """No odd answer ends the run or keeps it from ending."""
    pytester.makepyfile(odd=f"KIND = {kind!r}\n{ODD}")

    arguments = "--mmap-backend=python:odd:Odd", "--mmap-clause=munmap.*", "-m", "not mmap_tour"
    result = pytester.runpytest_subprocess(*arguments, timeout=60)

    assert result.ret == 1
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    # An adapter that raises what no contract allows has judged nothing.
    broken = kind == "fault-of-another-type"
    statement = "the harness is broken: *" if broken else "partial run: *of level documented asked: *"
    result.stdout.fnmatch_lines([statement])
    assert " pass" not in result.outlines[-2]
