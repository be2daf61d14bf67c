"""trace.used_process: processes with a past, and --mmap-process=used."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SEEK_CUR,
    SEEK_SET,
    Call,
    Process,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.trace.program import Program
from pytest_mmapconf.trace.recorder import RecordedBackend, RecordedSystem
from pytest_mmapconf.trace.used_process import NOT_SHIFTED, RIGHTS, SHIFT, UsedBackend, UsedProcess

PAGE = 4096
RW = PROT_READ | PROT_WRITE
MEMORY = MAP_PRIVATE | MAP_ANONYMOUS
ANY: Callable[[str], bool] = lambda call: True  # noqa: E731


def spawned(promises: Callable[[str], bool] = ANY) -> tuple[RecordedSystem, Process]:
    """Return a recorded system of the reference, and a used process of it."""
    recorded = RecordedBackend(ReferenceBackend())
    process = UsedBackend(recorded, promises).boot().spawn()
    assert recorded.last is not None
    return recorded.last, process


def calls(system: RecordedSystem) -> list[str]:
    program: Program = system.program()[0]
    return [step.call for step in program]


def test_it_is_a_child_of_a_process_that_has_truncated_a_file_and_moved_memory() -> None:
    system, _process = spawned()

    made = calls(system)
    assert made[:5] == ["sysconf", "open", "ftruncate", "mmap", "munmap"]
    assert made[5:10] == ["ftruncate", "dup", "close", "close", "unlink"]
    assert made[10:] == ["mmap", "mremap", "munmap", "mremap", "munmap", "fork", "sysconf"]


def test_a_mapping_has_lost_its_rights_once_and_a_file_is_mapped_by_the_parent() -> None:
    system, process = spawned()
    before = len(calls(system))
    fd = process.open("file", O_CREAT | O_RDWR)
    base = process.mmap(0, PAGE, RW, MEMORY, -1, 0)
    process.store(base, b"x")

    opened = ["open", "open", "mmap", "close", "fstat", "ftruncate"]
    assert calls(system)[before:] == [*opened, "mmap", "mprotect", "mprotect", "store", "store"]
    assert process.open("file", O_RDWR) == fd + 1


def test_the_parent_keeps_its_mapping_until_the_name_is_removed() -> None:
    _system, process = spawned()
    assert isinstance(process, UsedProcess)
    process.open("file", O_CREAT | O_RDWR)
    (at,) = process.parent.mappings.values()
    assert process.parent.process.mincore(at, PAGE)

    process.unlink("file")

    with pytest.raises(OSError, match="mapped"):
        process.parent.process.mincore(at, PAGE)


def test_what_a_case_calls_the_start_of_a_file_is_at_4_gib() -> None:
    system, process = spawned()
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"content", 0)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base + 1, b"O")
    other = process.fork().dup(fd)
    assert other > fd

    assert process.load(base, 7) == process.pread(fd, 7, 0) == b"cOntent"
    assert process.fstat(fd).size == 7
    assert process.lseek(fd, 3, SEEK_SET) == process.lseek(fd, 0, SEEK_CUR) == 3
    assert process.open("file", O_RDONLY) in process.shifted  # type: ignore[attr-defined]
    process.ftruncate(fd, 2)
    assert process.fstat(fd).size == 2
    assert isinstance(system.inside, ReferenceSystem)
    inode = system.inside.look_up("file")[2]
    assert inode is not None
    assert inode.size == SHIFT + 2


def test_offsets_of_what_is_no_file_and_near_the_largest_are_left_as_they_are() -> None:
    _system, process = spawned()
    fd = process.open("file", O_CREAT | O_RDWR)
    assert isinstance(process, UsedProcess)

    for call, arguments in [
        ("mmap", (0, PAGE, RW, MEMORY, fd, 0)),
        ("mmap", (0, PAGE, RW, MAP_SHARED, fd + 1, 0)),
        ("mmap", (0, PAGE, RW, MAP_SHARED, fd, NOT_SHIFTED)),
        ("pread", (fd, 1, -1)),
        ("lseek", (fd, 1, SEEK_CUR)),
        ("munmap", (fd, 1)),
    ]:
        assert process.translated(call, arguments) == arguments
    assert process.translated("pread", (fd, 1, 5)) == (fd, 1, SHIFT + 5)
    process.ftruncate(fd, NOT_SHIFTED + SHIFT)
    assert process.fstat(fd).size == NOT_SHIFTED + SHIFT
    assert process.pipe()[0] not in process.shifted


def test_a_call_that_changes_nothing_the_second_time_is_made_twice() -> None:
    system, process = spawned()
    base = process.mmap(0, PAGE, RW, MEMORY, -1, 0)
    before = len(calls(system))
    process.msync(base, PAGE, MS_SYNC)
    process.munmap(base, PAGE)

    assert calls(system)[before:] == ["msync", "msync", "munmap"]


@pytest.mark.parametrize(("outcomes", "last"), [((12, 22), 22), ((12, None), None)], ids=["refused", "made"])
def test_the_second_outcome_of_a_refused_call_counts(
    monkeypatch: pytest.MonkeyPatch, outcomes: tuple[int | None, ...], last: int | None
) -> None:
    left = list(outcomes)

    def answer(process: ReferenceProcess, *arguments: object) -> None:
        error = left.pop(0)
        if error is not None:
            raise OSError(error, "")

    _system, process = spawned()
    monkeypatch.setattr(ReferenceProcess, "fsync", answer)
    found = None
    try:
        process.fsync(3)
    except OSError as error:
        found = error.errno

    assert (found, left) == (last, [])


def test_where_the_end_of_a_file_cannot_be_mapped_files_have_no_hole() -> None:
    """The first page of an empty file can be mapped there, which would be the end of the hole."""
    process = UsedBackend(backends.make("reference:posix-strict", [], [])).boot().spawn()
    fd = process.open("file", O_CREAT | O_RDWR)
    assert isinstance(process, UsedProcess)
    assert not process.shifted

    process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)


def test_lengths_are_those_of_the_same_pages() -> None:
    _system, process = spawned()
    assert isinstance(process, UsedProcess)

    for call, arguments, length in [
        ("mmap", (0, 2 * PAGE, RW, MEMORY, -1, 0), 2 * PAGE - 1),
        ("munmap", (PAGE, PAGE), PAGE - 1),
        ("munmap", (PAGE, 0), 0),
        ("munmap", (PAGE, PAGE + 5), PAGE + 5),
        ("load", (PAGE, PAGE), PAGE),
    ]:
        assert process.shortened(call, arguments) == (arguments[0], length, *arguments[2:])
    assert process.shortened("mremap", (PAGE, PAGE, 3 * PAGE, 0)) == (PAGE, PAGE - 1, 3 * PAGE - 1, 0)


def test_the_second_of_two_calls_has_the_other_length(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    _system, process = spawned()
    monkeypatch.setattr(ReferenceProcess, "mlock", lambda process, addr, length: lengths.append(length))
    process.mlock(PAGE, 3 * PAGE)

    assert lengths == [3 * PAGE, 3 * PAGE - 1]


def test_a_system_without_files_so_long_has_files_without_the_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ReferenceProcess.ftruncate

    def limited(process: ReferenceProcess, fd: int, length: int) -> None:
        if length >= SHIFT:
            raise OSError(27, "file too large")
        right(process, fd, length)

    monkeypatch.setattr(ReferenceProcess, "ftruncate", limited)
    _system, process = spawned()
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"abc", 0)

    assert process.pread(fd, 3, 0) == b"abc"
    assert process.fstat(fd).size == 3


def test_a_file_that_was_opened_in_calls_made_at_once_has_its_hole() -> None:
    backend = UsedBackend(RecordedBackend(ReferenceBackend()))
    system = backend.boot()
    process = system.spawn()
    fd = process.open("file", O_CREAT | O_RDWR)
    process.pwrite(fd, b"abc", 0)
    process.close(fd)

    tally = system.together([Call(process, "open", ("file", O_RDONLY, 0), 0), Call(process, "pread", (fd, 3, 0), 1)], 1)

    assert tally == {(f"ok {fd}", "ok 616263"): 1}


def test_children_and_threads_are_used_processes() -> None:
    system, process = spawned()
    for other in (process.fork(), process.thread()):
        other.mmap(0, PAGE, RW, MEMORY, -1, 0)
        assert calls(system)[-3:] == ["mmap", "mprotect", "mprotect"]


@pytest.mark.parametrize(
    ("prot", "flags"), [(RW, MAP_GROWSDOWN), (RIGHTS + 1, 0)], ids=["grows-down", "bits-without-meaning"]
)
def test_a_mapping_whose_rights_cannot_be_given_back_keeps_them(prot: int, flags: int) -> None:
    system, process = spawned()
    process.mmap(0, PAGE, prot, MEMORY | flags, -1, 0)

    assert calls(system)[-1] == "mmap"


@pytest.mark.parametrize("call", ["fork", "mprotect", "unlink"])
def test_a_call_that_is_not_promised_is_not_made(call: str) -> None:
    system, process = spawned(lambda name: name != call)
    process.mmap(0, PAGE, RW, MEMORY, -1, 0)

    assert call not in calls(system)


@pytest.mark.parametrize("call", ["fork", "mprotect", "unlink"])
def test_a_system_without_a_call_has_used_processes_without_it(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def lacks(*arguments: object) -> None:
        raise Unsupported(f"{call} is not there")

    monkeypatch.setattr(ReferenceProcess, call, lacks)
    _system, process = spawned()
    base = process.mmap(0, PAGE, RW, MEMORY, -1, 0)

    process.store(base, b"x")


def test_rights_that_are_not_given_back_leave_the_case_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ReferenceProcess.mprotect

    def refuses(process: ReferenceProcess, addr: int, length: int, prot: int) -> None:
        if prot != PROT_NONE:
            raise OSError(12, "out of memory")
        right(process, addr, length, prot)

    monkeypatch.setattr(ReferenceProcess, "mprotect", refuses)
    _system, process = spawned()

    with pytest.raises(Unresolved, match="the rights that mprotect took cannot be given back"):
        process.mmap(0, PAGE, RW, MEMORY, -1, 0)


def test_calls_at_once_are_made_by_the_processes_inside() -> None:
    backend = UsedBackend(RecordedBackend(ReferenceBackend()))
    system = backend.boot()
    process = system.spawn()
    base, _ = process.scratch_range()
    process.mmap(base, PAGE, RW, MEMORY | MAP_FIXED, -1, 0)

    system.run_concurrently([Call(process, "store", (base, b"a")), Call(process, "store", (base + 1, b"b"))])
    assert system.together([Call(process, "load", (base, 2), 0)], 2) == {("ok 6162",): 2}


MODULE = """
from pytest_mmapconf.gates.conditions import conditional
from pytest_mmapconf.reference import mutant

def Wrong():
    return conditional(mutant.load()["munmap-takes-length-0"], "in-child").boot()
"""


def test_a_fault_in_children_shows_in_used_processes_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(wrong=MODULE)
    arguments = ["-p", "no:cacheprovider", "--mmap-backend=python:wrong:Wrong", "--mmap-clause=munmap.errno.EINVAL"]
    arguments += ["-m", "not mmap_random and not mmap_tour", "--mmap-level=linux"]

    new = pytester.runpytest_subprocess(*arguments, "--mmap-report=new.json")
    used = pytester.runpytest_subprocess(*arguments, "--mmap-process=used", "--mmap-report=used.json")

    assert new.ret == 0
    assert used.ret == 1
    used.stdout.fnmatch_lines(["mmapconf *: *, level linux, used processes, seed *", "*p2.munmap(*"])
    reports = {name: json.loads((pytester.path / f"{name}.json").read_text("utf-8")) for name in ("new", "used")}
    assert reports["used"]["backend"]["processes"] == "used"
    assert "processes" not in reports["new"]["backend"]


def test_another_kind_of_processes_is_a_usage_error(pytester: pytest.Pytester) -> None:
    run = pytester.runpytest_subprocess("--mmap-backend=reference", "--mmap-process=old")

    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: --mmap-process=old: must be new or used"])


def test_both_files_of_a_copy_begin_with_a_hole() -> None:
    system, process = spawned()
    source, target = (process.open(name, O_CREAT | O_RDWR) for name in "ab")
    process.pwrite(source, b"content", 0)

    assert process.copy_file_range(source, 3, target, 1, 9) == 4
    process.fallocate(target, 0, PAGE, 1)

    assert process.pread(target, 9, 0) == b"\0tent" + bytes(4)
    made = [str(step) for step in system.program()[0] if step.call in ("copy_file_range", "fallocate")]
    assert f", {SHIFT + 3}, " in made[0]
    assert f", {SHIFT + 1}, 9)" in made[0]
    assert made[1].endswith(", 0, 2**32 + pages(1), 1)")


def test_a_renamed_file_is_one_that_the_parent_has_mapped() -> None:
    _system, process = spawned()
    assert isinstance(process, UsedProcess)
    process.close(process.open("a", O_CREAT | O_RDWR))
    mapped = process.parent.mappings["a"]

    process.rename("a", "b")
    assert process.parent.mappings == {"b": mapped}
    process.close(process.open("c", O_CREAT | O_RDWR))
    process.rename("b", "c")
    assert process.parent.mappings == {"c": mapped}
    process.unlink("c")
    assert process.parent.mappings == {}


def test_a_file_that_is_opened_by_a_path_in_memory_begins_with_the_hole() -> None:
    _system, process = spawned()
    fd = process.open("a", O_CREAT | O_RDWR)
    process.pwrite(fd, b"content", 0)
    base = process.mmap(0, PAGE, RW, MEMORY, -1, 0)
    process.store(base, b"a\0")

    assert process.pread(process.open_path_at(base, O_RDONLY), 9, 0) == b"content"
