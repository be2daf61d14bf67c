"""Reports as files: choose the format, check that the file can be written, and write it.

The suffix of the path selects the format.  Errors that can be detected early are reported before the first case runs.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from errno import EACCES, EBUSY, EPERM, EROFS, EXDEV
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from .badge import badge
from .json_report import side_by_side
from .markdown import markdown
from .result import Run


class OutputError(Exception):
    """A report cannot be written; the message says why."""


def as_json(runs: Sequence[Run]) -> str:
    """Return the JSON report."""
    return json.dumps(side_by_side(runs), indent=2, ensure_ascii=False) + "\n"


def as_html(runs: Sequence[Run]) -> str:
    """Return the page; only a page needs the template engine."""
    from .html import page

    return page(runs)


KINDS: Final[dict[str, Callable[[Sequence[Run]], str]]] = {
    ".json": as_json,
    ".html": as_html,
    ".md": markdown,
    ".svg": badge,
}
"""Functions that render a report, by suffix of the path."""


def prepare(paths: Iterable[Path], option: str = "--mmap-report=") -> None:
    """Check that the reports can be written, and make their directories.  Raises OutputError."""
    for path in paths:
        if path.suffix.lower() not in KINDS:
            ending = f"the ending {path.suffix}" if path.suffix else "no ending"
            raise OutputError(f"{option}{path}: there is no report for {ending}; use {', '.join(KINDS)}")
        if path.suffix.lower() == ".html" and find_spec("jinja2") is None:
            raise OutputError(f"{option}{path}: a page needs jinja2: pip install jinja2")
        check_writable(path, option)


def check_writable(path: Path, option: str) -> None:
    """Check that a file can be written, and make its directory.  Raises OutputError, which cites `option`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise OutputError(f"{option}{path}: cannot be written: it is not a regular file")
        is_new = not path.exists()
        path.open("a").close()
        if is_new:
            path.unlink()
    except FileExistsError:
        raise OutputError(f"{option}{path}: cannot be written: its directory is a file") from None
    except OSError as error:
        raise OutputError(f"{option}{path}: cannot be written: {error.strerror}") from error


NOT_REPLACEABLE: Final = (EACCES, EPERM, EROFS, EBUSY, EXDEV)
"""Errors of a file that can only be overwritten: its directory is not writable, or the file is a mount point."""


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write a report of a run, or of several side by side.  Raises OSError."""
    replace(path, KINDS[path.suffix.lower()](runs))


def replace(path: Path, text: str) -> None:
    """Write a file as a whole, so that a reader, also after a kill, sees the old text or all of the new one.

    Characters that UTF-8 cannot encode (half a surrogate pair in a name that an implementation returned) are written as
    escapes, as in JSON.  Raises OSError.
    """
    path = path.resolve()
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno not in NOT_REPLACEABLE:
            raise  # for example no space: what is there stays whole
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
