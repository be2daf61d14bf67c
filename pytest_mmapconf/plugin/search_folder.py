"""The directory of --mmap-findings: what a search has found and how far it has come, so that a later run goes on.

`search.json` has the seed, the parts that were run, the counts and the clauses that were reached.  Each finding is a
file of its own, which is written as soon as it is found.  Every file is replaced as a whole, so a run that is killed
leaves no half of one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

import pytest

from ..report import outputs
from ..version import PACKAGE

if TYPE_CHECKING:
    from ..differential.divergence import Key
    from .search_plan import Plan

BEGINNING: Final = f"{PACKAGE}.search"
"""The key of a worker's input for the beginning of the search."""

STATE: Final = "search.json"

FINDING: Final = "finding-"
"""The first letters of the file of a finding."""


class Beginning(NamedTuple):
    """The position at which a search begins."""

    seed: str
    part: int
    """The number of its first part."""


NOWHERE: Final = Beginning("", 0)
"""The position of a run without a search."""


def path(config: pytest.Config, plan: Plan) -> Path | None:
    """Return the directory; None if the option is not given."""
    return Path(config.invocation_params.dir, plan.folder) if plan.folder else None


def beginning(config: pytest.Config, plan: Plan) -> Beginning:
    """Return where the search begins: after the parts that were run, in a worker where the controller says.

    Raises UsageError for a directory that cannot be used.
    """
    from . import seeds

    if hasattr(config, "workerinput"):
        given = config.workerinput.get(BEGINNING)
        return Beginning(*given) if given else NOWHERE
    if not plan.is_long:
        return NOWHERE
    wanted = seeds.given_seed(config)
    folder = path(config, plan)
    if folder is None:
        return Beginning(wanted or seeds.new_seed(), 0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = read(folder)
        replace(folder / STATE, state)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--mmap-findings={plan.folder}: cannot be used: {error}") from error
    seed = state.get("seed")
    if seed and wanted and wanted != seed:
        raise pytest.UsageError(
            f"--mmap-findings={plan.folder}: is of the seed {seed}, not {wanted}; leave out {seeds.OPTION}, or name"
            " another directory"
        )
    return Beginning(seed or wanted or seeds.new_seed(), 0 if plan.depth else state.get("parts", 0))


def read(folder: Path) -> dict[str, Any]:
    """Return the state that a directory has; an empty one if there is none.  Raises ValueError, and OSError."""
    try:
        text = (folder / STATE).read_text("utf-8")
    except FileNotFoundError:
        return {}
    state = json.loads(text)
    if not isinstance(state, dict) or not isinstance(state.get("parts", 0), int):
        raise ValueError(f"{STATE} is not the state of a search")
    return state


def replace(file: Path, content: object) -> None:
    """Write a JSON file as a whole."""
    outputs.replace(file, json.dumps(content, indent=1, sort_keys=True) + "\n")


def finding_id(key: Key) -> str:
    """Return the id of a finding, which is the same in every run: "munmap-EINVAL-instead-of-success-1f3a…"."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{key.call} {key.kind}").strip("-")
    return f"{words[:80]}-{crc32(repr(tuple(key)).encode()):08x}"


def keep_finding(folder: Path, finding: dict[str, Any]) -> None:
    """Write the file of a finding, unless there is one."""
    file = folder / f"{FINDING}{finding['id']}.json"
    if not file.exists():
        replace(file, finding)
