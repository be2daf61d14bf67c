"""Reports as files: which kind a path asks for, whether it can be written, and writing it.

The kind is told by the path's ending.  What can be known to go wrong is known before the first case runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from .badge import badge
from .json_report import side_by_side
from .markdown import markdown
from .result import Run


class OutputError(Exception):
    """A report that cannot be written, and why."""


def as_json(runs: Sequence[Run]) -> str:
    """The JSON report."""
    return json.dumps(side_by_side(runs), indent=2, ensure_ascii=False) + "\n"


def as_html(runs: Sequence[Run]) -> str:
    """The page; who asks for none needs no template engine."""
    from .html import page

    return page(runs)


KINDS: Final[dict[str, Callable[[Sequence[Run]], str]]] = {
    ".json": as_json,
    ".html": as_html,
    ".md": markdown,
    ".svg": badge,
}
"""By ending, what makes the text of a report."""


def prepare(paths: Iterable[Path], option: str = "--mmap-report=") -> None:
    """Make sure, before anything runs, that the reports can be written; none is there any more.  Raises OutputError.

    Whoever finds a report there afterwards finds this run's, never one of a run before it.
    """
    for path in paths:
        if path.suffix.lower() not in KINDS:
            ending = f"the ending {path.suffix}" if path.suffix else "no ending"
            raise OutputError(f"{option}{path}: there is no report for {ending}; use {', '.join(KINDS)}")
        if path.suffix.lower() == ".html" and find_spec("jinja2") is None:
            raise OutputError(f"{option}{path}: a page needs jinja2: pip install jinja2")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("w").close()
        except FileExistsError:
            raise OutputError(f"{option}{path}: cannot be written: its folder is a file") from None
        except OSError as error:
            raise OutputError(f"{option}{path}: cannot be written: {error.strerror}") from error


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write a report of a run, or of several side by side.  Raises OSError.

    What UTF-8 cannot say (half a surrogate pair, from a name that an implementation made up) is written as JSON does.
    """
    path.write_text(KINDS[path.suffix.lower()](runs), encoding="utf-8", errors="backslashreplace")
