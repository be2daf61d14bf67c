"""Helpers of the cases about the storage of files: fallocate, copy_file_range, and a file system that is full."""

from __future__ import annotations

import errno

import pytest

from ..contract import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    O_CREAT,
    O_RDWR,
    Facility,
    Process,
    System,
    Unsupported,
)
from ._helpers import requires

PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE

ZEROING = [
    pytest.param(PUNCH, id="punch"),
    pytest.param(FALLOC_FL_ZERO_RANGE, id="zero"),
    pytest.param(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, id="zero-keep-size"),
]


ABSENT = errno.EOPNOTSUPP, errno.ENOSYS
"""The errors of a call or a mode that the file system or the kernel does not have."""


def allocate(process: Process, fd: int, mode: int, offset: int, length: int) -> None:
    """Make a call of fallocate; without the mode the case is unsupported."""
    with requires("fallocate with this mode", *ABSENT):
        process.fallocate(fd, mode, offset, length)


def copy(process: Process, fd: int, offset: int, to_fd: int, to_offset: int, length: int) -> None:
    """Copy a range, in as many calls as the system needs; on a file system without the call the case is unsupported."""
    while length:
        with requires("copy_file_range", *ABSENT):
            copied = process.copy_file_range(fd, offset, to_fd, to_offset, length)
        assert 0 < copied <= length
        offset, to_offset, length = offset + copied, to_offset + copied, length - copied


def small_file_system(system: System, process: Process) -> str:
    """Return the directory of a file system of the case's own that is at most 64 MiB."""
    directory = system.facility(Facility.OWN_FILE_SYSTEM)
    if process.free_space(directory) > 1 << 26:
        raise Unsupported("the file system of the case is too large to be filled")
    return directory


def fill(process: Process, path: str, page: int) -> None:
    """Write a file until the file system is full."""
    fd = process.open(path, O_CREAT | O_RDWR)
    offset = 0
    for length in (16 * page, page):
        while True:
            try:
                written = process.pwrite(fd, b"f" * length, offset)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
            offset += written
    process.close(fd)


def can_write(process: Process, fd: int, length: int, offset: int) -> bool:
    """Return True if bytes can be written to a file, False if its file system is full."""
    try:
        return process.pwrite(fd, b"m" * length, offset) == length
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        raise


def storage_unit(page: int) -> int:
    """Return a number of bytes that is a multiple of the page and of the block of every file system."""
    return max(page, 1 << 16)


def lettered_units(page: int, letters: str) -> bytes:
    """Return as many units of storage (`storage_unit`) as there are letters, each filled with its letter."""
    return b"".join(letter.encode() * storage_unit(page) for letter in letters)
