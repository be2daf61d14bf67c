"""Cases of the precedence of errors: mmap calls with two errors.

POSIX allows either errno, and no other.  Linux makes its checks in a fixed order, which has been measured.  `CHECKS`
lists them in that order: the function that spoils a call so that the check fails, and the errno.  `PAIRS` has the pairs
of errors that one call can have.
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
    Unsupported,
)
from ..testing import clause, fails, needs
from ._helpers import RW, MakeFile, assert_nothing_mapped, free_range

UNKNOWN: Final = 0x800000
"""A flag bit that no system defines."""


@dataclass
class Call:
    """The arguments of an mmap call that succeeds unless an argument is spoilt."""

    process: Process
    page: int
    file: MakeFile
    addr: int
    """An unmapped address; the page after it is unmapped too."""
    length: int
    prot: int = PROT_READ
    type: int = MAP_SHARED
    flags: int = 0
    mode: int = O_RDWR
    fd: int | None = None
    """None: a new file, opened with `mode`."""
    offset: int = 0

    def make(self) -> None:
        """Make the call, with a new file if there is no descriptor."""
        fd = self.file(b"abc", self.mode) if self.fd is None else self.fd
        self.process.mmap(self.addr, self.length, self.prot, self.type | self.flags, fd, self.offset)


# ----------------------------------------------------------------------------------------------------- errors of a call


def unaligned_offset(call: Call) -> None:
    """Use an offset that is not a multiple of the page size."""
    call.offset += 1


def bad_descriptor(call: Call) -> None:
    """Use -1 as the descriptor."""
    call.fd = -1


def zero_length(call: Call) -> None:
    """Map zero bytes."""
    call.length = 0


def too_long(call: Call) -> None:
    """Map more than the address space."""
    call.length = 1 << 62 if call.process.bits == 64 else (1 << call.process.bits) - call.page


def fixed_past_end_of_address_space(call: Call) -> None:
    """Use MAP_FIXED with an address past the end of the address space."""
    call.addr = (1 << call.process.bits) - call.page
    call.flags |= MAP_FIXED


def fixed_unaligned(call: Call) -> None:
    """Use MAP_FIXED with an address that is not a multiple of the page size."""
    call.addr += 1
    call.flags |= MAP_FIXED


def noreplace_mapped(call: Call) -> None:
    """Use MAP_FIXED_NOREPLACE at an address where a file is mapped."""
    call.process.mmap(call.addr, call.page, RW, MAP_SHARED | MAP_FIXED, call.file(b"taken"), 0)
    call.flags |= MAP_FIXED_NOREPLACE


def locked_without_permission(call: Call) -> None:
    """Use MAP_LOCKED in a process that may lock no memory."""
    call.process.drop_capability("CAP_IPC_LOCK")
    call.process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    call.flags |= MAP_LOCKED


def offset_past_maximum(call: Call) -> None:
    """Use an offset whose range exceeds the largest offset."""
    call.offset += (1 << 63) - call.page


def unknown_flag(call: Call) -> None:
    """Use MAP_SHARED_VALIDATE with an undefined flag."""
    call.type = MAP_SHARED_VALIDATE
    call.flags |= UNKNOWN


def missing_type(call: Call) -> None:
    """Use neither MAP_SHARED nor MAP_PRIVATE."""
    call.type = 0


def write_only_descriptor(call: Call) -> None:
    """Use a file that is open for writing only."""
    call.mode = O_WRONLY


def pipe_read_end(call: Call) -> None:
    """Use the read end of a pipe, which cannot be mapped."""
    call.fd, _ = call.process.pipe()


def pipe_write_end(call: Call) -> None:
    """Use the write end of a pipe, which is not readable and cannot be mapped."""
    _, call.fd = call.process.pipe()


def past_address_space_limit(call: Call) -> None:
    """Map more than RLIMIT_AS leaves."""
    call.process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * call.page)
    call.length = 256 * call.page


CHECKS: Final[dict[Callable[[Call], None], str]] = {
    unaligned_offset: "EINVAL",
    bad_descriptor: "EBADF",
    zero_length: "EINVAL",
    too_long: "ENOMEM",
    fixed_past_end_of_address_space: "ENOMEM",
    fixed_unaligned: "EINVAL",
    noreplace_mapped: "EEXIST",
    locked_without_permission: "EPERM",
    offset_past_maximum: "EOVERFLOW",
    unknown_flag: "EOPNOTSUPP",
    write_only_descriptor: "EACCES",
    missing_type: "EINVAL",
    pipe_read_end: "ENODEV",
    past_address_space_limit: "ENOMEM",
}
"""The checks of Linux, in its order: the function that makes the check fail, and the errno."""

PAIRS: Final = {
    "mmap.order.offset": (unaligned_offset, (bad_descriptor, too_long, write_only_descriptor, pipe_read_end)),
    "mmap.order.descriptor": (
        bad_descriptor,
        (zero_length, fixed_unaligned, fixed_past_end_of_address_space, locked_without_permission, missing_type),
    ),
    "mmap.order.length": (
        zero_length,
        (fixed_past_end_of_address_space, locked_without_permission, write_only_descriptor, pipe_read_end),
    ),
    "mmap.order.too-long": (too_long, (fixed_unaligned, write_only_descriptor, missing_type, pipe_read_end)),
    "mmap.order.address": (fixed_past_end_of_address_space, (write_only_descriptor, missing_type, pipe_read_end)),
    "mmap.order.address.unaligned": (
        fixed_unaligned,
        (locked_without_permission, offset_past_maximum, write_only_descriptor, pipe_read_end),
    ),
    "mmap.order.address.taken": (
        noreplace_mapped,
        (locked_without_permission, offset_past_maximum, write_only_descriptor, missing_type, pipe_read_end),
    ),
    "mmap.order.lock": (
        locked_without_permission,
        (offset_past_maximum, unknown_flag, write_only_descriptor, missing_type, pipe_read_end),
    ),
    "mmap.order.overflow": (offset_past_maximum, (unknown_flag, write_only_descriptor, missing_type)),
    "mmap.order.flag": (unknown_flag, (write_only_descriptor, pipe_read_end)),
    "mmap.order.limit.mode": (write_only_descriptor, (past_address_space_limit,)),
    "mmap.order.limit.kind": (pipe_read_end, (past_address_space_limit,)),
}
"""By clause: the error that is reported, and the errors of later checks that it is combined with."""

NEEDS: Final = {
    too_long: "upper-addresses-outside",
    fixed_past_end_of_address_space: "fixed",
    fixed_unaligned: "fixed",
    noreplace_mapped: "noreplace",
    locked_without_permission: "locked-memory-limit",
    unknown_flag: "shared-validate",
    past_address_space_limit: "address-space-limit",
}
"""The property that a system needs to detect the error at all."""

LINUX_ONLY: Final = (noreplace_mapped, locked_without_permission, unknown_flag)
"""Errors that POSIX does not define."""


def error_id(spoil: Callable[[Call], None]) -> str:
    """Return the part of a parameter's id that names this error."""
    return spoil.__name__.replace("_", "-")


def pairs(posix: bool) -> list[Any]:
    """Return the pairs as parameters: for `posix` those that POSIX defines, otherwise all, with their clauses.

    The clause of a pair is that of the error that must be reported: it is broken if the other error is, and not the
    clause that has the other error before errors of still later checks.
    """
    return [
        pytest.param(
            first,
            second,
            id=f"{error_id(first)}-{error_id(second)}",
            marks=[
                needs(*(NEEDS[spoil] for spoil in (first, second) if spoil in NEEDS)),
                *([] if posix else [clause(id)]),
            ],
        )
        for id, (first, others) in PAIRS.items()
        for second in others
        if not posix or (first not in LINUX_ONLY and second not in LINUX_ONLY)
    ]


def errnos(process: Process, spoil: Callable[[Call], None]) -> list[str]:
    """Return the errnos that POSIX allows for a call that is spoilt this way.

    An offset past the maximum is also past the end of the file (ENXIO); with 32-bit addresses the C library passes on
    only offsets below 2^44, and fails with EINVAL for others.  An address outside the address space may be invalid.
    """
    if spoil is fixed_past_end_of_address_space:
        return [CHECKS[spoil], "EINVAL"]
    if spoil is offset_past_maximum:
        return [CHECKS[spoil], "ENXIO", *(["EINVAL"] if process.bits != 64 else [])]
    return [CHECKS[spoil]]


@pytest.mark.parametrize(("first", "second"), pairs(posix=False))
def test_linux_reports_first_failed_check(
    process: Process, page: int, file: MakeFile, first: Callable[[Call], None], second: Callable[[Call], None]
) -> None:
    if second is offset_past_maximum and process.bits != 64:
        raise Unsupported("with 32-bit addresses the C library refuses the offset, and no system sees it")
    call = Call(process, page, file, free_range(process, 2), page)
    second(call)
    first(call)
    with fails(CHECKS[first]):
        call.make()


@clause("mmap.errors.several")
@pytest.mark.parametrize(("first", "second"), pairs(posix=True))
def test_one_of_two_errnos_is_reported(
    process: Process, page: int, file: MakeFile, first: Callable[[Call], None], second: Callable[[Call], None]
) -> None:
    """Either errno is allowed, and nothing is mapped."""
    addr = free_range(process, 2)
    call = Call(process, page, file, addr, page)
    second(call)
    first(call)
    with fails(*errnos(process, first), *errnos(process, second)):
        call.make()

    assert_nothing_mapped(process, addr)


@clause("mmap.order.mode")
def test_access_mode_is_checked_before_file_type(process: Process, page: int, file: MakeFile) -> None:
    """The descriptor is the write end of a pipe."""
    call = Call(process, page, file, 0, page)
    pipe_write_end(call)
    with fails("EACCES"):
        call.make()
