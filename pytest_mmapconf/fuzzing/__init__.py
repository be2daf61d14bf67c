"""Random programs: each next call is drawn from a few bytes, guided by the state that the reference knows.

Two properties decide if random programs detect defects.  The first is the **small state space** that they act on: a
scratch range of a few pages for everything that is placed at a fixed address, two short files with different bytes in
each page, lengths of one to three pages, offsets at page boundaries.  In a large state space two calls hardly ever
affect the same page, and a program shows nothing that a single call would not show.  Most steps are meaningful in the
current state: an access at a boundary of a mapping or at the end of its file, a descriptor whose access mode fits the
call.  A minority of calls is deliberately invalid, for a reason that no call of this program has failed for yet.

The second property is the size of a step.  A program is shrunk by simplifying and deleting steps, so a step is a string
of `STEP` bytes, in which each byte decides one thing (`Draws`) and zero always selects the simplest option.  The first
byte selects the call; 0 selects none, so that zeros delete a step.

A program makes only the calls that the level of the run has, with the flags and sizes of that level (`levels`).

No choice depends on an address that a system chose.  Addresses are pages of *regions* (the scratch range and the
results of mmap and mremap), and no program accesses memory outside them: the system's own memory may be there.
"""

from .draws import STEP, Draws
from .programs import FACILITY_ONE_IN, RARE_STEP, RARE_STEPS, STEPS, THEMES, ProgramGenerator, in_working_directory

__all__ = [
    "FACILITY_ONE_IN",
    "RARE_STEP",
    "RARE_STEPS",
    "STEP",
    "STEPS",
    "THEMES",
    "Draws",
    "ProgramGenerator",
    "in_working_directory",
]
