"""The list of `python -m pytest_mmapconf recipes`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .recipe import Recipe, recipes, resolve


def lines(files: Iterable[Path] = ()) -> Iterator[str]:
    """Yield a line for each backend of a recipe: its name, and whether it can run here or what is missing."""
    known = recipes(files)
    width = max(len(name) for recipe in known.values() for name in recipe.names()) + 2
    for recipe in known.values():
        options = "".join(f"; option {option}=: {meaning}" for option, meaning in recipe.options.items())
        yield f"{recipe.text}{options}"
        for name in recipe.names():
            yield f"  {name:{width}}{state(name, known)}"


def state(name: str, known: Mapping[str, Recipe]) -> str:
    """Return "can run here", with the number of deviations on record; or what is missing."""
    resolved = resolve(name, known)
    assert resolved is not None
    if missing := resolved.missing():
        return f"needs {', '.join(missing)}"
    return "can run here" + ("; has deviations on record" if resolved.known() else "")
