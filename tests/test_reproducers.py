"""The files that --mmap-reproducers writes for a failure, and their replay with --mmap-replay."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL
from itertools import takewhile
from pathlib import Path

import pytest

from pytest_mmapconf.agent.build import build_agent
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Backend,
    Call,
    Process,
    System,
)
from pytest_mmapconf.differential.reproducers import Judge, file_name, write
from pytest_mmapconf.reference import mutant
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.trace.program import Program, from_json, needed
from pytest_mmapconf.trace.recorder import RecordedSystem

RW = PROT_READ | PROT_WRITE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "write-a-backend.md"
BROKEN_LIBC = Path(__file__).with_name("broken_libc.c")


def built(source: Path) -> Path:
    """Compile a C file without a warning, and return the program."""
    binary = source.with_suffix("")
    done = subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", binary, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return binary


def status(binary: Path, **environment: str) -> int:
    """Return the exit status of a program."""
    return subprocess.run([binary], env={**os.environ, **environment}, capture_output=True, check=False).returncode


def listed(run: pytest.RunResult) -> list[str]:
    """Return the lines about reproducers at the end of a run."""
    lines = run.outlines
    start = lines.index("reproducers") + 1
    return [line.strip() for line in takewhile(lambda line: line.startswith("  "), lines[start:])]


# -------------------------------------------------------------------------------------------------- a backend in Python


@pytest.fixture
def broken(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder with the documentation's backend, changed to accept an unaligned address."""
    match = re.search(r"<!-- file: mine.py -->\n```python\n(.*?)```\n", PAGE.read_text(), re.DOTALL)
    assert match is not None
    source = match[1]
    assert "if addr % 4096 or not" in source
    (pytester.path / "mine.py").write_text(source.replace("if addr % 4096 or not", "if not"))
    return pytester


MINE = ("--mmap-backend=python:mine:Mine", "--mmap-level=linux")
ONE = "conformance/munmap.py::test_unaligned_address_is_refused[1-page]"
SHOWN = "process 1: munmap(0x100001, 4096): success; allowed: EINVAL (munmap.errno.EINVAL*)"


@pytest.mark.parametrize(
    "mode", [["-n", "2"], ["--mmap-lockstep"], ["--setup-show"]], ids=["workers", "lockstep", "setup-show"]
)
def test_every_failure_has_reproducers(broken: pytest.Pytester, mode: list[str]) -> None:
    run = broken.runpytest_subprocess(
        *MINE,
        "--mmap-clause=munmap.errno.EINVAL.address",
        "--mmap-reproducers=out/files",
        "--mmap-report=report.json",
        "-v",
        *mode,
    )

    report = json.loads((broken.path / "report.json").read_text())
    cases = {case["id"]: case for case in report["cases"]}
    failed = {id for id, case in cases.items() if case["verdict"] == "fail"}
    assert "munmap.unaligned_address_is_refused[1-page]" in failed
    reported = [line for case in cases.values() for line in case.get("reproducer", ())]
    assert {id for id, case in cases.items() if "reproducer" in case} == failed
    assert sorted(reported) == sorted(listed(run))
    expected = {f"out/files/{file_name(id)}{ending}" for id in failed for ending in (".c", ".json")}
    expected |= {f"out/files/{re.sub(r'[-.]', '_', file_name(id))}.py" for id in failed}
    assert set(reported) == expected
    assert {f"out/files/{path.name}" for path in (broken.path / "out/files").iterdir()} == expected
    for id in sorted(failed)[:3]:
        source = broken.path / f"out/files/{file_name(id)}.c"
        assert "munmap.errno.EINVAL" in source.read_text().partition("*/")[0]
        assert status(built(source)) == 0


def test_each_kind_of_reproducer_shows_the_failure(broken: pytest.Pytester) -> None:
    """Replay the JSON, which writes the same files again; run the test lines as a case; on a right system both pass."""
    broken.runpytest_subprocess(*MINE, ONE, "--mmap-reproducers=one").assert_outcomes(failed=1)
    stem = "munmap.unaligned_address_is_refused-1-page"
    kept = broken.path / f"one/{stem}.json"

    run = broken.runpytest_subprocess(
        *MINE, f"--mmap-replay=one/{stem}.json", "--mmap-reproducers=two", "--mmap-report=report.json"
    )

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [SHOWN.replace("[", "[[]"), "the program, up to the difference:", "     1  r1 = p1.mmap(*"]
    )
    (clause,) = json.loads((broken.path / "report.json").read_text())["clauses"]
    assert clause["id"].startswith("munmap.errno.EINVAL")
    assert clause["verdict"] == "fail"
    assert clause["cases"] == [f"replay.{stem}"]
    assert (broken.path / f"two/replay.{stem}.json").read_text() == kept.read_text()

    lines = broken.runpytest_subprocess(*MINE, "one/munmap_unaligned_address_is_refused_1_page.py")
    lines.assert_outcomes(failed=1)
    lines.stdout.fnmatch_lines(["*expected EINVAL, but the call succeeded*"])

    right = "--mmap-backend=reference", "--mmap-level=linux"
    broken.runpytest_subprocess(*right, f"--mmap-replay=one/{stem}.json", "-n", "2").assert_outcomes(passed=1)
    broken.runpytest_subprocess(*right, "one/munmap_unaligned_address_is_refused_1_page.py").assert_outcomes(passed=1)


ENDS = """
from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_PRIVATE
from pytest_mmapconf.testing import clause

@clause("munmap.errno.EINVAL")
def test_ends(process, page):
    base = process.mmap(0, page, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.munmap(base + 1, page)
"""


def test_a_call_that_ends_the_process_has_reproducers(broken: pytest.Pytester) -> None:
    """The last output and the last requests are part of the evidence."""
    mine = broken.path / "mine.py"
    source, head = mine.read_text(), "    def munmap(self, addr, length):\n"
    assert source.count(head) == 1
    died = 'raise Died("the process ended by itself (SIGABRT), seen at munmap", "Assertion failed", ["1 munmap 0x1 1"])'
    ends = source.replace(head, f"{head}        if addr % 4096:\n            {died}\n")
    mine.write_text(f"from pytest_mmapconf.contract import Died\n{ends}")
    broken.makepyfile(test_mine=ENDS)

    options = "--mmap-level=linux", "--mmap-reproducers=out", "--mmap-report=report.json"
    run = broken.runpytest_subprocess(*MINE, "test_mine.py", *options)

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["*last requests*", "1 munmap 0x1 1", "*last output of the system*", "Assertion failed"])
    (case,) = json.loads((broken.path / "report.json").read_text())["cases"]
    assert case["verdict"] == "fail"
    assert case["evidence"]["output"] == "Assertion failed"
    assert case["evidence"]["requests"] == ["1 munmap 0x1 1"]
    assert case["evidence"]["allowed"] == ["EINVAL"]
    assert [Path(name).suffix for name in case["reproducer"]] == [".json", ".py", ".c"]
    assert status(built(broken.path / "out/test_mine.ends.c")) == 0
    broken.runpytest_subprocess(*MINE, "--mmap-replay=out/test_mine.ends.json").assert_outcomes(failed=1)


def test_a_replay_of_an_unsupported_call(broken: pytest.Pytester) -> None:
    opens = {"process": "p1", "call": "open", "arguments": {"path": "a", "flags": "O_RDWR"}}
    (broken.path / "it.json").write_text(json.dumps({"version": 1, "steps": [opens]}))
    broken.makeini("[pytest]\nmmap_replay = it.json")

    run = broken.runpytest_subprocess(*MINE, "-rs")

    run.assert_outcomes(skipped=1)
    run.stdout.fnmatch_lines(['*unsupported: step 1, p1.open("a", O_RDWR*): the backend has no open'])


def test_an_ini_file_can_request_reproducers(broken: pytest.Pytester) -> None:
    broken.makeini("[pytest]\nmmap_reproducers = kept")

    broken.runpytest_subprocess(*MINE, ONE).assert_outcomes(failed=1)

    assert len(list((broken.path / "kept").iterdir())) == 3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--mmap-reproducers=mine.py", "--mmap-reproducers=mine.py: cannot be written to: File exists"),
        ("--mmap-replay=none.json", "--mmap-replay=none.json: cannot be read: No such file or directory"),
        ("--mmap-replay=mine.py", "--mmap-replay=mine.py: not JSON: *"),
        ("--mmap-replay=bad.json", "--mmap-replay=bad.json: step 1: no call is named 'unmap'"),
    ],
)
def test_an_unusable_path_is_a_usage_error(broken: pytest.Pytester, option: str, message: str) -> None:
    (broken.path / "bad.json").write_text('{"version": 1, "steps": [{"process": "p1", "call": "unmap"}]}')

    run = broken.runpytest_subprocess(*MINE, option)

    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([f"ERROR: {message}"])


CASES = """
from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_PRIVATE
from pytest_mmapconf.testing import clause

@clause("munmap.range")
def test_no_step_shows_it(process, page):
    process.mmap(0, page, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    assert False, "no step shows this"

@clause("munmap.range")
def test_no_calls(system):
    assert False

@clause("munmap.range")
def test_passes(process, page):
    process.mmap(0, page, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
"""


def test_no_c_file_is_written_that_would_prove_nothing(broken: pytest.Pytester) -> None:
    broken.makepyfile(test_mine=CASES)

    run = broken.runpytest_subprocess("--mmap-backend=reference", "test_mine.py", "--mmap-reproducers=out")

    run.assert_outcomes(failed=2, passed=1)
    assert listed(run) == [
        "out/test_mine.no_step_shows_it.json",
        "out/test_mine.no_step_shows_it.c is not written: the outcome of each call is allowed; "
        "it judges something that no single one shows",
        "out/test_mine.no_calls.c is not written: no calls of this case's own are on record",
    ]
    assert [path.name for path in (broken.path / "out").iterdir()] == ["test_mine.no_step_shows_it.json"]


# --------------------------------------------------------------------------------------------------- a broken C library

CASES_OF = {
    "private writes go through": "mmap_arguments.py",
    "mremap loses the tail": "mremap.py",
    "munmap frees one page too many": "munmap.py",
    "msync says 0 for a hole": "msync.py",
    "a MAP_FIXED that fails with EACCES unmaps first": "mmap_errors.py",
    "close drops the mapping": "reference_counts.py",
    "shared anonymous memory is copied at fork": "mmap_arguments.py",
    "a truncated page is not zeroed": "truncation.py",
    "munmap sets errno to 0": "call_results.py",
}
"""Per defect, a module with cases that fail because of it."""


@pytest.mark.parametrize("defect", CASES_OF)
def test_c_files_fail_on_a_broken_system_and_pass_on_a_right_one(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory, defect: str
) -> None:
    library = tmp_path_factory.getbasetemp() / "broken_libc.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, BROKEN_LIBC], check=True)
    environment = {"LD_PRELOAD": os.fspath(library), "BROKEN": defect}
    command = " ".join(f"'{name}={value}'" for name, value in environment.items())

    run = pytester.runpytest_subprocess(
        f"--mmap-backend=agent:env {command} '{build_agent()}'",
        *("--mmap-level=linux", "--mmap-reproducers=out", f"conformance/{CASES_OF[defect]}", "-v"),
    )

    lines = listed(run)
    sources = sorted((pytester.path / "out").glob("*.c"))
    assert sources
    assert {line for line in lines if line.endswith(".c")} == {f"out/{source.name}" for source in sources}
    for line in lines:
        assert " " not in line or "own-file-system>/file-1 must be provided by the tester" in line
    for source in sources[:2]:
        binary = built(source)
        assert (status(binary), status(binary, **environment)) == (0, 1), source.read_text()


# ------------------------------------------------------------------------------------------------------------ the parts


def program() -> Program:
    """Return a program that maps and closes a file, and makes another mapping."""
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    fd = process.open("file-1", O_RDWR | O_CREAT)
    process.pwrite(fd, b"1" * page, 0)
    process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.close(fd)
    process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return needed(*system.program())[0]


def test_the_probe_of_an_audit_becomes_the_last_step() -> None:
    """The outcome of each call is allowed, but the mapping is gone: a step is added that loads from it."""
    backend = mutant.load()["closing-drops-the-mapping"].boot()

    judged = Judge(backend, "linux").judge(program())

    assert judged.divergence is not None
    assert [str(step) for step in judged.program[2:]] == [
        "r1 = p1.mmap(0, pages(1), PROT_READ|PROT_WRITE, MAP_SHARED, fd1, 0)",
        "p1.close(fd1)",
        "p1.load(r1, pages(1))",
    ]
    assert "mmap.refcount.close" in judged.divergence.clauses


class MovingProcess(ReferenceProcess):
    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        if flags != MREMAP_MAYMOVE:
            return super().mremap(addr, old_size, new_size, flags, new_addr)
        to = self.mmap(0, new_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        return super().mremap(addr, old_size, new_size, flags | MREMAP_FIXED, to)


class MovingSystem(ReferenceSystem):
    process_type = MovingProcess


class MovingBackend(Backend):
    def boot(self) -> System:
        return MovingSystem(Parameters(), LinuxChoices())


def moves(process: Process, page: int) -> None:
    process.mmap(0, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.mremap(base, 2 * page, 2 * page, MREMAP_MAYMOVE)


def wrong_order(process: Process, page: int) -> None:
    process.mmap(1, page, PROT_READ, MAP_SHARED | MAP_FIXED, -1, 0)


class ReorderingProcess(ReferenceProcess):
    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        if flags & MAP_FIXED and addr % self.page:
            raise OSError(EINVAL, "before EBADF")
        return super().mmap(addr, length, prot, flags, fd, offset)


class ReorderingSystem(ReferenceSystem):
    process_type = ReorderingProcess


class ReorderingBackend(Backend):
    def boot(self) -> System:
        return ReorderingSystem(Parameters(), LinuxChoices())


@pytest.mark.parametrize(
    ("backend", "case", "expected"),
    [(MovingBackend, moves, "(char *)result == r2"), (ReorderingBackend, wrong_order, "failed(EBADF)")],
)
def test_a_c_file_is_as_strict_as_the_replay(
    tmp_path: Path, backend: type[Backend], case: Callable[[Process, int], None], expected: str
) -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    with suppress(OSError):
        case(process, process.sysconf(SC_PAGESIZE))
    judge = Judge(backend(), "linux")
    judged = judge.judge(system.program()[0])
    assert judged.divergence is not None

    lines, _ = write(judge, system.program()[0], "it", (), tmp_path, "out")

    assert "out/it.c" in lines
    text = (tmp_path / "it.c").read_text()
    assert text.rpartition("EXPECT(")[2].startswith(f"{expected});\n")
    assert status(built(tmp_path / "it.c")) == 0


def test_file_names() -> None:
    assert file_name("munmap.range[whole-/dev/zero]") == "munmap.range-whole-dev-zero"
    long, longer = file_name("a" * 300), file_name("a" * 301)
    assert len(long) < 200
    assert long != longer


class RaisingProcess(ReferenceProcess):
    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        raise KeyError(f"where was {fd}?")


class RaisingSystem(ReferenceSystem):
    process_type = RaisingProcess


class RaisingBackend(Backend):
    def boot(self) -> System:
        return RaisingSystem(Parameters(), LinuxChoices())


def test_an_implementation_that_raises_an_unrelated_exception(tmp_path: Path) -> None:
    """The exception is reported in the line of the C file that is not written."""
    lines, _ = write(Judge(RaisingBackend(), "linux"), program(), "raising", (), tmp_path, "out")

    assert lines == [
        "out/raising.json",
        "out/raising.c is not written: KeyError when its calls were made again: 'where was 3?'",
    ]
    assert from_json((tmp_path / "raising.json").read_text()) == program()


# -------------------------------------------------------------------------------------------------------------- threads


@pytest.fixture
def race() -> Program:
    """Rounds in which a thread stores to a page that was unmapped, and a call after them."""
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    thread = process.thread()
    page = process.sysconf(SC_PAGESIZE)
    base, _length = process.scratch_range()
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    calls = [
        Call(process, "mmap", (base, page, RW, flags, -1, 0), 0),
        Call(thread, "store", (base, b"x"), 1),
        Call(process, "munmap", (base, page), 2),
        Call(thread, "store", (base, b"x"), 3),
    ]
    system.together(calls, 300)
    process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return system.program()[0]


def reproducers(backend: Backend, program: Program, folder: Path) -> tuple[str, str]:
    """Return the first line of what the C file says here, and the test."""
    lines, _shown = write(Judge(backend, "linux"), program, "race", ["threads.munmap"], folder, "files")
    assert lines == ["files/race.json", "files/race.py", "files/race.c"]
    done = subprocess.run([built(folder / "race.c")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    return (folder / "race.c").read_text().splitlines()[1], (folder / "race.py").read_text()


def test_a_race_that_shows_again(race: Program, tmp_path: Path) -> None:
    backend = mutant.load()["munmap-drops-own-translations-only"].boot()

    first, source = reproducers(backend, race, tmp_path)

    assert first == " * race: the failure shows in step 3, together."
    assert "    ('ok', 'ok', 'ok', 'fault SIGSEGV SEGV_MAPERR'),\n" in source
    assert "assert not unlike(system.together([" in source


def test_a_race_that_does_not_show_again(race: Program, tmp_path: Path) -> None:
    """The rounds in which the case has failed are made, with all outcomes that they may have."""
    first, source = reproducers(ReferenceBackend(), race, tmp_path)

    assert first == " * race: rounds of the calls that have failed; made again 5 times, they did not."
    assert "assert not unlike(system.together([" in source
    assert source.count("mmap(") == 0


def test_what_cannot_be_listed_is_said(race: Program, tmp_path: Path) -> None:
    """Additions have too many orders."""
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    thread = process.thread()
    base = process.mmap(0, 1, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    system.together([Call(process, "add", (base, 3, 0), 0), Call(thread, "add", (base, 3, 0), 0)], 300)

    judge = Judge(ReferenceBackend(), "linux")
    lines, _shown = write(judge, system.program()[0], "sums", ["threads.atomic"], tmp_path, "files")

    assert lines[0] == "files/sums.json"
    assert re.fullmatch(r"files/sums\.c is not written: step \d: there are too many orders of .* an addition", lines[1])
