"""Bytes as a field of a request: repeated bytes and patterns are written once (PROTOCOL.md, `runs`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_RUN: Final = re.compile(rb"(.)\1{7,}", re.DOTALL)
"""A byte repeated so often that a part of its own is shorter."""

_PART: Final = re.compile(r"((?:[0-9A-Fa-f]{2})+)(?:\*([0-9]{1,9}))?")

KEY: Final = 8
"""Bytes at the beginning of a pattern by which its next occurrence is found."""


def encode(data: bytes) -> str:
    """Return bytes as a field: parts separated by commas, each pairs of digits, or `PAIRS*COUNT` for a repetition."""
    period = data.find(data[:KEY], 1) if len(data) > 2 * KEY else -1
    if 0 < period <= len(data) // 2 and data[period:] == data[:-period]:
        return f"{data[:period].hex()}*{len(data)}"
    return ",".join(_parts(data))


def _parts(data: bytes) -> Iterator[str]:
    at = 0
    for run in _RUN.finditer(data):
        if run.start() > at:
            yield data[at : run.start()].hex()
        yield f"{run[1].hex()}*{len(run[0])}"
        at = run.end()
    if at < len(data):
        yield data[at:].hex()


def decode(field: str, most: int) -> bytes:
    """Return the bytes of a field, at most `most` of them.  Raises ValueError."""
    data = b""
    for part in field.split(",") if field else ():
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part[:40]!r} is not a part of bytes")
        pattern = bytes.fromhex(match[1])
        count = len(pattern) if match[2] is None else int(match[2])
        if not len(pattern) <= count <= most - len(data):
            raise ValueError(f"{part[:40]!r} is shorter than its pattern, or too long")
        data += (pattern * (count // len(pattern) + 1))[:count]
    return data
