"""Run mutants: against the cases, and against random programs.

The cases are collected once, by a pytest in this process; the process then forks, and each worker runs one mutant
after another through pytest's own protocol, with the mutant as backend.

First, the random programs, and for the gate the cases too, run on the unchanged reference, which records the mutants
that would have acted differently: those whose method was called with arguments for which they change it.  A case or a
program in which a mutant acts like the reference cannot find it, and is not run on it.
"""

from __future__ import annotations

import fcntl
import io
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

import pytest

from ..catalogue.clauses import LEVELS, load
from ..catalogue.verdicts import FAIL
from ..contract import Backend, Fault, Unresolved
from ..fuzzing.search import Search, program_of
from ..plugin.stash import ATTRIBUTE, CASE, SETTINGS
from ..reference import mutant as mutant_module
from ..reference.backend import ReferenceBackend
from ..reference.mutant import Mutant, Original
from ..reference.refusal import Refusals
from ..trace.wrapping import WrappingBackend

SEED: Final = "mutants"
"""Seed of the random programs."""

TIME_LIMIT: Final = 20.0
"""Time limit in seconds of one case, or of one random program."""

Site: TypeAlias = tuple[str, int]
"""A place in the reference's source: module and line."""


@dataclass
class MutantResult:
    """The result of running one mutant."""

    id: str
    clauses: tuple[str, ...]
    bug: str
    text: str
    killers: list[str] = field(default_factory=list)
    """The cases that killed the mutant; only the first, unless all were requested."""
    programs: int = 0
    """Number of the random program that found the mutant, from 1; 0 if none did."""
    tried: int = 0
    """Number of random programs, up to that one, that executed the mutated code; 0 if the known one found it."""
    cited: list[str] = field(default_factory=list)
    """The clauses that were cited when a random program found the mutant."""
    crash: str = ""
    """The exception of the mutant itself, if it crashed."""
    seconds: float = 0.0

    @property
    def is_named(self) -> bool:
        """True if the clauses that were cited include one that the mutant names."""
        return not set(self.clauses).isdisjoint(self.cited)


# ------------------------------------------------------------------------------------------------------------- running


class SwitchableBackend(WrappingBackend):
    """A backend whose `subject` can be replaced between cases."""

    def __init__(self) -> None:
        super().__init__(ReferenceBackend())
        self.name = "current"


class InstrumentedReference(WrappingBackend):
    """A copy of the reference that records where it refuses, and which mutants would have acted differently."""

    def __init__(self, mutants: Iterable[Mutant] = ()) -> None:
        self.sites: set[Site] = set()
        """Places in the source that have refused a call."""
        self.differing: set[str] = set()
        """Ids of the mutants that would have acted differently; every other one would have acted like the reference."""
        self.package = package = mutant_module.copied()
        """The name of the copy."""
        by_method: dict[Original, list[Mutant]] = {}
        for mutant in mutants:
            by_method.setdefault(mutant.method, []).append(mutant)
        for method, replacing in by_method.items():
            mutant_module.patch(package, method, partial(self.record_differing, replacing))
        mutant_module.patch(package, Refusals.__call__, self.record_refusal)
        super().__init__(mutant_module.package_backend(package))
        self.name = "reference"

    def record_differing(self, mutants: Sequence[Mutant], original: Original, *arguments: Any, **keywords: Any) -> Any:
        """Record the mutants that would change this call of a method, then call the method."""
        for mutant in mutants:
            if mutant.id not in self.differing:
                try:
                    differs = mutant.when(*arguments, **keywords)
                except Exception:  # the mutant will fail in the same way when it is run
                    differs = True
                if differs:
                    self.differing.add(mutant.id)
        return original(*arguments, **keywords)

    def record_refusal(self, original: Original, refusals: Refusals, *refusal: Any, **late: bool) -> None:
        """Record the place of a refusal, then refuse."""
        frame = sys._getframe(2)
        self.sites.add((frame.f_globals["__name__"].rpartition(".")[2], frame.f_lineno))
        original(refusals, *refusal, **late)


class Runner:
    """A plugin of pytest that calls `work` with the collected cases, instead of running them."""

    def __init__(self, work: Callable[[Runner], None]) -> None:
        self.work = work
        self.current = SwitchableBackend()
        self.items: list[pytest.Item] = []
        self.differing: dict[str, set[str]] = {}
        """By case, the ids of the mutants that would have acted differently from the reference."""
        self.verdict = ""
        self.crash = ""
        self.error: BaseException | None = None
        self.make_subject: Callable[[Backend], Backend] = lambda backend: backend
        """Returns what the cases run on, given the backend to be judged."""

    def pytest_mmapconf_backends(self) -> Mapping[str, Callable[[], Backend]]:
        return {"current": lambda: self.current}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self.items = session.items
            session.config.option.no_summary = True  # of thousands of failures
            try:
                self.work(self)
            except BaseException as error:
                self.error = error
        return True

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and is_crash(call.excinfo.value):
            self.crash = f"{item.stash[CASE].id}: {type(call.excinfo.value).__name__}: {call.excinfo.value}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        verdict: str = getattr(report, ATTRIBUTE, {}).get("verdict", "")
        if report.when == "call" or verdict == "unresolved":
            self.verdict = verdict

    def replace_subject(self, backend: Backend) -> None:
        """Run the next cases on this backend."""
        self.current.subject = self.make_subject(backend)
        for item in self.items[:1]:
            item.config.stash[SETTINGS].properties.clear()

    def run(self, item: pytest.Item) -> str:
        """Run one case and return its verdict."""
        self.verdict = self.crash = ""
        with time_limit():
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return self.verdict

    def run_on_reference(self, reference: InstrumentedReference) -> list[str]:
        """Run every case on the reference, recording the differing mutants; return the cases that fail."""
        self.replace_subject(reference)
        failing = []
        for id, item in self.cases.items():
            reference.differing = self.differing[id] = set()
            if self.run(item) != "pass":
                failing.append(id)
        return failing

    def may_kill(self, id: str, mutant: Mutant) -> bool:
        """Return False if a case is known to act the same on a mutant and on the reference."""
        return id not in self.differing or mutant.id in self.differing[id]

    @cached_property
    def cases(self) -> dict[str, pytest.Item]:
        """The collected cases by id."""
        return {item.stash[CASE].id: item for item in self.items}


REFERENCE_DIRECTORY: Final = os.path.dirname(mutant_module.__file__)
"""Directory of the reference's modules."""


def is_crash(error: BaseException) -> bool:
    """Return whether a mutant crashed: the reference's modules raised an exception that no implementation can raise."""
    if isinstance(error, (OSError, Fault, NotImplementedError, Unresolved)):
        return False
    trace = error.__traceback__
    while trace is not None:
        if os.path.dirname(trace.tb_frame.f_code.co_filename) == REFERENCE_DIRECTORY:
            return True
        trace = trace.tb_next
    return False


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise Unresolved if the block takes longer than TIME_LIMIT seconds."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Unresolved(f"not finished after {TIME_LIMIT} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_with_cases(level: str, work: Callable[[Runner], None], tour: bool = False) -> None:
    """Collect the installed cases of a level, except those that draw at random, and do `work`.  Raises UsageError.

    `tour`: the rows of the tour too.
    """
    marks = "not mmap_random" if tour else "not mmap_random and not mmap_tour"
    runner = Runner(work)
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(output):
        ini = Path(folder, "pytest.ini")
        ini.write_text("[pytest]\n", encoding="utf-8")
        arguments = ["-c", str(ini), "--rootdir", folder, "--noconftest", "-p", "no:cacheprovider", "-n0", "-q", "-s"]
        arguments += ["--tb=native", "-m", marks, "--mmap-backend=current", f"--mmap-level={level}"]
        pytest.main(arguments, plugins=[runner])
    if runner.error is not None:
        raise runner.error
    if not runner.items:
        raise pytest.UsageError(f"the cases could not be collected:\n{output.getvalue()}")


class ChangingReference:
    """A copy of the reference that is one mutant after another: to import another copy takes as long as ten cases."""

    def __init__(self) -> None:
        self.package = mutant_module.copied()
        self.backend = mutant_module.package_backend(self.package)
        self.undo: Callable[[], None] = lambda: None

    def become(self, mutant: Mutant) -> Backend:
        """Return the backend of a mutant; the backends that were returned before are it as well."""
        self.undo()
        self.undo = mutant_module.patch(self.package, mutant.method, mutant.patched)
        self.backend.name = f"mutant:{mutant.id}"
        backend: Backend = self.backend
        return backend


@cache
def changing_reference() -> ChangingReference:
    """Return the copy of this process."""
    return ChangingReference()


def evaluate(
    runner: Runner, mutant: Mutant, enough: Container[str] | None, series: ProgramSeries | None
) -> MutantResult:
    """Run one mutant on its cases, and on random programs unless `series` is None.

    `enough`: the cases that need not be run once another case has killed it; None for all.
    """
    began = time.monotonic()
    result = MutantResult(mutant.id, mutant.clauses, mutant.bug, mutant.text)
    backend = changing_reference().become(mutant)
    runner.replace_subject(backend)
    for id, item in runner.cases.items():
        is_needed = not result.killers or (enough is not None and id not in enough)
        if is_needed and mutant.clauses[0] in item.stash[CASE].clauses and runner.may_kill(id, mutant):
            verdict = runner.run(item)
            if runner.crash:
                result.crash = runner.crash
            elif verdict == FAIL:
                result.killers.append(id)
    if series is not None:
        search_with_programs(result, Search(backend, LEVELS[-1]), series)
    result.seconds = round(time.monotonic() - began, 3)
    return result


class Program(NamedTuple):
    """A random program, the same for every mutant."""

    steps: Sequence[bytes]
    refused: Counter[str]
    """A number for each clause: of two invalid calls the program makes the one whose clause has the lower number."""


def program(number: int) -> Program:
    """Return the random program of a number, from 1 on.  It does not depend on other programs."""
    refused = Counter({clause: crc32(f"{number} {clause}".encode()) for clause in load()})
    return Program(program_of(SEED, number), refused)


class ProgramSeries:
    """A series of `number` random programs, with the mutants that act differently in each; run when first needed.

    Workers share what they have learnt by files in `folder`: to run a program on the reference takes longer than to
    read what it has shown.  `known`: by mutant, the program that has found it before; 0 or none if that is not known.
    """

    def __init__(
        self, mutants: Iterable[Mutant], number: int, folder: Path, known: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self.number = number
        self.folder = folder
        self.known = known
        self.reference = InstrumentedReference(mutants)
        self.search = Search(self.reference, LEVELS[-1])
        self.differing: list[frozenset[str]] = []
        """For each program that was run, from number 1 on, the ids of the mutants that act differently in it."""

    def reaching(self, mutant: str) -> Iterator[int]:
        """Yield the numbers of the programs in which a mutant acts differently from the reference."""
        for number in range(1, self.number + 1):
            if number > len(self.differing):
                self.differing.append(self.shared(number))
            if mutant in self.differing[number - 1]:
                yield number

    def shared(self, number: int) -> frozenset[str]:
        """Return the mutants that act differently in a program, which this or another worker runs."""
        file = self.folder / f"{number}"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                file.write_text("\n".join(self.run(number)), encoding="ascii")
            return frozenset(file.read_text(encoding="ascii").split())

    def run(self, number: int) -> set[str]:
        """Run a program on the reference, and return the mutants that act differently in it."""
        steps, self.search.refused = program(number)
        self.reference.differing = differing = set[str]()
        counterexample = self.search.run(steps)
        if counterexample is not None:
            raise counterexample.divergence
        return differing


def search_with_programs(result: MutantResult, search: Search, series: ProgramSeries) -> None:
    """Run random programs on a mutant until one finds it, the known one first; store the outcome in `result`."""
    known = series.known.get(result.id, 0)
    if known and is_found_by(known, result, search):
        return
    for number in series.reaching(result.id):
        result.tried += 1
        if is_found_by(number, result, search):
            return


def is_found_by(number: int, result: MutantResult, search: Search) -> bool:
    """Run a random program on a mutant; if that finds it, store the outcome in `result` and return True."""
    steps, search.refused = program(number)
    try:
        with time_limit():
            counterexample = search.run(steps)
    except (OSError, Fault, Unresolved):  # outside of compared calls: a system that cannot be closed
        return False
    except Exception as error:  # a mutant with an impossible state may crash when the state is used
        if not is_crash(error):
            raise
        return False
    if counterexample is None:
        return False
    result.programs, result.cited = number, list(counterexample.divergence.clauses)
    return True


def find_killers(runner: Runner, ids: Sequence[str], mutants: Sequence[Mutant]) -> dict[str, str]:
    """For each of some cases, find a mutant of the same groups of clauses that the case kills; return its id by case.

    Mutants that another of the cases has killed are tried first.  Mutants of the case's own clauses have been tried
    before.
    """
    killed: dict[str, str] = {}
    for id in ids:
        item = runner.cases[id]
        clauses = set(item.stash[CASE].clauses)
        groups = {clause_group(clause) for clause in clauses}
        left = [
            mutant
            for mutant in mutants
            if runner.may_kill(id, mutant)
            and mutant.clauses[0] not in clauses
            and not groups.isdisjoint(map(clause_group, mutant.clauses))
        ]
        for mutant in sorted(left, key=lambda mutant: mutant.id not in killed.values()):
            runner.replace_subject(changing_reference().become(mutant))
            if runner.run(item) == FAIL and not runner.crash:
                killed[id] = mutant.id
                break
    return killed


def clause_group(clause: str) -> str:
    """Return the call or the subject that a clause is about: the first part of its id."""
    return clause.partition(".")[0]


# ------------------------------------------------------------------------------------------------------------ parallel

_work: Callable[[Any], Any]
"""The function that workers apply; they inherit it when they are forked."""


def _apply(argument: Any) -> Any:
    return _work(argument)


def parallel_map(work: Callable[[Any], Any], arguments: Sequence[Any], workers: int) -> Iterator[Any]:
    """Yield work(argument) for every argument, in any order, computed by `workers` forked processes."""
    global _work
    _work = work
    if workers == 1:
        yield from map(work, arguments)
        return
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(_apply, arguments)


class Progress:
    """Prints the number of finished items on stderr, every few seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.last_print = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last_print >= 5:
            self.last_print = now
            print(f"{done} of {self.total} {self.what}", file=sys.stderr, flush=True)
