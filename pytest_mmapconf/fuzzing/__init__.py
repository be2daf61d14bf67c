"""Random programs: what to call next, drawn by a few bytes, guided by what the reference knows of the present state.

Whether random programs find anything is decided by two things.  The first is the **small world** that they act in: an
scratch_range of a few pages for all that is placed at a fixed address, two short files with different bytes in each
page,
lengths of one to three pages, offsets on page borders.  In a wide world two calls hardly ever meet in the same page,
and nothing happens that a single call would not have shown.  Most steps mean something in the present state: an access
at a border of a mapping or at the end of the file behind it, a descriptor that is open for what it is wanted for.  A
minority is deliberately wrong, in a way that this program has not been refused for yet.

The second is the size of a step.  Hypothesis shrinks a program by simplifying and deleting choices, so a step is one
choice: a string of `STEP` bytes, in which each byte decides one thing (`Digits`), zeros always the simplest one.  The
first byte says which call is made; 0 is none, so that a step is deleted by making it zeros.

Nothing is drawn from an address that a system chose.  Addresses are pages of *regions* (the scratch_range, what mmap
and mremap returned), and beyond a region's ends nothing is ever touched: the system's own memory may be there.
"""

from .draws import STEP, Digits
from .programs import COSTLY, RARE, SELDOM, STEPS, THEMES, World, at_home

__all__ = ["COSTLY", "RARE", "SELDOM", "STEP", "STEPS", "THEMES", "Digits", "World", "at_home"]
