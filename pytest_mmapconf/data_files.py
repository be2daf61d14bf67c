"""Read TOML and JSON files: those of the suite by name, those of a user with bounds, and errors that name the place.

Python's parsers raise RecursionError for deep nesting and refuse numbers of many digits without a place; a text may
have surrogates, which cannot be written to a report.  Here each of them is a DataError.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from .text import PrintableError

MAX_SIZE: Final = 256 << 20
"""Bytes of the largest file that is read; the report of a full run has less than 10 MiB."""

MAX_DEPTH: Final = 32
"""Levels of lists and tables inside each other; no format of the suite has more than 12."""

MAX_BITS: Final = 4096
"""Width of the largest integer."""


class DataError(PrintableError):
    """A file cannot be read, or is not what it should be; the message says where, but does not name the file."""


def _open_regular(path: str, flags: int) -> int:
    """Open a file as `open` does, but neither wait for a pipe nor open what is no regular file.  Raises DataError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError("cannot be read: it is not a regular file")
    return descriptor


def read_text(path: Path, largest: int = MAX_SIZE) -> str:
    """Return the text of a regular file.  Raises DataError.

    A pipe may never end, and neither does a device such as /dev/zero; neither is waited for.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            size = os.fstat(file.fileno()).st_size
            if size > largest:
                raise DataError(f"cannot be read: it has more than {largest:,} bytes ({size:,} bytes)")
            content = file.read(largest + 1)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a null character in the name
        raise DataError(f"cannot be read: {error}") from None
    if len(content) > largest:
        raise DataError(f"cannot be read: it has more than {largest:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line}: not UTF-8: {error.reason}") from None


def ready_made(package: str, folder: str) -> dict[str, str]:
    """Return the texts of the TOML files in a package's folder, in the order of their names, without the suffix."""
    entries = sorted((files(package) / folder).iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in entries
        if entry.name.endswith(".toml")
    }


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.  Raises DataError."""
    return _parsed(text, json.loads, "JSON")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table of a TOML text.  Raises DataError."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MAX_DEPTH:  # the time that tomllib needs grows with the square of a key's parts
            for part in line.split("="):
                if part.count(".") > MAX_DEPTH and all(name.strip() for name in part.split(".")):
                    raise DataError(f"not TOML: line {number}: a key has more than {MAX_DEPTH} parts")
    document: dict[str, Any] = _parsed(text, tomllib.loads, "TOML")
    return document


def _parsed(text: str, parse: Callable[[str], Any], language: str) -> Any:
    try:
        document = parse(text)
    except RecursionError:
        raise DataError(f"not {language}: {_place_of_depth(text)}lists or tables are nested too deep") from None
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"not {language}: {error}") from None
    except ValueError as error:
        digits = re.search(r"[0-9_]{1000}", text)
        what = f"{_line(text, digits.start())}a number has too many digits" if digits else str(error)
        raise DataError(f"not {language}: {what}") from None
    _check(document)
    return document


def _line(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1} column {at - text.rfind(chr(10), 0, at)}: "


def _place_of_depth(text: str) -> str:
    """Return the line and column at which the nesting becomes too deep."""
    depth = 0
    for match in re.finditer(r"[\[{\]}]", text):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_DEPTH:
            return _line(text, match.start())
    return ""


def _check(document: Any) -> None:
    """Raise DataError for a value that Python can parse and other code cannot work with."""
    values: list[tuple[str, int, Any]] = [("", 0, document)]
    while values:
        place, depth, value = values.pop()
        where = f"{place[1:121]}: " if place else ""
        if depth > MAX_DEPTH:
            raise DataError(f"{where}lists or tables are nested more than {MAX_DEPTH} deep")
        if isinstance(value, dict):
            for name in value:
                _check_text(name, where)
            values += [(f"{place}.{name}", depth + 1, entry) for name, entry in value.items()]
        elif isinstance(value, list):
            values += [(f"{place}.{number}", depth + 1, entry) for number, entry in enumerate(value)]
        elif isinstance(value, str):
            _check_text(value, where)
        elif isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise DataError(f"{where}a number has too many digits")


def _check_text(text: str, where: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}\\u{ord(text[error.start]):04x} is half a character, which no text can have") from None
