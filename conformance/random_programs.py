"""Random programs, each run on the implementation and on the reference side by side.

There is no list of expected results: the reference executes the same calls and determines, after each, which results
are allowed.  A failing case names the clauses of the step at which the implementation and the reference differ, and
shows the shortest program for which they do.
"""

from __future__ import annotations

import pytest

from ..testing import RandomPrograms, clause
from ._helpers import Record


@pytest.mark.mmap_random
@clause("mmap.range", "mmap.flag.shared", "mmap.flag.private", "munmap.range")
def test_random_programs(random_programs: RandomPrograms, record: Record) -> None:
    for name, value in random_programs.run().items():
        record(name, value)

    random_programs.check()
