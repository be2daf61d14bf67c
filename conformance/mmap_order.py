"""Calls of mmap with two things the matter: which of the errnos comes back.

POSIX leaves it open: either may, and nothing else.  Linux looks at one thing after the other, and which it comes to
first has been measured.  `STAGES` has what it looks at, in its order: how a call is spoilt so that this is the matter
with it, and the errno for it.  `PAIRS` has the pairs that can be the matter with one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_LOCKED,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    O_RDWR,
    O_WRONLY,
    PROT_READ,
    Process,
    Resource,
)
from ..testing import clause, fails
from ._helpers import RW, MakeFile, assert_nothing_mapped, free_range

UNKNOWN: Final = 0x800000
"""A flag that no system knows."""


@dataclass
class Call:
    """A call of mmap that succeeds, until it is spoilt."""

    process: Process
    page: int
    file: MakeFile
    addr: int
    """Free, and the page behind it as well."""
    length: int
    prot: int = PROT_READ
    type: int = MAP_SHARED
    flags: int = 0
    mode: int = O_RDWR
    fd: int | None = None
    """None: a file of its own, opened with `mode`."""
    offset: int = 0

    def make(self) -> None:
        fd = self.file(b"abc", self.mode) if self.fd is None else self.fd
        self.process.mmap(self.addr, self.length, self.prot, self.type | self.flags, fd, self.offset)


# ------------------------------------------------------------------------------------------------- how a call is spoilt


def unaligned_offset(call: Call) -> None:
    call.offset += 1


def no_descriptor(call: Call) -> None:
    call.fd = -1


def no_length(call: Call) -> None:
    call.length = 0


def too_long(call: Call) -> None:
    call.length = 1 << 62 if call.process.bits == 64 else (1 << call.process.bits) - call.page


def outside(call: Call) -> None:
    """At a fixed address where there is no address space."""
    call.addr = (1 << call.process.bits) - call.page
    call.flags |= MAP_FIXED


def unaligned(call: Call) -> None:
    """At a fixed address within a page."""
    call.addr += 1
    call.flags |= MAP_FIXED


def taken(call: Call) -> None:
    """Where something is already, which may not be replaced."""
    call.process.mmap(call.addr, call.page, RW, MAP_SHARED | MAP_FIXED, call.file(b"taken"), 0)
    call.flags |= MAP_FIXED_NOREPLACE


def not_to_be_locked(call: Call) -> None:
    """Locked, by a process that may lock nothing."""
    call.process.drop_capability("CAP_IPC_LOCK")
    call.process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    call.flags |= MAP_LOCKED


def too_far(call: Call) -> None:
    """At the end of all offsets."""
    call.offset += (1 << 63) - call.page


def unknown_flag(call: Call) -> None:
    call.type = MAP_SHARED_VALIDATE
    call.flags |= UNKNOWN


def no_type(call: Call) -> None:
    call.type = 0


def not_readable(call: Call) -> None:
    """By a descriptor that is open for writing only."""
    call.mode = O_WRONLY


def pipe(call: Call) -> None:
    """Of the end of a pipe that can be read from."""
    call.fd, _ = call.process.pipe()


def pipe_to_write(call: Call) -> None:
    """Of the other end: it is not open for reading, and cannot be mapped."""
    _, call.fd = call.process.pipe()


def past_the_limit(call: Call) -> None:
    """More than the process may map."""
    call.process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * call.page)
    call.length = 256 * call.page


STAGES: Final[dict[Callable[[Call], None], str]] = {
    unaligned_offset: "EINVAL",
    no_descriptor: "EBADF",
    no_length: "EINVAL",
    too_long: "ENOMEM",
    outside: "ENOMEM",
    unaligned: "EINVAL",
    taken: "EEXIST",
    not_to_be_locked: "EPERM",
    too_far: "EOVERFLOW",
    unknown_flag: "EOPNOTSUPP",
    not_readable: "EACCES",
    no_type: "EINVAL",
    pipe: "ENODEV",
    past_the_limit: "ENOMEM",
}
"""What Linux looks at, in its order, and what it says."""

PAIRS: Final = {
    "mmap.order.offset": (unaligned_offset, (no_descriptor, too_long, not_readable, pipe)),
    "mmap.order.descriptor": (no_descriptor, (no_length, unaligned, outside, not_to_be_locked, no_type)),
    "mmap.order.length": (no_length, (outside, not_to_be_locked, not_readable, pipe)),
    "mmap.order.too-long": (too_long, (unaligned, not_readable, no_type, pipe)),
    "mmap.order.address": (outside, (not_readable, no_type, pipe)),
    "mmap.order.address.unaligned": (unaligned, (not_to_be_locked, too_far, not_readable, pipe)),
    "mmap.order.address.taken": (taken, (not_to_be_locked, too_far, not_readable, no_type, pipe)),
    "mmap.order.lock": (not_to_be_locked, (too_far, unknown_flag, not_readable, no_type, pipe)),
    "mmap.order.overflow": (too_far, (unknown_flag, not_readable, no_type)),
    "mmap.order.flag": (unknown_flag, (not_readable, pipe)),
    "mmap.order.limit.mode": (not_readable, (past_the_limit,)),
    "mmap.order.limit.kind": (pipe, (past_the_limit,)),
}
"""By clause, what comes first, and what comes later."""

LINUX_ONLY: Final = (taken, not_to_be_locked, unknown_flag)
"""What POSIX knows nothing of."""


def name(spoil: Callable[[Call], None]) -> str:
    return spoil.__name__.replace("_", "-")


def pairs(posix: bool) -> list[Any]:
    """The pairs as parameters: for `posix` those that it knows, else all of them, each with its clauses."""
    own = {first: id for id, (first, _) in PAIRS.items()}
    return [
        pytest.param(
            first,
            second,
            id=f"{name(first)}-{name(second)}",
            marks=() if posix else (clause(*dict.fromkeys((id, own.get(second, id)))),),
        )
        for id, (first, others) in PAIRS.items()
        for second in others
        if not posix or (first not in LINUX_ONLY and second not in LINUX_ONLY)
    ]


def errnos(process: Process, spoil: Callable[[Call], None]) -> list[str]:
    """What may be said of a call that is spoilt so.

    Where addresses have 32 bits, the C library hands the system offsets below 2^44 only and itself says EINVAL.
    """
    return [STAGES[spoil]] if process.bits == 64 or spoil is not too_far else [STAGES[spoil], "EINVAL"]


@pytest.mark.parametrize(("first", "second"), pairs(posix=False))
def test_what_linux_finds_first(
    process: Process, page: int, file: MakeFile, first: Callable[[Call], None], second: Callable[[Call], None]
) -> None:
    call = Call(process, page, file, free_range(process, 2), page)
    second(call)
    first(call)
    with fails(STAGES[first]):
        call.make()


@clause("mmap.errors.several")
@pytest.mark.parametrize(("first", "second"), pairs(posix=True))
def test_one_of_two_errnos(
    process: Process, page: int, file: MakeFile, first: Callable[[Call], None], second: Callable[[Call], None]
) -> None:
    """Any of them, and nothing is mapped."""
    addr = free_range(process, 2)
    call = Call(process, page, file, addr, page)
    second(call)
    first(call)
    with fails(*errnos(process, first), *errnos(process, second)):
        call.make()

    assert_nothing_mapped(process, addr)


@clause("mmap.order.mode")
def test_the_mode_comes_before_the_kind(process: Process, page: int, file: MakeFile) -> None:
    """The end of a pipe that can only be written to."""
    call = Call(process, page, file, 0, page)
    pipe_to_write(call)
    with fails("EACCES"):
        call.make()
