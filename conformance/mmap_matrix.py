"""Cases of the matrix of mmap: every protection, type and object, each with and without MAP_FIXED.

The expected outcome of each call is data: `catalogue.mmap_matrix`.  The accesses that a mapping allows follow from its
protection alone: an allowed access must work, another must fault.  A load from a page that is writable or executable
but not readable is the hardware's choice, and its outcome is recorded.

Each call judges the clauses of its protection, type and object: mmap.errno.EACCES, mmap.errno.EINVAL.type,
mmap.flag.anonymous, mmap.flag.private, mmap.flag.shared, mmap.flag.shared-validate, mmap.prot.fd-mode …
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from typing import Any, Final, NamedTuple

import pytest

from ..catalogue.clauses import LEVELS, load
from ..catalogue.mmap_matrix import PROTECTIONS, ROWS, Row, expected_errors, parameter
from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Process,
    Prot,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    RW,
    MakeFile,
    Record,
    assert_inaccessible,
    can_load,
    free_range,
    record_execution,
    requires_exec_mount,
)

PROT_BITS: Final = {"r": PROT_READ, "w": PROT_WRITE, "x": PROT_EXEC}
TYPES: Final = {"shared": MAP_SHARED, "private": MAP_PRIVATE, "neither": 0, "validate": MAP_SHARED_VALIDATE}
ACCESS_MODES: Final = {"rdonly": O_RDONLY, "wronly": O_WRONLY, "rdwr": O_RDWR}
PROT_CLAUSES: Final = {PROT_READ: "mmap.prot.read", PROT_WRITE: "mmap.prot.write", PROT_EXEC: "mmap.prot.exec"}


class Call(NamedTuple):
    """One call of the matrix."""

    prot: int
    flags: int
    mode: int | None
    """The access mode with which the file is opened; None: the mapping is anonymous."""
    errors: tuple[str, ...]
    """The errnos allowed; empty: the call succeeds."""


def matrix(is_selected: Callable[[Call], bool], clauses: Callable[[Call, Row], tuple[str, ...]]) -> list[Any]:
    """Return the selected calls as parameters, each with the clauses that it is judged by."""
    parameters = []
    for protection, (kind, target), fixed in product(PROTECTIONS, ROWS, (False, True)):
        prot = sum(PROT_BITS[letter] for letter in protection if letter != "-")
        flags = TYPES[kind] | (MAP_FIXED if fixed else 0) | (MAP_ANONYMOUS if target == "anonymous" else 0)
        errors = expected_errors(protection, kind, target).split()
        call = Call(prot, flags, ACCESS_MODES.get(target), tuple(errors))
        if is_selected(call):
            ids = clauses(call, ROWS[kind, target])
            marks = [clause(*ids)]
            if PROT_WRITE | PROT_EXEC in Prot(prot) and load()[ids[0]].level != "linux":
                marks.append(needs("write-exec"))
            if fixed:
                marks.append(needs("fixed"))
            parameters.append(pytest.param(call, marks=marks, id=parameter(protection, kind, target, fixed)))
    return parameters


def of_highest_level(*clauses: str) -> tuple[str, ...]:
    """Return the clauses of the highest level among them: a call of that level judges no clause of a lower one."""
    highest = max((load()[id].level for id in clauses), key=LEVELS.index)
    return tuple(id for id in clauses if load()[id].level == highest)


def clauses_of_success(call: Call, row: Row) -> tuple[str, ...]:
    """Return the clauses of a call that succeeds, including those of its protection."""
    prot_clauses = tuple(name for bit, name in PROT_CLAUSES.items() if call.prot & bit) or ("mmap.prot.none",)
    fixed = ("mmap.flag.fixed",) if call.flags & MAP_FIXED else ()
    return of_highest_level(*row.success_clauses, *prot_clauses, *fixed)


def clauses_of_failure(call: Call, row: Row) -> tuple[str, ...]:
    """Return the clauses of a call that fails."""
    return of_highest_level(*row.failure_clauses, "mmap.result.failure")


def clauses_of_failure_over_mapping(call: Call, row: Row) -> tuple[str, ...]:
    """Return the clauses of a MAP_FIXED call that fails; only Linux promises that EACCES keeps the range."""
    kept = "mmap.result.failure.fixed" if call.errors == ("EACCES",) else "mmap.result.failure"
    return of_highest_level(*row.failure_clauses, kept)


# ------------------------------------------------------------------------------------------------------------- success


@pytest.mark.parametrize("call", matrix(lambda call: not call.errors, clauses_of_success))
def test_mmap_succeeds_and_protection_applies(
    process: Process, page: int, file: MakeFile, record: Record, call: Call
) -> None:
    anonymous = call.mode is None
    code = process.return_instruction()
    content = bytes(page) if anonymous else code.ljust(page, b".")
    fd = -1 if call.mode is None else file(content, call.mode)
    addr = free_range(process, 1) if call.flags & MAP_FIXED else 0
    with requires_exec_mount() if call.prot & PROT_EXEC and not anonymous else nullcontext():
        base = process.mmap(addr, page, call.prot, call.flags, fd, 0)
    assert addr in (0, base)

    assert_load_allowed_or_faults(process, base, call.prot, content, record)
    assert_store_allowed_or_faults(process, base + page - 1, call.prot)
    if call.prot & PROT_WRITE and not anonymous:
        assert process.pread(fd, 1, page - 1) == (b"x" if call.flags & MAP_SHARED else b".")
    if anonymous:
        put_code(process, page, base, call.prot, code)
    check_execution(process, base, call.prot, record)


def assert_load_allowed_or_faults(process: Process, base: int, prot: int, content: bytes, record: Record) -> None:
    """Check that loads return `content`, or fault without any permission; without PROT_READ only record the outcome."""
    if prot & PROT_READ:
        assert process.load(base, len(content)) == content
    elif prot:
        record("a page without PROT_READ can be read", can_load(process, base))
    else:
        with faults("SIGSEGV"):
            process.load(base, 1)


def assert_store_allowed_or_faults(process: Process, addr: int, prot: int) -> None:
    """Store "x" at `addr`, and check that it is there or, without PROT_WRITE, that the store faults."""
    if prot & PROT_WRITE:
        process.store(addr, b"x")
        if prot & PROT_READ:
            assert process.load(addr, 1) == b"x"
    else:
        with faults("SIGSEGV"):
            process.store(addr, b"x")


def check_execution(process: Process, base: int, prot: int, record: Record) -> None:
    """Check that the code at `base` can be executed with PROT_EXEC; without it record whether it can."""
    if prot & PROT_EXEC:
        process.execute(base)
    else:
        record_execution(process, base, record)


def put_code(process: Process, page: int, base: int, prot: int, code: bytes) -> None:
    """Store the code in anonymous memory, which is made writable for it if necessary."""
    if not prot & PROT_WRITE:
        process.mprotect(base, page, RW)
    process.store(base, code)
    if not prot & PROT_WRITE:
        process.mprotect(base, page, prot)


# ------------------------------------------------------------------------------------------------------------- failure


@pytest.mark.parametrize("call", matrix(lambda call: bool(call.errors), clauses_of_failure))
def test_mmap_fails_and_maps_nothing(process: Process, page: int, file: MakeFile, call: Call) -> None:
    """With and without MAP_FIXED, nothing is mapped at the requested address."""
    fd = -1 if call.mode is None else file(b"abc", call.mode)
    addr = free_range(process, 1)
    with fails(*call.errors):
        process.mmap(addr, page, call.prot, call.flags, fd, 0)

    assert_inaccessible(process, addr)


@pytest.mark.parametrize(
    "call",
    matrix(lambda call: bool(call.errors) and bool(call.flags & MAP_FIXED), clauses_of_failure_over_mapping),
)
def test_failed_mmap_keeps_existing_mapping(process: Process, page: int, file: MakeFile, call: Call) -> None:
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept"), 0)
    fd = -1 if call.mode is None else file(b"abc", call.mode)
    with fails(*call.errors) as failure:
        process.mmap(base, page, call.prot, call.flags, fd, 0)

    if failure.observed == "EINVAL" or call.errors == ("EACCES",):  # POSIX lets the range go with EACCES
        assert process.load(base, 4) == b"kept"
