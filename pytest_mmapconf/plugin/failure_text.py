"""The text of a failure, as pytest shows it: the case's own lines, the calls that were made, the clause in words.

A failure is made in the suite's own code (the recorder, the lockstep, the agent's client) and in hypothesis; none of
their lines say what an implementation did wrong, so the traceback is that of the case, and of the user's code.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

import pytest

from ..catalogue.clauses import load
from ..contract import Fault, errno_name
from ..testing import ExpectationFailed
from ..trace.calls import CALLS
from ..trace.recorder import RecordedSystem
from ..version import PACKAGE

CASES: Final = f"{PACKAGE}.conformance"

HIDDEN: Final = (f"{PACKAGE}.", "hypothesis.", "hypothesis_temporary_module", "contextlib")
"""Modules whose lines a traceback leaves out, except for those of the cases."""

MAX_CALLS: Final = 12
"""Number of the last calls that are shown."""

MAX_EVIDENCE: Final = 40
"""Number of the last calls that a report has."""

MAX_PICTURE: Final = 16
"""Number of lines of an address space that are shown on a terminal, unless the user asks for more with -v."""

WIDTH: Final = 100

ADDRESS: Final = 1 << 24
"""Numbers from here on are shown in hexadecimal: a test has no size and no count as large as any address."""


@contextmanager
def shortened(call: pytest.CallInfo[None], config: pytest.Config) -> Generator[None]:
    """While pytest makes the report of a failed call, leave out of its traceback what is not about the case."""
    excinfo = call.excinfo
    if excinfo is None or config.getoption("fulltrace", False) or not isinstance(excinfo.value, Exception):
        yield
        return
    error, cause, suppressed = excinfo.value, excinfo.value.__cause__, excinfo.value.__suppress_context__
    # pytest follows the links between the traceback's objects, so a shorter list of entries would not do.
    kept = of_the_case(error.__traceback__)
    if kept is not None:
        excinfo.traceback = type(excinfo.traceback)(kept)
    if hasattr(error, "__notes__"):
        error.__notes__ = [note for note in map(shortened_note, error.__notes__) if note]
    if isinstance(error, ExpectationFailed):  # its text has what its cause would show
        error.__cause__, error.__suppress_context__ = None, True
    try:
        yield
    finally:
        error.__cause__, error.__suppress_context__ = cause, suppressed


def of_the_case(trace: TracebackType | None) -> TracebackType | None:
    """Return a copy of a traceback that has only the lines of the case and of the user's code; None if it has none."""
    lines = []
    while trace is not None:
        if is_of_the_case(str(trace.tb_frame.f_globals.get("__name__", ""))):
            lines.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for line in reversed(lines):
        kept = TracebackType(kept, line.tb_frame, line.tb_lasti, line.tb_lineno)
    return kept


def is_of_the_case(module: str) -> bool:
    """Return True if a traceback shows the lines of this module."""
    return module.startswith(CASES) or not module.startswith(HIDDEN)


def shortened_note(note: object) -> str:
    """Return a note of hypothesis without its guesses, and without arguments that are objects."""
    text = re.split(r"^\s*Explanation:", str(note), flags=re.MULTILINE)[0]
    lines = [line for line in text.rstrip().splitlines() if not re.match(r"\s+\w+=<.*>,$", line)]
    return "\n".join(line if len(line) <= 2 * WIDTH else f"{line[: 2 * WIDTH]} …" for line in lines)


def sections(clauses: Iterable[str], recorded: RecordedSystem | None) -> list[tuple[str, str]]:
    """Return the sections that a failure shows: its clauses in words, and the last calls with their answers."""
    catalogue = load()
    found = [(f"clause {id}", textwrap.fill(catalogue[id].text, WIDTH)) for id in clauses if id in catalogue]
    lines = call_lines(recorded)
    if lines:
        title = "calls" if len(lines) <= MAX_CALLS else f"last {MAX_CALLS} of {len(lines)} calls"
        found.append((title, "\n".join(lines[-MAX_CALLS:])))
    return found


def call_lines(recorded: RecordedSystem | None) -> list[str]:
    """Return a line for each call of a case, by symbol, with its answer."""
    if recorded is None:
        return []
    try:
        steps: Sequence[object] = recorded.program()[0]
    except Exception:  # an implementation may return anything
        return []
    if len(steps) != len(recorded.noted):
        return numbered(steps)
    texts = [step_text(step) for step in steps]
    answers = [answer(note[4], note[5]) for note in recorded.noted]
    return [
        f"{number:3}  {step}" + (f"  → {text}" if text else "")
        for number, (step, text) in enumerate(zip(texts, answers, strict=True), 1)
    ]


def numbered(steps: Sequence[object]) -> list[str]:
    """Return a line for each call of a program, with its number."""
    return [f"{number:3}  {step_text(step)}" for number, step in enumerate(steps, 1)]


def step_text(step: object) -> str:
    """Return a call as text; of long data its first bytes."""
    text = str(step)
    return text if len(text) <= 2 * WIDTH else f"{text[:WIDTH]} … {text[-20:]}"


def answer(result: Any, error: BaseException | None) -> str:
    """Return the answer of a call as text; empty for a call that succeeds and returns nothing."""
    if isinstance(error, Fault):
        return str(error)
    if isinstance(error, OSError):
        return errno_name(error)
    if error is not None:
        return type(error).__name__
    if result is None:
        return ""
    if isinstance(result, int) and not isinstance(result, bool):
        return number_text(int(result))
    text = repr(result)
    return text if len(text) <= 60 else f"{text[:60]} …"


def number_text(value: int) -> str:
    """Return a number: an address in hexadecimal."""
    return f"{value:#x}" if abs(value) >= ADDRESS else str(value)


def reason(error: BaseException, recorded: RecordedSystem | None) -> str | None:
    """Return the reason of a failure in the words of the API; None if pytest's own text is as good."""
    if isinstance(error, OSError) and recorded is not None and recorded.noted and recorded.noted[-1][5] is error:
        return f"{recorded.noted[-1][1]} failed with {errno_name(error)}"
    return result_compared(str(error)) if isinstance(error, AssertionError) else None


COMPARISON: Final = re.compile(r"assert ((?:(?! (?:==|and|or|in|is) ).)+) == ((?:(?! (?:==|and|or|in|is) ).)+)")
"""Pytest's explanation of a comparison."""

WHERE: Final = re.compile(r"\s*\+\s+where (.+) = (\w+)\(.*\)(?:\.(\w+))?$")
"""Pytest's explanation of a value: the value, the function or class, and the attribute if it is one."""


def readable(text: str) -> str:
    """Return a reason with its addresses in hexadecimal, and a comparison as what was seen and what is expected."""
    text = re.sub(r"(?<![\w.])\d{8,20}(?![\w.])", lambda found: number_text(int(found[0])), text)
    text = re.sub(
        r"(?:OSError: )?\[Errno (\d+)\] ?[^:;()]*", lambda found: errno_name(OSError(int(found[1]), "")), text
    )
    compared = COMPARISON.fullmatch(text)
    return f"expected {short(compared[2])}, but saw {short(compared[1])}" if compared else text


def result_compared(text: str) -> str | None:
    """Return what pytest says of a comparison as the result of a call and what is expected; None if it says no call.

    The lines of the text are `assert 13 == 8`, `where 13 = Stat(…).size`, `where Stat(…) = fstat(3)`.
    """
    first, *explained = text.split("\n")
    compared = COMPARISON.fullmatch(first)
    values = [found for line in explained[:2] if (found := WHERE.match(line))]
    if compared is None or not values or values[0][1] != compared[1]:
        return None
    seen, expected = (readable(short(value)) for value in compared.groups())
    attribute, call = values[0][3], values[0][2]
    if attribute and len(values) == 2 and not values[1][3]:
        return f"{attribute} of {values[1][2]} is {seen}, {expected} expected" if values[1][2] in CALLS else None
    return f"{call} returned {seen}, {expected} expected" if call in CALLS and not attribute else None


def short(text: str) -> str:
    """Return a value as text of at most WIDTH characters."""
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 2]} …"
