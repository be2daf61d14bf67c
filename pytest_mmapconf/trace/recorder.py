"""A recorder: a system around a system, which notes each call that is made as a step of a program.

It keeps the contract, so that a case, a random program or a user's test runs through it and notices nothing.  What has
happened is written down as it was; only when the program is asked for is it put into symbols, since most runs are never
looked at again.

The calls come with numbers, the program is to have names.  A number that a call has returned is therefore handed out as
a `Symbol`: an int that remembers what it was called, also after pages and bytes have been added.  So ``base + page``
is ``r1 + pages(1)`` although another region may begin at just that address.  A number that has lost its name (by a
division, say) is looked for among the regions that there are, the latest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from ..contract import SC_PAGESIZE, Backend, Call, Facility, Fault, Process, System, errno_name
from .calls import CALLS, WITH_KEYWORDS, forward_calls, invoke
from .program import Argument, Fails, Faults, NotExecuted, Program, Returns, Step, Sum, SymbolicOutcome
from .replay import amount, fault_address, runs, symbolic
from .wrapping import WrappingBackend, WrappingProcess, WrappingSystem


class Symbol(int):
    """A number that keeps the sum it was computed from."""

    sum: Sum

    def __add__(self, other: int) -> int:
        return _added(int.__add__(self, other), self.sum, other, 1)

    __radd__ = __add__

    def __sub__(self, other: int) -> int:
        return _added(int.__sub__(self, other), self.sum, other, -1)

    def __rsub__(self, other: int) -> int:
        return _added(int.__rsub__(self, other), Sum(bytes=other), self, -1)

    def __mul__(self, other: int) -> int:
        value = int.__mul__(self, other)
        if type(other) is not int or self.sum.name or self.sum.minus:
            return value
        return symbol(value, Sum(pages=self.sum.pages * other, bytes=self.sum.bytes * other))

    __rmul__ = __mul__

    def __neg__(self) -> int:
        return 0 - self


def symbol(value: int, sum: Sum) -> Symbol:
    """`value`, remembered as `sum`."""
    made = Symbol(value)
    made.sum = sum
    return made


def _added(value: int, one: Sum, other: int, sign: int) -> int:
    """`value`, which is `one` and, or less, `other`; a plain number where two regions would have to be named."""
    if value is NotImplemented:  # `other` is no integer
        return value  # type: ignore[no-any-return]
    if not isinstance(other, Symbol):
        return symbol(value, Sum(one.name, one.pages, one.bytes + sign * other, one.minus))
    its = other.sum
    plus = [name for name in (one.name, its.name if sign > 0 else its.minus) if name]
    minus = [name for name in (one.minus, its.minus if sign > 0 else its.name) if name]
    for name in [name for name in plus if name in minus]:
        plus.remove(name)
        minus.remove(name)
    if len(plus) > 1 or len(minus) > 1:
        return value
    return symbol(
        value,
        Sum("".join(plus), one.pages + sign * its.pages, one.bytes + sign * its.bytes, "".join(minus)),
    )


def _plain(value: Any) -> Any:
    """An argument as the system inside is given it."""
    if type(value) is Symbol:
        return int(value)
    if type(value) is Call:
        arguments = tuple(_plain(argument) for argument in value.arguments)
        return Call(_inside(value.process), value.name, arguments, value.stage)
    if type(value) is tuple:  # calls that are made together
        return tuple(map(_plain, value))
    return value


# ------------------------------------------------------------------------------------------------------------ a process


class RecordedProcess(WrappingProcess):
    """A process whose calls are noted: forwarders made from `CALLS`.  Calls outside the contract are not noted."""

    def __init__(self, system: RecordedSystem, inside: Process, name: str) -> None:
        super().__init__(inside)
        self.system = system
        self.name = name

    def __repr__(self) -> str:
        return f"process {self.name.removeprefix('p')}"


def _inside(process: Process) -> Process:
    return process.inside if isinstance(process, RecordedProcess) else process


def _record(process: RecordedProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    """Make and note a call of a process."""
    inside = process.inside
    make = (lambda *given: invoke(inside, call, given)) if call in WITH_KEYWORDS else getattr(inside, call)
    return process.system.make(process.name, call, make, arguments)


forward_calls(RecordedProcess, _record)


# ------------------------------------------------------------------------------------------------------------ a system


class RecordedSystem(WrappingSystem):
    """A system whose calls, and those of its processes, are noted.

    Without `symbols`, results are handed out as they are: the program then names what numbers can be attributed to.
    """

    def __init__(self, inside: System, symbols: bool = True) -> None:
        super().__init__(inside)
        self.symbols = symbols
        self.counts = {"r": 0, "fd": 0, "p": 0}
        self.noted: list[tuple[str, str, tuple[Any, ...], tuple[str, ...], Any, Exception | None]] = []
        """process, call, arguments, names of the results, result, error"""
        self.page = 0

    # ---- the contract

    def spawn(self) -> Process:
        if not self.counts["p"]:  # the first is there from the start of a program
            self.counts["p"] = 1
            return RecordedProcess(self, self.inside.spawn(), "p1")
        return self.make("", "spawn", self.inside.spawn, ())  # type: ignore[no-any-return]

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        return self.make("", "run_concurrently", lambda *inner: self.inside.run_concurrently(list(inner)), tuple(calls))  # type: ignore[no-any-return]

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        return self.make("", "together", self.inside.together, (tuple(calls), rounds))  # type: ignore[no-any-return]

    def facility(self, facility: Facility) -> str:
        return self.make("", "facility", self.inside.facility, (facility,))  # type: ignore[no-any-return]

    def crash(self) -> None:
        self.make("", "crash", self.inside.crash, ())

    def full_file_table(self) -> AbstractContextManager[None]:
        return self._full_file_table()

    @contextmanager
    def _full_file_table(self) -> Iterator[None]:
        context = self.inside.full_file_table()
        self.make("", "full_file_table", context.__enter__, ())
        try:
            yield
        finally:
            self.make("", "end_full_file_table", lambda: context.__exit__(None, None, None), ())

    def mapping_limit(self) -> int:
        return self.make("", "mapping_limit", self.inside.mapping_limit, ())  # type: ignore[no-any-return]

    # ---- noting

    def make(self, process: str, call: str, inner: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Make a call, record it with its outcome, and return its result as a symbol."""
        given = tuple(map(_plain, arguments)) if self.symbols or call in _OF_PROCESSES else arguments
        try:
            result = inner(*given)
        except Exception as error:
            self.noted.append((process, call, arguments, (), None, error))
            raise
        results: tuple[str, ...] = ()
        handed = result
        kind = _RESULTS.get(call)
        if kind is not None:
            letter = _NAMED[kind]
            results = (self._name(letter), self._name(letter)) if kind == "fds" else (self._name(letter),)
            if kind == "process":
                handed = RecordedProcess(self, result, results[0])
            elif self.symbols:
                handed = _symbolic(kind, result, results)
        elif call == "sysconf" and arguments[0] == SC_PAGESIZE:
            self.page = self.page or result
            if self.symbols:
                handed = symbol(result, Sum(pages=1) if result == self.page else Sum(bytes=result))
        self.noted.append((process, call, arguments, results, result, None))
        return handed

    def _name(self, letter: str) -> str:
        self.counts[letter] += 1
        return f"{letter}{self.counts[letter]}"

    # ---- introspection

    def program(self) -> tuple[Program, list[SymbolicOutcome]]:
        """Return the program that was run and the outcome of each step; a step in which the run ended has none."""
        return _Symbols(self.page or _UNKNOWN).program(self.noted)


def _symbolic(kind: str, result: Any, names: Sequence[str]) -> Any:
    """Return the result of a call of this kind by symbol."""
    if kind == "fds":
        return tuple(symbol(value, Sum(name)) for value, name in zip(result, names, strict=True))
    if kind == "scratch_range":
        return symbol(result[0], Sum(names[0])), result[1]
    return symbol(result, Sum(names[0]))


class RecordedBackend(WrappingBackend):
    """A backend whose systems are recorded, with or without symbols."""

    def __init__(self, subject: Backend, symbols: bool = True) -> None:
        super().__init__(subject)
        self.symbols = symbols
        self.last: RecordedSystem | None = None
        """The system that was booted last."""

    def boot(self) -> RecordedSystem:
        self.last = RecordedSystem(self.subject.boot(), self.symbols)
        return self.last


_UNKNOWN: Final = 1 << 80
"""The page size if it is unknown: no number is expressed in pages then."""

_MANY: Final = 1 << 20
"""More pages than this are not a count: the number is an address, whatever the page size."""

_OF_PROCESSES: Final = ("run_concurrently", "together")
"""The calls whose arguments are processes of the recorder."""

_NAMED: Final = {"address": "r", "scratch_range": "r", "fd": "fd", "fds": "fd", "process": "p"}
"""The kinds of results that get names, and the letters that these begin with."""

_RESULTS: Final = {call: signature.result for call, signature in CALLS.items() if signature.result in _NAMED}
"""The calls whose results get names, and the kinds of these."""


# --------------------------------------------------------------------------------------------------- putting in names


class _Symbols:
    """The symbols of the numbers of a run, while its steps are visited from the start."""

    def __init__(self, page: int) -> None:
        self.page = page
        self.regions: list[tuple[int, int, str]] = []
        """(start, end, name)"""
        self.descriptors: dict[int, str] = {}
        """The name that a number had last."""
        self.facilities: dict[str, str] = {}
        """By path."""
        self.code: bytes | None = None

    def program(self, noted: Sequence[tuple[Any, ...]]) -> tuple[Program, list[SymbolicOutcome]]:
        steps: list[Step] = []
        outcomes: list[SymbolicOutcome] = []
        for process, call, arguments, results, result, error in noted:
            step = Step(process, call, self.arguments(call, arguments), results)
            steps.append(step)
            if not (error is None or isinstance(error, (OSError, Fault, NotImplementedError))):
                continue
            outcomes.append(self.outcome(step, arguments, result, error))
            if error is None:
                self.learn(call, arguments, results, result)
        return tuple(steps), outcomes

    def outcome(self, step: Step, arguments: Sequence[Any], result: Any, error: Exception | None) -> SymbolicOutcome:
        if isinstance(error, OSError):
            return Fails(errno_name(error), getattr(error, "allowed", frozenset()))
        if isinstance(error, Fault):
            return Faults(error.signal, error.code, fault_address(step, arguments, error.address, self.page))
        if error is not None:
            return NotExecuted(str(error))
        if step.call == "run_concurrently":
            arguments = (arguments,)
        return Returns(symbolic(step, arguments, result, self.page, self.code))

    def learn(self, call: str, arguments: Sequence[Any], results: Sequence[str], result: Any) -> None:
        if call in ("mmap", "mremap"):
            length = arguments[1] if call == "mmap" else arguments[2]
            self.regions.append((result, result + length, results[0]))
        elif call == "scratch_range":
            self.regions.append((result[0], sum(result), results[0]))
        elif CALLS[call].result == "fd":
            self.descriptors[result] = results[0]
        elif CALLS[call].result == "fds":
            self.descriptors.update(zip(result, results, strict=True))
        elif call == "facility":
            self.facilities[result] = str(arguments[0])
        elif call == "return_instruction":
            self.code = result

    def arguments(self, call: str, arguments: Sequence[Any]) -> tuple[Argument, ...]:
        if call == "run_concurrently":
            return (self.calls(arguments),)
        if call == "together":
            return (self.calls(arguments[0]), Sum(bytes=int(arguments[1])))
        kinds = CALLS[call].arguments
        given = [*arguments, *(CALLS[call].defaults[name] for name in list(kinds)[len(arguments) :])]
        return tuple(self.argument(kind, value) for kind, value in zip(kinds.values(), given, strict=True))

    def calls(self, calls: Sequence[Any]) -> tuple[Step, ...]:
        """Return calls that are made concurrently as steps."""
        return tuple(
            Step(each.process.name, each.name, self.arguments(each.name, each.arguments), (), each.stage)
            for each in calls
        )

    def argument(self, kind: str, value: Any) -> Argument:
        if kind == "data":
            return runs(bytes(value), self.page, self.code)
        if kind == "path":
            return self.path(value)
        if kind == "text":
            return str(value)
        if kind in ("address", "amount", "fd", "count", "mode"):
            return self.number(kind, value)
        return int(value)

    def number(self, kind: str, value: int) -> Sum:
        """Return the sum that a number was computed from; look up one without a name."""
        if isinstance(value, Symbol):
            meant = value.sum
            if abs(meant.pages) >= _MANY:
                return Sum(meant.name, 0, meant.bytes + meant.pages * self.page, meant.minus)
        else:
            meant = amount(value, self.page) if kind == "amount" else Sum(bytes=int(value))
        if kind == "address" and not meant.name:
            return self.region(int(value)) or meant
        if kind == "fd" and not meant.name and value in self.descriptors:
            return Sum(self.descriptors[value])
        return meant

    def region(self, address: int) -> Sum | None:
        """An address by the latest region that holds it, else by the latest that is near."""
        for reach in (0, 16 * min(self.page, 1 << 16)):
            for start, end, name in reversed(self.regions):
                if start - reach <= address < end + reach:
                    distance = amount(address - start, self.page)
                    return Sum(name, distance.pages, distance.bytes)
        return None

    def path(self, path: str) -> str:
        for given, name in self.facilities.items():
            if path == given or path.startswith(given + "/"):
                return f"<{name}>{path[len(given) :]}"
        return path
