"""The mutation matrix: which case kills which mutant, and which mutants random programs find; and the gate over it.

A mutant (`reference.mutant`) is killed by a case that fails and belongs to the clause that the mutant breaks.  A case
with any other result, such as a time-out, does not kill it.  If the mutant itself crashes with an exception that no
implementation could raise, nothing has been killed: the mutant is wrong.

A random program finds a mutant by differing from the reference; as the mutant has no other difference, the mutation is
the cause.  The clause that lockstep cites is often more general than the broken one (a wrong byte after a fork is wrong
content of a mapping), so the matrix reports whether it is a clause that the mutant names, but does not require it.

Only cases of the mutant's own clause are run, and unless the whole matrix is requested, the first case that kills the
mutant is the last one run.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from ..catalogue.clauses import included, load
from ..plugin.stash import CASE
from ..reference import mutant as mutant_module
from ..reference.mutant import Mutant
from ..version import PACKAGE
from .runner import (
    InstrumentedReference,
    MutantResult,
    ProgramSeries,
    Progress,
    Runner,
    Site,
    evaluate,
    find_killers,
    parallel_map,
    run_with_cases,
)


@dataclass
class Reasons:
    """Accepted gaps with their reasons: `conformance/mutants.toml`."""

    unreachable: dict[str, str]
    """Reasons why random programs do not find mutants, by a pattern of ids."""
    unreached: dict[str, str]
    """Reasons why no case reaches a refusal, by the reason id of the refusal."""


def is_unreachable(id: str, reasons: Reasons) -> bool:
    """Return whether there is a reason why random programs do not find a mutant."""
    return any(fnmatchcase(id, pattern) for pattern in reasons.unreachable)


FINDS: Final = "mutant_finds.toml"
"""The file in `conformance/` that has, for each mutant, the number of a random program that finds it."""


def known_finds() -> dict[str, int]:
    """Return the number of the random program that has found each mutant: it is tried first."""
    text = (files(f"{PACKAGE}.conformance") / FINDS).read_text(encoding="utf-8")
    return {id: int(number) for id, number in tomllib.loads(text).items()}


def finds_text(results: Sequence[MutantResult], known: dict[str, int]) -> str:
    """Return the text of the file of finds: those of `results`, and for other mutants those that are known."""
    head = "# The random program that finds each mutant; the gate tries it first.  `mutants --finds=FILE` writes this."
    run = {result.id: result.programs for result in results}
    return "\n".join([head, *(f"{id} = {number}" for id, number in sorted((known | run).items()) if number)]) + "\n"


TABLES: Final = (("unreachable", "mutant"), ("unreached", "reason"))
"""The tables of `conformance/mutants.toml`, each with the key that names the subject of an entry."""


def reasons(text: str | None = None) -> Reasons:
    """Read the reasons in the text of a file; without `text`, in the suite's own file."""
    if text is None:
        text = (files(f"{PACKAGE}.conformance") / "mutants.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return Reasons(
        *(
            {name: entry["text"] for entry in document.get(table, []) for name in as_list(entry[key])}
            for table, key in TABLES
        )
    )


def as_list(value: str | list[str]) -> list[str]:
    """Return the subjects of an entry as a list."""
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


def find_refusal_gaps(
    sites: Mapping[Site, SourceRefusal | None], unreached: Sequence[Site], unlisted: Sequence[Site], reasons: Reasons
) -> list[str]:
    """Return what is missing or wrong at the places that refuse."""
    gaps = []
    for site, refusal in sites.items():
        where = f"reference/{site[0]}.py:{site[1]}"
        if refusal is None:
            gaps.append(f"{where}: the clause, the reason and the text of a refusal must be string literals")
            continue
        where += f": {refusal.reason} ({refusal.clause})"
        if refusal.clause not in load():
            gaps.append(f"{where}: there is no such clause")
        if (site in unreached) != (refusal.reason in reasons.unreached):
            reached = site not in unreached
            gaps.append(
                f"{where}: {'reached, although there is a reason' if reached else 'no case reaches this refusal'}"
            )
    gaps += [f"reference/{module}.py:{line}: refuses without a call of refuse(...)" for module, line in unlisted]
    known = {refusal.reason for refusal in sites.values() if refusal is not None}
    return gaps + [
        f"reason for {reason}: nothing is refused for it" for reason in reasons.unreached if reason not in known
    ]


@dataclass
class Matrix:
    """The results of all mutants, and what the gate needs to know of the cases."""

    level: str
    programs: int
    """Number of random programs."""
    cases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The clauses of each case."""
    failing: list[str] = field(default_factory=list)
    """Cases that fail on the reference itself."""
    unreached: list[Site] = field(default_factory=list)
    """Refusals that no case reaches."""
    unlisted: list[Site] = field(default_factory=list)
    """Places that have refused, but are not calls of `refuse` in the reference's source."""
    results: list[MutantResult] = field(default_factory=list)
    redundant_cases: list[str] = field(default_factory=list)
    """Cases that kill no mutant."""


def run(
    mutants: Sequence[Mutant],
    level: str,
    workers: int,
    programs: int,
    everything: bool = False,
    gate: Reasons | None = None,
) -> Matrix:
    """Run mutants against the cases of a level, and against `programs` random programs each, the known one first.

    `everything`: do not stop at the first case that kills a mutant.  `gate`: also find refusals that no case reaches
    and cases that kill no mutant; skip random programs for mutants that have a reason not to be found by them.
    """
    matrix = Matrix(level, programs)

    def work(runner: Runner) -> None:
        matrix.cases = {id: item.stash[CASE].clauses for id, item in runner.cases.items()}
        if gate is not None:
            reference = InstrumentedReference(mutants)
            matrix.failing = runner.run_on_reference(reference)
            sites = refusal_sites()
            matrix.unreached = [site for site in sites if site not in reference.sites]
            matrix.unlisted = sorted(reference.sites - sites.keys())
        series = ProgramSeries(mutants, programs, folder, known_finds() if programs else {})
        progress = Progress("mutants", len(mutants))
        killing: set[str] = set()  # the cases that have killed a mutant in this process

        def judge(id: str) -> MutantResult:
            excluded = not programs or (gate is not None and is_unreachable(id, gate))
            enough: Container[str] | None = () if everything else killing if gate is not None else None
            result = evaluate(runner, mutant_module.load()[id], enough, None if excluded else series)
            killing.update(result.killers)
            return result

        for result in parallel_map(judge, [mutant.id for mutant in mutants], workers):
            matrix.results.append(result)
            progress(len(matrix.results))
        order = [mutant.id for mutant in mutants]
        matrix.results.sort(key=lambda result: order.index(result.id))
        if gate is not None:
            matrix.redundant_cases = find_redundant_cases(runner, mutants, matrix.results, workers)

    with TemporaryDirectory(prefix="mmapconf-programs-") as name:
        folder = Path(name)
        run_with_cases(level, work)
    return matrix


def find_redundant_cases(
    runner: Runner, mutants: Sequence[Mutant], results: Sequence[MutantResult], workers: int
) -> list[str]:
    """Return the cases that kill no mutant, neither in `results` nor of the same groups of clauses."""
    killing = {id for result in results for id in result.killers}
    remaining: dict[str, list[str]] = {}
    for id in runner.cases:
        if id not in killing:
            remaining.setdefault(id.partition("[")[0], []).append(id)
    progress = Progress("functions of cases that have killed none yet", len(remaining))
    found = parallel_map(lambda ids: find_killers(runner, ids, mutants), [*remaining.values()], workers)
    for number, killed in enumerate(found, 1):
        killing.update(killed)
        progress(number)
    return [id for id in runner.cases if id not in killing]


def find_gaps(matrix: Matrix, mutants: Mapping[str, Mutant], reasons: Reasons) -> list[str]:
    """Return what the gate finds missing or wrong."""
    clauses = {id for id, clause in load().items() if clause.level in included(matrix.level)}
    gaps = [f"case {id}: the reference does not pass it" for id in matrix.failing]
    with_case = {clause for names in matrix.cases.values() for clause in names}
    gaps += [f"clause {id}: there is no case" for id in load() if id in clauses - with_case]
    with_mutant = {mutant.clauses[0] for mutant in mutants.values()}
    gaps += [f"clause {id}: there is no mutant" for id in load() if id in clauses - with_mutant]
    for mutant in mutants.values():
        gaps += [f"mutant {mutant.id}: there is no clause {id}" for id in mutant.clauses if id not in load()]
    for result in matrix.results:
        if result.crash:
            gaps.append(f"mutant {result.id}: crashes: {result.crash}")
        if not result.killers:
            gaps.append(f"mutant {result.id}: no case of {result.clauses[0]} kills it")
        if matrix.programs and not result.programs and not is_unreachable(result.id, reasons):
            gaps.append(f"mutant {result.id}: no random program finds it; {result.tried} execute the mutated code")
    gaps += find_refusal_gaps(refusal_sites(), matrix.unreached, matrix.unlisted, reasons)
    gaps += [f"case {id}: kills no mutant" for id in matrix.redundant_cases]
    for pattern in reasons.unreachable:
        if not any(fnmatchcase(id, pattern) for id in mutants):
            gaps.append(f"reason for {pattern}: there is no such mutant")
    return gaps
