"""What a check or a probe has come to, and the advice that goes with it."""

from __future__ import annotations

import errno
import inspect
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..contract import O_CREAT, O_RDWR, SC_PAGESIZE, Fault, Process, Resource, Unresolved
from .checks import MEMORY, RW, Check
from .subject import Subject, Wrong, shown

OK: Final = "ok"
WRONG: Final = "FIX"
LACKS: Final = "lacks"
LEFT_OUT: Final = "-"


@dataclass(frozen=True)
class Outcome:
    """What a check came to."""

    check: str
    verdict: str
    seen: str = ""
    fix: str = ""


AGENT_FIXES: Final = {
    r"cannot be started": "Is the command right, and may it be executed? Run it by hand: it greets and waits.",
    r"ended at 'its greeting'": "It has to greet and to wait. Run it by hand: its first line is `mmapconf 1 …`.",
    r"no answer to 'its greeting'": "It speaks first, unasked, and flushes: to a pipe, output is kept back otherwise.",
    r"did not greet": "After what a console or a login says, one line `mmapconf 1 NAME=VALUE …` is its greeting.",
    r"speaks version": "This suite speaks version 1: the greeting is `mmapconf 1 …`.",
    r"its greeting says": "The numbers in the greeting are decimal and above 0; what is not known is left out.",
    r"which nobody had asked": "An answer begins with the number of the process that was asked (0 is the supervisor), "
    "one for each request. It says nothing else on stdout: notes go to stderr.",
    r"no answer to": "Each request line gets one answer line, ended by a newline and flushed, also where nothing is "
    "returned: `PROCESS ok`.",
    r"error that Python has no name for": "Errors go by name: `error EINVAL`, not by number.",
    r"where (a number|\d+ numbers) belongs?": "Results are plain numbers, decimal or with 0x, parted by one blank.",
    r"where a process belongs": "spawn and fork are answered by `ok` and a number that was not used before.",
    r"where bytes belong": "Bytes are pairs of hexadecimal digits, low address first, without blanks or 0x.",
    r"bytes where \d+ were asked for": "load and pread give as many bytes as were asked for, or fewer.",
    r"wrote a line of more than": "The greeting's `line` says how long a line may be, with its newline.",
    r"does not understand": "It answered `bad`. Verbs and arguments are those of PROTOCOL.md; a verb that it does not "
    "have is answered by `unsupported`.",
    r"the process ended by itself": "A fault must not end a process: it is caught (SIGSEGV, SIGBUS) and answered.",
    r"it answered": "An answer is PROCESS and ok, error, fault, unsupported, died or bad.",
    r"it took nothing": "It has to read requests while it works: several processes may be asked at once.",
    r"it ended": "It died in this request; what it said on stderr stands above, if anything. Run it under a debugger.",
}
"""What to do about what `agent.client` says of an agent, by a pattern of it; the first that matches."""


def outcome_of(check: Check, subject: Subject, agent: bool) -> Outcome:
    """Make one check."""
    try:
        return Outcome(check.name, OK, check.make(subject))
    except NotImplementedError as error:
        return Outcome(check.name, LACKS, str(error) or "not implemented")
    except Wrong as wrong:
        return Outcome(check.name, WRONG, wrong.seen, (wrong.agent or wrong.python) if agent else wrong.python)
    except Unresolved as error:
        text = str(error)
        fixes = (fix for pattern, fix in AGENT_FIXES.items() if re.search(pattern, text))
        return Outcome(check.name, WRONG, text, next(fixes, "") if agent else "")
    except Exception as error:
        where = "facts, boot, spawn and close raise NotImplementedError or Unresolved only."
        return Outcome(check.name, WRONG, f"{type(error).__name__}: {error}", "" if agent else where)


def probe(call: str, subject: Subject) -> Outcome:
    """Whether there is a call: made once, harmlessly, in a process of its own; what it comes to is no matter."""
    try:
        with subject.process() as process:
            values = _values(subject, process)
            if call == "mmap":
                values |= {"addr": 0, "flags": MEMORY, "fd": -1}
            parameters = inspect.signature(getattr(Process, call)).parameters.values()
            needed = [one for one in parameters if one.name != "self" and one.default is one.empty]
            plain = [values.get(one.name, 0) for one in needed if one.kind is not one.KEYWORD_ONLY]
            named = {one.name: values.get(one.name, 0) for one in needed if one.kind is one.KEYWORD_ONLY}
            subject.tell({"call": f"{call}({', '.join(map(shown, plain))})"})
            getattr(process, call)(*plain, **named)
    except NotImplementedError as error:
        reason = str(error)
        return Outcome(call, LACKS, "" if reason == f"the backend has no {call}" else reason.removeprefix(f"{call}: "))
    except OSError as error:
        return Outcome(call, LACKS if error.errno == errno.ENOSYS else OK)
    except Fault:
        return Outcome(call, OK)
    except Exception as error:
        return Outcome(call, WRONG, f"{type(error).__name__}: {error}")
    return Outcome(call, OK)


def _values(subject: Subject, process: Process) -> dict[str, Any]:
    """Arguments for any call, by the name of the parameter; 0 is right for all others."""
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
    values |= {"pages": 1, "fd": fd, "watch": fd, "path": "file", "data": b"x", "name": SC_PAGESIZE, "times": 1}
    return values | {"resource": Resource.ADDRESS_SPACE, "room": 1 << 40, "capability": "CAP_IPC_LOCK"}
