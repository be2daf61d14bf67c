"""A running agent: its subprocess, and the byte stream of PROTOCOL.md to it.

A call is a line there and a line back.  The stream is two file descriptors; each wait is bounded by the timeout of a
call.  Whatever an agent may do wrong ends in one way: its processes are killed, `Unresolved` says what happened, and
the next system that is booted starts a new agent.  So a case survives its backend's death, and the next one does not
notice.  Where a call has ended its process, or the system, `Died` (an `Unresolved`) has the evidence.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import os
import re
import select
import signal
import subprocess
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from ..catalogue import fact_values
from ..contract import Died, Fault, NoErrno, System, Unresolved, Unsupported
from ..text import printable as text_printable
from ..waiting import RunningClock
from . import front, guardian, runs
from .dead_agent import owned_directories, read_rest, remove_directory
from .last_output import GOING_DOWN, KEPT, last_words, printable, quoted
from .personality import plain_personality
from .problems import BEFORE_GREETING, Problem, problem

PROTOCOL: Final = 1
"""The version of the protocol that is spoken here."""

CHATTER: Final = 64 * 1024
"""Bytes that may arrive before the handshake: the output of a console, an emulator or a login."""

CALLS_KEPT: Final = 60
"""The last requests to a system that are kept, to be shown when it ends."""

COUNTED: Final = 1 << 20
"""Bytes of an answer that are decoded: more than are asked for, so that those that are too many are counted."""

MARGIN: Final = 64
"""Bytes of a line that a batch leaves: for the number of the process, the verb, and the end of the line."""

ANSWER: Final = 64
"""Bytes of the longest answer without data: a fault with its address."""

LONGEST_LINE: Final = fact_values.RANGES["line"][1]
"""The longest line, in bytes, that an agent may announce or write."""

_numbers = itertools.count(1)

HARNESS_STATUS: Final = ("0", "SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""The exit statuses and signals of a process that its client, or a user, has ended."""


class Agent:
    """A running agent: its subprocess and the two ends of the stream.

    Raises Unresolved where it cannot be started or does not greet within `start_timeout` seconds.
    """

    def __init__(self, command: Sequence[str], timeout: float, start_timeout: float, directory: str = "") -> None:
        self.command = list(command)
        self.directory = directory or tempfile.gettempdir()
        """The directory in which it will make its own, as far as is known before its greeting."""
        self.timeout = timeout
        """Seconds that one call may take."""
        self.start_timeout = start_timeout
        """Seconds that the start of the agent, and a boot, may take."""
        self.wrong_end = ""
        """A sentence on how it failed to end at the end of its stream; empty if it did not fail."""
        self.failure: str | None = None
        """The reason why the agent is gone; None while it lives."""
        self.folder: str | None = None
        """The folder of the system that is booted: to be removed here, should the agent die of something."""
        self.next_is_booted = False
        """True if an "end", a "boot" and a "spawn" have been sent for the next system."""
        self.system: System | None = None
        """The system that is booted: an agent has one at a time."""
        self.control: Callable[[], bool] | None = None
        """Returns True if a new agent answers: what this one did not answer was then not the environment's fault."""
        self.output = b""
        """Its output besides answers: on stderr, or on a console that is the stream."""
        self.requests: deque[tuple[int, str]] = deque(maxlen=CALLS_KEPT)
        self._is_lost = self._has_greeted = False
        self.facts: dict[str, str] = {}
        """The greeting: names and values as text."""
        self._buffer = b""
        self._answers: dict[int, deque[str]] = defaultdict(deque)
        self._echoes: deque[str] = deque()
        """The lines that have been sent and that the console will repeat, if it echoes."""
        self._awaited: Counter[int] = Counter()
        self._clock = RunningClock()
        self._mark = f"{guardian.mark()}.{next(_numbers)}."
        guardian.watch_directory(os.path.abspath(self.directory))
        try:
            self._start()
            self._owner = os.getpid()
            atexit.register(self.close)
            self._take_greeting()
        finally:
            guardian.wait_until_detached()

    def _start(self) -> None:
        """Start the agent's process, and watch what it writes."""
        try:
            # A session of its own: an interrupt of the terminal reaches the client alone, and one kill reaches all.
            with plain_personality():
                self._subprocess = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                    env={**os.environ, guardian.MARK: self._mark},
                )
        except OSError as error:
            raise problem(Problem.NOT_STARTED, f"the agent cannot be started: {error}") from error
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

    def _take_greeting(self) -> None:
        """Read the greeting and check it."""
        self._line = LONGEST_LINE  # of the greeting, until it says more
        self.facts = self._greeting()
        self._has_greeted = True
        if directory := self.facts.get("directory"):
            self.directory = directory
            guardian.watch_directory(directory)
        if impossible := fact_values.error(self.facts):
            raise self.fail(Problem.WRONG_GREETING, f"its greeting says {impossible}")
        if escape := front.escape_of(self.command, self._subprocess.pid):
            raise self.fail(Problem.LEFT_EMULATOR_AT_START, escape)
        self.bits = self._number("bits", 64)
        self.page = self._number("page", 4096)
        self.data = self._number("data", 1024)
        self.line = self._number("line", 4096)
        self._line = self.line + 16
        self.audits = max(3, min(1024, self._line // 20))
        """The size of one audit: one word per page, and two more for each range or file, fit into a line."""

    def written(self, data: bytes, at: int) -> tuple[str, int]:
        """Return data from `at` on, or the beginning of it, as a field of a request, and how many bytes that is."""
        part = data[at : at + self.data]
        form = self.facts.get("runs")
        if form == "both":
            return runs.beginning(part, self.line - MARGIN)
        return runs.encode(part) if form == "yes" else part.hex(), len(part)

    def bytes_of(self, field: str) -> tuple[bytes, bool]:
        """Return the bytes of a field of an answer; True if others follow, which did not fit.  Raises ValueError."""
        if self.facts.get("runs") != "both":
            return bytes.fromhex(field), False
        is_cut = field.endswith(",") and len(field) > 1
        return runs.decode(field.removesuffix(",") if is_cut else field, COUNTED), is_cut

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
            raise problem(Problem.GONE, f"the agent is gone: {self.failure}")
        self._awaited[number] += len(requests)
        self.requests.extend((number, request) for request in requests)
        lines = [f"{number} {request}" for request in requests]
        if self.facts.get("echo") == "yes":
            self._echoes.extend(lines)
        self._write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def receive(self, number: int, request: str) -> str:
        """Wait for a process's answer."""
        if self.failure is not None:
            raise problem(Problem.GONE, f"the agent is gone: {self.failure}")
        seconds = self.start_timeout if number == 0 and request in ("boot", "spawn") else self.timeout
        deadline = self._clock.time() + seconds
        answers = self._answers[number]
        try:
            while not answers:
                self._sort(self._read_line(deadline, request, seconds))
                if not answers and self._clock.time() > deadline:
                    raise self.fail_late(request, seconds, ", but other lines")
        except Unresolved as failed:
            # Only a request to a process is about the system; the supervisor's are the agent's own business.
            is_lost = number and self._is_lost and self.control is not None and self.control()
            raise (self._died(self.failure or "", Problem(failed.problem)) if is_lost else failed) from None
        return self.result(number, answers.popleft(), request)

    def result(self, number: int, answer: str, request: str) -> str:
        """Return what a process answered after "ok"; raise what else it answered."""
        kind, _, rest = answer.partition(" ")
        if kind == "ok":
            return rest
        raise self._outcome(number, kind, rest, request)

    def batches(self, requests: Sequence[str]) -> Iterator[list[str]]:
        """Yield requests in groups, each of which fits into a line with its answers."""
        group: list[str] = []
        room = left = self._line - MARGIN
        for request in requests:
            size = max(len(request) + 1, longest_answer(request))
            if group and size > left:
                yield group
                group, left = [], room
            group.append(request)
            left -= size
        if group:
            yield group

    def _outcome(self, number: int, kind: str, rest: str, request: str) -> Exception:
        verb = request.partition(" ")[0]
        if kind == "error":
            if rest == "-" and self.facts.get("errno") == "none":
                return NoErrno()
            code = getattr(errno, rest, None)
            numbered = re.fullmatch(r"(?:errno-)?(\d{1,5})", rest)
            if numbered and int(numbered[1]) not in errno.errorcode:  # 0, or another number without a name
                code = int(numbered[1])
            if isinstance(code, int):
                return OSError(code, os.strerror(code) if code else "errno is 0")
            text = f"{verb} failed with an error that Python has no name for: {short(rest)}"
            return problem(Problem.UNKNOWN_ERRNO, text)
        if kind == "fault" and number:  # the supervisor makes no access for a client
            words = rest.split(" ")
            if len(words) == 3 and (words[0] != "-" or self.facts.get("signals") == "none"):
                with contextlib.suppress(ValueError):
                    if not re.fullmatch(r"SIG[A-Z0-9+]{1,16}|[0-9]{1,3}|-", words[0]):
                        raise ValueError(words[0])
                    return Fault(words[0], words[1], None if words[2] == "-" else int(words[2], 0))
        if kind == "unsupported":
            return Unsupported(f"{verb}: {short(rest, 400)}" if number else short(rest, 400))
        if kind == "died":
            text = f"the process ended by itself ({short(rest, 400)}), seen at {verb}"
            is_caused = re.fullmatch(r"SIG[\w+]+|\d+", rest) and rest not in HARNESS_STATUS
            self._read_output()
            if number and is_caused:
                return self._died(text + self._wrote(), Problem.PROCESS_ENDED)
            return problem(Problem.PROCESS_ENDED, text)
        if kind == "bad":
            text = f"the agent does not understand {short(request)!r}: {short(rest, 400)}"
            return problem(Problem.REQUEST_NOT_UNDERSTOOD, text)
        return self.fail(Problem.WRONG_ANSWER, f"it answered {short(f'{kind} {rest}')!r} to {verb}")

    def _died(self, text: str, id: Problem) -> Died:
        requests = tuple(f"{number} {short(request, 400)}" for number, request in self.requests)
        hangs = id is Problem.NO_ANSWER_IN_TIME
        died = Died(text, printable(self.output), requests, "" if hangs else last_words(self.output), hangs)
        died.problem = id
        return died

    def _wrote(self) -> str:
        """Return the part of a message with the last output that is no answer; empty if there is none."""
        return f"; it wrote: {quoted(self.output)}" if self.output.strip() else ""

    def _sort(self, line: str) -> None:
        if self._echoes and line == self._echoes[0]:
            self._echoes.popleft()
            return
        number, _, answer = line.partition(" ")
        if not re.fullmatch(r"[0-9]{1,9}", number) or not self._awaited[int(number)]:
            if answer.startswith("died "):
                return  # reported without a request; it is reported again on request
            more, has_ended = self._read_on(2.0)
            console = line.encode("ascii", "replace") + b"\n" + more
            self._keep(console)
            is_lost = has_ended or GOING_DOWN.search(console) is not None
            text = f"it said {short(line)!r}, without a request"
            raise self.fail(Problem.ANSWER_WITHOUT_REQUEST, text, is_lost)
        self._awaited[int(number)] -= 1
        self._answers[int(number)].append(answer)

    # ---- the stream

    def _greeting(self) -> dict[str, str]:
        deadline = self._clock.time() + self.start_timeout
        heard = 0
        while heard <= CHATTER:
            line = self._read_line(deadline, "its greeting", self.start_timeout)
            heard += len(line) + 1
            # A console may have written something in front, without an end of line.
            greeting = re.search(r"mmapconf (\d{1,9})((?: [a-z]+=\S*)*)$", line)
            if greeting:
                if int(greeting[1]) != PROTOCOL:
                    text = f"it speaks version {greeting[1]} of the protocol, not {PROTOCOL}"
                    raise self.fail(Problem.OTHER_VERSION, text)
                words = (word.partition("=") for word in greeting[2].split())
                return {name: unquote(value) for name, _, value in words}
            self._keep(line.encode("ascii", "replace") + b"\n")
        raise self.fail(Problem.OTHER_OUTPUT_ONLY, f"it did not greet within {CHATTER} bytes")

    @property
    def has_threads(self) -> bool:
        """True if the agent's processes can have threads."""
        return self.facts.get("threads", "0") != "0"

    @property
    def processors(self) -> int:
        """The number of threads that can run concurrently."""
        return self._number("processors", 1)

    def _number(self, fact: str, otherwise: int) -> int:
        """Return a number of the greeting, which `fact_values` has checked; `otherwise` if the greeting has none."""
        value = fact_values.number(self.facts.get(fact, f"{otherwise}"))
        if value is None:  # unknown, which these cannot be
            raise self.fail(Problem.WRONG_GREETING, f"its greeting says {fact}={short(self.facts[fact])!r}")
        return value

    def _write(self, data: bytes) -> None:
        try:
            sent = os.write(self._to, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise self.fail(Problem.ENDED, "it ended") from None
        if sent == len(data):
            return
        deadline = self._clock.time() + self.timeout  # the stream is full: the other side has to take something first
        while sent < len(data):
            if not self._clock.wait_until(lambda wait: select.select([], [self._to], [], wait)[1], deadline):
                raise self.fail(Problem.REQUEST_NOT_READ, f"it took nothing in {self.timeout:g} s")
            try:
                sent += os.write(self._to, data[sent:])
            except BlockingIOError:
                continue
            except OSError:
                raise self.fail(Problem.ENDED, "it ended") from None

    def _read_line(self, deadline: float, request: str, seconds: float) -> str:
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) <= self._line:
            ready = self._clock.wait_until(lambda wait: self._poll.poll(wait * 1000), deadline)
            if not ready:
                raise self.fail_late(request, seconds, self._echo(request))
            is_late = self._clock.time() > deadline  # what has arrived by now is read in any case
            for descriptor, _ in ready:
                more = os.read(descriptor, 65536)
                if descriptor == self._errors:
                    self._keep(more)
                    if not more:
                        self._poll.unregister(self._errors)
                elif more:
                    self._buffer += more
                else:
                    raise self.fail(Problem.ENDED, f"it ended at {short(request)!r}", True)
            if is_late and b"\n" not in self._buffer:
                raise self.fail_late(request, seconds, ", but other output")
        if end < 0 or end > self._line:
            raise self.fail(Problem.LINE_TOO_LONG, f"it wrote a line of more than {self._line} bytes")
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r").decode("ascii", "replace")

    def _keep(self, output: bytes) -> None:
        """Keep what it has written besides answers, the last bytes of it."""
        self.output = (self.output + output)[-KEPT:]

    def _read_output(self) -> None:
        """Read what has arrived on stderr."""
        with contextlib.suppress(OSError):
            for _ in range(16):  # it may write faster than it is read
                if not select.select([self._errors], [], [], 0)[0] or not (more := os.read(self._errors, 65536)):
                    break
                self._keep(more)

    def _read_on(self, seconds: float) -> tuple[bytes, bool]:
        """Return what else arrives until there is a pause, and whether the stream has ended."""
        read, deadline = b"", self._clock.time() + seconds
        while self._clock.time() < deadline and select.select([self._from], [], [], 0.3)[0]:
            if not (more := os.read(self._from, 65536)):
                return self._buffer + read, True
            read = (read + more)[-KEPT:]
        return self._buffer + read, False

    def _echo(self, request: str) -> str:
        """Return advice if a program that does not greet echoes what it is sent, as cat does; empty otherwise."""
        if self._has_greeted or self._buffer:
            return ""
        with contextlib.suppress(OSError):
            os.write(self._to, b"echo?\n")
            if select.select([self._from], [], [], 0.2)[0] and os.read(self._from, 64).startswith(b"echo?"):
                return ": it echoes what it is sent, and does not speak the protocol"
        return ""

    def escape_in_session(self) -> str | None:
        """Return how one of the agent's processes has left the emulator in front; None if none is known to."""
        return front.escape_in_session(self.command, self._subprocess.pid)

    # ---- its end

    def fail_late(self, request: str, seconds: float, more: str) -> Unresolved:
        """Fail because a request was not answered in time; `more` is said after that."""
        text = f"no answer to {short(request)!r} in {seconds:g} s{more}"
        return self.fail(Problem.NO_ANSWER_IN_TIME, text, True)

    def fail(self, id: Problem, reason: str, is_lost: bool = False) -> Unresolved:
        """Kill the agent and everything of it, and return the exception that says why.

        `is_lost`: the system does not answer any more, which may be the fault of what was requested of it.
        """
        if self.failure is None:
            self.failure = reason
            has_ended = id is Problem.ENDED
            self._kill(1.0 if has_ended else 0.05)
            status = self._subprocess.returncode
            how = signal_name(-status) if status < 0 else f"{status}"
            if has_ended:
                self.failure += f" (by signal {how})" if status < 0 else f" (with status {how})"
                is_lost = is_lost and how not in HARNESS_STATUS[1:] and (status, self.command[0]) != (255, "ssh")
            self._is_lost = is_lost
            if not self._has_greeted:
                self._keep(self._buffer)
            self.failure += self._wrote()
        return problem(id if self._has_greeted else BEFORE_GREETING.get(id, id), f"the agent failed: {self.failure}")

    def close(self) -> None:
        """End the agent: it tidies up at the end of its stream.  Where it does not, it is killed."""
        if self.failure is None and os.getpid() == self._owner:
            self.failure = "it was closed"
            assert self._subprocess.stdin is not None
            self._subprocess.stdin.close()
            status = self._wait_for_end(min(self.timeout, 5.0))
            self._kill()
            if status:
                how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
                self.wrong_end = f"the agent {how} at the end of its stream{self._wrote()}"

    def _wait_for_end(self, seconds: float) -> int | None:
        """Wait for the end of the agent's process, reading what it writes; return its status, None if it goes on."""
        deadline = self._clock.time() + seconds
        while self._subprocess.poll() is None and self._clock.time() < deadline:
            for descriptor, _ in self._clock.wait(lambda wait: self._poll.poll(wait * 1000), 0.02):
                more = os.read(descriptor, 65536)
                if not more:
                    self._poll.unregister(descriptor)
                elif descriptor == self._errors:
                    self._keep(more)
        return self._subprocess.poll()

    def _kill(self, patience: float = 0.05) -> None:
        atexit.unregister(self.close)
        # What its end may still want to say, and the reason why it ended by itself, need a moment.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._subprocess.wait(patience)
        owners = {self._subprocess.pid, *guardian.marked(self._mark)}
        with contextlib.suppress(OSError):
            os.killpg(self._subprocess.pid, signal.SIGKILL)
        guardian.kill_marked(self._mark)  # also those in sessions of their own
        self._subprocess.wait()
        self._keep(read_rest(self._errors))
        booted = re.findall(rb"^0 ok (\S*/mmapconf-\w{6,}\S*)$", self._buffer + read_rest(self._from), re.MULTILINE)
        for stream in (self._subprocess.stdin, self._subprocess.stdout, self._subprocess.stderr):
            if stream:
                stream.close()
        for folder in (self.folder, *(unquote(folder.decode("ascii", "replace")) for folder in booted)):
            if folder:
                remove_directory(folder)
        for folder in owned_directories(self.directory, owners):
            remove_directory(folder)


def longest_answer(request: str) -> int:
    """Return how many bytes the answer to a request in a batch may have."""
    verb, *words = request.split(" ")
    if verb == "audit":
        return ANSWER + sum(
            32 if at == "fd" else 12 * int(pages) for at, pages in zip(words[::2], words[1::2], strict=True)
        )
    return ANSWER + (2 * int(words[1]) if verb in ("load", "pread") else 0)


def signal_name(number: int) -> str:
    """Return the name of a signal; of a real-time signal, which has none, its distance from the first one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"{number}"


def short(text: str, most: int = 80) -> str:
    """Return text for a message: at most `most` characters, and printable."""
    return text_printable(text if len(text) <= most else f"{text[: most - 3]}...", 8 * most)
