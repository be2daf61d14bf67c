"""Mutants: their forms, the matrix of cases that kill them, the gate, and the command."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from errno import EINVAL, ENOENT, EPERM
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from pytest_mmapconf import __main__
from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, Backend, Process
from pytest_mmapconf.fuzzing.search import Search
from pytest_mmapconf.gates import mutation_matrix, runner
from pytest_mmapconf.gates.mutation_matrix import Matrix, Reasons
from pytest_mmapconf.gates.runner import InstrumentedReference, MutantResult, ProgramSeries
from pytest_mmapconf.outcomes import Failed
from pytest_mmapconf.reference import mutant as form
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.files import Inode
from pytest_mmapconf.reference.mutant import Original, never, other, refuses, wrong
from pytest_mmapconf.reference.mutants.calls import Mmap, Mremap
from pytest_mmapconf.reference.observed_choices import FOUND_EARLY, ORDER_OF_MMAP
from pytest_mmapconf.reference.process import ReferenceProcess as Model
from pytest_mmapconf.reference.refusal import Refusals

PAGE = 4096


def process(backend: Backend) -> Process:
    return backend.boot().spawn()


# ------------------------------------------------------------------------------------------------------------ the forms


def test_a_refusal_that_is_never_made() -> None:
    mutant = never("x", "munmap.errno.EINVAL", reason="length-zero")

    process(mutant.boot()).munmap(0, 0)
    with pytest.raises(OSError, match="not a multiple"):  # another reason of the same clause
        process(mutant.boot()).munmap(1, PAGE)


def test_a_refusal_of_one_call_only() -> None:
    mutant = never("x", "mlock.errno.EINVAL", call="mlockall")

    process(mutant.boot()).mlockall(0)
    with pytest.raises(OSError, match="wraps around"):
        process(mutant.boot()).munlock(PAGE, (1 << 64) - PAGE)


def test_a_refusal_with_another_errno() -> None:
    mutant = other("x", ENOENT, "munmap.errno.EINVAL", reason="length-zero")

    with pytest.raises(OSError, match="length is 0") as failed:
        process(mutant.boot()).munmap(0, 0)
    assert failed.value.errno == ENOENT
    assert mutant.text == "ENOENT where length-zero"


def test_a_call_that_is_refused_although_it_should_not_be() -> None:
    mutant = refuses("x", Model.munmap, EPERM, lambda self, addr, length: length == 7, "munmap.range", text="it is 7")

    process(mutant.boot()).munmap(0, 8)
    with pytest.raises(OSError, match="it is 7") as failed:
        process(mutant.boot()).munmap(0, 7)
    assert failed.value.errno == EPERM


def test_method_with_another_effect() -> None:
    @wrong(Model.sysconf, "paging.sysconf", bug="test #1")
    def pages_are_too_large(sysconf: Original, self: Model, name: int) -> int:
        """A page is
        too large."""
        return int(sysconf(self, name)) * 2

    assert process(pages_are_too_large.boot()).sysconf(30) == 2 * PAGE
    assert pages_are_too_large.id == "pages-are-too-large"
    assert pages_are_too_large.text == "A page is too large."
    assert pages_are_too_large.bug == "test #1"


def test_a_call_whose_arguments_are_changed() -> None:
    @wrong(Mmap, "mmap.prot.none")
    def the_length_is_doubled(self: Model, mmap: Mmap) -> int:
        mmap.length *= 2
        base = mmap()
        assert mmap(addr=base, length=PAGE, flags=mmap.flags | MAP_FIXED) == base
        return base

    @wrong(Mremap, "mremap.resize")
    def nothing_moves_or_shrinks(self: Model, mremap: Mremap) -> int:
        return mremap(new_size=mremap.old_size)

    mutant = process(the_length_is_doubled.boot())
    base = mutant.mmap(0, length=PAGE, prot=PROT_READ, flags=MAP_PRIVATE | MAP_ANONYMOUS, fd=-1, offset=0)
    assert mutant.load(base + PAGE, 1) == b"\0"
    mutant = process(nothing_moves_or_shrinks.boot())
    base = mutant.mmap(0, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    assert mutant.mremap(base, 2 * PAGE, PAGE, 0) == base  # new_addr has its default
    assert mutant.load(base + PAGE, 1) == b"\0"


def test_property_with_another_value() -> None:
    @wrong(Inode.mappable, "mmap.errno.ENODEV")
    def anything_can_be_mapped(mappable: Original, self: Inode) -> bool:
        return True

    mutant = process(anything_can_be_mapped.boot())
    assert mutant.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, mutant.pipe()[0], 0)


def test_the_reference_and_other_mutants_stay_as_they_are() -> None:
    never("x", "munmap.errno.EINVAL").boot()

    for backend in (ReferenceBackend(), never("y", "mmap.errno.EINVAL").boot()):
        with pytest.raises(OSError, match="length is 0") as failed:
            process(backend).munmap(0, 0)
        assert failed.value.errno == EINVAL


def test_two_mutants_of_one_name_are_refused() -> None:
    module = ModuleType("twice")
    vars(module)["REFUSALS"] = (never("x", "mmap.errno.EINVAL"), never("x", "munmap.errno.EINVAL"))

    with pytest.raises(ValueError, match="two mutants x"):
        form.by_id([module])


def test_every_mutant_names_existing_clauses_and_has_a_text() -> None:
    for mutant in form.load().values():
        assert set(mutant.clauses) <= load().keys(), mutant.id
        assert mutant.text, mutant.id
        assert mutant.bug, mutant.id


# ----------------------------------------------------------------------------------------------------------- as backend


def test_a_mutant_is_a_backend(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    asked = ("--mmap-backend=mutant:munmap-takes-the-next-page", "--mmap-clause=munmap.range", "-p", "no:cacheprovider")

    result = pytester.runpytest_subprocess(*asked)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["fail", "  munmap.range *"])


def test_wrong_id_suggests_the_nearest(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--mmap-backend=mutant:munmap-takes-the-nxt-page")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no such mutant; did you mean munmap-takes-the-next-page*mutants --list*"])


# ----------------------------------------------------------------------------------------------------------- the matrix


@wrong(Model.munmap, "munmap.range")
def breaks_down(munmap: Original, self: Model, addr: int, length: int) -> None:
    """It is not even wrong."""
    raise AssertionError("breaks down")


@wrong(Model.munmap, "munmap.range")
def is_right(munmap: Original, self: Model, addr: int, length: int) -> None:
    """The mutant acts like the reference."""
    munmap(self, addr, length)


@wrong(Model.munmap, "msync.errno.EINVAL")
def is_wrong_otherwise(munmap: Original, self: Model, addr: int, length: int) -> None:
    """munmap does nothing, which is not what its clause is about."""


@wrong(Model.munmap, "munmap.hole")
def never_ends(munmap: Original, self: Model, addr: int, length: int) -> None:
    """munmap never returns."""
    while True:
        pass


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the suite's mutants by those of this module, and shorten the time limit."""
    mutants = {mutant.id: mutant for mutant in (breaks_down, is_right, is_wrong_otherwise, never_ends)}
    monkeypatch.setattr(form, "load", lambda: mutants)
    monkeypatch.setattr(runner, "TIME_LIMIT", 1)


@pytest.mark.usefixtures("few")
def test_results_that_do_not_count_as_killed() -> None:
    rows = mutation_matrix.run([*form.load().values()], "linux", 1, 6, everything=True).results

    assert [(row.id, row.killers, bool(row.crash), row.programs > 0) for row in rows] == [
        ("breaks-down", [], True, False),
        ("is-right", [], False, False),
        ("is-wrong-otherwise", [], False, True),
        ("never-ends", [], False, False),
    ]


def test_all_cases_that_kill_a_mutant() -> None:
    mutant = form.load()["munmap-takes-the-next-page"]

    one, all_ = (mutation_matrix.run([mutant], "linux", 2, 60, everything).results[0] for everything in (False, True))

    assert len(one.killers) == 1
    assert len(all_.killers) > 2
    assert one.programs == all_.programs > 0


def test_command_prints_and_writes_the_matrix(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{tmp_path}/matrix.json"

    assert __main__.main(["mutants", "munmap-takes-length-0", "-n", "1", "--programs", "20", "--json", path]) == 0

    assert "killed by deterministic cases: 1 of 1" in capsys.readouterr().out
    with open(path, encoding="utf-8") as file:
        assert '"munmap-takes-length-0"' in file.read()


def test_survivors_are_printed_those_of_programs_only_if_any_were_run(
    few: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["mutants", "is-*", "-n", "1", "--programs", "6"]) == 1
    out = capsys.readouterr().out
    assert "is-right: NOT KILLED by munmap.range; no random program\n" in out
    assert "survives the cases: is-right (munmap.range)\n" in out
    assert "survives random programs: is-right (munmap.range)\n" in out
    assert "found by at most 6 random programs: 1 of 2, 0 by a clause that they name\n" in out

    assert __main__.main(["mutants", "is-right", "-n", "1", "--programs", "0"]) == 1
    assert "random program" not in capsys.readouterr().out


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["mutants", "--list", "munmap.hole"]) == 0

    assert capsys.readouterr().out.startswith("munmap-refuses-a-hole  [munmap.hole, munmap.result]")


def test_a_pattern_that_matches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["mutants", "munmpa.*"]) == 2

    assert "no mutant's id or clause matches" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- the gate

NONE = Reasons({}, {})
TAKES_0 = form.load()["munmap-takes-length-0"]
ALL = {id: never(f"m-{id}", id) for id in load()}
"""A mutant for each clause."""


def gate(reasons: Reasons = NONE, **found: object) -> list[str]:
    """Return the gaps that the gate finds in a matrix that is complete except for `found`."""
    whole = Matrix("linux", **{"programs": 400, "cases": {id: (id,) for id in load()}} | found)  # type: ignore[arg-type]
    return mutation_matrix.find_gaps(whole, {mutant.id: mutant for mutant in ALL.values()}, reasons)


def result(**found: object) -> MutantResult:
    return MutantResult("m", ("mmap.range",), "own", "", **{"killers": ["c"], "programs": 1} | found)  # type: ignore[arg-type]


def test_nothing_is_missing() -> None:
    assert gate(results=[result()]) == []


def test_gaps_that_the_gate_finds() -> None:
    site, refusal = next(iter(mutation_matrix.refusal_sites().items()))
    assert refusal is not None

    assert gate(failing=["c"]) == ["case c: the reference does not pass it"]
    assert gate(results=[result(killers=[])]) == ["mutant m: no case of mmap.range kills it"]
    assert gate(results=[result(programs=0)]) == ["mutant m: no random program finds it; 0 execute the mutated code"]
    assert gate(results=[result(programs=0)], programs=0) == []
    assert gate(results=[result(crash="so")]) == ["mutant m: crashes: so"]
    assert gate(unreached=[site]) == [
        f"reference/{site[0]}.py:{site[1]}: {refusal.reason} ({refusal.clause}): no case reaches this refusal"
    ]
    assert gate(unlisted=[("files", 7)]) == ["reference/files.py:7: refuses without a call of refuse(...)"]
    assert gate(redundant_cases=["c"]) == ["case c: kills no mutant"]


def test_a_clause_without_case_or_mutant() -> None:
    gaps = mutation_matrix.find_gaps(Matrix("documented", 400), {}, NONE)

    assert "clause munmap.range: there is no case" in gaps
    assert "clause munmap.range: there is no mutant" in gaps
    assert not [gap for gap in gaps if "munmap.hole" in gap]  # of another level


def test_reasons_are_accepted_and_wrong_ones_found() -> None:
    assert gate(Reasons({"m-mmap.range": "so"}, {}), results=[MutantResult("m-mmap.range", (), "own", "", ["c"])]) == []
    assert gate(Reasons({"no-such": "so"}, {})) == ["reason for no-such: there is no such mutant"]
    assert gate(Reasons({}, {"no-such": "so"})) == ["reason for no-such: nothing is refused for it"]
    reached = gate(Reasons({}, {"type-missing": "so"}))
    assert reached
    assert all("reached, although there is a reason" in gap for gap in reached)


def test_mutants_that_would_have_differed_are_recorded() -> None:
    mutants = (
        is_right,
        never("that-refusal", "munmap.errno.EINVAL", reason="length-zero"),
        never("another-refusal", "munmap.errno.EINVAL", reason="addr-unaligned"),
        refuses("those", Model.munmap, EPERM, lambda self, addr, length: length == 0, "munmap.range", text="it is 0"),
        refuses("down", Model.munmap, EPERM, lambda self, addr, length: 1 / length, "munmap.range", text="it divides"),
        refuses("others", Model.munmap, EPERM, lambda self, addr, length: length == 7, "munmap.range", text="it is 7"),
        wrong(Model.mlock, "mlock.success")(lambda *arguments: None),
    )
    instrumented = InstrumentedReference(mutants)

    with pytest.raises(OSError, match="length is 0"):
        instrumented.boot().spawn().munmap(0, 0)

    assert instrumented.differing == {"is-right", "that-refusal", "those", "down"}


def test_programs_that_do_not_reach_a_mutation_are_not_run(tmp_path: Path) -> None:
    series = ProgramSeries([TAKES_0], 20, tmp_path)

    result = found(series)

    reaching = [number for number, ids in enumerate(series.differing, 1) if TAKES_0.id in ids]
    assert len(series.differing) == result.programs == reaching[result.tried - 1]
    assert 0 < len(reaching) < 20


def test_the_known_program_is_tried_first(tmp_path: Path) -> None:
    number = found(ProgramSeries([TAKES_0], 20, tmp_path)).programs
    series = ProgramSeries([TAKES_0], 20, tmp_path, {TAKES_0.id: number})

    result = found(series)

    assert (result.programs, result.tried, series.differing) == (number, 0, [])
    assert result.is_named


def test_a_known_program_that_does_not_find_the_mutant_any_more_costs_time_only(tmp_path: Path) -> None:
    right = found(ProgramSeries([TAKES_0], 20, tmp_path))
    assert right.programs > 1

    assert found(ProgramSeries([TAKES_0], 20, tmp_path, {TAKES_0.id: 1})) == right


def found(series: ProgramSeries) -> MutantResult:
    """Return the result of running a series of programs on the mutant TAKES_0."""
    result = MutantResult(TAKES_0.id, TAKES_0.clauses, TAKES_0.bug, TAKES_0.text)
    runner.search_with_programs(result, Search(TAKES_0.boot(), "linux"), series)
    return result


def test_the_programs_on_record_are_those_of_mutants() -> None:
    known = mutation_matrix.known_finds()

    assert set(known) <= set(form.load())
    assert all(number > 0 for number in known.values())
    assert len(known) > 800


def test_new_finds_replace_those_on_record() -> None:
    results = [MutantResult(id, ("c",), "", "", programs=number) for id, number in {"b": 7, "a": 41, "c": 0}.items()]

    text = mutation_matrix.finds_text(results, {"b": 5, "c": 6, "other": 8})

    assert tomllib.loads(text) == {"a": 41, "b": 7, "other": 8}


def test_workers_share_what_one_of_them_has_learnt(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "own").mkdir()
    one, other = (ProgramSeries([TAKES_0], 6, tmp_path / "shared") for _ in range(2))
    alone = ProgramSeries([TAKES_0], 6, tmp_path / "own")

    assert list(one.reaching(TAKES_0.id)) == list(other.reaching(TAKES_0.id)) == list(alone.reaching(TAKES_0.id))
    assert one.differing == other.differing == alone.differing


def test_places_that_refuse_are_found_and_recorded() -> None:
    sites = mutation_matrix.refusal_sites()
    instrumented = InstrumentedReference()

    with pytest.raises(OSError, match="length is 0"):
        instrumented.boot().spawn().munmap(0, 0)

    (reached,) = instrumented.sites
    assert sites[reached] == ("munmap.errno.EINVAL", "length-zero", "length is 0")
    assert sites.keys() - {reached}


def test_refusal_over_several_lines_is_recorded_at_its_first_line() -> None:
    instrumented = InstrumentedReference()
    process = instrumented.boot().spawn()
    with pytest.raises(OSError, match="page"):
        process.mmap(0, PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1)

    assert instrumented.sites <= mutation_matrix.refusal_sites().keys()


def test_gate_finds_every_refusal_of_the_reference() -> None:
    sources = mutation_matrix.reference_sources()
    del sources["refusal"]  # whose docstring has an example
    calls = sum(len(re.findall(r"^ +refuse\(", source, re.MULTILINE)) for source in sources.values())

    sites = mutation_matrix.refusal_sites()

    assert None not in sites.values()
    assert len(sites) == calls > 180


@pytest.mark.parametrize(
    "arguments",
    [
        'EFAULT, clause, "buffer-outside", "the buffer is outside user space"',
        'EFAULT, "buffer.store", reason, "the buffer is outside user space"',
        'EFAULT, "buffer.store", "buffer-outside", f"{the_buffer} is outside user space"',
        'EFAULT, clause="buffer.store", reason="buffer-outside", text="the buffer is outside user space"',
    ],
)
def test_a_refusal_that_the_source_does_not_show_fails_the_gate(arguments: str) -> None:
    sites = mutation_matrix.refusal_sites({"user_buffers": f"def call(refuse, clause):\n    refuse({arguments})\n"})

    assert mutation_matrix.find_refusal_gaps(sites, [], [], NONE) == [
        "reference/user_buffers.py:2: the clause, the reason and the text of a refusal must be string literals"
    ]


def test_an_id_of_a_reason_has_one_text_and_a_text_one_id() -> None:
    refusals = {refusal for refusal in mutation_matrix.refusal_sites().values() if refusal is not None}
    pairs = {(refusal.reason, refusal.text) for refusal in refusals}

    for names in ([reason for reason, _ in pairs], [text for _, text in pairs]):
        assert [name for name in names if names.count(name) > 1] == []
    for reason, _ in pairs:
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", reason)


def test_every_reason_that_is_named_elsewhere_is_one_of_a_refusal() -> None:
    known = {refusal.reason for refusal in mutation_matrix.refusal_sites().values() if refusal is not None}

    assert ORDER_OF_MMAP.keys() | FOUND_EARLY.keys() <= known
    assert mutation_matrix.reasons().unreached.keys() <= known
    for source in Path(form.__file__ or "").parent.joinpath("mutants").glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            match node:
                case ast.keyword("reason", value):
                    named = {part.value for part in ast.walk(value) if isinstance(part, ast.Constant)}
                    assert named <= known, f"{source.name}:{value.lineno}"


def calls_with_several_errors(process: Process) -> list[tuple[Callable[..., object], tuple[int, ...]]]:
    anonymous = MAP_PRIVATE | MAP_ANONYMOUS
    return [
        (process.mmap, (0, 0, 0, MAP_PRIVATE, -1, 1)),
        (process.mmap, (0, 1 << 60, 0, anonymous | MAP_FIXED, -1, 1)),
        (process.mmap, (1, PAGE, 0, MAP_ANONYMOUS | MAP_FIXED, -1, 0)),
        (process.munmap, (1, 0)),
        (process.mremap, (1, PAGE, 0, 1 << 20)),
        (process.msync, (1, PAGE, 1 << 20)),
        (process.mprotect, (1, 1 << 63, 1 << 20)),
    ]


@pytest.mark.parametrize("level", ["posix", "linux"])
@pytest.mark.parametrize("errno", ["EINVAL", "ENOMEM", "EBADF", "EFAULT", "EPERM"])
def test_no_verdict_depends_on_the_text_of_a_refusal(level: str, errno: str) -> None:
    """Verdicts on the same calls stay the same if every text is replaced."""

    def reword(
        refuse: Original, self: Refusals, errno: int, clause: str, reason: str, text: str, late: bool = False
    ) -> None:
        refuse(self, errno, clause, reason, "another text", late)

    def verdicts(package: str) -> list[object]:
        choices_of = import_module(f"{package}.observed_choices")
        choices = choices_of.ObservedChoices(level)
        system = form.package_backend(package).boot()
        system.choices = choices
        process = system.spawn()
        found: list[object] = []
        for call, arguments in calls_with_several_errors(process):
            choices.observe(call.__name__, Failed(errno))
            try:
                call(*arguments)
            except choices_of.NotAllowed as wrong:
                found.append((wrong.allowed, wrong.clauses))
            except OSError as failed:
                found.append(failed.errno)
            else:
                found.append("success")
        return found

    reworded = form.copied()
    form.patch(reworded, Refusals.__call__, reword)

    assert verdicts(reworded) == verdicts(form.copied())
