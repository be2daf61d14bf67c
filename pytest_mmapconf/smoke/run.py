"""Run all checks and probes in a child process, which may crash or not answer."""

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
from .contract_calls import CALLS, DERIVED_CALLS
from .outcomes import OK, SKIPPED, WRONG, Outcome, outcome_of, probe
from .subject import Announce, Subject

MAKING: Final = "making the backend"
PROBE: Final = "has "
"""Prefix of the task of a probe."""
PROBED: Final = tuple(call for call in CALLS if call not in DERIVED_CALLS)
TASKS: Final = (*(check.name for check in CHECKS[:-1]), *(PROBE + call for call in PROBED), CHECKS[-1].name)
"""All tasks, in order: the backend is closed last."""


def run(make: Callable[[], Backend], agent: bool, seconds: float) -> tuple[list[Outcome], list[Outcome]]:
    """Return the outcomes of all checks and, if all checks that ran passed, of a probe of each call.

    `make` makes the backend; `agent` is True if it is an agent, False if it is a class in Python; `seconds` is the time
    limit of one call.
    """
    done: dict[str, Outcome] = {}
    size = 0
    while len(done) < len(TASKS):
        left = [task for task in TASKS if task not in done]

        child = _Child(partial(_run_tasks, make, agent, left, done, size))
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
            how = f"did not return within {seconds:g} s"
        finally:
            ended = child.end()
        if last["task"] not in done:
            fix = "" if agent else "A call returns or raises; it must neither block forever nor end the process."
            observed = f"{last['call']} {how or f'ended the whole process, {ended}'}"
            done[last["task"]] = Outcome(last["task"].removeprefix(PROBE), WRONG, observed, fix)
            if last["call"] == MAKING:
                done |= {task: _skipped(task, "start") for task in left if task not in done}
    probes = [done[PROBE + call] for call in PROBED]
    return [done[check.name] for check in CHECKS], [outcome for outcome in probes if outcome.verdict != SKIPPED]


def _skipped(task: str, failed: str) -> Outcome:
    return Outcome(task.removeprefix(PROBE), SKIPPED, f"depends on {failed}")


def _run_tasks(
    make: Callable[[], Backend],
    agent: bool,
    left: Sequence[str],
    done: dict[str, Outcome],
    size: int,
    announce: Announce,
) -> None:
    """Run the remaining tasks, in the child process."""
    announce({"task": left[0], "call": MAKING})
    try:
        backend = make()
    except pytest.UsageError as error:
        announce({"usage": str(error)})
        return
    subject = Subject(backend, announce)
    subject.page = size
    by_name = {check.name: check for check in CHECKS}
    for task in left:
        announce({"task": task})
        check = by_name.get(task)
        if check:
            failed = [name for name in check.after if done[name].verdict != OK]
        else:  # a check that failed would also fail in the set-up of every probe
            failed = [name for name in by_name if name in done and done[name].verdict == WRONG]
            failed += ["page"] if done["page"].verdict != OK else []
        if failed:
            outcome = _skipped(task, failed[0])
        elif check:
            outcome = outcome_of(check, subject, agent)
        else:
            outcome = probe(task.removeprefix(PROBE), subject)
        done[task] = outcome
        announce({"task": task, "outcome": asdict(outcome), "page": subject.page})


class _Child:
    """A child process that runs `work`; its messages are read line by line."""

    def __init__(self, work: Callable[[Announce], None]) -> None:
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
                os._exit(status)  # without pytest's own clean-up
        os.close(write)
        self.stream = os.fdopen(read, "rb", buffering=0)
        self._buffer = b""

    def messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield the messages of the child; raise TimeoutError if there is none for `seconds`."""
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
        """Kill the child and return how it ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.stream.close()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"


def _send(stream: BinaryIO, message: Mapping[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
