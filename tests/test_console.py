"""agent.console: an agent that is started at a prompt: echo, terminals, deaths, panics, and files with errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_mmapconf.agent.build import build_agent
from pytest_mmapconf.agent.console import ConsoleError, load

BOARD = """
import os, sys, time

def say(text):
    os.write(1, text.encode())

say("boot loader 3\\r\\nlogin: ")
assert sys.stdin.readline() == "root\\n"
say("root\\r\\nboard$ ")
while line := sys.stdin.readline():
    say(line.replace("\\n", "\\r\\n"))
    if line != "agent\\n":
        say("sh: not found\\r\\nboard$ ")
        continue
    say("mmapconf 1 system=toy release=1 echo=yes line=128\\r\\n")
    for line in sys.stdin:
        say(line.replace("\\n", "\\r\\n"))
        number, verb, *words = line.split()
        if verb == "sysconf":
            say(f"[    3.2] eth0: link is up\\r\\n{number} ok 4096\\r\\n")
        elif verb == "munmap":
            say("usertrap(): unexpected scause 0xd pid=3\\r\\nboard$ ")
            break
        elif verb == "msync":
            say("panic: kerneltrap\\r\\n")
            time.sleep(0.1)
            say("backtrace: 0x80001234\\r\\n")
            time.sleep(600)
        elif verb == "mremap":
            sys.exit()
        else:
            say(number + {"boot": " ok /", "spawn": " ok 1"}.get(verb, " ok") + "\\r\\n")
"""
"""A machine with a login, a shell, an agent that a fault ends, and a kernel that panics."""

CONSOLE = """
command = "{python} board.py"
start-seconds = 20
panic = ["panic:"]

[[step]]
wait = "login: $"
type = "root"

[[step]]
wait = "board[$] $"
type = "agent"

[death]
"unexpected scause" = "SIGSEGV"
"""


@pytest.fixture
def board(tmp_path: Path) -> Path:
    (tmp_path / "board.py").write_text(BOARD)
    (tmp_path / "board.toml").write_text(CONSOLE.format(python=sys.executable))
    return tmp_path


def converse(folder: Path, *requests: str) -> subprocess.CompletedProcess[str]:
    """Start the bridge, make requests, and end its stream."""
    command = [sys.executable, "-m", "pytest_mmapconf.agent.console", "board.toml"]
    said = "".join(f"{request}\n" for request in requests)
    return subprocess.run(command, cwd=folder, input=said, capture_output=True, text=True, timeout=60, check=False)


def test_requests_pass_and_echo_and_other_text_do_not(board: Path) -> None:
    done = converse(board, "0 boot", "0 spawn", "1 sysconf 30", "0 end")

    assert done.stdout.splitlines() == [
        "mmapconf 1 system=toy release=1 line=128", "0 ok /", "0 ok 1", "1 ok 4096", "0 ok",
    ]  # fmt: skip
    assert done.returncode == 0
    assert "boot loader 3" in done.stderr
    assert "eth0: link is up" in done.stderr
    assert "1 sysconf 30" not in done.stderr


def test_the_agent_is_started_again_after_its_end(board: Path) -> None:
    done = converse(
        board, "0 boot", "0 spawn", "1 munmap 0 0", "1 sysconf 30", "0 end", "0 boot", "0 spawn", "1 sysconf 30"
    )

    assert done.stdout.splitlines()[3:] == [
        "1 died SIGSEGV", "1 died SIGSEGV", "0 ok", "0 ok /", "0 ok 1", "1 ok 4096",
    ]  # fmt: skip
    assert done.returncode == 0
    assert "unexpected scause 0xd" in done.stderr


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("msync", ["panic: kerneltrap", "backtrace: 0x80001234", "the system has panicked"]),
        ("mremap", ["the console has ended"]),
    ],
    ids=["panic", "end"],
)
def test_the_end_of_the_system_ends_the_bridge(board: Path, verb: str, said: list[str]) -> None:
    start = time.monotonic()
    done = converse(board, "0 boot", "0 spawn", f"1 {verb} 0 0 0", "0 end")

    assert done.returncode == 1
    assert done.stdout.splitlines()[3:] == []
    assert [line for line in said if line not in done.stderr] == []
    assert time.monotonic() - start < 15


def test_a_prompt_that_does_not_come_has_a_limit(board: Path) -> None:
    text = (board / "board.toml").read_text()
    (board / "board.toml").write_text(text.replace("login: ", "Password: ").replace("= 20", "= 0.5"))

    done = converse(board, "0 boot")

    assert (done.returncode, done.stdout) == (1, "")
    assert "the console has not written b'Password: $' in 0.5 s" in done.stderr


@pytest.mark.parametrize("terminal", ["true", "false"])
def test_an_agent_that_a_shell_starts_is_judged(pytester: pytest.Pytester, terminal: str) -> None:
    """On a pseudo terminal the shell echoes and ends its lines with CR LF until the agent makes the terminal raw."""
    (pytester.path / "board.toml").write_text(
        f"""
        command = "env PS1='board> ' sh -i"
        terminal = {terminal}
        echo = {terminal}
        step = [{{ wait = "board> $", type = "'{build_agent()}'" }}]
        """
    )
    backend = f"agent:{sys.executable} -m pytest_mmapconf.agent.console board.toml"
    pytester.runpytest_subprocess(
        f"--mmap-backend={backend}", "--mmap-clause=munmap.result", "-mnot mmap_tour", "--mmap-report=r.json"
    )

    report: dict[str, Any] = json.loads((pytester.path / "r.json").read_text())
    assert {case["verdict"] for case in report["cases"]} == {"pass"}
    assert len(report["cases"]) == 2


def test_a_panic_fails_the_case_with_what_the_console_said(board: Path, pytester: pytest.Pytester) -> None:
    for file in board.iterdir():
        (pytester.path / file.name).write_bytes(file.read_bytes())
    (pytester.path / "test_mine.py").write_text(
        "from pytest_mmapconf.testing import clause\n"
        "@clause('msync.result')\ndef test_panics(process):\n    process.msync(4096, 4096, 4)\n"
        "@clause('paging.sysconf')\ndef test_next(process):\n    assert process.sysconf(30) == 4096\n"
    )
    backend = f"agent:{sys.executable} -m pytest_mmapconf.agent.console board.toml"
    run = pytester.runpytest_subprocess(f"--mmap-backend={backend}", "test_mine.py", "--mmap-report=r.json")

    report = json.loads((pytester.path / "r.json").read_text())
    verdicts = {case["id"]: case["verdict"] for case in report["cases"]}
    assert verdicts == {"test_mine.panics": "fail", "test_mine.next": "pass"}
    assert "panic: kerneltrap" in run.stdout.str()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have either command or device"),
        ('command = "a"\ndevice = "/dev/null"', "must have either command or device"),
        ('command = ""', "command is empty"),
        ('command = "\'a"', "command cannot be understood: No closing quotation"),
        ('comand = "a"', "comand is not known; did you mean command?"),
        ("command = 5", "command must be text, not 5"),
        ('command = "a"\nbaud = true', "baud must be an integer, not True"),
        ('device = "/dev/x"\nbaud = 7', "baud 7 is no speed of a terminal"),
        ('command = "a"\nstart-seconds = 0', "start-seconds must be above 0"),
        ('command = "a"\npanic = ["("]', "panic: '(' is no regular expression: missing )"),
        ('command = "a"\nstep = [1]', "step 1: must have wait and type, both text"),
        ('command = "a"\nstep = [{ wait = "a", type = 1 }]', "step 1: must have wait and type, both text"),
        ('command = "a"\n[death]\na = "SIGSEGV"', "death needs a step"),
        ('command = "a"\nstep = [{ wait = "a", type = "b" }]\n[death]\na = "dead"', "neither the name of a signal"),
        ("command", "not TOML"),
    ],
)
def test_an_invalid_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.toml").write_text(text)

    with pytest.raises(ConsoleError, match=re.escape(message)):
        load(str(tmp_path / "x.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('command = "/there/is/none"', "the command cannot be started"),
        ('device = "/there/is/none"', "/there/is/none: No such file or directory"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "board.toml").write_text(text)

    done = converse(tmp_path)

    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
