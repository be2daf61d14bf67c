"""The fixtures that cases are written with; there only when an implementation is judged.

One system is booted for each case and closed after it.  What goes wrong while a case is being prepared is never taken
for something that the implementation was asked: it is `Unresolved`.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any, Final

import pytest

from ..contract import O_CREAT, O_EXCL, O_RDWR, SC_PAGESIZE, Backend, Process, System, Unresolved
from ..testing import File, NewPath, Record, WriteFile
from .stash import FAST_PARAMETERS, RECORDED, SETTINGS


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
def new_path(system: System) -> NewPath:
    """`new_path()`: a file name that the case has not used yet, in the system's own folder."""
    return make_new_path()


@pytest.fixture
def file(process: Process, new_path: NewPath) -> File:
    """`file(content=b"", flags=O_RDWR, path=None)`: a new file with that content, opened in `process` with `flags`."""
    return make_file(process, new_path)


@pytest.fixture
def write_file(process: Process) -> WriteFile:
    """`write_file(path, content)`: a new file with that content, by `process`, leaving no descriptor of it."""
    return make_write_file(process)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(name, value)`: note a choice that the specification leaves to the implementation, for the report."""
    return make_record(request.node)


# ------------------------------------------------------------------------------------------------- what they return


def make_new_path() -> NewPath:
    count = itertools.count(1)
    return lambda: f"file-{next(count)}"


def make_file(process: Process, new_path: NewPath) -> File:
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


def make_write_file(process: Process) -> WriteFile:
    def write_file(path: str, content: bytes) -> None:
        try:
            process.close(_create(process, path, content))
        except OSError as error:
            raise Unresolved(f"cannot make the file {path}: {error}") from error

    return write_file


def make_record(item: pytest.Item) -> Record:
    notes: dict[str, Any] = item.stash.setdefault(RECORDED, {})

    def record(name: str, value: object) -> None:
        notes[name] = value

    return record


def _create(process: Process, path: str, content: bytes) -> int:
    fd = process.open(path, O_CREAT | O_EXCL | O_RDWR)
    written = 0
    while written < len(content):
        written += process.pwrite(fd, content[written:], written)
    return fd


# ------------------------------------------------------------------------------------------------------- the short way

FIXTURES: Final = ("backend", "system", "process", "page", "new_path", "file", "write_file", "record")
"""Every fixture of this module."""


def fast_parameters(item: pytest.Item) -> dict[str, object] | None:
    """A case's parameters, if no fixture but ours takes part in it, so that nothing can tell how ours came to be."""
    info = getattr(item, "_fixtureinfo", None)
    if info is None or not hasattr(item, "funcargs") or "request" in info.argnames:
        return None
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return None  # hypothesis asks pytest for every fixture's scope, which makes it
    callspec = getattr(item, "callspec", None)
    parameters: dict[str, object] = dict(callspec.params) if callspec else {}
    for name in info.names_closure:
        definitions = info.name2fixturedefs.get(name, ())
        module = definitions[-1].func.__module__ if definitions else None  # the last is the one that is used
        if name in parameters:
            # pytest makes a fixture of its own of each parameter; another module's has it as `request.param`
            theirs = name in FIXTURES or not (module or "_pytest.").startswith("_pytest.")
        else:
            theirs = name != "request" and (name not in FIXTURES or module != __name__)  # `request`: ours ask for it
        if theirs:
            return None
    return parameters


class FastFixtures:
    """Makes the fixtures of a case at a fraction of the cost of pytest's own way.

    A case on the reference takes a few calls, and pytest spends longer on three or four fixtures, and on parameters,
    which are fixtures to it, than the case on those.  pytest makes no fixture whose value an item has already; so for
    cases that use our fixtures only, the values are put there, and the system is closed when the item is torn down.
    All other cases take pytest's way.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        parameters = item.stash.get(FAST_PARAMETERS, None)
        if parameters is None:
            return (yield)
        values: dict[str, Any] = item.funcargs  # type: ignore[attr-defined]
        values.update(parameters)
        values["request"] = None  # which only our fixtures would have asked for
        names = item.fixturenames  # type: ignore[attr-defined]
        if "backend" in names:
            values["backend"] = self.backend
        if "record" in names:
            values["record"] = make_record(item)
        if "system" not in names:
            return (yield)
        system = values["system"] = self.backend.boot()
        try:
            if "process" in names:
                process = values["process"] = system.spawn()
                if "page" in names:
                    values["page"] = process.sysconf(SC_PAGESIZE)
                if "write_file" in names:
                    values["write_file"] = make_write_file(process)
            if "new_path" in names:
                new_path = values["new_path"] = make_new_path()
                if "file" in names:
                    values["file"] = make_file(process, new_path)
            result = yield
        except BaseException:
            system.close()
            raise
        item.addfinalizer(system.close)
        return result
