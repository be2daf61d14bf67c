"""The whole product as users have it: the built wheel, run from an empty directory in a pytest of its own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import pytest
from finished import ORDINARY_USER, Run
from shared import locked, made_once

CORE = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "sortedcontainers")
"""Distributions that a copy of the suite needs: pytest, pluggy, hypothesis and their dependencies."""

NEEDED = (*CORE, "pytest-xdist", "execnet")
"""Distributions that the suite needs."""

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel under test: MMAPCONF_WHEEL (built by CI), or one built now from a copy of the project."""
    if "MMAPCONF_WHEEL" in os.environ:
        return Path(os.environ["MMAPCONF_WHEEL"]).resolve()
    with locked(tmp_path_factory, "wheel") as folder:
        if not list(folder.glob("*.whl")):
            ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "*cache*", ".hypothesis")
            shutil.copytree(PROJECT, folder / "project", ignore=ignored)
            command = [sys.executable, "-m", "build", "-q", "--wheel", "--outdir", str(folder), str(folder / "project")]
            subprocess.run(command, check=True, capture_output=True, text=True)
        (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def public() -> Path:
    """Return a directory that every user may enter; every run of pytest closes its own directories to other users."""
    return Path(os.environ["MMAPCONF_PUBLIC"])


@pytest.fixture(scope="session")
def installed(wheel: Path, public: Path) -> Path:
    """Return a directory with the wheel's content only, for the beginning of the import path."""
    folder = public / "installed"
    with made_once(folder) as is_first:
        if is_first:
            subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(folder)], check=True)
            subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def interpreter_for_all(public: Path) -> tuple[str, str]:
    """Return a Python of this version that any user may run, and a directory with the suite's requirements."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            subprocess.run(
                [candidate, "-c", ""], check=True, user=ORDINARY_USER, group=ORDINARY_USER, extra_groups=[], cwd="/"
            )
            break
        except (OSError, subprocess.CalledProcessError):
            continue
    else:
        pytest.skip(f"no {version} here that an ordinary user may run")
    return candidate, str(copied_libraries(NEEDED, public / "libraries"))


def copied_libraries(names: Iterable[str], to: Path) -> Path:
    """Return a directory with these distributions only, which every user may read."""
    with made_once(to) as is_first:
        if is_first:
            for file in (file for name in names for file in importlib.metadata.files(name) or ()):
                if ".." not in file.parts and Path(str(file.locate())).exists():
                    (to / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file.locate(), to / file)  # keeps the modification time, so that the bytecode is valid
            subprocess.run(["chmod", "-R", "a+rX", str(to)], check=True)
    return to


@pytest.fixture(scope="session")
def core(public: Path) -> Path:
    """Return a directory with pytest, pluggy, hypothesis and their dependencies only."""
    return copied_libraries(CORE, public / "core")


@pytest.fixture
def suite(request: pytest.FixtureRequest, installed: Path, public: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run the installed suite from an empty directory, as this user or (`user=`) as another."""

    def run(*arguments: str, folder: Path | None = None, user: int | None = None, check: bool = True) -> Run:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        python = sys.executable
        if user is not None:
            folder = Path(mkdtemp(dir=public))
            os.chown(folder, user, user)
            python, libraries = request.getfixturevalue("interpreter_for_all")
            environment["PYTHONPATH"] += os.pathsep + libraries
            environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        folder = folder or tmp_path / "empty"
        folder.mkdir(exist_ok=True)
        report = folder / "report.json"
        for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
            environment.pop(name, None)
        done = subprocess.run(
            [python, "-m", "pytest", "-p", "no:cacheprovider", f"--mmap-report={report}", *arguments],
            cwd=folder,
            env=environment,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output
        return Run(done.returncode, output, json.loads(report.read_text()) if report.exists() else {})

    return run


@pytest.fixture
def suite_once(suite: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Run the installed suite from an empty directory, once in a session for each command line; share the result."""

    def run(*arguments: str) -> Run:
        with locked(tmp_path_factory, sha256("\0".join(arguments).encode()).hexdigest()[:16]) as folder:
            result = folder / "run.json"
            if not result.exists():
                done = suite(*arguments)
                result.write_text(json.dumps([done.status, done.output, done.report]))
            return Run(*json.loads(result.read_text()))

    return run
