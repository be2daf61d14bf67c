"""Impossible facts are refused; those of real systems are not."""

from __future__ import annotations

import pytest

from pytest_mmapconf.catalogue.fact_values import error


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"page": "4096", "bits": "64", "end": "0x7ffffffff000", "lowest": "65536", "mappings": "65530"},
        {"page": "16384", "bits": "32", "end": "0x100000000", "lowest": "0", "locked": "0", "descriptors": "1024"},
        {"page": "?", "bits": "?", "end": "", "byteorder": "?", "locked": "none", "limits": "none"},
        {"data": "16", "line": "256", "uid": "65534", "byteorder": "big"},
        {"limits": "address-space:1073741824,data:0,"},
        {"end": "0xffff800000000000", "libc": "anything"},
    ],
)
def test_the_facts_of_real_systems_are_possible(facts: dict[str, str]) -> None:
    assert error(facts) is None


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"page": "3"}, "not from 16"),
        ({"page": "12288"}, "no power of two"),
        ({"page": str(1 << 63)}, "not from 16"),
        ({"page": "65536", "bits": "16"}, "not an address of 16 bits"),
        ({"mappings": "-5"}, "not from 1"),
        ({"end": "0"}, "not from 1"),
        ({"end": "zz"}, "no number"),
        ({"end": "0x100000001", "bits": "32"}, "more than addresses of 32 bits"),
        ({"lowest": str(1 << 64)}, "not from 0"),
        ({"lowest": "0x2000", "end": "0x1000"}, "not below end"),
        ({"bits": "1000000000"}, "not from 16 to 64"),
        ({"bits": "9" * 5000}, "no number"),
        ({"data": "1"}, "not from 16"),
        ({"data": "1024", "line": "256"}, "does not fit into line=256"),
        ({"line": "1000000000000"}, "not from 128"),
        ({"uid": "root"}, "no number"),
        ({"locked": "-1"}, "not from 0"),
        ({"descriptors": "x\x1b"}, "which is no number"),
        ({"byteorder": "middle"}, "neither little nor big"),
        ({"limits": "a"}, "NAME:NUMBER"),
    ],
)
def test_an_impossible_fact_is_named_with_what_is_possible(facts: dict[str, str], message: str) -> None:
    text = error(facts) or ""
    assert message in text
    assert text.isprintable()
