"""For authors of cases: `clause`, `fails`, `faults`, and the types of the fixtures that are functions."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

import pytest

from .contract import O_RDWR, Fault, errno_name

clause = pytest.mark.clause
"""``@clause("munmap.range", …)``: the clauses that a case judges.  It counts for each; none, and it is an error."""


class ExpectationFailed(AssertionError):
    """What was expected has not happened: both in words."""

    __module__ = "builtins"  # so that a traceback has its name without this package's, which would hide what it says

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}, but {seen}")
        self.expected = expected
        self.seen = seen


class fails:
    """``with fails("EINVAL"):`` the call must fail with exactly this errno (or one of these); success fails."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.seen: str | None = None

    def __enter__(self) -> fails:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        if error is None:
            raise ExpectationFailed(" or ".join(self.names), "the call succeeded")
        if not isinstance(error, OSError):
            return False
        self.seen = errno_name(error)
        if self.seen not in self.names:
            raise ExpectationFailed(" or ".join(self.names), f"the call failed with {self.seen}") from error
        return True


class faults:
    """``with faults("SIGSEGV", at=address):`` the access must fault, with this signal, there, and with this code."""

    def __init__(self, signal: str, *, at: int | None = None, code: str | None = None) -> None:
        self.signal = signal
        self.at = at
        self.code = code

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        at = f" at {self.at:#x}" if self.at is not None else ""
        return f"{self.signal}{code}{at}"

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        if error is None:
            raise ExpectationFailed(str(self), "the access succeeded")
        if not isinstance(error, Fault):
            return False
        wrong_place = self.at is not None and error.address != self.at
        if error.signal != self.signal or wrong_place or self.code not in (None, error.code):
            raise ExpectationFailed(str(self), f"the access got {error}") from error
        return True


# ------------------------------------------------------------------------------------------------- types of fixtures

NewPath = Callable[[], str]
"""The type of the fixture `new_path`."""


class File(Protocol):
    """The type of the fixture `file`."""

    def __call__(self, content: bytes = b"", flags: int = O_RDWR, path: str | None = None) -> int: ...


class WriteFile(Protocol):
    """The type of the fixture `write_file`."""

    def __call__(self, path: str, content: bytes) -> None: ...


class Record(Protocol):
    """The type of the fixture `record`."""

    def __call__(self, name: str, value: object) -> None: ...
