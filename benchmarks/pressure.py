"""Run the suite on a system under pressure: no clause may fail, however slow the system is and whatever it writes back.

    python benchmarks/pressure.py --runs 100 --seed 1

Each run is a full one of its level on `native`, with a seed of its own, by turns in the directory for temporary files
and in /dev/shm.  Beside the runs stress-ng uses processors, memory and the disk, and calls sync again and again, so
that the pages of files are written back between any two calls.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PRESSURE: Final = ("--cpu", "1", "--vm", "1", "--vm-bytes", "25%", "--hdd", "1", "--hdd-bytes", "256M", "--iomix", "1")
"""Options of stress-ng for the pressure."""

NICE: Final = ("setpriv", "--pdeathsig", "TERM", "nice", "-n", "10")
"""The command that starts it with a low priority, so that the runs end; it ends with this program in any case."""


@contextmanager
def pressure(folder: str) -> Iterator[None]:
    """A block during which the system is under pressure."""
    with subprocess.Popen([*NICE, "stress-ng", "-q", "--temp-path", folder, *PRESSURE]) as stress:
        try:
            yield
        finally:
            stress.terminate()


def run(asked: argparse.Namespace, number: int, folder: str) -> bool:
    """Make one run, and print a line about it; return whether it passed."""
    seed = asked.seed + number
    directory = ["--mmap-dir=/dev/shm"] if number % 2 and Path("/dev/shm").is_dir() else []
    output = Path(folder, f"{seed}.txt")
    options = ["--mmap-backend=native", f"--mmap-level={asked.level}", f"--hypothesis-seed={seed}", *directory]
    options += [f"--mmap-clause={clause}" for clause in asked.clause]
    own = Path(folder, str(seed))
    own.mkdir()
    began = time.monotonic()
    with output.open("w") as stream:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        status = subprocess.run(command, cwd=own, stdout=stream, stderr=subprocess.STDOUT).returncode
    lines = output.read_text(errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    print(f"seed {seed}, {time.monotonic() - began:.0f} s, status {status}: {last}", flush=True)
    if status:
        print("\n".join(lines), flush=True)
    shutil.rmtree(own)
    return status == 0


def main() -> int:
    """Make the runs; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=4, help="runs at the same time")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each next run has the next one")
    parser.add_argument("--level", default="linux")
    parser.add_argument("--clause", action="append", default=[], help="only these clauses; repeatable")
    asked = parser.parse_args()
    if shutil.which("stress-ng") is None:
        print("stress-ng is not installed (Debian: apt-get install stress-ng)")
        return 2
    with tempfile.TemporaryDirectory() as folder, pressure(folder), ThreadPoolExecutor(asked.parallel) as pool:
        passed = list(pool.map(lambda number: run(asked, number, folder), range(asked.runs)))
    print(f"{sum(passed)} of {len(passed)} runs under pressure passed, seeds from {asked.seed}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
