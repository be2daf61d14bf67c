"""Bytes as a field of a line: repetitions and numbers that follow each other are written once (PROTOCOL.md, `runs`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_RUN: Final = re.compile(rb"(.)\1{7,}", re.DOTALL)
"""A byte repeated so often that a part of its own is shorter."""

_PART: Final = re.compile(r"((?:[0-9A-Fa-f]{2})+)(?:([*+])([0-9]{1,9}))?")

KEY: Final = 8
"""Bytes at the beginning of a pattern by which its next occurrence is found."""

WIDTHS: Final = (4, 1)
"""Bytes of the numbers that `encode` finds."""

LEAST: Final = 16
"""Bytes of numbers for which a part of their own is shorter."""

SHORT: Final = 40
"""Characters of a field that is so short that no shorter one is looked for."""


def encode(data: bytes, numbers: bool = False) -> str:
    """Return bytes as a field: parts separated by commas, each pairs of digits, or `PAIRS*COUNT` for a repetition.

    With `numbers` there are also parts `PAIRS+COUNT`, for numbers that follow each other.
    """
    period = data.find(data[:KEY], 1) if len(data) > 2 * KEY else -1
    if 0 < period <= len(data) // 2 and data[period:] == data[:-period]:
        whole = f"{data[:period].hex()}*{len(data)}"
        return whole if len(whole) <= SHORT or not numbers else min(whole, ",".join(_parts(data, numbers)), key=len)
    return ",".join(_parts(data, numbers))


def beginning(data: bytes, room: int) -> tuple[str, int]:
    """Return the longest beginning of data whose field has at most `room` characters, and its number of bytes."""
    field, count = "", 0
    parts = encode(data[: 2 * room], numbers=True)
    if len(data) > 2 * room and len(parts) <= room:  # else nothing further is there, or has room
        parts = encode(data, numbers=True)
    for part in parts.split(","):
        more = f",{part}" if field else part
        if len(field + more) > room:
            pairs = data[count : count + (room - len(field) - len(more) + len(part)) // 2]
            return (f"{field}{more[: -len(part)]}{pairs.hex()}" if pairs else field), count + len(pairs)
        field += more
        pattern, _, total = re.sub("[*+]", " ", part).partition(" ")
        count += int(total) if total else len(pattern) // 2
    return field, count


def _parts(data: bytes, numbers: bool) -> Iterator[str]:
    at = 0
    for run in _RUN.finditer(data):
        yield from _other_parts(data[at : run.start()], numbers)
        yield f"{run[1].hex()}*{len(run[0])}"
        at = run.end()
    yield from _other_parts(data[at:], numbers)


def _other_parts(data: bytes, numbers: bool) -> Iterator[str]:
    """Yield the parts of data without a repeated byte."""
    begin = at = 0
    while numbers and at + LEAST <= len(data):
        for width in WIDTHS:
            one, two, three = data[at + width - 1 : at + 3 * width : width]
            if (two - one) & 255 == (three - two) & 255 == 1 and (count := count_numbers(data, at, width)) >= LEAST:
                if at > begin:
                    yield data[begin:at].hex()
                yield f"{data[at : at + width].hex()}+{count}"
                begin = at = at + count
                break
        else:
            at += 1
    if begin < len(data):
        yield data[begin:].hex()


def count_numbers(data: bytes, at: int, width: int) -> int:
    """Return how many bytes from `at` on are numbers, each greater by one than the number before it."""
    number = int.from_bytes(data[at : at + width], "big")
    count = width
    while (more := data[at + count : at + count + width]) == (follows := _pairs(number + count // width, width)):
        count += width
    return count + next((same for same in range(width) if more[same : same + 1] != follows[same : same + 1]), 0)


def _pairs(number: int, width: int) -> bytes:
    return (number % (1 << 8 * width)).to_bytes(width, "big")


def decode(field: str, most: int) -> bytes:
    """Return the bytes of a field, at most `most` of them.  Raises ValueError."""
    data = b""
    for part in field.split(",") if field else ():
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part[:40]!r} is not a part of bytes")
        pattern = bytes.fromhex(match[1])
        count = len(pattern) if match[2] is None else int(match[3])
        if not len(pattern) <= count <= most - len(data):
            raise ValueError(f"{part[:40]!r} is shorter than its pattern, or too long")
        if match[2] == "+":
            pattern = _following(pattern, count)
        data += (pattern * (count // len(pattern) + 1))[:count]
    return data


def _following(pattern: bytes, count: int) -> bytes:
    """Return `count` bytes, or more, of numbers of which the first one is given."""
    width, first = len(pattern), int.from_bytes(pattern, "big")
    numbers = range(first, first + count // width + 1)
    return b"".join(_pairs(number, width) for number in numbers)
