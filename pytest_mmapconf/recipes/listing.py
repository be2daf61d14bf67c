"""The list of `python -m pytest_mmapconf recipes`, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
    """Return "can run here", and whether deviations are on record; or what is missing."""
    missing, has_deviations = needs(name, known)
    if missing:
        return f"needs {', '.join(missing)}"
    return "can run here" + ("; has deviations on record" if has_deviations else "")


def needs(name: str, known: Mapping[str, Recipe]) -> tuple[list[str], bool]:
    """Return what is missing for a backend of a recipe, and whether deviations of it are on record."""
    resolved = resolve(name, known)
    assert resolved is not None
    return list(resolved.missing()), bool(resolved.known())


def entries(files: Iterable[Path] = ()) -> Iterator[dict[str, Any]]:
    """Yield each backend of a recipe as plain data: name, text, what is missing here, deviations on record or not."""
    known = recipes(files)
    for recipe in known.values():
        for name in recipe.names():
            missing, has_deviations = needs(name, known)
            yield {"name": name, "text": recipe.text, "needs": missing, "has_known_deviations": has_deviations}
