"""Build the agent in C: once for each source, compiler and machine; the result is kept in the user's cache.

Without a compiler the agent that the wheel brings for this machine is used, if it has one (`prebuilt`).

The name in the cache is a hash of everything the agent is made from, so a cached agent is never out of date.  A build
is renamed in one step, so a cached agent is complete, even if several processes build the same one concurrently.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ..text import TEXT, printable
from . import prebuilt

SOURCE: Final = Path(__file__).with_name("mmap_agent.c")
"""The agent's source: one file that every C compiler for Linux accepts."""

FLAGS: Final = ("-O2", "-pthread", "-Wl,-z,now", "-Wl,-z,noexecstack")
"""Compiler options: bind every symbol before main, and make the stack non-executable."""

_SOLUTIONS: Final = f"""\
Three solutions:
  - install a C compiler, or name one in $CC
  - pip install ziglang (it contains one)
  - build the agent on another machine of this kind with "python -m pytest_mmapconf agent" (or compile {SOURCE.name}
    by hand), and use it with --mmap-backend=agent:PATH"""


class NoCompiler(Exception):
    """There is no C compiler, and none was named."""


class BuildError(Exception):
    """The agent cannot be built; the text has the reason and the solutions."""


def build_agent(compiler: Sequence[str] = ()) -> Path:
    """Return the path of the agent; build it if it is not cached.  Raise BuildError if that fails.

    `compiler` is the command of a compiler, which may be one for another machine; the default is one for this machine.
    Without a compiler it is the agent that the wheel brings, if its hash and that of its source are right.
    """
    try:
        compiler = [*compiler] or find_compiler()
    except NoCompiler as error:
        content = prebuilt.agent_for(platform.machine(), SOURCE)
        if content is None:
            raise BuildError(f"{error}, and the suite brings none for {platform.machine()}\n{_SOLUTIONS}") from error
        name = f"mmap_agent-{hashlib.sha256(content).hexdigest()[:20]}"
        return kept(name, lambda to: _write(content, to), lambda agent: agent.read_bytes() == content)
    recipe = [SOURCE.read_bytes(), *(word.encode() for word in (*compiler, *FLAGS)), platform.machine().encode()]
    name = f"mmap_agent-{hashlib.sha256(bytes(1).join(recipe)).hexdigest()[:20]}"
    return kept(name, lambda to: _compile(compiler, to), lambda agent: True)


def kept(name: str, make: Callable[[Path], None], is_right: Callable[[Path], bool]) -> Path:
    """Return the path of this file in the cache; `make` it if there is none, or none that `is_right`."""
    cache = Path(cache_folder())
    agent = cache / name
    with contextlib.suppress(OSError):  # is_file raises where a directory cannot be searched
        if agent.is_file() and os.access(agent, os.X_OK) and is_right(agent):
            return agent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    except OSError:  # the cache cannot be written: a directory for this run only
        try:
            folder = Path(tempfile.mkdtemp(prefix="pytest-mmapconf-"))
        except OSError as error:
            raise BuildError(
                f"the agent must be built, and neither {cache} nor a directory for temporary files can be written: "
                f"{error.strerror or error}; name one in $XDG_CACHE_HOME or $TMPDIR"
            ) from error
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        agent = folder / name
    try:
        make(folder / "new")
        os.replace(folder / "new", agent)
    except OSError as error:
        raise BuildError(f"the agent cannot be kept as {agent}: {error.strerror or error}") from error
    finally:
        if agent.parent != folder:
            shutil.rmtree(folder, ignore_errors=True)
    return agent


def _write(content: bytes, to: Path) -> None:
    """Write a program."""
    to.write_bytes(content)
    to.chmod(0o755)


def cache_folder() -> str:
    """Return the directory of built agents: in $XDG_CACHE_HOME, else ~/.cache (XDG base directory specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(named if os.path.isabs(named) else os.path.expanduser("~/.cache"), "pytest-mmapconf")


def find_compiler() -> list[str]:
    """Return the command of a C compiler: $CC with its arguments, else cc, gcc or clang, else ziglang's.

    Raises NoCompiler if there is none, and BuildError if $CC names one that does not exist.
    """
    try:
        named = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise BuildError(f"the agent must be built, and $CC is no command: {error}\n{_SOLUTIONS}") from error
    if named:
        if shutil.which(named[0]) is None:
            raise BuildError(
                f"the agent must be built, and $CC names a compiler that does not exist: {named[0]}\n{_SOLUTIONS}"
            )
        return named
    for command in ("cc", "gcc", "clang"):
        if shutil.which(command) is not None:
            return [command]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    raise NoCompiler("the agent must be built, and there is no C compiler (cc, gcc, clang)")


def _compile(compiler: Sequence[str], to: Path) -> None:
    command = [*compiler, *FLAGS, "-o", str(to), str(SOURCE)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the agent cannot be built: {error}\n{_SOLUTIONS}") from error
    if result.returncode != 0:
        output = (result.stderr or result.stdout).strip()[-2000:]
        text = printable(output, TEXT, lines=True)
        raise BuildError(f"the agent cannot be built: {shlex.join(command)} failed:\n{text}\n{_SOLUTIONS}")
    if not to.is_file() or not os.access(to, os.X_OK):
        raise BuildError(
            f"the agent cannot be built: {shlex.join(command)} succeeded, but made no program; is $CC the command of a "
            f"C compiler, without -c, -S or -E?\n{_SOLUTIONS}"
        )
