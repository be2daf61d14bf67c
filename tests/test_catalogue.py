"""The catalogue of clauses: parsing, errors, and the suite's own catalogue."""

from __future__ import annotations

import re
from fnmatch import filter as matching
from pathlib import Path

import pytest

from pytest_mmapconf.catalogue import clauses as catalogue
from pytest_mmapconf.catalogue import conditions
from pytest_mmapconf.catalogue.clauses import CatalogueError, Clause, included, parse

GOOD = """
[[clause]]
id = "map.size"
level = "posix"
text = '''
A length of zero is refused.
'''
observed = "EINVAL"
source = "XSH mmap()"
"""


def test_clause_is_parsed() -> None:
    clause = Clause("map.size", "posix", "map", "A length of zero is refused.", "EINVAL", "XSH mmap()")

    assert parse(GOOD) == {"map.size": clause}
    assert parse(GOOD + 'linux = "also"')["map.size"].linux == "also"
    assert str(parse(GOOD + 'when = { kernel = ">=6.17" }')["map.size"].when) == "kernel >=6.17"
    assert parse(GOOD + "[clause.when]\nbits = 64")["map.size"].when == conditions.parse({"bits": 64})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + GOOD, "clause 2: map.size is there twice"),
        (
            GOOD.replace("posix", "posicks"),
            "clause 1 (map.size): level 'posicks' is not one of documented, posix, linux",
        ),
        (GOOD.replace('observed = "EINVAL"', ""), "clause 1 (map.size): observed is missing"),
        (GOOD.replace('"EINVAL"', '""'), "clause 1 (map.size): observed is missing"),
        (GOOD.replace('"EINVAL"', "22"), "clause 1 (map.size): observed is not text"),
        (GOOD.replace('id = "map.size"', ""), "clause 1 (without id): id is missing"),
        (GOOD + 'not_known = "x"', "clause 1 (map.size): not_known is not known; there are id, level, text, "),
        (GOOD + 'when = ">=6.17"', "clause 1 (map.size): when: '>=6.17' is not a condition; "),
        ("[[clause", "not TOML: "),
    ],
    ids=["twice", "level", "missing", "empty", "not-text", "no-id", "unknown", "when", "not-toml"],
)
def test_invalid_catalogues(text: str, message: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        parse(text)

    assert str(caught.value).startswith(message)


def test_levels_include_the_narrower_ones() -> None:
    assert included("documented") == ("documented",)
    assert included("posix") == ("documented", "posix")
    assert included("linux") == ("documented", "posix", "linux")


def test_catalogue_of_the_suite() -> None:
    clauses = catalogue.load()

    assert {clause.level for clause in clauses.values()} == set(catalogue.LEVELS)
    assert {"overview", "mmap", "munmap", "mremap", "msync", "paging", "example"} <= {c.group for c in clauses.values()}
    assert clauses["munmap.range"].level == "documented"
    assert catalogue.load() is clauses


def test_behaviours_page_names_existing_clauses() -> None:
    page = Path(__file__).parent.parent.joinpath("docs", "behaviours.md").read_text(encoding="utf-8")
    groups = "|".join({clause.group for clause in catalogue.load().values()})
    named = re.findall(rf"`((?:{groups})\.[^`()]+)`", page)

    assert [pattern for pattern in named if not matching(catalogue.load(), pattern)] == []
    assert len(named) > 100
