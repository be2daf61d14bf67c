"""Cases that are run without pytest's phases have the results and the output that they have with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

HOOK = """
def pytest_runtest_setup(item):
    with open("set-up.txt", "a") as file:
        print(item.nodeid, file=file)
"""

MARK = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items[0].add_marker(pytest.mark.xfail(strict=True, reason="on record"))
"""

INTERRUPT = """
import pytest
from pytest_mmapconf.plugin import quick_cases

count = 0

def interrupt(item):
    global count
    count += 1
    if count == 3:
        raise KeyboardInterrupt
    return real(item)

real, quick_cases.fast_values = quick_cases.fast_values, interrupt
"""

LOUD = """
import logging
from pytest_mmapconf.reference.backend import ReferenceBackend

class Loud(ReferenceBackend):
    def boot(self):
        print("a system is booted")
        logging.warning("a system is logged")
        return super().boot()
"""


CHOSEN = ("--mmap-clause=munmap.*", "-m", "not (mmap_random or mmap_crash)", "-k", "munmap")


def run(pytester: pytest.Pytester, backend: str, hooks: str, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """Run some cases; return those of the report, and the output without durations and addresses."""
    pytester.makepyfile(hooks=hooks)
    result = pytester.runpytest_subprocess(
        "-p", "hooks", f"--mmap-backend={backend}", "--mmap-level=linux", "--mmap-report=report.json", *arguments
    )
    cases: list[dict[str, Any]] = json.loads(Path("report.json").read_text())["cases"]
    return cases, re.sub(r"=+( .* )in \d.* =+|0x[0-9a-f]{10,}|^plugins: .*", r"\1", result.stdout.str())


@pytest.mark.parametrize(
    ("backend", "arguments"),
    [
        pytest.param("mutant:munmap-takes-the-next-page", CHOSEN, id="cases"),
        pytest.param("mutant:munmap-takes-the-next-page", (*CHOSEN, "-x"), id="stop"),
        pytest.param("mutant:munmap-takes-the-next-page", (*CHOSEN, "-n", "1", "-v"), id="worker"),
        pytest.param(
            "mutant:munmap-takes-the-next-page",
            ("--mmap-clause=munmap.hole", "-m", "mmap_tour", "-k", "munmap+hole"),
            id="tour",
        ),
        pytest.param(
            "mutant:munmap-takes-the-next-page", (*CHOSEN, "--mmap-lockstep", "--mmap-reproducers=shown"), id="lockstep"
        ),
    ],
)
def test_failures_are_those_of_the_usual_way(
    pytester: pytest.Pytester, backend: str, arguments: tuple[str, ...]
) -> None:
    quick, text = run(pytester, backend, "", *arguments)
    usual, text_as_usual = run(pytester, backend, HOOK, *arguments)

    assert {case["verdict"] for case in quick} >= {"pass", "fail"}
    assert quick == usual
    assert all(case["evidence"]["calls"] for case in quick if case["verdict"] == "fail")
    assert text == text_as_usual
    assert len(Path("set-up.txt").read_text().splitlines()) >= len(usual) or "-x" in arguments


def test_marks_are_evaluated(pytester: pytest.Pytester) -> None:
    cases, _ = run(pytester, "reference", MARK, "--mmap-clause=munmap.hole", "-m", "mmap_tour", "-k", "munmap+hole")

    assert [case["verdict"] for case in cases].count("fail") == 1
    assert len(cases) > 1


@pytest.mark.parametrize("marker", ["mmap_tour", "not (mmap_tour or mmap_random or mmap_crash)"])
def test_output_of_a_backend_in_python_is_captured(pytester: pytest.Pytester, marker: str) -> None:
    pytester.makepyfile(loud=LOUD)

    _, text = run(pytester, "python:loud:Loud", "", "--mmap-clause=munmap.hole", "-m", marker, "-k", "munmap")

    assert "passed" in text
    assert "booted" not in text
    assert "logged" not in text


def test_an_interrupt_ends_the_run(pytester: pytest.Pytester) -> None:
    cases, text = run(pytester, "reference", INTERRUPT, *CHOSEN)

    assert [case["verdict"] for case in cases].count("pass") == 2
    assert "KeyboardInterrupt" in text


GREETER = """
echo "mmapconf 1 system=Linux release=6 machine=x86_64 page=4096 bits=64 byteorder=little uid=0"
exec sleep 1000
"""


def test_an_experiment_that_fails_is_reported_by_each_case(pytester: pytest.Pytester) -> None:
    Path("greet.sh").write_text(GREETER)

    result = pytester.runpytest_subprocess(
        "--mmap-backend=agent:sh greet.sh", "--mmap-timeout=0.3", "--mmap-clause=munmap.errno.EINVAL"
    )

    assert result.ret == 1
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["*the harness is broken*"])
