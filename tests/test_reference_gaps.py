"""Test the gaps of an address space, and the search for one that fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.reference.gaps import Gaps

PAGE = 4096
TOP = 64


def gaps_of(free: list[bool]) -> list[tuple[int, int]]:
    """Return the runs of True as (start, end)."""
    runs = []
    start = None
    for at, is_free in enumerate([*free, False]):
        if is_free and start is None:
            start = at
        elif not is_free and start is not None:
            runs.append((start * PAGE, at * PAGE))
            start = None
    return runs


def test_an_empty_address_space_is_one_gap() -> None:
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
def test_gaps_are_the_pages_not_taken(ranges: list[tuple[int, int]], wanted: int) -> None:
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
def test_lowest_returns_the_lowest_fit_within_bounds(ranges: list[tuple[int, int]], wanted: int) -> None:
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


def test_the_first_address_is_free_again() -> None:
    gaps = Gaps(0, 8 * PAGE, PAGE)
    gaps.take(0, 8 * PAGE)
    assert gaps.lowest(PAGE, 0, 8 * PAGE) is None
    gaps.give(0, 3 * PAGE)
    assert dict(gaps.starts) == {0: 3 * PAGE}
    assert gaps.lowest(3 * PAGE, 0, 8 * PAGE) == 0


@pytest.mark.parametrize(
    ("length", "low", "high", "place"),
    [
        (1, 0, 64, 3),
        (2, 0, 64, 3),
        (3, 0, 64, 13),
        (1, 4, 64, 4),
        (2, 4, 64, 13),
        (1, 5, 64, 13),
        (7, 13, 20, 13),
        (7, 13, 19, None),
        (7, 14, 64, 41),
        (4, 14, 18, 14),
        (4, 14, 17, None),
        (23, 41, 64, 41),
        (24, 0, 64, None),
        (1, 20, 41, None),
        (1, 20, 42, 41),
    ],
)
def test_lowest_fit_for_given_bounds(length: int, low: int, high: int, place: int | None) -> None:
    """Free are two pages from page 3 on, seven from page 13 on, and all from page 41 on (counted from 1)."""
    gaps = Gaps(0, TOP * PAGE, PAGE)
    for start, end in ((0, 3), (5, 13), (20, 41)):
        gaps.take(start * PAGE, end * PAGE)
    found = gaps.lowest(length * PAGE, low * PAGE, high * PAGE)
    assert found == (None if place is None else place * PAGE)


def test_a_higher_gap_that_is_sure_to_fit_is_taken_before_one_that_may() -> None:
    gaps = Gaps(0, TOP * PAGE, PAGE)
    for start, end in ((3, 9), (17, 20), (27, 33), (40, 57)):
        gaps.take(start * PAGE, end * PAGE)
    places = {length: gaps.highest(length * PAGE) for length in range(1, 10)}
    free = {1: 63, 2: 62, 3: 61, 4: 60, 5: 12, 6: 11, 7: 10, 8: 9, 9: None}
    assert places == {length: None if at is None else at * PAGE for length, at in free.items()}
