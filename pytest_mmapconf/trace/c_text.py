"""Numbers, bytes and long lines as text of C."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .program import Sum


def number_text(number: Sum) -> str:
    """Return a sum as an expression of C, modulo 2 ** 64."""
    count = number.bytes % (1 << 64)
    if count >= (1 << 64) - (1 << 31):
        count -= 1 << 64
    text = Sum(number.name, number.pages, 0 if count.bit_length() > 31 else count, number.minus).text()
    if count.bit_length() > 31:
        return (
            hex(count)
            if text == "0"
            else f"{hex(count)} {'' if text.startswith('-') else '+ '}{text}".replace(" -", " - ", 1)
        )
    return text


def literal(data: bytes) -> str:
    """Return bytes as a string literal of C."""
    text = "".join(chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in data)
    pieces = re.findall(r"(?:\\\d{3}|[^\\]){1,64}", text) or [""]
    return " ".join(f'"{piece}"' for piece in pieces)


def wrapped(line: str, width: int = 100) -> Iterator[str]:
    """Yield the lines of a statement that may be too long for one."""
    start = ""
    while len(line) > width:
        cut = max(line.rfind(mark, 0, width) for mark in (" && ", " || ", '" "'))
        if cut < 0:
            cut = min((place for mark in (" && ", " || ", '" "') if (place := line.find(mark)) >= 0), default=-1)
        if cut < 0:
            break
        yield start + line[: cut + 1]
        line = line[cut + 1 :].lstrip()
        start = "       "
    yield start + line
