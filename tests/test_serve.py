"""The agent's side of the protocol, in Python: requests, answers, and a backend that makes the calls."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pytest_mmapconf.agent import serve
from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.agent.client import AgentSystem
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Fault,
    Process,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.reference.backend import ReferenceBackend

RW = PROT_READ | PROT_WRITE
MEMORY = MAP_PRIVATE | MAP_ANONYMOUS

REFERENCE = f"{ReferenceBackend.__module__}:{ReferenceBackend.__name__}"


@pytest.fixture
def process() -> Process:
    return ReferenceBackend().boot().spawn()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("sysconf 30", "ok 4096"),
        ("sysconf -1", "error EINVAL"),
        ("load 0x1000 1", "fault SIGSEGV SEGV_MAPERR 0x1000"),
        ("load 0x4000000000000000 1", "fault SIGSEGV SI_KERNEL -"),
        ("load 0x1000 65537", "bad too many bytes for a line"),
        ("load 0x1000", "bad the verb has another number of arguments"),
        ("load 0x1000 0x1g", "bad an argument cannot be understood"),
        ("store 0x1000 abc", "bad an argument cannot be understood"),
        ("set-limit-headroom breath 1", "bad an argument cannot be understood"),
        ("audit 0x1000", "bad an argument cannot be understood"),
        ("maps x", "bad an argument cannot be understood"),
        ("open a%20b 0x42 0x180", "ok 3"),
        ("brk 0", "unsupported this agent does not know the verb"),
        ("__init__", "unsupported this agent does not know the verb"),
        ("bits", "unsupported this agent does not know the verb"),
        ("audit 0x1000 2", "ok SEGV_MAPERR SEGV_MAPERR"),
        ("batch sysconf 30;sysconf -1;load 0x1000 1", "ok ok 4096;error EINVAL;fault SIGSEGV SEGV_MAPERR 0x1000"),
        ("batch sysconf 30;exit 1", "bad a verb cannot be part of a batch"),
        ("batch sysconf 30;batch sysconf 30", "bad a verb cannot be part of a batch"),
        ("audit fd 9", "ok -:-"),
        ("mincore 0 0x10000000000", "bad too many pages for a line"),
        ("audit 0 999999999999", "bad an argument cannot be understood"),
        ("audit 0 -1", "bad an argument cannot be understood"),
        ("audit 0 1024 fd 0", "bad an argument cannot be understood"),
        ("fragment 0x1000 2", "error ENOMEM"),
    ],
)
def test_a_request_and_its_answer(process: Process, request_: str, answer: str) -> None:
    assert serve.execute_request(process, request_) == answer


def test_every_call_of_the_contract_has_arguments_that_can_be_read(process: Process) -> None:
    """An agent could not make a call with an argument of a type that has no parser."""
    calls = [name for name, value in vars(Process).items() if callable(value) and not name.startswith("_")]

    answers = {name: serve.execute_request(Process(), " ".join([name.replace("_", "-"), *["0"] * 9])) for name in calls}

    answers = {name: message for name, message in answers.items() if name not in ("audit", "batch", "maps")}
    assert set(answers.values()) == {"bad the verb has another number of arguments"}
    for name in answers:
        assert len(serve.argument_parsers(name)) == len(inspect.signature(vars(Process)[name]).parameters) - 1


class Broken(Process):
    """A process with one call for each kind of outcome."""

    def munlockall(self) -> None:
        raise NotImplementedError

    def unlink(self, path: str) -> None:
        raise NotImplementedError("no names\nhere")

    def fsync(self, fd: int) -> None:
        raise Unresolved("the emulator is gone")

    def dup(self, fd: int) -> int:
        raise KeyError(fd)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("munlockall", "unsupported not implemented"),
        ("unlink a", "unsupported no names here"),
        ("fsync 3", "died the emulator is gone"),
        ("fork", "unsupported the backend has no fork"),
    ],
)
def test_a_missing_call_is_unsupported_or_died(request_: str, answer: str) -> None:
    assert serve.execute_request(Broken(), request_) == answer


def test_a_bug_of_the_backend_is_no_answer() -> None:
    with pytest.raises(KeyError):
        serve.execute_request(Broken(), "dup 3")


def converse(*lines: str) -> list[str]:
    """Return the reference's answers to some lines, without its greeting."""
    write = io.BytesIO()
    serve.serve(ReferenceBackend(), io.BytesIO("".join(f"{line}\r\n" for line in lines).encode()), write)
    greeting, *answers = write.getvalue().decode().splitlines()
    assert greeting.startswith("mmapconf 1 ")
    return answers


def test_the_supervisor() -> None:
    assert converse("0 spawn", "x", "1 sysconf 30") == [
        "0 bad no system is booted",
        "0 bad a line is a process's number, a verb, and its arguments",
        "1 bad no such process",
    ]
    assert converse("0 boot", "0 spawn", "1 fork", "2 exit 7", "2 sysconf 30", "1 kill", "1 sysconf 30") == [
        "0 ok /",
        "0 ok 1",
        "1 ok 2",
        "2 ok 7",
        "2 died 7",
        "1 ok",
        "1 died SIGKILL",
    ]
    assert converse("0 boot", "0 facility dev-null", "0 facility fire", "0 file-table full", "0 file-table free") == [
        "0 ok /",
        "0 ok /dev/null",
        "0 unsupported this agent does not know the facility",
        "0 ok",
        "0 ok free",
    ]
    assert converse("0 boot", "0 spawn", "0 end", "0 spawn", "0 boot", "0 sing")[2:] == [
        "0 ok",
        "0 bad no system is booted",
        "0 ok /",
        "0 unsupported this agent does not know the verb",
    ]


def test_a_line_that_is_too_long_ends_the_conversation() -> None:
    assert converse("0 boot", "0 " + "x" * serve.LINE, "0 boot") == ["0 ok /"]


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    backend = CommandBackend(f"{sys.executable} -m pytest_mmapconf.agent.serve {REFERENCE}")
    yield backend.boot()
    backend.close()


def test_the_client_reaches_the_reference(system: AgentSystem) -> None:
    process = system.spawn()
    base = process.mmap(0, 8192, RW, MEMORY, -1, 0)
    fd = process.open("a b", O_RDWR | O_CREAT)

    process.store(base, b"x" * 5000)
    assert process.fork().load(base, 5000) == b"x" * 5000
    assert process.mincore(base, 8192) == [True, True]
    assert process.pwrite(fd, b"abc", 1) == 3
    assert process.fstat(fd) == ("regular", 4)
    assert process.audit([(base, 2)], [fd])[2].startswith("4:")
    assert "r1" in process.maps() or f"{base:x}" in process.maps()
    assert system.facility(Facility.DEV_ZERO) == "/dev/zero"
    assert system.mapping_limit() > 0
    with pytest.raises(Fault, match="SEGV_MAPERR"):
        process.load(0, 1)
    with pytest.raises(FileNotFoundError):
        process.open("none", O_RDWR)
    with pytest.raises(Unsupported), system.full_file_table():
        raise Unsupported


def test_the_suite_passes_through_serve(pytester: pytest.Pytester) -> None:
    run = pytester.runpytest_subprocess(
        f"--mmap-backend=agent:{sys.executable} -m pytest_mmapconf.agent.serve {REFERENCE}"
    )

    assert run.ret == 0
    run.stdout.re_match_lines([r"conforms to level documented: \d+ pass$"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python -m pytest_mmapconf.agent.serve MODULE:FACTORY"),
        (["nowhere:Nothing"], "cannot import nowhere"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "pytest_mmapconf.agent.serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
