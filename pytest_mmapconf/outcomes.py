"""Outcomes of a call as they were observed, with the numbers of the system that made it.

The reference judges them (`reference.observed_choices`), lockstep compares them.  The expectations of a program, which
state addresses and numbers by symbol, are those of `trace.program`.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias


class Returned(NamedTuple):
    """The call succeeded."""

    value: object

    def __str__(self) -> str:
        if isinstance(self.value, bytes):
            return brief(self.value)
        if isinstance(self.value, int) and self.value >= 1 << 16:
            return f"{self.value:#x}"
        return "success" if self.value is None else str(self.value)


class Failed(NamedTuple):
    """The call failed with an errno, stated by name."""

    errno: str

    def __str__(self) -> str:
        return self.errno


class Faulted(NamedTuple):
    """The memory access was refused with a signal."""

    signal: str
    code: str
    address: int | None

    def __str__(self) -> str:
        at = "" if self.address is None else f" at {self.address:#x}"
        return f"{self.signal} ({self.code}){at}"


class Ended(NamedTuple):
    """The call ended its process or the system, or did not return."""

    how: str

    def __str__(self) -> str:
        return self.how


Outcome: TypeAlias = Returned | Failed | Faulted | Ended


SHOWN: Final = 32
"""Bytes that are shown of more."""


def brief(data: bytes) -> str:
    """Return bytes as text: the first ones, and how many there are."""
    return f"{data[:SHOWN]!r}" + (f"… ({len(data)} bytes)" if len(data) > SHOWN else "")


def difference(observed: Outcome, expected: Outcome) -> tuple[str, str]:
    """Return two outcomes as text; of bytes that are longer than what is shown, the part in which they differ."""
    if isinstance(observed, Returned) and isinstance(expected, Returned):
        seen, right = observed.value, expected.value
        if isinstance(seen, bytes) and isinstance(right, bytes) and seen[:SHOWN] == right[:SHOWN]:
            at = next((at for at, pair in enumerate(zip(seen, right, strict=False)) if pair[0] != pair[1]), None)
            if at is not None:
                return _part(seen, at), _part(right, at)
    return str(observed), str(expected)


def _part(data: bytes, at: int) -> str:
    return f"from byte {at}: {data[at : at + SHOWN]!r}… ({len(data)} bytes)"
