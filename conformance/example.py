"""The worked example as a scenario: the program that prints a file through a mapping, on any implementation.

The program is in pytest_mmapconf/worked_example.py.  Its calls are recorded; errors that no file causes are injected.
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


class Watched(Process):
    """A process that notes the calls the program makes.

    It makes the call named `failing` fail with EIO instead, and opens `instead` where the program opens a file.
    """

    def __init__(self, process: Process, failing: str = "", instead: int = -1) -> None:
        self.process = process
        self.failing = failing
        self.instead = instead
        self.calls: list[str] = []

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.failing:
            raise OSError(errno.EIO, "made to fail")

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        self.note("open")
        return self.process.open(path, flags, mode) if self.instead < 0 else self.process.dup(self.instead)

    def fstat(self, fd: int) -> Stat:
        self.note("fstat")
        return self.process.fstat(fd)

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        self.note("mmap")
        return self.process.mmap(addr, length, prot, flags, fd, offset)

    def close(self, fd: int) -> None:
        self.note("close")
        self.process.close(fd)

    def load(self, addr: int, length: int) -> bytes:
        self.note("load")
        return self.process.load(addr, length)

    def munmap(self, addr: int, length: int) -> None:
        self.note("munmap")
        self.process.munmap(addr, length)


class Run(NamedTuple):
    """What a run of the program came to."""

    status: int
    output: bytes
    errors: list[str]
    calls: list[str]


def run(process: Process, arguments: Sequence[str], failing: str = "", instead: int = -1) -> Run:
    watched = Watched(process, failing, instead)
    output: list[bytes] = []
    errors: list[str] = []
    status = print_file(watched, arguments, output.append, errors.append)
    return Run(status, b"".join(output), errors, watched.calls)


@clause("example.usage")
def test_without_a_file_the_usage_is_printed(process: Process) -> None:
    seen = run(process, [])

    assert seen.status == -1
    assert seen.output.startswith(b"Usage: ")
    assert seen.calls == []
    assert process.exit(seen.status) == 255, "what its parent is told"


@clause("example.open")
def test_a_file_that_is_not_there(process: Process, new_path: NewPath) -> None:
    seen = run(process, [new_path()])

    assert seen.status == -1
    assert [line.startswith("open error: ") for line in seen.errors] == [True]
    assert seen.calls == ["open"]


@clause("example.regular")
@pytest.mark.parametrize("kind", ["directory", "device", "pipe"])
def test_what_is_not_a_regular_file(process: Process, system: System, new_path: NewPath, kind: str) -> None:
    """A pipe is opened as /dev/fd/N opens it: by another descriptor of the one that is there."""
    path, instead = new_path(), -1
    if kind == "directory":
        process.mkdir(path)
    elif kind == "device":
        path = system.facility(Facility.DEV_NULL)
    else:
        instead, _ = process.pipe()

    seen = run(process, [path], instead=instead)

    assert seen.status == 1
    assert seen.output == f"file {path} is not a file\n".encode()
    assert seen.calls == ["open", "fstat"]


@clause("example.print")
@pytest.mark.parametrize("content", ["text", "every-byte", "one-byte", "whole-pages", "pages-and-a-bit"])
def test_the_output_is_the_file(
    process: Process, new_path: NewPath, write_file: WriteFile, page: int, content: str
) -> None:
    expected = {
        "text": b"Hello World!\n",
        "every-byte": bytes(range(256)),
        "one-byte": b"\0",
        "whole-pages": lettered_pages(page, 2),
        "pages-and-a-bit": lettered_pages(page, 2) + b"\xff\0\n",
    }[content]
    path = new_path()
    write_file(path, expected)

    seen = run(process, [path])

    assert seen.output == expected
    assert seen.errors == []
    assert seen.status == 0


@clause("example.print")
def test_close_comes_before_the_printing(process: Process, new_path: NewPath, write_file: WriteFile, page: int) -> None:
    path, content = new_path(), lettered_pages(page, 2)[: page + 5]
    write_file(path, content)

    seen = run(process, [path])

    loads = seen.calls[4:-1]
    assert seen.calls == ["open", "fstat", "mmap", "close", *loads, "munmap"]
    assert loads
    assert set(loads) == {"load"}
    assert seen.output == content


@clause("example.empty")
def test_an_empty_file(process: Process, new_path: NewPath, write_file: WriteFile) -> None:
    path = new_path()
    write_file(path, b"")

    seen = run(process, [path])

    assert seen.status == -1
    assert seen.errors == [f"mmap error: {os.strerror(errno.EINVAL)}"]
    assert seen.output == b""
    assert seen.calls == ["open", "fstat", "mmap"]


@clause("example.errors")
@pytest.mark.parametrize("call", ["fstat", "mmap", "close", "munmap"])
def test_a_call_that_fails_is_reported_by_name(
    process: Process, new_path: NewPath, write_file: WriteFile, call: str
) -> None:
    path = new_path()
    write_file(path, b"Hello World!\n")

    seen = run(process, [path], failing=call)

    assert seen.status == -1
    assert seen.errors == [f"{call} error: {os.strerror(errno.EIO)}"]
    assert seen.output == (b"Hello World!\n" if call == "munmap" else b"")
    assert seen.calls[-1] == call
    assert process.exit(seen.status) == 255, "what its parent is told"
