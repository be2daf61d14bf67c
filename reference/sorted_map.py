"""A dictionary of integer keys that keeps them sorted: the mappings of an address space, and its gaps.

The keys are one list, searched by bisection.  An insertion moves the keys after it, which for the 65,530 mappings that
a process may have takes microseconds.  sortedcontainers' SortedDict scales further; but address spaces are small, and
with ten keys it needs three times as long for the look-ups of which each call of the reference makes several.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NoReturn, TypeVar

Value = TypeVar("Value")


class SortedMap(dict[int, Value]):
    """A dictionary whose `starts` are its keys in ascending order.  It is changed by assignment, `del` and `clear`."""

    __slots__ = ("starts",)

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[int] = []

    def __reduce__(self) -> tuple[object, ...]:
        # A copy is filled by assignment, which needs the list.
        return type(self), (), None, None, iter(self.items())

    def __setitem__(self, key: int, value: Value) -> None:
        if key not in self:
            insort(self.starts, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: int) -> None:
        super().__delitem__(key)
        del self.starts[bisect_left(self.starts, key)]

    def clear(self) -> None:
        super().clear()
        self.starts.clear()

    def pop(self, *arguments: object) -> NoReturn:
        raise NotImplementedError("use del")

    setdefault = popitem = update = pop

    def __iter__(self) -> Iterator[int]:
        return iter(self.starts)

    def items(self) -> list[tuple[int, Value]]:  # type: ignore[override]
        """Return the keys and values by ascending key, as a list of the caller's own."""
        return [(key, self[key]) for key in self.starts]

    def values(self) -> list[Value]:  # type: ignore[override]
        """Return the values by ascending key, as a list of the caller's own."""
        return [self[key] for key in self.starts]

    def between(self, first: int, stop: int) -> list[Value]:
        """Return the values of the keys from `first` to before `stop`."""
        starts = self.starts
        return [self[key] for key in starts[bisect_left(starts, first) : bisect_left(starts, stop)]]

    def place(self, key: int) -> int:
        """Return the place, in `starts`, of the last key that is not greater than `key`; -1 if there is none."""
        return bisect_right(self.starts, key) - 1
