"""Measure the cost of a case: the time of the suite, relative to as many empty pytest tests with one fixture.

    python benchmarks/overhead.py [--rounds 5] [--backend reference --backend native]

Each round runs, one after the other, the deterministic cases, the tour, the random and crash cases, and as many empty
tests as there are deterministic cases (without this plugin), each in a pytest of its own, timed from the end of
collection to the end of the last test.  Times vary with the load of the machine, so only the ratio within a round is
compared; the output is the median round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RANDOM_OR_CRASH = "mmap_random or mmap_crash"
EMPTY_TESTS = """
import pytest

@pytest.fixture
def thing():
    return object()

@pytest.mark.parametrize("number", range({number}))
def test_empty(thing, number):
    assert thing is not None
"""


def time_pytest(folder: Path, *arguments: str) -> tuple[int, float]:
    """Run pytest in `folder`; return how many tests it ran and how many seconds they took."""
    result = folder / "stopwatch.json"
    result.unlink(missing_ok=True)
    environment = {**os.environ, "STOPWATCH": str(result), "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "stopwatch", "-p", "no:cacheprovider", *arguments]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if not result.exists():
        sys.exit(f"{' '.join(command)} ended before it wrote its result:\n{run.stdout}{run.stderr}")
    measured = json.loads(result.read_text())
    if measured["exit"] != 0:
        sys.exit(f"{' '.join(command)} failed, so its time is not valid:\n{run.stdout}{run.stderr}")
    return measured["tests"], measured["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", action="append", help="(repeatable; default: reference and native)")
    parser.add_argument("--level", default="documented")
    chosen = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for backend in chosen.backend or ["reference", "native"]:
            suite = (f"--mmap-backend={backend}", f"--mmap-level={chosen.level}")
            ratios, tours, random_ratios, rows = [], [], [], []
            for _ in range(chosen.rounds):
                number, cases = time_pytest(folder, *suite, "-m", f"not (mmap_tour or {RANDOM_OR_CRASH})")
                (folder / "test_empty.py").write_text(EMPTY_TESTS.format(number=number))
                _, empty = time_pytest(folder, "-p", "no:mmapconf", "test_empty.py")
                tour_number, tour = time_pytest(folder, *suite, "-m", "mmap_tour")
                random_number, random_seconds = time_pytest(folder, *suite, "-m", RANDOM_OR_CRASH)
                ratios.append(cases / empty)
                tours.append(tour / cases)
                random_ratios.append(random_seconds / cases)
                rows.append((cases, empty, tour, random_seconds))
            cases, empty, tour, random_seconds = (statistics.median(column) for column in zip(*rows, strict=True))
            print(
                f"{backend}: {number} deterministic cases {cases:.2f} s, as many empty tests {empty:.2f} s:"
                f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f});"
                f" {tour_number} rows of the tour {tour:.2f} s:"
                f" {statistics.median(tours):.2f} of the deterministic cases ({min(tours):.2f} to {max(tours):.2f});"
                f" {random_number} random and crash cases {random_seconds:.2f} s:"
                f" {statistics.median(random_ratios):.2f} of the deterministic cases"
                f" ({min(random_ratios):.2f} to {max(random_ratios):.2f})"
            )


if __name__ == "__main__":
    main()
