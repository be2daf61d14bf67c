"""A difference between an implementation and the reference: its exception, its text and its plain data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..contract import Died
from ..outcomes import Ended, Failed, Faulted, Outcome, Returned, brief

MARK: Final = "<- "
"""Beside the mapping that an access concerns."""

MAX_LINES: Final = 60
"""Lines of an address space that are shown."""


class Key(NamedTuple):
    """The identity of a difference: two with the same key are taken for the same deviation."""

    call: str
    """The call that went wrong, or whose effect is wrong."""
    kind: str
    clauses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.call}: {self.kind} ({', '.join(self.clauses)})"


class Divergence(AssertionError):
    """A call of the implementation had an outcome that is not allowed.

    `step` is the call as text, `observed` its outcome, `allowed` the outcomes that are allowed, `clauses` the clauses
    that allow no other, and `maps` the address spaces after the call: that of the implementation and that of the
    reference.
    """

    def __init__(
        self, step: str, observed: str, allowed: Sequence[str], clauses: Sequence[str], maps: tuple[str, str]
    ) -> None:
        super().__init__(step, observed, tuple(allowed), tuple(clauses), maps)
        self.step = step
        self.observed = observed
        self.allowed = tuple(allowed)
        self.clauses = tuple(clauses)
        self.maps = maps
        self.died: Died | None = None
        """Set where the outcome is that the process or the system has ended."""
        self.call = ""
        """The name of the call whose outcome is not allowed."""
        self.effect_of = ""
        """The name of the call whose effect `call` has shown to be wrong; empty if `call` itself went wrong."""
        self.outcome: Outcome = Returned(None)
        """The observed outcome."""
        self.conflicts = False
        """True if the outcome is an address of the system's choice that conflicts with other mappings."""

    @property
    def kind(self) -> str:
        """The kind of difference in a few words, without values: "EINVAL instead of success"."""
        if self.effect_of:
            return "wrong effect"
        required = " or ".join(dict.fromkeys(re.sub(r" at 0x[0-9a-f]+", "", each) for each in self.allowed))
        if not re.match(r"E[A-Z0-9]+\b|SIG", required):
            required = "success"
        if isinstance(self.outcome, Failed):
            seen = self.outcome.errno
        elif isinstance(self.outcome, Faulted):
            seen = f"{self.outcome.signal} ({self.outcome.code})"
        elif isinstance(self.outcome, Ended):
            seen = "the end of the process"
        else:
            seen = "success" if required != "success" else "another value"
        return seen if seen == "another value" else f"{seen} instead of {required}"

    @property
    def key(self) -> Key:
        """The identity of this difference: the call, the kind of difference, and the clauses."""
        return Key(self.effect_of or self.call, self.kind, self.clauses)

    def __str__(self) -> str:
        cited = f" ({', '.join(self.clauses)})" if self.clauses else ""
        return f"{self.step}: {self.observed}; allowed: {' or '.join(self.allowed)}{cited}"


def call_text(call: str, arguments: Sequence[object]) -> str:
    """Return a call as text, such as "munmap(0x7f0000000000, 4096)"."""
    return f"{call}({', '.join(map(_argument, arguments))})"


def _argument(value: object) -> str:
    if isinstance(value, bytes):
        return brief(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value)) if abs(value) < 1 << 16 else f"{int(value):#x}"
    return repr(value)


def as_data(divergence: Divergence) -> dict[str, Any]:
    """Return a difference as plain data: `evidence` in `schema.json`."""
    maps = zip(("the implementation", "the reference"), map(shortened, divergence.maps), strict=True)
    return {
        "step": divergence.step,
        "answer": divergence.observed,
        "allowed": list(divergence.allowed),
        "cited": list(divergence.clauses),
        "pictures": [{"of": of, "text": text} for of, text in maps],
        **(last_words(divergence.died) if divergence.died else {}),
    }


def last_words(died: Died) -> dict[str, Any]:
    """Return what a process or a system that has ended left, as plain data: part of `evidence` in `schema.json`."""
    output = {"output": died.output} if died.output else {}
    return {**output, "requests": list(died.requests)} if died.requests else output


def shortened(maps: str, limit: int = MAX_LINES, rest: str = "… and {} lines more") -> str:
    """Return at most `limit` lines of an address space as text: those with a mark, and the first others.

    `rest` is the text after them, with the number of the lines that are left out.
    """
    lines = maps.splitlines()
    if len(lines) <= limit:
        return "\n".join(lines)
    in_order_of_weight = sorted(range(len(lines)), key=lambda number: (MARK not in lines[number], number))
    kept = sorted(in_order_of_weight[:limit])
    return "\n".join([*(lines[number] for number in kept), rest.format(len(lines) - limit)])
