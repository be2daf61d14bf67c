"""Text from outside (of an implementation, an agent, a file), made safe to show and to store.

Terminals obey control characters, HTML and XML cannot contain most of them, and nothing limits what an implementation
says.  Everything that is shown or written to a report passes `printable` once, where it enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

LINE: Final = 1000
"""Characters of a reason, a name or a fact: what is shown in one line."""

TEXT: Final = 32 * 1024
"""Characters of a text of several lines, such as the last output of a system."""

MESSAGE: Final = 1500
"""Characters of the message of an error about a file."""

DEPTH: Final = 8
"""Levels of plain data inside each other; nothing that the suite records has more."""

NUMBER_BITS: Final = 4096
"""Width of the largest integer that is written in digits."""


def printable(text: object, most: int = LINE, *, lines: bool = False) -> str:
    r"""Return text of at most about `most` characters without control characters, surrogates and marks of direction.

    Those are written as escapes (`\\x1b`, `\\u202e`); so are tabs and ends of line, unless `lines`.  The middle of a
    longer text is left out.
    """
    given = text if isinstance(text, str) else shown(text)
    left_out = len(given) - most
    if left_out > 0:
        given = f"{given[: most * 2 // 3]}… ({left_out} characters left out) …{given[len(given) - most // 3 :]}"
    if given.isprintable():
        return given
    return "".join(char if char.isprintable() or (lines and char in "\n\t") else _escaped(char) for char in given)


class PrintableError(ValueError):
    """An error whose message may cite what a file contains, and is made safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, MESSAGE, lines=True))


def _escaped(char: str) -> str:
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    code = ord(char)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def shown(value: object) -> str:
    """Return a value as text, also one whose `__str__` fails or is refused by Python (integers of many digits)."""
    if isinstance(value, int) and int.bit_length(value) > NUMBER_BITS:
        return f"a number of {int.bit_length(value)} bits"
    try:
        return str(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # code of a user: SystemExit, too
        return f"{type(value).__name__}, which cannot be shown ({type(error).__name__})"


def printable_data(value: Any, depth: int = DEPTH) -> Any:
    """Return plain data whose texts are printable; what is no plain data becomes text."""
    if type(value) is str and len(value) <= LINE and value.isprintable():  # nearly every value
        return value
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= NUMBER_BITS else shown(value)
    if isinstance(value, str):
        return printable(value, TEXT, lines=True)
    if depth and isinstance(value, Mapping):
        return {printable(key): printable_data(entry, depth - 1) for key, entry in value.items()}
    if depth and isinstance(value, list):
        return [printable_data(entry, depth - 1) for entry in value]
    if depth and isinstance(value, tuple):
        return tuple(printable_data(entry, depth - 1) for entry in value)
    return printable(value)
