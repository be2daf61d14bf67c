"""An agent whose answers are generated: no process makes them, so that a million of them take minutes.

The client is the real one (`agent.stream.Agent`), with a process that greets and is silent; what the client writes is
answered in its buffer.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.contract import Fault, Process, Unresolved

WORDS = (
    *(
        "ok",
        "error",
        "fault",
        "unsupported",
        "died",
        "bad",
        "",
        "-",
        "0",
        "1",
        "-1",
        "00",
        "0x",
        "0x1000",
        "4096",
        "zz",
    ),
    *(
        "EINVAL",
        "ENOTANERROR",
        "EINVAL EINVAL",
        "SIGSEGV",
        "SIGSEGV SEGV_MAPERR 0x0",
        "x y 1",
        "SIG35",
        "35",
        "regular 5",
    ),
    *(
        "\x1b[31m",
        "\u202e",
        "%00",
        "%",
        "100%",
        "9" * 30,
        "9" * 5000,
        "f" * 3000,
        "1 2",
        "1 2 3",
        ";;;",
        "ok;error EINVAL",
    ),
)

PARTS = ("ok 61*5", "ok 61*3,", "ok 61,", "ok 61*5000,", "ok 00000001+5", "ok ,", "ok 61*999999999", "ok 6162*1")
"""Answers with bytes in parts, most of them wrong ones."""

GREETINGS = ("mmapconf 1", "mmapconf 1 runs=both line=128 data=4096")


def answer(random: Random, number: str, request: str) -> str:
    """Return an answer to a request, without its newline; most of them leave the agent usable."""
    if request in ("boot", "spawn", "end") and random.random() < 0.98:
        return {"boot": f"{number} ok /mmapconf", "spawn": f"{number} ok 1", "end": f"{number} ok"}[request]
    kind = random.random()
    if kind < 0.55:
        said = f"error {random.choice(('EINVAL', 'ENOMEM', 'E' + random.choice(WORDS)))}"
    elif kind < 0.8:
        said = f"{random.choice(('unsupported', 'bad', 'died'))} {random.choice(WORDS)}"
    elif kind < 0.97:
        said = random.choice(("fault SIGSEGV SEGV_MAPERR 0x1000", "fault SIGBUS 5 -", "ok 1", "ok 00", "ok", *PARTS))
    else:
        said = f"{random.choice(WORDS)} {random.choice(WORDS)}"
    if random.random() < 0.005:
        number = random.choice(("77", "-1", "", "9" * 5000, "x", "1 1"))
    return f"{number} {said}"


class Feed:
    """Answers what the client of a backend writes."""

    def __init__(self, random: Random) -> None:
        self.random = random
        greeting = random.choice(GREETINGS)
        self.lines = 0
        """The number of answers so far."""
        self.backend = CommandBackend(f"sh -c {shlex.quote(f'echo {greeting}; exec cat >/dev/null')}")

    def agent(self) -> Any:
        """Return the backend's agent, whose writes are answered here."""
        agent: Any = self.backend.agent()
        if agent._write.__class__.__name__ != "function":
            agent.control = None
            agent._write = lambda data: self.write(agent, data)
            agent._kill = quick_kill(agent)
        return agent

    def write(self, agent: Any, data: bytes) -> None:
        """Answer the requests of the client."""
        for line in data.decode("ascii").splitlines():
            number, _, request = line.partition(" ")
            agent._buffer += answer(self.random, number, request).encode("utf-8") + b"\n"
            self.lines += 1

    def close(self) -> None:
        agent = self.backend._agent
        if agent is not None and agent.failure is None:
            agent.failure = "closed"
            agent._kill()
        self.backend._agent = None


def quick_kill(agent: Any) -> Callable[..., None]:
    """Return a function that ends the agent's process without waiting for what it may say at its end."""
    kill = type(agent)._kill

    def at_once(*_: object, **__: object) -> None:
        agent._subprocess.kill()
        kill(agent, 0.0)

    return at_once


def calls(process: Process) -> Iterator[Callable[[], object]]:
    """Yield calls with every form of a result."""
    yield lambda: process.mmap(0, 4096, 3, 2, -1, 0)
    yield lambda: process.munmap(4096, 4096)
    yield lambda: process.load(4096, 5)
    yield lambda: process.load(4096, 5000)
    yield lambda: process.store(4096, b"abc")
    yield lambda: process.mincore(4096, 8192)
    yield lambda: process.fstat(3)
    yield process.counters
    yield lambda: process.pread(3, 4000, 0)
    yield lambda: process.pwrite(3, b"x" * 2000, 0)
    yield lambda: process.audit([(4096, 2)], [3])
    yield lambda: process.batch([("close", (3,)), ("load", (4096, 4)), ("audit", ([(4096, 1)], []))])
    yield process.maps
    yield process.pipe
    yield lambda: process.fragment(4096, 4)
    yield process.exec
    yield process.fork
    yield lambda: process.sysconf(30)
    yield lambda: process.exit(3)


def converse(feed: Feed, rounds: int) -> None:
    """Make calls, on a new system after each that cannot be asked any more; only errors of the contract may come."""
    process: Process | None = None
    for _ in range(rounds):
        try:
            if process is None:
                feed.agent()
                process = feed.backend.boot().spawn()
            for call in calls(process):
                with contextlib.suppress(OSError, Fault, NotImplementedError):
                    call()
        except (Unresolved, NotImplementedError):
            if feed.backend._agent is not None and feed.backend._agent.failure is not None:
                process = None


HOSTILE_GREETINGS = ("page=3", "bits=1000000000", "end=zz", "mappings=-5", "lowest=18446744073709551616", "data=1")
