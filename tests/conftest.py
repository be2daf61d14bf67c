"""Fixtures of the plugin's tests."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, settings
from vendored import NAME, build

pytest_plugins = ["pytester"]

# Hundreds of tests start an interpreter.  Without stored bytecode each compiles the package and its cases again, which
# takes longer than most of the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# hypothesis imports trio where that is installed, for a plugin of trio's: selenium needs trio, the suite does not.
os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"

# The machine may be busy with anything else: no result depends on how long an example takes.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# A shell starts what runs in the background with SIGINT ignored, and the processes of the tests inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PUBLIC = "MMAPCONF_PUBLIC"
"""The environment variable with a directory that the workers of a run share, and that every user may enter."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return the number of workers for `-n auto`: one more than processors, as many tests wait for a process."""
    return len(os.sched_getaffinity(0)) + 1 if config.option.numprocesses == "auto" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each worker a share of the tests of the whole product, and these first.

    They take the longest.  A worker that has done its share takes over the last tests of another one, which are short.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.path.parent.name == "acceptance"]
    short = [item for item in items if item.path.parent.name != "acceptance"]
    share = -(-len(short) // workers)
    items[:] = [item for at in range(workers) for item in (*long[at::workers], *short[at * share : (at + 1) * share])]


def pytest_configure(config: pytest.Config) -> None:
    """Make the shared directory, in the process that starts the workers; the run removes it."""
    if PUBLIC in os.environ:
        return
    folder = mkdtemp(prefix="tests-")
    os.chmod(folder, 0o755)
    os.environ[PUBLIC] = folder

    def remove() -> None:
        shutil.rmtree(os.environ.pop(PUBLIC), ignore_errors=True)

    config.add_cleanup(remove)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the suite, for tests that do not change it; its path has spaces."""
    return build(tmp_path_factory.mktemp("the lib") / "my libraries")


@pytest.fixture
def judge(pytester: pytest.Pytester, library: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """`judge("Good", "-q", …)`: run pytest in an empty directory on python:subjects:Good, or without a backend for "".

    The run has a process of its own if it has workers or for `alone`; otherwise it uses this one, which is ten times as
    fast.
    """

    def judge(subject: str, *arguments: str, library: Path = library, alone: bool = False) -> pytest.RunResult:
        monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
        backend = [f"--mmap-backend=python:subjects:{subject}"] if subject else []
        # the plugin of hypothesis imports hypothesis at the end of each run, which takes longer than the run itself
        quick = ["-p", "no:mmapconf", "-p", "no:hypothesispytest"]
        command = [*quick, "-p", f"{NAME}.plugin", *backend, *arguments]
        if alone or "-n" in arguments:
            monkeypatch.setenv("PYTHONPATH", os.fspath(library))
            return pytester.runpytest_subprocess(*command)
        pytester.syspathinsert(library)
        return pytester.runpytest_inprocess(*command)

    return judge
