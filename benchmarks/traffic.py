"""Count the bytes and lines between the client and an agent, in both directions, by verb.

    python benchmarks/traffic.py [--backend native] [--level documented] [--lines]
        [-- PYTEST ARGUMENTS]

The deterministic cases are run: random programs, crashes and the tour are left out.  Every line is counted with its
newline, greetings and the supervisor's requests included; `--lines` also prints the longest lines.

It is a pytest plugin of itself: it counts in the client's stream, where a line is written and where one is read.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any, Final

from pytest_mmapconf.agent.stream import Agent

HERE: Final = Path(__file__).resolve()
DETERMINISTIC: Final = "not (mmap_random or mmap_crash or mmap_tour)"
LONGEST: Final = 12
"""Lines that `--lines` prints."""


class Traffic:
    """What has been sent and received in a run."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        """By verb: requests, bytes sent, bytes received."""
        self.longest: list[tuple[int, str]] = []
        self._open: dict[str, deque[tuple[str, str]]] = defaultdict(deque)
        """By process, the verbs and lines that it has not yet answered."""

    def write(self, data: bytes) -> None:
        """Count what the client writes: whole lines."""
        for line in data.decode("ascii").splitlines(keepends=True):
            number, verb = line.split()[:2]
            verb = f"{'0 ' if number == '0' else ''}{verb}"
            self._open[number].append((verb, line.rstrip("\n")))
            self.requests[verb] += 1
            self._count(self.sent, verb, line)

    def read(self, line: str) -> None:
        """Count a line that the agent has written, without its newline: an answer, or the echo of a request."""
        awaited = self._open[line.partition(" ")[0]]
        verb, request = awaited[0] if awaited else ("greeting", "")
        if awaited and line != request:
            awaited.popleft()
        self._count(self.received, verb, line + "\n")

    def _count(self, bytes_: Counter[str], verb: str, line: str) -> None:
        bytes_[verb] += len(line)
        heapq.heappush(self.longest, (len(line), f"{verb}: {line[:100].strip()}"))
        if len(self.longest) > LONGEST:
            heapq.heappop(self.longest)

    def result(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return {
            "requests": self.requests,
            "sent": self.sent,
            "received": self.received,
            "longest": sorted(self.longest, reverse=True),
        }


_traffic: Final = Traffic()


def pytest_configure() -> None:
    """Count in the client's stream."""
    write, read = Agent._write, Agent._read_line

    def counted_write(agent: Agent, data: bytes) -> None:
        _traffic.write(data)
        write(agent, data)

    def counted_read(agent: Agent, deadline: float, request: str, seconds: float) -> str:
        line = read(agent, deadline, request, seconds)
        _traffic.read(line)
        return line

    stream: Any = Agent
    stream._write, stream._read_line = counted_write, counted_read


def pytest_unconfigure() -> None:
    """Write what has been counted."""
    Path(os.environ["TRAFFIC"]).write_text(json.dumps(_traffic.result()))


def main() -> None:
    """Run the suite and print what it has sent and received."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="native")
    parser.add_argument("--level", default="documented")
    parser.add_argument("--lines", action="store_true", help="print the longest lines")
    parser.add_argument("arguments", nargs="*", help="of pytest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "traffic.json")
        suite = [f"--mmap-backend={options.backend}", f"--mmap-level={options.level}", *options.arguments]
        command = [sys.executable, "-m", "pytest", "-q", "-p", HERE.stem, "-p", "no:cacheprovider", *suite]
        if "-m" not in options.arguments:
            command += ["-m", DETERMINISTIC]
        environment = {**os.environ, "TRAFFIC": str(result), "PYTHONPATH": str(HERE.parent)}
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if not result.exists():
            sys.exit(f"{' '.join(command)} ended before it wrote its result:\n{run.stdout}{run.stderr}")
        print(run.stdout.splitlines()[-1])
        counts = json.loads(result.read_text())
    show(counts, options.lines)


def show(counts: dict[str, Any], lines: bool) -> None:
    """Print a table by verb, the greatest first, and what all verbs have together."""
    sent, received = Counter(counts["sent"]), Counter(counts["received"])
    for verb, total in (sent + received).most_common():
        print(f"{verb:24} {counts['requests'].get(verb, 0):8,} {sent[verb]:12,} {received[verb]:12,} {total:12,}")
    requests, out, back = sum(counts["requests"].values()), sent.total(), received.total()
    print(f"{'together':24} {requests:8,} {out:12,} {back:12,} {out + back:12,}")
    for length, line in counts["longest"] if lines else ():
        print(f"{length:8,} {line}")


if __name__ == "__main__":
    main()
