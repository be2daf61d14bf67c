"""The seed of the cases with random input.

Without an option it is the suite's version, so that each run of a version draws the same input, and a verdict does not
depend on luck.  `--hypothesis-seed=N` is another seed, and `--hypothesis-seed=random` a new one.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import pytest

from ..version import PACKAGE, suite_version

OPTION: Final = "--hypothesis-seed"
"""The option, which hypothesis's plugin defines."""

DRAWN: Final = f"{PACKAGE}.seed"
"""The key of a worker's input for the seed of the run."""

NEW: Final = "random"
"""The value of the option that asks for a new seed."""


def new_seed() -> str:
    """Return a seed that no earlier run has had, as far as chance allows."""
    return str(secrets.randbits(32))


def draw_new_seed(config: pytest.Config) -> None:
    """Give the option a new seed if it asks for one; in a worker, that of the controller.

    Hypothesis's plugin reads the option later.
    """
    if given_seed(config) == NEW:
        config.option.hypothesis_seed = getattr(config, "workerinput", {}).get(DRAWN) or new_seed()


def given_seed(config: pytest.Config) -> str | None:
    """Return the seed of the option; None without the option, or without hypothesis's plugin."""
    given: str | None = config.getoption(OPTION, None)
    return given


def seed_of(config: pytest.Config) -> str:
    """Return the seed of the run."""
    return given_seed(config) or suite_version()


def fix_seed(config: pytest.Config, case: Any) -> None:
    """Give the seed of the run to a case whose input hypothesis draws."""
    from hypothesis import seed  # slow to import, and imported already by such a case

    seed(seed_of(config))(case)
