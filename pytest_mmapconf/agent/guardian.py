"""Ends the agents of a process that has died before it could end them.

An agent ends at the end of its stream; an emulator, or a child in a session of its own, may not.  Every process that an
agent starts has a mark in its environment, unless it has replaced its environment.  `mark` starts a process of this
module, whose stdin is a pipe that only the caller holds: it ends with the caller, whatever ended that.  The marked
processes then have `PATIENCE` seconds to end by themselves, and are killed after that.  Then the directories are
removed that dead agents have left where the caller's agents make theirs; the caller writes these places to the pipe, a
line each.  A caller that ends in order has removed its agents' directories: it writes an empty line, and the guardian
then looks at no directory, so that a file system can be unmounted immediately.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from .dead_agent import orphaned_directories, remove_directory

MARK: Final = "MMAPCONF_AGENT_OF"
"""The environment variable of all processes of an agent."""

PATIENCE: Final = 2.0
"""Seconds that agents have to end by themselves."""

START: Final = "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; main(sys.argv[2])"
"""The program of a guardian, which has no other module path."""


class Guardian(NamedTuple):
    """The guardian of an agent, as its client knows it."""

    mark: str
    starter: subprocess.Popen[bytes]
    """The process that starts it."""
    pipe: int
    """The descriptor of its stdin; closed by the end of the client."""
    places: set[str]
    """The directories in which agents make theirs, as far as the guardian knows them."""


_guarded: dict[int, Guardian] = {}
"""By process id of a client; a fork of the client has its own guardian."""


def mark() -> str:
    """Return the mark of this process's agents; start the guardian with the first call."""
    pid = os.getpid()
    if pid not in _guarded:
        value = f"{pid}-{secrets.token_hex(8)}"
        read, write = os.pipe()
        root = os.path.abspath(__file__)
        for _ in __name__.split("."):
            root = os.path.dirname(root)
        command = [sys.executable, "-I", "-S", "-c", START.format(__name__), root, value]
        starter = subprocess.Popen(command, stdin=read, stdout=subprocess.DEVNULL, start_new_session=True, cwd="/")
        os.close(read)
        _guarded[pid] = Guardian(value, starter, write, set())
        atexit.register(dismiss, pid)  # before an agent registers its end, which comes first then
    return _guarded[pid].mark


def watch_directory(place: str) -> None:
    """Make the guardian remove what dead agents leave in this directory; `mark` has been called."""
    guarded = _guarded[os.getpid()]
    line = os.fsencode(place) + b"\n"
    if place not in guarded.places and line.count(b"\n") == 1:
        guarded.places.add(place)
        with contextlib.suppress(OSError):  # it has been killed
            os.write(guarded.pipe, line)


def dismiss(pid: int) -> None:
    """Make the guardian of process `pid`, which is this one, leave all directories alone."""
    if pid == os.getpid():
        with contextlib.suppress(OSError):  # it has been killed
            os.write(_guarded[pid].pipe, b"\n")


def wait_until_detached() -> None:
    """Wait until the guardian is no child of this process any more: a program may wait for any child of its own."""
    _guarded[os.getpid()].starter.wait()


def marked(value: str) -> Iterator[int]:
    """Yield the processes whose mark begins with `value`, of those whose environment can be read."""
    entry = f"{MARK}={value}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if any(word.startswith(entry) for word in environ.read(1 << 20).split(b"\0")):
                        yield int(name)
            except OSError:  # it has ended, or is of another user
                continue


def kill_marked(value: str) -> None:
    """Kill the processes with this mark, also those that they start meanwhile."""
    for _ in range(20):
        pids = list(marked(value))
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.01)


def main(value: str) -> None:
    """Detach from the client, wait for its end, and then end its agents."""
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    places = b""
    while more := os.read(0, 4096):
        places += more
    deadline = time.monotonic() + PATIENCE
    while list(marked(value)) and time.monotonic() < deadline:
        time.sleep(0.1)
    kill_marked(value)
    lines = places.splitlines()
    for place in lines if b"" not in lines else ():
        for directory in orphaned_directories(os.fsdecode(place)):
            remove_directory(directory)
