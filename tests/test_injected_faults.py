"""One fault in one answer: the case that meets it is unresolved or fails, all others keep their verdicts.

The table of faults is in `faulty_agent.py`.  Each is put into the answer of a process, of the supervisor, and, as a
death of the process, into what the agent reports of it.  The tests run some;
`python tests/test_injected_faults.py` runs all at all places and lists those that no case has seen.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faulty_agent import FAULTS

from pytest_mmapconf.agent.build import build_agent

PLACES = {"a process": "munmap", "the supervisor": "boot", "the end of processes": "end", "a new process": "spawn"}
"""Where the fault is put: the verb whose second answer has it."""

SURE = ("dies of 11", "exits with 3", "hangs", "flood of lines", "other process", "half, then dies", "doubled", "panic")
"""Faults that no answer of a process, and no end of processes, can hide; the tests choose from these."""

HARMLESS = {
    ("carriage returns", "munmap"),
    ("carriage returns", "end"),
    ("zero", "munmap"),
}
"""Faults that leave an answer permitted: a console adds carriage returns, and 0 is what munmap returns."""

START_SECONDS = {"is late": 3}
"""The time limit of a boot and of a new process where a fault is to exceed it, but not a call's."""

CASES = """
import pytest
from pytest_mmapconf.testing import clause

@clause("munmap.range")
@pytest.mark.parametrize("number", range(5))
def test_unmap(process, page, number):
    base = process.mmap(0, page, 3, 0x22, -1, 0)
    process.store(base, b"x")
    assert process.munmap(base, page) is None
"""

SECONDS = 2
"""The time limit of a call in these runs."""


def judge(folder: Path, fault: str, place: str) -> tuple[int, list[str], str]:
    """Run five cases with a fault at a place; return the exit status, the verdicts, and the output."""
    folder.mkdir()
    (folder / "test_mine.py").write_text(CASES)
    script = Path(__file__).with_name("faulty_agent.py")
    agent = shlex.join([sys.executable, "-S", str(script), fault, PLACES[place], "2", str(build_agent())])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_mine.py"]
    options = [
        f"--mmap-backend=agent:{agent}",
        f"--mmap-timeout={SECONDS}",
        f"--mmap-start-timeout={START_SECONDS.get(fault, 20)}",
    ]
    run = subprocess.run(
        [*command, *options, "--mmap-report=r.json"], cwd=folder, capture_output=True, text=True, timeout=150
    )
    report = json.loads((folder / "r.json").read_text())
    return run.returncode, [case["verdict"] for case in report["cases"]], run.stdout + run.stderr


def complaint(folder: Path, fault: str, place: str) -> str:
    """Return what is wrong with the verdicts on a fault; empty for nothing."""
    try:
        status, verdicts, output = judge(folder, fault, place)
    except subprocess.TimeoutExpired:
        return f"{fault} of {place}: the run has not ended"
    wrong = [verdict for verdict in verdicts if verdict != "pass"]
    where = f"{fault} of {place}: status {status}, verdicts {verdicts}"
    if "INTERNALERROR" in output:
        return f"{where}: an error of the suite: {output[-2000:]}"
    if status == 0 or len(verdicts) != 5 or set(wrong) - {"fail", "unresolved"}:
        return f"{where}: {output[-2000:]}"
    return "" if len(wrong) <= 2 else f"{where}: more than the cases that met it: {output[-1500:]}"


@pytest.mark.parametrize("fault", SURE)
@pytest.mark.parametrize("place", ["a process", "the end of processes"])
def test_a_fault_is_seen_and_harms_no_other_case(tmp_path: Path, place: str, fault: str) -> None:
    assert not complaint(tmp_path / "run", fault, place)


def main() -> int:
    """Run every fault at every place; print what is wrong, and the counts."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = [(fault, place) for place in PLACES for fault in FAULTS if (fault, PLACES[place]) not in HARMLESS]
        work = [pool.submit(complaint, Path(name) / str(at), fault, place) for at, (fault, place) in enumerate(pairs)]
        found = [job.result() for job in work]
    print(*filter(None, found), sep="\n")
    print(f"{len(FAULTS)} faults at {len(PLACES)} places, {len(pairs)} runs: {sum(map(bool, found))} wrong")
    return int(any(found))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
