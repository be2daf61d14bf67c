"""Mutants of errno after a success."""

from __future__ import annotations

from ..mutant import Original, wrong
from ..process import ReferenceProcess


@wrong(ReferenceProcess.errno_cleared, "errno.kept")
def a_call_that_succeeds_sets_errno_to_0(errno_cleared: Original, self: ReferenceProcess) -> bool:
    """The wrapper of the call in the C library stores its status in errno, whatever it is."""
    return True
