"""Reports as files: which kind a path asks for, whether it can be written, and writing it.

The kind is told by the path's ending.  What can be known to go wrong is known before the first case runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import pytest

from .document import document
from .run import Run


def as_json(run: Run) -> str:
    """The JSON report."""
    return json.dumps(document(run), indent=2, ensure_ascii=False) + "\n"


KINDS: Final[dict[str, Callable[[Run], str]]] = {".json": as_json}
"""By ending, what makes the text of a report."""


def prepare(paths: Iterable[Path]) -> None:
    """Make sure, before anything runs, that the reports can be written; none is there any more.  Raises UsageError.

    Whoever finds a report there afterwards finds this run's, never one of a run before it.
    """
    for path in paths:
        if path.suffix.lower() not in KINDS:
            ending = f"the ending {path.suffix}" if path.suffix else "no ending"
            raise pytest.UsageError(f"--mmap-report={path}: there is no report for {ending}; use {', '.join(KINDS)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("w").close()
        except FileExistsError:
            raise pytest.UsageError(f"--mmap-report={path}: cannot be written: its folder is a file") from None
        except OSError as error:
            raise pytest.UsageError(f"--mmap-report={path}: cannot be written: {error.strerror}") from error


def write(path: Path, run: Run) -> None:
    """Write a report of a run.  Raises OSError.

    What UTF-8 cannot say (half a surrogate pair, from a name that an implementation made up) is written as JSON does.
    """
    path.write_text(KINDS[path.suffix.lower()](run), encoding="utf-8", errors="backslashreplace")
