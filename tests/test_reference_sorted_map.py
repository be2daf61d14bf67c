"""A dictionary that keeps its keys sorted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.reference.sorted_map import SortedMap


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20))))
def test_keys_and_values_are_those_of_a_dictionary_in_order(changes: list[tuple[bool, int]]) -> None:
    sorted_map: SortedMap[str] = SortedMap()
    plain: dict[int, str] = {}
    for at, (is_added, key) in enumerate(changes):
        if is_added:
            sorted_map[key] = plain[key] = f"{at}"
        elif key in plain:
            del sorted_map[key]
            del plain[key]

    expected = sorted(plain.items())

    assert sorted_map.items() == expected
    assert list(sorted_map) == sorted_map.starts == [key for key, _value in expected]
    assert sorted_map.values() == [value for _key, value in expected]
    assert sorted_map.between(3, 9) == [value for key, value in expected if 3 <= key < 9]
    for key in range(-1, 22):
        assert sorted_map.place(key) == sum(start <= key for start in plain) - 1


def test_other_ways_to_change_it_are_refused() -> None:
    sorted_map: SortedMap[str] = SortedMap()
    sorted_map[1] = "one"

    with pytest.raises(NotImplementedError):
        sorted_map.pop(1)
    with pytest.raises(NotImplementedError):
        sorted_map.update({2: "two"})

    sorted_map.clear()
    assert sorted_map.starts == []
