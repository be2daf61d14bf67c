"""Cases of the worked example: the program that prints a file through a mapping, on any implementation.

The program is in pytest_mmapconf/worked_example.py.  Its calls are recorded, and errors that no file
can cause are injected.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from ..contract import Facility, Process, Stat, System
from ..testing import clause
from ..worked_example import print_file
from ._helpers import NewPath, WriteFile, lettered_pages


class RecordingProcess(Process):
    """A process that records the calls the program makes.

    The call named `failing` fails with EIO; if `instead` is a descriptor, open() returns a duplicate of it.
    """

    def __init__(self, process: Process, failing: str = "", instead: int = -1) -> None:
        self.process = process
        self.failing = failing
        self.instead = instead
        self.calls: list[str] = []

    def record_call(self, call: str) -> None:
        """Record the call; it fails if it is the one named `failing`."""
        self.calls.append(call)
        if call == self.failing:
            raise OSError(errno.EIO, "made to fail")

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        self.record_call("open")
        return self.process.open(path, flags, mode) if self.instead < 0 else self.process.dup(self.instead)

    def fstat(self, fd: int) -> Stat:
        self.record_call("fstat")
        return self.process.fstat(fd)

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        self.record_call("mmap")
        return self.process.mmap(addr, length, prot, flags, fd, offset)

    def close(self, fd: int) -> None:
        self.record_call("close")
        self.process.close(fd)

    def load(self, addr: int, length: int) -> bytes:
        self.record_call("load")
        return self.process.load(addr, length)

    def munmap(self, addr: int, length: int) -> None:
        self.record_call("munmap")
        self.process.munmap(addr, length)


class Run(NamedTuple):
    """The result of a run of the program."""

    status: int
    output: bytes
    errors: list[str]
    calls: list[str]


def run(process: Process, arguments: Sequence[str], failing: str = "", instead: int = -1) -> Run:
    """Run the program and return its status, output, messages and calls."""
    recording = RecordingProcess(process, failing, instead)
    output: list[bytes] = []
    errors: list[str] = []
    status = print_file(recording, arguments, output.append, errors.append)
    return Run(status, b"".join(output), errors, recording.calls)


@clause("example.usage")
def test_usage_is_printed_without_argument(process: Process) -> None:
    result = run(process, [])

    assert result.status == -1
    assert result.output.startswith(b"Usage: ")
    assert result.calls == []
    assert process.exit(result.status) == 255, "the status its parent receives"


@clause("example.open")
def test_missing_file_is_reported(process: Process, new_path: NewPath) -> None:
    result = run(process, [new_path()])

    assert result.status == -1
    assert [line.startswith("open error: ") for line in result.errors] == [True]
    assert result.calls == ["open"]


@clause("example.regular")
@pytest.mark.parametrize("kind", ["directory", "device", "pipe"])
def test_non_regular_file_is_rejected(process: Process, system: System, new_path: NewPath, kind: str) -> None:
    """A pipe is opened as by /dev/fd/N: the result is another descriptor of the existing pipe."""
    path, instead = new_path(), -1
    if kind == "directory":
        process.mkdir(path)
    elif kind == "device":
        path = system.facility(Facility.DEV_NULL)
    else:
        instead, _ = process.pipe()

    result = run(process, [path], instead=instead)

    assert result.status == 1
    assert result.output == f"file {path} is not a file\n".encode()
    assert result.calls == ["open", "fstat"]


@clause("example.print")
@pytest.mark.parametrize("content", ["text", "every-byte", "one-byte", "whole-pages", "whole-pages-and-part"])
def test_output_is_file_content(
    process: Process, new_path: NewPath, write_file: WriteFile, page: int, content: str
) -> None:
    expected = {
        "text": b"Hello World!\n",
        "every-byte": bytes(range(256)),
        "one-byte": b"\0",
        "whole-pages": lettered_pages(page, 2),
        "whole-pages-and-part": lettered_pages(page, 2) + b"\xff\0\n",
    }[content]
    path = new_path()
    write_file(path, expected)

    result = run(process, [path])

    assert result.output == expected
    assert result.errors == []
    assert result.status == 0


@clause("example.print")
def test_file_is_closed_before_printing(process: Process, new_path: NewPath, write_file: WriteFile, page: int) -> None:
    path, content = new_path(), lettered_pages(page, 2)[: page + 5]
    write_file(path, content)

    result = run(process, [path])

    loads = result.calls[4:-1]
    assert result.calls == ["open", "fstat", "mmap", "close", *loads, "munmap"]
    assert loads
    assert set(loads) == {"load"}
    assert result.output == content


@clause("example.empty")
def test_empty_file_is_reported(process: Process, new_path: NewPath, write_file: WriteFile) -> None:
    path = new_path()
    write_file(path, b"")

    result = run(process, [path])

    assert result.status == -1
    assert result.errors == [f"mmap error: {os.strerror(errno.EINVAL)}"]
    assert result.output == b""
    assert result.calls == ["open", "fstat", "mmap"]


@clause("example.errors")
@pytest.mark.parametrize("call", ["fstat", "mmap", "close", "munmap"])
def test_failed_call_is_reported_by_name(process: Process, new_path: NewPath, write_file: WriteFile, call: str) -> None:
    path = new_path()
    write_file(path, b"Hello World!\n")

    result = run(process, [path], failing=call)

    assert result.status == -1
    assert result.errors == [f"{call} error: {os.strerror(errno.EIO)}"]
    assert result.output == (b"Hello World!\n" if call == "munmap" else b"")
    assert result.calls[-1] == call
    assert process.exit(result.status) == 255, "the status its parent receives"
