"""Replay: make a program's calls on a system, and express their results by symbol.

Results are in the terms of `program`: a page's size is `pages(1)`; an address that an argument of a call names
is that argument; one that the system chose is the name that the step gives it; bytes are runs.  So the results of two
systems can be compared although each places its mappings elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from ..contract import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    SC_PAGESIZE,
    Call,
    Facility,
    Fault,
    Process,
    Resource,
    System,
    errno_name,
)
from .calls import CALLS, invoke
from .program import (
    CODE,
    Argument,
    Fails,
    Faults,
    NotExecuted,
    Program,
    Returns,
    Run,
    Special,
    Step,
    Sum,
    SymbolicOutcome,
    Value,
)

# ------------------------------------------------------------------------------------------ numbers and bytes by symbol

_NEAR = 64
"""Numbers at most this many bytes below a page boundary are expressed relative to it."""

_MANY = 4096
"""Numbers of more pages than this have nothing to do with pages."""


def amount(value: int, page: int) -> Sum:
    """A number as the sum of pages and bytes that it was probably meant as."""
    if abs(value) > _MANY * page:
        for power in range(31, 65):
            if abs(value - (1 << power)) <= _MANY * page:
                rest = amount(value - (1 << power), page)
                return Sum(pages=rest.pages, bytes=rest.bytes + (1 << power))
        return Sum(bytes=value)
    if value < 0:
        positive = amount(-value, page)
        return Sum(pages=-positive.pages, bytes=-positive.bytes)
    pages, bytes = divmod(value, page)
    return Sum(pages=pages + 1, bytes=bytes - page) if page - bytes <= _NEAR else Sum(pages=pages, bytes=bytes)


_REPEATED = re.compile(rb"(.)\1{15}", re.DOTALL)


def runs(data: bytes, page: int, code: bytes | None) -> tuple[Run, ...]:
    """Return bytes as runs, so that repetition is stated once; `code`, if known, is the machine's return code."""
    runs: list[Run] = []
    for index, part in enumerate(data.split(code) if code else [data]):
        if index:
            runs.append(Run(Special.RETURN_INSTRUCTION))
            filled = amount(len(part) + len(code or b""), page)
            if part and filled == Sum(pages=filled.pages) and len(set(part)) == 1:
                runs.append(Run(part[:1], Sum(pages=filled.pages, minus=CODE)))
                continue
        start = 0
        while match := _REPEATED.search(part, start):
            if match.start() > start:
                runs.append(Run(part[start : match.start()]))
            start = len(part) - len(part[match.start() :].lstrip(match[1]))
            runs.append(Run(match[1], amount(start - match.start(), page)))
        if start < len(part):
            runs.append(Run(part[start:]))
    return tuple(runs)


# -------------------------------------------------------------------------------------------------------------- playing


class Unbound(Exception):
    """A step uses a name that has no value, since the step that was to give it failed."""


class Player:
    """Plays steps on a system, one after the other, and knows what the names stand for there."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.processes: dict[str, Process] = {"p1": system.spawn()}
        self.values: dict[str, int] = {}
        """The value of each name of a region or descriptor."""
        self.paths: dict[str, str] = {}
        """The path of each facility that was requested."""
        self.page = self.processes["p1"].sysconf(SC_PAGESIZE)
        self.code: bytes | None = None
        """The machine's return code, once it has been asked for."""
        self.full = ExitStack()

    def play(self, step: Step) -> SymbolicOutcome:
        """Make a step's call.  Unresolved, where the system dies, is not caught."""
        try:
            arguments = self.resolve(step)
            return Returns(self.returned(step, arguments, self.make(step, arguments)))
        except Unbound as error:
            return NotExecuted(f"{error} has no value")
        except OSError as error:
            return Fails(errno_name(error), getattr(error, "allowed", frozenset()))
        except Fault as fault:
            return Faults(fault.signal, fault.code, fault_address(step, arguments, fault.address, self.page))
        except NotImplementedError as error:
            return NotExecuted(str(error))

    def make(self, step: Step, arguments: Sequence[Any]) -> Any:
        """Make the call with real arguments and return what it returns."""
        if step.process:
            process = self.process(step.process)
            if step.call == "set_limit_headroom":
                return process.set_limit_headroom(Resource(arguments[0]), arguments[1])
            return invoke(process, step.call, tuple(arguments))
        if step.call == "facility":
            self.paths[arguments[0]] = self.system.facility(Facility(arguments[0]))
            return None
        if step.call == "full_file_table":
            return self.full.enter_context(self.system.full_file_table()) or None
        if step.call == "end_full_file_table":
            return self.full.close()
        return getattr(self.system, step.call)(*arguments)

    def process(self, name: str) -> Process:
        try:
            return self.processes[name]
        except KeyError:
            raise Unbound(name) from None

    def resolve(self, step: Step) -> list[Any]:
        """A step's arguments as this system is given them."""
        kinds = CALLS[step.call].arguments.values()
        return [self.value(kind, argument) for kind, argument in zip(kinds, step.arguments, strict=True)]

    def value(self, kind: str, argument: Argument) -> Any:
        if isinstance(argument, Sum):
            return self.number(argument)
        if kind == "data":
            return self.data(argument)  # type: ignore[arg-type]
        if kind == "path":
            return self.path(str(argument))
        if kind == "calls":
            return [
                Call(self.process(step.process), step.call, tuple(self.resolve(step)), step.stage)
                for step in argument  # type: ignore[union-attr]
                if isinstance(step, Step)
            ]
        return argument

    def number(self, number: Sum) -> int:
        try:
            named = (self.values[number.name] if number.name else 0) - (
                self.values[number.minus] if number.minus else 0
            )
        except KeyError as error:
            raise Unbound(error.args[0]) from None
        return named + number.pages * self.page + number.bytes

    def data(self, data: Sequence[Run]) -> bytes:
        return b"".join(self.content(run) * self.number(run.times) for run in data)

    def content(self, run: Run) -> bytes:
        if not isinstance(run.content, Special):
            return run.content
        if self.code is None:
            self.learn(self.processes["p1"].return_instruction())
        assert self.code is not None
        return self.code

    def learn(self, code: bytes) -> None:
        """The machine's return code."""
        self.code = code
        self.values[CODE] = len(code)

    def path(self, path: str) -> str:
        def given(match: re.Match[str]) -> str:
            try:
                return self.paths[match[1]]
            except KeyError:
                raise Unbound(match[1]) from None

        return _FACILITY.sub(given, path)

    def returned(self, step: Step, arguments: Sequence[Any], result: Any) -> Value:
        """Return a call's result by symbol; bind the names of the results to their values."""
        kind = CALLS[step.call].result
        if kind == "process":
            if step.results:
                self.processes[step.results[0]] = result
            return Sum(step.results[0] if step.results else "")
        if kind in ("address", "fd", "fds", "scratch_range"):
            values = (result,) if kind in ("address", "fd") else result
            self.values.update(zip(step.results, values, strict=False))
        if step.call == "return_instruction":
            self.learn(result)
        return symbolic(step, arguments, result, self.page, self.code)


_FACILITY: Final = re.compile(r"<([a-z-]+)>")


def symbolic(step: Step, arguments: Sequence[Any], result: Any, page: int, code: bytes | None) -> Value:
    """Return a call's result by symbol."""
    kind = CALLS[step.call].result
    own = Sum(step.results[0] if step.results else "")
    if kind == "address":
        related = [
            argument
            for argument, (_name, of), value in zip(
                step.arguments, CALLS[step.call].arguments.items(), arguments, strict=True
            )
            if of == "address" and value == result and isinstance(argument, Sum)
        ]
        return related[-1] if related else own
    if kind in ("fd", "process", "scratch_range"):
        return own
    if kind == "fds":
        return tuple(Sum(name) for name in step.results)
    if step.call == "return_instruction":
        return (Run(Special.RETURN_INSTRUCTION),)
    if kind == "data":
        return runs(result, page, code)
    if kind == "amount":
        return amount(result, page)
    if kind == "run_concurrently":
        made = [part for part in step.arguments[0] if isinstance(part, Step)]  # type: ignore[union-attr]
        return tuple(
            symbolic(part, call.arguments, value, page, code)
            for part, call, value in zip(made, arguments[0], result, strict=True)
        )
    if kind == "tally":
        return tuple(sorted("; ".join(_address_free(text) for text in outcomes) for outcomes in result))
    if kind == "plain":
        return _plain(result)
    return None


def _address_free(text: str) -> str:
    """Return an outcome of `together` without an address: calls that are made together state theirs."""
    return "ok" if text.startswith("ok 0x") else text


def _plain(result: Any) -> Value:
    if isinstance(result, (list, tuple)):
        return tuple(_plain(part) for part in result)
    if isinstance(result, int) and not isinstance(result, bool):
        return Sum(bytes=result)
    return result  # type: ignore[no-any-return]


def fault_address(step: Step, arguments: Sequence[Any], address: int | None, page: int) -> Sum | None:
    """Return the address of a fault relative to the start of the access."""
    if address is None or not arguments or not isinstance(start := step.arguments[0], Sum):
        return None
    distance = amount(address - arguments[0], page)
    return Sum(start.name, start.pages + distance.pages, start.bytes + distance.bytes, start.minus)


def replay(program: Program, system: System) -> list[SymbolicOutcome]:
    """Make a program's calls on a freshly booted system, which the caller closes; return the outcome of each."""
    player = Player(system)
    with player.full:
        return [player.play(step) for step in program]


def allowed(step: Step, outcome: SymbolicOutcome) -> frozenset[SymbolicOutcome]:
    """Return the outcomes that any system may have, given that of the reference; empty if nothing is promised.

    Any refusal that applies; any address where the step asks for none in particular; no counts of pages in memory, of
    faults, of bytes free.
    """
    if isinstance(outcome, Fails):
        return frozenset(map(Fails, outcome.allowed or (outcome.errno,)))
    if isinstance(outcome, NotExecuted) or step.call in ("mincore", "counters", "free_space", "mapping_limit"):
        return frozenset()
    if isinstance(outcome, Returns) and not is_address_given(step):
        return frozenset([Returns(Sum(step.results[0] if step.results else ""))])
    return frozenset([outcome])


def is_address_given(step: Step) -> bool:
    """Return whether the arguments of a step, and not the system, determine the address that it returns."""
    if step.call == "mmap":
        return bool(int(step.arguments[3]) & (MAP_FIXED | MAP_FIXED_NOREPLACE))  # type: ignore[arg-type]
    if step.call == "mremap":
        flags = int(step.arguments[3])  # type: ignore[arg-type]
        return not flags & (MREMAP_MAYMOVE | MREMAP_DONTUNMAP) or bool(flags & MREMAP_FIXED)
    return True
