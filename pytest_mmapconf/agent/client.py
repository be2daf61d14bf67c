"""The client's side of PROTOCOL.md: the system that an agent has booted, as a System with its Processes.

A call is a request to the agent (`stream`).  Several processes may make calls concurrently (`System.run_concurrently`):
each may have one request under way, and an answer names the process by its number.  To send first and wait later, such
a call is made twice: the first time it stops after sending, the second time it continues with the answer.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from ..catalogue.fact_values import MOST, number
from ..contract import (
    Call,
    Counters,
    Facility,
    Process,
    Stat,
    System,
    Unresolved,
    Unsupported,
    errno_name,
)
from ..trace.calls import CALLS, PROCESS_CALLS, forwarder
from . import front
from .problems import Problem, problem
from .rounds import together
from .stream import MARGIN, Agent, short

FILE_KINDS: Final = ("regular", "directory", "character", "block", "fifo", "socket", "other")
"""The kinds of `contract.Stat`."""

MAX_RESIDENT: Final = 1024
"""The number of requests that one mincore may become."""

MAPS_KEPT: Final = 64 * 1024
"""Bytes of the text of an address space that are requested."""


class _Sent(BaseException):
    """A request has been sent, or put into a batch: what stops the first making of a call."""

    def __init__(self, request: str) -> None:
        self.request = request


class AgentProcess(Process):
    """A process of an agent."""

    def __init__(self, system: AgentSystem, number: int, thread: int = 0) -> None:
        self.bits = system.agent.bits
        self._system = system
        self._agent = system.agent
        self._number = number
        self._thread = thread
        """The thread of the process; 0 for its first, which takes the requests."""
        self._stage = ""
        """What `_call` does with the next request.

        "": send it and wait for the answer; "send": only send it; "receive": wait for its answer; "batch": leave it to
        `batch`; "given": it has been answered with `_given`.
        """
        self._given = ""

    def _call(self, request: str) -> str:
        if self._thread and self._stage != "batch":
            request = f"in {self._thread:d} {request}"
        if self._stage == "":
            if self._system.ended:
                raise Unresolved(self._system.ended)
            return self._agent.call(self._number, request)
        if self._stage == "send":
            if self._system.ended:
                raise Unresolved(self._system.ended)
            self._agent.send(self._number, request)
            raise _Sent(request)
        if self._stage == "batch":
            raise _Sent(request)
        stage, self._stage = self._stage, ""
        if stage == "given":
            return self._agent.result(self._number, self._given, request)
        return self._agent.receive(self._number, request)

    def _nothing(self, request: str) -> None:
        result = self._call(request)
        if result not in ("", "0"):  # 0 is what the function of C returns
            raise self._agent.fail(
                Problem.WRONG_ANSWER, f"it answered {short(result)!r} to {short(request)!r}, which has no result"
            )

    def _int(self, request: str) -> int:
        return self._value(self._call(request))

    def _value(self, word: str) -> int:
        value = number(word)
        if value is None or abs(value) > MOST:
            raise self._agent.fail(Problem.NOT_A_NUMBER, f"it answered {short(word)!r} where a number belongs")
        return value

    def _values(self, request: str, count: int) -> list[int]:
        words = self._call(request).split(" ")
        if len(words) != count:
            raise self._agent.fail(
                Problem.NOT_A_NUMBER, f"it answered {short(' '.join(words))!r} where {count} numbers belong"
            )
        return [self._value(word) for word in words]

    def _pair(self, request: str) -> tuple[int, int]:
        one, other = self._values(request, 2)
        return one, other

    def _bytes(self, request: str, at_most: int) -> tuple[bytes, bool]:
        """Return bytes, and True if the answer says that there are others, which did not fit into it."""
        text = self._call(request)
        try:
            data, is_cut = self._agent.bytes_of(text)
        except ValueError:
            raise self._agent.fail(Problem.NOT_BYTES, f"it answered {short(text)!r} where bytes belong") from None
        if len(data) > at_most:
            raise self._agent.fail(
                Problem.TOO_MANY_BYTES, f"it answered {len(data)} bytes where {at_most} were asked for"
            )
        return data, is_cut

    def _all_bytes(self, length: int, request: Callable[[int, int], str]) -> bytes:
        """Return bytes by as many requests as they take; `request` is that for a number of bytes at a place in them."""
        data = b""
        while True:
            asked = min(self._agent.data, length - len(data))
            more, is_cut = self._bytes(request(len(data), asked), asked)
            data += more
            if len(data) >= length or (len(more) < asked and not is_cut):
                return data

    # ---- the calls that are more than one request, or whose answer is not a number (for the others, see below)

    def request_of(self, call: Call) -> str:
        """Return the request that makes a call."""
        return self._first_request(call.name, call.arguments)

    @property
    def place(self) -> tuple[int, int]:
        """The number of the process, and of the thread in it."""
        return self._number, self._thread

    def fragment(self, addr: int, pages: int) -> str | None:
        try:
            self._call(f"fragment {addr:#x} {pages:d}")
        except Unsupported:
            return super().fragment(addr, pages)
        except OSError as error:
            return errno_name(error)
        return None

    def mincore(self, addr: int, length: int) -> list[bool]:
        step = min(self._agent.data, self._agent.line - MARGIN) * self._agent.page
        resident = ""
        for at in range(0, max(length, 1), step):
            if at >= MAX_RESIDENT * step:
                raise self._agent.fail(
                    Problem.WRONG_ANSWER, f"it says of mincore that all {at} bytes from {addr:#x} on are mapped"
                )
            amount = min(step, length - at)
            digits = self._call(f"mincore {addr + at:#x} {amount:d}")
            pages = -(-amount // self._agent.page)
            if not re.fullmatch("[01]*", digits) or len(digits) != pages:
                raise self._agent.fail(
                    Problem.WRONG_ANSWER,
                    f"it answered {short(digits)!r} where a 0 or 1 for each of {pages} pages belongs",
                )
            resident += digits
        return [page == "1" for page in resident]

    def load(self, addr: int, length: int) -> bytes:
        return self._all_bytes(length, lambda at, asked: f"load {addr + at:#x} {asked:d}")

    def load_in_child(self, addr: int, length: int) -> bytes:
        return self._bytes(f"load-in-child {addr:#x} {length:d}", length)[0]

    def store(self, addr: int, data: bytes) -> None:
        at = 0
        while True:
            field, count = self._agent.written(data, at)
            self._call(f"store {addr + at:#x} {field}")
            at += count
            if at >= len(data):
                break

    def audit(self, ranges: Sequence[tuple[int, int]], fds: Sequence[int] = ()) -> list[str]:
        if not self._system.audits:
            return super().audit(ranges, fds)
        most = self._agent.audits
        wanted = [
            (f"{addr + at * self._agent.page:#x} {min(most - 2, pages - at):d}", min(most - 2, pages - at))
            for addr, pages in ranges
            for at in range(0, pages, most - 2)
        ]
        wanted += [(f"fd {fd:d}", 1) for fd in fds]
        requests: list[str] = []
        room = 0
        for words, looks in wanted:
            if looks + 2 > room:
                requests.append("audit")
                room = most
            requests[-1] += " " + words
            room -= looks + 2
        try:
            digests = [word for request in requests for word in self._call(request).split(" ")]
        except Unsupported:
            self._system.audits = False
            return super().audit(ranges, fds)
        if len(digests) != sum(looks for _, looks in wanted):
            raise self._agent.fail(
                Problem.WRONG_ANSWER,
                f"it answered {len(digests)} words to an audit of another number of pages and files",
            )
        return digests

    def batch(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[object]:
        """Make calls as few requests; the first request of a call is part of a batch, any others follow it."""
        if not self._system.batches or len(calls) < 2 or self._thread:
            return super().batch(calls)
        requests = [self._first_request(name, arguments) for name, arguments in calls]
        answers: list[str] = []
        try:
            for some in self._agent.batches(requests):
                answers += self._call("batch " + ";".join(some)).split(";")
        except Unsupported:
            self._system.batches = False
            return super().batch(calls)
        if len(answers) != len(requests):
            raise self._agent.fail(
                Problem.WRONG_ANSWER, f"it answered {len(answers)} of the {len(requests)} requests of a batch"
            )
        results: list[object] = []
        for (name, arguments), answer in zip(calls, answers, strict=True):
            self._stage, self._given = "given", answer
            results += super().batch([(name, arguments)])
        return results

    def _first_request(self, name: str, arguments: tuple[Any, ...]) -> str:
        """Return the first request of a call, without making it."""
        self._stage = "batch"
        try:
            getattr(self, name)(*arguments)
        except _Sent as sent:
            return sent.request
        finally:
            self._stage = ""
        raise TypeError(f"{name} makes no request, and cannot be part of a batch")

    def return_instruction(self) -> bytes:
        return self._bytes("return-instruction", 64)[0]

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return self._all_bytes(length, lambda at, asked: f"pread {fd:d} {asked:d} {offset + at:d}")

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        at = 0
        while True:
            field, count = self._agent.written(data, at)
            written = self._int(f"pwrite {fd:d} {field} {offset + at:d}")
            at += written
            if written != count or at >= len(data):
                return at

    def fstat(self, fd: int) -> Stat:
        kind, _, size = self._call(f"fstat {fd:d}").partition(" ")
        if kind not in FILE_KINDS:
            raise self._agent.fail(
                Problem.WRONG_ANSWER, f"it answered {short(kind)!r} where the kind of a file belongs"
            )
        return Stat(kind, self._value(size))

    def has_old_mtime(self, fd: int) -> bool:
        return bool(self._int(f"has-old-mtime {fd:d}"))

    def errno_cleared(self) -> bool:
        return bool(self._int("errno-cleared"))

    def exec(self) -> None:
        answer = front.fields(self._call("exec"))
        escape = front.changed_by_exec(self._agent.facts, answer) or self._agent.escape_in_session()
        if escape:
            raise problem(Problem.LEFT_EMULATOR_AT_EXEC, escape)

    def fork(self) -> AgentProcess:
        return self._system.new_process(self._call("fork"))

    def thread(self) -> AgentProcess:
        if self._thread or not self._agent.has_threads:
            raise Unsupported("a thread makes no thread" if self._thread else "the agent has no threads")
        return AgentProcess(self._system, self._number, self._int("thread"))

    def counters(self) -> Counters:
        reads, writes, faults = self._values("counters", 3)
        return Counters(reads, writes, faults)

    def maps(self) -> str:
        text = b""
        while len(text) < MAPS_KEPT and (more := unquote_to_bytes(self._call(f"maps {len(text):d}"))):
            text += more
        return text.decode(errors="replace")


def _word(text: str) -> str:
    """Text as one word of a line: what is not a plain character of a path, as %XX."""
    return quote_from_bytes(os.fsencode(text), safe="/.-_~:+,=@")


_WORDS: Final = {
    "address": "{:#x}",
    "map": "{:#x}",
    "open": "{:#x}",
    "mode": "{:#x}",
    "path": "{}",
    "text": "{}",
}
"""The form of an argument's word in a request, by kind; decimal for all others."""

_RESULTS: Final[dict[str, Callable[[AgentProcess, str], object]]] = {
    "nothing": AgentProcess._nothing,
    "plain": AgentProcess._int,
    "address": AgentProcess._int,
    "amount": AgentProcess._int,
    "fd": AgentProcess._int,
    "fds": AgentProcess._pair,
    "scratch_range": AgentProcess._pair,
}
"""By kind of result, the method that makes a request and returns the result."""


def _one_request(call: str) -> Callable[[AgentProcess, str, tuple[Any, ...]], object]:
    """Return a function that makes a call as one request, written and read by the kinds of `CALLS`."""
    kinds = CALLS[call].arguments.values()
    form = " ".join([call.replace("_", "-"), *(_WORDS.get(kind, "{:d}") for kind in kinds)])
    texts = [place for place, kind in enumerate(kinds) if kind in ("path", "text")]
    result = _RESULTS[CALLS[call].result]

    def make(process: AgentProcess, _call: str, arguments: tuple[Any, ...]) -> object:
        if texts:
            arguments = tuple(_word(word) if place in texts else word for place, word in enumerate(arguments))
        return result(process, form.format(*arguments))

    return make


for _name in PROCESS_CALLS:
    if _name not in vars(AgentProcess):
        setattr(AgentProcess, _name, forwarder(_name, _one_request(_name)))


class AgentSystem(System):
    """A system that an agent has booted."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._is_closed = False
        agent.folder = None
        agent.output = b""
        agent.requests.clear()
        agent.system = self
        if agent.next_is_booted:
            agent.next_is_booted = False
        else:
            agent.send_all(0, "boot", "spawn")
        self.audits = self.batches = True
        """True until the agent reports that it lacks the verb."""
        self._first: AgentProcess | None = None
        """The process that was spawned with the boot, until it is asked for."""
        self._numbers: set[int] = set()
        """The numbers of all processes of this boot."""
        try:
            agent.folder = self._directory(agent.receive(0, "boot"))
            self._first = self.new_process(agent.receive(0, "spawn"))
        except OSError as error:
            where = agent.facts.get("directory", "its own choice of folder")
            what = f"a folder in {where}" if agent.folder is None else "a process"
            raise Unresolved(f"the agent cannot make {what}: {error.strerror}") from error

    @property
    def ended(self) -> str:
        """The reason why it can be asked nothing more; empty while it can."""
        if self._is_closed:
            return "the system is closed"
        return "" if self.agent.system is self else "another system has been booted since"

    def _call(self, request: str) -> str:
        if self.ended:
            raise Unresolved(self.ended)
        return self.agent.call(0, request)

    def spawn(self) -> AgentProcess:
        if self.ended:
            raise Unresolved(self.ended)
        process, self._first = self._first, None
        return process or self.new_process(self._call("spawn"))

    def new_process(self, answer: str) -> AgentProcess:
        if not re.fullmatch("[0-9]{1,9}", answer) or int(answer) == 0:
            raise self.agent.fail(Problem.NOT_A_PROCESS, f"it answered {short(answer)!r} where a process belongs")
        if int(answer) in self._numbers:
            raise self.agent.fail(Problem.NOT_A_PROCESS, f"it gave the number {int(answer)} to two processes")
        self._numbers.add(int(answer))
        return AgentProcess(self, int(answer))

    def _directory(self, answer: str) -> str:
        """Return the path that a boot was answered with, which is in the directory that the greeting names."""
        base = self.agent.facts.get("directory", "").rstrip("/")
        is_path = re.fullmatch(r"([!-$&-~]|%[0-9A-Fa-f]{2})+", answer)
        path = unquote(answer)
        own = rf"{re.escape(base)}/(.*/)?mmapconf-\w{{6,}}(/|$)" if base else "/"
        if not is_path or ".." in path.split("/") or not re.match(own, path):
            raise self.agent.fail(
                Problem.WRONG_ANSWER, f"it answered {short(answer)!r} where the path of its directory belongs"
            )
        return path

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        processes = [call.process for call in calls if isinstance(call.process, AgentProcess)]
        if len(processes) < len(calls) or len({process._number for process in processes}) < len(calls):
            raise TypeError("calls made together are each of another process of this system")
        for call, process in zip(calls, processes, strict=True):
            process._stage = "send"
            with contextlib.suppress(_Sent):
                call.make()
            process._stage = "receive"
        results: list[object] = []
        failed: Exception | None = None
        for call in calls:  # every answer is fetched, also after one that is a failure
            try:
                results.append(call.make())
            except Exception as error:
                failed = failed or error
        if failed:
            raise failed
        return results

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        if self.ended:
            raise Unresolved(self.ended)
        return together(self.agent, calls, rounds)

    def facility(self, facility: Facility) -> str:
        return unquote(self._call(f"facility {facility.value}"))

    def crash(self) -> None:
        self._call("crash")

    def full_file_table(self) -> AbstractContextManager[None]:
        return self._full_file_table()

    @contextlib.contextmanager
    def _full_file_table(self) -> Iterator[None]:
        self._call("file-table full")
        try:
            yield
        finally:
            if self._call("file-table free") == "late":
                raise Unresolved("the file table was free again before the case had done with it")

    def mapping_limit(self) -> int:
        answer = self._call("mapping-limit")
        if not re.fullmatch("[0-9]{1,20}", answer):
            raise self.agent.fail(Problem.NOT_A_NUMBER, f"it answered {short(answer)!r} where a number belongs")
        return int(answer)

    def close(self) -> None:
        if not self.ended:
            self._is_closed = True
            self.agent.system = None
            if self.agent.failure is None:
                # The next system is prepared while the client does other work.  The client waits only for the end of
                # this one: a system that dies when its processes end is a failure of the case that began them.
                self.agent.send_all(0, "end", "boot", "spawn")
                self.agent.next_is_booted = True
                try:
                    result = self.agent.receive(0, "end")
                    if result:
                        raise self.agent.fail(
                            Problem.WRONG_ANSWER, f"it answered {short(result)!r} to 'end', which has no result"
                        )
                except OSError as error:
                    raise self.agent.fail(
                        Problem.CANNOT_END_PROCESSES, f"it cannot end its processes: {error.strerror}"
                    ) from error
