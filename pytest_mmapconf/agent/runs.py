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

WIDTH: Final = 4
"""Bytes of the numbers that `encode` finds."""

LEAST: Final = 16
"""Bytes of numbers for which a part of their own is shorter."""


def encode(data: bytes, numbers: bool = False) -> str:
    """Return bytes as a field: parts separated by commas, each pairs of digits, or `PAIRS*COUNT` for a repetition.

    With `numbers` there are also parts `PAIRS+COUNT`, for numbers that follow each other.
    """
    period = data.find(data[:KEY], 1) if len(data) > 2 * KEY else -1
    if 0 < period <= len(data) // 2 and data[period:] == data[:-period]:
        return f"{data[:period].hex()}*{len(data)}"
    return ",".join(_parts(data, numbers))


def beginning(data: bytes, room: int) -> tuple[str, int]:
    """Return the longest beginning of data whose field has at most `room` characters, and its number of bytes."""
    field, count = "", 0
    for part in encode(data, numbers=True).split(","):
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
        is_next = (data[at + 7] - data[at + 3]) & 255 == (data[at + 11] - data[at + 7]) & 255 == 1
        if is_next and (count := count_numbers(data, at)) >= LEAST:
            if at > begin:
                yield data[begin:at].hex()
            yield f"{data[at : at + WIDTH].hex()}+{count}"
            begin = at = at + count
        else:
            at += 1
    if begin < len(data):
        yield data[begin:].hex()


def count_numbers(data: bytes, at: int) -> int:
    """Return how many bytes from `at` on are numbers, each greater by one than the number before it."""
    number = int.from_bytes(data[at : at + WIDTH], "big")
    count = WIDTH
    while (more := data[at + count : at + count + WIDTH]) == (follows := _pairs(number, count)):
        count += WIDTH
    return count + next((same for same in range(WIDTH) if more[same : same + 1] != follows[same : same + 1]), 0)


def _pairs(first: int, count: int) -> bytes:
    """Return the number that is `count` bytes after the first one."""
    return ((first + count // WIDTH) % (1 << 8 * WIDTH)).to_bytes(WIDTH, "big")


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
    return b"".join((number % (1 << 8 * width)).to_bytes(width, "big") for number in numbers)
