"""The remains of an agent that has died: output that was not read, and its directory."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection
from typing import Final

OWNER: Final = "agent"
"""The link in an agent's directory that names its process."""


def read_rest(descriptor: int) -> bytes:
    """Return what can still be read of a stream whose other end is dead or silent: at most 1 MiB."""
    os.set_blocking(descriptor, False)
    rest = b""
    with contextlib.suppress(OSError):
        while len(rest) < 1 << 20 and (more := os.read(descriptor, 65536)):
            rest += more
    return rest


def owned_directories(base: str, owners: Collection[int]) -> list[str]:
    """Return the directories in `base` that agents with these process ids have made.

    An agent records itself in the link OWNER of its directory; the last word is its process id.  So the directory of an
    agent is found that was killed before it could report it.  Of one that was killed before it made the link, the
    directory is empty, and its name begins with the process id.
    """
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(base):
            directory = os.path.join(base, name)
            if name.startswith("mmapconf-") and _owner_of(directory) in owners:
                found.append(directory)
    return found


def _owner_of(directory: str) -> int | None:
    """Return the process id of the agent that has made a directory; None if it is not known."""
    number = ""
    with contextlib.suppress(OSError):
        named = re.match(r"mmapconf-(\d+)_", os.path.basename(directory))
        if named and not os.listdir(directory):
            number = named[1]
        else:
            number = os.readlink(os.path.join(directory, OWNER)).rpartition(" ")[2]
    return int(number) if number.isdecimal() else None


def record_owner(directory: str) -> None:
    """Make the link OWNER in a directory, for this process.  On a system without /proc there is none."""
    with contextlib.suppress(OSError):
        os.symlink(f"{_pid_namespace()} {os.getpid()}", os.path.join(directory, OWNER))


def _pid_namespace() -> str:
    """Return the boot of this machine and the pid namespace.  Raises OSError."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"


def orphaned_directories(base: str) -> list[str]:
    """Return the directories in `base` of agents of this machine, and this pid namespace, that are dead."""
    try:
        here = _pid_namespace()
        names = [name for name in os.listdir(base) if name.startswith("mmapconf-")]
    except OSError:
        return []
    found = []
    for directory in (os.path.join(base, name) for name in names):
        with contextlib.suppress(OSError):
            where, _, number = os.readlink(os.path.join(directory, OWNER)).rpartition(" ")
            if where == here and number.isdecimal() and is_dead(int(number)):
                found.append(directory)
    return found


def is_dead(pid: int) -> bool:
    """Return True if there is no process with this number, or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"Z", b"X")
    except FileNotFoundError:
        return True


def remove_directory(directory: str) -> None:
    """Remove the directory of an agent that was killed on this machine.

    The name came from the agent, which is not trusted further: it must be, or be inside, a directory (no link) of this
    user with a name of the form that agents give.
    """
    named = re.match(r"/.*/mmapconf-\w{6,}(?=/|$)", directory)
    with contextlib.suppress(OSError):
        if named and os.lstat(named[0]).st_uid == os.geteuid():
            shutil.rmtree(named[0], ignore_errors=True)
