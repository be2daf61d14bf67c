"""Helpers of cases with threads: rounds of calls, and the outcomes that are required of every round.

A case gives the calls of a round in stages.  The calls of one stage are made concurrently, those of one thread or
process in their order, and a stage begins when all calls of the stages before have returned.  So a stage of one call
is a call that has returned before another thread goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import pytest

from ..contract import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, SC_PAGESIZE, Call, Process, System
from ._helpers import KINDS, RW, MakeFile, free_range

kinds = pytest.mark.parametrize("kind", KINDS)
"""Run a case once with each kind of mapping."""

of_files = pytest.mark.parametrize("kind", KINDS[:2])
"""Run a case once with a shared and once with a private mapping of a file."""

shared_kinds = pytest.mark.parametrize("kind", KINDS[::2])
"""Run a case once with a shared mapping of a file and once with shared anonymous memory."""

private_kinds = pytest.mark.parametrize("kind", KINDS[1::2])
"""Run a case once with a private mapping of a file and once with private anonymous memory."""

ROUNDS: Final = 300
"""Rounds of a case: enough to meet a race that lasts for a microsecond; they take some milliseconds."""

PAGES: Final = 96
"""Pages of the range in which the memory of a case is."""

Outcomes: TypeAlias = "str | tuple[str, ...]"
"""The beginning of the outcome of a call, or the permitted ones: "ok", "ok 41", "fault SIGSEGV", "error EBADF"."""

Stage: TypeAlias = "Sequence[tuple[Call, Outcomes]]"
"""Calls that are made at the same time, each with its allowed outcomes."""

FAULT: Final = "fault SIGSEGV"


def call(process: Process, name: str, *arguments: object) -> Call:
    """Return a call to be made in a round."""
    return Call(process, name, arguments)


def run_rounds(system: System, *stages: Stage, rounds: int = ROUNDS) -> int:
    """Make rounds of calls, check that each call had an allowed outcome in every round; return the number of rounds."""
    calls = [made._replace(stage=stage) for stage, pairs in enumerate(stages) for made, _allowed in pairs]
    allowed = [outcomes for pairs in stages for _made, outcomes in pairs]
    tally = system.together(calls, rounds)
    total = sum(tally.values())
    wrong = {outcomes: count for outcomes, count in tally.items() if differences(calls, outcomes, allowed)}
    assert not wrong, "; ".join(
        f"in {count} of {total} rounds {differences(calls, outcomes, allowed)}" for outcomes, count in wrong.items()
    )
    assert total > 0, "no round was made"
    return total


def differences(calls: Sequence[Call], outcomes: Sequence[str], allowed: Sequence[Outcomes]) -> str:
    """Return as text which calls had another outcome than those that are allowed; empty if none had."""
    return " and ".join(
        f"{made.name} in stage {made.stage} had {outcome!r}, not {begin!r}"
        for made, outcome, begin in zip(calls, outcomes, allowed, strict=True)
        if not outcome.startswith(begin)
    )


class Memory:
    """Memory of one of the `KINDS` at a fixed address, which each round maps anew.

    Memory of a file has the content f, other memory zeros.  `first`: the page of a range at which it begins.
    """

    def __init__(self, kind: str, process: Process, file: MakeFile, pages: int = 1, first: int = 0) -> None:
        self.page = process.sysconf(SC_PAGESIZE)
        self.length = pages * self.page
        self.base = free_range(process, PAGES) + first * self.page
        self.flags = MAP_FIXED | (MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE)
        self.has_file = kind.startswith("file")
        self.fd = file(b"f" * self.length) if self.has_file else -1
        if not self.has_file:
            self.flags |= MAP_ANONYMOUS
        self.content = "ok 66" if self.has_file else "ok 00"
        """The outcome of a load of a byte that has not been stored to."""

    def mapped(self, process: Process, prot: int = RW) -> tuple[Call, str]:
        """Return the call that maps the memory."""
        made = call(process, "mmap", self.base, self.length, prot, self.flags, self.fd, 0)
        return made, f"ok {self.base:#x}"

    def access(self, process: Process, access: str, at: int = 0, byte: bytes = b"x") -> Call:
        """Return a load or a store of one byte."""
        return call(process, access, self.base + at, 1 if access == "load" else byte)

    def loads(self, process: Process, outcome: str, at: int = 0) -> tuple[Call, str]:
        """Return a load of one byte with its outcome."""
        return self.access(process, "load", at), outcome

    def stores(self, process: Process, byte: bytes = b"x", at: int = 0) -> tuple[Call, str]:
        """Return a store of one byte, which succeeds."""
        return self.access(process, "store", at, byte), "ok"

    def unmapped(self, process: Process) -> tuple[Call, str]:
        """Return the call that unmaps the memory."""
        return call(process, "munmap", self.base, self.length), "ok"
