"""The import for authors of cases: `clause`, `needs`, `fails`, `faults`, `unlike`, and the types of fixtures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import ParamSpec, Protocol, TypeVar

import pytest

from .catalogue.properties import PROPERTIES
from .catalogue.tables import did_you_mean
from .contract import O_RDWR, Fault, NoErrno, Unsupported, errno_name

P = ParamSpec("P")
R = TypeVar("R")

clause = pytest.mark.clause
"""``@clause("munmap.range", …)``: the clauses that a case judges.  Its verdict counts for each of them.

A case of the suite without a clause is an error.
"""


def needs(*names: str) -> pytest.MarkDecorator:
    """``@needs("noreplace", …)``: the properties of the system that a case needs in addition to what it judges.

    Marks a case, a parameter, or a helper function: each case that names the helper needs them too.  The properties
    are in `catalogue.properties`; some are needed by each case that names a constant, such as MAP_FIXED.  Where one
    does not hold, or cannot be observed, the case is unsupported, unless it judges the clause that promises the
    property.  Raises ValueError for a name that is none.
    """
    for name in names:
        if name not in PROPERTIES:
            raise ValueError(f"there is no property {name!r}; {did_you_mean(name, PROPERTIES)}")
    return pytest.mark.mmap_needs(*names)


def optional_calls(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a helper that makes a call only where the backend has it: a case that uses the helper needs none of them."""
    function.has_optional_calls = True  # type: ignore[attr-defined]
    return function


def unlike(tally: Mapping[tuple[str, ...], int], allowed: Collection[Sequence[str]]) -> dict[tuple[str, ...], int]:
    """Return the outcomes of a tally that are none of the allowed ones, each with its number of rounds.

    `tally` is what `System.together` returns.  An allowed outcome has one text for each call, and each may leave out
    the end: "ok" allows "ok 0x1000" and "fault SIGSEGV" allows "fault SIGSEGV SEGV_MAPERR".
    """
    return {
        outcomes: count
        for outcomes, count in tally.items()
        if not any(all(map(_begins_with, outcomes, texts)) for texts in allowed)
    }


def _begins_with(outcome: str, words: str) -> bool:
    return f"{outcome} ".startswith(f"{words} ")


class ExpectationFailed(AssertionError):
    """A call or access had another outcome than the expected one."""

    __module__ = "builtins"  # a traceback then shows the name without the package, which would push the message aside

    def __init__(self, expected: str, observed: str) -> None:
        super().__init__(f"expected {expected}, but {observed}")
        self.expected = expected
        """The expected outcome, in words."""
        self.observed = observed
        """The outcome, in words: a clause such as "the call succeeded"."""


class fails:
    """``with fails("EINVAL"):`` the call in the block must fail with this errno, or with one of several.

    The case fails if the call succeeds or fails with another errno.  Exceptions other than OSError pass through.  A
    system that reports no errno (NoErrno) can only be asked whether the call fails.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.observed: str | None = None
        """The name of the errno, once the call has failed."""

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
        self.observed = errno_name(error)
        if self.observed not in self.names and not isinstance(error, NoErrno):
            raise ExpectationFailed(" or ".join(self.names), f"the call failed with {self.observed}") from error
        return True


class faults:
    """``with faults("SIGSEGV", at=address, code="SEGV_MAPERR"):`` the access in the block must raise this signal.

    If `at` is given, si_addr must be that address; if `code` is given, si_code must be that one.  The case fails if the
    access succeeds or has another fault.  Exceptions other than Fault pass through.  A system without signals can only
    be asked whether the access happens: a case that asks for a code or an address is unsupported there.
    """

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
        if error.signal == "-":
            if self.code is None and self.at is None:
                return True
            raise Unsupported("the system reports neither si_code nor si_addr") from error
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


class RandomPrograms(Protocol):
    """The type of the fixture `random_programs`."""

    def run(self) -> Mapping[str, object]:
        """Run random programs on the implementation and on the reference; return counts for the report."""

    def check(self) -> None:
        """Raise the difference that a program showed; Unresolved or Unsupported if the programs could not be judged."""


class Tour(Protocol):
    """The type of the fixture `tour`."""

    def __call__(self, id: str) -> None:
        """Run a row of the tour, and raise its difference; Unsupported if it cannot be judged."""
