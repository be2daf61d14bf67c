"""What a copy of the suite costs the project that it is vendored in, in the project's own runs.

    python benchmarks/startup.py [--rounds 15]

A host project with 50 tests of its own is run again and again, each round once as it was (`alone`), once with the copy
in its folder (`copy there`), and once with the copy's plugin named as well (`plugin loaded`), each in a process of its
own, from its start to its end.  Other work on the machine only ever adds to a time, so processor time is measured, and
the least of each way is compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(25))
def test_own(number):
    pass
"""
CONFTEST = """
import pytest

@pytest.fixture(autouse=True)
def own():
    yield
"""


def seconds(folder: Path, *arguments: str) -> float:
    """How much processor time pytest takes in `folder`, as a whole."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:mmapconf", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or "50 passed" not in done.stdout:
        sys.exit(f"{' '.join(command)} failed, so its time means nothing:\n{done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds

    with tempfile.TemporaryDirectory() as name:
        alone, vendored = Path(name, "alone"), Path(name, "vendored")
        for host in (alone, vendored):
            (host / "tests").mkdir(parents=True)
            (host / "conftest.py").write_text(CONFTEST)
            for number in (1, 2):
                (host / f"tests/test_{number}.py").write_text(TESTS)
        vendor = [sys.executable, "-m", "pytest_mmapconf", "vendor", "third_party/mmconf"]
        subprocess.run(vendor, cwd=vendored, check=True, stdout=subprocess.DEVNULL)
        ways: dict[str, tuple[Path, tuple[str, ...]]] = {
            "alone": (alone, ()),
            "copy there": (vendored, ()),
            "plugin loaded": (vendored, ("-p", "third_party.mmconf.plugin")),
        }
        for folder, arguments in ways.values():  # so that every module is compiled
            seconds(folder, *arguments)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (folder, arguments) in ways.items():
                times[way].append(seconds(folder, *arguments))
    least = {way: min(of) for way, of in times.items()}
    print(f"alone: {least['alone'] * 1000:.0f} ms")
    for way in list(ways)[1:]:
        print(f"{way}: {(least[way] - least['alone']) * 1000:+.1f} ms, ratio {least[way] / least['alone']:.3f}")


if __name__ == "__main__":
    main()
