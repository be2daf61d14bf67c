"""The matrix: every protection, type and object, each with and without MAP_FIXED.

What comes of a call is a table (`TABLE`): one row for each type over each object.  Within a row only PROT_WRITE makes a
difference.  What then may be done with the memory follows from its rights alone: what a right allows must work, what no
right allows must fault; loading from a page that may be written or executed but not read is the hardware's choice and
is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from typing import Any, Final, NamedTuple

import pytest

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
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Backend,
    Process,
)
from ..testing import clause, fails, faults
from ._helpers import (
    RW,
    MakeFile,
    Record,
    assert_not_executable,
    assert_nothing_mapped,
    can_load,
    free_range,
    requires_exec_mount,
)


class Row(NamedTuple):
    """What comes of the calls with one type over one object."""

    without_write: str
    """The errnos allowed without PROT_WRITE; empty: the call succeeds."""
    with_write: str
    """The same with PROT_WRITE."""
    refusal: tuple[str, ...]
    """Clauses that a refusal rests on."""
    success: tuple[str, ...]
    """Clauses that a success rests on."""


SHARED = ("mmap.flag.shared", "mmap.prot.fd-mode")
PRIVATE = ("mmap.flag.private", "mmap.prot.fd-mode")
VALIDATE = ("mmap.flag.shared-validate",)
ANONYMOUS = ("mmap.flag.anonymous",)
CONFLICT = ("mmap.errno.EACCES", "mmap.prot.fd-mode")
NO_TYPE = ("mmap.errno.EINVAL.type",)

TABLE: Final = {
    ("shared", "rdonly"): Row("", "EACCES", CONFLICT, SHARED),
    ("shared", "wronly"): Row("EACCES", "EACCES", CONFLICT, ()),
    ("shared", "rdwr"): Row("", "", (), SHARED),
    ("shared", "anonymous"): Row("", "", (), ANONYMOUS),
    ("private", "rdonly"): Row("", "", (), PRIVATE),
    ("private", "wronly"): Row("EACCES", "EACCES", CONFLICT, ()),
    ("private", "rdwr"): Row("", "", (), PRIVATE),
    ("private", "anonymous"): Row("", "", (), ANONYMOUS),
    ("neither", "rdonly"): Row("EINVAL", "EINVAL", NO_TYPE, ()),
    ("neither", "wronly"): Row("EINVAL EACCES", "EINVAL EACCES", NO_TYPE, ()),  # both apply
    ("neither", "rdwr"): Row("EINVAL", "EINVAL", NO_TYPE, ()),
    ("neither", "anonymous"): Row("EINVAL", "EINVAL", NO_TYPE + ANONYMOUS, ()),
    ("validate", "rdonly"): Row("", "EACCES", CONFLICT + VALIDATE, VALIDATE),
    ("validate", "wronly"): Row("EACCES", "EACCES", CONFLICT + VALIDATE, ()),
    ("validate", "rdwr"): Row("", "", (), VALIDATE),
    ("validate", "anonymous"): Row("EINVAL", "EINVAL", VALIDATE + ANONYMOUS, ()),
}

PROTECTIONS: Final = {
    "---": PROT_NONE,
    "r--": PROT_READ,
    "-w-": PROT_WRITE,
    "rw-": RW,
    "--x": PROT_EXEC,
    "r-x": PROT_READ | PROT_EXEC,
    "-wx": PROT_WRITE | PROT_EXEC,
    "rwx": RW | PROT_EXEC,
}
TYPES: Final = {"shared": MAP_SHARED, "private": MAP_PRIVATE, "neither": 0, "validate": MAP_SHARED_VALIDATE}
MODES: Final = {"rdonly": O_RDONLY, "wronly": O_WRONLY, "rdwr": O_RDWR}

RIGHTS: Final = {PROT_READ: "mmap.prot.read", PROT_WRITE: "mmap.prot.write", PROT_EXEC: "mmap.prot.exec"}


class Call(NamedTuple):
    """One field of the matrix."""

    prot: int
    flags: int
    mode: int | None
    """How the file is opened; None: there is no file."""
    errors: tuple[str, ...]
    """The errnos allowed; none: the call succeeds."""


def matrix(wanted: Callable[[Call], bool], clauses: Callable[[Call, Row], tuple[str, ...]]) -> list[Any]:
    """The fields wanted, as parameters named like "rw--shared-rdonly-fixed", each with the clauses it rests on."""
    fields = []
    for rights, (kind, thing), fixed in product(PROTECTIONS, TABLE, (False, True)):
        row = TABLE[kind, thing]
        prot = PROTECTIONS[rights]
        flags = TYPES[kind] | (MAP_FIXED if fixed else 0) | (MAP_ANONYMOUS if thing == "anonymous" else 0)
        errors = row.with_write if prot & PROT_WRITE else row.without_write
        call = Call(prot, flags, MODES.get(thing), tuple(errors.split()))
        if wanted(call):
            name = f"{rights}-{kind}-{thing}" + ("-fixed" if fixed else "")
            fields.append(pytest.param(call, marks=clause(*clauses(call, row)), id=name))
    return fields


def clauses_of_success(call: Call, row: Row) -> tuple[str, ...]:
    rights = tuple(name for right, name in RIGHTS.items() if call.prot & right) or ("mmap.prot.none",)
    return row.success + rights + (("mmap.flag.fixed",) if call.flags & MAP_FIXED else ())


def clauses_of_refusal(call: Call, row: Row) -> tuple[str, ...]:
    return (*row.refusal, "mmap.result.failure")


def clauses_of_refusal_over_a_mapping(call: Call, row: Row) -> tuple[str, ...]:
    """That EACCES leaves the range alone is Linux's promise only."""
    return (*row.refusal, "mmap.result.failure.fixed" if "EACCES" in call.errors else "mmap.result.failure")


@pytest.mark.parametrize("call", matrix(lambda call: not call.errors, clauses_of_success))
def test_granted(backend: Backend, process: Process, page: int, file: MakeFile, record: Record, call: Call) -> None:
    prot, flags, mode, _ = call
    code = process.return_instruction()
    content = bytes(page) if mode is None else code.ljust(page, b".")
    fd = -1 if mode is None else file(content, mode)
    addr = free_range(process, 1) if flags & MAP_FIXED else 0
    with requires_exec_mount() if prot & PROT_EXEC and mode is not None else nullcontext():
        base = process.mmap(addr, page, prot, flags, fd, 0)
    assert addr in (0, base)

    if prot & PROT_READ:
        assert process.load(base, page) == content
    elif prot:
        record("a page without PROT_READ can be read", can_load(process, base))
    else:
        with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
            process.load(base, 1)

    last = base + page - 1
    if prot & PROT_WRITE:
        process.store(last, b"x")
        if prot & PROT_READ:
            assert process.load(last, 1) == b"x"
        if mode is not None:
            assert process.pread(fd, 1, page - 1) == (b"x" if flags & MAP_SHARED else b".")
    else:
        # Where the hardware keeps a page from being read by protection keys, the code is another.
        with faults("SIGSEGV", at=last, code="SEGV_ACCERR" if prot != PROT_EXEC else None):
            process.store(last, b"x")

    if mode is None:
        put_code(process, page, base, prot, code)
    if prot & PROT_EXEC:
        process.execute(base)
    else:
        assert_not_executable(backend, process, base, record)


@pytest.mark.parametrize("call", matrix(lambda call: bool(call.errors), clauses_of_refusal))
def test_refused(process: Process, page: int, file: MakeFile, call: Call) -> None:
    """With and without MAP_FIXED nothing is mapped at the address that was asked for."""
    fd = -1 if call.mode is None else file(b"abc", call.mode)
    addr = free_range(process, 1)
    with fails(*call.errors):
        process.mmap(addr, page, call.prot, call.flags, fd, 0)

    assert_nothing_mapped(process, addr)


@pytest.mark.parametrize(
    "call",
    matrix(lambda call: bool(call.errors) and bool(call.flags & MAP_FIXED), clauses_of_refusal_over_a_mapping),
)
def test_refused_over_a_mapping(process: Process, page: int, file: MakeFile, call: Call) -> None:
    """What was mapped there before still is."""
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept"), 0)
    fd = -1 if call.mode is None else file(b"abc", call.mode)
    with fails(*call.errors):
        process.mmap(base, page, call.prot, call.flags, fd, 0)

    assert process.load(base, 4) == b"kept"


def put_code(process: Process, page: int, base: int, prot: int, code: bytes) -> None:
    """Put the code into anonymous memory, which may have to be made writable for that."""
    if not prot & PROT_WRITE:
        process.mprotect(base, page, RW)
    process.store(base, code)
    if not prot & PROT_WRITE:
        process.mprotect(base, page, prot)
