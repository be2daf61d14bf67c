"""Text from outside is printable and bounded before it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.text import LINE, TEXT, PrintableError, printable, printable_data, shown

anything = st.text(st.characters(), max_size=50)


@given(anything, st.booleans())
def test_printable_text_has_no_control_characters_and_can_be_encoded(text: str, lines: bool) -> None:
    result = printable(text, lines=lines)
    assert all(char.isprintable() or (lines and char in "\n\t") for char in result)
    result.encode("utf-8")
    if text.isprintable():
        assert result == text


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\u202eback", "\\u202eback"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("größer …", "größer …"),
    ],
)
def test_characters_that_are_not_printable_are_escaped(text: str, result: str) -> None:
    assert printable(text) == result


def test_a_long_text_keeps_its_ends() -> None:
    result = printable("a" + "x" * 1_000_000 + "z")
    assert len(result) < LINE + 60
    assert result[0] + result[-1] == "az"
    assert "999002 characters left out" in result


class Unshowable:
    def __str__(self) -> str:
        raise SystemExit(0)


def test_the_message_of_an_error_about_a_file_is_printable_and_bounded() -> None:
    assert str(PrintableError("there is no \x1b[2J\nor \x8a")) == "there is no \\x1b[2J\nor \\x8a"
    assert len(str(PrintableError("x" * 10_000))) < 2000


def test_a_value_that_cannot_be_shown_has_a_text() -> None:
    assert shown(Unshowable()) == "Unshowable, which cannot be shown (SystemExit)"
    assert shown(10**5000) == "a number of 16610 bits"


def test_an_interrupt_is_not_taken_for_text() -> None:
    class Interrupted:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shown(Interrupted())


def test_plain_data_is_printable_at_every_place() -> None:
    data = {"a\x1b": ["\x07", ("x" * (TEXT + 100),)], "b": None, "c": 1.5, "d": 10**5000, "e": Unshowable()}
    result = printable_data(data)
    assert result["a\\x1b"][0] == "\\x07"
    assert len(result["a\\x1b"][1][0]) < TEXT + 60
    assert (result["b"], result["c"]) == (None, 1.5)
    assert (result["d"], result["e"]) == ("a number of 16610 bits", shown(Unshowable()))


def test_deep_data_ends() -> None:
    data: Any = []
    for _ in range(900):
        data = [data]
    assert len(str(printable_data(data))) < 2 * LINE
