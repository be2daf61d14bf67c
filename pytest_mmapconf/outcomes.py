"""Outcomes of a call as they were observed, with the numbers of the system that made it.

The reference judges them (`reference.observed_choices`), lockstep compares them.  The expectations of a program, which
state addresses and numbers by symbol, are those of `trace.program`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


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


def brief(data: bytes) -> str:
    """Return bytes as text: the first 32, and how many there are."""
    return f"{data[:32]!r}" + (f"… ({len(data)} bytes)" if len(data) > 32 else "")
