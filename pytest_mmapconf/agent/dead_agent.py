"""What remains of an agent that has died: output that was not read, and its directory."""

from __future__ import annotations

import contextlib
import os
import re
import shutil


def read_rest(descriptor: int) -> bytes:
    """Return what can still be read of a stream whose other end is dead or silent: at most 1 MiB."""
    os.set_blocking(descriptor, False)
    rest = b""
    with contextlib.suppress(OSError):
        while len(rest) < 1 << 20 and (more := os.read(descriptor, 65536)):
            rest += more
    return rest


def remove_directory(directory: str) -> None:
    """Remove the directory of an agent that was killed on this machine.

    The name came from the agent, which is not trusted further: it must be, or be inside, a directory (no link) of this
    user with a name of the form that agents give.
    """
    named = re.match(r"/.*/mmapconf-\w{6,}(?=/|$)", directory)
    with contextlib.suppress(OSError):
        if named and os.lstat(named[0]).st_uid == os.geteuid():
            shutil.rmtree(named[0], ignore_errors=True)
