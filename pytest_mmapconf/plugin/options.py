"""The plugin's options, checked.  Every function raises UsageError for a value that is not valid."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..catalogue.clauses import LEVELS, Clause, included, load
from ..catalogue.tables import did_you_mean
from ..contract import Options
from ..data_files import DataError, read_text
from ..version import PACKAGE
from .settings import Shard

if TYPE_CHECKING:
    from ..catalogue.scope import Scope
    from ..expectations.file import Entry
    from ..trace.program import Program


def value(config: pytest.Config, name: str) -> Any:
    """Return the value of an option from the command line, or else from the ini file."""
    given = getattr(config.option, name)
    return config.getini(name) if given is None else given


def level(config: pytest.Config) -> str:
    """Return the level of --mmap-level."""
    level: str = value(config, "mmap_level")
    if level not in LEVELS:
        raise pytest.UsageError(f"--mmap-level={level}: no such level; {did_you_mean(level, LEVELS)}")
    return level


def selected_clauses(level: str, globs: Iterable[str]) -> dict[str, Clause]:
    """Return the clauses of a level that match one of the globs; all clauses of the level if there is no glob."""
    catalogue = load()
    levels = included(level)
    clauses = {id: clause for id, clause in catalogue.items() if clause.level in levels}
    chosen: set[str] = set()
    for glob in globs:
        matching = {id for id in clauses if fnmatchcase(id, glob)}
        if not matching:
            excluded = [clause for id, clause in catalogue.items() if fnmatchcase(id, glob)]
            if excluded:
                first = excluded[0]
                raise pytest.UsageError(f"--mmap-clause={glob}: {first.id} needs --mmap-level={first.level}")
            raise pytest.UsageError(f"--mmap-clause={glob}: no clause matches; {did_you_mean(glob, catalogue)}")
        chosen |= matching
    return {id: clause for id, clause in clauses.items() if id in chosen} if chosen else clauses


MAX_TIMEOUT: Final = 86_400
"""The largest --mmap-timeout, in seconds: a day.  The waits of the system cannot represent every number."""


def other_levels(level: str, globs: Iterable[str]) -> str:
    """Return a phrase about the clauses above the level that the globs match as well; empty if there are none."""
    above = [clause for clause in load().values() if clause.level not in included(level)]
    matching = [clause for clause in above if any(fnmatchcase(clause.id, glob) for glob in globs)]
    if not matching:
        return ""
    highest = max((clause.level for clause in matching), key=LEVELS.index)
    more = f"{len(matching)} more clause{'s' if len(matching) > 1 else ''}"
    return f"--mmap-clause matches {more} above level {level}: --mmap-level={highest} asks them too"


def backend_options(config: pytest.Config) -> Options:
    """Return the options that every backend receives."""
    timeout = seconds("--mmap-timeout", value(config, "mmap_timeout"))
    start = value(config, "mmap_start_timeout")
    return Options(
        directory(config),
        timeout,
        seconds("--mmap-start-timeout", start) if start else None,
        bool(value(config, "mmap_disruptive")),
    )


def seconds(option: str, given: str) -> float:
    """Return the value of an option in seconds."""
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0 < number <= MAX_TIMEOUT:
        raise pytest.UsageError(
            f"{option}={given}: must be a number of seconds above 0, such as 30 or 0.5, and at most {MAX_TIMEOUT}"
        )
    return number


def directory(config: pytest.Config) -> str | None:
    """Return the directory of --mmap-dir, None if it is not given.

    The directory of an agent is not checked: its command may run on another machine.
    """
    given: str = value(config, "mmap_dir")
    if not given or value(config, "mmap_backend").startswith("agent:"):
        return given or None
    path = Path(config.invocation_params.dir, given)
    if not path.is_dir():
        raise pytest.UsageError(f"--mmap-dir={given}: is not a directory")
    if not runs_no_case(config):
        try:
            with TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise pytest.UsageError(
                f"--mmap-dir={given}: no file can be created there ({error.strerror}); name a directory on the "
                "file system under test in which you may create files"
            ) from error
    return str(path)


def has_used_processes(config: pytest.Config) -> bool:
    """Return True for --mmap-process=used."""
    given: str = value(config, "mmap_process")
    if given not in ("new", "used"):
        raise pytest.UsageError(f"--mmap-process={given}: must be new or used")
    return given == "used"


SCOPE: Final = f"{PACKAGE}.scope"
"""The key of a worker's input for the text of the scope; the worker's machine need not have the file."""


def scope(config: pytest.Config) -> Scope | None:
    """Return the scope of --mmap-scope, None if it is not given."""
    given: str = value(config, "mmap_scope")
    if not given:
        return None
    from ..catalogue.scope import ScopeError, load, parse

    try:
        if hasattr(config, "workerinput"):
            return parse(config.workerinput[SCOPE], given)
        return load(given, config.invocation_params.dir)
    except ScopeError as error:
        raise pytest.UsageError(f"--mmap-scope={error}") from error


def runs_no_case(config: pytest.Config) -> bool:
    """Return True if the run executes no case (--collect-only, --setup-only, --setup-plan), so has no results."""
    option = config.option
    return bool(option.collectonly or option.setuponly or option.setupplan)


def reproducers(config: pytest.Config) -> str:
    """Create the directory of --mmap-reproducers and check that it is writable; return it, or "" if it is not given."""
    given: str = value(config, "mmap_reproducers")
    if given and not runs_no_case(config):
        path = Path(config.invocation_params.dir, given)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise pytest.UsageError(f"--mmap-reproducers={given}: cannot be written to: {error.strerror}") from error
    return given


def shard(config: pytest.Config) -> Shard | None:
    """Return the part of --mmap-shard, None if it is not given."""
    given: str = value(config, "mmap_shard")
    if not given:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", given)
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.of:
        raise pytest.UsageError(f"--mmap-shard={given}: must be I/N, the I-th of N parts, such as 1/4")
    return shard


def recipe_files(config: pytest.Config) -> list[Path]:
    """Return the files of --mmap-recipes."""
    return [config.invocation_params.dir / file for file in value(config, "mmap_recipes")]


KNOWN: Final = "known"
"""The word that --mmap-expectations takes for the deviations on record of a recipe."""


def known_expectations(config: pytest.Config) -> Path:
    """Return the file of the deviations that are on record for the backend's recipe.  Raises UsageError."""
    from ..recipes import recipe

    name = value(config, "mmap_backend")
    try:
        resolved = recipe.resolve(name, recipe.recipes(recipe_files(config)))
    except recipe.RecipeError as error:
        raise pytest.UsageError(f"--mmap-backend={error}") from error
    file = resolved.known() if resolved else None
    if file is None:
        raise pytest.UsageError(f"--mmap-expectations={KNOWN}: there is no file of known deviations of {name}")
    return file


EXPECTATIONS: Final = f"{PACKAGE}.expectations"
"""The key of a worker's input for the tables of expectations; the worker's machine need not have the files."""


def expectations(config: pytest.Config) -> tuple[list[dict[str, Any]], tuple[Entry, ...]]:
    """Return the expectations of --mmap-expectations: their tables as plain data, and the entries parsed from them."""
    from ..expectations.file import ExpectationError, parse, read

    folder = config.invocation_params.dir
    tables: list[dict[str, Any]] = []
    try:
        if hasattr(config, "workerinput"):
            tables = config.workerinput.get(EXPECTATIONS, [])
        else:
            update = config.option.mmap_update_expectations
            for file in value(config, "mmap_expectations"):
                if file == KNOWN:
                    tables += read(known_expectations(config).name, known_expectations(config).parent)
                elif not update or (folder / file).exists():
                    tables += read(file, folder)
        return tables, parse(tables)
    except ExpectationError as error:
        raise pytest.UsageError(f"--mmap-expectations={error}") from error


def update(config: pytest.Config) -> bool:
    """Return True if this run updates the file of expectations; check that it can."""
    if not config.option.mmap_update_expectations:
        return False
    if not value(config, "mmap_expectations"):
        raise pytest.UsageError("--mmap-update-expectations: name the file, with --mmap-expectations=FILE")
    if config.getoption("dist", "no") == "each":
        raise pytest.UsageError("--mmap-update-expectations: not with --dist=each; judge one system at a time")
    if not hasattr(config, "workerinput") and find_spec("tomlkit") is None:
        raise pytest.UsageError("--mmap-update-expectations needs tomlkit, which keeps comments: pip install tomlkit")
    return True


def program(config: pytest.Config) -> tuple[str, Program] | None:
    """Return the file of --mmap-replay and its program, None if the option is not given."""
    given: str = value(config, "mmap_replay")
    if not given:
        return None
    for name in ("clause", "process", "steps", "for", "exhaustive", "shard", "lockstep"):
        if getattr(config.option, f"mmap_{name}") is not None:
            raise pytest.UsageError(
                f"--mmap-{name}: does nothing with --mmap-replay, which runs one program in lockstep and no case"
            )
    from ..trace.program import ProgramError, from_json

    try:
        return given, from_json(read_text(Path(config.invocation_params.dir, given)))
    except (ProgramError, DataError) as error:
        raise pytest.UsageError(f"--mmap-replay={given}: {error}") from error


def import_directories(config: pytest.Config) -> list[str]:
    """Return directories to search for python:MODULE in addition to sys.path.

    `backends.make` inserts each at the front, so the directory that pytest was started in precedes the root directory.
    """
    return [os.fspath(config.rootpath), os.fspath(config.invocation_params.dir)]
