"""The native backend: system, processes and faults of the operating system; nothing remains, however they end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from pytest_mmapconf.agent.backend import CommandBackend, NativeBackend
from pytest_mmapconf.agent.build import FLAGS, SOURCE, build_agent
from pytest_mmapconf.agent.client import AgentProcess, AgentSystem
from pytest_mmapconf.contract import (
    LOCK_EX,
    LOCK_NB,
    LOCK_UN,
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MLOCK_ONFAULT,
    MS_SYNC,
    O_CLOEXEC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Backend,
    Call,
    Died,
    Facility,
    Fault,
    Options,
    Process,
    Resource,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.testing import fails

RW = PROT_READ | PROT_WRITE
MEMORY = MAP_PRIVATE | MAP_ANONYMOUS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the native agent is for Linux")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Running(NamedTuple):
    pid: int
    parent: int
    zombie: bool


def processes_of(directory: Path) -> list[Running]:
    """Return the agent that was started for `directory`, and its processes: all have the agent's command line."""
    running = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if os.fsencode(directory) in words:
            running.append(Running(int(entry.name), int(parent), state == "Z"))
    return running


def soon(condition: Callable[[], bool]) -> bool:
    """Return True as soon as the condition is true, False if it is not within five seconds."""
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def agent_pid(backend: CommandBackend) -> int:
    return backend.agent()._subprocess.pid


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "a directory"
    path.mkdir()
    return path


@pytest.fixture
def backend(directory: Path) -> Iterator[NativeBackend]:
    backend = NativeBackend()
    backend.configure(Options(directory=str(directory), timeout=10))
    yield backend
    backend.close()
    assert list(directory.iterdir()) == []
    assert processes_of(directory) == []


@pytest.fixture
def system(backend: NativeBackend) -> Iterator[AgentSystem]:
    system = backend.boot()
    yield system
    system.close()


@pytest.fixture
def process(system: AgentSystem) -> AgentProcess:
    return system.spawn()


@pytest.fixture
def page(process: AgentProcess) -> int:
    return process.sysconf(SC_PAGESIZE)


def a_file(process: Process, content: bytes, path: str = "file") -> int:
    fd = process.open(path, O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


# ---------------------------------------------------------------------------------------------------------------- facts


def test_facts(backend: NativeBackend, directory: Path) -> None:
    facts = backend.facts()

    assert facts.name == "native"
    assert os.uname().release in facts.version
    assert facts.details["machine"] == os.uname().machine
    assert facts.details["page"] == str(os.sysconf("SC_PAGESIZE"))
    assert facts.details["directory"] == str(directory)


NUMBERS = {"x86_64": (27, 325, 462), "aarch64": (232, 284, 462)}
"""By machine, the numbers of mincore, mlock2 and mseal."""


@pytest.mark.skipif(os.uname().machine not in NUMBERS, reason="the numbers of the system calls are not known here")
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_what_a_seccomp_filter_refuses_is_unsupported(directory: Path, error: str) -> None:
    """The same calls fail as usual for arguments that the kernel would refuse with another error."""
    numbers = map(str, NUMBERS[os.uname().machine])
    filtered = Path(__file__).with_name("filtered.py")
    command = [sys.executable, str(filtered), error, *numbers, "--", str(build_agent()), "--directory", str(directory)]
    backend = CommandBackend(shlex.join(command))
    try:
        process = backend.boot().spawn()
        page = process.sysconf(SC_PAGESIZE)
        base = process.mmap(0, 2 * page, PROT_READ, MAP_PRIVATE, a_file(process, b"x"), 0)
        process.munmap(base + page, page)
        for call in (
            lambda: process.mincore(base, page),
            lambda: process.mlock2(base, page, MLOCK_ONFAULT),
            lambda: process.mseal(base, page, 0),
        ):
            with pytest.raises(Unsupported, match="a seccomp filter refuses this call"):
                call()
        with fails("EINVAL"):
            process.msync(base, page, -1)
        with fails("ENOMEM"):
            process.mlock(base + page, page)
    finally:
        backend.close()


# ------------------------------------------------------------------------------------------------------------- accesses


def test_faults_are_reported_and_the_process_continues(process: AgentProcess, page: int) -> None:
    fd = a_file(process, b"abc")
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    none = process.mmap(0, page, PROT_NONE, MEMORY, -1, 0)
    scratch_range = process.scratch_range()[0]

    faults = []
    for access in (
        lambda: process.store(base + 1, b"x"),
        lambda: process.load(base + page + 3, 1),
        lambda: process.load(none + 7, 1),
        lambda: process.execute(none),
        lambda: process.load(scratch_range + 5, 1),
        lambda: process.add(scratch_range, 3),
    ):
        with pytest.raises(Fault) as fault:
            access()
        faults.append((fault.value.signal, fault.value.code, fault.value.address))

    assert faults == [
        ("SIGSEGV", "SEGV_ACCERR", base + 1),
        ("SIGBUS", "BUS_ADRERR", base + page + 3),
        ("SIGSEGV", "SEGV_ACCERR", none + 7),
        ("SIGSEGV", "SEGV_ACCERR", none),
        ("SIGSEGV", "SEGV_MAPERR", scratch_range + 5),
        ("SIGSEGV", "SEGV_MAPERR", scratch_range),
    ]
    assert process.load(base, 3) == b"abc"


def test_a_load_faults_at_the_first_byte_that_cannot_be_loaded(process: AgentProcess, page: int) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, 8 * page, RW, MEMORY | MAP_FIXED, -1, 0)

    with pytest.raises(Fault) as fault:
        process.load(base, 8 * page + 1)
    assert fault.value.address == base + 8 * page


def test_the_bytes_before_a_fault_are_stored(process: AgentProcess, page: int) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, page, RW, MEMORY | MAP_FIXED, -1, 0)

    with pytest.raises(Fault):
        process.store(base + page - 3, b"abcd")
    assert process.load(base + page - 3, 3) == b"abc"


def test_code_is_executed(process: AgentProcess, page: int) -> None:
    base = process.mmap(0, page, RW | PROT_EXEC, MEMORY, -1, 0)
    process.store(base, process.return_instruction())

    process.execute(base)


def test_an_audit_returns_the_results_of_loads_and_reads(process: AgentProcess, page: int) -> None:
    fd = a_file(process, os.urandom(page + 5))
    written = process.open("other", O_CREAT | O_WRONLY)
    base = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, fd, 0)
    none = process.mmap(0, page, PROT_NONE, MEMORY, -1, 0)
    odd = process.mmap(0, page, PROT_READ, MEMORY, -1, 0)
    start, _length = process.scratch_range()
    ranges = [(base, 3), (none, 1), (start, 2), (odd, 1), (1 << process.bits - 2, 1)]

    audit = process.audit(ranges, [fd, written, 99])

    assert audit == Process.audit(process, ranges, [fd, written, 99])
    assert audit[2:6] == ["BUS_ADRERR", "SEGV_ACCERR", "SEGV_MAPERR", "SEGV_MAPERR"]
    assert audit[-3].startswith(f"{page + 5}:")
    assert audit[-2:] == ["0:-", "-:-"]
    assert process.load(base + page, 5) == process.pread(fd, 5, page), "and the process continues"


def test_a_batch_has_the_results_of_single_calls(process: AgentProcess, page: int) -> None:
    base = process.mmap(0, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    calls: list[tuple[str, tuple[object, ...]]] = [
        ("audit", ([(base, 2)], [])),
        ("store", (base, b"x")),
        ("load", (base, 4)),
        ("munmap", (base + 1, page)),
        ("mincore", (base, 2 * page)),
        ("fstat", (99,)),
    ]

    together, alone = process.batch(calls), Process.batch(process, calls)

    assert [type(result) for result in together] == [type(result) for result in alone]
    assert [result for result in together if not isinstance(result, Exception)] == [
        result for result in alone if not isinstance(result, Exception)
    ]
    assert isinstance(together[1], Fault)
    assert (together[1].code, together[1].address) == ("SEGV_ACCERR", base)
    assert isinstance(together[3], OSError)
    with pytest.raises(Unresolved, match="cannot be part of a batch"):
        process.batch([("sysconf", (1,)), ("exit", (0,))])


def test_a_long_audit_is_split_into_several_requests(process: AgentProcess, page: int) -> None:
    pages = 2500
    base = process.mmap(0, pages * page, RW, MEMORY, -1, 0)
    process.store(base + 2000 * page, b"x")
    audit = process.audit([(base, pages)] + [(base + at * page, 1) for at in range(1000)])

    assert len(audit) == pages + 1000
    assert [at for at, word in enumerate(audit) if word != audit[0]] == [2000]
    assert process.audit([], []) == []


def test_the_limits_of_the_system_are_reported(backend: NativeBackend, process: AgentProcess, page: int) -> None:
    details = backend.facts().details
    end = int(details["end"])
    flags = MEMORY | MAP_FIXED_NOREPLACE

    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        process.mmap(end, page, PROT_NONE, flags, -1, 0)
    with contextlib.suppress(FileExistsError):  # something may be there: it is in user space
        process.mmap(end - page, page, PROT_NONE, flags, -1, 0)
    assert int(details["descriptors"]) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    has_admin = int(effective.split()[1], 16) >> 21 & 1
    assert ("CAP_SYS_ADMIN" in details["capabilities"].split(",")) == bool(has_admin)


def test_much_data_is_split_into_several_requests(process: AgentProcess, page: int) -> None:
    data = os.urandom(100_000)
    fd = a_file(process, data)
    base = process.mmap(0, len(data), RW, MAP_SHARED, fd, 0)

    assert process.load(base, len(data)) == data
    assert process.pread(fd, 2 * len(data), 0) == data
    process.store(base, data[::-1])
    assert process.pread(fd, len(data), 0) == data[::-1]
    assert process.mincore(base, len(data)) == [True] * -(-len(data) // page)


def test_madvise_mlock2_and_munlockall(process: AgentProcess, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, MEMORY, -1, 0)
    process.store(base, b"x" * 2 * page)

    process.madvise(base, page, MADV_DONTNEED)

    assert process.mincore(base, 2 * page) == [False, True]
    process.mlock2(base, 2 * page, MLOCK_ONFAULT)
    assert process.mincore(base, 2 * page) == [False, True]
    with fails("EINVAL"):
        process.madvise(base, page, MADV_DONTNEED)
    process.munlockall()
    process.madvise(base, 2 * page, MADV_DONTNEED)
    assert process.load(base + page, 1) == b"\0"


def test_reads_and_writes_use_buffers_of_the_process(process: AgentProcess, page: int) -> None:
    fd = a_file(process, b"abc")
    base = process.mmap(0, page, RW, MEMORY, -1, 0)

    assert process.read_into(fd, base + 1, 10, 0) == 3
    assert process.load(base, 5) == b"\0abc\0"
    assert process.write_from(fd, base, 3, 2) == 3
    assert process.pread(fd, 10, 0) == b"ab\0ab"
    with fails("EFAULT"):
        process.read_into(fd, 1, 1, 0)


def test_large_numbers_are_not_truncated(process: AgentProcess, page: int) -> None:
    with pytest.raises(OSError, match="Cannot allocate memory"):
        process.mmap(0, 2**64 - 1 - page, PROT_READ, MEMORY, -1, 0)
    with pytest.raises(OSError, match="Invalid argument"):
        process.munmap(2**64 - page, page)
    with pytest.raises(OSError, match="Value too large"):
        process.mmap(0, page, PROT_READ, MAP_SHARED, a_file(process, b""), 2**63 - page)


# ---------------------------------------------------------------------------------------------------------- descriptors


def test_descriptors_are_those_of_a_new_process(process: AgentProcess) -> None:
    assert [process.open(name, O_RDWR | O_CREAT) for name in "abc"] == [3, 4, 5]
    assert process.fstat(0).kind == "character"
    for own in range(224, 228):
        with pytest.raises(OSError, match="Bad file descriptor"):
            process.close(own)
    assert process.sysconf(SC_PAGESIZE)


@pytest.mark.parametrize("name", ["a b", "%41", "ä\n", "-x"])
def test_a_file_may_have_any_name(process: AgentProcess, system: AgentSystem, name: str) -> None:
    process.close(a_file(process, b"abc", name))

    assert system.agent.folder is not None
    assert (Path(system.agent.folder) / name).read_bytes() == b"abc"


# --------------------------------------------------------------------------------------------------------- end and exec


def test_fork_shares_and_copies(process: AgentProcess, page: int) -> None:
    base = process.mmap(0, page, RW, MEMORY, -1, 0)
    process.store(base, b"before")
    fd = a_file(process, b"abc")

    child = process.fork()
    grandchild = child.fork()
    process.store(base, b"parent")

    assert child.load(base, 6) == grandchild.load(base, 6) == b"before"
    assert grandchild.pread(fd, 3, 0) == b"abc"


@pytest.mark.parametrize("status", [0, 7, 255])
def test_exit_returns_the_status(process: AgentProcess, status: int) -> None:
    child = process.fork()
    orphan = child.fork()

    assert child.exit(status) == status
    assert orphan.exit(status) == status
    assert process.exit(status) == status


def test_the_end_of_a_process_is_complete_when_it_is_reported(system: AgentSystem, process: AgentProcess) -> None:
    fd = a_file(process, b"")
    watch = process.watch("file")
    for end in ("exit", "kill"):
        for relation in ("spawn", "fork"):
            other = system.spawn() if relation == "spawn" else process.fork()
            other.flock(other.open("file", O_RDWR), LOCK_EX)
            with pytest.raises(OSError, match="Resource temporarily unavailable"):
                process.flock(fd, LOCK_EX | LOCK_NB)
            assert process.close_events(watch) == 0

            getattr(other, end)()

            process.flock(fd, LOCK_EX | LOCK_NB)
            process.flock(fd, LOCK_UN)
            assert process.close_events(watch) == 1


def test_exec_keeps_descriptors_and_drops_mappings(process: AgentProcess, page: int) -> None:
    base = process.scratch_range()[0]
    fd = a_file(process, b"abc")
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    hidden = process.open("file", O_RDONLY | O_CLOEXEC)

    process.exec()

    assert process.scratch_range()[0] == base
    with pytest.raises(Fault):
        process.load(base, 1)
    assert process.pread(fd, 3, 0) == b"abc"
    with pytest.raises(OSError, match="Bad file descriptor"):
        process.pread(hidden, 3, 0)
    assert process.exit(3) == 3


def test_processes_execute_requests_concurrently(system: AgentSystem, process: AgentProcess) -> None:
    fd = a_file(process, b"")
    other = system.spawn()
    its = other.open("file", O_RDWR)
    process.flock(fd, LOCK_EX)

    # The first call can only return after the second has begun.
    assert (
        system.run_concurrently([Call(other, "flock", (its, LOCK_EX)), Call(process, "flock", (fd, LOCK_UN))])
        == [None] * 2
    )


def test_no_addition_under_a_lock_is_lost(process: AgentProcess, system: AgentSystem, page: int) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    workers = [process, *(process.fork() for _ in range(3))]

    system.run_concurrently([Call(worker, "add", (base, 10_000, base + 64)) for worker in workers])

    assert int.from_bytes(process.load(base, 4), sys.byteorder) == 40_000


def test_the_end_of_a_process_is_reported_and_the_others_continue(
    backend: NativeBackend, system: AgentSystem, process: AgentProcess, directory: Path
) -> None:
    victim = process.fork()
    spawned = {running.pid for running in processes_of(directory) if running.parent == agent_pid(backend)}
    (pid,) = (running.pid for running in processes_of(directory) if running.parent in spawned)
    os.kill(pid, signal.SIGKILL)

    with pytest.raises(Unresolved, match=r"ended by itself \(SIGKILL\), seen at sysconf") as died:
        victim.sysconf(SC_PAGESIZE)
    assert not isinstance(died.value, Died)
    with pytest.raises(Unresolved, match="SIGKILL"):
        victim.sysconf(SC_PAGESIZE)
    assert process.sysconf(SC_PAGESIZE)
    assert soon(lambda: not any(running.zombie for running in processes_of(directory)))


def test_only_the_process_that_unmaps_its_own_program_ends(system: AgentSystem, process: AgentProcess) -> None:
    victim = system.spawn()
    program = next(line for line in victim.maps().splitlines() if " r-xp " in line and "/mmap_agent" in line)
    start, end = (int(part, 16) for part in program.split()[0].split("-"))

    with pytest.raises(Died, match=r"ended by itself \(SIGSEGV\), seen at munmap") as died:
        victim.munmap(start, end - start)
    assert died.value.requests[-1].endswith(f"munmap {start:#x} {end - start}")
    assert process.sysconf(SC_PAGESIZE)


# --------------------------------------------------------------------------------------------------------- what remains


def test_nothing_of_a_system_remains_in_the_next(backend: NativeBackend) -> None:
    for _ in range(3):
        system = backend.boot()
        process = system.spawn()
        with pytest.raises(FileNotFoundError):
            process.open("file", O_RDONLY)
        a_file(process, b"abc")
        process.mkdir("folder")
        a_file(process, b"abc", "folder/file")
        process.fork()
        system.close()


def test_a_boot_ends_the_previous_system(backend: NativeBackend) -> None:
    """Closing the previous system then affects neither the current one nor later ones."""
    one, two = backend.boot(), backend.boot()
    two.close()
    one.close()

    three = backend.boot()
    assert three.spawn().sysconf(SC_PAGESIZE) == three.spawn().sysconf(SC_PAGESIZE)
    with pytest.raises(Unresolved, match="another system has been booted since"):
        one.spawn()
    three.close()


def test_a_system_needs_no_process(backend: NativeBackend) -> None:
    system = backend.boot()
    for _ in range(3):
        system.agent.call(0, "end")
        system.agent.folder = unquote(system.agent.call(0, "boot"))
        assert list(Path(system.agent.folder).iterdir()) == []
    system.agent.call(0, "boot")
    number = int(system.agent.call(0, "spawn"))
    assert system.agent.call(number, "sysconf 30") == str(os.sysconf("SC_PAGESIZE"))
    system.close()


@needs_root
def test_append_only_files_are_removed(process: AgentProcess) -> None:
    fd = a_file(process, b"abc")
    try:
        process.set_append_only(fd, True)
    except OSError as error:
        pytest.skip(f"the file system has no such attribute: {error}")


def test_a_call_that_times_out_ends_the_agent(directory: Path) -> None:
    backend = NativeBackend()
    backend.configure(Options(directory=str(directory), timeout=0.5))
    system = backend.boot()
    process = system.spawn()
    fd = a_file(process, b"")
    process.flock(fd, LOCK_EX)
    other = process.fork()
    its = other.open("file", O_RDWR)

    with pytest.raises(Died, match=r"no answer to 'flock 4 2' in 0\.5 s"):
        other.flock(its, LOCK_EX)

    assert backend.boot().spawn().sysconf(SC_PAGESIZE)
    backend.close()
    assert list(directory.iterdir()) == []
    assert soon(lambda: processes_of(directory) == [])


def test_an_agent_that_is_killed_is_replaced(backend: NativeBackend, directory: Path) -> None:
    process = backend.boot().spawn()
    a_file(process, b"abc")
    child = process.fork()
    os.kill(agent_pid(backend), signal.SIGKILL)

    with pytest.raises(Unresolved, match=r"ended at 'sysconf 30' \(by signal SIGKILL\)|it ended"):
        child.sysconf(SC_PAGESIZE)

    assert list(directory.iterdir()) == []
    assert soon(lambda: processes_of(directory) == [])
    assert backend.boot().spawn().sysconf(SC_PAGESIZE)


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_the_end_of_the_first_process_is_reported(
    backend: NativeBackend, system: AgentSystem, directory: Path, busy: bool
) -> None:
    process = system.spawn()
    fd = a_file(process, b"")
    folder = Path(system.agent.folder or "")

    def running_there() -> list[int]:
        children = [running.pid for running in processes_of(directory) if running.parent == agent_pid(backend)]
        return [pid for pid in children if Path(f"/proc/{pid}/cwd").readlink() == folder]

    assert soon(lambda: len(running_there()) == 1)  # the process prepared for the next system leaves
    (pid,) = running_there()
    if busy:
        with (folder / "file").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()
            with pytest.raises(Unresolved, match=r"ended by itself \(SIGKILL\), seen at flock"):
                process.flock(fd, LOCK_EX)
    else:
        os.kill(pid, signal.SIGKILL)
        assert soon(lambda: not Path(f"/proc/{pid}").exists())

    with pytest.raises(Unresolved, match=r"ended by itself \(SIGKILL\), seen at sysconf"):
        process.sysconf(SC_PAGESIZE)
    assert system.spawn().sysconf(SC_PAGESIZE)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_agent_that_is_terminated_removes_everything(
    backend: NativeBackend, directory: Path, how: signal.Signals
) -> None:
    a_file(backend.boot().spawn(), b"abc")

    os.kill(agent_pid(backend), how)

    assert soon(lambda: list(directory.iterdir()) == [])
    assert soon(lambda: [running for running in processes_of(directory) if not running.zombie] == [])


def test_nothing_remains_when_the_client_is_killed(directory: Path) -> None:
    code = f"""
import time
from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import Options
backend = NativeBackend()
backend.configure(Options(directory={str(directory)!r}))
process = backend.boot().spawn()
process.open("file", 0o102)
process.fork()
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        assert len(processes_of(directory)) >= 3
        client.kill()

    assert soon(lambda: list(directory.iterdir()) == [])
    assert soon(lambda: processes_of(directory) == [])


def test_the_next_agent_removes_the_directory_of_one_killed_with_its_client(
    backend: NativeBackend, directory: Path
) -> None:
    code = f"""
import time
from pytest_mmapconf.agent import guardian
from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import Options
guardian.watch_directory = lambda place: None  # as if the guardian was killed, too
backend = NativeBackend()
backend.configure(Options(directory={str(directory)!r}))
backend.boot().spawn().open("file", 0o102)
print(backend.agent()._subprocess.pid, flush=True)
time.sleep(60)
"""
    another = directory / "mmapconf-Ab12Cd"  # made by no agent on this machine
    another.mkdir()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        agent = int(client.stdout.readline())
        (orphaned,) = set(directory.iterdir()) - {another}
        alive = backend.boot()  # while the other agent is running
        assert orphaned.exists()
        os.kill(agent, signal.SIGSTOP)
        client.kill()
        os.kill(agent, signal.SIGKILL)
    assert soon(lambda: [running for running in processes_of(directory) if running.pid == agent] == [])
    assert orphaned.exists()

    third = NativeBackend()
    third.configure(Options(directory=str(directory)))
    third.boot().close()
    third.close()

    assert not orphaned.exists()
    assert alive.spawn().sysconf(SC_PAGESIZE)
    assert Path(backend.agent().folder or "").parent in directory.iterdir()
    another.rmdir()


def test_nothing_remains_when_the_client_does_not_close(directory: Path) -> None:
    code = f"""
from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import Options
backend = NativeBackend()
backend.configure(Options(directory={str(directory)!r}))
backend.boot().spawn()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)

    assert list(directory.iterdir()) == []
    assert processes_of(directory) == []


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    backend = NativeBackend()
    backend.configure(Options(directory=str(tmp_path / "none")))

    with pytest.raises(Unresolved, match=r"cannot make a folder in .*/none: No such file or directory"):
        backend.boot()
    backend.close()


# ----------------------------------------------------------------------------------------------------------- facilities


def test_the_agent_maps_nothing_in_the_scratch_range_and_allocates_nothing(process: AgentProcess, page: int) -> None:
    start, length = process.scratch_range()
    assert start % page == 0
    assert length >= 2**20
    process.mmap(start, length, PROT_NONE, MEMORY | MAP_FIXED, -1, 0)
    process.munmap(start, length)

    heap_before = [line for line in process.maps().splitlines() if "[heap]" in line]
    for _ in range(20):
        a_file(process, os.urandom(5000))
        process.counters()
    assert [line for line in process.maps().splitlines() if "[heap]" in line] == heap_before
    assert " rwxp " not in process.maps()


@pytest.mark.parametrize("limit", ["-s 128", "-s 1024", "-v 524288", "-d 65536"])
def test_the_agent_runs_with_inherited_limits(directory: Path, limit: str) -> None:
    backend = CommandBackend(f"sh -c 'ulimit {limit}; exec {build_agent()} --directory \"{directory}\"'")

    check_basic_calls(backend)

    backend.close()


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("ulimit -n 64", "256 file descriptors"),
        ("exec <&-", "must be open"),
        ("ulimit -s 136; export MUCH=$(head -c 118000 /dev/zero | tr '\\0' x)", "(ulimit -s)"),
    ],
)
def test_missing_resource_is_reported_in_one_line(limit: str, message: str) -> None:
    agent = subprocess.run(
        ["sh", "-c", f"{limit}; exec {build_agent()}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )

    assert agent.returncode == 1
    assert agent.stdout == ""
    assert len(agent.stderr.splitlines()) == 1
    assert message in agent.stderr


@pytest.mark.skipif(shutil.which("proot") is None or os.geteuid() != 0, reason="needs proot, and root for a tmpfs")
@pytest.mark.parametrize("facility", [Facility.NOEXEC_DIRECTORY, Facility.OWN_FILE_SYSTEM])
def test_a_path_that_leads_elsewhere_is_not_used(directory: Path, facility: Facility) -> None:
    """proot takes the link of a detached mount, which reads "/", for the root of the machine."""
    backend = CommandBackend(shlex.join(["proot", str(build_agent()), "--directory", str(directory)]))
    system = backend.boot()
    system.spawn()

    with pytest.raises(Unsupported, match="leads elsewhere"):
        system.facility(facility)
    system.close()
    backend.close()


def test_an_agent_without_proc(tmp_path: Path) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this user cannot make a mount namespace")
    hide = f"mount -t tmpfs none /proc && exec {build_agent()} --directory {tmp_path}"
    backend = CommandBackend(shlex.join([*unshare, "sh", "-c", hide]))
    process = backend.boot().spawn()

    assert backend.facts().details["run by"].startswith("unknown")
    for call in (process.maps, process.counters, lambda: process.set_limit_headroom(Resource.ADDRESS_SPACE, 1 << 20)):
        with pytest.raises(Unsupported, match="cannot be read"):
            call()
    process.exec()
    assert process.sysconf(SC_PAGESIZE)
    backend.close()


def test_an_agent_without_stderr(tmp_path: Path) -> None:
    """As the init of a kernel that has no console."""
    backend = CommandBackend(shlex.join(["sh", "-c", f"exec {build_agent()} --directory {tmp_path} 2>&-"]))
    process = backend.boot().spawn()

    assert process.open("file", O_RDWR | O_CREAT) == 3
    process.exec()
    assert process.fstat(2).kind == "character"
    backend.close()


def test_the_counters_exclude_the_agents_own_calls(process: AgentProcess, page: int) -> None:
    base = process.mmap(0, page, RW, MEMORY, -1, 0)
    idle = [process.counters() for _ in range(3)]
    for _ in range(10):
        process.store(base, b"abc")
        process.load(base, 3)
    busy = process.counters()

    assert busy.reads - idle[2].reads == idle[2].reads - idle[1].reads
    assert busy.writes == idle[2].writes


def test_files_that_cannot_be_mapped(system: AgentSystem, process: AgentProcess, page: int) -> None:
    for facility in (Facility.DEV_NULL, Facility.DEV_RANDOM, Facility.PROC_FILE, Facility.SYS_FILE):
        fd = process.open(system.facility(facility), O_RDONLY)
        with pytest.raises(OSError, match=r"No such device|Input/output error"):
            process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    fd = process.open(system.facility(Facility.DEV_ZERO), O_RDONLY)
    assert process.load(process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0), 3) == bytes(3)


def test_a_directory_on_a_noexec_file_system(system: AgentSystem, process: AgentProcess, page: int) -> None:
    path = facility_or_skip(system, Facility.NOEXEC_DIRECTORY)

    for other in (process, process.fork(), system.spawn()):  # started before the facility was requested, and after
        fd = a_file(other, b"abc", f"{path}/file")
        assert other.load(other.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0), 3) == b"abc"
        with pytest.raises(OSError, match="Operation not permitted"):
            other.mmap(0, page, PROT_EXEC, MAP_SHARED, fd, 0)
        other.exec()
        other.drop_capability("CAP_DAC_OVERRIDE")
        other.open(f"{path}/file", O_RDWR)
    assert system.facility(Facility.NOEXEC_DIRECTORY) == path


def test_a_file_system_of_its_own(backend: NativeBackend, system: AgentSystem, process: AgentProcess) -> None:
    path = facility_or_skip(system, Facility.OWN_FILE_SYSTEM)
    free = process.free_space(path)
    fd = a_file(process, bytes(2**20), f"{path}/file")
    assert process.free_space(path) <= free - 2**20

    process.unlink(f"{path}/file")
    process.close(fd)

    assert process.free_space(path) == free
    system.close()
    again = backend.boot()
    assert again.spawn().free_space(again.facility(Facility.OWN_FILE_SYSTEM)) == free


def test_a_mandatory_lock_is_unsupported(system: AgentSystem) -> None:
    with pytest.raises(Unsupported, match=r"mandatory lock"):
        system.facility(Facility.MANDATORY_LOCK)


@needs_root
def test_a_crash_keeps_what_was_synced(system: AgentSystem, page: int) -> None:
    path = facility_or_skip(system, Facility.CRASHING_FILE_SYSTEM)
    lost = 0
    for attempt in range(3):
        process = system.spawn()
        fd = a_file(process, bytes(2 * page), f"{path}/file-{attempt}")
        process.fsync(fd)
        base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
        process.store(base, b"synced")
        process.msync(base, page, MS_SYNC)
        process.store(base + page, b"unsynced")

        system.crash()

        with pytest.raises(Unresolved, match="ended"):
            process.load(base, 1)
        process = system.spawn()
        fd = process.open(f"{path}/file-{attempt}", O_RDWR)
        assert process.pread(fd, 6, 0) == b"synced"
        lost += process.pread(fd, 8, page) == bytes(8)
    assert lost > 0


@needs_root
def test_no_loop_device_remains(backend: NativeBackend, directory: Path) -> None:
    def loop_devices() -> list[Path]:
        names = Path("/sys/block").glob("loop*/loop/backing_file")
        return [name for name in names if "memfd:image" in _text(name)]

    before = loop_devices()
    for end in ("close", "kill"):
        system = backend.boot()
        facility_or_skip(system, Facility.CRASHING_FILE_SYSTEM)
        assert len(loop_devices()) > len(before)
        if end == "kill":
            os.kill(agent_pid(backend), signal.SIGKILL)
            with pytest.raises(Unresolved):
                system.mapping_limit()
        else:
            system.close()
        assert soon(lambda: len(loop_devices()) <= len(before))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_the_file_table_is_filled_only_with_permission(system: AgentSystem) -> None:
    with pytest.raises(Unsupported, match="--mmap-disruptive"), system.full_file_table():
        raise AssertionError("the table is full")


@needs_root
def test_the_file_table_is_full_only_within_the_block(directory: Path, page: int, pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--mmap-disruptive", default=False):
        pytest.skip("needs --mmap-disruptive: it fills the whole system's table of open files for a moment")
    limit = Path("/proc/sys/fs/file-max")
    before = limit.read_text()
    backend = NativeBackend()
    backend.configure(Options(directory=str(directory), disruptive=True))
    system = backend.boot()
    process = system.spawn()
    process.drop_capability("CAP_SYS_ADMIN")

    with system.full_file_table():
        with pytest.raises(OSError, match="Too many open files in system"):
            process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        process.mmap(0, page, RW, MEMORY, -1, 0)
    assert limit.read_text() == before

    with pytest.raises(Unresolved, match="free again"), system.full_file_table():
        time.sleep(1.2)
    assert limit.read_text() == before

    with pytest.raises(Unresolved), system.full_file_table():
        os.kill(agent_pid(backend), signal.SIGKILL)
    assert soon(lambda: limit.read_text() == before)
    backend.close()


def test_limits_of_locked_memory_and_address_space(process: AgentProcess, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    process.mmap(0, 2 * page, RW, MEMORY | MAP_LOCKED, -1, 0)
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        process.mmap(0, page, RW, MEMORY | MAP_LOCKED, -1, 0)

    process.set_limit_headroom(Resource.ADDRESS_SPACE, 16 * page)
    process.mmap(0, 16 * page, RW, MEMORY, -1, 0)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        process.mmap(0, page, RW, MEMORY, -1, 0)


def test_the_limit_of_data(process: AgentProcess, page: int) -> None:
    process.set_limit_headroom(Resource.DATA, 16 * page)
    process.mmap(0, 16 * page, RW, MEMORY, -1, 0)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        process.mmap(0, page, RW, MEMORY, -1, 0)
    process.mmap(0, page, PROT_READ, MEMORY, -1, 0)


def test_the_limit_of_a_stack(process: AgentProcess, page: int) -> None:
    process.set_limit_headroom(Resource.STACK, 4 * page)
    base = process.scratch_range()[0] + 8 * page
    process.mmap(base, page, RW, MEMORY | MAP_FIXED | MAP_GROWSDOWN, -1, 0)

    assert process.load(base - 3 * page, 1) == b"\0"
    with pytest.raises(Fault, match="SEGV_MAPERR"):
        process.load(base - 4 * page, 1)


def facility_or_skip(system: AgentSystem, facility: Facility) -> str:
    try:
        return system.facility(facility)
    except Unsupported as error:
        pytest.skip(str(error))


# --------------------------------------------------------------------------------------------- other libcs and machines


def check_basic_calls(backend: Backend) -> None:
    """Check the calls that an agent needs on every system."""
    system = backend.boot()
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    fd = a_file(process, b"abc")
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    with pytest.raises(Fault) as fault:
        process.store(base, b"x")
    assert (fault.value.signal, fault.value.code, fault.value.address) == ("SIGSEGV", "SEGV_ACCERR", base)
    child = process.fork()
    assert child.load(base, 3) == b"abc"
    child.exec()
    assert child.pread(fd, 3, 0) == b"abc"
    assert child.exit(5) == 5
    code = process.mmap(0, page, RW | PROT_EXEC, MEMORY, -1, 0)
    process.store(code, process.return_instruction())
    process.execute(code)
    assert backend.facts().details["page"] == str(page)
    system.close()


@pytest.mark.parametrize(
    ("compiler", "emulator"),
    [("musl-gcc", []), ("aarch64-linux-gnu-gcc", ["qemu-aarch64-static"])],
    ids=["musl", "aarch64"],
)
def test_the_agent_runs_with_other_libcs_and_machines(
    directory: Path, tmp_path: Path, compiler: str, emulator: list[str]
) -> None:
    for command in (compiler, *emulator):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    agent = tmp_path / "mmap_agent"
    build = [compiler, "-static", *FLAGS, "-Wall", "-Wextra", "-Werror", "-o", str(agent), str(SOURCE)]
    subprocess.run(build, check=True, timeout=120)
    backend = CommandBackend(f"{' '.join(emulator)} '{agent}' --directory '{directory}'")
    backend.configure(Options(timeout=20))

    check_basic_calls(backend)

    backend.close()
    assert list(directory.iterdir()) == []
    assert processes_of(directory) == []


@pytest.mark.parametrize("compiler", ["cc", "musl-gcc"])
def test_a_thread_maps_no_memory(directory: Path, tmp_path: Path, compiler: str) -> None:
    """It would lie where a case has unmapped its own, which musl's thread-local storage did."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    agent = tmp_path / "mmap_agent"
    subprocess.run([compiler, "-static", *FLAGS, "-o", str(agent), str(SOURCE)], check=True, timeout=120)
    backend = CommandBackend(f"'{agent}' --directory '{directory}'")
    backend.configure(Options(timeout=20))
    system = backend.boot()
    process = system.spawn()
    before = process.maps()

    process.thread()
    process.thread()

    assert process.maps() == before
    system.close()
    backend.close()


@needs_root
def test_the_agent_runs_as_an_ordinary_user() -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        os.chown(directory, 65534, 65534)
        agent = directory / "mmap_agent"
        shutil.copy(build_agent(), agent)
        user = "setpriv --reuid=65534 --regid=65534 --clear-groups"
        backend = CommandBackend(f"{user} {agent} --directory {directory}")
        backend.configure(Options(timeout=10))

        check_basic_calls(backend)

        system = backend.boot()
        process = system.spawn()
        assert backend.facts().details["user"] == "uid 65534"
        assert backend.facts().details["capabilities"] == "none"
        with pytest.raises(Unsupported, match="need root"):
            system.facility(Facility.CRASHING_FILE_SYSTEM)
        with contextlib.suppress(Unsupported):  # some systems do not permit users to make namespaces
            fd = a_file(process, b"abc", f"{system.facility(Facility.NOEXEC_DIRECTORY)}/file")
            with pytest.raises(OSError, match="Operation not permitted"):
                process.mmap(0, 1, PROT_EXEC, MAP_SHARED, fd, 0)
        system.close()
        backend.close()
        assert list(directory.iterdir()) == [agent]
        assert processes_of(directory) == []


def test_a_file_system_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = os.statvfs(tmp_path)
    full = os.statvfs_result((space.f_bsize, 1024, space.f_blocks, 99, 5, *space[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    backend = NativeBackend()
    backend.configure(Options(directory=str(tmp_path)))

    with pytest.raises(Unresolved, match=f"{tmp_path} has 5120 bytes free, and the cases' files need 4194304: "):
        backend.facts()
