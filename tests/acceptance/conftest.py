"""The whole product as users have it: the built wheel, run from an empty folder in a pytest of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from finished import Run, open_to_all

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel under test: MMAPCONF_WHEEL (as CI built it), else one built now from a copy of the project."""
    if "MMAPCONF_WHEEL" in os.environ:
        return Path(os.environ["MMAPCONF_WHEEL"]).resolve()
    work = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "*cache*", ".hypothesis")
    shutil.copytree(PROJECT, work / "project", ignore=ignored)
    command = [sys.executable, "-m", "build", "-q", "--wheel", "--outdir", str(work), str(work / "project")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = work.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel's content, readable by every user; it goes first on the import path."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(folder)], check=True)
    open_to_all(folder)
    return folder


@pytest.fixture
def suite(installed: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run the installed suite from an empty folder, as this user or (`user=`) as another."""

    def run(*arguments: str, folder: Path | None = None, user: int | None = None, check: bool = True) -> Run:
        folder = folder or tmp_path / "empty"
        folder.mkdir(exist_ok=True)
        report = folder / "report.json"
        if user is not None:
            os.chown(folder, user, user)
            open_to_all(folder)
        environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.update({} if user is None else {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")})
        for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
            environment.pop(name, None)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--mmap-report={report}", *arguments],
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
