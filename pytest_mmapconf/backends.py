"""Create the backend that `--mmap-backend=STRING` names.

The string is a name (one of the suite's own backends, or one registered by an entry point of an installed distribution
or by the hook `pytest_mmapconf_backends`), or a form with a colon that locates an implementation without registration.
Every error is a usage error whose message says how to correct the option or the backend.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from .catalogue.tables import did_you_mean
from .contract import SC_PAGESIZE, Backend, Facts, Process, System, Unsupported
from .version import PACKAGE

GROUP: Final = "pytest_mmapconf.backends"
"""The entry-point group.  A copy of the package under another name uses the same group."""

BUILT_IN: Final = {
    "reference": f"{PACKAGE}.reference.backend:ReferenceBackend",
    "native": f"{PACKAGE}.agent.backend:NativeBackend",
}
"""The suite's own backends; they need no entry point, so that a copy of the package has them too."""

COMMAND: Final = f"{PACKAGE}.agent.backend:CommandBackend"
VARIANTS: Final = f"{PACKAGE}.reference.variants:VARIANTS"
VARIANT_BACKEND: Final = f"{PACKAGE}.reference.variants:VariantBackend"
MUTANTS: Final = f"{PACKAGE}.reference.mutant:load"
RECIPES: Final = f"{PACKAGE}.recipes.recipe"
RECIPE_BACKEND: Final = f"{PACKAGE}.recipes.backend:RecipeBackend"

FORMS: Final = {
    "agent:COMMAND ARGS…": "an agent that COMMAND starts, connected by its stdin and stdout",
    "python:MODULE:FACTORY": "FACTORY() of a Python module, which returns a Backend, a System or a Process",
    "reference:NAME": "the reference as another conforming system; --mmap-list-backends lists them",
    "mutant:ID": f"the reference with a known defect, or several (ID+ID); `python -m {PACKAGE} mutants --list`",
    "RECIPE:VALUE,OPTION=VALUE": f"an implementation that can run here; `python -m {PACKAGE} recipes` lists them",
}

Factory = Callable[[], Backend]


def named_backends(hooked: Iterable[Mapping[str, Factory]]) -> dict[str, str | EntryPoint | Factory]:
    """Return the factory of every backend that has a name, or the place where it is; `hooked` are the hook's results.

    Raises UsageError if a name of the hook contains a colon or is already in use.
    """
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


def make(
    string: str,
    hooked: Iterable[Mapping[str, Factory]] = (),
    folders: Iterable[str] = (),
    recipe_files: Iterable[Path] = (),
) -> Backend:
    """Create the backend that `string` names; it is not started yet.  Raises UsageError.

    `hooked` are the results of the hook; `folders` are directories to search for MODULE in addition to sys.path;
    `recipe_files` are TOML files with the user's recipes.
    """
    kind, colon, rest = string.partition(":")
    if kind == "agent" and colon:
        if not rest.strip():
            raise pytest.UsageError("--mmap-backend=agent: needs a command, such as 'agent:ssh board ./mmap_agent'")
        return _call(string, _import(string, COMMAND), rest.strip())
    if kind == "python" and colon:
        for folder in folders:
            if folder not in sys.path:
                sys.path.insert(0, folder)
        return _from_module(string, rest)
    if kind == "reference" and colon:
        variants = _import(string, VARIANTS)
        if rest not in variants:
            raise pytest.UsageError(f"--mmap-backend={string}: no such variant; {did_you_mean(rest, variants)}")
        return _call(string, _import(string, VARIANT_BACKEND), variants[rest])
    if kind == "mutant" and colon:
        mutants = _import(string, MUTANTS)()
        ids = rest.split("+")
        for id in ids:
            if id in mutants:
                continue
            close = did_you_mean(id, mutants)
            raise pytest.UsageError(
                f"--mmap-backend={string}: no such mutant; {close} (`python -m {PACKAGE} mutants --list`)"
            )
        return _call(string, lambda: mutants[ids[0]].boot_with([mutants[id] for id in ids[1:]]))
    names = named_backends(hooked)
    if string not in names:
        return _from_recipe(string, names, recipe_files)
    entry = names[string]
    if isinstance(entry, EntryPoint):
        try:
            factory = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit, which would end pytest as if all was well
            raise pytest.UsageError(
                f"--mmap-backend={string}: {entry.value} cannot be loaded: {_error_text(error)}"
            ) from error
    else:
        factory = _import(string, entry) if isinstance(entry, str) else entry
    return _call(string, factory)


def variants() -> dict[str, str]:
    """Return the name of each conforming variant of the reference, and what it does differently.

    A copy of the package may have no reference.
    """
    if find_spec(f"{PACKAGE}.reference") is None:
        return {}
    found: Mapping[str, Any] = _import("reference:", VARIANTS)
    return {f"reference:{name}": variant.text for name, variant in found.items()}


def _call(string: str, factory: Callable[..., Any], *arguments: object) -> Backend:
    """Return the backend that a factory creates.  Raises UsageError if it fails or returns something else."""
    backend = _create(string, factory, *arguments)
    if not isinstance(backend, Backend):
        raise pytest.UsageError(f"--mmap-backend={string}: its factory returned {_type_name(backend)}, not a Backend")
    return backend


def _from_module(string: str, place: str) -> Backend:
    """Return a backend for "MODULE:FACTORY", whose factory returns a backend, a system or a process."""
    if place.count(":") != 1 or not all(place.split(":")):
        raise pytest.UsageError(f"--mmap-backend={string}: must be python:MODULE:FACTORY, such as python:mine:Mine")
    factory = _import(string, place)
    if not callable(factory):
        raise pytest.UsageError(f"--mmap-backend={string}: {place} is {_type_name(factory)}, which cannot be called")
    created = _create(string, factory)
    if isinstance(created, Backend):
        return created
    if isinstance(created, System):
        created.close()
        return FactoryBackend(string, factory)
    if isinstance(created, Process):
        return FactoryBackend(string, lambda: SingleProcessSystem(factory()))
    raise pytest.UsageError(
        f"--mmap-backend={string}: {place}() returned {_type_name(created)}; "
        f"it must return a Process, a System or a Backend (derive your class from {Process.__module__}.Process)"
    )


def _from_recipe(string: str, names: Iterable[str], files: Iterable[Path]) -> Backend:
    """Return the backend of a recipe.  Raises UsageError if there is none, or if this machine lacks what it needs."""
    try:
        recipes = _import(string, f"{RECIPES}:recipes")(files)
        resolved = _import(string, f"{RECIPES}:resolve")(string, recipes)
    except ValueError as error:
        raise pytest.UsageError(f"--mmap-backend={error}") from error
    if resolved is None:
        close = did_you_mean(string, [*names, *(name for recipe in recipes.values() for name in recipe.names())])
        raise pytest.UsageError(f"--mmap-backend={string}: no such backend; {close} (or {', '.join(FORMS)})")
    if missing := resolved.missing():
        raise pytest.UsageError(f"--mmap-backend={string} needs {', '.join(missing)}")
    return _call(string, _import(string, RECIPE_BACKEND), resolved)


def _import(string: str, place: str) -> Any:
    """Return the object at "MODULE:ATTRIBUTE".  Raises UsageError."""
    module_name, _, name = place.partition(":")
    try:
        module = import_module(module_name)
    except (KeyboardInterrupt, pytest.UsageError):
        raise
    except BaseException as error:  # also SystemExit, which would end pytest as if all was well
        missing = isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or "?")
        advice = "; run pytest in the module's directory, or add that directory to PYTHONPATH" if missing else ""
        raise pytest.UsageError(
            f"--mmap-backend={string}: cannot import {module_name}: {_error_text(error)}{advice}"
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


def _create(string: str, factory: Callable[..., object], *arguments: object) -> object:
    """Return the result of a factory.  Raises UsageError if the factory fails."""
    try:
        made = factory(*arguments)
        made.__class__  # noqa: B018 (code of the user may answer)
    except (KeyboardInterrupt, pytest.UsageError):
        raise
    except BaseException as error:  # also SystemExit, which would end pytest as if all was well
        raise pytest.UsageError(f"--mmap-backend={string}: its factory failed: {_error_text(error)}") from error
    return made


def _error_text(error: BaseException) -> str:
    """Return the type and message of an exception."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _type_name(value: object) -> str:
    """Return a phrase that says what kind of object a value is."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of {type(value).__name__}"


class SingleProcessSystem(System):
    """A system for an implementation that is one process: the first spawn returns it, another is unsupported."""

    def __init__(self, process: Process) -> None:
        self.process: Process | None = process

    def spawn(self) -> Process:
        process, self.process = self.process, None
        if process is None:
            raise Unsupported("the backend has one process only")
        return process


class FactoryBackend(Backend):
    """A backend for a factory of systems: each boot calls the factory."""

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
