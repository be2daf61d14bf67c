"""The fixtures of cases; they exist only in a run that judges an implementation.

Each case has a freshly booted system, which is closed after it.  An error in the set-up of a case is not a result of
the call that the case judges: the case is then unresolved.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from ..contract import O_CREAT, O_EXCL, O_RDWR, SC_PAGESIZE, Backend, Process, System, Unresolved, write_content
from ..testing import File, NewPath, RandomPrograms, Record, Tour, WriteFile
from .stash import FAST_PARAMETERS, RECORDED, SETTINGS


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """The backend under test."""
    return request.config.stash[SETTINGS].for_cases


@pytest.fixture
def system(backend: Backend) -> Iterator[System]:
    """A freshly booted system; closed after the case."""
    system = backend.boot()
    yield system
    system.close()


@pytest.fixture
def process(system: System) -> Process:
    """A new process of `system`."""
    return system.spawn()


@pytest.fixture
def page(process: Process) -> int:
    """The page size of `process`, in bytes."""
    return process.sysconf(SC_PAGESIZE)


@pytest.fixture
def user_space_end(request: pytest.FixtureRequest) -> int:
    """The first address above user space; the case is unsupported if it cannot be found."""
    return request.config.stash[SETTINGS].properties.end_of_user_space()


@pytest.fixture
def new_path(system: System) -> NewPath:
    """`new_path()`: a file name that the case has not used yet, in the system's own directory."""
    return make_new_path()


@pytest.fixture
def file(process: Process, new_path: NewPath) -> File:
    """`file(content=b"", flags=O_RDWR, path=None)`: a descriptor in `process` of a new file, opened with `flags`."""
    return make_file(process, new_path)


@pytest.fixture
def write_file(process: Process) -> WriteFile:
    """`write_file(path, content)`: create a file with that content in `process`, and close it."""
    return make_write_file(process)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(name, value)`: report a choice that the specification leaves to the implementation."""
    return make_record(request.node)


@pytest.fixture
def random_programs(request: pytest.FixtureRequest) -> RandomPrograms:
    """`run()` runs random programs on the implementation and on the reference, `check()` raises the difference."""
    from . import random_programs  # imports hypothesis

    return random_programs.RandomPrograms(request.node, getattr(request, "param", None))


@pytest.fixture
def tour(request: pytest.FixtureRequest) -> Tour:
    """`tour(id)`: run a row of the tour on the implementation and on the reference, and raise the difference."""
    return make_tour(request.node)


# --------------------------------------------------------------------------------------------- values of the fixtures


def make_tour(item: pytest.Item) -> Tour:
    """Return the function of the fixture `tour`."""
    from . import tour  # imports the reference

    return tour.TourRunner(item)


def make_new_path() -> NewPath:
    """Return the function of the fixture `new_path`."""
    count = itertools.count(1)
    return lambda: f"file-{next(count)}"


def make_file(process: Process, new_path: NewPath) -> File:
    """Return the function of the fixture `file`."""

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
    """Return the function of the fixture `write_file`."""

    def write_file(path: str, content: bytes) -> None:
        try:
            process.close(_create(process, path, content))
        except OSError as error:
            raise Unresolved(f"cannot make the file {path}: {error}") from error

    return write_file


def make_record(item: pytest.Item) -> Record:
    """Return the function of the fixture `record`, which stores values in the item's stash."""
    notes: dict[str, Any] = item.stash.setdefault(RECORDED, {})

    def record(name: str, value: object) -> None:
        notes[name] = value

    return record


def _create(process: Process, path: str, content: bytes) -> int:
    """Create a file with this content; return its descriptor, open for reading and writing."""
    fd = process.open(path, O_CREAT | O_EXCL | O_RDWR)
    write_content(process, fd, content)
    return fd


# ------------------------------------------------------------------------------------------------------- fast fixtures

FIXTURES: Final = (
    "backend",
    "system",
    "process",
    "page",
    "user_space_end",
    "new_path",
    "file",
    "write_file",
    "record",
    "tour",
)
"""The fixtures of this module that `fast_values` creates."""


def fast_parameters(item: pytest.Item) -> dict[str, object] | None:
    """Return the parameters of a case that uses no fixture but those of FIXTURES, and None for other items.

    In such a case no other code can detect that pytest did not create the fixtures.
    """
    info = getattr(item, "_fixtureinfo", None)
    if info is None or not hasattr(item, "funcargs") or "request" in info.argnames:
        return None
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return None  # hypothesis asks pytest for the scope of every fixture, and pytest then creates the fixture
    callspec = getattr(item, "callspec", None)
    parameters: dict[str, object] = dict(callspec.params) if callspec else {}
    for name in info.names_closure:
        definitions = info.name2fixturedefs.get(name, ())
        module = definitions[-1].func.__module__ if definitions else None  # the last definition overrides the others
        if name in parameters:
            # for a direct parameter pytest defines a fixture itself; a user's fixture gets it as `request.param`
            foreign = name in FIXTURES or not (module or "_pytest.").startswith("_pytest.")
        else:
            foreign = name != "request" and (name not in FIXTURES or module != __name__)  # FIXTURES use `request`
        if foreign:
            return None
    return parameters


def fast_values(item: pytest.Item) -> dict[str, Any]:
    """Return the parameters and the values of the fixtures of a case that has `fast_parameters`, by name.

    The caller closes the system, if there is one.
    """
    settings = item.config.stash[SETTINGS]
    parameters: dict[str, object] = item.stash[FAST_PARAMETERS]
    values: dict[str, Any] = {**parameters}
    names = item.fixturenames  # type: ignore[attr-defined]
    if "backend" in names:
        values["backend"] = settings.for_cases
    if "record" in names:
        values["record"] = make_record(item)
    if "tour" in names:
        values["tour"] = make_tour(item)
    if "user_space_end" in names:
        values["user_space_end"] = settings.properties.end_of_user_space()
    if "system" not in names:
        return values
    system = values["system"] = settings.for_cases.boot()
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
    except BaseException:
        with suppress(Exception):  # the set-up has failed, which is reported
            system.close()
        raise
    return values


class FastFixtures:
    """Creates the fixtures of a case at a fraction of the cost of pytest's own mechanism.

    A case on the reference makes a few calls, which take less time than pytest spends on three or four fixtures, and on
    parameters, which it treats as fixtures.  pytest creates no fixture whose value an item already has.  So for cases
    that use the plugin's fixtures only, this hook stores the values in the item, and closes the system in the item's
    teardown.  pytest creates the fixtures of all other cases.
    """

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        if FAST_PARAMETERS not in item.stash:
            return (yield)
        values = fast_values(item)
        system = values.get("system")
        item.funcargs.update(values)  # type: ignore[attr-defined]
        item.funcargs["request"] = None  # type: ignore[attr-defined]  # only the fixtures of FIXTURES would use it
        try:
            result = yield
        except BaseException:
            if system is not None:
                with suppress(Exception):  # the set-up has failed, which is reported
                    system.close()
            raise
        if system is not None:
            item.addfinalizer(system.close)
        return result
