"""The client's side of PROTOCOL.md: an agent at the other end of a byte stream, as a System with its Processes.

A call is a line there and a line back.  The stream is two file descriptors; each wait is bounded by the timeout of a
call.  Whatever an agent may do wrong ends in one way: its processes are killed, `Unresolved` says what happened, and
the next system that is booted starts a new agent.  So a case survives its backend's death, and the next one does not
notice.

Several processes may be at work at once (`System.run_concurrently`): each may have one request under way, and an
answer names the process by its number.  To send first and wait later, such a call is made twice: the first time it
stops after sending, the second time it continues with the answer.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
import select
import signal
import subprocess
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from ..contract import (
    Call,
    Counters,
    Facility,
    Fault,
    Process,
    Stat,
    System,
    Unresolved,
    Unsupported,
    errno_name,
)
from ..trace.calls import CALLS, PROCESS_CALLS, forwarder
from .dead_agent import read_rest, remove_directory

PROTOCOL: Final = 1
"""The version of the protocol that is spoken here."""

CHATTER: Final = 64 * 1024
"""Bytes that may arrive before the handshake: the output of a console, an emulator or a login."""

STDERR_KEPT: Final = 4096
"""Bytes of an agent's stderr that are kept, to be shown when it fails."""

MAPS_KEPT: Final = 64 * 1024
"""Bytes of the text of an address space that are requested."""


class Agent:
    """A running agent: its subprocess and the two ends of the stream.

    Raises Unresolved where it cannot be started or does not greet within `timeout` seconds.
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.command = list(command)
        self.timeout = timeout
        self.failure: str | None = None
        """Why the agent is gone; None while it lives."""
        self.folder: str | None = None
        """The folder of the system that is booted: to be removed here, should the agent die of something."""
        self.next_is_booted = False
        """True if an "end", a "boot" and a "spawn" have been sent for the next system."""
        self.system: AgentSystem | None = None
        """The system that is booted: an agent has one at a time."""
        self._said = b""
        self._buffer = b""
        self._answers: dict[int, deque[str]] = defaultdict(deque)
        self._awaited: Counter[int] = Counter()
        try:
            # A session of its own: an interrupt of the terminal reaches the client alone, and one kill reaches all.
            self._subprocess = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise Unresolved(f"the agent cannot be started: {error}") from error
        assert self._subprocess.stdin is not None
        assert self._subprocess.stdout is not None
        assert self._subprocess.stderr is not None
        self._to = self._subprocess.stdin.fileno()
        self._from = self._subprocess.stdout.fileno()
        self._errors = self._subprocess.stderr.fileno()
        os.set_blocking(self._to, False)
        self._poll = select.poll()
        self._poll.register(self._from, select.POLLIN)
        self._poll.register(self._errors, select.POLLIN)
        self._owner = os.getpid()
        atexit.register(self.close)
        self._line = 1 << 20  # of the greeting, until it says more
        self.facts = self._greeting()
        """The greeting: names and values as text."""
        self.bits = self._number("bits", 64)
        self.page = self._number("page", 4096)
        self.data = self._number("data", 1024)
        self._line = self._number("line", 4096) + 16
        self.audits = max(3, min(1024, self._line // 20))
        """The size of one audit: one word per page, and two more for each range or file, fit into a line."""

    # ---- calls

    def call(self, number: int, request: str) -> str:
        """Send a request to a process and return what it answered after "ok"; raise what else it answered."""
        self.send(number, request)
        return self.receive(number, request)

    def send(self, number: int, request: str) -> None:
        """Send a request to a process and do not wait."""
        self.send_all(number, request)

    def send_all(self, number: int, *requests: str) -> None:
        """Send several requests, to be answered in this order; only the supervisor (0) takes more than one."""
        if self.failure is not None:
            raise Unresolved(f"the agent is gone: {self.failure}")
        self._awaited[number] += len(requests)
        self._write("".join(f"{number} {request}\n" for request in requests).encode("ascii"))

    def receive(self, number: int, request: str) -> str:
        """Wait for a process's answer."""
        if self.failure is not None:
            raise Unresolved(f"the agent is gone: {self.failure}")
        deadline = time.monotonic() + self.timeout
        answers = self._answers[number]
        while not answers:
            self._sort(self._read_line(deadline, request))
        kind, _, rest = answers.popleft().partition(" ")
        if kind == "ok":
            return rest
        raise self._outcome(number, kind, rest, request)

    def _outcome(self, number: int, kind: str, rest: str, request: str) -> Exception:
        verb = request.partition(" ")[0]
        if kind == "error":
            code = getattr(errno, rest, None)
            if isinstance(code, int):
                return OSError(code, os.strerror(code))
            return Unresolved(f"{verb} failed with an error that Python has no name for: {rest}")
        if kind == "fault":
            words = rest.split(" ")
            if len(words) == 3:
                with contextlib.suppress(ValueError):
                    return Fault(words[0], words[1], None if words[2] == "-" else int(words[2], 0))
        if kind == "unsupported":
            return Unsupported(f"{verb}: {rest}" if number else rest)
        if kind == "died":
            return Unresolved(f"the process ended by itself ({rest}), seen at {verb}")
        if kind == "bad":
            return Unresolved(f"the agent does not understand {_short(request)!r}: {rest}")
        return self.fail(f"it answered {_short(f'{kind} {rest}')!r} to {verb}")

    def _sort(self, line: str) -> None:
        number, _, answer = line.partition(" ")
        if not number.isascii() or not number.isdigit() or not self._awaited[int(number)]:
            if answer.startswith("died "):
                return  # reported without a request; it is reported again on request
            raise self.fail(f"it said {_short(line)!r}, without a request")
        self._awaited[int(number)] -= 1
        self._answers[int(number)].append(answer)

    # ---- the stream

    def _greeting(self) -> dict[str, str]:
        deadline = time.monotonic() + self.timeout
        heard = 0
        while heard <= CHATTER:
            line = self._read_line(deadline, "its greeting")
            heard += len(line) + 1
            # A console may have written something in front, without an end of line.
            greeting = re.search(r"mmapconf (\d+)((?: [a-z]+=\S*)*)$", line)
            if greeting:
                if int(greeting[1]) != PROTOCOL:
                    raise self.fail(f"it speaks version {greeting[1]} of the protocol, not {PROTOCOL}")
                words = (word.partition("=") for word in greeting[2].split())
                return {name: unquote(value) for name, _, value in words}
        raise self.fail(f"it did not greet within {CHATTER} bytes")

    def _number(self, fact: str, otherwise: int) -> int:
        try:
            value = int(self.facts.get(fact, otherwise))
        except ValueError:
            value = 0
        if value <= 0:
            raise self.fail(f"its greeting says {fact}={self.facts[fact]!r}")
        return value

    def _write(self, data: bytes) -> None:
        try:
            sent = os.write(self._to, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise self.fail("it ended") from None
        if sent == len(data):
            return
        deadline = time.monotonic() + self.timeout  # the stream is full: the other side has to take something first
        while sent < len(data):
            if not select.select([], [self._to], [], max(0.0, deadline - time.monotonic()))[1]:
                raise self.fail(f"it took nothing in {self.timeout:g} s")
            try:
                sent += os.write(self._to, data[sent:])
            except BlockingIOError:
                continue
            except OSError:
                raise self.fail("it ended") from None

    def _read_line(self, deadline: float, request: str) -> str:
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) <= self._line:
            ready = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                raise self.fail(f"no answer to {_short(request)!r} in {self.timeout:g} s")
            for descriptor, _ in ready:
                more = os.read(descriptor, 65536)
                if descriptor == self._errors:
                    self._said = (self._said + more)[-STDERR_KEPT:]
                    if not more:
                        self._poll.unregister(self._errors)
                elif more:
                    self._buffer += more
                else:
                    raise self.fail(f"it ended at {_short(request)!r}")
        if end < 0 or end > self._line:
            raise self.fail(f"it wrote a line of more than {self._line} bytes")
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r").decode("ascii", "replace")

    # ---- its end

    def fail(self, reason: str) -> Unresolved:
        """Kill the agent and everything of it, and return the exception that says why."""
        if self.failure is None:
            self.failure = reason
            self._kill()
            said = self._said.decode(errors="replace").strip()
            status = self._subprocess.returncode
            how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            ended = f" ({how})" if reason.startswith("it ended") else ""
            self.failure += ended + (f"; on stderr: {said}" if said else "")
        return Unresolved(f"the agent failed: {self.failure}")

    def close(self) -> None:
        """End the agent: it tidies up at the end of its stream.  Where it does not, it is killed."""
        if self.failure is None and os.getpid() == self._owner:
            self.failure = "it was closed"
            assert self._subprocess.stdin is not None
            self._subprocess.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._subprocess.wait(min(self.timeout, 5.0))
            self._kill()

    def _kill(self) -> None:
        atexit.unregister(self.close)
        # What its end may still want to say, and the reason why it ended by itself, need a moment.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._subprocess.wait(0.05)
        with contextlib.suppress(OSError):
            os.killpg(self._subprocess.pid, signal.SIGKILL)
        self._subprocess.wait()
        self._said = (self._said + read_rest(self._errors))[-STDERR_KEPT:]
        booted = re.findall(rb"^0 ok (\S*/mmapconf-\w{6,}\S*)$", self._buffer + read_rest(self._from), re.MULTILINE)
        for stream in (self._subprocess.stdin, self._subprocess.stdout, self._subprocess.stderr):
            if stream:
                stream.close()
        for folder in (self.folder, *(unquote(folder.decode("ascii", "replace")) for folder in booted)):
            if folder:
                remove_directory(folder)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Sent(BaseException):
    """A request has been sent: what stops the first making of a call in AgentSystem.together."""


class AgentProcess(Process):
    """A process of an agent."""

    def __init__(self, system: AgentSystem, number: int) -> None:
        self.bits = system.agent.bits
        self._system = system
        self._agent = system.agent
        self._number = number
        self._stage = ""
        """ "send": only send the next request; "receive": it has been sent; "": do both."""

    def _call(self, request: str) -> str:
        if self._stage == "":
            if self._system.ended:
                raise Unresolved(self._system.ended)
            return self._agent.call(self._number, request)
        if self._stage == "send":
            if self._system.ended:
                raise Unresolved(self._system.ended)
            self._agent.send(self._number, request)
            raise _Sent
        self._stage = ""
        return self._agent.receive(self._number, request)

    def _nothing(self, request: str) -> None:
        self._call(request)

    def _int(self, request: str) -> int:
        return self._value(self._call(request))

    def _value(self, word: str) -> int:
        try:
            return int(word, 0)
        except ValueError:
            raise self._agent.fail(f"it answered {_short(word)!r} where a number belongs") from None

    def _values(self, request: str, count: int) -> list[int]:
        words = self._call(request).split(" ")
        if len(words) != count:
            raise self._agent.fail(f"it answered {_short(' '.join(words))!r} where {count} numbers belong")
        return [self._value(word) for word in words]

    def _pair(self, request: str) -> tuple[int, int]:
        one, other = self._values(request, 2)
        return one, other

    def _bytes(self, request: str, at_most: int) -> bytes:
        text = self._call(request)
        try:
            data = bytes.fromhex(text)
        except ValueError:
            raise self._agent.fail(f"it answered {_short(text)!r} where bytes belong") from None
        if len(data) > at_most:
            raise self._agent.fail(f"it answered {len(data)} bytes where {at_most} were asked for")
        return data

    # ---- the calls that are more than one request, or whose answer is not a number (for the others, see below)

    def fragment(self, addr: int, pages: int) -> str | None:
        try:
            self._call(f"fragment {addr:#x} {pages:d}")
        except Unsupported:
            return super().fragment(addr, pages)
        except OSError as error:
            return errno_name(error)
        return None

    def mincore(self, addr: int, length: int) -> list[bool]:
        step = self._agent.data * self._agent.page
        resident = ""
        for at in range(0, max(length, 1), step):
            resident += self._call(f"mincore {addr + at:#x} {min(step, length - at):d}")
        return [page == "1" for page in resident]

    def load(self, addr: int, length: int) -> bytes:
        step = self._agent.data
        if length <= step:
            return self._bytes(f"load {addr:#x} {length:d}", length)
        parts = (self._bytes(f"load {addr + at:#x} {min(step, length - at):d}", step) for at in range(0, length, step))
        return b"".join(parts)

    def store(self, addr: int, data: bytes) -> None:
        step = self._agent.data
        for at in range(0, max(len(data), 1), step):
            self._call(f"store {addr + at:#x} {data[at : at + step].hex()}")

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
            raise self._agent.fail(f"it answered {len(digests)} words to an audit of another number of pages and files")
        return digests

    def return_instruction(self) -> bytes:
        return self._bytes("return-instruction", 64)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        step = self._agent.data
        data = self._bytes(f"pread {fd:d} {min(step, length):d} {offset:d}", step)
        while len(data) % step == 0 and 0 < len(data) < length:
            more = self._bytes(f"pread {fd:d} {min(step, length - len(data)):d} {offset + len(data):d}", step)
            if not more:
                break
            data += more
        return data

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        step = self._agent.data
        written = self._int(f"pwrite {fd:d} {data[:step].hex()} {offset:d}")
        while written % step == 0 and 0 < written < len(data):
            more = self._int(f"pwrite {fd:d} {data[written : written + step].hex()} {offset + written:d}")
            written += more
            if more < step:
                break
        return written

    def fstat(self, fd: int) -> Stat:
        kind, _, size = self._call(f"fstat {fd:d}").partition(" ")
        return Stat(kind, self._value(size))

    def has_old_mtime(self, fd: int) -> bool:
        return bool(self._int(f"has-old-mtime {fd:d}"))

    def fork(self) -> AgentProcess:
        return AgentProcess(self._system, self._int("fork"))

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
        self.ended = ""
        """Why nothing more can be asked of it; empty while something can."""
        agent.folder = None
        if agent.system is not None:
            agent.system.ended = "another system has been booted since"
        agent.system = self
        if agent.next_is_booted:
            agent.next_is_booted = False
            agent.receive(0, "end")
        else:
            agent.send_all(0, "boot", "spawn")
        self.audits = True
        """True until the agent reports that it lacks the verb."""
        self._first: AgentProcess | None = None
        """The process that was spawned with the boot, until it is asked for."""
        try:
            agent.folder = unquote(agent.receive(0, "boot"))
            self._first = self._new_process(agent.receive(0, "spawn"))
        except OSError as error:
            where = agent.facts.get("directory", "its own choice of folder")
            raise Unresolved(f"the agent cannot make a folder in {where}: {error.strerror}") from error

    def _call(self, request: str) -> str:
        if self.ended:
            raise Unresolved(self.ended)
        return self.agent.call(0, request)

    def spawn(self) -> AgentProcess:
        if self.ended:
            raise Unresolved(self.ended)
        process, self._first = self._first, None
        return process or self._new_process(self._call("spawn"))

    def _new_process(self, answer: str) -> AgentProcess:
        if not answer.isdigit():
            raise self.agent.fail(f"it answered {_short(answer)!r} where a process belongs")
        return AgentProcess(self, int(answer))

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
        if not answer.isdigit():
            raise self.agent.fail(f"it answered {_short(answer)!r} where a number belongs")
        return int(answer)

    def close(self) -> None:
        if not self.ended:
            self.ended = "the system is closed"
            self.agent.system = None
            if self.agent.failure is None:
                # The next system is prepared while the client does other work; the client does not wait for it.
                self.agent.send_all(0, "end", "boot", "spawn")
                self.agent.next_is_booted = True
