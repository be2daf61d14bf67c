"""The options of a search, checked.  Every function raises UsageError for a value that is not valid."""

from __future__ import annotations

import re
from typing import Final

import pytest

from . import options
from .search_plan import Plan

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

LONGEST_DAYS: Final = 366
"""The longest --mmap-for, in days."""

LONGEST: Final = LONGEST_DAYS * UNITS["d"]
"""The longest --mmap-for, in seconds."""

MAX_DEPTH: Final = 6
"""The largest number of calls of --mmap-exhaustive."""


def seconds(text: str) -> float:
    """Return the seconds of a text such as "90", "45s", "30m", "8h" or "1h30m"; raises ValueError."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        value = float(text)
    elif text and re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        value = sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", text))
    else:
        raise ValueError(f"{text!r} is no time")
    if not 0 < value <= LONGEST:
        raise ValueError(f"{text!r} is no time")
    return value


def plan(config: pytest.Config) -> Plan:
    """Return the checked options of a search.  Raises UsageError."""
    asked = {name: given for name in SEARCHES if (given := getattr(config.option, name)) is not None}
    if not asked:
        asked = {name: given for name in SEARCHES if (given := config.getini(name)) not in ("", "0")}
    if len(asked) > 1:
        names = " and ".join("--" + name.replace("_", "-") for name in asked)
        raise pytest.UsageError(f"{names}: give only one of them")
    steps = number("--mmap-steps", asked.get("mmap_steps"), MAX_STEPS, 100000)
    depth = number("--mmap-exhaustive", asked.get("mmap_exhaustive"), MAX_DEPTH, 3)
    most = number("--mmap-max-findings", options.value(config, "mmap_max_findings"), MAX_FINDINGS, 20)
    duration = 0.0
    if "mmap_for" in asked:
        try:
            duration = seconds(asked["mmap_for"])
        except ValueError:
            allowed = f"must be a time above 0 and up to {LONGEST_DAYS}d, such as 90s, 30m, 8h or 1h30m"
            raise pytest.UsageError(f"--mmap-for={asked['mmap_for']}: {allowed}") from None
    folder = options.value(config, "mmap_findings")
    for option in ("mmap_findings", "mmap_max_findings"):
        if getattr(config.option, option) and not asked:
            name = "--" + option.replace("_", "-")
            raise pytest.UsageError(f"{name}: needs a search: --mmap-steps, --mmap-for or --mmap-exhaustive")
    return Plan(steps, duration, depth, most, folder if asked else "")


SEARCHES: Final = ("mmap_steps", "mmap_for", "mmap_exhaustive")
"""The options that ask for a search."""

MAX_STEPS: Final = 10**12
"""The largest --mmap-steps: more than a machine makes in a year."""

MAX_FINDINGS: Final = 1000
"""The largest --mmap-max-findings: each finding is shown at the end of the run."""


def number(name: str, given: str | None, most: int, example: int) -> int:
    """Return the number of an option, 0 if it is not given.  Raises UsageError."""
    if given is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,13}", given) or not 1 <= int(given) <= most:
        raise pytest.UsageError(f"{name}={given}: must be a whole number from 1 to {most}, such as {example}")
    return int(given)
