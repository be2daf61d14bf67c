"""Building the agent in C: once for each source, compiler and machine; then it lies in the user's cache.

The name in the cache is a hash of what the agent is made of, so there is nothing to bring up to date, and a name that
is there is complete: a build is put in its place in one step, whoever else may be building the same.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("mmap_agent.c")
"""The agent's source: one file that every C compiler for Linux takes."""

FLAGS: Final = ("-O2", "-Wl,-z,now", "-Wl,-z,noexecstack")
"""What it is built with: every symbol bound before main, and a stack that cannot be executed."""

_WAYS_OUT: Final = f"""\
Three ways out:
  - install a C compiler, or name one in $CC
  - pip install ziglang (it brings one)
  - build the agent on another machine of this kind with "python -m pytest_mmapconf agent" (or compile {SOURCE.name}
    by hand), and use it with --mmap-backend=agent:PATH"""


class BuildError(Exception):
    """The agent cannot be built; the text says why, and what can be done."""


def build_agent() -> Path:
    """The path of the agent for this machine, built now if it has not been before.  BuildError where it cannot be."""
    compiler = find_compiler()
    recipe = [SOURCE.read_bytes(), *(word.encode() for word in (*compiler, *FLAGS)), platform.machine().encode()]
    name = f"mmap_agent-{hashlib.sha256(bytes(1).join(recipe)).hexdigest()[:20]}"
    cache = Path(cache_folder())
    agent = cache / name
    if agent.is_file() and os.access(agent, os.X_OK):
        return agent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    except OSError:  # a cache that cannot be written: a folder for this run only
        folder = Path(tempfile.mkdtemp(prefix="pytest-mmapconf-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        agent = folder / name
    try:
        _compile(compiler, folder / "new")
        os.replace(folder / "new", agent)
    finally:
        if agent.parent != folder:
            shutil.rmtree(folder, ignore_errors=True)
    return agent


def cache_folder() -> str:
    """Where built agents are kept: in $XDG_CACHE_HOME, else ~/.cache (XDG base directory specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(named if os.path.isabs(named) else os.path.expanduser("~/.cache"), "pytest-mmapconf")


def find_compiler() -> list[str]:
    """The command of a C compiler: $CC (it may have arguments), else cc, gcc or clang, else that of ziglang."""
    named = shlex.split(os.environ.get("CC", ""))
    if named:
        if shutil.which(named[0]) is None:
            raise BuildError(
                f"the agent has to be built, and $CC names a compiler that is not there: {named[0]}\n{_WAYS_OUT}"
            )
        return named
    for command in ("cc", "gcc", "clang"):
        if shutil.which(command) is not None:
            return [command]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    raise BuildError(f"the agent has to be built, and there is no C compiler (cc, gcc, clang)\n{_WAYS_OUT}")


def _compile(compiler: list[str], to: Path) -> None:
    command = [*compiler, *FLAGS, "-o", str(to), str(SOURCE)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the agent cannot be built: {error}\n{_WAYS_OUT}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise BuildError(f"the agent cannot be built: {shlex.join(command)} failed:\n{said}\n{_WAYS_OUT}")
