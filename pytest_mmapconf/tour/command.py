"""`python -m pytest_mmapconf tour`: the axes and their values, the pairs that rows have, and those that none can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from ..catalogue.clauses import LEVELS
from . import array
from .axes import AXES, INTERACTING, broken_rule, row_id


def lines() -> Iterator[str]:
    """Yield the text of the command."""
    for axis in AXES:
        yield f"{axis.id}: {axis.text} ({len(axis.values)} values)"
        for value in axis.values:
            yield f"    {value.id:26} {value.text}"
    yield ""
    rows = [array.row(id) for id in array.ids()]
    covered = {pair for row in rows for pair in combinations([(axis.id, row[axis.id].id) for axis in AXES], 2)}
    possible = list(possible_pairs())
    count = sum(pair in covered for pair in possible)
    share = 100 * count / len(possible)
    yield f"{len(rows)} rows have {count} of {len(possible)} possible pairs of values ({share:.1f} %)"
    for axes, reason in INTERACTING.items():
        yield f"and every possible triple of {', '.join(axes)}: {reason}"
    reasons = Counter(pair.reason for pair in array.impossible_pairs())
    yield f"impossible pairs: {sum(reasons.values())}"
    for reason, number in reasons.most_common():
        yield f"    {number:4}  {reason}"


def possible_pairs() -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield the pairs of values that a row of the highest level can have."""
    for one, two in combinations(AXES, 2):
        for value, other in array.pairs(one, two):
            if broken_rule(one.id, value.id, two.id, other.id, LEVELS[-1]) is None:
                yield (one.id, value.id), (two.id, other.id)


def row_ids() -> Iterator[str]:
    """Yield the ids of the rows, made anew."""
    return (row_id(row) for row in array.make_rows())
