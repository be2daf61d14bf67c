"""Assertion rewriting: pytest rewrites the cases only, so that a failing assert there shows its values.

pytest rewrites every module of an installed plugin's distribution.  Without files of bytecode, as in a container with
PYTHONDONTWRITEBYTECODE, it parses each of them again in each run.  No assert of the suite's own code, or of hypothesis,
says what an implementation did wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final

import pytest

from ..version import PACKAGE

CASES: Final = f"{PACKAGE}.conformance"

PLAIN: Final = (f"{PACKAGE}.", "hypothesis.")


class PlainModules(MetaPathFinder):
    """Finds the modules of PLAIN, but for the cases, before pytest's finder does, which would rewrite them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.startswith(PLAIN) and not f"{fullname}.".startswith(f"{CASES}."):
            return PathFinder.find_spec(fullname, path, target)
        return None


def rewrite_only_cases(config: pytest.Config) -> None:
    """From here to the end of the run, let pytest rewrite the cases, and no other module that the suite imports."""
    finder = PlainModules()
    sys.meta_path.insert(0, finder)
    config.add_cleanup(lambda: sys.meta_path.remove(finder))
    if CASES not in sys.modules:
        pytest.register_assert_rewrite(CASES)
