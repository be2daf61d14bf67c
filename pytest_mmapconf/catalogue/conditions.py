"""Conditions on the system under test, for clauses that hold on some systems only and for deviations on record.

A condition is a TOML table of facts and tests; all facts must pass their tests::

    when = { kernel = ">=6.17", file_system = ["tmpfs", "ext*"], page = 4096, user = "!root" }

A fact has one test, or a list of tests of which one must pass.  A test is a name, in which `*`, `?` and `[…]` are
wildcards; or comparisons of the first number in the fact, separated by commas, all of which must be true; or a name and
comparisons (`"glibc >=2.36"`).  A leading `!` negates the test.  A version is compared to the precision of the test:
6.17.3 is `"==6.17"` and `"<=6.17"`, and not `">6.17"`.  A test of the kernel without a name is about Linux.

A condition on a fact that the backend does not report is false, also if the test is negated.

The fact `property` is observed by an experiment rather than reported (`properties`).  Its test is the name of a
property, or `!` and a name; of a list of names, all must hold.  Only the condition of a clause may have it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Final, Protocol

from ..text import PrintableError, printable
from .properties import PROPERTIES
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
    "file_system": 'the file system that holds the files of cases: "ext4", "tmpfs" …',
    "user": '"root" or "uid 1000"',
    "capabilities": 'Linux\'s names, separated by commas; "none"',
    "protection_keys": 'of the processor that runs a recipe: "yes" or "no"',
}
"""The facts that a condition may name, and their values.  A backend spells the names with spaces for underscores."""

PROPERTY: Final = "property"
"""The name by which the condition of a clause names observed properties."""

OPERATORS: Final = {">=": ge, "<=": le, "==": eq, "!=": ne, ">": gt, "<": lt}

COMPARISON: Final = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")
TEST: Final = re.compile(rf"(!(?!=))?\s*([^<>=]*?)\s*({COMPARISON.pattern}(?:\s*,\s*{COMPARISON.pattern})*)?")
NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)*")


class ConditionError(PrintableError):
    """A condition is not valid; the message says why."""


@dataclass(frozen=True)
class Test:
    """One test of a fact."""

    text: str
    """The text of the test, as in the file."""
    negated: bool
    name: str
    """A pattern for the whole fact, or for the part before its number; empty for any."""
    comparisons: tuple[tuple[str, tuple[int, ...]], ...]
    """An operator and a version for each comparison."""

    def passes(self, fact: str) -> bool:
        """Return True if the fact passes the test."""
        return self._matches(fact) != self.negated

    def _matches(self, fact: str) -> bool:
        """Return True if the fact matches the name and the comparisons, regardless of `negated`."""
        number = NUMBER.search(fact)
        before = fact[: number.start()].strip() if number else fact
        if self.name and not (fnmatchcase(fact, self.name) or fnmatchcase(before, self.name)):
            return False
        if not self.comparisons:
            return True
        version = tuple(map(int, number[0].split("."))) if number else ()
        return bool(version) and all(OPERATORS[by](_same_length(version, than), than) for by, than in self.comparisons)


def _same_length(version: tuple[int, ...], than: tuple[int, ...]) -> tuple[int, ...]:
    """Return `version` cut, or padded with zeros, to the length of `than`."""
    return (version + (0,) * len(than))[: len(than)]


class Observed(Protocol):
    """The observation of a property; as text a predicate such as "holds" or "is not known: …"."""

    @property
    def holds(self) -> bool | None:
        """None if it is not known."""


@dataclass(frozen=True)
class Condition:
    """The condition of a clause or of an entry of a file of expectations."""

    tests: tuple[tuple[str, tuple[Test, ...]], ...]
    """For each fact, its name and its tests; one of them must pass."""
    properties: tuple[tuple[str, bool], ...] = ()
    """Names of observed properties, each with whether the system must have it."""

    def __str__(self) -> str:
        properties = (_property_in_words(name, wanted) for name, wanted in self.properties)
        return ", ".join([*(_in_words(name, tests) for name, tests in self.tests), *properties])

    def unmet(self, facts: Facts, observe: Callable[[str], Observed] | None = None) -> str | None:
        """Return why the condition is false for a backend with these facts; None if it is true.

        `observe` observes a property by its name; a condition with properties requires it.
        """
        for name, tests in self.tests:
            fact = _reported(facts, name)
            wanted = _in_words(name, tests)
            if not fact:
                return f"only for {wanted}; the backend does not report its {_with_spaces(name)}"
            if not any(test.passes(fact) for test in tests):
                return f"only for {wanted}; this is {fact}"
        for name, has in self.properties:
            assert observe is not None, "the condition has properties"
            observed = observe(name)
            if observed.holds is not has:
                return f"only for {_property_in_words(name, has)}; it {observed} here"
        return None


def _property_in_words(name: str, wanted: bool) -> str:
    """Return "systems with …" or "systems without …"."""
    return f"systems {'with' if wanted else 'without'} {name}"


def _in_words(name: str, tests: Iterable[Test]) -> str:
    """Return the tests of a fact as text, such as "kernel >=6.17 or >=6.12,<6.13"."""
    return f"{_with_spaces(name)} {' or '.join(test.text for test in tests)}"


def _with_spaces(name: str) -> str:
    """Return the name of a fact as a backend spells it."""
    return name.replace("_", " ")


def _reported(facts: Facts, name: str) -> str:
    """Return the value of a fact; empty if the backend does not report it."""
    if name == "backend":
        return facts.name
    fact = facts.version if name == "version" else facts.details.get(_with_spaces(name), "")
    return fact if fact.strip("? ") else ""  # an agent reports "?" for an unknown value


def parse(table: object, *, with_properties: bool = False) -> Condition:
    """Return the condition of a TOML table.  Raises ConditionError.

    `with_properties`: the fact `property` is allowed.
    """
    if not isinstance(table, Mapping) or not table:
        raise ConditionError(f'{_quoted(table)} is not a condition; write one as {{ kernel = ">=6.17" }}')
    parsed = []
    properties: list[tuple[str, bool]] = []
    for name, value in table.items():
        if with_properties and name == PROPERTY:
            properties += map(_property, value if isinstance(value, list) else [value])
            continue
        if name not in FACTS:
            raise ConditionError(f"there is no fact {_quoted(name)}; {did_you_mean(str(name), FACTS)}")
        tests = value if isinstance(value, list) else [value]
        if not tests:
            raise ConditionError(f"{name}: an empty list is never true")
        parsed.append((str(name), tuple(_test(str(name), test) for test in tests)))
    return Condition(tuple(parsed), tuple(properties))


def _quoted(value: object) -> str:
    """Return what a file has in place of a condition, for a message."""
    return printable(repr(value), 200)


def _property(value: object) -> tuple[str, bool]:
    """Return the name of a property, and whether the system must have it.  Raises ConditionError."""
    name = str(value).removeprefix("!")
    if name not in PROPERTIES:
        raise ConditionError(f"there is no property {_quoted(name)}; {did_you_mean(name, PROPERTIES)}")
    return name, name == value


def _test(name: str, value: object) -> Test:
    """Return the test of the fact `name` that this TOML value describes.  Raises ConditionError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Test(str(value), False, "", (("==", (value,)),))
    if isinstance(value, float):
        raise ConditionError(f'{name}: {value} is a decimal fraction; write a version as text: "=={value}"')
    match = TEST.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or not (match[2] or match[3]):
        raise ConditionError(
            f'{name}: {_quoted(value)} is not a test; write a name ("tmpfs", "ext*"), comparisons (">=6.1,<6.17"), '
            'both ("glibc >=2.36"), or "!" and one of these'
        )
    comparisons = tuple((by, tuple(map(int, than.split(".")))) for by, than in COMPARISON.findall(match[3] or ""))
    pattern = match[2] or ("Linux" if name == "kernel" else "")
    return Test(match[0], bool(match[1]), pattern, comparisons)
