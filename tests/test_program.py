"""Programs: JSON there and back, what is wrong with a bad one, replay on systems of different pages, as a test."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Process,
    System,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.calls import CALLS, PROCESS_CALLS, SYSTEM_CALLS, Signature
from pytest_mmapconf.trace.program import (
    CODE,
    Fails,
    Faults,
    NotExecuted,
    Program,
    ProgramError,
    Returns,
    Run,
    Special,
    Step,
    Sum,
    SymbolicOutcome,
    from_json,
    length,
    to_json,
)
from pytest_mmapconf.trace.pytest_source import pytest_source
from pytest_mmapconf.trace.replay import Player, allowed, amount, replay, runs

RW = int(PROT_READ | PROT_WRITE)
PAGE = Sum(pages=1)
A_PAGE_OF_A = (Run(b"A", PAGE),)


def mmap(result: str, addr: Sum, length: Sum, prot: int, flags: int, fd: Sum, process: str = "p1") -> Step:
    return Step(process, "mmap", (addr, length, prot, int(flags), fd, Sum()), (result,))


PROGRAM: Program = (
    Step("p1", "open", ("file-1", int(O_RDWR | O_CREAT), Sum(bytes=0o600)), ("fd1",)),
    Step("p1", "pwrite", (Sum("fd1"), (Run(b"A", PAGE), Run(b"end")), Sum())),
    mmap("r1", Sum(), Sum(pages=2, bytes=1), RW, MAP_SHARED, Sum("fd1")),
    mmap("r2", Sum("r1", pages=1), PAGE, int(PROT_READ), MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, Sum(bytes=-1)),
    Step("p1", "fork", (), ("p2",)),
    Step("p2", "store", (Sum("r1"), (Run(b"x"),))),
    Step("p1", "load", (Sum("r1"), PAGE)),
    Step("p1", "load", (Sum("r2", pages=2, bytes=-1), Sum(bytes=1))),
    Step("p1", "store", (Sum("r1", pages=1, bytes=-1), (Run(b"yz"),))),
    Step("p1", "munmap", (Sum("r1", bytes=1), PAGE)),
    Step("p1", "msync", (Sum("r1"), Sum(bytes=1 << 64, minus="r1"), int(MS_SYNC))),
    Step("p1", "pread", (Sum("fd1"), Sum(pages=2), Sum())),
    Step("p2", "exit", (Sum(bytes=3),)),
)
OUTCOMES: list[SymbolicOutcome] = [
    Returns(Sum("fd1")),
    Returns(Sum(pages=1, bytes=3)),
    Returns(Sum("r1")),
    Returns(Sum("r1", pages=1)),
    Returns(Sum("p2")),
    Returns(None),
    Returns((Run(b"x"), Run(b"A", Sum(pages=1, bytes=-1)))),
    Faults("SIGBUS", "BUS_ADRERR", Sum("r2", pages=2, bytes=-1)),
    Faults("SIGSEGV", "SEGV_ACCERR", Sum("r1", pages=1)),
    Fails("EINVAL"),
    Fails("ENOMEM"),
    Returns((Run(b"x"), Run(b"A", Sum(pages=1, bytes=-2)), Run(b"yend"))),
    Returns(Sum(bytes=3)),
]

UNUSUAL: Program = (
    Step("", "facility", ("dev-zero",)),
    Step("p1", "open", ("<dev-zero>", int(O_RDONLY), Sum(bytes=0o600)), ("fd1",)),
    Step("p1", "return_instruction", ()),
    Step("p1", "scratch_range", (), ("r1",)),
    mmap("r2", Sum("r1"), PAGE, RW | 0x40, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, Sum("fd1", bytes=1000)),
    Step("p1", "store", (Sum("r1"), (Run(Special.RETURN_INSTRUCTION), Run(b'\x00\xff"\\'), Run(b"", Sum())))),
    Step("p1", "mmap", (Sum(bytes=(1 << 64) - 5), Sum(bytes=1 << 63, pages=-1), -1, 0, Sum(bytes=-1), Sum(pages=-1))),
    Step("", "spawn", (), ("p2",)),
    Step("p1", "pipe", (), ("fd2", "fd3")),
    Step("p1", "set_limit_headroom", ("locked-memory", Sum(pages=2))),
    Step("p1", "record_lock", (Sum("fd1"), Sum(bytes=1))),
    Step("p1", "sysconf", (SC_PAGESIZE,)),
    Step("p1", "sysconf", (12345,)),
    Step("", "run_concurrently", ((Step("p1", "add", (Sum("r1"), Sum(bytes=5), Sum())),),)),
    Step("p1", "mlockall", (3,)),
    Step("p1", "mremap", (Sum("r1"), PAGE, Sum(pages=2), int(MREMAP_MAYMOVE), Sum()), ("r3",)),
    Step("", "full_file_table", ()),
    Step("", "end_full_file_table", ()),
)


@pytest.mark.parametrize("program", [PROGRAM, UNUSUAL, ()], ids=["usual", "unusual", "empty"])
def test_json_there_and_back(program: Program) -> None:
    text = to_json(program)

    assert from_json(text) == program
    assert to_json(from_json(text)) == text
    assert json.loads(text)["version"] == 1


def test_json_is_read_as_it_is_meant() -> None:
    """The format is published: what this text means may not change."""
    text = """{"version": 1, "steps": [
      {"process": "p1", "call": "open", "arguments": {"path": "a", "flags": "O_RDWR|O_CREAT"}, "results": ["fd1"]},
      {"process": "p1", "call": "mmap", "arguments": {"addr": "0", "length": "2**64 - pages(1) + 1", "prot":
        "PROT_READ|0x40", "flags": 2, "fd": "fd1", "offset": "-pages(2)"}, "results": ["r1"]},
      {"process": "p1", "call": "store", "arguments": {"addr": "r1 + pages(1)-1", "data": ["\\u00ff", {"bytes": "ab",
        "times": "pages(1)"}, {"return_instruction": 1}]}},
      {"process": "p1", "call": "munmap", "arguments": {"addr": "r1", "length": "0x1000 - r1"}}
    ]}"""

    assert from_json(text) == (
        Step("p1", "open", ("a", int(O_RDWR | O_CREAT), Sum(bytes=0o600)), ("fd1",)),
        Step(
            "p1",
            "mmap",
            (Sum(), Sum(bytes=(1 << 64) + 1, pages=-1), 1 | 0x40, 2, Sum("fd1"), Sum(pages=-2)),
            ("r1",),
        ),
        Step("p1", "store", (Sum("r1", 1, -1), (Run(b"\xff"), Run(b"ab", PAGE), Run(Special.RETURN_INSTRUCTION)))),
        Step("p1", "munmap", (Sum("r1"), Sum(bytes=0x1000, minus="r1"))),
    )


def steps(second: str) -> str:
    first = '{"process": "p1", "call": "scratch_range", "results": ["r1"]}'
    return f'{{"version": 1, "steps": [{first}, {second}]}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON: "),
        ("[]", "not a program of version 1"),
        ('{"version": 2, "steps": []}', "not a program of version 1"),
        (steps("5"), "step 2: a step is an object, not 5"),
        (steps('{"process": "p1", "call": "fork", "argument": {}}'), "step 2: unknown: argument"),
        (steps('{"process": "p1", "call": "mapp"}'), "step 2: no call is named 'mapp'"),
        (steps('{"process": "p1", "call": "spawn"}'), "step 2: spawn is a call of the system"),
        (steps('{"call": "fork"}'), "step 2: fork is a call of a process"),
        (steps('{"process": "p2", "call": "fork"}'), "step 2: p2 is not the result of an earlier step"),
        (steps('{"process": "p1", "call": "fork", "results": ["r1"]}'), "step 2: there is a r1 already"),
        (steps('{"process": "p1", "call": "fork", "results": "p2"}'), "step 2: results are names, not 'p2'"),
        (steps('{"process": "p1", "call": "close"}'), "step 2: close lacks fd"),
        (
            steps('{"process": "p1", "call": "close", "arguments": {"fd": 1, "f": 2}}'),
            "step 2: close has the arguments fd",
        ),
        (steps('{"process": "p1", "call": "close", "arguments": {"fd": "fd1"}}'), "step 2: fd1 is not the result of"),
        (
            steps('{"process": "p1", "call": "close", "arguments": {"fd": []}}'),
            "step 2: fd of close: a number is expected",
        ),
        (
            steps('{"process": "p1", "call": "close", "arguments": {"fd": "1 2"}}'),
            "step 2: fd of close: '1 2' is no number",
        ),
        (steps('{"process": "p1", "call": "close", "arguments": {"fd": "r1 + r1"}}'), "is no number"),
        (steps('{"process": "p1", "call": "close", "arguments": {"fd": ""}}'), "is no number"),
        (steps('{"process": "p1", "call": "mlockall", "arguments": {"flags": "MS_SYNC"}}'), "'MS_SYNC' is no MCL_…"),
        (steps('{"process": "p1", "call": "unlink", "arguments": {"path": 5}}'), "path of unlink: a text is expected"),
        (steps('{"process": "p1", "call": "store", "arguments": {"addr": 0, "data": "x"}}'), "a list is expected"),
        (
            steps('{"process": "p1", "call": "store", "arguments": {"addr": 0, "data": [5]}}'),
            "a run of bytes is expected",
        ),
        (
            steps('{"process": "p1", "call": "store", "arguments": {"addr": 0, "data": ["€"]}}'),
            "characters that are no",
        ),
    ],
)
def test_error_in_a_program_is_named(text: str, message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        from_json(text)

    assert message in str(caught.value)


def test_a_step_as_text() -> None:
    assert str(PROGRAM[3]) == (
        "r2 = p1.mmap(r1 + pages(1), pages(1), PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0)"
    )
    assert str(PROGRAM[10]) == "p1.msync(r1, 2**64 - r1, MS_SYNC)"
    assert str(Step("p1", "close", (Sum(bytes=-1),))) == "p1.close(-1)"
    opened = Step("p1", "open", ("file", int(O_RDWR), Sum(bytes=0o600)), ("fd1",))
    assert str(opened) == 'fd1 = p1.open("file", O_RDWR)'


def test_every_call_of_the_contract_is_derived() -> None:
    """With the names of its arguments in their order, their kinds and their defaults."""
    left_out = {"maps", "audit", "batch", "close"}  # the close of a system; that of a process is a call
    for owner, calls in ((Process, PROCESS_CALLS), (System, SYSTEM_CALLS)):
        public = {name for name, value in vars(owner).items() if inspect.isfunction(value) and name[0] != "_"}
        assert public - left_out == set(calls) - left_out - {"end_full_file_table"}
    assert CALLS["mremap"] == Signature(
        {"addr": "address", "old_size": "amount", "new_size": "amount", "flags": "mremap", "new_addr": "address"},
        "address",
        {"new_addr": 0},
    )
    assert CALLS["record_lock"] == Signature({"fd": "fd", "ofd": "count"}, "nothing", {}, frozenset(["ofd"]))
    assert CALLS["pipe"] == Signature({}, "fds", {})
    assert CALLS["run_concurrently"] == Signature({"calls": "calls"}, "run_concurrently", {})


# -------------------------------------------------------------------------------------------------- numbers and bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, Sum()),
        (5, Sum(bytes=5)),
        (4096, PAGE),
        (4095, Sum(pages=1, bytes=-1)),
        (2048, Sum(bytes=2048)),
        (8193, Sum(pages=2, bytes=1)),
        (-4096, Sum(pages=-1)),
        (1 << 64, Sum(bytes=1 << 64)),
        ((1 << 64) - 4096, Sum(pages=-1, bytes=1 << 64)),
        ((1 << 63) + 4097, Sum(pages=1, bytes=(1 << 63) + 1)),
        (1 << 40 | 12345678901, Sum(bytes=1 << 40 | 12345678901)),
    ],
)
def test_number_is_expressed_in_pages(value: int, expected: Sum) -> None:
    assert amount(value, 4096) == expected
    assert expected.pages * 4096 + expected.bytes == value


def test_repeated_bytes_are_stated_once() -> None:
    assert runs(b"ab" + b"c" * 4096 + b"\xc3" + b"d" * 15, 4096, b"\xc3") == (
        Run(b"ab"),
        Run(b"c", PAGE),
        Run(Special.RETURN_INSTRUCTION),
        Run(b"d" * 15),
    )
    assert runs(b"", 4096, None) == ()


def test_rest_of_a_page_after_code() -> None:
    """Its length depends on the length of the code of the machine."""
    data = (Run(Special.RETURN_INSTRUCTION), Run(b"x", Sum(pages=1, minus=CODE)))
    step = Step("p1", "store", (Sum("r1"), data))

    assert runs(b"1234" + b"x" * 4092, 4096, b"1234") == data
    assert length(data) == PAGE
    assert length(data[:1]) == Sum(CODE)
    assert from_json(steps(json.dumps(json.loads(to_json((step,)))["steps"][0])))[1] == step
    assert Player(ReferenceBackend().boot()).data(data) == b"\xc3" + b"x" * 4095


# ------------------------------------------------------------------------------------------------------------- replay


@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_replay_on_pages_of_any_size(page: int) -> None:
    assert replay(PROGRAM, ReferenceBackend(page=page).boot()) == OUTCOMES


def test_steps_that_cannot_be_made_are_skipped() -> None:
    """A step whose names got no value, and a call that a system does not have; the others are made."""

    class Small(Process):
        def sysconf(self, name: int) -> int:
            return 4096

        def munmap(self, addr: int, length: int) -> None:
            raise OSError(22, "no")

    class One(System):
        def spawn(self) -> Process:
            return Small()

    program = (
        Step("p1", "scratch_range", (), ("r1",)),
        Step("p1", "load", (Sum("r1"), Sum(bytes=1))),
        Step("p1", "munmap", (Sum(), Sum())),
    )

    assert replay(program, One()) == [
        NotExecuted("the backend has no scratch_range"),
        NotExecuted("r1 has no value"),
        Fails("EINVAL"),
    ]


def test_the_unusual_calls() -> None:
    player = Player(ReferenceBackend().boot())
    outcomes = [player.play(step) for step in UNUSUAL]

    assert outcomes[5] == Returns(None)
    assert isinstance(outcomes[6], Fails)
    assert outcomes[8] == Returns((Sum("fd2"), Sum("fd3")))
    assert outcomes[13] == Returns((None,))
    assert player.number(Sum("fd3")) == player.number(Sum("fd2")) + 1


def test_reference_reports_every_applicable_error() -> None:
    (outcome,) = replay(
        (Step("p1", "mmap", (Sum(), Sum(), 0, int(MAP_SHARED), Sum(bytes=99), Sum(bytes=1))),),
        ReferenceBackend().boot(),
    )

    assert isinstance(outcome, Fails)
    assert outcome.allowed == {"EINVAL", "EBADF"}


def test_allowed_results_at_another_address() -> None:
    placed = mmap("r1", Sum(bytes=65536), PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, Sum(bytes=-1))
    fixed = mmap("r1", Sum("r0"), PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, Sum(bytes=-1))
    moved = Step("p1", "mremap", (Sum("r1"), PAGE, PAGE, int(MREMAP_MAYMOVE), Sum()), ("r2",))
    stays = Step("p1", "mremap", (Sum("r1"), PAGE, PAGE, 0, Sum()), ("r2",))

    assert allowed(placed, Returns(Sum(bytes=65536))) == {Returns(Sum("r1"))}
    assert allowed(fixed, Returns(Sum("r0"))) == {Returns(Sum("r0"))}
    assert allowed(moved, Returns(Sum("r1"))) == {Returns(Sum("r2"))}
    assert allowed(stays, Returns(Sum("r1"))) == {Returns(Sum("r1"))}
    assert allowed(stays, Fails("EFAULT", frozenset({"EFAULT", "ENOMEM"}))) == {Fails("EFAULT"), Fails("ENOMEM")}
    assert allowed(stays, Fails("EFAULT")) == {Fails("EFAULT")}
    assert not allowed(Step("p1", "mincore", (Sum("r1"), PAGE)), Returns((True,)))


# ---------------------------------------------------------------------------------------------------------- as a test


def expected(program: Program) -> list[frozenset[SymbolicOutcome]]:
    outcomes = replay(program, ReferenceBackend().boot())
    return [allowed(step, outcome) for step, outcome in zip(program, outcomes, strict=True)]


def test_the_lines_of_a_test() -> None:
    source = pytest_source(PROGRAM, expected(PROGRAM), "shared", ["munmap.errno.EINVAL"])

    assert source.split("\n\n\n")[1].splitlines() == [
        "@clause('munmap.errno.EINVAL')",
        "def test_shared(process, page):",
        "    fd1 = process.open('file-1', O_RDWR | O_CREAT)",
        "    assert process.pwrite(fd1, b'A' * page + b'end', 0) == page + 3",
        "    r1 = process.mmap(0, 2 * page + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd1, 0)",
        "    r2 = process.mmap(r1 + page, page, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0)",
        "    assert r2 == r1 + page",
        "    p2 = process.fork()",
        "    p2.store(r1, b'x')",
        "    assert process.load(r1, page) == b'x' + b'A' * (page - 1)",
        "    with faults('SIGBUS', at=r2 + 2 * page - 1, code='BUS_ADRERR'):",
        "        process.load(r2 + 2 * page - 1, 1)",
        "    with faults('SIGSEGV', at=r1 + page, code='SEGV_ACCERR'):",
        "        process.store(r1 + page - 1, b'yz')",
        "    with fails('EINVAL'):",
        "        process.munmap(r1 + 1, page)",
        "    with fails('ENOMEM'):",
        "        process.msync(r1, 2**64 - r1, MS_SYNC)",
        "    assert process.pread(fd1, 2 * page, 0) == b'x' + b'A' * (page - 2) + b'yend'",
        "    assert p2.exit(3) == 3",
    ]


def test_the_lines_run(tmp_path: Path) -> None:
    """On the reference they pass; expecting something else, they fail."""
    good, bad = expected(PROGRAM), expected(PROGRAM)
    bad[6] = frozenset([Returns(A_PAGE_OF_A)])
    (tmp_path / "test_good.py").write_text(pytest_source(PROGRAM, good, "good", ["munmap.errno.EINVAL"]))
    (tmp_path / "test_unusual.py").write_text(pytest_source(UNUSUAL, expected(UNUSUAL), "unusual"))
    (tmp_path / "test_bad.py").write_text(pytest_source(PROGRAM, bad, "bad"))
    command = [sys.executable, "-m", "pytest", "--mmap-backend=reference", "-p", "no:cacheprovider", "-q", "-rA"]

    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)

    results = {line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))}
    assert {result.split(" - ")[0] for result in results} == {
        "PASSED test_good.py::test_good",
        "PASSED test_unusual.py::test_unusual",
        "FAILED test_bad.py::test_bad",
    }, done.stdout


def test_indeterminate_bytes_are_left_out() -> None:
    program = (Step("p1", "scratch_range", (), ("r1",)), Step("p1", "load", (Sum("r1"), PAGE)))
    masked = Returns((Run(b"ab"), Run(Special.ANY, Sum(pages=1, bytes=-3)), Run(b"c")))

    source = pytest_source(program, [{Returns(Sum("r1"))}, {masked}], "masked")

    assert source.splitlines()[-3:] == [
        "    seen = process.load(r1, page)",
        "    assert seen[0 : 2] == b'ab'",
        "    assert seen[page - 1 : page] == b'c'",
    ]


def test_facilities_and_resources_by_name() -> None:
    source = pytest_source(UNUSUAL, expected(UNUSUAL), "unusual")

    assert "dev_zero = system.facility(Facility.DEV_ZERO)" in source
    assert "process.open(dev_zero, O_RDONLY)" in source
    assert "process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)" in source
