"""What runs the agent is what is judged: emulators in front of it stay, and an agent that leaves one is noticed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_mmapconf.agent import front
from pytest_mmapconf.agent.backend import CommandBackend, NativeBackend
from pytest_mmapconf.agent.build import FLAGS, SOURCE, build_agent
from pytest_mmapconf.agent.personality import ADDR_NO_RANDOMIZE
from pytest_mmapconf.contract import O_CREAT, O_RDWR, SC_PAGESIZE, Options, Unresolved

if not sys.platform.startswith("linux"):
    pytest.skip("the agent is for Linux", allow_module_level=True)

Start = Callable[[str], CommandBackend]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(command)` is a backend that runs the command; it is closed at the end."""
    started = []

    def start(command: str) -> CommandBackend:
        backend = CommandBackend(command)
        backend.configure(Options(timeout=30))
        started.append(backend)
        return backend

    yield start
    for backend in started:
        backend.close()


def loader() -> str:
    """Return the path of the dynamic linker: called by name, it runs a program in its own process, as emulators do."""
    names: list[bytes] = re.findall(rb"/lib\S*/ld-linux[\w.-]+", build_agent().read_bytes())
    if not names or not Path(names[0].decode()).exists():
        pytest.skip("the agent has no dynamic linker of glibc")
    return names[0].decode()


def escaping(tmp_path: Path, place: str, inserted: str) -> str:
    """Build an agent in C that leaves what runs it, by a statement inserted at a place; return its path."""
    source = SOURCE.read_text()
    assert source.count(place) == 1
    (tmp_path / "escaping.c").write_text(source.replace(place, inserted))
    agent = tmp_path / "escaping"
    subprocess.run(["cc", *FLAGS, "-o", agent, tmp_path / "escaping.c"], check=True, timeout=120)
    return str(agent)


def leaving_at_start(tmp_path: Path) -> str:
    place = "    raise_limits();\n    if (move_own_descriptors()"
    return escaping(tmp_path, place, "    if (front_count)\n        execve(own_path, arguments, environ);\n" + place)


def leaving_at_exec(tmp_path: Path) -> str:
    place = "    memcpy(words, front, (size_t)n * sizeof *words);"
    return escaping(tmp_path, place, "    front_count = n = 0;\n" + place)


# ------------------------------------------------------------------------------------------------------ the front stays


def check_front(backend: CommandBackend, words: list[str], program: str) -> None:
    """Check that what runs the agent is what was started, before and after exec, in another working directory."""
    process = backend.boot().spawn()
    page = process.sysconf(SC_PAGESIZE)
    fd = process.open("file", O_RDWR | O_CREAT)
    for _ in range(2):
        process.exec()  # raises Unresolved if what runs the agent is another
        assert process.sysconf(SC_PAGESIZE) == page
        assert process.fstat(fd).kind == "regular"
        assert process.open("file", O_RDWR) > fd
    by = backend.facts().details["run by"]
    assert by.startswith(shlex.join(words)), by
    assert program in by


def test_the_dynamic_linker_is_executed_again(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(build_agent(), "agent")

    check_front(start(f"{loader()} ./agent --directory ."), [loader()], "ld-linux")


@pytest.mark.parametrize(
    ("emulator", "compiler", "options"),
    [
        ("valgrind", "cc", ["-q", "--tool=none"]),
        ("qemu-aarch64-static", "aarch64-linux-gnu-gcc", ["-p", "65536"]),
        ("qemu-x86_64-static", "cc", []),
    ],
)
def test_an_emulator_is_executed_again(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    emulator: str,
    compiler: str,
    options: list[str],
) -> None:
    for command in (emulator, compiler):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    monkeypatch.chdir(tmp_path)
    static = [] if emulator == "valgrind" else ["-static"]
    subprocess.run([compiler, *static, *FLAGS, "-o", "agent", SOURCE], check=True, timeout=120)

    backend = start(f"{shlex.join([emulator, *options])} ./agent")

    check_front(backend, [], emulator.partition("-static")[0])
    if options[:1] == ["-p"]:
        assert backend.facts().details["page"] == "65536"


def test_without_an_emulator_the_system_itself_runs_the_agent(tmp_path: Path) -> None:
    backend = NativeBackend()
    backend.configure(Options(directory=str(tmp_path)))
    backend.boot().spawn().exec()

    assert backend.facts().details["run by"] == "the system itself"
    backend.close()


def test_the_starter_turns_address_randomisation_off(tmp_path: Path) -> None:
    """For the agent, not for itself, whether or not it is on here."""
    personality = Path("/proc/self/personality")
    before = personality.read_text()
    places = set()
    for _ in range(3):
        backend = NativeBackend()
        backend.configure(Options(directory=str(tmp_path)))
        maps = backend.boot().spawn().maps()
        backend.close()
        places.add(next(line.split()[0] for line in maps.splitlines() if "[stack]" in line))

    assert personality.read_text() == before
    if len(places) > 1:
        pytest.skip("personality(2) is not permitted")
    if not int(before, 16) & ADDR_NO_RANDOMIZE:
        own = next(line for line in Path("/proc/self/maps").read_text().splitlines() if "[stack]" in line)
        assert own.split()[0] not in places


LOADS_NULL = """
from pytest_mmapconf.agent.backend import NativeBackend
backend = NativeBackend()
backend.boot().spawn().load(0, 1)
"""


@pytest.mark.skipif(shutil.which("setarch") is None, reason="needs setarch")
def test_an_agent_has_no_page_0_where_the_users_shell_has() -> None:
    done = subprocess.run(["setarch", "-Z", sys.executable, "-c", LOADS_NULL], capture_output=True, text=True)

    assert "SIGSEGV (SEGV_MAPERR) at 0x0" in done.stderr


# --------------------------------------------------------------------------------------------------- a planted escape


def test_an_agent_that_leaves_its_front_at_its_start_is_refused(start: Start, tmp_path: Path) -> None:
    backend = start(f"{loader()} {leaving_at_start(tmp_path)}")

    with pytest.raises(Unresolved, match=r"and not under .*ld-linux.*, which was started"):
        backend.boot()


def test_an_agent_that_leaves_its_front_at_exec_is_unresolved(start: Start, tmp_path: Path) -> None:
    process = start(f"{loader()} {leaving_at_exec(tmp_path)}").boot().spawn()

    with pytest.raises(Unresolved, match=r"run by .*ld-linux.*, after it by the system itself"):
        process.exec()


def test_an_agent_that_reports_nothing_and_leaves_is_observed(start: Start, tmp_path: Path) -> None:
    agent = tmp_path / "reports-nothing"
    source = tmp_path / "reports-nothing.c"
    leaving_at_exec(tmp_path)
    text = (tmp_path / "escaping.c").read_text().replace("    if (running_program[0]) {", "    if (0) {")
    source.write_text(text)
    subprocess.run(["cc", *FLAGS, "-o", agent, source], check=True, timeout=120)
    process = start(f"{loader()} {agent}").boot().spawn()

    with pytest.raises(Unresolved, match=r"after exec .*reports-nothing.* runs, not run by .*ld-linux"):
        process.exec()


def test_smoke_and_a_run_notice_an_escape(pytester: pytest.Pytester, tmp_path: Path) -> None:
    backend = f"--mmap-backend=agent:{loader()} {leaving_at_exec(tmp_path)}"
    arguments = "-p", "no:hypothesispytest", backend

    smoke = pytester.runpytest_subprocess(*arguments, "--mmap-smoke")
    run = pytester.runpytest_subprocess(*arguments, "--mmap-level=linux", "--mmap-clause=exec.mappings")

    smoke.stdout.fnmatch_lines(["*FIX*front*exec starts*", "*before exec the agent is run by*"])
    assert smoke.ret == 1
    run.stdout.fnmatch_lines(["*unresolved*"])
    assert run.ret == 1


# ------------------------------------------------------------------------------------------------ what the starter sees


@pytest.mark.parametrize(
    ("command", "runs", "lost"),
    [
        ("qemu-aarch64-static -p 65536 ./agent", "qemu-aarch64-static -p 65536 ./agent", None),
        ("qemu-aarch64-static ./agent", "./agent", "qemu-aarch64-static"),
        ("env A=1 /opt/qemu-arm ./agent", "/opt/qemu-arm ./agent", None),
        ("env A=1 /opt/qemu-arm ./agent", "./agent", "/opt/qemu-arm"),
        ("env FILES=/opt/qemu-files sh run", "./emulator ./agent", None),
        ("valgrind -q ./agent", "/usr/bin/valgrind.bin -q ./agent", None),
        ("valgrind -q ./agent", "./agent", "valgrind"),
        ("./agent", "./agent --again", None),
    ],
)
def test_emulators_in_a_command(command: str, runs: str, lost: str | None) -> None:
    assert front.emulators_left(command.split(), runs.split()) == lost


def started(command: list[str], runs: str) -> str | None:
    """Start a command, wait until its process runs `runs`, and return what `escape_of` returns."""
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            line = Path(f"/proc/{process.pid}/cmdline").read_text()
            if line.startswith(runs):
                break
            time.sleep(0.01)
        return front.escape_of(command, process.pid)
    finally:
        process.kill()
        process.wait()


def test_a_program_that_runs_is_no_escape() -> None:
    assert started(["sleep", "60"], "sleep") is None


@pytest.mark.parametrize("command", [["env", "A=1", "sleep", "60"], ["sh", "-c", "exec sleep 60"]])
def test_a_launcher_may_execute_a_program(command: list[str]) -> None:
    assert started(command, "sleep") is None


def test_a_script_may_execute_a_program(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)

    assert started([str(script)], "sleep") is None


def test_another_program_in_the_place_of_a_program_is_an_escape(tmp_path: Path) -> None:
    source = tmp_path / "front.c"
    source.write_text('#include <unistd.h>\nint main(void) { return execlp("sleep", "sleep", "60", (char *)0); }\n')
    subprocess.run(["cc", "-o", tmp_path / "front", source], check=True, timeout=60)

    escape = started([str(tmp_path / "front"), "agent"], "sleep")

    assert escape == f"sleep 60 runs now, and not under {tmp_path}/front, which was started"


def test_contradictions_of_the_answer_to_exec() -> None:
    greeting = {"front": "qemu\0-p\0" + "65536\0", "program": "/bin/qemu", "page": "65536"}

    assert front.changed_by_exec(greeting, greeting) is None
    assert front.changed_by_exec({}, {}) is None, "an agent that reports nothing"
    assert front.described(greeting) == "qemu -p 65536 (/bin/qemu)"
    assert "does not report" in (front.changed_by_exec(greeting, {}) or "")
    assert "page 65536 and then 4096" in (front.changed_by_exec(greeting, {**greeting, "page": "4096"}) or "")
