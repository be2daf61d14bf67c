"""Random programs: the drawing of their steps, and the detection and reduction of defects."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from errno import EINVAL
from pathlib import Path
from random import Random
from typing import Final

import pytest

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.agent.build import build_agent
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    PROT_READ,
    SC_PAGESIZE,
    Backend,
    Process,
    Resource,
    System,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.differential.reproducers import Judge, write
from pytest_mmapconf.fuzzing import FACILITY_ONE_IN, RARE_STEP, RARE_STEPS, STEP, STEPS, THEMES, Draws, ProgramGenerator
from pytest_mmapconf.fuzzing.search import MAX_UNRESOLVED, Search, program_of, split
from pytest_mmapconf.plugin.random_programs import RandomPrograms
from pytest_mmapconf.reference import mutant
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.recorder import RecordedSystem
from pytest_mmapconf.version import suite_version

HERE = Path(__file__).parent
SEEDS = range(5)
MAX_STEPS = 8
"""Largest number of steps of a shrunk program, for each injected defect."""

MUTANT_OF: Final = {
    "private writes go through": "private-stores-reach-the-file",
    "mremap loses the tail": "mremap-loses-the-tail",
    "munmap frees one page too many": "munmap-takes-the-next-page",
    "msync says 0 for a hole": "msync-says-0-for-a-hole",
    "a MAP_FIXED that fails with EACCES unmaps first": "mmap-fixed-unmaps-before-it-looks-at-the-mode",
    "close drops the mapping": "closing-drops-the-mapping",
    "shared anonymous memory is copied at fork": "shared-memory-is-copied-at-fork",
    "a truncated page is not zeroed": "a-truncated-page-is-not-zeroed",
}
"""Defects of broken_libc.c -> the mutant of the reference with the same defect."""


def mutated(id: str) -> ReferenceBackend:
    """Return the backend of a mutant."""
    return mutant.load()[id].boot()


def step(name: str, *draws: int) -> bytes:
    """Return the bytes of a step, by its name and its draws."""
    kind = [1 + STEPS.index(name)] if name in STEPS else [1 + STEPS.index(RARE_STEP), RARE_STEPS.index(name)]
    return bytes([*kind, *draws]).ljust(STEP, b"\0")


# ------------------------------------------------------------------------------------------------------------- drawing


def test_draws_are_consumed_one_by_one_and_then_zeros() -> None:
    draws = Draws(bytes([7, 255, 3]))

    assert [draws.below(5), draws.choice("abc"), draws.one_in(4), draws.below(9)] == [2, "a", True, 0]


def test_zeros_are_no_step() -> None:
    assert split(bytes(3 * STEP) + step("mmap") + bytes(STEP)) == [bytes(STEP), step("mmap")]


NEED_MORE = ("exit", "execute", "dup", "run_concurrently", "use_noexec_directory", "read_into", "write_from")
"""Steps without an effect in an initial program: they need a second process, code, or another state."""


@pytest.mark.parametrize("name", [name for name in dict.fromkeys((*STEPS, *RARE_STEPS)) if name != RARE_STEP])
def test_the_simplest_step_of_each_kind_can_be_made(name: str) -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    generator = ProgramGenerator(system)
    generator.step(step("mmap"))
    before = len(system.noted)
    generator.step(step(name))

    calls = [call for _process, call, *_rest in system.noted[before:]]
    assert name in calls or name in NEED_MORE


def test_the_same_bytes_are_the_same_program_whatever_addresses_the_system_chooses() -> None:
    programs = []
    for user_bits in (47, 42):
        system = RecordedSystem(ReferenceBackend(user_bits=user_bits).boot())
        generator = ProgramGenerator(system)
        for number in range(60):
            generator.step(bytes((number * place * 37 + number) % 256 for place in range(1, STEP + 1)))
        programs.append([re.sub(r"\b2\*\*\d+|0x[0-9a-f]+|\b\d{9,}", "LARGE", str(s)) for s in system.program()[0]])

    assert len(programs[0]) > 60
    assert programs[0] == programs[1]


@pytest.mark.parametrize(("kind", "lock"), [(0, False), (2, True)], ids=["letters", "zeros"])
def test_processes_add_only_if_a_lock_is_free(kind: int, lock: bool) -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    generator = ProgramGenerator(system)
    for made in (step("mmap", 0, 1, kind), step("fork"), step("run_concurrently")):
        generator.step(made)

    assert ([call for _process, call, *_rest in system.noted][-1] == "run_concurrently") == lock


def test_after_a_crash_the_program_continues_with_the_files_of_the_disk() -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    generator = ProgramGenerator(system)
    generator.begin(bytes((len(THEMES) - 1, FACILITY_ONE_IN - 1)))
    for name in ("mmap", "crash", "store"):
        generator.step(bytes((1 + generator.steps.index(name),)))

    calls = [call for _process, call, *_rest in system.noted]
    assert calls[calls.index("crash") + 1 :] == ["spawn", "scratch_range", "open", "pread", "store"]


def test_every_step_of_every_theme_is_defined() -> None:
    for number in range(len(THEMES)):
        generator = ProgramGenerator(ReferenceBackend().boot())
        generator.begin(bytes((number, FACILITY_ONE_IN - 1)))
        assert generator.steps == THEMES[number].steps
        assert all(name == RARE_STEP or callable(getattr(generator, name)) for name in generator.steps)
        assert generator.files_in == THEMES[number].facility


# ------------------------------------------------------------------------------------------------------------- finding


def searched(backend: Backend, number: int) -> Search:
    """Return a short search that has run with a seed."""
    search = Search(backend, "linux")
    search.run_short(200, f"{number}")
    return search


@pytest.mark.parametrize("id", MUTANT_OF.values())
def test_a_mutant_is_found_and_the_program_shrunk(id: str) -> None:
    for number in SEEDS:
        found = searched(mutated(id), number).counterexample

        assert found is not None, f"seed {number}"
        assert len(found.program) <= MAX_STEPS, found.listing()


def test_calls_without_a_part_in_the_difference_are_removed() -> None:
    search = Search(mutated("munmap-takes-the-next-page"), "linux")
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 1 << 40)
    first = process.mmap(0, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.munmap(first, page)
    process.load(first + page, 1)
    found = search.replay(system.program()[0])

    assert found is not None
    shorter = search.drop_unused_calls(found)

    assert [step.call for step in shorter.program] == ["mmap", "munmap", "load"]
    assert str(shorter.divergence) == str(found.divergence)


def test_the_same_seed_finds_the_same() -> None:
    backend = mutated("shared-memory-is-copied-at-fork")
    first, second = (searched(backend, 1).counterexample for _ in range(2))

    assert first is not None
    assert second is not None
    assert first.program == second.program
    assert str(first.divergence) == str(second.divergence)


class Counting(Backend):
    """A backend with a defect that counts the systems it has booted."""

    booted = 0

    def boot(self) -> System:
        self.booted += 1
        return mutated("munmap-takes-the-next-page").boot()


def test_shrinking_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Counting()
    search = Search(backend, "linux")
    steps, found = next(
        (steps, found) for steps in (program_of("1", number) for number in range(60)) if (found := search.run(steps))
    )
    monkeypatch.setattr("pytest_mmapconf.fuzzing.search.MAX_SECONDS", 0.0)
    booted = backend.booted
    shrunk = search.shrink(steps, found)

    assert shrunk.divergence
    assert backend.booted <= booted + 1, "a run to replace an audit by its call"


class Dying(Backend):
    """A backend each of whose systems dies in its first process."""

    booted = 0

    def boot(self) -> System:
        self.booted += 1
        return DyingSystem()


class DyingSystem(System):
    def spawn(self) -> Process:
        raise Unresolved("it has died")


def test_a_search_ends_after_systems_that_die() -> None:
    backend = Dying()

    assert [str(reason) for reason in searched(backend, 1).unresolved] == ["it has died"] * MAX_UNRESOLVED
    assert backend.booted == MAX_UNRESOLVED + 1, "one system is booted for its parameters"


class Once(Backend):
    """A backend with a defect in its second system only: the first one that runs a program."""

    booted = 0

    def boot(self) -> System:
        self.booted += 1
        return mutated("munmap-takes-the-next-page").boot() if self.booted == 2 else ReferenceBackend().boot()


def test_a_difference_that_shows_only_once_is_reported() -> None:
    wrong = Search(mutated("munmap-takes-the-next-page"), "linux")
    programs = (program_of("1", number) for number in range(60))
    steps = next(steps for steps in programs if wrong.run_sparsely_audited(steps))
    found = Search(Once(), "linux").run(steps)

    assert found is not None
    assert "once" in found.divergence.__notes__[0]
    assert len(found.program) > 20


# ------------------------------------------------------------------------------------------------------- a broken libc


@pytest.fixture(scope="module")
def broken_libc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("broken") / "libc.so"
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(HERE / "broken_libc.c")], check=True)
    return library


@pytest.mark.parametrize("defect", MUTANT_OF)
def test_a_defect_of_a_libc_is_found_and_its_c_program_shows_it(defect: str, broken_libc: Path, tmp_path: Path) -> None:
    variables = {"LD_PRELOAD": str(broken_libc), "BROKEN": defect}
    command = ["env", *(f"{name}={value}" for name, value in variables.items()), str(build_agent())]
    for number in SEEDS:
        folder = tmp_path / str(number)
        folder.mkdir()
        backend = CommandBackend(shlex.join([*command, "--directory", str(folder)]))
        try:
            found = searched(backend, number).counterexample
            assert found is not None, f"seed {number}"
            assert len(found.program) <= MAX_STEPS, found.listing()
            summary, _ = write(Judge(backend, "linux"), found.program, defect, (), folder, "here")
        finally:
            backend.close()
        (source,) = list(folder.glob("*.c")) or [pytest.fail("\n".join(summary))]
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", folder / "program", source], check=True)
        right = subprocess.run([folder / "program"], capture_output=True, text=True, check=False)
        broken = subprocess.run(
            [folder / "program"], capture_output=True, text=True, check=False, env={**os.environ, **variables}
        )
        assert right.returncode == 0, f"{source.read_text()}{right}"
        # 1, or the signal that ends the program, where the defect ends the process that meets it
        assert broken.returncode == 1 or broken.returncode < 0, f"{source.read_text()}{broken}"


# ------------------------------------------------------------------------------------------------------------ as a case


def run_case(folder: Path, *arguments: str) -> str:
    """Return pytest's output for the case, run on a mutant in `folder`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--mmap-level=linux"]
    case = "conformance/random_programs.py::test_random_programs"
    return subprocess.run(
        [*command, "--mmap-backend=mutant:mmap-fixed-unmaps-before-it-looks-at-the-mode", *arguments, case],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{HERE}"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_the_same_seed_shows_the_same_program_alone_and_in_a_worker(tmp_path: Path) -> None:
    shown = []
    for arguments in ([], ["-n", "2"]):
        out = run_case(tmp_path, "--hypothesis-seed=7", *arguments)
        program = re.search(r"the program:\n(.*?repeat with --hypothesis-seed=7)", out, re.DOTALL)
        assert program, out
        shown.append(re.sub(r"^E +", "", program[1], flags=re.MULTILINE))

    assert shown[0] == shown[1]
    assert "open(" in shown[0]


SPY: Final = """
import os
from pathlib import Path

from hypothesis import settings
from pytest_mmapconf.reference.process import ReferenceProcess

settings.register_profile("few", max_examples=10)
settings.load_profile("few")


def noted(name, call):
    def made(self, *arguments):
        case = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[2]
        if case.endswith(" (call)"):  # the experiment for a property is made before the first case that needs it
            with Path(os.environ["CALLS"], case.split()[0]).open("a") as file:
                file.write(f"{name}{arguments}\\n")
        return call(self, *arguments)

    return made


for name in ("mmap", "munmap", "mremap", "msync", "pread"):
    setattr(ReferenceProcess, name, noted(name, getattr(ReferenceProcess, name)))
"""
"""A pytest plugin that writes the calls of each case to a file."""


def run_random_cases(folder: Path, name: str, *arguments: str) -> tuple[str, dict[str, str]]:
    """Return the seed in the header of a run of all cases with random input, and the calls of each case."""
    calls = folder / name
    calls.mkdir()
    (folder / "spy.py").write_text(SPY)
    command = [sys.executable, "-m", "pytest", "-p", "spy", "-p", "no:cacheprovider", "-m", "mmap_random"]
    out = subprocess.run(
        [*command, "--mmap-backend=reference", *arguments],
        cwd=folder,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
            "PYTHONPATH": f"{folder}",
            "CALLS": f"{calls}",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seed = re.search(r"^mmapconf .*, seed (\S+)$", out, re.MULTILINE)
    assert seed, out
    return seed[1], {file.name: file.read_text() for file in calls.iterdir()}


def test_without_an_option_each_run_draws_the_same(tmp_path: Path) -> None:
    first, *others = (
        run_random_cases(tmp_path, name, *arguments)
        for name, arguments in (("first", ()), ("second", ()), ("workers", ("-n", "2")))
    )

    assert first[0] == suite_version()
    assert len(first[1]) == 7
    assert all(other == first for other in others)


def test_a_new_seed_draws_other_input_and_can_be_repeated(tmp_path: Path) -> None:
    seed, calls = run_random_cases(tmp_path, "new", "--hypothesis-seed=random", "-n", "2")
    usual, other_calls = run_random_cases(tmp_path, "usual")

    assert seed.isdecimal()
    assert seed != usual
    assert all(calls[case] != other_calls[case] for case in calls)
    assert run_random_cases(tmp_path, "again", f"--hypothesis-seed={seed}") == (seed, calls)


def test_the_clauses_that_a_difference_breaks_fail(tmp_path: Path) -> None:
    out = run_case(tmp_path, "--hypothesis-seed=7")

    assert "1 failed" in out
    assert "mmap.result.failure" in out or "mmap.flag" in out
    assert "mmap.range  " not in out or "4 fail" not in out


def test_numbers_are_shown_in_pages() -> None:
    """A program can be replayed where pages have another size."""
    system = RecordedSystem(ReferenceBackend().boot())
    random = Random(5)
    generator = ProgramGenerator(system)
    for _ in range(400):
        generator.step(random.randbytes(STEP))

    assert not [str(made) for made in system.program()[0] if re.search(r"\b(4096|8192|12288|16384)\b", str(made))]


class Poor(Process):
    """A process without mmap."""

    def sysconf(self, name: int) -> int:
        if name != SC_PAGESIZE:
            raise OSError(EINVAL, "no such name")
        return 4096

    def scratch_range(self) -> tuple[int, int]:
        return 1 << 36, 1 << 20


class PoorSystem(System):
    def spawn(self) -> Process:
        return Poor()


class PoorBackend(Backend):
    def boot(self) -> System:
        return PoorSystem()


def test_missing_calls_are_reported() -> None:
    search = searched(PoorBackend(), 1)

    assert search.counterexample is None
    assert search.tally.lacks["mmap"] == "the backend has no mmap"


@pytest.mark.parametrize("has_succeeded", [True, False])
def test_programs_are_unsupported_only_if_no_mmap_succeeds(has_succeeded: bool) -> None:
    """A system that lacks a flag of mmap is judged by the mappings that it has."""
    programs = RandomPrograms.__new__(RandomPrograms)
    programs.findings, programs.part = [], None
    programs.search = Search(ReferenceBackend(), "posix")
    programs.search.tally.lacks["mmap"] = "mmap has no flags 0x10"
    programs.search.tally.effects["mmap.result.success"] += has_succeeded

    if has_succeeded:
        programs.check()
    else:
        with pytest.raises(Unsupported, match="no flags"):
            programs.check()
