"""The cause of a failure, as plain data: the call that went wrong, and what it answered (`cause` in `schema.json`).

Failures with the same call and the same answer are reported as one group (`report.causes`), and so are calls of which
the implementation died with the same last words.  A refusal, a success where an error is required, a wrong result, and
that there is no answer, are answers of the call itself.  A wrong effect is observed later, by an access or by a call
that only reports a state: the cause is then the last call before it that has an effect on mappings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from ..contract import Died, Fault, Unresolved, errno_name
from ..differential.blame import EFFECTS
from ..differential.divergence import Divergence
from ..outcomes import Ended, Failed, Faulted
from ..testing import ExpectationFailed
from ..trace.adapter import AdapterMistake
from ..trace.calls import ACCESSES, CALLS

if TYPE_CHECKING:
    from ..trace.program import Program
    from ..trace.recorder import RecordedSystem

QUERIES: Final = frozenset(("mincore", "pread", "fstat", "has_old_mtime", "close_events", "counters", "free_space"))
"""Calls that only report a state: a wrong value is an effect of other calls."""

WRONG_EFFECT: Final = "wrong effect"
NO_ANSWER: Final = "no answer"
"""The implementation died in the call, or did not respond."""

MAX_LENGTH: Final = 200
"""Largest number of characters of a text of a cause."""

OTHER_VALUES: Final = {"address": "another address", "data": "other bytes", "amount": "another number"}
"""By kind of result, the answer of a call that returned a wrong value; "another value" for all others."""


class Made(NamedTuple):
    """A call that was made, and its error; None if it succeeded."""

    call: str
    error: Exception | None


def failure_cause(
    error: BaseException, recorded: RecordedSystem | None, program: Program = (), *, is_judged: bool = True
) -> dict[str, str]:
    """Return the cause of a failed or unresolved case; empty if no call is known to have caused it.

    `recorded` are the calls of the case; `program` are those of the program that shows the failure, if it ran programs.
    Unless `is_judged`, the case is unresolved: only a call that raised an exception is known to be the cause.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, AdapterMistake):
        return {}  # its reason is the same for every case
    made = [Made(note[1], note[5]) for note in recorded.noted] if recorded is not None else []
    if isinstance(error, Divergence):
        calls = [step.call for step in program] or [entry.call for entry in made]
        cause, place = _of_divergence(error, calls)
        cause |= _last_words(error.died)
        return _with_step(cause, str(program[place]) if program else _step(recorded, place) or error.step)
    raised = list(chain(error))
    places = [place for place, entry in enumerate(made) if any(entry.error is one for one in raised)]
    if places:
        place = places[-1]
        answer, required = _answer_of_error(made[place].error), ""  # the case has compared the errno
        if isinstance(error, ExpectationFailed):
            required = error.expected
        elif made[place].error is error or isinstance(error, Unresolved):
            required = "success"
    elif isinstance(error, ExpectationFailed):
        place, answer, required = len(made) - 1, "success", error.expected
    elif isinstance(error, Unresolved) or not is_judged:
        return {}
    else:
        place, answer = _wrong_value(made)
        required = ""
    if place < 0:
        return {}
    cause, place = _described(answer, required, [entry.call for entry in made[: place + 1]])
    cause |= _last_words(made[place].error)
    return _with_step(cause, _step(recorded, place))


def _last_words(error: Exception | None) -> dict[str, str]:
    """Return what an implementation that died wrote about why, as part of a cause."""
    return {"last words": error.last_words} if isinstance(error, Died) and error.last_words else {}


def _described(answer: str, required: str, calls: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return the cause, and the place of its call.  `calls` are those up to the one that made the failure visible."""
    call, place = calls[-1], len(calls) - 1
    cause = {"call": call, "answer": answer}
    is_value = answer in (*OTHER_VALUES.values(), "another value")
    if answer != NO_ANSWER and (call in ACCESSES or (call in QUERIES and is_value)):
        effect = max((at for at, earlier in enumerate(calls) if earlier in EFFECTS), default=-1)
        if effect >= 0:
            place, cause = effect, {"call": calls[effect], "answer": WRONG_EFFECT, "shown by": f"{call} → {answer}"}
    if "shown by" not in cause and required and not is_value and answer not in (NO_ANSWER, WRONG_EFFECT):
        cause["instead of"] = re.sub(r" at 0x[0-9a-f]+", "", required)
    return cause, place


def _of_divergence(divergence: Divergence, calls: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return the cause of a difference from the reference, and the place of its call; `calls` are those up to it."""
    observed, call = divergence.outcome, divergence.call
    allowed = " or ".join(divergence.allowed)
    required = allowed if re.match(r"E[A-Z0-9]+\b|SIG", allowed) else "success"
    if isinstance(observed, Failed):
        answer = observed.errno
    elif isinstance(observed, Faulted):
        answer = observed.signal
    elif isinstance(observed, Ended):
        answer = NO_ANSWER
    else:
        answer = "success" if required != "success" else OTHER_VALUES.get(CALLS[call].result, "another value")
    if divergence.effect_of:
        place = max((at for at, earlier in enumerate(calls) if earlier == divergence.effect_of), default=-1)
        shown = f"{call} → {answer}"
        return {"call": divergence.effect_of, "answer": WRONG_EFFECT, "shown by": shown}, place
    return _described(answer, required, [*calls[:-1], call])


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from, or while handling; each once, also of a circle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _answer_of_error(error: Exception | None) -> str:
    """Return the answer of a call that raised an exception."""
    if isinstance(error, OSError):
        return errno_name(error)
    return error.signal if isinstance(error, Fault) else NO_ANSWER


def _wrong_value(made: Sequence[Made]) -> tuple[int, str]:
    """Return the place and the answer of the last call with a result that a case may have compared; -1 for none.

    A case may close files before it compares what it has read: closes at the end are passed over if a result precedes.
    """
    last = len(made) - 1
    if last > 0 and made[last] == Made("close", None):
        found = _wrong_value(made[:last])
        if found[1] not in ("", WRONG_EFFECT):
            return found
    for place in range(last, -1, -1):
        call, error = made[place]
        if isinstance(error, (OSError, Fault)):
            return place, _answer_of_error(error)
        kind = CALLS[call].result
        if error is None and kind != "nothing":
            return place, OTHER_VALUES.get(kind, "another value")
        if error is None and call in EFFECTS:
            return place, WRONG_EFFECT
    return -1, ""


def _step(recorded: RecordedSystem | None, place: int) -> str:
    """Return a call of a case as text, by symbol."""
    try:
        return str(recorded.program()[0][place]) if recorded is not None and place >= 0 else ""
    except Exception:  # an implementation may return anything
        return ""


def _with_step(cause: dict[str, str], step: str) -> dict[str, str]:
    """Return a cause with the call as text, if it is known; all texts have a limited length."""
    cause = {name: str(text) for name, text in cause.items()}  # a backend's Fault may have values of other types
    cause = {**cause, "step": step} if step else cause
    return {name: text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]} …" for name, text in cause.items()}
