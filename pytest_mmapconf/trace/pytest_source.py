"""A program as the test that would make it: a function for a case module, in the words that cases are written with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ..contract import Facility, Resource
from ..version import PACKAGE
from .calls import CALLS, PREFIXES, SYSTEM_CALLS, flag_names
from .program import (
    CODE,
    Allowed,
    Argument,
    Fails,
    Faults,
    Program,
    Returns,
    Run,
    Special,
    Step,
    Sum,
    length,
    names_in,
)

_INDENT: Final = "    "


def pytest_source(program: Program, expected: Sequence[Allowed], name: str, clauses: Sequence[str] = ()) -> str:
    """A module with one test function, `test_NAME`, that makes the program's steps and judges their results.

    `expected` has the outcomes that are allowed for each step, and none where a step is not judged.  A step that may
    have outcomes of different kinds (an error, or a result) is made and not judged.
    """
    printer = _Printer(program, expected)
    lines = [line for index in range(len(program)) for line in printer.lines(index)]
    body = "\n".join(lines) or "pass"
    fixtures = [name for name in ("system", "process", "page") if re.search(rf"\b{name}\b", body)]
    marks = [f"@clause({', '.join(map(repr, clauses))})"] if clauses else []
    source = "\n".join(
        [*marks, f"def test_{name}({', '.join(fixtures)}):", *(_INDENT + line for line in body.split("\n"))]
    )
    return f"{_imports(source)}\n\n\n{source}\n"


def _imports(source: str) -> str:
    prefixes = "|".join(PREFIXES.values())
    names = set(
        re.findall(rf"\b(?:{prefixes})[A-Z0-9]\w*|\bCall\b|\berrno_name\b|\bFault\b|\bFacility\b|\bResource\b", source)
    )
    words = [word for word in ("clause", "fails", "faults", "unlike") if re.search(rf"\b{word}\(", source)]
    lines = ["from contextlib import suppress", ""] if "suppress(" in source else []
    if names:
        lines.append(f"from {PACKAGE}.contract import {', '.join(sorted(names))}")
    if words:
        lines.append(f"from {PACKAGE}.testing import {', '.join(words)}")
    return "\n".join(lines)


class _Printer:
    def __init__(self, program: Program, expected: Sequence[Allowed]) -> None:
        self.program = program
        self.expected = expected
        self.names = {"p1": "process", CODE: "len(return_instruction)"}
        """The Python name of each name of the program."""

    def lines(self, index: int) -> Iterator[str]:
        """A step and what is expected of it."""
        step, allowed = self.program[index], self.expected[index]
        if step.call == "end_full_file_table":
            yield "table.__exit__(None, None, None)"
            return
        call = self.call(step)
        kinds = {type(outcome) for outcome in allowed}
        if kinds == {Fails}:
            names = sorted(outcome.errno for outcome in allowed if isinstance(outcome, Fails))
            yield f"with fails({', '.join(map(repr, names))}):"
            yield _INDENT + call
        elif kinds == {Faults} and len(allowed) == 1:
            (outcome,) = allowed
            yield f"with faults({self.fault(outcome)}):"  # type: ignore[arg-type]
            yield _INDENT + call
        elif kinds == {Returns} and len(allowed) == 1:
            (outcome,) = allowed
            yield from self.judged(index, step, call, outcome)  # type: ignore[arg-type]
        elif kinds == {Returns}:
            yield from self.made(index, step, call)
        elif index == len(self.program) - 1 and kinds == {Fails, Returns}:
            names = sorted(outcome.errno for outcome in allowed if isinstance(outcome, Fails))
            results = [outcome for outcome in allowed if isinstance(outcome, Returns)]
            made = self.judged(index, step, call, results[0]) if len(results) == 1 else self.made(index, step, call)
            yield from ["try:", *(_INDENT + line for line in made), "except OSError as error:"]
            yield f"{_INDENT}assert errno_name(error) in {names}"
        else:
            yield "with suppress(OSError, Fault, NotImplementedError):"
            for line in self.made(index, step, call):
                yield _INDENT + line

    def made(self, index: int, step: Step, call: str) -> Iterator[str]:
        """A step whose result gets its name and is not judged."""
        used = {name for later in self.program[index + 1 :] for name in names_in(later)}
        if step.call == "facility":
            self.names[str(step.arguments[0])] = _word(str(step.arguments[0]))
            yield f"{_word(str(step.arguments[0]))} = {call}"
        elif step.call == "return_instruction":
            yield f"return_instruction = {call}"
        elif step.call == "full_file_table":
            yield f"table = {call}"
            yield "table.__enter__()"
        elif used & set(step.results):
            left = ", ".join(step.results)
            yield f"{left}, _ = {call}" if step.call == "scratch_range" else f"{left} = {call}"
        else:
            yield call

    def judged(self, index: int, step: Step, call: str, outcome: Returns) -> Iterator[str]:
        """A step that has to return something certain."""
        value, result = outcome.value, CALLS[step.call].result
        if result == "tally" and isinstance(value, tuple):
            yield "allowed = ["
            yield from (f"{_INDENT}{row!r}," for row in value)
            yield from ["]", f"assert not unlike({call}, allowed)"]
            return
        if result == "amount" and isinstance(value, Sum):
            yield f"assert {call} == {self.number(value)}"
        elif result == "data" and step.call != "return_instruction" and isinstance(value, tuple):
            data = [run for run in value if isinstance(run, Run)]
            if all(run.content is not Special.ANY for run in data):
                yield f"assert {call} == {self.data(data)}"
            else:
                yield f"seen = {call}"
                for place, run in enumerate(data):
                    if run.content is not Special.ANY:
                        begin, end = (self.number(length(data[:count])) for count in (place, place + 1))
                        yield f"assert seen[{begin} : {end}] == {self.data([run])}"
        elif result == "address" and isinstance(value, Sum) and value.name and value.name not in step.results:
            made = list(self.made(index, step, call))
            if made == [call]:
                yield f"assert {call} == {self.number(value)}"
            else:
                yield from [*made, f"assert {step.results[0]} == {self.number(value)}"]
        else:
            yield from self.made(index, step, call)

    def fault(self, outcome: Faults) -> str:
        at = "" if outcome.address is None else f", at={self.number(outcome.address)}"
        code = "" if outcome.code is None else f", code={outcome.code!r}"
        return f"{outcome.signal!r}{at}{code}"

    # ----------------------------------------------------------------------------------------------------------- calls

    def call(self, step: Step) -> str:
        if step.call == "facility":
            return f"system.facility(Facility.{Facility(str(step.arguments[0])).name})"
        if step.call == "run_concurrently":
            calls = [part for part in step.arguments[0] if isinstance(part, Step)]  # type: ignore[union-attr]
            return f"system.run_concurrently([{', '.join(map(self.later, calls))}])"
        if step.call == "together":
            calls = [part for part in step.arguments[0] if isinstance(part, Step)]  # type: ignore[union-attr]
            return (
                f"system.together([{', '.join(map(self.later, calls))}], {self.argument('count', step.arguments[1])})"
            )
        owner = "system" if step.call in SYSTEM_CALLS else self.names.get(step.process, step.process)
        return f"{owner}.{step.call}({', '.join(self.arguments(step))})"

    def later(self, step: Step) -> str:
        """A call of `run_concurrently` or `together`."""
        given = "".join(f"{argument}, " for argument in self.arguments(step))
        stage = f", {step.stage}" if step.stage else ""
        return f"Call({self.names.get(step.process, step.process)}, {step.call!r}, ({given}){stage})"

    def arguments(self, step: Step) -> list[str]:
        signature = CALLS[step.call]
        texts = []
        for (name, kind), value in zip(signature.arguments.items(), step.arguments, strict=True):
            if name in signature.defaults and value == Sum(bytes=signature.defaults[name]):
                continue
            text = self.argument(kind, value)
            texts.append(f"ofd={text == '1'}" if name == "ofd" else text)
        return texts

    def argument(self, kind: str, value: Argument) -> str:
        if kind == "data":
            return self.data(value)  # type: ignore[arg-type]
        if isinstance(value, Sum):
            return oct(value.bytes) if kind == "mode" else self.number(value)
        if kind in PREFIXES:
            return " | ".join(flag_names(kind, int(value)))  # type: ignore[arg-type]
        if kind == "path":
            return self.path(str(value))
        if kind == "text" and value in list(Resource):
            return f"Resource.{Resource(str(value)).name}"
        return repr(value)

    def number(self, number: Sum) -> str:
        return number.text(names=self.names)

    def path(self, path: str) -> str:
        match = re.match(r"<([a-z-]+)>", path)
        if not match:
            return repr(path)
        rest = path[match.end() :]
        return f"{_word(match[1])} + {rest!r}" if rest else _word(match[1])

    def data(self, data: Sequence[Run]) -> str:
        return " + ".join(map(self.run, data)) or 'b""'

    def run(self, run: Run) -> str:
        content = "return_instruction" if run.content is Special.RETURN_INSTRUCTION else repr(run.content)
        if run.times == Sum(bytes=1):
            return content
        times = self.number(run.times)
        return f"{content} * {times if re.fullmatch('[a-z0-9]+', times) else f'({times})'}"


def _word(facility: str) -> str:
    return facility.replace("-", "_")
