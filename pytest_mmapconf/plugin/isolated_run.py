"""The suite's cases in a pytest of their own, inside this process: for commands that need to know them or to run them.

Nothing of the folder that it is started in takes part: no ini file, no conftest, no options of the environment.
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
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(output):
            ini = Path(folder, "pytest.ini")
            ini.write_text("[pytest]\n", encoding="utf-8")
            asked = ["-c", str(ini), "--rootdir", folder, "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
            asked += ["-p", f"{PACKAGE}.plugin", "-q", *arguments]
            status = int(pytest.main(asked, plugins=list(plugins)))
    finally:
        if options is not None:
            os.environ["PYTEST_ADDOPTS"] = options
    return status, output.getvalue()
