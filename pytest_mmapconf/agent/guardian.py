"""Ends the agents of a process that has died before it could end them.

An agent ends at the end of its stream; an emulator, or a child in a session of its own, may not.  Every process that an
agent starts has a mark in its environment, unless it has replaced its environment.  `guard` starts a process of this
module, whose stdin is a pipe that only the caller holds: it ends with the caller, whatever ended that.  The marked
processes then have `PATIENCE` seconds to end by themselves, and are killed after that.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

MARK: Final = "MMAPCONF_AGENT_OF"
"""The environment variable of all processes of an agent."""

PATIENCE: Final = 2.0
"""Seconds that agents have to end by themselves."""

_guarded: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}
"""By process id of a client, its mark and the process that starts its guardian; a fork of the client has its own."""


def mark() -> str:
    """Return the mark of this process's agents; start the guardian with the first call."""
    pid = os.getpid()
    if pid not in _guarded:
        value = f"{pid}-{secrets.token_hex(8)}"
        read, _write = os.pipe()  # the latter stays open as long as this process lives
        command = [sys.executable, "-I", "-S", __file__, value]
        _guarded[pid] = value, subprocess.Popen(command, stdin=read, stdout=subprocess.DEVNULL, start_new_session=True)
        os.close(read)
    return _guarded[pid][0]


def wait_until_detached() -> None:
    """Wait until the guardian is no child of this process any more: a program may wait for any child of its own."""
    _guarded[os.getpid()][1].wait()


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
    while os.read(0, 1):
        pass
    deadline = time.monotonic() + PATIENCE
    while list(marked(value)) and time.monotonic() < deadline:
        time.sleep(0.1)
    kill_marked(value)


if __name__ == "__main__":
    main(sys.argv[1])
