"""A program: calls on an implementation as plain data, by symbol, to be kept, replayed, shrunk and printed.

A program is a tuple of `Step`s.  Nothing in it is an address or a number that a system chose.  What a call returns gets
a name (regions r1, r2 …, descriptors fd1 …, processes p2 …), and a later step that uses it says so: an address is
``r1 + pages(2) - 1``, a length ``pages(2) + 1``.  So the same program runs on another system, which places everything
elsewhere, and on one with pages of another size.  The first process, p1, is there from the start.

As JSON (version 1) a program is ``{"version": 1, "steps": [STEP, …]}`` and a step is::

    {"process": "p1", "call": "mmap", "arguments": {"addr": 0, "length": "pages(2) + 1", "prot": "PROT_READ",
     "flags": "MAP_SHARED", "fd": "fd1", "offset": 0}, "results": ["r1"]}

* process: who makes the call; "" for the calls of the system as a whole (spawn, facility, run_concurrently …).
* arguments: by the contract's names; those that have a default there may be left out.
* results: the names that the results get; may be left out.
* A number is an integer or a sum as text: of at most one name, at most one name taken away, pages, and bytes.
* Flags are their names joined by "|", with unknown bits in hexadecimal; or an integer.
* Bytes are a list of runs: a text (one character a byte), ``{"bytes": TEXT, "times": NUMBER}``,
``{"return_instruction": 1}``
  for the machine's code of a function that returns, whose length a NUMBER here calls ``code``, or, among expectations,
  ``{"any": NUMBER}`` for as many indeterminate bytes.
* Among the calls of `together`, a step may have ``"stage": NUMBER``.
* A path is a text in which ``<dev-zero>`` stands for what the facility of that name gave.

The result of a step is a `SymbolicOutcome`: `Returns`, `Fails`, `Faults` or `NotExecuted`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from ..data_files import DataError, parse_json
from ..text import PrintableError, printable
from .calls import CALLS, NAMES, NUMBERS, PREFIXES, SYSTEM_CALLS, flag_names

# ------------------------------------------------------------------------------------------------------- plain data


class ProgramError(PrintableError):
    """An invalid program: what is wrong, and in which step."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A number as it was meant: the value of `name`, less that of `minus`, and `pages` pages and `bytes` bytes."""

    name: str = ""
    pages: int = 0
    bytes: int = 0
    minus: str = ""

    def __str__(self) -> str:
        return self.text("pages({})")

    def text(self, pages: str = "{} * page", names: Mapping[str, str] | None = None) -> str:
        """The sum with its pages written like `pages`, and names replaced."""
        names = names or {}
        parts = [("+", names.get(self.name, self.name))] if self.name else []
        if self.bytes.bit_length() > 31:  # 2 ** 64 - pages(1) rather than the other way round
            parts += _signed(self.bytes, _power)
        if self.pages:
            parts += _signed(self.pages, lambda count: "page" if count == 1 and "*" in pages else pages.format(count))
        if self.bytes.bit_length() <= 31 and (self.bytes or not parts):
            parts += _signed(self.bytes, str)
        if self.minus:
            parts.append(("-", names.get(self.minus, self.minus)))
        first, *rest = parts
        return (first[1] if first[0] == "+" else "-" + first[1]) + "".join(f" {sign} {part}" for sign, part in rest)


def _signed(number: int, write: Callable[[int], str]) -> list[tuple[str, str]]:
    return [("-" if number < 0 else "+", write(abs(number)))]


def _power(number: int) -> str:
    """Large numbers are easier to read as powers of two."""
    return f"2**{number.bit_length() - 1}" if number & (number - 1) == 0 else hex(number)


class Special(StrEnum):
    """Bytes that a program cannot spell out."""

    ANY = "any"
    """In an expectation: an indeterminate byte."""
    RETURN_INSTRUCTION = "return_instruction"
    """The result of `Process.return_instruction` on the machine."""


MAX_STAGES: Final = 16
"""The most stages of a round of calls that are made together."""

CODE: Final = "code"
"""The name of the return code's length in bytes, in how often a run is repeated."""


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes that are repeated."""

    content: bytes | Special
    times: Sum = Sum(bytes=1)
    """May have CODE subtracted: the rest of a page after the return code, whose length depends on the machine."""


def length(data: Sequence[Run]) -> Sum:
    """Return the number of bytes of `data`."""
    codes = pages = count = 0
    for run in data:
        width = len(run.content) if isinstance(run.content, bytes) else 1
        if run.content is Special.RETURN_INSTRUCTION:
            codes += 1
            continue
        codes -= run.times.minus == CODE
        pages += run.times.pages * width
        count += run.times.bytes * width
    if codes not in (0, 1):
        raise ProgramError("no sum expresses the length of data that contains the return code more than once")
    return Sum(CODE if codes else "", pages, count)


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a program."""

    process: str
    """The name of the process that makes it; "" for a call of the system."""
    call: str
    arguments: tuple[Argument, ...]
    """One value for each argument of the call, of the type that belongs to its kind in CALLS."""
    results: tuple[str, ...] = ()
    """The names that its results get: none, one, or two for a call that makes two descriptors."""
    stage: int = 0
    """Of a call among those that are made together: the stage of a round in which it is made."""

    def __str__(self) -> str:
        signature = CALLS[self.call]
        given = zip(signature.arguments.items(), self.arguments, strict=True)
        texts = [_write_text(kind, value) for (_name, kind), value in given]
        for name, value in zip(reversed(list(signature.defaults)), reversed(self.arguments), strict=False):
            if value != Sum(bytes=signature.defaults[name]):
                break
            texts.pop()  # what can be left out
        arguments = ", ".join(texts)
        results = " = ".join([", ".join(self.results), ""]) if self.results else ""
        return f"{results}{self.process}{'.' if self.process else ''}{self.call}({arguments})"


Argument: TypeAlias = "int | str | Sum | tuple[Run, ...] | tuple[Step, ...]"
Program: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Returns:
    """The call succeeded.

    An address that an argument of the step names is that argument; one that the system chose is the name
    that the step gives it.  Among what is allowed, that name therefore means: any address.
    """

    value: Value = None


@dataclass(frozen=True, slots=True)
class Fails:
    """The call was refused with an errno."""

    errno: str
    allowed: frozenset[str] = field(default=frozenset(), compare=False)
    """The other errnos that the reference allows: it knows every error that applies."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The access was refused.  Among what is allowed, None for the code or the address means that it is not judged."""

    signal: str
    code: str | None
    address: Sum | None


@dataclass(frozen=True, slots=True)
class NotExecuted:
    """The implementation cannot be asked this, and why."""

    why: str


Value: TypeAlias = "bool | str | Sum | Run | tuple[Value, ...] | None"
SymbolicOutcome: TypeAlias = Returns | Fails | Faults | NotExecuted
Allowed: TypeAlias = Collection[SymbolicOutcome]
"""The outcomes that a step may have; empty where it is not judged."""


# --------------------------------------------------------------------------------------------------------------- JSON


def to_json(program: Program) -> str:
    """A program as JSON, one step a line."""
    steps = ",\n  ".join(json.dumps(_step_to_json(step)) for step in program)
    return f'{{"version": 1, "steps": [\n  {steps}\n]}}\n'


def from_json(text: str) -> Program:
    """A program from its JSON; what is wrong with it raises ProgramError."""
    try:
        document = parse_json(text)
    except DataError as error:
        raise ProgramError(str(error)) from error
    if not isinstance(document, dict) or document.get("version") != 1 or not isinstance(document.get("steps"), list):
        raise ProgramError('not a program of version 1: {"version": 1, "steps": […]}')
    program: list[Step] = []
    known = {"p1"}
    for number, step in enumerate(document["steps"], 1):
        try:
            program.append(_step_from_json(step))
            _check(program[-1], known)
        except ProgramError as error:
            raise ProgramError(printable(f"step {number}: {error}", 400)) from error
    return tuple(program)


def _step_to_json(step: Step) -> dict[str, Any]:
    signature = CALLS[step.call]
    arguments = {
        name: _write(kind, value)
        for (name, kind), value in zip(signature.arguments.items(), step.arguments, strict=True)
        if name not in signature.defaults or value != Sum(bytes=signature.defaults[name])
    }
    return {
        "process": step.process,
        "call": step.call,
        "arguments": arguments,
        **({"results": list(step.results)} if step.results else {}),
        **({"stage": step.stage} if step.stage else {}),
    }


def _step_from_json(document: object) -> Step:
    if not isinstance(document, dict):
        raise ProgramError(f"a step is an object, not {document!r}")
    if unknown := set(document) - {"process", "call", "arguments", "results", "stage"}:
        raise ProgramError(f"unknown: {', '.join(sorted(unknown))}")
    call, given, results = document.get("call"), document.get("arguments", {}), document.get("results", [])
    if not isinstance(call, str) or call not in CALLS:
        raise ProgramError(f"no call is named {call!r}")
    process = document.get("process", "")
    if not isinstance(process, str) or (process == "") != (call in SYSTEM_CALLS):
        raise ProgramError(f"{call} is a call of {'the system' if call in SYSTEM_CALLS else 'a process'}")
    if not isinstance(results, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in results):
        raise ProgramError(f"results are names, not {results!r}")
    signature = CALLS[call]
    if not isinstance(given, dict) or set(given) - set(signature.arguments):
        raise ProgramError(f"{call} has the arguments {', '.join(signature.arguments)}, not {given!r}")
    arguments = []
    for name, kind in signature.arguments.items():
        if name not in given and name not in signature.defaults:
            raise ProgramError(f"{call} lacks {name}")
        try:
            arguments.append(_read(kind, given.get(name, signature.defaults.get(name))))
        except ProgramError as error:
            raise ProgramError(f"{name} of {call}: {error}") from error
    stage = document.get("stage", 0)
    if type(stage) is not int or not 0 <= stage < MAX_STAGES:
        raise ProgramError(f"a stage is a number from 0 to {MAX_STAGES - 1}, not {stage!r}")
    return Step(process, call, tuple(arguments), tuple(results), stage)


def _write(kind: str, value: Argument) -> Any:
    if kind in PREFIXES:
        assert isinstance(value, int)
        names = flag_names(kind, value)
        return value if names == [str(value)] else "|".join(names)
    if kind == "data":
        return [_write_run(run) for run in value if isinstance(run, Run)]  # type: ignore[union-attr]
    if kind == "calls":
        return [_step_to_json(step) for step in value if isinstance(step, Step)]  # type: ignore[union-attr]
    if isinstance(value, Sum):
        return str(value) if value.name or value.pages or value.minus else value.bytes
    return value


def _write_run(run: Run) -> Any:
    times = _write("amount", run.times)
    if isinstance(run.content, Special):
        return {run.content.value: times}
    text = run.content.decode("latin-1")
    return text if times == 1 else {"bytes": text, "times": times}


def _stage_text(step: object) -> str:
    return f" in stage {step.stage}" if isinstance(step, Step) and step.stage else ""


def _write_text(kind: str, value: Argument) -> str:
    if kind == "calls":
        return ", ".join(f"{step}{_stage_text(step)}" for step in value)  # type: ignore[union-attr]
    written = _write(kind, value)
    return json.dumps(written) if kind in ("path", "data", "text") else str(written)


def _read(kind: str, document: Any) -> Argument:
    if kind in PREFIXES:
        return _read_flags(kind, document)
    if kind in NUMBERS:
        return _read_sum(document)
    if kind in ("path", "text"):
        if not isinstance(document, str):
            raise ProgramError(f"a text is expected, not {document!r}")
        return document
    if not isinstance(document, list):
        raise ProgramError(f"a list is expected, not {document!r}")
    if kind == "calls":
        return tuple(_step_from_json(step) for step in document)
    return tuple(_read_run(run) for run in document)


def _read_flags(kind: str, document: Any) -> int:
    if isinstance(document, int):
        return int(document)
    value = 0
    for name in str(document).split("|"):
        if name in NAMES[kind]:
            value |= NAMES[kind][name]
        elif re.fullmatch(r"-?(0x[0-9a-f]{1,32}|[0-9]{1,40})", name):
            value |= _int(name)
        else:
            raise ProgramError(f"{name!r} is no {PREFIXES[kind]}…")
    return value


def _read_run(document: Any) -> Run:
    if isinstance(document, str):
        document = {"bytes": document}
    if not isinstance(document, dict) or len(set(document) & {"bytes", *Special}) != 1:
        raise ProgramError(f"a run of bytes is expected, not {document!r}")
    if "bytes" in document:
        try:
            return Run(str(document["bytes"]).encode("latin-1"), _times(document.get("times", 1)))
        except UnicodeEncodeError as error:
            raise ProgramError(f"{document['bytes']!r} has characters that are no bytes") from error
    ((special, times),) = document.items()
    return Run(Special(special), _times(times))


MAX_TIMES: Final = 1 << 24
"""The largest number of repetitions of a run of bytes, in pages or in bytes: a replay makes all these bytes."""


def _times(document: Any) -> Sum:
    times = _read_sum(document)
    if times.name or max(abs(times.pages), abs(times.bytes)) > MAX_TIMES:
        raise ProgramError(f"bytes are repeated at most {MAX_TIMES} times, not {document!r}")
    return times


_NAME = re.compile(r"[a-z]+\d+")
_PART = re.compile(
    r"\s*(?P<sign>[+-]?)\s*(?:pages\((?P<pages>-?[0-9]{1,30})\)|2\*\*(?P<power>[0-9]{1,3})|(?P<bytes>0x[0-9a-f]{1,32}|[0-9]{1,40})|(?P<name>[a-z]+[0-9]{1,9}|code))"
)


def _int(text: str) -> int:
    """Return the number of a text that _PART or _read_flags has matched; Python refuses leading zeros otherwise."""
    return int(text, 16 if "x" in text else 10)


def _read_sum(document: Any) -> Sum:
    if isinstance(document, int):
        return Sum(bytes=int(document))
    if not isinstance(document, str):
        raise ProgramError(f"a number is expected, not {document!r}")
    name = minus = ""
    pages = count = end = 0
    for match in _PART.finditer(document):
        if match.start() != end or (end and not match["sign"]):
            break
        end = match.end()
        sign = -1 if match["sign"] == "-" else 1
        if match["pages"]:
            pages += sign * int(match["pages"])
        elif match["power"]:
            count += sign << int(match["power"])
        elif match["bytes"]:
            count += sign * _int(match["bytes"])
        elif sign > 0 and not name:
            name = match["name"]
        elif sign < 0 and not minus:
            minus = match["name"]
        else:
            break
    else:
        if document and end == len(document):
            return Sum(name, pages, count, minus)
    raise ProgramError(f'{document!r} is no number like 5, "pages(2) + 1" or "r1 + pages(1) - 1"')


def names_in(step: Step) -> Iterator[str]:
    """The names that a step uses: of processes, regions and descriptors."""
    if step.process:
        yield step.process
    for argument in step.arguments:
        if isinstance(argument, Sum):
            yield from filter(None, (argument.name, argument.minus))
        elif isinstance(argument, tuple):
            for part in argument:
                if isinstance(part, Step):
                    yield from names_in(part)


def needed(program: Program, outcomes: Sequence[SymbolicOutcome]) -> tuple[Program, list[SymbolicOutcome]]:
    """Return a program and its outcomes without the calls that a replay does not need.

    Those are calls whose results a replay finds out itself, and calls that the implementation does not have: a case may
    try one, and do without it.
    """
    used = {name for step in program for name in names_in(step)}
    unneeded = {
        number
        for number, step in enumerate(program[:-1])
        if step.call in ("sysconf", "return_instruction")
        or (step.call == "scratch_range" and not used.intersection(step.results))
        or (isinstance(outcomes[number], NotExecuted) and not used.intersection(step.results))
    }
    return (
        tuple(step for number, step in enumerate(program) if number not in unneeded),
        [outcome for number, outcome in enumerate(outcomes) if number not in unneeded],
    )


def _check(step: Step, known: set[str]) -> None:
    """Every name is given once, before it is used."""
    for name in names_in(step):
        if name not in known:
            raise ProgramError(f"{name} is not the result of an earlier step")
    for name in step.results:
        if name in known:
            raise ProgramError(f"there is a {name} already")
        known.add(name)
