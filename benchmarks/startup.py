"""Measure the cost of a vendored copy of the suite for the test runs of the host project.

    python benchmarks/startup.py [--rounds 30]

A host project with 50 tests of its own runs in rounds.  Each round has one run without a copy (`alone`), one with the
copy in the project's directory (`copy there`), and runs with the copy's plugin loaded as well, by the conftest file
(`pytest_plugins`) or with `-p`.  For `-p`, pytest searches every installed distribution, so a run with an empty plugin
(`-p empty`) is the baseline.  One process makes all the runs and unloads the modules of host and copy after each; a run
is therefore short, and other work on the machine disturbs few of them.  As a disturbance only adds to a time, the
minima are compared, in processor time.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest

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
OF_A_RUN = ("conftest", "test_", "third_party", "empty")


def seconds(folder: Path, *arguments: str) -> float:
    """Run pytest in `folder` and return the processor time, in seconds."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    output = io.StringIO()
    command = ["-q", "-p", "no:mmapconf", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", *arguments]
    began = time.process_time()
    with redirect_stdout(output):
        status = pytest.main(command)
    took = time.process_time() - began
    if status or "50 passed" not in output.getvalue():
        sys.exit(f"pytest {' '.join(command)} failed, so its time is not valid:\n{output.getvalue()}")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith(OF_A_RUN)]:
        del sys.modules[name]
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds

    os.environ.pop("PYTEST_ADDOPTS", None)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        alone, vendored, loading = Path(name, "alone"), Path(name, "vendored"), Path(name, "loading")
        for host in (alone, vendored, loading):
            (host / "tests").mkdir(parents=True)
            (host / "pytest.ini").write_text("[pytest]\n")
            (host / "conftest.py").write_text(CONFTEST)
            (host / "empty.py").touch()
            for number in (1, 2):
                (host / f"tests/test_{number}.py").write_text(TESTS)
        for host in (vendored, loading):
            vendor = [sys.executable, "-m", "pytest_mmapconf", "vendor", "third_party/mmconf"]
            subprocess.run(vendor, cwd=host, check=True, stdout=subprocess.DEVNULL)
        (loading / "conftest.py").write_text(f'{CONFTEST}\npytest_plugins = ["third_party.mmconf.plugin"]\n')
        ways: dict[str, tuple[Path, tuple[str, ...]]] = {
            "alone": (alone, ()),
            "copy there": (vendored, ()),
            "pytest_plugins": (loading, ()),
            "-p empty": (alone, ("-p", "empty")),
            "-p the copy's": (vendored, ("-p", "third_party.mmconf.plugin")),
        }
        for folder, arguments in ways.values():  # every module is compiled before the measurement
            seconds(folder, *arguments)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (folder, arguments) in ways.items():
                times[way].append(seconds(folder, *arguments))
        os.chdir(here)
    least = {way: min(of) for way, of in times.items()}
    print(f"alone: {least['alone'] * 1000:.1f} ms")
    for way in list(ways)[1:]:
        print(f"{way}: {(least[way] - least['alone']) * 1000:+.1f} ms, ratio {least[way] / least['alone']:.3f}")


if __name__ == "__main__":
    main()
