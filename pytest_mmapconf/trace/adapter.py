"""Mistakes of an adapter: results and exceptions that the contract does not have, reported with what to put right.

The author of a Python backend writes an adapter from the implementation to the contract.  Where it returns text for an
address, or raises an OSError without a number, nothing is known of the implementation: the cases are unresolved, and
the reason names the mistake.  It contains no values that differ between cases, so that a run reports it once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..catalogue import fact_values
from ..contract import Backend, Counters, Facts, Fault, NoErrno, Process, Stat, System, Unresolved
from ..text import printable
from .calls import CALLS, forward_calls, invoke
from .wrapping import TransparentBackend, WrappingProcess, WrappingSystem, unwrapped

LARGEST: Final = 1 << 65
"""No number of a system is as large; wrong numbers below are an answer of the implementation, and judged."""


class AdapterMistake(Unresolved):
    """The adapter does not keep to the contract; the text says what to put right."""


def is_number(value: object) -> bool:
    """Return True for an integer that a system could have returned, right or wrong."""
    return isinstance(value, int) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))


Rule = tuple[Callable[[Any], bool], str]

NUMBER: Final[Rule] = (is_number, "an int")

KINDS: Final[Mapping[str, Rule]] = {
    "address": NUMBER,
    "amount": NUMBER,
    "fd": NUMBER,
    "fds": (_is_pair, "a pair of ints"),
    "scratch_range": (_is_pair, "a pair of ints, (address, length)"),
    "data": (lambda value: isinstance(value, (bytes, bytearray)), "bytes"),
    "process": (lambda value: isinstance(value, Process), "a Process"),
    "tally": (lambda value: isinstance(value, dict), "a dict"),
    "run_concurrently": (lambda value: isinstance(value, list), "a list of results"),
}
"""By the kind of a call's result, its test and its type in words."""

PLAIN: Final[Mapping[str, Rule]] = {
    "fragment": (lambda value: value is None or isinstance(value, str), "None or the name of an error"),
    "mincore": (lambda value: isinstance(value, (list, tuple)), "a list of bools"),
    "fstat": (
        lambda value: isinstance(value, Stat) and isinstance(value.kind, str) and is_number(value.size),
        'a Stat, such as Stat("regular", 4096)',
    ),
    "has_old_mtime": (lambda value: isinstance(value, (bool, int)), "a bool"),
    "errno_cleared": (lambda value: isinstance(value, (bool, int)), "a bool"),
    "close_events": NUMBER,
    "free_space": NUMBER,
    "counters": (lambda value: isinstance(value, Counters) and all(map(is_number, value)), "Counters of three ints"),
    "mapping_limit": NUMBER,
    "facility": (lambda value: isinstance(value, str), "a str, the path"),
}
"""The same by call, where the kind does not say it."""


def mistake_of_result(call: str, result: object) -> AdapterMistake | None:
    """Return the mistake of a result whose type is not the contract's; None if it has none.

    The results of calls that return nothing are not looked at.
    """
    rule = PLAIN.get(call) or KINDS.get(CALLS[call].result)
    if rule is None or rule[0](result):
        return None
    is_int = isinstance(result, int) and not isinstance(result, bool)
    what = "a number of more than 65 bits" if is_int else _type(result)
    return AdapterMistake(f"mistake of the adapter: {call} returned {what}; it must return {rule[1]}")


def mistake_of_error(call: str, error: BaseException) -> AdapterMistake | None:
    """Return the mistake of an exception that is no OSError or Fault of the contract; None if it has none."""
    if isinstance(error, NoErrno):
        return None
    if isinstance(error, OSError):
        number = error.errno
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 16:
            return None
        what = "without an errno" if number is None else f"whose errno is {printable(repr(number), 40)}"
        if isinstance(number, int):
            what = "whose errno is not a number of an error"
        return AdapterMistake(
            f"mistake of the adapter: {call} raised {type(error).__name__} {what}; an OSError needs two "
            "arguments, such as OSError(errno.EINVAL, os.strerror(errno.EINVAL))"
        )
    if isinstance(error, Fault):
        address = error.address
        right = isinstance(error.signal, str) and isinstance(error.code, str)
        if right and (address is None or is_number(address)):
            return None
        return AdapterMistake(
            f"mistake of the adapter: {call} raised a Fault with a value of another type; it needs the names of a "
            'signal and a code, and an address or None, such as Fault("SIGSEGV", "SEGV_MAPERR", 0x1000)'
        )
    return None


def hidden_error(call: str, error: BaseException) -> Exception | None:
    """Return an exception to raise in place of one that cannot be shown or looked at; None if it can be."""
    try:
        str(error), repr(error), getattr(error, "errno", None), getattr(error, "observed", None)
    except KeyboardInterrupt:
        raise
    except BaseException:  # pytest would end the run
        return RuntimeError(f"{call} raised {type(error).__name__}, whose text cannot be shown")
    return None


def checked(call: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """Make a call and return its result.  Raises what the call raises, and AdapterMistake."""
    try:
        result = make(*arguments)
    except Exception as error:
        hidden = hidden_error(call, error)
        if hidden is not None:
            raise hidden from None
        wrong = mistake_of_error(call, error)
        if wrong is None:
            raise
        raise wrong from error
    if call not in PLAIN and CALLS[call].result == "nothing":
        return None
    mistake = mistake_of_result(call, result)
    if mistake is not None:
        raise mistake
    return result


def checked_facts(backend: Backend) -> Facts:
    """Return the facts of a backend so that they can be shown.

    Raises what the backend raises, and AdapterMistake for what are no facts, or impossible ones.
    """
    where = "mistake of the adapter: facts()"
    facts: object
    try:
        facts = backend.facts()
    except (SystemExit, GeneratorExit) as error:
        raise AdapterMistake(f"{where} raised {type(error).__name__}") from error
    except Exception as error:
        hidden = hidden_error("facts", error)
        if hidden is None:
            raise
        raise hidden from None
    if not isinstance(facts, Facts):
        raise AdapterMistake(f"{where} returned {_type(facts)}; it must return Facts")
    if not isinstance(facts.name, str) or not isinstance(facts.version, str):
        raise AdapterMistake(f"{where} returned Facts whose name or version is no text")
    if not isinstance(facts.details, Mapping):
        raise AdapterMistake(f"{where} returned Facts whose details are {_type(facts.details)}; they must be a dict")
    for name, value in facts.details.items():
        if not isinstance(name, str) or not isinstance(value, str):
            entry = f"{printable(name, 40)!r}: {_type(value)}"
            raise AdapterMistake(f"{where} returned Facts with the detail {entry}; name and value must be text")
    details = {printable(name, 80): printable(value) for name, value in facts.details.items()}
    impossible = fact_values.error(details)
    if impossible is not None:
        raise AdapterMistake(f"{where} returned Facts with the detail {impossible}")
    return Facts(printable(facts.name), printable(facts.version), details)


def _type(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


class CheckedProcess(WrappingProcess):
    """A process whose results and exceptions are checked."""

    def __init__(self, inside: Process) -> None:
        if not is_number(getattr(inside, "bits", None)):
            raise AdapterMistake("mistake of the adapter: the attribute bits of a Process must be an int, such as 64")
        super().__init__(inside)

    def audit(self, ranges: Any, fds: Any = ()) -> list[str]:
        own = type(self.inside).audit is not Process.audit  # the default makes calls, which are checked here
        return self.inside.audit(ranges, fds) if own else super().audit(ranges, fds)

    def batch(self, calls: Any) -> list[object]:
        own = type(self.inside).batch is not Process.batch
        return self.inside.batch(calls) if own else super().batch(calls)


def _make(process: CheckedProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    result = checked(call, invoke, process.inside, call, arguments)
    return CheckedProcess(result) if CALLS[call].result == "process" else result


forward_calls(CheckedProcess, _make)


class CheckedSystem(WrappingSystem):
    """A system whose results and exceptions are checked, and those of its processes."""

    def __init__(self, inside: System) -> None:
        if not isinstance(inside, System):
            raise AdapterMistake(f"mistake of the adapter: boot returned {_type(inside)}; it must return a System")
        super().__init__(inside)

    def spawn(self) -> Process:
        return CheckedProcess(checked("spawn", self.inside.spawn))

    def run_concurrently(self, calls: Any) -> list[object]:
        return checked("run_concurrently", self.inside.run_concurrently, unwrapped(calls))  # type: ignore[no-any-return]

    def together(self, calls: Any, rounds: int) -> Any:
        return checked("together", self.inside.together, unwrapped(calls), rounds)

    def facility(self, facility: Any) -> str:
        return checked("facility", self.inside.facility, facility)  # type: ignore[no-any-return]

    def crash(self) -> None:
        checked("crash", self.inside.crash)

    def full_file_table(self) -> Any:
        return self.inside.full_file_table()

    def mapping_limit(self) -> int:
        return checked("mapping_limit", self.inside.mapping_limit)  # type: ignore[no-any-return]


class CheckedBackend(TransparentBackend):
    """A backend in Python whose results and exceptions are checked against the contract."""

    def boot(self) -> System:
        return CheckedSystem(checked_boot(self.subject))


def checked_boot(backend: Backend) -> System:
    """Boot a system.  Raises what boot raises, if it can be shown."""
    try:
        return backend.boot()
    except Exception as error:
        hidden = hidden_error("boot", error)
        if hidden is None:
            raise
        raise hidden from None
