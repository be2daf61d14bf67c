"""What a killed run of a recipe leaves: nothing where temporary files are made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_mmapconf.recipes.recipe import recipes, resolve

BOOTING = "qemu-system", "uml"
"""The recipes that boot a machine, which takes half a minute on a busy one."""

RUN = """
import os, signal, sys
from pytest_mmapconf import backends
from pytest_mmapconf.contract import Options, SC_PAGESIZE

backend = backends.make(sys.argv[1], [], [])
backend.configure(Options(start_timeout=120))
process = backend.boot().spawn()
process.sysconf(SC_PAGESIZE)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
backend.close()
"""
"""A run that ends in the middle of a case, or in order."""


def first_names() -> list[str]:
    """Return a name of each recipe that does not boot a machine."""
    return [recipe.names()[0] for recipe in recipes().values() if recipe.name not in BOOTING]


def rest_of(folder: Path, seconds: float) -> list[str]:
    """Return what is in a directory, as soon as nothing is, or after this time."""
    deadline = time.monotonic() + seconds
    while (found := sorted(os.listdir(folder))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("end", ["killed", "in-order"])
@pytest.mark.parametrize("name", first_names())
def test_no_temporary_file_is_left(tmp_path: Path, name: str, end: str) -> None:
    resolved = resolve(name, recipes())
    assert resolved is not None
    if missing := resolved.missing():
        pytest.skip(f"needs {', '.join(missing)}")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", RUN, name, end], env=environment, timeout=300)

    assert done.returncode == (-9 if end == "killed" else 0)
    assert rest_of(tmp_path, 15) == []
