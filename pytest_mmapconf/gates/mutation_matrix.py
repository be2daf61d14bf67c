"""Which case catches which mutant, and whether random programs find it.

A mutant (`reference.mutant`) is caught by a case that fails, of the clause that the mutant breaks.  A case that ends
in any other way, because time is up, say, has not caught it; and where the mutant itself breaks down, in an exception
that no implementation could have raised, nothing has been caught either: that is an error in the mutant.

A random program finds a mutant by differing from the reference: as nothing else is wrong with it, that is why.  What
lockstep cites is often more general than the clause that is broken (a byte that is wrong after a fork is wrong content
of a mapping), so whether it is a clause that the mutant names is told, and not demanded.

The cases are collected once, by a pytest in this process; then it forks, and each worker runs one mutant after the
other through pytest's own protocol, with the mutant as backend.  Only cases of the mutant's own clause are run, and
unless the whole matrix is asked for, the first one that catches it is the last.

Before that, the random programs, and for the gate the cases, are run on the unchanged reference, and it is noted which
mutants would have acted otherwise: those whose method was called in a way that they change.  What does not come to it
can show nothing, and is not run on the mutant.
"""

from __future__ import annotations

import ast
import io
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property, partial
from importlib.resources import files
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final, NamedTuple, TypeAlias

import pytest

from ..catalogue.clauses import LEVELS, included, load
from ..catalogue.verdicts import FAIL
from ..contract import Backend, Facts, Fault, Options, System, Unresolved
from ..fuzzing import STEP
from ..fuzzing.search import LENGTH, Search, split
from ..plugin.stash import ATTRIBUTE, CASE
from ..reference import mutant as form
from ..reference.backend import ReferenceBackend
from ..reference.mutant import Mutant
from ..reference.refusal import Refusals
from ..version import PACKAGE

PROGRAMS: Final = 4000
"""How many random programs look for a mutant; nearly all mutants are found by the first four hundred."""

SEED: Final = "mutants"
"""What decides which programs these are."""

SECONDS: Final = 20.0
"""How long one case, or one program, may take."""

Site: TypeAlias = tuple[str, int]
"""A place in the reference's source: module and line."""


@dataclass
class Row:
    """What came of one mutant."""

    id: str
    clauses: tuple[str, ...]
    bug: str
    text: str
    killers: list[str] = field(default_factory=list)
    """The cases that caught it; only the first, unless all were asked for."""
    programs: int = 0
    """Which of the random programs found it, from 1 on; 0: none."""
    tried: int = 0
    """How many random programs came to what it changes, up to that one."""
    cited: list[str] = field(default_factory=list)
    """The clauses that it was found by."""
    crash: str = ""
    """How the mutant broke down."""
    seconds: float = 0.0

    @property
    def is_named(self) -> bool:
        """Whether it was found by a clause that it names."""
        return not set(self.clauses).isdisjoint(self.cited)


# ------------------------------------------------------------------------------------------------------------- running


class Current(Backend):
    """Whichever backend is being run."""

    name = "current"

    def __init__(self) -> None:
        self.inside: Backend = ReferenceBackend()

    def configure(self, options: Options) -> None:
        self.inside.configure(options)

    def facts(self) -> Facts:
        return self.inside.facts()

    def boot(self) -> System:
        return self.inside.boot()


class Watched(Backend):
    """The reference, unchanged; in a copy, so that it can be noted where it refuses and which mutants would differ."""

    name = "reference"

    def __init__(self, mutants: Iterable[Mutant] = ()) -> None:
        self.sites: set[Site] = set()
        """The places at which it has refused."""
        self.differing: set[str] = set()
        """The mutants that would have acted otherwise: of any other, what was seen is what the reference has done."""
        package = form.copied()
        of_method: dict[form.Original, list[Mutant]] = {}
        for mutant in mutants:
            of_method.setdefault(mutant.method, []).append(mutant)
        for method, those in of_method.items():
            form.patch(package, method, partial(self.note, those))
        form.patch(package, Refusals.__call__, self.refuse)
        self.inside: Backend = form.package_backend(package)

    def note(self, mutants: Sequence[Mutant], honest: form.Original, *arguments: Any, **keywords: Any) -> Any:
        """A method that some mutants replace."""
        for mutant in mutants:
            if mutant.id not in self.differing:
                try:
                    differs = mutant.when(*arguments, **keywords)
                except Exception:  # it breaks down, as it will when the mutant itself is run
                    differs = True
                if differs:
                    self.differing.add(mutant.id)
        return honest(*arguments, **keywords)

    def refuse(self, honest: form.Original, refusals: Refusals, *refusal: Any, **late: bool) -> None:
        """The method that refuses."""
        frame = sys._getframe(2)
        self.sites.add((frame.f_globals["__name__"].rpartition(".")[2], frame.f_lineno))
        honest(refusals, *refusal, **late)

    def facts(self) -> Facts:
        return self.inside.facts()

    def boot(self) -> System:
        return self.inside.boot()


class Runner:
    """A plugin of pytest: when the cases have been collected it does what it was made for, instead of running them."""

    def __init__(self, work: Callable[[Runner], None]) -> None:
        self.work = work
        self.current = Current()
        self.items: list[pytest.Item] = []
        self.differing: dict[str, set[str]] = {}
        """The mutants that would have acted otherwise than the reference has in a case."""
        self.verdict = ""
        self.crash = ""
        self.error: BaseException | None = None

    def pytest_mmapconf_backends(self) -> Mapping[str, Callable[[], Backend]]:
        return {"current": lambda: self.current}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self.items = session.items
            session.config.option.no_summary = True  # of thousands of failures, which nobody would read
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

    def run(self, item: pytest.Item) -> str:
        """The verdict on one case."""
        self.verdict = self.crash = ""
        with limited():
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return self.verdict

    def watch(self, reference: Watched) -> list[str]:
        """Run every case on the reference, to see what it comes to; the cases that fail."""
        self.current.inside = reference
        failing = []
        for id, item in self.cases.items():
            reference.differing = self.differing[id] = set()
            if self.run(item) != "pass":
                failing.append(id)
        return failing

    def may_catch(self, id: str, mutant: Mutant) -> bool:
        """Whether a case comes to what is wrong with a mutant, as far as is known."""
        return id not in self.differing or mutant.id in self.differing[id]

    @cached_property
    def cases(self) -> dict[str, pytest.Item]:
        """The cases by their own ids."""
        return {item.stash[CASE].id: item for item in self.items}


FOLDER: Final = os.path.dirname(form.__file__)


def is_crash(error: BaseException) -> bool:
    """Whether a mutant broke down: raised what no implementation can, from within the reference's modules."""
    if isinstance(error, (OSError, Fault, NotImplementedError, Unresolved)):
        return False
    trace = error.__traceback__
    while trace is not None:
        if os.path.dirname(trace.tb_frame.f_code.co_filename) == FOLDER:
            return True
        trace = trace.tb_next
    return False


@contextmanager
def limited() -> Iterator[None]:
    """What takes longer than SECONDS here is Unresolved."""

    def over(number: int, frame: FrameType | None) -> None:
        raise Unresolved(f"no end after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def with_cases(level: str, work: Callable[[Runner], None]) -> None:
    """Collect the installed cases of a level that draw nothing, and do `work` with them.  Raises UsageError."""
    runner = Runner(work)
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(output):
        ini = Path(folder, "pytest.ini")
        ini.write_text("[pytest]\n", encoding="utf-8")
        asked = ["-c", str(ini), "--rootdir", folder, "--noconftest", "-p", "no:cacheprovider", "-n0", "-q", "-s"]
        asked += ["--tb=native", "-m", "not mmap_random", "--mmap-backend=current", f"--mmap-level={level}"]
        pytest.main(asked, plugins=[runner])
    if runner.error is not None:
        raise runner.error
    if not runner.items:
        raise pytest.UsageError(f"the cases could not be collected:\n{output.getvalue()}")


@cache
def booted(id: str) -> Backend:
    """A mutant's backend; made once in each worker."""
    return form.load()[id].boot()


def judged(runner: Runner, mutant: Mutant, everything: bool, programs: Iterable[Drawn]) -> Row:
    """What comes of one mutant."""
    began = time.monotonic()
    row = Row(mutant.id, mutant.clauses, mutant.bug, mutant.text)
    backend = runner.current.inside = booted(mutant.id)
    for id, item in runner.cases.items():
        if mutant.clauses[0] in item.stash[CASE].clauses and runner.may_catch(id, mutant):
            verdict = runner.run(item)
            if runner.crash:
                row.crash = runner.crash
            elif verdict == FAIL:
                row.killers.append(id)
                if not everything:
                    break
    find(row, Search(backend, LEVELS[-1]), programs)
    row.seconds = round(time.monotonic() - began, 3)
    return row


class Drawn(NamedTuple):
    """A random program, the same for each mutant."""

    steps: Sequence[bytes]
    refused: Counter[str]
    """How often those before it were refused by each clause: that decides which mistakes it makes."""
    differing: set[str]
    """The mutants that act otherwise in it."""


class Series:
    """So many random programs, the same ones whoever looks for mutants, drawn when they are first needed."""

    def __init__(self, mutants: Iterable[Mutant], number: int) -> None:
        self.number = number
        self.reference = Watched(mutants)
        self.search = Search(self.reference, LEVELS[-1])
        self.drawn: list[Drawn] = []

    def __iter__(self) -> Iterator[Drawn]:
        for number in range(self.number):
            if number == len(self.drawn):
                self.drawn.append(self.draw(number))
            yield self.drawn[number]

    def draw(self, number: int) -> Drawn:
        """The next program."""
        steps = split(Random(f"{SEED} {number}").randbytes(LENGTH * STEP))
        self.search.refused = refused = Counter(self.search.tally.refusals)
        self.reference.differing = differing = set[str]()
        found = self.search.run(steps)
        if found is not None:
            raise found.divergence
        return Drawn(steps, refused, differing)


def find(row: Row, search: Search, programs: Iterable[Drawn]) -> None:
    """Look for a mutant with random programs."""
    for number, program in enumerate(programs, 1):
        if row.id not in program.differing:
            continue
        row.tried += 1
        search.refused = program.refused
        try:
            with limited():
                found = search.run(program.steps)
        except (OSError, Fault, Unresolved):  # where it is not compared: a system that does not come to its end
            continue
        except Exception as error:  # a mutant that makes what cannot be may break down when that is used
            if not is_crash(error):
                raise
            continue
        if found is not None:
            row.programs, row.cited = number, list(found.divergence.clauses)
            return


def caught_by(runner: Runner, ids: Sequence[str], mutants: Sequence[Mutant]) -> dict[str, str]:
    """A mutant that each of some cases catches, if there is one, of the groups of its clauses: by case.

    Those that another of the cases has caught are tried first.  Those of the case's own clauses have been tried.
    """
    found: dict[str, str] = {}
    for id in ids:
        item = runner.cases[id]
        clauses = set(item.stash[CASE].clauses)
        groups = {group(clause) for clause in clauses}
        left = [
            mutant
            for mutant in mutants
            if runner.may_catch(id, mutant)
            and mutant.clauses[0] not in clauses
            and not groups.isdisjoint(map(group, mutant.clauses))
        ]
        for mutant in sorted(left, key=lambda mutant: mutant.id not in found.values()):
            runner.current.inside = booted(mutant.id)
            if runner.run(item) == FAIL and not runner.crash:
                found[id] = mutant.id
                break
    return found


def group(clause: str) -> str:
    """The call or the subject that a clause is about."""
    return clause.partition(".")[0]


# -------------------------------------------------------------------------------------------------------- many at once

_work: Callable[[Any], Any]
"""What a worker does; it has it from being forked."""


def _do(argument: Any) -> Any:
    return _work(argument)


def each(work: Callable[[Any], Any], arguments: Sequence[Any], workers: int) -> Iterator[Any]:
    """work(argument) of each, in any order, by so many processes forked from this one."""
    global _work
    _work = work
    if workers == 1:
        yield from map(work, arguments)
        return
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(_do, arguments)


# ------------------------------------------------------------------------------------------------------------ the gate


@dataclass
class Reasons:
    """What need not be there, and why: `conformance/mutants.toml`."""

    unreachable: dict[str, str]
    """By a pattern of mutants' ids."""
    unreached: dict[str, str]
    """By the id of the reason of a refusal."""


def is_unreachable(id: str, reasons: Reasons) -> bool:
    """Whether there is a reason why random programs do not find a mutant."""
    return any(fnmatchcase(id, pattern) for pattern in reasons.unreachable)


TABLES: Final = (("unreachable", "mutant"), ("unreached", "reason"))
"""The tables of `conformance/mutants.toml`, each with what its entries are about."""


def reasons(text: str | None = None) -> Reasons:
    """The reasons of a file's text; of the suite's own without one."""
    if text is None:
        text = (files(f"{PACKAGE}.conformance") / "mutants.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return Reasons(
        *(
            {name: entry["text"] for entry in document.get(table, []) for name in several(entry[key])}
            for table, key in TABLES
        )
    )


def several(value: str | list[str]) -> list[str]:
    """What an entry is about: one thing, or more with the same reason."""
    return [value] if isinstance(value, str) else value


class SourceRefusal(NamedTuple):
    """A refusal as the reference's source has it: the arguments of a call of `refuse`."""

    clause: str
    reason: str
    text: str


def reference_sources() -> dict[str, str]:
    """Return the source text of each of the reference's modules, by its name."""
    paths = sorted(files(f"{PACKAGE}.reference").iterdir(), key=lambda path: path.name)
    return {
        path.name.removesuffix(".py"): path.read_text(encoding="utf-8") for path in paths if path.name.endswith(".py")
    }


def refusal_sites(sources: Mapping[str, str] | None = None) -> dict[Site, SourceRefusal | None]:
    """Return every place in the reference that refuses, with what it refuses for.

    None where clause, reason and text are not all string literals, so that the source alone does not show them.
    `sources`: other modules than the reference's own.
    """
    sites: dict[Site, SourceRefusal | None] = {}
    for module, source in (reference_sources() if sources is None else sources).items():
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(
                    ast.Name("refuse"),
                    [_, ast.Constant(str(clause)), ast.Constant(str(reason)), ast.Constant(str(text)), *_],
                ):
                    sites[module, node.lineno] = SourceRefusal(clause, reason, text)
                case ast.Call(ast.Name("refuse")):
                    sites[module, node.lineno] = None
    return sites


def refusal_holes(
    sites: Mapping[Site, SourceRefusal | None], unreached: Sequence[Site], unlisted: Sequence[Site], reasons: Reasons
) -> list[str]:
    """Return what is missing or wrong at the places that refuse."""
    found = []
    for site, refusal in sites.items():
        where = f"reference/{site[0]}.py:{site[1]}"
        if refusal is None:
            found.append(f"{where}: the clause, the reason and the text of a refusal must be string literals")
            continue
        where += f": {refusal.reason} ({refusal.clause})"
        if refusal.clause not in load():
            found.append(f"{where}: there is no such clause")
        if (site in unreached) != (refusal.reason in reasons.unreached):
            reached = site not in unreached
            found.append(f"{where}: {'reached, in spite of the reason' if reached else 'no case reaches this refusal'}")
    found += [f"reference/{module}.py:{line}: refuses otherwise than by refuse(...)" for module, line in unlisted]
    known = {refusal.reason for refusal in sites.values() if refusal is not None}
    return found + [
        f"reason for {reason}: nothing is refused for it" for reason in reasons.unreached if reason not in known
    ]


@dataclass
class Matrix:
    """All that was found out."""

    level: str
    programs: int
    """How many random programs there were."""
    cases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The clauses of each case."""
    failing: list[str] = field(default_factory=list)
    """Cases that the reference itself does not pass."""
    unreached: list[Site] = field(default_factory=list)
    """Refusals that no case reaches."""
    unlisted: list[Site] = field(default_factory=list)
    """Places that have refused, but are not calls of `refuse` in the reference's source."""
    rows: list[Row] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    """Cases that catch no mutant."""


def run(
    mutants: Sequence[Mutant],
    level: str,
    workers: int,
    programs: int,
    everything: bool = False,
    gate: Reasons | None = None,
) -> Matrix:
    """Run mutants against the cases of a level and against so many random programs each.

    `everything`: do not stop at the first case that catches one.  `gate`: also look for refusals that are not reached,
    and for cases that catch nothing; but not with random programs for what has a reason not to be found by them.
    """
    matrix = Matrix(level, programs)

    def work(runner: Runner) -> None:
        matrix.cases = {id: item.stash[CASE].clauses for id, item in runner.cases.items()}
        if gate is not None:
            reference = Watched(mutants)
            matrix.failing = runner.watch(reference)
            sites = refusal_sites()
            matrix.unreached = [site for site in sites if site not in reference.sites]
            matrix.unlisted = sorted(reference.sites - sites.keys())
        series = Series(mutants, programs)
        tell = Progress("mutants", len(mutants))

        def judge(id: str) -> Row:
            hopeless = gate is not None and is_unreachable(id, gate)
            return judged(runner, form.load()[id], everything or gate is not None, [] if hopeless else series)

        for row in each(judge, [mutant.id for mutant in mutants], workers):
            matrix.rows.append(row)
            tell(len(matrix.rows))
        order = [mutant.id for mutant in mutants]
        matrix.rows.sort(key=lambda row: order.index(row.id))
        if gate is not None:
            killing = {id for row in matrix.rows for id in row.killers}
            left: dict[str, list[str]] = {}
            for id in runner.cases:
                if id not in killing:
                    left.setdefault(id.partition("[")[0], []).append(id)
            tell = Progress("functions of cases that have caught none yet", len(left))
            for number, found in enumerate(
                each(lambda ids: caught_by(runner, ids, mutants), [*left.values()], workers)
            ):
                killing.update(found)
                tell(number + 1)
            matrix.idle = [id for id in runner.cases if id not in killing]

    with_cases(level, work)
    return matrix


class Progress:
    """Tells how far it has come, on stderr, every few seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.told = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.told >= 5:
            self.told = now
            print(f"{done} of {self.total} {self.what}", file=sys.stderr, flush=True)


def holes(matrix: Matrix, mutants: Mapping[str, Mutant], reasons: Reasons) -> list[str]:
    """What the gate finds missing."""
    clauses = {id for id, clause in load().items() if clause.level in included(matrix.level)}
    found = [f"case {id}: the reference does not pass it" for id in matrix.failing]
    cased = {clause for names in matrix.cases.values() for clause in names}
    found += [f"clause {id}: there is no case" for id in load() if id in clauses - cased]
    broken = {mutant.clauses[0] for mutant in mutants.values()}
    found += [f"clause {id}: there is no mutant" for id in load() if id in clauses - broken]
    for mutant in mutants.values():
        found += [f"mutant {mutant.id}: there is no clause {id}" for id in mutant.clauses if id not in load()]
    for row in matrix.rows:
        if row.crash:
            found.append(f"mutant {row.id}: breaks down: {row.crash}")
        if not row.killers:
            found.append(f"mutant {row.id}: no case of {row.clauses[0]} catches it")
        if matrix.programs and not row.programs and not is_unreachable(row.id, reasons):
            found.append(f"mutant {row.id}: no random program finds it; {row.tried} come to what is wrong")
    found += refusal_holes(refusal_sites(), matrix.unreached, matrix.unlisted, reasons)
    found += [f"case {id}: catches no mutant" for id in matrix.idle]
    for pattern in reasons.unreachable:
        if not any(fnmatchcase(id, pattern) for id in mutants):
            found.append(f"reason for {pattern}: there is no such mutant")
    return found


# ---------------------------------------------------------------------------------------------------------- the command


def chosen(globs: Sequence[str], level: str) -> list[Mutant]:
    """The mutants of a level whose id, or one of whose clauses, matches.  Raises UsageError."""
    levels = included(level)
    catalogue = load()
    there = [
        m for m in form.load().values() if m.clauses[0] not in catalogue or catalogue[m.clauses[0]].level in levels
    ]
    for glob in globs:
        if not any(matches(mutant, glob) for mutant in there):
            raise pytest.UsageError(f"{glob}: no mutant's id or clause matches; --list lists them")
    return [mutant for mutant in there if not globs or any(matches(mutant, glob) for glob in globs)]


def matches(mutant: Mutant, glob: str) -> bool:
    """Whether a pattern means a mutant."""
    return any(fnmatchcase(name, glob) for name in (mutant.id, *mutant.clauses))


def listed(mutants: Iterable[Mutant]) -> list[str]:
    """A line for each mutant."""
    return [f"{m.id}  [{', '.join(m.clauses)}]  {m.text}  ({m.bug})" for m in mutants]


def told(row: Row, programs: int) -> str:
    """A row of the matrix as a line."""
    by = ", ".join(row.killers[:3]) + (f" and {len(row.killers) - 3} more" if len(row.killers) > 3 else "")
    found = f"random program {row.programs} ({', '.join(row.cited)})" if row.programs else "no random program"
    caught = f"{row.id}: {row.crash or by or 'NOT CAUGHT by ' + row.clauses[0]}"
    return f"{caught}; {found}" if programs else caught


def summary(rows: Sequence[Row], programs: int) -> list[str]:
    """Killed of total, each way."""
    sound = [row for row in rows if not row.crash]
    found = [row for row in sound if row.programs]
    named = sum(row.is_named for row in found)
    lines = [
        f"killed by deterministic cases: {sum(bool(row.killers) for row in sound)} of {len(rows)}",
        f"found by at most {programs} random programs: {len(found)} of {len(rows)}, {named} by a clause that they name",
    ]
    return lines if programs else lines[:1]


def survivors(rows: Sequence[Row], programs: int) -> list[str]:
    """Who survives, and what."""
    lines = [f"survives the cases: {row.id} ({row.clauses[0]})" for row in rows if not row.killers]
    lines += [f"survives random programs: {row.id} ({row.clauses[0]})" for row in rows if programs and not row.programs]
    return lines + [f"breaks down: {row.id}: {row.crash}" for row in rows if row.crash]


def main(
    globs: Sequence[str], level: str, workers: int, programs: int, everything: bool, check: bool, path: str | None
) -> int:
    """`python -m pytest_mmapconf mutants`; the exit status."""
    began = time.monotonic()
    mutants = chosen(globs, level)
    why = reasons()
    matrix = run(mutants, level, workers, programs, everything, why if check else None)
    if check:
        lines = missing = holes(matrix, {m.id: m for m in mutants}, why)
    else:
        lines = [*(told(row, programs) for row in matrix.rows), *survivors(matrix.rows, programs)]
        missing = survivors(matrix.rows, 0)
    print("\n".join([*lines, *summary(matrix.rows, programs)]))
    print(f"{len(mutants)} mutants, {len(matrix.cases)} cases, {time.monotonic() - began:.0f} s")
    if path:
        text = json.dumps({"level": level, "mutants": [asdict(row) for row in matrix.rows]}, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")
    return 1 if missing else 0


def default_workers() -> int:
    """As many as there are processors for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
