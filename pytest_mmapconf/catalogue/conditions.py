"""Conditions on who is judged: for clauses that a system keeps from some version on, and for deviations on record.

A condition is data, a table of TOML: the name of a fact, and what is asked of it.  All of them have to hold::

    when = { kernel = ">=6.17", file_system = ["tmpfs", "ext*"], page = 4096, user = "!root" }

What is asked of a fact is one test or a list of them, of which one has to hold.  A test is a name, in which `*`, `?`
and `[…]` are wild; or comparisons of the first number in the fact, parted by commas; or a name and comparisons
(`"glibc >=2.36"`).  With `!` in front it is its opposite.  A version is compared as far as the test says it: 6.17.3 is
`"==6.17"`, `"<=6.17"` and not `">6.17"`.  A kernel without a name is Linux.

A fact that the backend does not tell holds no condition: nobody knows whether it would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Final

from .tables import did_you_mean

if TYPE_CHECKING:
    from ..contract import Facts

FACTS: Final = {
    "backend": "the backend, as --mmap-backend names it",
    "version": "the implementation's own version",
    "kernel": 'name and release: "Linux 6.18.1"',
    "machine": '"x86_64", "aarch64" …',
    "libc": 'name and version: "glibc 2.36"',
    "page": "bytes",
    "bits": "width of an address",
    "byte_order": '"little" or "big"',
    "file_system": 'where the files of cases lie: "ext4", "tmpfs" …',
    "user": '"root" or "uid 1000"',
    "capabilities": 'Linux\'s names, parted by commas; "none"',
}
"""What can be asked about; a blank in the backend's own name for it is an underscore here."""

OPERATORS: Final = {">=": ge, "<=": le, "==": eq, "!=": ne, ">": gt, "<": lt}

COMPARISON: Final = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")
TEST: Final = re.compile(rf"(!(?!=))?\s*([^<>=]*?)\s*({COMPARISON.pattern}(?:\s*,\s*{COMPARISON.pattern})*)?")
NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)*")


class ConditionError(ValueError):
    """A condition that cannot be understood, and why."""


@dataclass(frozen=True)
class Test:
    """One thing that is asked of a fact."""

    text: str
    """As it was written."""
    opposite: bool
    name: str
    """A pattern for the whole fact, or for what stands before its number; empty for any."""
    comparisons: tuple[tuple[str, tuple[int, ...]], ...]

    def holds(self, fact: str) -> bool:
        """Whether it is true of a fact."""
        return self._as_written(fact) != self.opposite

    def _as_written(self, fact: str) -> bool:
        number = NUMBER.search(fact)
        before = fact[: number.start()].strip() if number else fact
        if self.name and not (fnmatchcase(fact, self.name) or fnmatchcase(before, self.name)):
            return False
        if not self.comparisons:
            return True
        version = tuple(map(int, number[0].split("."))) if number else ()
        return bool(version) and all(OPERATORS[by](_as_long(version, than), than) for by, than in self.comparisons)


def _as_long(version: tuple[int, ...], than: tuple[int, ...]) -> tuple[int, ...]:
    return (version + (0,) * len(than))[: len(than)]


@dataclass(frozen=True)
class Condition:
    """Tests by the name of their fact."""

    tests: tuple[tuple[str, tuple[Test, ...]], ...]

    def __str__(self) -> str:
        return ", ".join(f"{_plain(name)} {' or '.join(test.text for test in tests)}" for name, tests in self.tests)

    def unmet(self, facts: Facts) -> str | None:
        """Why it does not hold of a backend that tells these facts; None where it does."""
        for name, tests in self.tests:
            fact = _told(facts, name)
            wanted = f"{_plain(name)} {' or '.join(test.text for test in tests)}"
            if not fact:
                return f"only for {wanted}; the backend does not tell its {_plain(name)}"
            if not any(test.holds(fact) for test in tests):
                return f"only for {wanted}; this is {fact}"
        return None


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _told(facts: Facts, name: str) -> str:
    if name == "backend":
        return facts.name
    fact = facts.version if name == "version" else facts.details.get(_plain(name), "")
    return fact if fact.strip("? ") else ""  # an agent that does not know says "?"


def parse(table: object) -> Condition:
    """The condition that a table of TOML says.  Raises ConditionError."""
    if not isinstance(table, Mapping) or not table:
        raise ConditionError(f'{table!r} is no condition; write one as {{ kernel = ">=6.17" }}')
    found = []
    for name, asked in table.items():
        if name not in FACTS:
            raise ConditionError(f"nothing is known of {name!r}; {did_you_mean(str(name), FACTS)}")
        several = asked if isinstance(asked, list) else [asked]
        if not several:
            raise ConditionError(f"{name}: an empty list holds for nobody")
        found.append((str(name), tuple(_test(str(name), one) for one in several)))
    return Condition(tuple(found))


def _test(name: str, asked: object) -> Test:
    if isinstance(asked, int) and not isinstance(asked, bool):
        return Test(str(asked), False, "", (("==", (asked,)),))
    if isinstance(asked, float):
        raise ConditionError(f'{name}: {asked} is a decimal fraction; write a version as text: "=={asked}"')
    match = TEST.fullmatch(asked.strip()) if isinstance(asked, str) else None
    if not match or not (match[2] or match[3]):
        raise ConditionError(
            f'{name}: {asked!r} is no test; write a name ("tmpfs", "ext*"), comparisons (">=6.1,<6.17"), '
            'both ("glibc >=2.36"), or "!" and one of these'
        )
    compared = tuple((by, tuple(map(int, than.split(".")))) for by, than in COMPARISON.findall(match[3] or ""))
    pattern = match[2] or ("Linux" if name == "kernel" else "")
    return Test(match[0], bool(match[1]), pattern, compared)
