"""The version of the suite: installed, in a checkout, or copied into another project.

A copy has a manifest beside its modules, which `vendor` writes.  A checkout has its pyproject.toml in the directory
above them.  For an installed package, Python's metadata has the version, under the distribution's name.
"""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

MANIFEST: Final = "vendored.json"
"""The file name of a copy's manifest."""

PACKAGE: Final = __package__ or ""
"""The import name of the suite: its own, or that of a copy in another project."""

HERE: Final = Path(__file__).parent


def suite_version() -> str:
    """Return the suite's version; "(unknown)" if it cannot be determined."""
    try:
        if (HERE / MANIFEST).is_file():
            return str(json.loads((HERE / MANIFEST).read_text("utf-8"))["version"])
        if not (HERE / "conformance").is_dir():  # a checkout
            return str(tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"])
        return version("pytest-mmapconf") if __package__ == "pytest_mmapconf" else "(unknown)"
    except (PackageNotFoundError, OSError, ValueError, KeyError, TypeError):
        return "(unknown)"
