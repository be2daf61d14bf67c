"""Cases of threads: what a call has done in memory holds for every thread of the process once the call has returned.

A second thread runs on another processor.  Before the call it has accessed the memory, so that its processor may have
kept the translation of the address; after the call it accesses it again.
"""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    Call,
    Process,
    System,
)
from ..testing import clause
from ._helpers import KINDS, RW, MakeFile, free_range
from ._rounds import call, run_rounds

kinds = pytest.mark.parametrize("kind", KINDS)
"""Run a case once with each kind of mapping."""

accesses = pytest.mark.parametrize("access", ["load", "store"])
"""Run a case once with a load and once with a store of the other thread."""


class Memory:
    """Memory of a kind at a fixed address, as the arguments of the mmap that makes it anew in each round."""

    def __init__(self, kind: str, process: Process, file: MakeFile, pages: int = 1, content: bytes = b"") -> None:
        page = process.sysconf(30)
        self.page = page
        self.length = pages * page
        self.base = free_range(process, pages)
        self.flags = MAP_FIXED | (MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE)
        self.fd = -1
        if kind.startswith("file"):
            self.fd = file(content or b"f" * self.length)
        else:
            self.flags |= MAP_ANONYMOUS

    def mapped(self, process: Process, prot: int = RW) -> Call:
        """Return the call that maps the memory."""
        return call(process, "mmap", self.base, self.length, prot, self.flags, self.fd, 0)

    def accessed(self, process: Process, access: str, at: int = 0, byte: bytes = b"x") -> Call:
        """Return an access to one byte."""
        return call(process, access, self.base + at, 1 if access == "load" else byte)


# --------------------------------------------------------------------------------- accesses that begin after the return


@clause("threads.munmap")
@kinds
@accesses
def test_no_thread_accesses_unmapped_memory(
    process: Process, system: System, file: MakeFile, kind: str, access: str
) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [(memory.mapped(process), "ok")],
        [(memory.accessed(thread, access), "ok")],
        [(call(process, "munmap", memory.base, memory.length), "ok")],
        [(memory.accessed(thread, access), "fault SIGSEGV")],
    )
