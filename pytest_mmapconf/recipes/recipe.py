"""Read recipes, and resolve a name such as `qemu-user:aarch64,page=65536` to what builds and starts its agent."""

from __future__ import annotations

import os
import re
import shutil
import string
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ..catalogue.tables import did_you_mean
from ..data_files import DataError, parse_toml, read_text
from ..text import PrintableError

OWN: Final = Path(__file__).with_name("recipes.toml")
"""The recipes of the suite; the comment at its start describes the keys."""

KNOWN: Final = "known"
"""The directory beside a file of recipes that has the deviations on record, one file for an implementation."""

TEXTS: Final = ("text", "argument", "build", "prepare", "run", "version")
TABLES: Final = ("options", "needs", "values")


class RecipeError(PrintableError):
    """A recipe, or the name of one, is not valid; the message says what is right."""


@dataclass(frozen=True)
class Recipe:
    """A description of how an implementation is built and started; the attributes are the keys of recipes.toml."""

    name: str
    text: str
    argument: str = ""
    build: str = ""
    prepare: str = ""
    run: str = ""
    version: str = ""
    root: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: Path = OWN.parent
    """The directory of the file that has the recipe."""

    def names(self) -> list[str]:
        """Return the names of all backends of the recipe, without options."""
        return [f"{self.name}:{value}" for value in self.values] if self.argument else [self.name]


@dataclass(frozen=True)
class Resolved:
    """A recipe with the values of its variables."""

    name: str
    """As --mmap-backend names it."""
    recipe: Recipe
    variables: Mapping[str, str]
    needs: Mapping[str, str]

    @property
    def build(self) -> list[str]:
        """The command of the compiler; empty if the agent is the one of the native backend."""
        return self.replaced(self.recipe.build).split()

    def replaced(self, text: str) -> str:
        """Return a text with the values of its variables; an option that is not given is empty."""
        return string.Template(text).safe_substitute(self.variables)

    def missing(self) -> list[str]:
        """Return what this machine lacks: programs, each with the packages that have it, and rights."""
        programs = {self.replaced(program): packages for program, packages in self.needs.items()}
        lacks = [text for program, packages in programs.items() if (text := missing_program(program, packages))]
        return [*lacks, "root"] if self.recipe.root and os.geteuid() != 0 else lacks

    def known(self) -> Path | None:
        """Return the file of the deviations on record: of this value, or of all values of the recipe; None for none."""
        value = self.variables.get(self.recipe.argument, "")
        stems = [f"{self.recipe.name}-{value}"] * bool(value) + [self.recipe.name]
        paths = (self.recipe.folder / KNOWN / f"{stem}.toml" for stem in stems)
        return next((path for path in paths if path.exists()), None)


def missing_program(program: str, packages: str) -> str:
    """Return a program or `module:NAME` with the packages that have it; empty if it is here.

    For `cpu-without:FLAG`, an empty text if the processor lacks the feature (/proc/cpuinfo); `packages` says why.
    """
    kind, _, name = program.partition(":")
    if kind == "module" and name:
        return "" if find_spec(name) else f"Python's module {name} (pip install {packages})"
    if kind == "cpu-without" and name:
        return f"a processor without {name} ({packages})" if name in processor_features() else ""
    return "" if shutil.which(program) else f"{program} (Debian: apt-get install {packages})"


def processor_features() -> frozenset[str]:
    """Return the features of the processor that the kernel reports; empty if it reports none."""
    with suppress(OSError):
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        return frozenset(found[1].split()) if found else frozenset()
    return frozenset()


def read(path: Path) -> dict[str, Recipe]:
    """Return the recipes of a TOML file by name.  Raises RecipeError, which names the file and the key."""
    try:
        tables = parse_toml(read_text(path))
    except DataError as error:
        raise RecipeError(f"{path}: {error}") from error
    return {name: _recipe(path, name, table) for name, table in tables.items()}


def _recipe(path: Path, name: str, table: object) -> Recipe:
    place = f"{path}: [{name}]"
    if not isinstance(table, dict):
        raise RecipeError(f"{place}: must be a table")
    for key, value in table.items():
        if key not in (*TEXTS, *TABLES, "root"):
            raise RecipeError(f"{place}: {key} is not known; {did_you_mean(key, (*TEXTS, *TABLES, 'root'))}")
        kind = str if key in TEXTS else dict if key in TABLES else bool
        if not isinstance(value, kind):
            raise RecipeError(
                f"{place}: {key} must be {'text' if kind is str else 'a table' if kind is dict else 'true'}"
            )
    if not table.get("text"):
        raise RecipeError(f"{place}: text is missing: what is judged")
    if bool(table.get("argument")) != bool(table.get("values")):
        raise RecipeError(f"{place}: argument and values need each other")
    for value, variables in table.get("values", {}).items():
        if not isinstance(variables, dict):
            raise RecipeError(f"{place}: values.{value} must be a table")
    return Recipe(name, **table, folder=path.parent)


def recipes(files: Iterable[Path] = ()) -> dict[str, Recipe]:
    """Return the recipes of the suite and of further files by name; a later one replaces one of the same name."""
    found = read(OWN)
    for file in files:
        found |= read(file)
    return found


def resolve(name: str, known: Mapping[str, Recipe]) -> Resolved | None:
    """Return the recipe that `name` means, with its variables; None if it is no recipe's name.  Raises RecipeError."""
    words = name.split(",")
    first, colon, value = words[0].partition(":")
    recipe = known.get(first)
    if recipe is None:
        return None
    if bool(colon) != bool(recipe.argument):
        example = recipe.names()[0]
        raise RecipeError(f"{name}: {'needs a value' if recipe.argument else 'takes no value'}, such as {example}")
    if recipe.argument and value not in recipe.values:
        raise RecipeError(f"{name}: {value!r} is not known; {did_you_mean(value, recipe.values)}")
    variables = {option.upper(): "" for option in recipe.options}
    more = dict(recipe.values.get(value, {}))
    needs = {**recipe.needs, **more.pop("needs", {})}
    variables |= {key: str(text) for key, text in more.items()}
    if recipe.argument:
        variables[recipe.argument] = value
    for word in words[1:]:
        option, equals, given = word.partition("=")
        if option not in recipe.options:
            advice = did_you_mean(option, recipe.options) if recipe.options else "it has no options"
            raise RecipeError(f"{name}: {option!r} is not known; {advice}")
        if not equals or not given:
            raise RecipeError(f"{name}: {option} needs a value: {recipe.options[option]}")
        variables[option.upper()] = given
    return Resolved(name, recipe, variables, needs)
