"""The backend of a recipe: builds its agent, prepares its files once, and starts it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..agent.backend import CommandBackend
from ..agent.build import BuildError, build_agent, cache_folder
from ..contract import Facts
from ..version import PACKAGE
from .recipe import Resolved, processor_features

PYTHON: Final = {"PYTHON": sys.executable, "PACKAGE": PACKAGE}
"""Variables for an agent that is a module of this package; no file of `prepare` depends on them."""


class RecipeBackend(CommandBackend):
    """`--mmap-backend=qemu-user:aarch64` and the like: an agent that a recipe builds and starts."""

    def __init__(self, resolved: Resolved) -> None:
        super().__init__(resolved.name)
        self.name = resolved.name
        self.resolved = resolved
        self._words: list[str] = []

    def command(self) -> Sequence[str]:
        """The program and its arguments; builds the agent and prepares the files first.  Raises BuildError."""
        if not self._words:
            recipe, resolved = self.resolved.recipe, self.resolved
            agent = str(build_agent(resolved.build))
            variables = {**resolved.variables, "AGENT": agent}
            if recipe.prepare:
                variables["FILES"] = str(prepared(resolved.name, recipe.prepare, variables))
            variables |= PYTHON
            arguments = [agent]
            if self.options.directory:
                arguments += ["--directory", os.path.abspath(self.options.directory)]
            if self.options.disruptive:
                arguments.append("--disruptive")
            assignments = [f"{name}={value}" for name, value in variables.items()]
            script = ["env", *assignments, "sh", "-ec", recipe.run, "sh"]
            self._words = [*script, *arguments] if recipe.run else arguments
        return self._words

    def facts(self) -> Facts:
        """Return the facts of the agent, the version that the recipe's command prints, and a fact of this machine.

        With "protection keys", a page that is only PROT_EXEC cannot be read (pkeys(7)), not by an emulator either.
        """
        facts = super().facts()
        has_keys = "ospke" in processor_features()
        facts = replace(facts, details={**facts.details, "protection keys": "yes" if has_keys else "no"})
        version = self.resolved.recipe.version
        if not version:
            return facts
        done = subprocess.run(
            ["sh", "-c", version],
            env={**os.environ, **self.resolved.variables, **PYTHON},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        lines = (done.stdout or done.stderr).splitlines()
        return replace(facts, version=lines[0].strip() if lines else facts.version)


def prepared(name: str, script: str, variables: dict[str, str]) -> Path:
    """Return the directory with the files of a `prepare` script, which is run if the directory does not exist yet.

    The directory's name is a hash of what the files are made from.  Raises BuildError if the script fails.
    """
    made_from = "\0".join([script, *(f"{key}={value}" for key, value in sorted(variables.items()))])
    stem = name.replace(":", "-").replace(",", "-").replace("/", "-")
    folder = Path(cache_folder(), f"{stem}-{hashlib.sha256(made_from.encode()).hexdigest()[:20]}")
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=new,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise BuildError(f"{name} cannot be prepared:\n{done.stdout.strip()[-2000:]}")
        try:
            os.rename(new, folder)
        except OSError:  # another process has made it meanwhile
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder
