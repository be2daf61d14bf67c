"""agent/tiny: its size; on Linux the verdicts of the C agent; on a bare machine, over a console that echoes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import pytest_mmapconf.agent
from pytest_mmapconf import backends
from pytest_mmapconf.contract import O_CREAT, O_RDWR, SC_PAGESIZE, Options

FOLDER = Path(pytest_mmapconf.agent.__path__[0]) / "tiny"
FREESTANDING = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-static")
RISCV = (
    *("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-fno-pie", "-no-pie"),
    "-Wl,-N,--no-relax,-Ttext=0x80000000,--build-id=none,--no-warn-rwx-segments",
)
QEMU = "qemu-system-riscv64"
CROSS = "riscv64-linux-gnu-gcc"


HOSTED = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror")
ZIG_TARGETS = (
    "x86_64-freebsd",
    "aarch64-freebsd",
    "x86_64-netbsd",
    "x86_64-openbsd",
    "x86_64-macos",
    "aarch64-macos",
)
"""The targets of docs/port-the-agent.md."""


def build(folder: Path, compiler: str, port: str, *options: str) -> Path:
    """Compile the agent with a port, all but posix.c without libc and start files, and return the program."""
    program = folder / port.removesuffix(".c")
    sources = [str(FOLDER / name) for name in ("tiny_agent.c", port)]
    kind = HOSTED if port == "posix.c" else (*FREESTANDING, "-fno-stack-protector")
    command = [*compiler.split(), *kind, *options, "-o", str(program), *sources]
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
@pytest.mark.parametrize("target", ZIG_TARGETS)
def test_the_posix_port_compiles_for_other_systems(tmp_path: Path, target: str) -> None:
    program = build(tmp_path, f"{sys.executable} -m ziglang cc -target {target}", "posix.c")

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
