"""The gaps between mappings, and finding one that is large enough without looking at them all.

Linux takes the highest gap that fits.  A plain search for it looks at every gap, so gaps are kept in classes by size:
class k holds those of 2**k pages up to twice that.  Every gap of a higher class than the wanted size's fits, so the
highest of those is found by looking once into each class; the few dozen classes are all that a search costs.  In the
wanted size's own class a gap may or may not fit, unless the size is a power of two; that class is searched only when
there is nothing else.  So the gap that is found is always a right one, and nearly always the one that Linux takes.
"""

from __future__ import annotations

from sortedcontainers import SortedDict, SortedList


class Gaps:
    """The free ranges of an address space, in pages' multiples."""

    __slots__ = ("classes", "page", "starts")

    def __init__(self, low: int, top: int, page: int) -> None:
        self.page = page
        self.starts: SortedDict[int, int] = SortedDict()
        """Where each gap begins -> where it ends."""
        self.classes: dict[int, SortedList[int]] = {}
        """Class by size -> where its gaps begin."""
        self.add(low, top)

    def add(self, start: int, end: int) -> None:
        """There is a gap; it touches no other."""
        self.starts[start] = end
        size = ((end - start) // self.page).bit_length() - 1
        if size in self.classes:
            self.classes[size].add(start)
        else:
            self.classes[size] = SortedList((start,))

    def remove(self, start: int) -> None:
        """The gap that begins at `start` is none any more."""
        end = self.starts.pop(start)
        size = ((end - start) // self.page).bit_length() - 1
        self.classes[size].remove(start)

    def before(self, addr: int) -> tuple[int, int]:
        """The last gap that begins at or before `addr`: (start, end); (-1, -1) when there is none."""
        at = self.starts.bisect_right(addr) - 1
        return self.starts.peekitem(at) if at >= 0 else (-1, -1)

    def take(self, start: int, end: int) -> None:
        """[start, end), which lies in one gap, is free no longer."""
        low, high = self.before(start)
        self.remove(low)
        if low < start:
            self.add(low, start)
        if end < high:
            self.add(end, high)

    def give(self, start: int, end: int) -> None:
        """[start, end) is free again; it joins the gaps that it touches."""
        low, high = self.before(start)
        if high == start:
            self.remove(low)
            start = low
        if end in self.starts:
            high = self.starts[end]
            self.remove(end)
            end = high
        self.add(start, end)

    def highest(self, length: int) -> int | None:
        """Where `length` bytes begin that end where a gap ends: in the highest gap that is sure to fit."""
        pages = length // self.page
        sure = (pages - 1).bit_length()
        start = max((gaps[-1] for size, gaps in self.classes.items() if size >= sure and gaps), default=None)
        if start is None:
            fitting = (gap for gap in reversed(self.classes.get(sure - 1, ())) if self.starts[gap] - gap >= length)
            start = next(fitting, None)
        return None if start is None else self.starts[start] - length

    def lowest(self, length: int, low: int, high: int) -> int | None:
        """Where `length` bytes begin in [low, high), as low as can be; for a range that is not looked at often."""
        for start in self.starts.irange(self.before(low)[0], high):
            at = max(start, low)
            if at + length <= min(self.starts[start], high):
                return at
        return None
