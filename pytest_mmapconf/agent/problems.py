"""The problems of an agent, by id: messages are for people, the ids for code that depends on the kind."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ..contract import Unresolved


class Problem(StrEnum):
    """A kind of failure of an agent; the id of `Unresolved.problem`."""

    NOT_STARTED = "not-started"
    """Its command cannot be executed."""
    LEFT_EMULATOR_AT_START = "left-emulator-at-start"
    """It has executed another program, which what was to run it does not run."""
    LEFT_EMULATOR_AT_EXEC = "left-emulator-at-exec"
    """After exec the new program is not run by what ran the old one."""
    ENDED_BEFORE_GREETING = "ended-before-greeting"
    NO_GREETING_IN_TIME = "no-greeting-in-time"
    OTHER_OUTPUT_ONLY = "other-output-only"
    """It has written much, and no greeting."""
    OTHER_VERSION = "other-version"
    WRONG_GREETING = "wrong-greeting"
    """A value of the greeting is not possible."""
    ANSWER_WITHOUT_REQUEST = "answer-without-request"
    NO_ANSWER_IN_TIME = "no-answer-in-time"
    UNKNOWN_ERRNO = "unknown-errno"
    NOT_A_NUMBER = "not-a-number"
    NOT_A_PROCESS = "not-a-process"
    NOT_BYTES = "not-bytes"
    TOO_MANY_BYTES = "too-many-bytes"
    LINE_TOO_LONG = "line-too-long"
    REQUEST_NOT_UNDERSTOOD = "request-not-understood"
    PROCESS_ENDED = "process-ended"
    """A process ended without a request to end it."""
    WRONG_ANSWER = "wrong-answer"
    """An answer of another form, or one that cannot be right."""
    REQUEST_NOT_READ = "request-not-read"
    ENDED = "ended"
    """Its process has ended."""
    CANNOT_END_PROCESSES = "cannot-end-processes"
    GONE = "gone"
    """It failed at an earlier request."""


BEFORE_GREETING: Final = {
    Problem.ENDED: Problem.ENDED_BEFORE_GREETING,
    Problem.NO_ANSWER_IN_TIME: Problem.NO_GREETING_IN_TIME,
}
"""The id of the problem if the agent has not greeted yet."""

OF_ONE_REQUEST: Final = frozenset(
    {
        Problem.LEFT_EMULATOR_AT_EXEC,
        Problem.UNKNOWN_ERRNO,
        Problem.REQUEST_NOT_UNDERSTOOD,
        Problem.PROCESS_ENDED,
    }
)
"""The problems after which the agent can be asked for something else; after any other one it is ended."""


def problem(id: Problem, text: str) -> Unresolved:
    """Return the exception that reports a problem."""
    error = Unresolved(text)
    error.problem = id
    return error


def is_gone(error: BaseException | None) -> bool:
    """Return True if an exception says that nothing more can be asked of the system."""
    return isinstance(error, Unresolved) and bool(error.problem) and error.problem not in OF_ONE_REQUEST
