"""Which clauses are cited for a difference: by call, by what is mapped there and for whom; of an access by fault."""

from __future__ import annotations

import pytest

from pytest_mmapconf import catalogue
from pytest_mmapconf.citing import LEFT, LOCKS, RESIDENT, accessed, kind, left_behind
from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from pytest_mmapconf.reference.address_space import Mapping
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.following import Faulted, Outcome, Returned

PAGE = 4096
RW = PROT_READ | PROT_WRITE


def mapped(flags: int, prot: int = RW) -> Mapping:
    process = ReferenceBackend().boot().spawn()
    fd = -1 if flags & MAP_ANONYMOUS else process.open("file", O_CREAT | O_RDWR)
    mapping = process.space.find(process.mmap(0, PAGE, prot, flags, fd, 0))
    assert mapping is not None
    return mapping


PRIVATE = mapped(MAP_PRIVATE | MAP_ANONYMOUS)


def test_every_clause_that_is_cited_exists() -> None:
    cited = {clause for clauses in LEFT.values() for clause in clauses} | {*LOCKS, *RESIDENT}

    assert cited <= set(catalogue.load())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (MAP_PRIVATE | MAP_ANONYMOUS, "private-memory"),
        (MAP_SHARED | MAP_ANONYMOUS, "shared-memory"),
        (MAP_PRIVATE, "private-file"),
        (MAP_SHARED, "shared-file"),
    ],
)
def test_what_is_mapped(flags: int, expected: str) -> None:
    assert kind(mapped(flags)) == expected
    assert kind(None) == "nothing"


def test_what_is_left_behind_hangs_on_call_place_and_process() -> None:
    arguments = (0, PAGE, MADV_DONTNEED)

    assert "madvise.dontneed.anonymous" in left_behind("madvise", arguments, PRIVATE, True)
    assert left_behind("madvise", arguments, PRIVATE, False) == ("madvise.dontneed.apart",)
    assert left_behind("munmap", (0, PAGE), PRIVATE, False) == ("fork.independent",)
    assert left_behind("munmap", (0, PAGE), PRIVATE, True) == ()


@pytest.mark.parametrize(
    ("access", "mapping", "expected", "seen", "clauses"),
    [
        ("load", None, Faulted("SIGSEGV", "SEGV_MAPERR", 1), Returned(b"x"), ("fault.unmapped",)),
        ("load", PRIVATE, Faulted("SIGBUS", "BUS_ADRERR", 1), Returned(b"x"), ("fault.end-of-file", "hole.full")),
        ("load", None, Faulted("SIGSEGV", "SEGV_MAPERR", 1), Faulted("SIGSEGV", "SEGV_MAPERR", 0), ("fault.address",)),
        (
            "store",
            mapped(MAP_PRIVATE, PROT_NONE),
            Faulted("SIGSEGV", "SEGV_ACCERR", 1),
            Faulted("SIGBUS", "BUS_ADRERR", 1),
            ("fault.inaccessible", "fault.order"),
        ),
        ("store", PRIVATE, Faulted("SIGSEGV", "SEGV_ACCERR", 1), Returned(None), ("fault.read-only",)),
        ("execute", PRIVATE, Faulted("SIGSEGV", "SEGV_ACCERR", 1), Returned(None), ("fault.not-executable",)),
        ("load", PRIVATE, Returned(b"x"), Faulted("SIGBUS", "BUS_ADRERR", 1), ("fault.cured", "growth.accessible")),
        ("load", PRIVATE, Returned(b"x"), Returned(b"y"), ()),
    ],
)
def test_what_an_access_should_have_come_to(
    access: str, mapping: Mapping | None, expected: Outcome, seen: Outcome, clauses: tuple[str, ...]
) -> None:
    assert accessed(access, mapping, expected, seen) == clauses
