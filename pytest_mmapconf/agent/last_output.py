"""The last output of a system under test that has ended: its stderr or console, made printable and bounded."""

from __future__ import annotations

import re
from typing import Final

from ..text import TEXT
from ..text import printable as text_printable

KEPT: Final = 16384
"""Bytes that are kept, the last ones."""

QUOTED: Final = 240
"""Characters that a reason of one line quotes."""

GOING_DOWN: Final = re.compile(
    rb"kernel panic|panic:|\boops\b|BUG: |general protection fault|assertion|internal error|fatal", re.IGNORECASE
)
"""Patterns of the lines that a system writes to its console when it cannot go on."""


def printable(output: bytes) -> str:
    """Return output as lines of text in which control characters are escaped."""
    text = output.decode(errors="replace").replace("\r\n", "\n").strip()
    return text_printable(text, TEXT, lines=True)


def last_words(output: bytes) -> str:
    """Return the line that states why nothing goes on, or the last line; without the time since the boot."""
    lines = [line.strip() for line in printable(output).splitlines() if line.strip()]
    stating = [line for line in lines if GOING_DOWN.search(line.encode())]
    return re.sub(r"^\[ *\d+\.\d+\]\s*", "", (stating or lines or [""])[0 if stating else -1])


def quoted(output: bytes) -> str:
    """Return in one line what output ends with; where a line states why nothing goes on, the first such line."""
    lines = [line.strip() for line in printable(output).splitlines() if line.strip()]
    for line in lines:
        if GOING_DOWN.search(line.encode()):
            return line if len(line) <= QUOTED else f"{line[: QUOTED - 1]}…"
    text = " / ".join(lines)
    return text if len(text) <= QUOTED else f"…{text[1 - QUOTED :]}"
