"""The possible values of the facts of an implementation: the fields of an agent's greeting, the details of `Facts`.

Cases compute addresses and counts from these numbers.  An impossible one would make cases fail that the implementation
passes, or pass without a test; so it is refused, as a mistake of the agent or of the adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..text import printable

MOST: Final = 1 << 64

RANGES: Final = {
    "bits": (16, 64),
    "page": (16, 1 << 32),
    "end": (1, MOST),
    "lowest": (0, MOST - 1),
    "mappings": (1, MOST),
    "descriptors": (1, MOST),
    "locked": (0, MOST),
    "uid": (0, (1 << 32) - 1),
    "line": (128, 1 << 20),
    "data": (16, 1 << 19),
    "processors": (1, 1 << 32),
}
"""By name, the smallest and the largest number that is possible.

Requests and answers that carry no data fit into 128 bytes; a smaller `data` would make a request of every few bytes.
"""

UNKNOWN: Final = ("", "?")
"""The text for a value that is not known."""

LINE_FIELDS: Final = 64
"""Bytes of a line without its data: the number of the process, the verb, an address, a length."""


def number(text: str) -> int | None:
    """Return the number that a text states, decimal or hexadecimal after 0x; None if it states none."""
    if not re.fullmatch(r"-?(0x[0-9a-fA-F]{1,32}|[0-9]{1,40})", text):
        return None
    return int(text, 16 if "x" in text else 10)


def error(facts: Mapping[str, str]) -> str | None:
    """Return the first impossible value of these facts, and what is possible; None if there is none."""
    known: dict[str, int] = {}
    for name, (least, most) in RANGES.items():
        text = facts.get(name, "")
        if text in UNKNOWN or (name == "locked" and text == "none"):
            continue
        value = number(text)
        said = f"{name}={printable(text, 40)!r}"
        if value is None:
            return f"{said}, which is no number"
        if not least <= value <= most:
            return f"{said}, which is not from {least} to {_text(most)}"
        known[name] = value
    if facts.get("runs") == "both":  # bytes that do not fit into a line are sent as several
        known.pop("data", None)
    return _error_of_several(known) or _error_of_words(facts)


def _error_of_several(known: Mapping[str, int]) -> str | None:
    bits, page = known.get("bits", 64), known.get("page", 4096)
    if page & (page - 1):
        return f"page='{page}', which is no power of two"
    for name in ("page", "lowest"):
        if known.get(name, 0) >= 1 << bits:
            return f"{name}={known[name]:#x}, which is not an address of {bits} bits"
    if known.get("end", 1) > 1 << bits:
        return f"end={known['end']:#x}, which is more than addresses of {bits} bits reach"
    if known.get("lowest", 0) >= known.get("end", 1 << bits):
        return f"lowest={known['lowest']:#x}, which is not below end={known['end']:#x}"
    if "line" in known and "data" in known and known["line"] < 2 * known["data"] + LINE_FIELDS:
        least = 2 * known["data"] + LINE_FIELDS
        return f"data='{known['data']}', which does not fit into line={known['line']}: that takes {least} bytes"
    return None


def _error_of_words(facts: Mapping[str, str]) -> str | None:
    if facts.get("byteorder", "little") not in ("little", "big", *UNKNOWN):
        return f"byteorder={printable(facts['byteorder'], 40)!r}, which is neither little nor big"
    for entry in facts.get("limits", "").split(","):
        if entry.strip() not in ("none", *UNKNOWN) and not re.fullmatch(r" ?[a-z-]+:[0-9]{1,20}", entry):
            return f"limits={printable(facts['limits'], 40)!r}, which is not NAME:NUMBER, …"
    return None


def _text(most: int) -> str:
    return f"2^{most.bit_length() - 1}" if most & (most - 1) == 0 and most > 64 else str(most)
