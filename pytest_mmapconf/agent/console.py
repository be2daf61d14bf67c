r"""Connect the client with an agent that is started at a console: `python -m pytest_mmapconf.agent.console BOARD.toml`.

The console is that of a board, a machine under an emulator or a shell: a command's stdin and stdout, a pseudo terminal
or a serial device.  The bridge waits for prompts, types the line that starts the agent, removes the echo, passes one
request on at a time, and knows from patterns when a process or the whole system has ended.

    command = "qemu-system-riscv64 -nographic -kernel kernel"   # or: device = "/dev/ttyUSB0", baud = 115200
    terminal = false              # true: the command gets a pseudo terminal
    echo = true                   # the console repeats what is typed
    start-seconds = 60            # how long the steps may take, in seconds
    panic = ["panic:"]            # regular expressions: the whole system has ended

    [[step]]                      # in this order: wait for a text, then type a line
    wait = "\\\\$ $"                # a regular expression, of what the console has written since the last step
    type = "mmapagent"

    [death]                       # regular expressions: the agent's process has ended; how, as in the protocol
    "unexpected scause" = "SIGSEGV"

After the end of its process the agent is started again, by the last step, when the client boots the next system.  At a
panic, at the end of the command and where the steps take too long the bridge ends with status 1; its standard error has
what the console said, and the client starts it again.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..catalogue.tables import did_you_mean
from ..data_files import DataError, parse_toml, read_text
from ..text import PrintableError
from ..waiting import RunningClock

KINDS: Final = ("ok", "error", "fault", "unsupported", "died", "bad")
"""The first words of answers."""

QUIET_SECONDS: Final = 0.5
"""Seconds of silence after which the console has written everything about an end."""

MOST: Final = 1 << 20
"""Bytes of the longest line, and of what is kept while a prompt is awaited."""

KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "command": str,
    "device": str,
    "baud": int,
    "terminal": bool,
    "echo": bool,
    "start-seconds": (int, float),
    "panic": list,
    "step": list,
    "death": dict,
}


class ConsoleError(PrintableError):
    """A file that describes a console is not valid; the message names the file and the key."""


class Ended(Exception):
    """The system has ended, or has not reached its prompt; the text says how that is known."""


class AgentEnded(Exception):
    """The agent's process has ended; the text is the signal or the status."""


@dataclass(frozen=True)
class Step:
    """Wait for a text, then type a line."""

    wait: re.Pattern[bytes]
    line: bytes


@dataclass(frozen=True)
class Board:
    """A console, and how the agent is started there."""

    command: tuple[str, ...]
    """Empty for a device."""
    device: str
    baud: int
    terminal: bool
    echo: bool
    start_seconds: float
    panics: tuple[re.Pattern[bytes], ...]
    steps: tuple[Step, ...]
    deaths: tuple[tuple[re.Pattern[bytes], str], ...]
    """For each pattern, how the process has ended."""


def load(path: str) -> Board:
    """Read the description of a console.  Raises ConsoleError."""
    try:
        table = parse_toml(read_text(Path(path)))
    except DataError as error:
        raise ConsoleError(f"{path}: {error}") from None
    for key, value in table.items():
        if key not in KEYS:
            raise ConsoleError(f"{path}: {key} is not known; {did_you_mean(key, KEYS)}")
        kinds = KEYS[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise ConsoleError(f"{path}: {key} must be {_in_words(kinds)}, not {value!r}")
    if ("command" in table) == ("device" in table):
        raise ConsoleError(f"{path}: must have either command or device")
    try:
        command = tuple(shlex.split(table.get("command", "")))
    except ValueError as error:
        raise ConsoleError(f"{path}: command cannot be understood: {error}") from None
    if "command" in table and not command:
        raise ConsoleError(f"{path}: command is empty")
    baud = table.get("baud", 115200)
    if not hasattr(termios, f"B{baud}"):
        raise ConsoleError(f"{path}: baud {baud} is no speed of a terminal")
    steps = tuple(_step(entry, f"{path}: step {number}") for number, entry in enumerate(table.get("step", []), 1))
    panics = tuple(_pattern(text, f"{path}: panic") for text in table.get("panic", []))
    deaths = tuple((_pattern(text, f"{path}: death"), _how(how, path)) for text, how in table.get("death", {}).items())
    if deaths and not steps:
        raise ConsoleError(f"{path}: death needs a step, by which the agent is started again")
    seconds = float(table.get("start-seconds", 60))
    if not 0 < seconds <= 86400:
        raise ConsoleError(f"{path}: start-seconds must be above 0, and at most a day")
    return Board(
        command, table.get("device", ""), baud, table.get("terminal", False), table.get("echo", True), seconds,
        panics, steps, deaths,
    )  # fmt: skip


def _in_words(kinds: type | tuple[type, ...]) -> str:
    names = {str: "text", int: "an integer", bool: "true or false", list: "a list", dict: "a table"}
    return "a number" if isinstance(kinds, tuple) else names[kinds]


def _step(entry: object, where: str) -> Step:
    if not isinstance(entry, dict) or set(entry) != {"wait", "type"} or not isinstance(entry["type"], str):
        raise ConsoleError(f"{where}: must have wait and type, both text")
    return Step(_pattern(entry["wait"], where), entry["type"].encode())


def _pattern(text: object, where: str) -> re.Pattern[bytes]:
    if not isinstance(text, str) or not text:
        raise ConsoleError(f"{where}: {text!r} is no regular expression")
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise ConsoleError(f"{where}: {text!r} is no regular expression: {error}") from None


def _how(how: object, path: str) -> str:
    if not isinstance(how, str) or not re.fullmatch(r"SIG[A-Z0-9]{1,16}|[0-9]{1,3}", how):
        raise ConsoleError(f"{path}: death: {how!r} is neither the name of a signal nor a status")
    return how


class Console:
    """A console that is open, and the agent that is started there."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = b""
        """Output of the console that has not been read as lines."""
        self.clock = RunningClock()
        self._open()

    def _open(self) -> None:
        if self.board.device:
            self.to = self.from_ = os.open(self.board.device, os.O_RDWR | os.O_NOCTTY)
            if os.isatty(self.to):
                tty.setraw(self.to)
                modes = termios.tcgetattr(self.to)
                modes[4] = modes[5] = getattr(termios, f"B{self.board.baud}")
                termios.tcsetattr(self.to, termios.TCSANOW, modes)
            return
        if self.board.terminal:
            self.to, terminal = os.openpty()
            self.from_ = self.to
            ends: dict[str, Any] = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        else:
            ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            self.process = subprocess.Popen(self.board.command, bufsize=0, **ends)
        except OSError as error:
            raise Ended(f"the command cannot be started: {error}") from None
        if self.board.terminal:
            os.close(terminal)
        else:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.to, self.from_ = self.process.stdin.fileno(), self.process.stdout.fileno()

    def close(self) -> None:
        """End the command: by the end of its stdin, SIGTERM, and SIGKILL after two seconds."""
        if self.process is None:
            os.close(self.to)
            return
        if self.board.terminal:
            os.close(self.to)
        elif self.process.stdin is not None:
            self.process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
                return

    def write(self, line: bytes) -> None:
        """Type a line."""
        rest = line + b"\n"
        try:
            while rest:
                rest = rest[os.write(self.to, rest) :]
        except OSError as error:
            raise Ended(f"the console takes no more input: {error}") from None

    def more(self, seconds: float | None) -> bool:
        """Read what the console has written; wait for at most so long, without end for None.  False for silence."""
        if not select.select([self.from_], [], [], seconds)[0]:
            return False
        try:
            new = os.read(self.from_, 65536)
        except OSError:  # the other end of a pseudo terminal is closed
            new = b""
        if not new:
            raise Ended("the console has ended")
        self.buffer += new
        if len(self.buffer) > MOST:
            raise Ended("the console has written a line without end")
        return True

    def line(self) -> bytes | None:
        """Return the next line without its end; None if there is none yet."""
        line, newline, rest = self.buffer.partition(b"\n")
        if not newline:
            return None
        self.buffer = rest
        return line.rstrip(b"\r")

    def pass_step(self, step: Step, deadline: float) -> None:
        """Wait for the text of a step, and type its line."""
        while not (found := step.wait.search(self.buffer)):
            self.look_for_panic(self.buffer)
            if not self.clock.wait_until(self.more, deadline):
                raise Ended(f"the console has not written {step.wait.pattern!r} in {self.board.start_seconds:g} s")
        show_output(self.buffer[: found.end()])
        self.buffer = self.buffer[found.end() :]
        self.write(step.line)

    def start_agent(self, steps: tuple[Step, ...]) -> str:
        """Pass the steps; return the agent's greeting, without what the bridge does itself."""
        deadline = self.clock.time() + self.board.start_seconds
        for step in steps:
            self.pass_step(step, deadline)
        while True:
            while (line := self.line()) is not None:
                if line.startswith(b"mmapconf "):
                    words = line.decode("ascii", "replace").split(" ")
                    return " ".join(word for word in words if word != "echo=yes")
                show_output(line + b"\n")
                self.look_for_panic(line)
            if not self.clock.wait_until(self.more, deadline):
                raise Ended(f"the agent has not greeted in {self.board.start_seconds:g} s")

    def look_for_panic(self, text: bytes) -> None:
        if any(pattern.search(text) for pattern in self.board.panics):
            self.wait_for_silence()
            raise Ended("the system has panicked")

    def wait_for_silence(self) -> None:
        """Read what follows the announcement of an end."""
        end = self.clock.time() + 10 * QUIET_SECONDS
        with contextlib.suppress(Ended):
            while self.clock.time() < end and self.clock.wait(self.more, QUIET_SECONDS):
                pass

    def answer(self, request: bytes) -> bytes:
        """Pass on a request; return its answer.  Raises AgentEnded and Ended."""
        self.write(request)
        number = request.partition(b" ")[0]
        echo = request if self.board.echo else None
        while True:
            while (line := self.line()) is not None:
                if line == echo:
                    echo = None
                    continue
                words = line.split(b" ", 2)
                if words[0] == number and len(words) > 1 and words[1].decode("ascii", "replace") in KINDS:
                    return line
                show_output(line + b"\n")
                self.look_for_end(line)
            self.look_for_end(self.buffer)
            self.more(None)

    def look_for_end(self, text: bytes) -> None:
        """Raise Ended or AgentEnded if the text says so."""
        self.look_for_panic(text)
        for pattern, how in self.board.deaths:
            if pattern.search(text):
                raise AgentEnded(how)


def show_output(text: bytes) -> None:
    """Write what the console has said to the standard error, which the client reads."""
    sys.stderr.buffer.write(text)
    sys.stderr.buffer.flush()


def bridge(console: Console, requests: BinaryIO, answers: BinaryIO) -> None:
    """Pass requests and answers on until the client's stream ends.  Raises Ended."""

    def send(line: bytes) -> None:
        answers.write(line + b"\n")
        answers.flush()

    how = ""
    """A sentence on how the agent's process has ended; empty while it lives."""
    send(console.start_agent(console.board.steps).encode())
    for line in requests:
        request = line.rstrip(b"\r\n")
        number, _, verb = request.partition(b" ")
        if how and request == b"0 boot":
            console.start_agent(console.board.steps[-1:])
            how = ""
        if how:
            send(b"0 ok" if request == b"0 end" else b"%s died %s" % (number, how.encode()))
        elif verb.startswith(b"together "):
            send(b"%s unsupported a console takes one request at a time" % number)
        else:
            try:
                send(console.answer(request))
            except AgentEnded as end:
                if number == b"0":
                    raise Ended(f"the agent has ended ({end}) at {request.decode('ascii', 'replace')!r}") from None
                how = str(end)
                send(b"%s died %s" % (number, how.encode()))


def main(arguments: list[str]) -> int:
    """Serve as the agent's command of `--mmap-backend='agent:python -m …'`."""
    if len(arguments) != 1:
        print(f"usage: python -m {__spec__.name} BOARD.toml", file=sys.stderr)
        return 2
    try:
        board = load(arguments[0])
    except ConsoleError as error:
        print(error, file=sys.stderr)
        return 2
    console = None
    try:
        console = Console(board)
        bridge(console, sys.stdin.buffer, sys.stdout.buffer)
    except OSError as error:
        print(f"{board.device or board.command[0]}: {error.strerror}", file=sys.stderr)
        return 2
    except Ended as end:
        show_output((console.buffer if console else b"") + f"\n{end}\n".encode())
        return 1
    finally:
        if console is not None:
            console.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
