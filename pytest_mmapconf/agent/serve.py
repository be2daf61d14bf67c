"""The agent's side of PROTOCOL.md, in Python: lends whatever keeps the contract to a client, over a stream of bytes.

`obey` is the heart: one request to one process, and its answer.  The verbs are the contract's calls, and how an
argument is written follows from its type in the contract, so neither is listed here again.  `serve` is the supervisor:
boots, processes by number, facilities.  It answers one request after the other, which is one of the orders that "at the
same time" allows.

    python -m pytest_mmapconf.agent.serve MODULE:FACTORY

lends a Python object, as `--mmap-backend=python:MODULE:FACTORY` takes it, but in an interpreter of its own: it may
crash or hang, be another Python, stand on another machine.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any, BinaryIO, Final, get_type_hints
from urllib.parse import quote_from_bytes, unquote

from ..contract import Backend, Facility, Fault, Process, Resource, System, Unresolved, errno_name
from ..trace.calls import PROCESS_CALLS, invoke

VERSION: Final = 1
DATA: Final = 16384
"""Bytes of data in one line, at most."""
LINE: Final = 2 * DATA + 256
"""Characters of a line with its newline, at most."""

Obey = Callable[[Process, str], str]


# ---------------------------------------------------------------------------------------------------------------- words


def number(word: str) -> int:
    """Decimal, or 0x and hexadecimal."""
    return int(word, 16 if word.startswith("0x") else 10)


ARGUMENTS: Final[dict[Any, Callable[[str], object]]] = {
    int: number,
    bool: lambda word: bool(number(word)),
    str: unquote,
    bytes: bytes.fromhex,
    Resource: lambda word: Resource(unquote(word)),
}
"""The function that reads an argument, by the argument's type in the contract."""


@cache
def readers(call: str) -> list[Callable[[str], object]]:
    """Return the functions that read the arguments of a call, in order."""
    types = get_type_hints(getattr(Process, call))
    return [ARGUMENTS[types[name]] for name in PROCESS_CALLS[call].arguments]


def word_of(text: str | bytes) -> str:
    """Text as one word."""
    return quote_from_bytes(os.fsencode(text), safe="/.-_~:+,=@")


def written(result: object) -> str:
    """A result as words."""
    if result is None:
        return ""
    if isinstance(result, bytes):
        return result.hex()
    if isinstance(result, tuple):
        return " ".join(map(written, result))
    if isinstance(result, list):  # of mincore
        return "".join("1" if resident else "0" for resident in result)
    return str(int(result)) if isinstance(result, int) else str(result)


def answer(call: Callable[[], object]) -> str:
    """Make a call, and say what became of it."""
    try:
        return f"ok {written(call())}".rstrip()
    except OSError as error:
        return f"error {errno_name(error)}"
    except Fault as fault:
        return f"fault {fault.signal} {fault.code} {'-' if fault.address is None else hex(fault.address)}"
    except NotImplementedError as error:
        return f"unsupported {' '.join(str(error).split()) or 'not implemented'}"
    except Unresolved as error:
        return f"died {' '.join(str(error).split())}"


# ------------------------------------------------------------------------------------------------ requests to a process


def obey(process: Process, request: str) -> str:
    """The answer of a process to a request, both without its number."""
    verb, *words = request.split(" ")
    call = verb.replace("-", "_")
    try:
        if call == "audit":
            return answer(lambda: audit(process, words))
        if call == "maps":
            return answer(lambda: word_of(process.maps().encode()[number(words[0]) :][:4096]))
        if call not in PROCESS_CALLS:
            return "unsupported this agent does not know the verb"
        if len(words) != len(readers(call)):
            return "bad the verb has another number of arguments"
        arguments = tuple(read(word) for read, word in zip(readers(call), words, strict=True))
        if call in ("load", "pread") and number(words[1]) > DATA:
            return "bad too many bytes for a line"
    except (ValueError, IndexError):
        return "bad an argument cannot be understood"
    if call == "fragment":  # the one call that returns an error instead of raising it
        failed = process.fragment(*arguments)  # type: ignore[arg-type]
        return f"error {failed}" if failed else "ok"
    return answer(lambda: invoke(process, call, arguments))


def audit(process: Process, words: list[str]) -> str:
    """The words come in pairs: an address and how many pages, or `fd` and a descriptor."""
    pairs = list(zip(words[::2], map(number, words[1::2]), strict=True))
    ranges = [(number(at), pages) for at, pages in pairs if at != "fd"]
    return " ".join(process.audit(ranges, [fd for at, fd in pairs if at == "fd"]))


# ----------------------------------------------------------------------------------------------------------- supervisor


class Supervisor:
    """Process 0: what is booted, and the processes by their number.  `obey` answers for each of them."""

    def __init__(self, backend: Backend, obey: Obey) -> None:
        self.backend = backend
        self.obey = obey
        self.system: System | None = None
        self.processes: list[Process | str] = []
        """Number 1 is the first; a dead one is the word that says how it ended."""
        self.full = ExitStack()

    def add(self, process: Process) -> int:
        self.processes.append(process)
        return len(self.processes)

    def reply(self, line: str) -> str:
        """The answer to a line, both with their number."""
        index, _, request = line.partition(" ")
        if not index.isdecimal() or not request:
            return "0 bad a line is a process's number, a verb, and its arguments"
        return f"{index} {self.supervise(request) if index == '0' else self.ask(int(index), request)}"

    def supervise(self, request: str) -> str:
        if request == "boot":
            self.end()
            self.system = self.backend.boot()
            return f"ok {word_of(getattr(self.system, 'folder', '/'))}"
        if request == "end":
            self.end()
            return "ok"
        system = self.system
        if system is None:
            return "bad no system is booted"
        verb, _, word = request.partition(" ")
        if verb == "facility":
            if word not in list(Facility):
                return "unsupported this agent does not know the facility"
            return answer(lambda: word_of(system.facility(Facility(word))))
        supervised: dict[str, Callable[[], object]] = {
            "spawn": lambda: self.add(system.spawn()),
            "crash": system.crash,
            "mapping-limit": system.mapping_limit,
            "file-table full": lambda: self.full.enter_context(system.full_file_table()),
            "file-table free": self.free_file_table,
        }
        if request not in supervised:
            return "unsupported this agent does not know the verb"
        return answer(supervised[request])

    def ask(self, index: int, request: str) -> str:
        if not 0 < index <= len(self.processes):
            return "bad no such process"
        process = self.processes[index - 1]
        if isinstance(process, str):
            return f"died {process}"
        if request == "fork":
            return answer(lambda: self.add(process.fork()))
        said = self.obey(process, request)
        kind, _, how = said.partition(" ")
        if kind == "died" or (kind == "ok" and request.partition(" ")[0] in ("exit", "kill")):
            self.processes[index - 1] = how or "SIGKILL"
        return said

    def free_file_table(self) -> str:
        self.full.close()
        return "free"

    def end(self) -> None:
        self.full.close()
        if self.system is not None:
            self.system.close()
        self.system = None
        self.processes = []


def greeting(backend: Backend) -> str:
    """Who is lent.  What its facts call by a plain word goes as it is."""
    facts = backend.facts()
    system, _, release = facts.details.get("kernel", facts.version or facts.name).partition(" ")
    told = {name: value for name, value in facts.details.items() if re.fullmatch("[a-z]+", name) and name != "kernel"}
    told |= {"system": system, "release": release, "line": str(LINE), "data": str(DATA)}
    return f"mmapconf {VERSION} " + " ".join(f"{name}={word_of(value)}" for name, value in told.items())


def serve(backend: Backend, read: BinaryIO, write: BinaryIO, obey: Obey = obey) -> None:
    """Lend a backend until the stream ends."""
    supervisor = Supervisor(backend, obey)

    def say(line: str) -> None:
        write.write(line.encode("ascii", "replace") + b"\n")
        write.flush()

    try:
        say(greeting(backend))
        while line := read.readline(LINE + 1):
            if len(line) > LINE:
                break
            say(supervisor.reply(line.decode("ascii", "replace").rstrip("\r\n")))
    finally:
        supervisor.end()
        backend.close()


def main(arguments: list[str]) -> int:
    """Lend a Python object over stdin and stdout; what it prints itself goes to stderr."""
    import pytest

    from ..backends import make

    if len(arguments) != 1:
        print(f"usage: python -m {__spec__.name} MODULE:FACTORY", file=sys.stderr)
        return 2
    read, write = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        backend = make(f"python:{arguments[0]}", folders=[os.getcwd()])
    except pytest.UsageError as error:
        print(error, file=sys.stderr)
        return 2
    serve(backend, read, write)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
