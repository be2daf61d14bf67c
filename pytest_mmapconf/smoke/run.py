"""All checks and probes, in a child that may die or hang."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any, BinaryIO, Final

import pytest

from ..contract import Backend
from .checks import CHECKS
from .outcomes import LEFT_OUT, OK, WRONG, Outcome, outcome_of, probe
from .required_calls import CALLS, MADE_OF_OTHERS
from .subject import Subject, Tell

MAKING: Final = "making the backend"
PROBE: Final = "has "
"""What the task of a probe begins with."""
PROBED: Final = tuple(call for call in CALLS if call not in MADE_OF_OTHERS)
TASKS: Final = (*(check.name for check in CHECKS[:-1]), *(PROBE + call for call in PROBED), CHECKS[-1].name)
"""All that there is to do: the backend is closed last."""


def run(make: Callable[[], Backend], agent: bool, seconds: float) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes of all checks, and, where nothing is to be put right, of a probe of each call.

    `make` makes the backend, which is an `agent` or a class in Python; one call of it may take so many seconds.
    """
    done: dict[str, Outcome] = {}
    size = 0
    while len(done) < len(TASKS):
        left = [task for task in TASKS if task not in done]

        child = _Child(partial(_ask, make, agent, left, done, size))
        last = {"task": left[0], "call": MAKING}
        how = ""
        try:
            for message in child.messages(seconds):
                if "usage" in message:
                    raise pytest.UsageError(message["usage"])
                if "outcome" in message:
                    done[message["task"]] = Outcome(**message["outcome"])
                    size = message["page"]
                last |= message
        except TimeoutError:
            how = f"did not come back in {seconds:g} s"
        finally:
            ended = child.end()
        if last["task"] not in done:
            fix = "" if agent else "A call returns or raises; it neither waits for ever nor ends the process."
            seen = f"{last['call']} {how or f'ended the whole process, {ended}'}"
            done[last["task"]] = Outcome(last["task"].removeprefix(PROBE), WRONG, seen, fix)
            if last["call"] == MAKING:
                done |= {task: _left_out(task, "start") for task in left if task not in done}
    probes = [done[PROBE + call] for call in PROBED]
    return [done[check.name] for check in CHECKS], [one for one in probes if one.verdict != LEFT_OUT]


def _left_out(task: str, failed: str) -> Outcome:
    return Outcome(task.removeprefix(PROBE), LEFT_OUT, f"builds on {failed}")


def _ask(
    make: Callable[[], Backend], agent: bool, left: Sequence[str], done: dict[str, Outcome], size: int, tell: Tell
) -> None:
    """What the child does: the tasks that are left."""
    tell({"task": left[0], "call": MAKING})
    try:
        backend = make()
    except pytest.UsageError as error:
        tell({"usage": str(error)})
        return
    subject = Subject(backend, tell)
    subject.page = size
    by_name = {check.name: check for check in CHECKS}
    for task in left:
        tell({"task": task})
        check = by_name.get(task)
        if check:
            failed = [name for name in check.after if done[name].verdict != OK]
        else:  # a call that hangs would hang in the preparation of all others
            failed = [name for name in by_name if name in done and done[name].verdict == WRONG]
            failed += ["page"] if done["page"].verdict != OK else []
        if failed:
            outcome = _left_out(task, failed[0])
        elif check:
            outcome = outcome_of(check, subject, agent)
        else:
            outcome = probe(task.removeprefix(PROBE), subject)
        done[task] = outcome
        tell({"task": task, "outcome": asdict(outcome), "page": subject.page})


class _Child:
    """A process of its own, in which `work` is done; what it tells comes out line by line."""

    def __init__(self, work: Callable[[Tell], None]) -> None:
        read, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read)
            status = 1
            try:
                with os.fdopen(write, "wb") as stream:
                    work(lambda message: _send(stream, message))
                status = 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)  # nothing of pytest's own is wound up here
        os.close(write)
        self.stream = os.fdopen(read, "rb", buffering=0)
        self._buffer = b""

    def messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        """What it tells; TimeoutError where it says nothing for so long."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                yield json.loads(line)
                continue
            if not select.select([self.stream], [], [], seconds)[0]:
                raise TimeoutError
            more = self.stream.read(65536)
            if not more:
                return
            self._buffer += more

    def end(self) -> str:
        """End it, and say how it ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.stream.close()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"


def _send(stream: BinaryIO, message: Mapping[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
