"""What the user asked for, once it is known to make sense."""

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
from ..version import PACKAGE
from .settings import Shard

if TYPE_CHECKING:
    from ..expectations.file import Entry
    from ..trace.program import Program


def value(config: pytest.Config, name: str) -> Any:
    """What the command line says, else the ini file."""
    given = getattr(config.option, name)
    return config.getini(name) if given is None else given


def level(config: pytest.Config) -> str:
    """The level, checked."""
    level: str = value(config, "mmap_level")
    if level not in LEVELS:
        raise pytest.UsageError(f"--mmap-level={level}: no such level; choose from {', '.join(LEVELS)}")
    return level


def selected_clauses(level: str, globs: Iterable[str]) -> dict[str, Clause]:
    """The clauses of a level that match one of the globs, or all of the level where there is none."""
    catalogue = load()
    levels = included(level)
    clauses = {id: clause for id, clause in catalogue.items() if clause.level in levels}
    chosen: set[str] = set()
    for glob in globs:
        matching = {id for id in clauses if fnmatchcase(id, glob)}
        if not matching:
            wider = [clause for id, clause in catalogue.items() if fnmatchcase(id, glob)]
            if wider:
                raise pytest.UsageError(f"--mmap-clause={glob}: {wider[0].id} needs --mmap-level={wider[0].level}")
            raise pytest.UsageError(f"--mmap-clause={glob}: no clause matches; {did_you_mean(glob, clauses)}")
        chosen |= matching
    return {id: clause for id, clause in clauses.items() if id in chosen} if chosen else clauses


def backend_options(config: pytest.Config) -> Options:
    """What every backend is told, checked."""
    given = value(config, "mmap_timeout")
    try:
        timeout = float(given)
    except ValueError:
        timeout = 0.0
    if not 0 < timeout < float("inf"):
        raise pytest.UsageError(f"--mmap-timeout={given}: must be a number of seconds above 0, such as 30 or 0.5")
    return Options(directory(config), timeout, bool(value(config, "mmap_disruptive")))


def directory(config: pytest.Config) -> str | None:
    """The folder of --mmap-dir, checked; an agent's command may run it elsewhere, so its folder is left as it is."""
    given: str = value(config, "mmap_dir")
    if not given or value(config, "mmap_backend").startswith("agent:"):
        return given or None
    path = Path(config.invocation_params.dir, given)
    if not path.is_dir():
        raise pytest.UsageError(f"--mmap-dir={given}: is not a folder")
    return str(path)


def runs_no_case(config: pytest.Config) -> bool:
    """Whether no case is going to be run (--collect-only, --setup-only, --setup-plan): there is nothing to tell."""
    option = config.option
    return bool(option.collectonly or option.setuponly or option.setupplan)


def reproducers(config: pytest.Config) -> str:
    """The folder of --mmap-reproducers, made and known to be writable; empty for none.  Raises UsageError."""
    given: str = value(config, "mmap_reproducers")
    if given and not runs_no_case(config):
        folder = Path(config.invocation_params.dir, given)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise pytest.UsageError(f"--mmap-reproducers={given}: cannot be written to: {error.strerror}") from error
    return given


def shard(config: pytest.Config) -> Shard | None:
    """The part of --mmap-shard, checked."""
    given: str = value(config, "mmap_shard")
    if not given:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", given)
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.of:
        raise pytest.UsageError(f"--mmap-shard={given}: must be I/N, the I-th of N parts, such as 1/4")
    return shard


EXPECTATIONS: Final = f"{PACKAGE}.expectations"
"""Under this name a worker is given the tables of expectations: its machine need not have the files."""


def expectations(config: pytest.Config) -> tuple[list[dict[str, Any]], tuple[Entry, ...]]:
    """What --mmap-expectations has on record: as plain data, and checked.  Raises UsageError."""
    from ..expectations.file import ExpectationError, parse, read

    folder = config.invocation_params.dir
    tables: list[dict[str, Any]] = []
    try:
        if hasattr(config, "workerinput"):
            tables = config.workerinput.get(EXPECTATIONS, [])
        else:
            update = config.option.mmap_update_expectations
            for file in value(config, "mmap_expectations"):
                if not update or (folder / file).exists():
                    tables += read(file, folder)
        return tables, parse(tables)
    except ExpectationError as error:
        raise pytest.UsageError(f"--mmap-expectations={error}") from error


def update(config: pytest.Config) -> bool:
    """Whether expectations are written from this run; known to be possible.  Raises UsageError."""
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
    """What --mmap-replay is about, checked.  Raises UsageError."""
    given: str = value(config, "mmap_replay")
    if not given:
        return None
    from ..trace.program import ProgramError, from_json

    try:
        return given, from_json(Path(config.invocation_params.dir, given).read_text("utf-8"))
    except (ProgramError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"--mmap-replay={given}: {error}") from error
    except OSError as error:
        raise pytest.UsageError(f"--mmap-replay={given}: cannot be read: {error.strerror}") from error


def import_directories(config: pytest.Config) -> list[str]:
    """Where python:MODULE is looked for beside sys.path: first the folder that pytest was started in, then its root."""
    return [os.fspath(config.rootpath), os.fspath(config.invocation_params.dir)]
