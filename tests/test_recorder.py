"""The recorder: numbers that keep their names, programs that say what was meant, a contract that is kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Call,
    Facility,
    Fault,
    Process,
    System,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.program import Fails, Faults, NotExecuted, Returns, Run, Special, Step, Sum
from pytest_mmapconf.trace.recorder import RecordedSystem, Symbol, symbol
from pytest_mmapconf.trace.replay import replay

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = Sum(pages=1)


@pytest.fixture
def system() -> RecordedSystem:
    return RecordedSystem(ReferenceBackend().boot())


def last(system: RecordedSystem) -> Step:
    return system.program()[0][-1]


# ------------------------------------------------------------------------------------------------------------ numbers

BASE = symbol(0x10000, Sum("r1"))
OTHER = symbol(0x20000, Sum("r2"))
A_PAGE = symbol(4096, PAGE)


@pytest.mark.parametrize(
    ("number", "value", "meant"),
    [
        (BASE + 1, 0x10001, Sum("r1", 0, 1)),
        (1 + BASE, 0x10001, Sum("r1", 0, 1)),
        (BASE + 2 * A_PAGE - 1, 0x11FFF, Sum("r1", 2, -1)),
        (BASE - A_PAGE, 0xF000, Sum("r1", -1)),
        (A_PAGE * 3, 0x3000, Sum("", 3)),
        (-A_PAGE, -0x1000, Sum("", -1)),
        (5 - A_PAGE, -0xFFB, Sum("", -1, 5)),
        ((1 << 64) - BASE, (1 << 64) - 0x10000, Sum("", 0, 1 << 64, "r1")),
        (OTHER - BASE, 0x10000, Sum("r2", 0, 0, "r1")),
        (BASE + A_PAGE - BASE, 0x1000, PAGE),
        ((1 << 64) - BASE + BASE, 1 << 64, Sum("", 0, 1 << 64)),
    ],
)
def test_numbers_keep_their_names(number: int, value: int, meant: Sum) -> None:
    assert number == value
    assert isinstance(number, Symbol)
    assert number.sum == meant


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (BASE + OTHER, 0x30000),
        (BASE * 2, 0x20000),
        (A_PAGE * A_PAGE, 1 << 24),
        (BASE // 2, 0x8000),
        (BASE % 7, 0x10000 % 7),
    ],
)
def test_number_that_no_sum_describes_stays_a_number(number: int, value: int) -> None:
    assert type(number) is int
    assert number == value


# ----------------------------------------------------------------------------------------------------------- programs


def test_a_program_says_what_was_meant(system: RecordedSystem) -> None:
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    fd = process.open("file-1", O_RDWR | O_CREAT)
    process.pwrite(fd, b"A" * page + b"B", 0)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    with pytest.raises(OSError, match="length is 0"):
        process.munmap(base, 0)
    child = process.fork()
    assert child.load(base + page, 2) == b"B\0"
    with pytest.raises(Fault):
        child.load(base + 2 * page - 1, 2)
    child.exit()

    program, outcomes = system.program()

    assert program == (
        Step("p1", "sysconf", (SC_PAGESIZE,)),
        Step("p1", "open", ("file-1", int(O_RDWR | O_CREAT), Sum(bytes=0o600)), ("fd1",)),
        Step("p1", "pwrite", (Sum("fd1"), (Run(b"A", PAGE), Run(b"B")), Sum())),
        Step("p1", "mmap", (Sum(), Sum(pages=2), int(RW), int(MAP_SHARED), Sum("fd1"), Sum()), ("r1",)),
        Step("p1", "munmap", (Sum("r1"), Sum())),
        Step("p1", "fork", (), ("p2",)),
        Step("p2", "load", (Sum("r1", 1), Sum(bytes=2))),
        Step("p2", "load", (Sum("r1", 2, -1), Sum(bytes=2))),
        Step("p2", "exit", (Sum(),)),
    )
    assert outcomes == [
        Returns(PAGE),
        Returns(Sum("fd1")),
        Returns(Sum("", 1, 1)),
        Returns(Sum("r1")),
        Fails("EINVAL"),
        Returns(Sum("p2")),
        Returns((Run(b"B\0"),)),
        Faults("SIGSEGV", "SEGV_MAPERR", Sum("r1", 2)),
        Returns(Sum()),
    ]
    assert replay(program, ReferenceBackend(page=65536).boot()) == outcomes


def test_neighbours_are_distinguished(system: RecordedSystem) -> None:
    """The address after one region is the start of another: the number keeps which one was meant."""
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    high = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    low = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    assert low + page == high
    process.load(high, 1)
    process.load(low + page, 1)

    program, _outcomes = system.program()

    assert [step.arguments[0] for step in program[-2:]] == [Sum("r1"), Sum("r2", 1)]


def test_a_plain_address_is_looked_for(system: RecordedSystem) -> None:
    """In the latest region that holds it, else by the latest that is near; far from all it stays a number."""
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, 4 * page, PROT_NONE, ANONYMOUS, -1, 0)
    process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.load(int(base) + page + 5, 1)
    with pytest.raises(Fault):
        process.load(int(base) + 3 * page, 1)
    with pytest.raises(Fault):
        process.load(int(base) - page, 1)
    with pytest.raises(Fault):
        process.load(12345, 1)

    program, _outcomes = system.program()

    assert [step.arguments[0] for step in program[-4:]] == [
        Sum("r2", 0, 5),
        Sum("r1", 3),
        Sum("r2", -2),
        Sum(bytes=12345),
    ]


def test_the_end_of_user_space_belongs_to_no_region(system: RecordedSystem) -> None:
    """However near to one it is: another system places its regions elsewhere."""
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    end = ((1 << 47) // page - 1) * page
    assert base + page == end
    with pytest.raises(OSError, match="range"):
        process.munmap(end, page)
    with pytest.raises(OSError, match="range"):
        process.munmap(base, end - base + 1)

    program, _outcomes = system.program()

    assert program[-2].arguments == (Sum(bytes=(1 << 47) - 4096), PAGE)
    assert program[-1].arguments == (Sum("r1"), Sum("", 0, (1 << 47) - 4095, "r1"))


def test_a_plain_descriptor_is_the_one_that_has_the_number(system: RecordedSystem) -> None:
    process = system.spawn()
    first = process.open("a", O_RDWR | O_CREAT)
    process.close(first)
    again = process.open("b", O_RDWR | O_CREAT)
    assert again == first
    process.close(int(again))

    assert last(system) == Step("p1", "close", (Sum("fd2"),))


def test_calls_by_keyword_arguments(system: RecordedSystem) -> None:
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    zero = process.open(path=system.facility(Facility.DEV_ZERO), flags=O_RDWR)
    code = process.return_instruction()
    addr, length = process.scratch_range()
    process.mmap(addr, page, RW, MAP_PRIVATE | MAP_FIXED, zero, 0)
    process.store(addr, b"." + code)
    process.mlockall(MCL_CURRENT)
    process.record_lock(process.memfd(), ofd=True)
    reader, writer = process.pipe()
    process.close(writer)
    other = system.spawn()
    with system.full_file_table():
        pass
    system.run_concurrently([Call(other, "sysconf", (SC_PAGESIZE,)), Call(process, "load", (addr, 1))])
    assert system.mapping_limit() > 0
    assert isinstance(process.maps(), str)
    assert length > page

    program, outcomes = system.program()

    assert program[1:] == (
        Step("", "facility", ("dev-zero",)),
        Step("p1", "open", ("<dev-zero>", int(O_RDWR), Sum(bytes=0o600)), ("fd1",)),
        Step("p1", "return_instruction", ()),
        Step("p1", "scratch_range", (), ("r1",)),
        Step("p1", "mmap", (Sum("r1"), PAGE, int(RW), int(MAP_PRIVATE | MAP_FIXED), Sum("fd1"), Sum()), ("r2",)),
        Step("p1", "store", (Sum("r1"), (Run(b"."), Run(Special.RETURN_INSTRUCTION)))),
        Step("p1", "mlockall", (int(MCL_CURRENT),)),
        Step("p1", "memfd", (), ("fd2",)),
        Step("p1", "record_lock", (Sum("fd2"), Sum(bytes=1))),
        Step("p1", "pipe", (), ("fd3", "fd4")),
        Step("p1", "close", (Sum("fd4"),)),
        Step("", "spawn", (), ("p2",)),
        Step("", "full_file_table", ()),
        Step("", "end_full_file_table", ()),
        Step(
            "",
            "run_concurrently",
            ((Step("p2", "sysconf", (SC_PAGESIZE,)), Step("p1", "load", (Sum("r1"), Sum(bytes=1)))),),
        ),
        Step("", "mapping_limit", ()),
    )
    assert replay(program, ReferenceBackend().boot()) == outcomes
    assert reader != writer


def test_missing_call_and_death_of_a_system() -> None:
    """An unsupported call is a step like any other; the step in which a system died has no outcome."""

    class Dying(Process):
        def munmap(self, addr: int, length: int) -> None:
            raise Unresolved("it died")

    class One(System):
        def spawn(self) -> Process:
            return Dying()

    system = RecordedSystem(One())
    process = system.spawn()
    with pytest.raises(Unsupported):
        process.scratch_range()
    with pytest.raises(Unresolved):
        process.munmap(4096, 8192)
    with pytest.raises(TypeError, match="munmap"):
        process.munmap(1)  # type: ignore[call-arg]

    program, outcomes = system.program()

    assert program == (Step("p1", "scratch_range", ()), Step("p1", "munmap", (Sum(bytes=4096), Sum(bytes=8192))))
    assert outcomes == [NotExecuted("the backend has no scratch_range")]


# ---------------------------------------------------------------------------------------------------------- the suite


def test_every_case_runs_through_a_recorder(tmp_path: Path) -> None:
    """With the same verdicts; and what is written down, as JSON, gives the same when it is replayed."""
    (tmp_path / "recording.py").write_text(
        textwrap.dedent(
            """
            from pytest_mmapconf.trace.program import from_json, to_json
            from pytest_mmapconf.trace.recorder import RecordedSystem
            from pytest_mmapconf.reference.backend import ReferenceBackend
            from pytest_mmapconf.trace.replay import replay

            BY_CHANCE = ("counters", "free_space")

            class Replayed(RecordedSystem):
                def close(self):
                    super().close()
                    program, outcomes = self.program()
                    assert from_json(to_json(program)) == program
                    again = replay(program, ReferenceBackend().boot())
                    for step, outcome, other in zip(program, outcomes, again, strict=True):
                        if step.call == "crash":
                            break
                        assert outcome == other or step.call in BY_CHANCE, step

            class Recording(ReferenceBackend):
                def boot(self):
                    return Replayed(super().boot())
            """
        )
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "--mmap-level=linux",
        "-m",
        "not mmap_tour",
    ]

    done = subprocess.run(
        [*command, "--mmap-backend=python:recording:Recording"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout
    assert re.search("clauses of level linux some cases asked, others not: [0-9]+ pass$", done.stdout.strip())


def test_attributes_beside_the_contract_are_those_of_the_process() -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()

    assert getattr(process, "space") is getattr(getattr(process, "inside"), "space")  # noqa: B009
    assert getattr(system, "choices") is getattr(system.inside, "choices")  # noqa: B009
    with pytest.raises(AttributeError, match="no_such"):
        getattr(process, "no_such")  # noqa: B009


def test_without_symbols_results_are_plain_and_the_program_is_the_same() -> None:
    programs = []
    for symbols in (True, False):
        system = RecordedSystem(ReferenceBackend().boot(), symbols)
        process = system.spawn()
        page = process.sysconf(SC_PAGESIZE)
        base = process.mmap(0, 2 * page, 3, 0x22, -1, 0)
        process.munmap(base + page, page)
        assert (type(base) is int) == (not symbols)
        programs.append(system.program()[0])

    assert programs[0] == programs[1]
