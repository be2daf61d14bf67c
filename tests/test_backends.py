"""Creation of the backend that --mmap-backend names."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.contract import SC_PAGESIZE, Backend, Facts, Options, System, Unsupported

MINE = """
import errno
from pytest_mmapconf.contract import Backend, Process, System

class Mine(Process):
    def sysconf(self, name):
        return 8192

class NoPages(Process):
    pass

class MySystem(System):
    closed = 0
    def spawn(self):
        return Mine()
    def close(self):
        MySystem.closed += 1

class MyBackend(Backend):
    name = "mine"

class Needy(Process):
    def __init__(self, kernel):
        pass

def process():
    return Mine()

def broken():
    raise RuntimeError("no kernel in sight")

class inside:
    Mine = Mine

class Hidden(Process):
    def __getattribute__(self, name):
        raise SystemExit("hidden")

number = 3
def gives_number():
    return 3
def gives_class():
    return Mine
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A directory with the module `mine`, which is not on sys.path."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "half.py").write_text("import no_such_thing\n")
    (tmp_path / "torn.py").write_text("def (:\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield str(tmp_path)
    for name in ("mine", "half", "torn"):
        sys.modules.pop(name, None)


def make(string: str, folder: str) -> Backend:
    return backends.make(string, folders=[folder])


@pytest.mark.parametrize("factory", ["Mine", "process", "inside.Mine"])
def test_factory_of_a_process(mine: str, factory: str) -> None:
    backend = make(f"python:mine:{factory}", mine)
    backend.configure(Options())

    one, two = backend.boot(), backend.boot()

    first, second = one.spawn(), two.spawn()
    assert first is not second
    assert first.sysconf(SC_PAGESIZE) == 8192
    with pytest.raises(Unsupported, match=r"^the backend has one process only$"):
        one.spawn()
    assert backend.facts() == Facts(f"python:mine:{factory}", details={"page": "8192", "bits": "64"})


def test_facts_of_a_process_without_page_size(mine: str) -> None:
    assert make("python:mine:NoPages", mine).facts() == Facts("python:mine:NoPages")


def test_factory_of_a_system_is_called_for_each_boot(mine: str) -> None:
    backend = make("python:mine:MySystem", mine)
    systems = sys.modules["mine"].MySystem

    assert systems.closed == 1  # the one that `make` created to determine its type
    one, two = backend.boot(), backend.boot()
    assert isinstance(one, System)
    assert one is not two
    assert backend.facts().details == {"page": "8192", "bits": "64"}
    assert systems.closed == 2


def test_factory_of_a_backend(mine: str) -> None:
    assert make("python:mine:MyBackend", mine).facts() == Facts("mine")


@pytest.mark.parametrize(
    ("string", "message"),
    [
        ("python:mine", "must be python:MODULE:FACTORY, such as python:mine:Mine"),
        ("python:", "must be python:MODULE:FACTORY, such as python:mine:Mine"),
        ("python:mine:Mine:more", "must be python:MODULE:FACTORY, such as python:mine:Mine"),
        (
            "python:mime:Mine",
            "cannot import mime: ModuleNotFoundError: No module named 'mime'; "
            "run pytest in the module's directory, or add that directory to PYTHONPATH",
        ),
        ("python:half:Mine", "cannot import half: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("python:torn:Mine", "cannot import torn: SyntaxError: invalid syntax (torn.py, line 1)"),
        ("python:mine:Mime", "mine ({folder}/mine.py) has no Mime; did you mean Mine?"),
        ("python:mine:inside.X", "mine ({folder}/mine.py) has no inside.X; there are: Mine"),
        ("python:mine:number", "mine:number is an object of int, which cannot be called"),
        ("python:mine:broken", "its factory failed: RuntimeError: no kernel in sight"),
        ("python:mine:Hidden", "its factory failed: SystemExit: hidden"),
        (
            "python:mine:Needy",
            "its factory failed: TypeError: Needy.__init__() missing 1 required positional argument: 'kernel'",
        ),
        (
            "python:mine:gives_number",
            "mine:gives_number() returned an object of int; it must return a Process, a System or a Backend "
            "(derive your class from pytest_mmapconf.contract.Process)",
        ),
        (
            "python:mine:gives_class",
            "mine:gives_class() returned the class Mine; it must return a Process, a System or a Backend "
            "(derive your class from pytest_mmapconf.contract.Process)",
        ),
        ("agent:", "needs a command, such as 'agent:ssh board ./mmap_agent'"),
        ("agent: ", "needs a command, such as 'agent:ssh board ./mmap_agent'"),
        ("reference:posix-strickt", "no such variant; did you mean posix-strict?"),
        (
            "referense",
            "no such backend; did you mean reference? "
            "(or agent:COMMAND ARGS…, python:MODULE:FACTORY, reference:NAME, mutant:ID, RECIPE:VALUE,OPTION=VALUE)",
        ),
    ],
)
def test_invalid_strings(mine: str, string: str, message: str) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        make(string, mine)

    text = str(caught.value)
    assert text.removeprefix(f"--mmap-backend={string}").removeprefix("--mmap-backend=agent").lstrip(": ") == (
        message.format(folder=mine)
    )


def test_backends_of_the_suite() -> None:
    for name in ("reference", "native"):
        backend = backends.make(name)
        assert isinstance(backend, Backend)
        assert type(backend).__module__.startswith("pytest_mmapconf.")
    agent = backends.make("agent:some-board --fast")
    assert type(agent).__name__ == "CommandBackend"


def test_names_from_the_hook(mine: str) -> None:
    toy = Backend()

    assert backends.make("toy", [{"toy": lambda: toy}]) is toy
    assert list(backends.named_backends([{"toy": Backend}, {"a": Backend}])) == ["a", "native", "reference", "toy"]


@pytest.mark.parametrize(
    ("hooked", "message"),
    [
        ([{"native": Backend}], "the name 'native' is taken"),
        ([{"toy": Backend}, {"toy": Backend}], "the name 'toy' is taken"),
        ([{"toy:1": Backend}], "the name 'toy:1' must not contain a colon"),
    ],
)
def test_invalid_names_from_the_hook(hooked: list[dict[str, type[Backend]]], message: str) -> None:
    with pytest.raises(pytest.UsageError, match=re.escape(message)):
        backends.named_backends(hooked)


def test_factory_from_the_hook_must_return_a_backend() -> None:
    with pytest.raises(pytest.UsageError, match=r"its factory returned an object of int, not a Backend"):
        backends.make("toy", [{"toy": int}])  # type: ignore[dict-item]


def test_names_from_entry_points(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", "mine:MyBackend", backends.GROUP),
        EntryPoint("lost", "nowhere:Lost", backends.GROUP),
        EntryPoint("native", "mine:MyBackend", backends.GROUP),
    ]
    monkeypatch.setattr(backends, "entry_points", lambda group: points if group == backends.GROUP else [])
    sys.path.insert(0, mine)

    assert backends.make("mine").facts() == Facts("mine")
    assert (
        type(backends.make("native")).__name__ == "NativeBackend"
    )  # an entry point does not replace a backend of the suite
    with pytest.raises(pytest.UsageError, match=r"nowhere:Lost cannot be loaded: ModuleNotFoundError"):
        backends.make("lost")
