"""The protocol of small systems: no errno, no signals, a console that echoes; and what cases make of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.contract import Fault, NoErrno, Unresolved, Unsupported, errno_name
from pytest_mmapconf.testing import ExpectationFailed, fails, faults

AGENT = """
import sys
print("mmapconf 1 page=4096 end=0x8000 {facts}", flush=True)
for line in sys.stdin:
    line = line.strip()
    number, _, request = line.partition(" ")
    if "echo=yes" in "{facts}":
        print(line)
    answers = {{"boot": "ok /x", "spawn": "ok 1", "end": "ok", "close 9": "error -", "load 0x0 1": "fault - - -"}}
    print(number, answers.get(request, "ok 4096"), flush=True)
"""


def backend(folder: Path, facts: str) -> CommandBackend:
    """Return a backend whose agent has these facts in its greeting."""
    (folder / "agent.py").write_text(AGENT.format(facts=facts))
    return CommandBackend(f"{sys.executable} {folder / 'agent.py'}")


def test_failures_and_faults_without_a_reason(tmp_path: Path) -> None:
    subject = backend(tmp_path, "errno=none signals=none echo=yes")
    try:
        process = subject.boot().spawn()
        with pytest.raises(NoErrno, match="does not report why") as failed:
            process.close(9)
        with pytest.raises(Fault) as fault:
            process.load(0, 1)

        assert errno_name(failed.value) == "-"
        assert (fault.value.signal, fault.value.code, fault.value.address) == ("-", "-", None)
        assert process.sysconf(30) == 4096
        assert subject.facts().details["reports errno"] == "no"
        assert subject.facts().details["end"] == str(0x8000)
    finally:
        subject.close()


@pytest.mark.parametrize("request_", ["close", "load"])
def test_they_are_errors_of_an_agent_that_has_not_announced_them(tmp_path: Path, request_: str) -> None:
    subject = backend(tmp_path, "echo=yes")
    try:
        process = subject.boot().spawn()
        with pytest.raises(Unresolved):
            process.close(9) if request_ == "close" else process.load(0, 1)
    finally:
        subject.close()


def test_without_an_errno_a_case_asks_whether_the_call_fails() -> None:
    with fails("EINVAL"):
        raise NoErrno
    with pytest.raises(ExpectationFailed, match="the call succeeded"), fails("EINVAL"):
        pass


def test_without_signals_a_case_asks_whether_the_access_happens() -> None:
    with faults("SIGSEGV"):
        raise Fault("-", "-", None)
    with pytest.raises(ExpectationFailed, match="the access succeeded"), faults("SIGSEGV"):
        pass


@pytest.mark.parametrize("asked", [{"code": "SEGV_MAPERR"}, {"at": 4096}])
def test_without_signals_codes_and_addresses_cannot_be_asked(asked: dict[str, object]) -> None:
    with pytest.raises(Unsupported, match="neither si_code nor si_addr"), faults("SIGSEGV", **asked):  # type: ignore[arg-type]
        raise Fault("-", "-", None)
