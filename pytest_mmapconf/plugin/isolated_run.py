"""Run pytest on the suite's cases inside this process, for commands that collect or run them.

The current directory has no influence: no ini file, no conftest file, no options from the environment.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from ..version import PACKAGE


def run(arguments: Sequence[str], plugins: Sequence[object]) -> tuple[int, str]:
    """Run pytest with these arguments and plugins; return its exit status and what it printed."""
    output = io.StringIO()
    options = os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        with tempfile.TemporaryDirectory() as root, redirect_stdout(output):
            ini = Path(root, "pytest.ini")
            ini.write_text("[pytest]\n", encoding="utf-8")
            command = ["-c", str(ini), "--rootdir", root, "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
            command += ["-p", f"{PACKAGE}.plugin", "-q", *arguments]
            status = int(pytest.main(command, plugins=list(plugins)))
    finally:
        if options is not None:
            os.environ["PYTEST_ADDOPTS"] = options
    return status, output.getvalue()
