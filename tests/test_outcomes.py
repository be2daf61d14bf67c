"""outcomes: the outcome of a call as text."""

from __future__ import annotations

import pytest

from pytest_mmapconf.outcomes import Failed, Outcome, Returned, brief, difference

LONG = b"a" * 5000


@pytest.mark.parametrize(
    ("data", "text"), [(b"abc", "b'abc'"), (b"a" * 32, f"b'{'a' * 32}'"), (LONG, f"b'{'a' * 32}'… (5000 bytes)")]
)
def test_of_many_bytes_the_first_are_shown(data: bytes, text: str) -> None:
    assert brief(data) == text


@pytest.mark.parametrize(
    ("observed", "expected", "texts"),
    [
        (Returned(b"ab"), Returned(b"ac"), ("b'ab'", "b'ac'")),
        (Returned(b"x" + LONG), Returned(LONG), (brief(b"x" + LONG), brief(LONG))),
        (
            Returned(LONG[:4096] + b"xyz" + LONG[:7]),
            Returned(LONG),
            (f"from byte 4096: {b'xyz' + LONG[:7]!r}… (4106 bytes)", f"from byte 4096: {LONG[:32]!r}… (5000 bytes)"),
        ),
        (Returned(LONG[:9]), Returned(LONG[:7]), ("b'aaaaaaaaa'", "b'aaaaaaa'")),
        (Returned(LONG), Failed("EINVAL"), (brief(LONG), "EINVAL")),
        (Returned(3), Returned(4), ("3", "4")),
    ],
)
def test_of_bytes_the_part_that_differs_is_shown(observed: Outcome, expected: Outcome, texts: tuple[str, str]) -> None:
    assert difference(observed, expected) == texts
