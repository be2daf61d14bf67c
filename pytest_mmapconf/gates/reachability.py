"""The reachability map: every errno of every call and every fault, with the smallest program that produces it.

A suite that never provokes an error does not test it, whatever its verdicts.  The map has three sources:

* The pairs to reach are derived, not listed by hand: the catalogue's clauses CALL.errno.ERRNO, the refusals and faults
  in the reference's source, and the names of si_code that an agent can report.
* The reached pairs are recorded: the installed cases are run, each of their systems in a recorder, and for each pair
  the shortest prefix of a program that produces it is kept.  Random programs are left out, so that the same run gives
  the same page.
* A pair that is not reached needs a reason in `conformance/unreachable.toml`.  A pair with neither a program nor a
  reason is a gap; a reason for a reached pair is wrong.  Either makes the command fail.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from .. import backends
from ..catalogue.clauses import LEVELS, load
from ..contract import Backend, Facts, Options, System, Unresolved
from ..plugin import isolated_run
from ..report.outputs import check_writable
from ..trace.program import Fails, Faults, Program, Step, SymbolicOutcome
from ..trace.recorder import RecordedSystem
from ..trace.replay import replay
from ..trace.wrapping import WrappingBackend
from ..version import PACKAGE

Pair: TypeAlias = tuple[str, str]
"""A call and its errno, or a signal and its si_code."""

CALLS_FROM: Final = ("mapping_calls", "mremap_calls", "page_calls", "madvise")
"""Modules of the reference with the calls of the map; the catalogue has no clauses by errno for file calls."""

REFERENCE: Final = "reference"


# --------------------------------------------------------------------------------------------------------------- pairs


def pairs() -> dict[Pair, list[str]]:
    """Return every pair with the clauses that name it: first the calls and errnos, then the signals."""
    clauses: dict[Pair, set[str]] = {}
    for pair, clause in (*_of_catalogue(), *_of_refusals()):
        clauses.setdefault(pair, set()).add(clause)
    for pair in (*_of_faults(), *_of_agent()):
        clauses.setdefault(pair, set())
    ordered = sorted(clauses, key=lambda pair: (pair[0].startswith("SIG"), pair))
    return {pair: sorted(clauses[pair]) for pair in ordered}


def _of_catalogue() -> Iterator[tuple[Pair, str]]:
    for id in load():
        if match := re.match(r"(\w+)\.errno\.(E[A-Z]+)", id):
            yield (match[1], match[2]), id


def _of_refusals() -> Iterator[tuple[Pair, str]]:
    """Yield the pairs of blocks `with self.errors(CALL) as refuse:`, and of methods that are passed `refuse`."""
    nodes = [node for module in CALLS_FROM for node in ast.walk(_source(module))]
    methods = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}

    def refusals(node: ast.AST) -> Iterator[tuple[str, str]]:
        for call in ast.walk(node):
            match call:
                case ast.Call(ast.Name("refuse"), [ast.Name(errno), ast.Constant(str(clause)), *_]):
                    yield errno, clause
                case ast.Call(ast.Attribute(attr=name), [ast.Name("refuse"), *_]):
                    yield from refusals(methods[name])

    for node in nodes:
        match node:
            case ast.With([ast.withitem(ast.Call(ast.Attribute(attr="errors"), [ast.Constant(str(call)), *_]))]):
                for errno, clause in refusals(node):
                    yield (call, errno), clause


def _of_faults() -> Iterator[Pair]:
    """Yield the signals and codes in calls of `fault` and of `Fault`."""
    for node in ast.walk(_source("accesses")):
        match node:
            case ast.Call(ast.Attribute(attr="fault"), [_, ast.Constant(str(signal)), ast.Constant(str(code)), *_]):
                yield signal, code
            case ast.Call(ast.Name("Fault"), [ast.Constant(str(signal)), ast.Constant(str(code)), *_]):
                yield signal, code


def _of_agent() -> Iterator[Pair]:
    """Yield the codes of SIGSEGV and SIGBUS that the agent reports by name."""
    text = (files(f"{PACKAGE}.agent") / "mmap_agent.c").read_text(encoding="utf-8")
    for code in re.findall(r'\{\d+, "((?:SEGV|BUS)_\w+)"\}', text):
        yield "SIG" + code.partition("_")[0], code


def _source(module: str) -> ast.Module:
    return ast.parse((files(f"{PACKAGE}.reference") / f"{module}.py").read_text(encoding="utf-8"))


# -------------------------------------------------------------------------------------------------------- reached pairs


@dataclass
class Run:
    """The pairs that the cases have reached on one backend."""

    name: str
    facts: Facts
    options: Options
    reached: dict[Pair, Program]
    """By pair, the shortest recorded program whose last step produces it."""

    @property
    def system(self) -> str:
        """Name of the system in reasons: "reference", "Linux", or the name of the backend."""
        return self.name if self.name == REFERENCE else self.facts.details.get("kernel", self.name).partition(" ")[0]

    def has(self, condition: str) -> bool | None:
        """Return whether the run has a condition, such as "root"; None if that is unknown."""
        details = self.facts.details
        known = {
            "disruptive": self.options.disruptive,
            "root": details.get("user") == "root",
            "x86-64": details.get("machine") == "x86_64",
        }
        return known.get(condition)


class _RecordingBackend(WrappingBackend):
    """A backend that records the reached pairs of its systems."""

    def __init__(self, subject: Backend) -> None:
        super().__init__(subject)
        self.reached: dict[Pair, Program] = {}

    def boot(self) -> System:
        return _RecordingSystem(self.subject.boot(), self.reached)


class _RecordingSystem(RecordedSystem):
    """A system that adds the pairs of its program to `reached` when it is closed."""

    def __init__(self, inside: System, reached: dict[Pair, Program]) -> None:
        super().__init__(inside)
        self.reached = reached

    def close(self) -> None:
        try:
            program, outcomes = self.program()
            for number, (step, outcome) in enumerate(zip(program, outcomes, strict=False), start=1):
                pair = pair_of(step, outcome)
                if pair and (pair not in self.reached or number < len(self.reached[pair])):
                    self.reached[pair] = program[:number]
        finally:
            super().close()


def pair_of(step: Step, outcome: SymbolicOutcome) -> Pair | None:
    """Return the pair that a step has produced by failing or faulting; None if it succeeded."""
    if isinstance(outcome, Fails):
        return step.call, outcome.errno
    if isinstance(outcome, Faults):
        return outcome.signal, outcome.code or "?"
    return None


class _NamedBackend:
    """A plugin of pytest that makes the recording backend available by a name."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def pytest_mmapconf_backends(self) -> Mapping[str, Callable[[], Backend]]:
        return {"recorded": lambda: self.backend}


def run(name: str, options: Options) -> Run:
    """Run the installed cases on a backend, in a separate pytest.  Raises UsageError if it cannot run them."""
    backend = _RecordingBackend(backends.make(name, folders=[os.getcwd()]))
    arguments = ["-m", "not mmap_random and not mmap_tour", "--mmap-backend=recorded", f"--mmap-level={LEVELS[-1]}"]
    arguments += [f"--mmap-timeout={options.timeout}"] + ["--mmap-disruptive"] * options.disruptive
    arguments += [f"--mmap-dir={os.path.abspath(options.directory)}"] if options.directory else []
    status, output = isolated_run.run(arguments, [_NamedBackend(backend)])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise pytest.UsageError(f"the cases could not be run on {name}:\n{output}")
    with started(name, options) as again:
        return Run(name, again.facts(), options, backend.reached)


@contextmanager
def started(name: str, options: Options) -> Iterator[Backend]:
    """Make and configure a backend, and close it afterwards."""
    backend = backends.make(name, folders=[os.getcwd()])
    backend.configure(options)
    try:
        yield backend
    finally:
        backend.close()


# -------------------------------------------------------------------------------------------------- smallest programs


def reaches(backend: Backend, program: Program, pair: Pair) -> bool:
    """Return whether the last step of a program produces `pair` on a backend."""
    system = backend.boot()
    try:
        return pair_of(program[-1], replay(program, system)[-1]) == pair
    except Unresolved:
        return False
    finally:
        system.close()


def shortest(backend: Backend, program: Program, pair: Pair) -> Program:
    """Return a program that produces `pair`, without the steps that are not needed."""
    place = len(program) - 2
    while place >= 0:
        without = program[:place] + program[place + 1 :]
        if reaches(backend, without, pair):
            program, place = without, len(without) - 1  # steps that were needed may now be removable
        place -= 1
    return program


def smallest(runs: Sequence[Run]) -> dict[Pair, list[tuple[Program, list[str]]]]:
    """Return the programs of each reached pair, each with the names of the runs in which it produces the pair.

    There is one program if the shortest one of the first backend produces the pair on the others too.
    """
    programs: dict[Pair, list[tuple[Program, list[str]]]] = {}
    for run in runs:
        with started(run.name, run.options) as backend:
            for pair, program in run.reached.items():
                known = programs.setdefault(pair, [])
                for shown, names in known:
                    if reaches(backend, shown, pair):
                        names.append(run.name)
                        break
                else:
                    known.append((shortest(backend, program, pair), [run.name]))
    return programs


# ------------------------------------------------------------------------------------------------------------- reasons


@dataclass(frozen=True)
class Reason:
    """A reason why a pair is not reached."""

    pair: Pair
    text: str
    system: str = ""
    """The system for which the reason holds: "reference", "Linux"; "" for all."""
    without: str = ""
    """The condition that a run must lack: "root", "disruptive", "x86-64".  For any other text it is unknown whether a
    run has the condition, so the pair may be reached or not."""

    def holds(self, run: Run) -> bool:
        """Return whether the reason holds in a run."""
        return self.system in ("", run.system) and not (self.without and run.has(self.without))


def reasons(text: str | None = None) -> list[Reason]:
    """Read the reasons in the text of a file; without `text`, in the suite's own file."""
    if text is None:
        text = (files(f"{PACKAGE}.conformance") / "unreachable.toml").read_text(encoding="utf-8")
    return [
        Reason((entry.pop("call", "") or entry.pop("signal"), entry.pop("errno", "") or entry.pop("code")), **entry)
        for entry in tomllib.loads(text)["unreachable"]
    ]


def find_gaps(runs: Sequence[Run], pairs: Collection[Pair], reasons: Sequence[Reason]) -> list[str]:
    """Return the errors of the map: gaps, reasons for reached pairs, and unknown pairs."""
    gaps = [f"{' '.join(r.pair)}: there is a reason, but no such pair" for r in reasons if r.pair not in pairs]
    calls = {call for call, _errno in pairs}
    for run in runs:
        for pair in pairs:
            why = [reason for reason in reasons if reason.pair == pair and reason.holds(run)]
            if pair not in run.reached and not why:
                gaps.append(f"{' '.join(pair)}: neither reached on {run.name} nor is there a reason")
            for reason in why:
                if pair in run.reached and (not reason.without or run.has(reason.without) is False):
                    gaps.append(f"{' '.join(pair)}: reached on {run.name}, although there is a reason: {reason.text}")
        for pair in run.reached:
            if pair not in pairs and (pair[0] in calls or pair[0].startswith("SIG")):
                gaps.append(f"{' '.join(pair)}: reached on {run.name}, unknown to the catalogue and the reference")
    return gaps


# ---------------------------------------------------------------------------------------------------------------- page


def page(runs: Sequence[Run], pairs: Mapping[Pair, Sequence[str]], reasons: Sequence[Reason]) -> str:
    """Return the map as a page of Markdown."""
    programs = smallest(runs)
    lines = [
        "# Reachability",
        "",
        "Every errno that the catalogue or the reference names for a call, and every si_code that an agent can report",
        "for a fault: whether the installed cases produce it, and the smallest program that does. Names are those of",
        "[a recorded program](../pytest_mmapconf/trace/program.py): `r1` an address, `fd1` a descriptor,",
        f"`p1` a process. Generated by `python -m {PACKAGE} reach`, which fails where there is neither a program nor a",
        "reason ([unreachable.toml](../conformance/unreachable.toml)).",
        "",
        *(f"- {run.name}: {_describe(run)}" for run in runs),
    ]
    columns = [run.name for run in runs]
    for heading, first, signals in (("Calls", "call | errno | clauses", False), ("Faults", "signal | si_code", True)):
        titles = [first, *columns, "smallest program"]
        title = f"| {' | '.join(titles)} |"
        lines += ["", f"## {heading}", "", title, "|---" * (title.count("|") - 1) + "|"]
        for pair, clauses in pairs.items():
            if pair[0].startswith("SIG") is signals:
                cells = [*pair] if signals else [*pair, "<br>".join(clauses)]
                cells += [_cell(run, pair, reasons) for run in runs]
                lines.append(f"| {' | '.join([*cells, _programs(programs.get(pair, []), columns)])} |")
    return "\n".join(lines) + "\n"


def _describe(run: Run) -> str:
    details = run.facts.details
    if run.name == REFERENCE:
        return "the model, with Linux's choices"
    kernel = re.sub(r"(\d+(\.\d+)+)\S*", r"\1", details.get("kernel", ""))  # without a builder's suffix
    parts = [kernel, *(details.get(name, "") for name in ("machine", "libc", "file system", "user"))]
    parts += ["--disruptive"] * run.options.disruptive
    return ", ".join(filter(None, parts)) or run.facts.version


def _cell(run: Run, pair: Pair, reasons: Sequence[Reason]) -> str:
    if pair in run.reached:
        return "yes"
    why = [reason.text for reason in reasons if reason.pair == pair and reason.holds(run)]
    return f"no: {'; '.join(why)}" if why else "**no**"


def _programs(programs: Sequence[tuple[Program, Sequence[str]]], columns: Sequence[str]) -> str:
    parts = []
    for program, names in programs:
        only = f"on {', '.join(names)}:<br>" if len(programs) > 1 else ""
        parts.append(only + "<br>".join(f"`{line}`" for line in _lines(program)))
    return "<br>".join(parts)


def _lines(program: Program) -> list[str]:
    """Return the steps of a program for a cell of a table, with its symbols renumbered."""
    text = "\n".join(map(str, program))
    counts: Counter[str] = Counter()
    names = {"p1": "p1"}
    counts["p"] = 1
    for step in program:
        for name in step.results:
            letters = name.rstrip("0123456789")
            counts[letters] += 1
            names[name] = f"{letters}{counts[letters]}"
    text = re.sub(r"\b(?:r|fd|p)\d+\b", lambda match: names.get(match[0], match[0]), text)
    return text.replace("|", "\\|").split("\n")


# ---------------------------------------------------------------------------------------------------------- the command


def main(names: Sequence[str], options: Options, output: str | None, check: bool) -> int:
    """Run `python -m pytest_mmapconf reach`; return the exit status.  Raises UsageError and OutputError."""
    if output:
        check_writable(Path(output), "-o ")
    names = list(dict.fromkeys([REFERENCE, *names]))
    for name in names:  # a wrong name is an error before anything is run
        backends.make(name, folders=[os.getcwd()])
    runs = [run(name, options) for name in names]
    all_pairs, accepted = pairs(), reasons()
    gaps = find_gaps(runs, all_pairs, accepted)
    if not check:
        text = page(runs, all_pairs, accepted)
        if output:
            Path(output).write_text(text, encoding="utf-8")
        else:
            print(text, end="")
    for gap in gaps:
        print(gap, file=sys.stderr)
    if not gaps and (check or output):
        print(
            ", ".join(f"{run.name}: {len(all_pairs.keys() & run.reached)} of {len(all_pairs)} reached" for run in runs)
        )
    return 1 if gaps else 0
