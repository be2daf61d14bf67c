"""Serve any backend in Python to a client over a byte stream: the agent's side of PROTOCOL.md.

`execute_request` executes one request to one process and returns its answer.  The verbs are the calls of the contract,
and the encoding of an argument follows from its type in the contract, so this module lists neither.  `Supervisor`
executes the requests to process 0: boots, numbered processes, facilities.  `serve` answers one request after another,
which is one of the orders in which concurrent requests may be answered.

    python -m pytest_mmapconf.agent.serve MODULE:FACTORY

serves the backend that `--mmap-backend=python:MODULE:FACTORY` would use, but in an interpreter of its own: that one may
crash or hang, be of another version, or run on another machine.
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

from ..contract import (
    Backend,
    Call,
    Facility,
    Fault,
    Process,
    Resource,
    System,
    Unresolved,
    Unsupported,
    errno_name,
)
from ..trace.calls import PROCESS_CALLS, invoke
from ..trace.outcome_text import result_text
from . import runs

VERSION: Final = 1
DATA: Final = 65536
"""Maximum bytes of data in one call."""
LINE: Final = 33024
"""Maximum length of a line with its newline."""
PAGE: Final = 4096
"""The size of a page by which the length of one mincore is limited: the smallest that systems have."""
AUDITED: Final = 1024
"""Maximum number of pages and files of one audit."""

ExecuteRequest = Callable[[Process, str], str]


# --------------------------------------------------------------------------------------------------------------- fields


def parse_number(word: str) -> int:
    """Return the value of a decimal number, or of a hexadecimal one after 0x."""
    return int(word, 16 if word.startswith("0x") else 10)


PARSERS: Final[dict[Any, Callable[[str], object]]] = {
    int: parse_number,
    bool: lambda word: bool(parse_number(word)),
    str: unquote,
    bytes: lambda word: runs.decode(word, DATA),
    Resource: lambda word: Resource(unquote(word)),
}
"""Argument type in the contract -> the function that parses an argument of that type."""


@cache
def argument_parsers(call: str) -> list[Callable[[str], object]]:
    """Return the functions that parse the arguments of a call, in order."""
    types = get_type_hints(getattr(Process, call))
    return [PARSERS[types[name]] for name in PROCESS_CALLS[call].arguments]


def encode_text(text: str | bytes) -> str:
    """Return text as one field of a line."""
    return quote_from_bytes(os.fsencode(text), safe="/.-_~:+,=@")


def answer(call: Callable[[], object]) -> str:
    """Make a call, and return the answer that reports its result, error or fault."""
    try:
        return f"ok {result_text(call())}".rstrip()
    except OSError as error:
        return f"error {errno_name(error)}"
    except Fault as fault:
        return f"fault {fault.signal} {fault.code} {'-' if fault.address is None else hex(fault.address)}"
    except NotImplementedError as error:
        return f"unsupported {' '.join(str(error).split()) or 'not implemented'}"
    except Unresolved as error:
        return f"died {' '.join(str(error).split())}"


# ------------------------------------------------------------------------------------------------ requests to a process


NOT_IN_THREADS: Final = ("batch", "fork", "exec", "exit", "kill", "thread", "in", "together")
"""Verbs that only the first thread of a process executes."""

NOT_IN_BATCHES: Final = ("batch", "fork", "exec", "exit", "kill")
"""Verbs that concern more than the process, and batches."""


def execute_request(process: Process, request: str) -> str:
    """Execute a request to a process and return the answer, both without the process's number."""
    verb, *words = request.split(" ")
    call = verb.replace("-", "_")
    try:
        if call == "batch":
            return batch(process, request.partition(" ")[2])
        if call == "audit":
            ranges, fds = audited(words)
            return answer(lambda: " ".join(process.audit(ranges, fds)))
        if call == "maps":
            return answer(lambda: encode_text(process.maps().encode()[parse_number(words[0]) :][:4096]))
        if call not in PROCESS_CALLS:
            return "unsupported this agent does not know the verb"
        if len(words) != len(argument_parsers(call)):
            return "bad the verb has another number of arguments"
        arguments = tuple(read(word) for read, word in zip(argument_parsers(call), words, strict=True))
        if call in ("load", "pread") and parse_number(words[1]) > DATA:
            return "bad too many bytes for a line"
        if call == "mincore" and parse_number(words[1]) > (LINE - 64) * PAGE:
            return "bad too many pages for a line"
    except (ValueError, IndexError):
        return "bad an argument cannot be understood"
    if call == "fragment":  # the only call that returns an error instead of raising it
        failed = process.fragment(*arguments)  # type: ignore[arg-type]
        return f"error {failed}" if failed else "ok"
    return answer(lambda: encoded(invoke(process, call, arguments)))


def encoded(result: object) -> object:
    """Return bytes as a field of an answer, with a comma if not all fit into a line; anything else as it is."""
    if not isinstance(result, bytes):
        return result
    field, count = runs.beginning(result, LINE - 64)
    return field if count == len(result) else f"{field},"


def batch(process: Process, requests: str) -> str:
    """Execute requests, separated by semicolons, and return their answers, likewise."""
    each = requests.split(";")
    if any(request.partition(" ")[0] in NOT_IN_BATCHES for request in each):
        return "bad a verb cannot be part of a batch"
    return "ok " + ";".join(execute_request(process, request) for request in each)


def audited(words: list[str]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the ranges and the descriptors of an audit.

    `words` are pairs of an address and a number of pages, or of `fd` and a descriptor.  Raises ValueError for other
    words, and for more pages and files than one audit may have.
    """
    pairs = list(zip(words[::2], map(parse_number, words[1::2]), strict=True))
    ranges = [(parse_number(at), pages) for at, pages in pairs if at != "fd"]
    fds = [fd for at, fd in pairs if at == "fd"]
    if any(pages < 0 for _, pages in ranges) or sum(pages for _, pages in ranges) + len(fds) > AUDITED:
        raise ValueError(f"an audit has at most {AUDITED} pages and files")
    return ranges, fds


# ----------------------------------------------------------------------------------------------------------- supervisor


class Supervisor:
    """Process 0: owns the booted system and its numbered processes, for which `execute_request` executes requests."""

    def __init__(self, backend: Backend, execute_request: ExecuteRequest) -> None:
        self.backend = backend
        self.execute_request = execute_request
        self.system: System | None = None
        self.processes: list[Process | str] = []
        """The processes from number 1 on; of an ended process, the exit status or the signal that ended it, as text."""
        self.threads: dict[int, list[Process]] = {}
        """By process, its threads; its first is the process itself."""
        self.full_file_table = ExitStack()

    def add(self, process: Process) -> int:
        self.processes.append(process)
        return len(self.processes)

    def answer_line(self, line: str) -> str:
        """Execute the request in a line and return its answer line, both with the process's number."""
        index, _, request = line.partition(" ")
        if not index.isdecimal() or not request:
            return "0 bad a line is a process's number, a verb, and its arguments"
        if index == "0":
            return f"0 {self.execute_supervisor_request(request)}"
        return f"{index} {self.forward_request(int(index), request)}"

    def execute_supervisor_request(self, request: str) -> str:
        if request == "boot":
            self.end()
            self.system = self.backend.boot()
            return f"ok {encode_text(getattr(self.system, 'folder', '/'))}"
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
            return answer(lambda: encode_text(system.facility(Facility(word))))
        supervised: dict[str, Callable[[], object]] = {
            "spawn": lambda: self.add(system.spawn()),
            "crash": system.crash,
            "mapping-limit": system.mapping_limit,
            "file-table full": lambda: self.full_file_table.enter_context(system.full_file_table()),
            "file-table free": self.free_file_table,
        }
        if request not in supervised:
            return "unsupported this agent does not know the verb"
        return answer(supervised[request])

    def execute_for_threads(self, index: int, process: Process, request: str) -> str:
        """Execute a request that makes a thread, is for one, or is for several concurrent calls."""
        threads = self.threads.setdefault(index, [process])
        verb, _, rest = request.partition(" ")
        try:
            if verb == "thread":
                return answer(lambda: self.add_thread(threads))
            if verb == "in":
                number, _, own = rest.partition(" ")
                if own.partition(" ")[0] in NOT_IN_THREADS:
                    return "unsupported fork, exec and exit are requests to the process's first thread"
                return self.execute_request(threads[parse_number(number)], own)
            return answer(lambda: self.together(threads, rest))
        except (ValueError, IndexError, KeyError):
            return "bad an argument cannot be understood"

    def add_thread(self, threads: list[Process]) -> int:
        threads.append(threads[0].thread())
        return len(threads) - 1

    def together(self, threads: list[Process], request: str) -> str:
        """Make calls of one process's threads concurrently; return the sequence of outcomes and the different ones."""
        head, *parts = request.split(" ; ")
        rounds, actors, place, _stages = head.split(" ")
        calls = [call_of(threads, part) for part in parts]
        if parse_number(place) or parse_number(actors) > len({*map(id, (c.process for c in calls)), id(threads[0])}):
            raise Unsupported("this agent makes concurrent calls of one process, not of several")
        assert self.system is not None
        tally = self.system.together(calls, parse_number(rounds))
        sequence = ",".join(f"{number}*{count}" for number, count in enumerate(tally.values()))
        return " | ".join([sequence, *(";".join(outcomes) for outcomes in tally)])

    def forward_request(self, index: int, request: str) -> str:
        if not 0 < index <= len(self.processes):
            return "bad no such process"
        process = self.processes[index - 1]
        if isinstance(process, str):
            return f"died {process}"
        if request == "fork":
            return answer(lambda: self.add(process.fork()))
        if request.partition(" ")[0] in ("thread", "in", "together"):
            return self.execute_for_threads(index, process, request)
        answered = self.execute_request(process, request)
        kind, _, how = answered.partition(" ")
        if kind == "died" or (kind == "ok" and request.partition(" ")[0] in ("exit", "kill")):
            self.processes[index - 1] = how or "SIGKILL"
        return answered

    def free_file_table(self) -> str:
        self.full_file_table.close()
        return "free"

    def end(self) -> None:
        self.full_file_table.close()
        if self.system is not None:
            self.system.close()
        self.system = None
        self.processes = []
        self.threads = {}


def call_of(threads: list[Process], part: str) -> Call:
    """Return the call that one part of a request `together` states, `THREAD STAGE VERB ARGUMENT…`."""
    thread, stage, verb, *words = part.split(" ")
    name = verb.replace("-", "_")
    arguments = tuple(read(word) for read, word in zip(argument_parsers(name), words, strict=True))
    return Call(threads[parse_number(thread)], name, arguments, parse_number(stage))


def greeting(backend: Backend) -> str:
    """Return the first line of the stream: the facts of a backend that have names of lower-case letters."""
    facts = backend.facts()
    system, _, release = facts.details.get("kernel", facts.version or facts.name).partition(" ")
    values = {name: value for name, value in facts.details.items() if re.fullmatch("[a-z]+", name) and name != "kernel"}
    values |= {"threads": "3", "processors": "2"}
    values |= {"system": system, "release": release, "line": str(LINE), "data": str(DATA), "runs": "both"}
    return f"mmapconf {VERSION} " + " ".join(f"{name}={encode_text(value)}" for name, value in values.items())


def serve(backend: Backend, read: BinaryIO, write: BinaryIO, execute_request: ExecuteRequest = execute_request) -> None:
    """Answer a client's requests to a backend until the stream ends."""
    supervisor = Supervisor(backend, execute_request)

    def write_line(line: str) -> None:
        write.write(line.encode("ascii", "replace") + b"\n")
        write.flush()

    try:
        write_line(greeting(backend))
        while line := read.readline(LINE + 1):
            if len(line) > LINE:
                break
            write_line(supervisor.answer_line(line.decode("ascii", "replace").rstrip("\r\n")))
    finally:
        supervisor.end()
        backend.close()


def main(arguments: list[str]) -> int:
    """Serve a backend over stdin and stdout; the backend's own output goes to stderr."""
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
