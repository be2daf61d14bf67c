"""Which version of the suite this is, wherever it lies: installed, in a checkout, or copied into another project.

A copy has a manifest beside its modules, which `vendor` writes; a checkout has its pyproject.toml above them; what is
installed is known to Python by the distribution's name.
"""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

MANIFEST: Final = "vendored.json"
"""What the manifest of a copy is called."""

PACKAGE: Final = __package__ or ""
"""The name that the suite is imported by: its own, or that of a copy in another project."""

HERE: Final = Path(__file__).parent


def suite_version() -> str:
    """The suite's version; "(unknown)" where nothing tells it."""
    try:
        if (HERE / MANIFEST).is_file():
            return str(json.loads((HERE / MANIFEST).read_text("utf-8"))["version"])
        if not (HERE / "conformance").is_dir():  # a checkout
            return str(tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"])
        return version("pytest-mmapconf") if __package__ == "pytest_mmapconf" else "(unknown)"
    except (PackageNotFoundError, OSError, ValueError, KeyError, TypeError):
        return "(unknown)"
