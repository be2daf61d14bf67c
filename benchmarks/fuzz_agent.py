"""Send hostile lines to an agent: each has one answer, the agent survives, and no sanitizer reports a fault of it.

    python benchmarks/fuzz_agent.py [--lines 1000000] [--seed 1] [--agent c|serve] [--sanitize]

Lines are requests of PROTOCOL.md that are mutated: words replaced, left out, doubled, bytes changed.  The agent runs as
an ordinary user, paths have no directories, and lengths are small or impossible, so that nothing else on the machine is
in danger.  With `--sanitize` clang builds the agent in C with AddressSanitizer and UndefinedBehaviorSanitizer.

A request may end its process, as it may unmap the code of the agent: it is then answered by `died`, and a new system is
booted.  UBSan does not check the addresses, which the lines choose; an address of a line that AddressSanitizer itself
reads for a call (`unknown-crash`) is no fault of the agent either.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from pytest_mmapconf.agent.build import SOURCE, build_agent

NUMBERS = ("0", "1", "-1", "3", "7", "16", "4096", "0x1000", "0x7f0000000000", "0xffffffffffffffff", "9" * 25, "0x", "")
ADDRESSES = ("0x10000000000", "0x10000001000", "0x10000000fff", "0", "0xffffffffffff0000", "0x7ffffffff000")
FLAGS = ("0", "1", "2", "3", "0x22", "0x32", "0x100022", "0x1", "0x8000", "0xffffffff")
BYTES = ("00", "61626364", "61*4096", "fffe+9,00*3", "61*99999", "0001+", "f" * 2048, "0", "zz", "f" * 2050, "")
PATHS = ("file", "other", ".", "a%20b", "%00", "%ZZ", "%", "x" * 300)
KINDS = {"a": ADDRESSES, "n": (*FLAGS, "4096", "8192"), "x": BYTES, "p": PATHS, "*": ("",)}
STREAM = {
    "0": ("boot", "spawn", "end", "facility dev-zero", "facility none", "mapping-limit", "crash", "file-table free")
}
SLOW = (
    "add",
    "fragment",
    "mlockall",
    "lock",
    "flock",
    "record-lock",
    "close-events",
    "exec",
    "together",
    "read-into",
    "write-from",
)
"""Verbs that take long, or wait for another process or for an event, if a line asks for it; and verbs whose buffers
are memory of the line's choice, which a sanitizer takes for a fault of the agent."""

LIMIT = 120.0
"""Seconds in which every line must have its answer."""

REPORT = re.compile(
    r"ERROR: \w+Sanitizer: (?!SEGV|BUS|unknown-crash)|runtime error:|stack smashing|double free|corrupted"
)


def verbs() -> dict[str, str]:
    """Return the verbs of a process, with the forms of their arguments, from the agent's table."""
    table = SOURCE.read_text("utf-8").partition("} verbs[] = {")[2].partition("};")[0]
    return dict(re.findall(r'\{"([a-z0-9-]+)", "([a-z*]*)"', table))


class Lines:
    """Makes lines."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.verbs = {verb: form for verb, form in verbs().items() if verb not in SLOW}

    def line(self, process: int) -> bytes:
        """Return a line for a process, without its newline."""
        random = self.random
        if random.random() < 0.02:
            words = ["0", *random.choice(STREAM["0"]).split()]
        else:
            verb = random.choice(list(self.verbs))
            words = [str(process), verb, *(random.choice(KINDS[kind]) for kind in self.verbs[verb])]
            if verb in ("batch", "audit"):
                words += ["audit 0x10000000000 1;close 5;munmap 0x10000000000 4096" if verb == "batch" else "fd 0"]
        if random.random() < 0.3:
            self.change(words)
        text = " ".join(words).encode("utf-8", "replace")
        if random.random() < 0.1 and text:
            at = random.randrange(len(text))
            text = text[:at] + bytes([random.randrange(1, 256)]) + text[at + random.randrange(2) :]
        return harmless(text)

    def change(self, words: list[str]) -> None:
        """Change some words."""
        at = self.random.randrange(len(words))
        other = self.random.choice((*NUMBERS, *BYTES, *PATHS, *self.verbs, "-", ";", "99999", "2147483648"))
        change = self.random.randrange(4)
        if change == 0:
            words[at] = other
        elif change == 1:
            words.insert(at, other)
        elif change == 2:
            words[at:] = words[at:] * 2
        else:
            del words[at]


def harmless(text: bytes) -> bytes:
    """Return a line without directories, newlines and lengths between a few pages and an impossible number."""
    text = re.sub(rb"[/\n\r\0]|%2[fF]", b"_", text).replace(b"..", b"__")
    for verb in SLOW:
        text = text.replace(verb.encode(), b"close")

    def small(match: re.Match[bytes]) -> bytes:
        value = int(match[0], 16 if match[0][:2] in (b"0x", b"0X") else 10)
        return b"4096" if 1 << 24 < value < 1 << 40 or (1 << 40) + (1 << 24) < value < 0x7E0000000000 else match[0]

    return re.sub(rb"0[xX][0-9a-fA-F]{1,40}|[0-9]{1,40}", small, text)


class Running:
    """An agent that runs."""

    def __init__(self, command: list[str]) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by main, after it has been read
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, bufsize=0
        )
        self.buffer = b""
        self.answer()

    def send(self, lines: list[bytes]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))

    def answer(self) -> bytes:
        """Return the next line.  Raises TimeoutError and EOFError."""
        assert self.process.stdout is not None
        end = time.monotonic() + LIMIT
        while b"\n" not in self.buffer:
            if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                raise EOFError
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def said(self) -> str:
        """Return what it has written to stderr."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def agent_command(which: str, sanitize: bool, directory: str) -> list[str]:
    """Build the agent; return the command that runs it as an ordinary user."""
    own = Path(directory, "files")
    own.mkdir(mode=0o777)
    own.chmod(0o777)
    Path(directory).chmod(0o755)
    command = [
        sys.executable,
        "-m",
        "pytest_mmapconf.agent.serve",
        "pytest_mmapconf.reference.backend:ReferenceBackend",
    ]
    if which == "c":
        agent = f"{directory}/agent"
        if sanitize:
            flags = "-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
            flags += " -fno-sanitize=null,pointer-overflow,alignment"
            subprocess.run(
                ["clang", *shlex.split(flags), "-o", agent, str(SOURCE)], check=True, stderr=subprocess.DEVNULL
            )
        else:
            Path(agent).write_bytes(build_agent().read_bytes())
        Path(agent).chmod(0o755)
        command = [agent, "--directory", str(own)]
    options = "ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_sigill=0:detect_leaks=0:allow_user_segv_handler=1"
    is_root = os.geteuid() == 0 and which == "c"  # serve only computes
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if is_root else []
    return [*user, "prlimit", "--core=0", "--fsize=67108864", "env", options, *command]


def main() -> int:
    """Send lines until the count is reached; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--agent", choices=("c", "serve"), default="c")
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    lines = Lines(Random(options.seed))
    counts: Counter[str] = Counter()
    began = time.monotonic()
    sent = 0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        command = agent_command(options.agent, options.sanitize, directory)
        while sent < options.lines and not wrong:
            running = Running(command)
            counts["agents"] += 1
            last: list[bytes] = []
            try:
                sent += converse(running, lines, min(options.lines - sent, 20_000), counts, last)
            except (TimeoutError, EOFError, BrokenPipeError, ConnectionResetError) as error:
                wrong.append(f"{type(error).__name__} after {last[-3:]!r}")
            running.end()
            said = running.said()
            report = REPORT.search(said)
            if report or running.process.returncode:
                text = said[report.start() - 200 if report and report.start() > 200 else 0 :][:6000]
                wrong.append(f"status {running.process.returncode} after {last[-8:]!r}: {text}")
            running.log.close()
    print(f"{sent} lines, seed {options.seed}, {time.monotonic() - began:.0f} s: {dict(sorted(counts.items()))}")
    print("\n".join(wrong), end="")
    return 1 if wrong else 0


def converse(running: Running, lines: Lines, most: int, counts: Counter[str], last: list[bytes]) -> int:
    """Send up to `most` lines, each after the answer to the one before; return how many."""
    process, sent = 0, 0
    while sent < most:
        if not process or lines.random.random() < 0.002:
            running.send([b"0 boot", b"0 spawn"])
            running.answer()
            process = int(running.answer().split()[-1])
        line = lines.line(process)
        last[:] = [*last[-8:], line]
        running.send([line])
        answer = running.answer()
        sent += 1
        words = answer.split()
        kind = words[1].decode("ascii", "replace") if len(words) > 1 else "none"
        counts[kind] += 1
        if kind not in ("ok", "error", "fault", "unsupported", "died", "bad"):
            raise EOFError(answer)
        if kind == "died" or line.split()[:1] == [b"0"]:
            process = 0
    return sent


if __name__ == "__main__":
    sys.exit(main())
