"""The fixtures that cases are written with; there only when an implementation is judged.

One system is booted for each case and closed after it.  What goes wrong while a case is being prepared is never taken
for something that the implementation was asked: it is `Unresolved`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from .contract import O_CREAT, O_EXCL, O_RDWR, SC_PAGESIZE, Backend, Process, System, Unresolved
from .settings import RECORDED, SETTINGS


class File(Protocol):
    """What the fixture `file` is."""

    def __call__(self, content: bytes = b"", flags: int = O_RDWR, path: str | None = None) -> int: ...


class WriteFile(Protocol):
    """What the fixture `write_file` is."""

    def __call__(self, path: str, content: bytes) -> None: ...


class Record(Protocol):
    """What the fixture `record` is."""

    def __call__(self, name: str, value: object) -> None: ...


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """The implementation that is judged."""
    return request.config.stash[SETTINGS].backend


@pytest.fixture
def system(backend: Backend) -> Iterator[System]:
    """A freshly booted system; closed after the case."""
    system = backend.boot()
    yield system
    system.close()


@pytest.fixture
def process(system: System) -> Process:
    """A process of the system."""
    return system.spawn()


@pytest.fixture
def page(process: Process) -> int:
    """The page size of `process`, in bytes."""
    return process.sysconf(SC_PAGESIZE)


@pytest.fixture
def new_path(system: System) -> Callable[[], str]:
    """`new_path()`: a file name that the case has not used yet, in the system's own folder."""
    count = 0

    def new_path() -> str:
        nonlocal count
        count += 1
        return f"file-{count}"

    return new_path


@pytest.fixture
def file(process: Process, new_path: Callable[[], str]) -> File:
    """`file(content=b"", flags=O_RDWR, path=None)`: a new file with that content, opened in `process` with `flags`."""

    def file(content: bytes = b"", flags: int = O_RDWR, path: str | None = None) -> int:
        path = path or new_path()
        try:
            fd = _create(process, path, content)
            if flags == O_RDWR:
                return fd
            process.close(fd)
            return process.open(path, flags)
        except OSError as error:
            raise Unresolved(f"cannot make the file {path}: {error}") from error

    return file


@pytest.fixture
def write_file(process: Process) -> WriteFile:
    """`write_file(path, content)`: a new file with that content, by `process`, leaving no descriptor of it."""

    def write_file(path: str, content: bytes) -> None:
        try:
            process.close(_create(process, path, content))
        except OSError as error:
            raise Unresolved(f"cannot make the file {path}: {error}") from error

    return write_file


def _create(process: Process, path: str, content: bytes) -> int:
    fd = process.open(path, O_CREAT | O_EXCL | O_RDWR)
    written = 0
    while written < len(content):
        written += process.pwrite(fd, content[written:], written)
    return fd


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(name, value)`: note a choice that the specification leaves to the implementation, for the report."""
    notes: dict[str, Any] = request.node.stash.setdefault(RECORDED, {})

    def record(name: str, value: object) -> None:
        notes[name] = value

    return record
