"""The covering array: rows that contain every possible pair of values, and every triple of interacting axes.

The generators on PyPI (allpairspy, covertable) minimise the number of rows over all values: one value more changes most
rows, and so the ids of most cases.  Here rows are derived in an order that later values do not affect: editions of the
tour one after another, in each the levels from the lowest up.  For each combination of values that no row has yet, a
row is made that has it; each other axis gets the value with which the row contains most that is not covered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations, product
from typing import Final, NamedTuple

from ..catalogue.clauses import LEVELS, included
from .axes import AXES, INTERACTING, Axis, Row, Value, broken_rule, editions
from .call_table import ALL_CALLS as CALLS

INDEX: Final = {axis.id: number for number, axis in enumerate(AXES)}


class Impossible(NamedTuple):
    """A pair of values that no row has."""

    values: tuple[str, str]
    reason: str


@cache
def is_possible(axis: int, value: str, other: int, value_of_other: str, level: str) -> bool:
    """Return True if a row of a level may have two values."""
    return broken_rule(AXES[axis].id, value, AXES[other].id, value_of_other, level) is None


class Builder:
    """Makes the rows of one level of one edition after another."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.covered: set[tuple[tuple[int, str], ...]] = set()
        self.groups: list[tuple[int, ...]] = [*combinations(range(len(AXES)), 2)]
        self.groups += [tuple(sorted(INDEX[id] for id in axes)) for axes in INTERACTING]
        self.partners: dict[int, list[tuple[int, ...]]] = {
            axis: [tuple(a for a in group if a != axis) for group in self.groups if axis in group]
            for axis in range(len(AXES))
        }

    def extend(self, values: Sequence[Sequence[str]], level: str) -> None:
        """Add rows for what the values of a level and edition have in common and no row contains yet."""
        for group in sorted(self.groups, key=lambda group: -len(group)):
            for chosen in product(*(values[axis] for axis in group)):
                combination = tuple(zip(group, chosen, strict=True))
                if combination not in self.covered and self.fits(combination, level):
                    self.add(dict(combination), values, level)

    def fits(self, combination: Sequence[tuple[int, str]], level: str) -> bool:
        """Return True if all pairs of a combination are possible."""
        return all(is_possible(*one, *two, level) for one, two in combinations(combination, 2))

    def add(self, row: dict[int, str], values: Sequence[Sequence[str]], level: str) -> None:
        """Complete a row and add it."""
        free = [axis for axis in range(len(AXES)) if axis not in row]
        for axis in free:
            possible = [
                value
                for value in values[axis]
                if all(is_possible(axis, value, other, its, level) for other, its in row.items())
            ]
            row[axis] = max(possible, key=lambda value: self.gain(axis, value, row)) if possible else values[axis][0]
        whole = tuple(row[axis] for axis in range(len(AXES)))
        if not self.fits(tuple(enumerate(whole)), level):
            raise ValueError(f"no row has this: {whole}")
        self.rows.append(whole)
        for group in self.groups:
            self.covered.add(tuple((axis, row[axis]) for axis in group))

    def gain(self, axis: int, value: str, row: dict[int, str]) -> int:
        """Return how many combinations that are not covered a row gets with a value."""
        return sum(
            all(other in row for other in others)
            and tuple(sorted([(axis, value), *((other, row[other]) for other in others)])) not in self.covered
            for others in self.partners[axis]
        )


FILE: Final = "rows.txt"
"""The file with the ids of the rows.  To make them takes seconds, and every run reads them."""


@cache
def ids() -> tuple[str, ...]:
    """Return the ids of the rows of the tour."""
    return tuple((files(__package__) / FILE).read_text(encoding="ascii").split())


def row(id: str) -> Row:
    """Return the row of an id.  Raises ValueError if its values are none."""
    names = id.split("+")
    return {axis.id: axis[name] for axis, name in zip(AXES, names, strict=True)}


def make_rows() -> tuple[Row, ...]:
    """Make the rows of the tour."""
    builder = Builder()
    for edition in editions():
        for level in LEVELS:
            values = [[v.id for v in axis.values if has(v, edition, level)] for axis in AXES]
            builder.extend(values, level)
    return tuple({axis.id: axis[id] for axis, id in zip(AXES, row, strict=True)} for row in builder.rows)


def has(value: Value, edition: int, level: str) -> bool:
    """Return True if the rows of an edition and a level may have a value."""
    return value.since <= edition and value.level in included(level)


def impossible_pairs() -> Iterator[Impossible]:
    """Yield the pairs of values that no row has, with the reasons."""
    for one, two in combinations(AXES, 2):
        for value, other in pairs(one, two):
            rule = broken_rule(one.id, value.id, two.id, other.id, LEVELS[-1])
            if rule is not None:
                yield Impossible((f"{one.id} {value.id}", f"{two.id} {other.id}"), rule.reason)


def pairs(one: Axis, two: Axis) -> Iterator[tuple[Value, Value]]:
    """Yield all pairs of values of two axes."""
    yield from product(one.values, two.values)


def call_of(id: str) -> str:
    """Return the call of the contract that a row makes."""
    return CALLS[id.partition("+")[0]].call
