"""Run a check or a probe, and return its outcome with advice for the adapter's author."""

from __future__ import annotations

import errno
import inspect
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..agent.problems import Problem
from ..contract import BACKEND_LACKS, O_CREAT, O_RDWR, SC_PAGESIZE, Fault, Process, Resource, Unresolved
from .checks import MEMORY, RW, Check
from .subject import Subject, Wrong, shown

OK: Final = "ok"
WRONG: Final = "FIX"
LACKS: Final = "lacks"
SKIPPED: Final = "-"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check or a probe."""

    check: str
    verdict: str
    observed: str = ""
    fix: str = ""


AGENT_FIXES: Final[dict[str, str]] = {
    Problem.LEFT_EMULATOR_AT_START: "An agent must not execute itself again: it leaves what runs it, and the system "
    "below would be judged. Is this a program that executes the agent in its place? Then start it by a shell "
    "script.",
    Problem.LEFT_EMULATOR_AT_EXEC: "exec starts the new program by what runs the old one: execute the command line of "
    "the emulator again, with the agent's path. The answer to exec reports what the greeting reports.",
    Problem.NOT_STARTED: "Is the command right and executable? Run it by hand: it writes its greeting and waits.",
    Problem.ENDED_BEFORE_GREETING: "It must write its greeting and wait. Run it by hand: it begins with `mmapconf 1 "
    "…`.",
    Problem.NO_GREETING_IN_TIME: "It must write its greeting without a request, and flush it.",
    Problem.OTHER_OUTPUT_ONLY: "The greeting is one line `mmapconf 1 NAME=VALUE …`; other lines may precede it.",
    Problem.OTHER_VERSION: "This suite supports version 1: the greeting is `mmapconf 1 …`.",
    Problem.WRONG_GREETING: "The numbers in the greeting are decimal and above 0; an unknown value is left out.",
    Problem.ANSWER_WITHOUT_REQUEST: "An answer begins with the number of the process of the request (0 is the "
    "supervisor), and each request has one answer. Write nothing else to stdout: diagnostics go to stderr.",
    Problem.NO_ANSWER_IN_TIME: "Each request line has one answer line, ended by a newline and flushed, even if the "
    "call returns nothing: `PROCESS ok`.",
    Problem.UNKNOWN_ERRNO: "Errors are reported by name: `error EINVAL`, not by number.",
    Problem.NOT_A_NUMBER: "Results are numbers, decimal or with 0x, separated by one space.",
    Problem.NOT_A_PROCESS: "The answer of spawn and fork is `ok` and a number that was not used before.",
    Problem.NOT_BYTES: "Bytes are pairs of hexadecimal digits, lowest address first, without spaces or 0x.",
    Problem.TOO_MANY_BYTES: "load and pread return as many bytes as requested, or fewer.",
    Problem.LINE_TOO_LONG: "`line` in the greeting is the largest length of a line, including its newline.",
    Problem.REQUEST_NOT_UNDERSTOOD: "It answered `bad`. Verbs and arguments are those of PROTOCOL.md; the answer to a "
    "verb that it lacks is `unsupported`.",
    Problem.PROCESS_ENDED: "A fault must not end a process: catch SIGSEGV and SIGBUS, and report the fault.",
    Problem.WRONG_ANSWER: "An answer is PROCESS and ok, error, fault, unsupported, died or bad.",
    Problem.REQUEST_NOT_READ: "It must read requests while others are executed: several processes may have requests "
    "under way concurrently.",
    Problem.ENDED: "It crashed during this request; what it wrote, if anything, is above. Run it under a debugger.",
}
"""Advice by `Unresolved.problem`."""


def outcome_of(check: Check, subject: Subject, agent: bool) -> Outcome:
    """Run one check and return its outcome."""
    try:
        return Outcome(check.name, OK, check.make(subject))
    except NotImplementedError as error:
        return Outcome(check.name, LACKS, str(error) or "not implemented")
    except Wrong as wrong:
        return Outcome(check.name, WRONG, wrong.observed, (wrong.agent or wrong.python) if agent else wrong.python)
    except Unresolved as error:
        return Outcome(check.name, WRONG, str(error), AGENT_FIXES.get(error.problem, "") if agent else "")
    except Exception as error:
        where = "facts, boot, spawn and close raise NotImplementedError or Unresolved only."
        return Outcome(check.name, WRONG, f"{type(error).__name__}: {error}", "" if agent else where)


def probe(call: str, subject: Subject) -> Outcome:
    """Return whether the backend has a call: make it once in a process of its own, and ignore its result."""
    try:
        with subject.process() as process:
            values = _values(subject, process)
            if call == "mmap":
                values |= {"addr": 0, "flags": MEMORY, "fd": -1}
            parameters = inspect.signature(getattr(Process, call)).parameters.values()
            required = [entry for entry in parameters if entry.name != "self" and entry.default is entry.empty]
            positional = [values.get(entry.name, 0) for entry in required if entry.kind is not entry.KEYWORD_ONLY]
            keywords = {entry.name: values.get(entry.name, 0) for entry in required if entry.kind is entry.KEYWORD_ONLY}
            subject.announce({"call": f"{call}({', '.join(map(shown, positional))})"})
            getattr(process, call)(*positional, **keywords)
    except NotImplementedError as error:
        reason = str(error)
        return Outcome(call, LACKS, "" if reason == f"{BACKEND_LACKS}{call}" else reason.removeprefix(f"{call}: "))
    except OSError as error:
        return Outcome(call, LACKS if error.errno == errno.ENOSYS else OK)
    except Fault:
        return Outcome(call, OK)
    except Exception as error:
        return Outcome(call, WRONG, f"{type(error).__name__}: {error}")
    return Outcome(call, OK)


def _values(subject: Subject, process: Process) -> dict[str, Any]:
    """Return arguments for any call by the name of the parameter; every other parameter takes 0."""
    at, fd = 0, -1
    with suppress(Exception):
        at = process.mmap(0, subject.page, RW, MEMORY, -1, 0)
    with suppress(Exception):
        fd = process.open("file", O_RDWR | O_CREAT)
    size = subject.page
    values: dict[str, Any] = {
        "addr": at,
        "length": size,
        "old_size": size,
        "new_size": size,
        "prot": RW,
        "ranges": [(at, 1)],
    }
    values |= {
        "pages": 1,
        "fd": fd,
        "watch": fd,
        "path": "file",
        "new_path": "file",
        "data": b"x",
        "name": SC_PAGESIZE,
        "times": 1,
    }
    return values | {"resource": Resource.ADDRESS_SPACE, "headroom": 1 << 40, "capability": "CAP_IPC_LOCK"}
