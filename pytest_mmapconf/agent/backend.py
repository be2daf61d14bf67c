"""Backends that use an agent: the system that pytest runs on, and the agent that a command starts.

One agent for a backend, started when it is first needed, and again by the first boot after one has died.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Sequence
from typing import Final

from ..contract import SC_PAGESIZE, Backend, Facts, Unresolved
from . import front
from .build import build_agent
from .client import AgentSystem
from .stream import Agent

ROOM: Final = 4 << 20
"""Bytes that must be free for the files of cases: on a full file system stores raise SIGBUS and calls ENOSPC."""


class CommandBackend(Backend):
    """`--mmap-backend='agent:COMMAND ARGS…'`: runs the command and speaks the protocol over its stdin and stdout."""

    def __init__(self, command: str) -> None:
        self.name = f"agent:{command}"
        self._command = command
        self._agent: Agent | None = None

    def command(self) -> Sequence[str]:
        """The program and its arguments."""
        try:
            words = shlex.split(self._command)
        except ValueError as error:
            raise Unresolved(f"the agent's command cannot be understood: {error}") from error
        if not words:
            raise Unresolved("the agent's command is empty")
        return words

    def facts(self) -> Facts:
        said = self.agent().facts
        details = {
            "kernel": f"{said.get('system', '?')} {said.get('release', '?')}",
            "machine": said.get("machine", "?"),
            "libc": said.get("libc", "?"),
            "page": said.get("page", "?"),
            "bits": said.get("bits", "?"),
            "byte order": said.get("byteorder", "?"),
            "run by": front.described(said),
            "file system": said.get("filesystem", "?"),
            "directory": said.get("directory", "?"),
            "user": "root" if said.get("uid") == "0" else f"uid {said.get('uid', '?')}",
        }
        limits = "end", "lowest", "mappings", "locked", "descriptors", "limits", "capabilities"
        details |= {name: said[name].strip(",") or "none" for name in limits if name in said}
        details |= {name: str(int(said[name], 16)) for name in limits if said.get(name, "").startswith("0x")}
        details |= {f"reports {name}": "no" for name in ("errno", "signals") if said.get(name) == "none"}
        return Facts(self.name, f"{details['kernel']}, {details['libc']}", details)

    def agent(self) -> Agent:
        """The agent that runs; a new one where there is none."""
        if self._agent is None or self._agent.failure is not None:
            limits = self.options.timeout, self.options.start_timeout or self.options.timeout
            self._agent = Agent(self.command(), *limits, self.options.directory or "")
            self._agent.control = self.has_answer
        return self._agent

    def has_answer(self) -> bool:
        """Return True if a new agent can be started and a process of it answers."""
        try:
            agent = self.agent()
            agent.control = None
            system = AgentSystem(agent)
            try:
                system.spawn().sysconf(SC_PAGESIZE)
            finally:
                system.close()
            agent.control = self.has_answer
        except (Unresolved, OSError, NotImplementedError):
            return False
        return True

    def boot(self) -> AgentSystem:
        return AgentSystem(self.agent())

    def close(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.close()
            if agent.wrong_end:
                raise Unresolved(agent.wrong_end)


class NativeBackend(CommandBackend):
    """`--mmap-backend=native`: the system that pytest runs on, through its libc.

    Raises BuildError, from facts and boot, where the agent has to be built and cannot be.
    """

    def __init__(self) -> None:
        super().__init__("")
        self.name = "native"

    def command(self) -> Sequence[str]:
        directory = os.path.abspath(self.options.directory or tempfile.gettempdir())
        with contextlib.suppress(OSError):  # the agent reports it
            space = os.statvfs(directory)
            free = space.f_bavail * space.f_frsize
            if free < ROOM:
                raise Unresolved(
                    f"the file system of {directory} has {free} bytes free, and the cases' files need {ROOM}:"
                    " name another directory with --mmap-dir"
                )
        disruptive = ["--disruptive"] if self.options.disruptive else []
        return [str(build_agent()), "--directory", directory, *disruptive]
