"""The contract of import layers (`nox -s imports`) finds an import from a higher layer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

UPWARDS = {
    "at the top": "from ..plugin import options\n",
    "for annotations only": "if TYPE_CHECKING:\n    from ..plugin import options\n",
    "in a function": "def late() -> None:\n    from ..plugin import options\n",
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a copy of the package, its layers, and the reference and cases inside it."""
    folder = tmp_path_factory.mktemp("layers")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "pytest_mmapconf", folder / "pytest_mmapconf", ignore=ignored)
    for inner in ("reference", "conformance"):
        shutil.copytree(PROJECT / inner, folder / "pytest_mmapconf" / inner, ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


def broken(folder: Path) -> tuple[int, str]:
    """Check the layers of a copy: the exit status, and what was printed."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": os.fspath(folder)}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_the_package_as_it_is_keeps_its_layers(copied: Path) -> None:
    status, printed = broken(copied)
    assert (status, "0 broken" in printed) == (0, True), printed


@pytest.mark.parametrize("how", UPWARDS)
def test_an_import_from_a_higher_layer_is_found(copied: Path, how: str) -> None:
    changed = copied / "pytest_mmapconf" / "catalogue" / "clauses.py"
    before = changed.read_text("utf-8")
    changed.write_text(f"{before}\n\n{UPWARDS[how]}", "utf-8")
    try:
        status, printed = broken(copied)
    finally:
        changed.write_text(before, "utf-8")
    assert status == 1, printed
    assert "A layer imports lower ones only BROKEN" in printed
    assert "pytest_mmapconf.catalogue is not allowed to import pytest_mmapconf.plugin" in printed
