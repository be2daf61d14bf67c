"""Gaps: what is free, and the highest gap that fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.reference.gaps import Gaps

PAGE = 4096
TOP = 64


def gaps_of(free: list[bool]) -> list[tuple[int, int]]:
    """The runs of True as (start, end)."""
    runs = []
    start = None
    for at, is_free in enumerate([*free, False]):
        if is_free and start is None:
            start = at
        elif not is_free and start is not None:
            runs.append((start * PAGE, at * PAGE))
            start = None
    return runs


def test_all_is_one_gap_at_first() -> None:
    assert dict(Gaps(0, TOP * PAGE, PAGE).starts) == {0: TOP * PAGE}


def test_highest_ends_where_the_highest_gap_ends() -> None:
    gaps = Gaps(0, TOP * PAGE, PAGE)
    gaps.take(40 * PAGE, 41 * PAGE)
    assert gaps.highest(PAGE) == 63 * PAGE
    assert gaps.highest(32 * PAGE) == 8 * PAGE, "the gap above is too small"


def test_a_hole_that_fits_exactly_is_used() -> None:
    gaps = Gaps(0, TOP * PAGE, PAGE)
    gaps.take(32 * PAGE, TOP * PAGE)
    gaps.give(60 * PAGE, 61 * PAGE)
    assert gaps.highest(PAGE) == 60 * PAGE
    assert gaps.highest(2 * PAGE) == 30 * PAGE


def test_a_gap_of_the_same_class_is_found_when_there_is_no_other() -> None:
    gaps = Gaps(0, 7 * PAGE, PAGE)
    assert gaps.highest(6 * PAGE) == PAGE
    assert gaps.highest(8 * PAGE) is None


@given(st.lists(st.tuples(st.integers(0, TOP - 1), st.integers(1, 8)), max_size=40), st.integers(1, TOP))
def test_gaps_are_what_is_not_taken(ranges: list[tuple[int, int]], wanted: int) -> None:
    gaps = Gaps(0, TOP * PAGE, PAGE)
    free = [True] * TOP
    for start, length in ranges:
        end = min(start + length, TOP)
        if all(free[start:end]):
            gaps.take(start * PAGE, end * PAGE)
            free[start:end] = [False] * (end - start)
        elif not any(free[start:end]):
            gaps.give(start * PAGE, end * PAGE)
            free[start:end] = [True] * (end - start)
    runs = gaps_of(free)
    assert list(gaps.starts.items()) == runs
    found = gaps.highest(wanted * PAGE)
    fitting = [end - wanted * PAGE for start, end in runs if end - start >= wanted * PAGE]
    assert (found is None) == (not fitting)
    assert found is None or found in fitting
    if fitting and wanted & (wanted - 1) == 0:
        assert found == max(fitting)


@given(st.lists(st.tuples(st.integers(0, TOP - 1), st.integers(1, 8)), max_size=20), st.integers(1, 16))
def test_lowest_is_the_lowest_place_within_bounds(ranges: list[tuple[int, int]], wanted: int) -> None:
    gaps = Gaps(0, TOP * PAGE, PAGE)
    free = [True] * TOP
    for start, length in ranges:
        end = min(start + length, TOP)
        if all(free[start:end]):
            gaps.take(start * PAGE, end * PAGE)
            free[start:end] = [False] * (end - start)
    low, high = 20, 50
    fitting = [at for at in range(low, high - wanted + 1) if all(free[at : at + wanted])]

    found = gaps.lowest(wanted * PAGE, low * PAGE, high * PAGE)

    assert found == (fitting[0] * PAGE if fitting else None)
