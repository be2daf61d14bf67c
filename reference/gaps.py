"""The gaps between mappings, and finding one that is large enough without looking at them all.

Linux takes the highest gap that fits.  A plain search for it looks at every gap, so gaps are kept in classes by size:
class k holds those of 2**k pages up to twice that.  Every gap of a higher class than the wanted size's fits, so the
highest of those is found by looking once into each class; the few dozen classes are all that a search costs.  In the
wanted size's own class a gap may or may not fit, unless the size is a power of two; that class is searched only when
there is nothing else.  So the gap that is found is always a right one, and nearly always the one that Linux takes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from .sorted_map import SortedMap


class Gaps:
    """The free ranges of an address space, in whole pages."""

    __slots__ = ("classes", "page", "starts")

    def __init__(self, low: int, top: int, page: int) -> None:
        self.page = page
        self.starts: SortedMap[int] = SortedMap()
        """The end of each gap by its start."""
        self.classes: dict[int, list[int]] = {}
        """The starts of the gaps of each class of sizes, sorted."""
        self.add(low, top)

    def add(self, start: int, end: int) -> None:
        """Add a gap that touches no other."""
        self.starts[start] = end
        size = ((end - start) // self.page).bit_length() - 1
        if size in self.classes:
            insort(self.classes[size], start)
        else:
            self.classes[size] = [start]

    def remove(self, start: int) -> None:
        """Remove the gap that begins at `start`."""
        end = self.starts[start]
        del self.starts[start]
        gaps = self.classes[((end - start) // self.page).bit_length() - 1]
        del gaps[bisect_left(gaps, start)]

    def before(self, addr: int) -> tuple[int, int]:
        """Return the last gap that begins at or before `addr`: (start, end); (-1, -1) if there is none."""
        starts = self.starts.starts
        at = bisect_right(starts, addr)
        if not at:
            return -1, -1
        start = starts[at - 1]
        return start, self.starts[start]

    def take(self, start: int, end: int) -> None:
        """Take [start, end), which is within one gap, out of it."""
        low, high = self.before(start)
        self.remove(low)
        if low < start:
            self.add(low, start)
        if end < high:
            self.add(end, high)

    def give(self, start: int, end: int) -> None:
        """Make [start, end) free; it is merged with the gaps that it touches."""
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
        """Return the start of the last `length` bytes of the highest gap that is sure to fit."""
        pages = length // self.page
        sure = (pages - 1).bit_length()
        start = max((gaps[-1] for size, gaps in self.classes.items() if size >= sure and gaps), default=None)
        if start is None:
            fitting = (gap for gap in reversed(self.classes.get(sure - 1, ())) if self.starts[gap] - gap >= length)
            start = next(fitting, None)
        return None if start is None else self.starts[start] - length

    def lowest(self, length: int, low: int, high: int) -> int | None:
        """Return the lowest start of `length` free bytes in [low, high).  It searches every gap of the range."""
        starts = self.starts.starts
        for start in starts[max(self.starts.place(low), 0) : bisect_right(starts, high)]:
            at = max(start, low)
            if at + length <= min(self.starts[start], high):
                return at
        return None
