"""The chapter's worked example: a program that prints a file through a mapping.

`print_file` is the program itself: it makes the calls of the chapter, in their order, to any implementation of the
contract.  Its messages and exit statuses are those of the chapter: -1 if a call failed (a parent process sees 255), 1
if the file is not a regular file, 0 if the whole file was printed.

`main` runs it from a command line: ``python -m pytest_mmapconf print FILE [--backend NAME]``.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable, Sequence

import pytest

from . import backends
from .contract import (
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_WRONLY,
    PROT_READ,
    Fault,
    Options,
    Process,
    System,
    Unresolved,
    write_content,
)

BLOCK_SIZE = 4096
"""Number of bytes that are loaded and printed at a time."""


def print_file(
    process: Process, arguments: Sequence[str], write: Callable[[bytes], object], complain: Callable[[str], object]
) -> int:
    """Print the file that `arguments` name, through a mapping made by `process`; return the exit status.

    `write` writes bytes to the standard output, `complain` writes a line to the standard error.
    """

    def perror(call: str, error: OSError) -> int:
        complain(f"{call} error: {os.strerror(error.errno or 0)}")
        return -1

    if not arguments:
        write(b"Usage: print <file>\n")
        return -1
    path = arguments[0]

    try:
        fd = process.open(path, O_RDONLY)
    except OSError as error:
        return perror("open", error)

    try:
        status = process.fstat(fd)
    except OSError as error:
        return perror("fstat", error)

    if status.kind != "regular":
        write(f"file {path} is not a file\n".encode())
        return 1

    try:
        base = process.mmap(0, status.size, PROT_READ, MAP_SHARED, fd, 0)
    except OSError as error:
        return perror("mmap", error)

    try:
        process.close(fd)
    except OSError as error:
        return perror("close", error)

    for offset in range(0, status.size, BLOCK_SIZE):
        write(process.load(base + offset, min(BLOCK_SIZE, status.size - offset)))

    try:
        process.munmap(base, status.size)
    except OSError as error:
        return perror("munmap", error)

    return 0


# ------------------------------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str]) -> int:
    """``print FILE [--backend NAME]``: print a file of this machine; return the exit status (255 for -1)."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__} print",
        description="The worked example: print a file through a mapping.",
        epilog="A backend other than native has files of its own: a copy of FILE is printed there.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="the file to print; without it, the usage is printed")
    parser.add_argument("--backend", metavar="NAME", default="native", help="the implementation (default: native)")
    asked = parser.parse_args(arguments)
    try:
        backend = backends.make(asked.backend, folders=[os.getcwd()])
    except pytest.UsageError as error:
        return _say(str(error))
    backend.configure(Options())
    try:
        system = backend.boot()
        try:
            path = _on_this_machine if asked.backend == "native" else _copied
            files = [] if asked.file is None else [path(system, asked.file)]
            return print_file(system.spawn(), files, _write, _say) & 0xFF
        finally:
            system.close()
    except BrokenPipeError:  # the reader has closed the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 255
    except (OSError, Fault, NotImplementedError, Unresolved) as error:
        return _say(f"{asked.backend}: {error}")
    finally:
        backend.close()


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _say(line: str) -> int:
    """Print a line to the standard error; return the exit status of a failure."""
    print(line, file=sys.stderr)
    return 255


def _on_this_machine(system: System, path: str) -> str:
    """Return a path that names the same file in another process; /dev/fd has the descriptors of each process itself."""
    path = os.path.abspath(path)
    own = f"/proc/{os.getpid()}/fd/"
    if path.startswith("/dev/fd/") and os.path.isdir(own):
        return own + path.removeprefix("/dev/fd/")
    return path


def _copied(system: System, path: str) -> str:
    """Copy a file of this machine into the system and return its name there; a missing file is missing there too."""
    name = os.path.basename(os.path.abspath(path)) or "root"
    if not os.path.exists(path):
        return name
    kind = os.stat(path).st_mode
    process = system.spawn()
    if stat.S_ISDIR(kind):
        process.mkdir(name)
    elif stat.S_ISREG(kind):
        with open(path, "rb") as file:
            content = file.read()
        fd = process.open(name, O_CREAT | O_EXCL | O_WRONLY)
        write_content(process, fd, content)
    else:
        raise Unresolved(f"{path} cannot be copied: it is neither a regular file nor a directory")
    process.exit()
    return name
