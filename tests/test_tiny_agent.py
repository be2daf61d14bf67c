"""agent/tiny: its size; on Linux the verdicts of the C agent; on a bare machine, over a console that echoes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import pytest_mmapconf.agent
from pytest_mmapconf import backends
from pytest_mmapconf.contract import MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, SC_PAGESIZE, Options

FOLDER = Path(pytest_mmapconf.agent.__path__[0]) / "tiny"
HOSTED = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror")
FREESTANDING = (*HOSTED, "-ffreestanding", "-nostdlib", "-static", "-fno-stack-protector")
RISCV = (
    *("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-fno-pie", "-no-pie"),
    "-Wl,-N,--no-relax,-Ttext=0x80000000,--build-id=none,--no-warn-rwx-segments",
)
QEMU = "qemu-system-riscv64"
CROSS = "riscv64-linux-gnu-gcc"

ZIG_TARGETS = (
    "x86_64-freebsd",
    "aarch64-freebsd",
    "x86_64-netbsd",
    "x86_64-openbsd",
    "x86_64-macos",
    "aarch64-macos",
)
"""The targets of docs/port-the-agent.md for posix.c."""

WINDOWS = "x86_64-windows-gnu"


def build(folder: Path, compiler: str, port: str, *options: str) -> Path:
    """Compile the agent with a port, all but posix.c without libc and start files, and return the program."""
    program = folder / port.removesuffix(".c")
    sources = [str(FOLDER / name) for name in ("tiny_agent.c", port)]
    kind = HOSTED if port in ("posix.c", "windows.c") else FREESTANDING
    command = [compiler, *options, *kind, "-o", str(program), *sources]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def verdicts(pytester: pytest.Pytester, backend: str, *options: str) -> dict[str, str]:
    """Return the verdicts of cases by id."""
    pytester.runpytest_subprocess(f"--mmap-backend={backend}", "--mmap-report=report.json", *options)
    report = json.loads((pytester.path / "report.json").read_text())
    return {case["id"]: case["verdict"] for case in report["cases"]}


def test_it_is_tiny() -> None:
    lines = [line for name in ("tiny.h", "tiny_agent.c") for line in (FOLDER / name).read_text().splitlines()]

    assert len(lines) <= 400


@pytest.mark.parametrize("port", ["linux.c", "posix.c"])
def test_verdicts_on_linux_are_those_of_the_c_agent(pytester: pytest.Pytester, port: str) -> None:
    tiny = build(pytester.path, "cc", port)
    options = ("-m", "not mmap_random", "--mmap-clause=munmap.*", "--mmap-clause=mmap.flag.shared")

    own, native = verdicts(pytester, f"agent:{tiny}", *options), verdicts(pytester, "native", *options)

    asked = {id: verdict for id, verdict in own.items() if verdict != "unsupported"}
    assert asked.items() <= native.items()
    assert len(asked) >= len(native) * 3 // 4


@pytest.mark.skipif(find_spec("ziglang") is None, reason="needs ziglang")
@pytest.mark.parametrize("target", [*ZIG_TARGETS, WINDOWS])
def test_it_compiles_for_other_systems(tmp_path: Path, target: str) -> None:
    port = "windows.c" if target == WINDOWS else "posix.c"
    program = build(tmp_path, sys.executable, port, "-m", "ziglang", "cc", "-target", target)

    assert program.stat().st_size > 0
    assert f"`{target}`" in (Path(__file__).parents[1] / "docs" / "port-the-agent.md").read_text()


def test_processes_without_a_parent_are_waited_for(pytester: pytest.Pytester) -> None:
    """Init reaps them when it likes; what they held is free before the next system is booted."""
    backend = backends.make(f"agent:{build(pytester.path, 'cc', 'posix.c')}", [], [])
    backend.configure(Options())
    try:
        for _ in range(5):
            system = backend.boot()
            process = system.spawn()
            child = process.fork()
            grandchild = child.fork()
            child.exit(3)
            assert grandchild.sysconf(SC_PAGESIZE) == process.sysconf(SC_PAGESIZE)
            grandchild.kill()
            assert process.exit(5) == 5
            system.close()
    finally:
        backend.close()


def test_invalid_requests_are_answered(tmp_path: Path) -> None:
    requests = ["0 spawn", "0 boot", "0 spawn", "1 exit foo", *["1 fork"] * 65, "1 sysconf 30", "2 exit -1", "3 exit 7"]
    with subprocess.Popen(
        [build(tmp_path, "cc", "posix.c")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdout.readline()
        answers = []
        for request in requests:
            agent.stdin.write(f"{request}\n")
            agent.stdin.flush()
            answers.append(agent.stdout.readline().strip())
        agent.stdin.close()
        assert agent.wait(30) == 0

    assert answers[0] == "0 error EINVAL"
    assert answers[2] == "0 ok 1"
    assert answers[3].startswith("1 bad ")
    assert answers[-2:] == ["2 ok 255", "3 ok 7"]
    assert answers[4:-3] == [*(f"1 ok {number}" for number in range(2, 65)), *["1 error EAGAIN"] * 2]
    assert answers[-3] == f"1 ok {os.sysconf('SC_PAGESIZE')}"


@pytest.mark.parametrize("line", [128, 4096])
def test_bytes_that_do_not_fit_into_a_line_are_sent_as_several(tmp_path: Path, line: int) -> None:
    for name in ("tiny.h", "names.h", "tiny_agent.c", "posix.c"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(text.replace("tiny_line = TINY_LINE", f"tiny_line = {line}"))
    program = tmp_path / "tiny"
    command = ["cc", *HOSTED, "-o", str(program), str(tmp_path / "tiny_agent.c"), str(tmp_path / "posix.c")]
    subprocess.run(command, check=True)
    numbers = b"".join(number.to_bytes(4, "big") for number in range(250, 2000))
    backend = backends.make(f"agent:{program}", [], [])
    backend.configure(Options())
    try:
        process = backend.boot().spawn()
        fd = process.open("file", O_CREAT | O_RDWR)
        for data in (b"a" * 9000, numbers, numbers[:333] + b"!" + numbers[334:], os.urandom(300), b"abcde" * 99):
            assert process.pwrite(fd, data, 0) == len(data)
            process.ftruncate(fd, len(data))
            assert process.pread(fd, 10000, 0) == data
            addr = process.mmap(0, len(data), PROT_READ, MAP_SHARED, fd, 0)
            assert process.load(addr, len(data)) == data
    finally:
        backend.close()


@pytest.mark.parametrize("port", ["linux.c", "posix.c"])
def test_processes_end_with_the_supervisor(tmp_path: Path, port: str) -> None:
    with subprocess.Popen(
        [build(tmp_path, "cc", port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"TMPDIR": str(tmp_path)}
    ) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(b"0 boot\n0 spawn\n1 fork\n")
        agent.stdin.flush()
        _greeting, booted, _spawned, forked = (agent.stdout.readline() for _ in range(4))
        assert forked == b"1 ok 2\n"
        agent.kill()
        assert agent.stdout.read() == b"", "ends when no process has the stream any more"
    os.rmdir(booted.split()[-1])  # of an agent that is killed, its client removes it


@pytest.mark.parametrize("port", ["linux.c", "posix.c"])
def test_directories_with_files_in_them_are_removed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(pytester.path) if port == "posix.c" else "/tmp")
    backend = backends.make(f"agent:{build(pytester.path, 'cc', port)}", [], [])
    backend.configure(Options())
    try:
        system = backend.boot()
        process = system.spawn()
        process.mkdir("only-here")
        process.close(process.open("only-here/a", O_CREAT | O_RDWR))
        (folder,) = (
            Path("/tmp").glob("mmapconf-tiny*/only-here/a")
            if port == "linux.c"
            else pytester.path.glob("mmapconf-*/only-here/a")
        )
        system.close()
        backend.boot().close()
    finally:
        backend.close()

    assert not folder.parents[1].exists()


@pytest.mark.skipif(not (shutil.which(QEMU) and shutil.which(CROSS)), reason=f"needs {QEMU} and {CROSS}")
def test_a_bare_machine_is_judged_over_a_console_that_echoes(pytester: pytest.Pytester) -> None:
    """The stub kernel keeps what these clauses promise, without errnos and signals."""
    bare = build(pytester.path, CROSS, "bare.c", *RISCV)
    backend = f"agent:{QEMU} -M virt -bios none -nographic -kernel {bare}"
    clauses = ("munmap.result", "mmap.errno.EBADF", "munmap.usual-arguments")

    found = verdicts(pytester, backend, "--mmap-scope=mmap-lab", *(f"--mmap-clause={id}" for id in clauses))

    assert set(found.values()) == {"pass"}
    assert len(found) >= 10
