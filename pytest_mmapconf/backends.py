"""From "--mmap-backend=STRING" to a backend.

A string is a name (one of the suite's own, one registered by an installed distribution's entry point or by the hook
`pytest_mmapconf_backends`), or a form with a colon that says how to get at an implementation that nobody registered.
Whatever is wrong with it is the user's to put right, so it ends in a usage error that says how.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import pytest

from .catalogue.tables import did_you_mean
from .contract import SC_PAGESIZE, Backend, Facts, Process, System, Unsupported
from .version import PACKAGE

GROUP: Final = "pytest_mmapconf.backends"
"""The entry-point group.  Its name is fixed, also for a copy of the package under another name."""

BUILT_IN: Final = {
    "reference": f"{PACKAGE}.reference.backend:ReferenceBackend",
    "native": f"{PACKAGE}.agent.backend:NativeBackend",
}
"""The suite's own backends; they need no entry point, so that a copy of the package has them too."""

COMMAND: Final = f"{PACKAGE}.agent.backend:CommandBackend"
MUTANTS: Final = f"{PACKAGE}.reference.mutant:load"

FORMS: Final = {
    "agent:COMMAND ARGS…": "an agent that COMMAND starts, spoken to over its stdin and stdout",
    "python:MODULE:FACTORY": "FACTORY() of a Python module: a Backend, a System or a Process",
    "mutant:ID": f"the reference with something wrong, to see it found; `python -m {PACKAGE} mutants --list`",
}

Factory = Callable[[], Backend]


def named_backends(hooked: Iterable[Mapping[str, Factory]]) -> dict[str, str | EntryPoint | Factory]:
    """Every backend that has a name, and where it is; `hooked` is what the hook's implementations returned."""
    names: dict[str, str | EntryPoint | Factory] = {}
    names.update({point.name: point for point in entry_points(group=GROUP)})
    for mapping in hooked:
        for name, factory in mapping.items():
            if ":" in name:
                raise pytest.UsageError(f"pytest_mmapconf_backends: the name {name!r} must not contain a colon")
            if name in BUILT_IN or name in names:
                raise pytest.UsageError(f"pytest_mmapconf_backends: the name {name!r} is taken")
            names[name] = factory
    names.update(BUILT_IN)
    return dict(sorted(names.items()))


def make(string: str, hooked: Iterable[Mapping[str, Factory]] = (), folders: Iterable[str] = ()) -> Backend:
    """The backend that `string` says, not started yet.  `folders` are searched for MODULE too.  Raises UsageError."""
    kind, colon, rest = string.partition(":")
    if kind == "agent" and colon:
        if not rest.strip():
            raise pytest.UsageError("--mmap-backend=agent: needs a command, such as 'agent:ssh board ./mmap_agent'")
        return _call(string, _attribute(string, COMMAND), rest.strip())
    if kind == "python" and colon:
        for folder in folders:
            if folder not in sys.path:
                sys.path.insert(0, folder)
        return _python(string, rest)
    if kind == "mutant" and colon:
        mutants = _attribute(string, MUTANTS)()
        if rest not in mutants:
            close = did_you_mean(rest, mutants, otherwise="there are many")
            raise pytest.UsageError(
                f"--mmap-backend={string}: no such mutant; {close} (`python -m {PACKAGE} mutants --list`)"
            )
        return _call(string, mutants[rest].boot)
    names = named_backends(hooked)
    if string not in names:
        forms = ", ".join(FORMS)
        raise pytest.UsageError(f"--mmap-backend={string}: no such backend; {did_you_mean(string, names)} (or {forms})")
    found = names[string]
    if isinstance(found, EntryPoint):
        try:
            factory = found.load()
        except Exception as error:
            raise pytest.UsageError(
                f"--mmap-backend={string}: {found.value} cannot be loaded: {_say(error)}"
            ) from error
    else:
        factory = _attribute(string, found) if isinstance(found, str) else found
    return _call(string, factory)


def _call(string: str, factory: Callable[..., Any], *arguments: object) -> Backend:
    backend = _made(string, factory, *arguments)
    if not isinstance(backend, Backend):
        raise pytest.UsageError(f"--mmap-backend={string}: its factory returned {_kind(backend)}, not a Backend")
    return backend


def _python(string: str, place: str) -> Backend:
    if place.count(":") != 1 or not all(place.split(":")):
        raise pytest.UsageError(f"--mmap-backend={string}: must be python:MODULE:FACTORY, such as python:mine:Mine")
    factory = _attribute(string, place)
    if not callable(factory):
        raise pytest.UsageError(f"--mmap-backend={string}: {place} is {_kind(factory)}, which cannot be called")
    made = _made(string, factory)
    if isinstance(made, Backend):
        return made
    if isinstance(made, System):
        made.close()
        return FactoryBackend(string, factory)
    if isinstance(made, Process):
        return FactoryBackend(string, lambda: SingleProcessSystem(factory()))
    raise pytest.UsageError(
        f"--mmap-backend={string}: {place}() returned {_kind(made)}; it must return a Process, a System or a Backend "
        f"(derive your class from {Process.__module__}.Process)"
    )


def _attribute(string: str, place: str) -> Any:
    """What stands at "MODULE:ATTRIBUTE"."""
    module_name, _, name = place.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or "?")
        advice = "; run pytest in the folder where it is, or put that on PYTHONPATH" if missing else ""
        raise pytest.UsageError(
            f"--mmap-backend={string}: cannot import {module_name}: {_say(error)}{advice}"
        ) from error
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise pytest.UsageError(
                f"--mmap-backend={string}: {module_name} ({getattr(module, '__file__', 'built in')}) "
                f"has no {name}; {did_you_mean(part, (n for n in dir(value) if not n.startswith('_')))}"
            )
        value = getattr(value, part)
    return value


def _made(string: str, factory: Callable[..., object], *arguments: object) -> object:
    try:
        return factory(*arguments)
    except Exception as error:
        raise pytest.UsageError(f"--mmap-backend={string}: its factory failed: {_say(error)}") from error


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of {type(value).__name__}"


class SingleProcessSystem(System):
    """A system for an implementation that is one process: the first spawn gives it, it can have no second."""

    def __init__(self, process: Process) -> None:
        self.process: Process | None = process

    def spawn(self) -> Process:
        process, self.process = self.process, None
        if process is None:
            raise Unsupported("the backend has one process only")
        return process


class FactoryBackend(Backend):
    """A backend for a factory of systems: each boot is a call of it."""

    def __init__(self, name: str, factory: Callable[[], System]) -> None:
        self.name = name
        self.factory = factory

    def facts(self) -> Facts:
        system = self.boot()
        try:
            process = system.spawn()
            return Facts(self.name, details={"page": str(process.sysconf(SC_PAGESIZE)), "bits": str(process.bits)})
        except (NotImplementedError, OSError):
            return Facts(self.name)
        finally:
            system.close()

    def boot(self) -> System:
        return self.factory()
