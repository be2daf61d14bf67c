"""The project's words: names and prose avoid a short list of idioms that a kernel engineer would have to read twice.

The list is data: a pattern, and what to write in its place.  It covers names as well, so an underscore separates words.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).resolve().parents[1]

SUFFIXES: Final = frozenset({".py", ".c", ".in", ".md", ".toml", ".j2", ".js", ".yml", ".cfg"})

FOLDERS: Final = ("pytest_mmapconf", "conformance", "reference", "tests", "benchmarks", "docs")

EXEMPT: Final = frozenset({Path("docs/renames.md"), Path("tests/test_wording.py")})
"""The table of old names, and this list."""

IDIOMS: Final = {
    r"told|tell|tells|telling|foretell|foretells|foretold": "report, reported, returned, show",
    r"hang on|hangs on|hung on|hanging on": "depend on",
    r"behind": "after, past the end of, of",
    r"parted": "separated, split",
    r"wish|wishes|wished": "hint, request",
    r"the matter": "wrong, an error",
    r"come to|comes to|came to|coming to": "result in, become",
    r"let go|lets go|letting go": "release, drop",
    r"whoever|whosoever|whomever": "the caller that, any process that",
    r"glance|glances|glanced": "sparse audit",
    r"nobody|somebody|anybody": "no process, another process, a user",
    r"all the same": "still, anyway",
}
"""Patterns of whole words -> what to write instead."""


def pattern(words: str) -> re.Pattern[str]:
    """Match any of `words` as whole words, where an underscore or a hyphen counts as a space."""
    spaced = words.replace(" ", r"[\s_-]+")
    return re.compile(rf"(?<![A-Za-z0-9])(?:{spaced})(?![A-Za-z0-9])", re.IGNORECASE)


@cache
def texts() -> list[tuple[Path, str]]:
    """Return each source and documentation file of the project with its text."""
    found = []
    roots = [PROJECT, *(PROJECT / folder for folder in FOLDERS)]
    for root in roots:
        for path in sorted(root.glob("*") if root == PROJECT else root.rglob("*")):
            relative = path.relative_to(PROJECT)
            hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
            if path.is_file() and path.suffix in SUFFIXES and not hidden and relative not in EXEMPT:
                found.append((relative, path.read_text(encoding="utf-8")))
    return found


def uses(text: str, words: str) -> list[int]:
    """Return the numbers of the lines on which an idiom begins."""
    return [text.count("\n", 0, match.start()) + 1 for match in pattern(words).finditer(text)]


@pytest.mark.parametrize("words", IDIOMS, ids=lambda words: words.split("|")[0].replace(" ", "-"))
def test_no_file_uses_the_idiom(words: str) -> None:
    found = [f"{path}:{line}" for path, text in texts() for line in uses(text, words)]

    assert not found, f"{words}: write {IDIOMS[words]}: {', '.join(found[:20])}"


@pytest.mark.parametrize(
    "text", ["It was told.", "def told_of(): ...", "lets_go = 1", "which comes\n    to nothing", "TOLD", "a let-go"]
)
def test_a_planted_idiom_is_found(text: str) -> None:
    assert any(uses(text, words) for words in IDIOMS)


@pytest.mark.parametrize("text", ["metal", "behindhand", "untold", "tellurium", "come together", "wishbone"])
def test_other_words_are_not(text: str) -> None:
    assert not any(uses(text, words) for words in IDIOMS)
