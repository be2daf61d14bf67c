"""A run that is not finished exits with a status above 0 and leaves reports that say so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUBJECT = """
import atexit, os, sys, threading, time
from pytest_mmapconf.contract import Process, Backend, System

class Plain(Process):
    def sysconf(self, name):
        return 4096
    def mmap(self, *arguments):
        return 1 << 20
    def munmap(self, addr, length):
        pass

def exits():
    sys.exit(0)

def exits_at_once():
    os._exit(0)

def exits_at_the_end():
    atexit.register(lambda: os._exit(0))
    return Wrong()

class Wrong(Plain):
    def munmap(self, addr, length):
        raise OSError(12, "no")

class ExitsInCall(Plain):
    def munmap(self, addr, length):
        os._exit(0)

class ExecsInCall(Plain):
    def munmap(self, addr, length):
        try:
            os.execlp("/no-such-program", "no")
        except FileNotFoundError:
            os.execlp("true", "true")

class CatchesAll(Plain):
    def munmap(self, addr, length):
        import pytest_mmapconf.plugin.watchdog as watchdog
        watchdog.GRACE = 0.3
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass

class Slow(Plain):
    def munmap(self, addr, length):
        open("slow", "w").close()
        time.sleep(60)

def leaves_thread():
    if threading.active_count() < 4:
        threading.Thread(target=time.sleep, args=(60,), name="left").start()
    return Plain()

class DoesNotClose(Backend):
    name = "open"
    def boot(self):
        class One(System):
            def spawn(self):
                return Plain()
        return One()
    def close(self):
        time.sleep(60)
"""

CASES = """
from pytest_mmapconf.testing import clause

@clause("mmap.result.success")
def test_first(process):
    process.mmap(0, 4096, 1, 2, -1, 0)

@clause("munmap.range")
def test_second(process):
    process.munmap(0, 4096)
"""


def command(subject: str, *arguments: str) -> list[str]:
    """Return the command of a run in the current directory, which writes `r.json`."""
    backend = f"--mmap-backend=python:subjects:{subject}"
    options = ["-q", "-p", "no:cacheprovider", "--mmap-report=r.json", "--mmap-timeout=1", backend, *arguments]
    return [sys.executable, "-m", "pytest", "test_mine.py", *options]


def statement() -> str:
    text: str = json.loads(Path("r.json").read_text())["statement"]["text"]
    assert not list(Path().glob(".*.part"))
    return text


@pytest.fixture(autouse=True)
def files(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(subjects=SUBJECT, test_mine=CASES, exits_at_import="import sys\nsys.exit(0)\n")
    Path("r.json").write_text("of an earlier run")


@pytest.mark.parametrize(
    ("subject", "status", "said", "stated"),
    [
        ("exits", 4, "its factory failed: SystemExit: 0", "no statement, as the run has not ended, or was killed"),
        ("exits_at_once", 3, "called os._exit(0)", "no statement, as the run has not ended, or was killed"),
        (
            "ExitsInCall",
            3,
            "called os._exit(0)",
            "no statement, as the run was ended by the backend, which called os._",
        ),
        (
            "ExecsInCall",
            3,
            "called os.execv",
            "no statement, as the run was ended by the backend, which called os.exec",
        ),
        (
            "CatchesAll",
            3,
            "no answer to 'munmap' in 1 s, and the call continued",
            "no statement, as the run was ended: no",
        ),
        ("exits_at_the_end", 1, "1 failed, 1 passed", "partial run: 2 of"),
        ("leaves_thread", 3, "a thread of the backend does not end: left", "partial run: 2 of"),
        ("DoesNotClose", 1, "no answer to 'close of the backend' in 1 s", "no statement, as the run went wrong at its"),
    ],
)
def test_a_backend_cannot_end_the_run_with_status_0(
    pytester: pytest.Pytester, subject: str, status: int, said: str, stated: str
) -> None:
    result = pytester.run(*command(subject), timeout=60)

    assert result.ret == status
    assert said in result.stdout.str() + result.stderr.str()
    assert statement().startswith(stated)


def test_a_module_that_exits_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.run(sys.executable, "-m", "pytest", "--mmap-backend=python:exits_at_import:x", "test_mine.py")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*: cannot import exits_at_import: SystemExit: 0"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_a_report_of_what_was_judged(number: signal.Signals) -> None:
    process = subprocess.Popen([*command("Slow"), "--mmap-timeout=60"], stdout=subprocess.PIPE, text=True)
    while not Path("slow").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)

    if number == signal.SIGKILL:
        assert process.returncode == -number
        assert "has not ended, or was killed" in statement()
        return
    assert process.returncode == (pytest.ExitCode.INTERRUPTED if number == signal.SIGINT else 128 + number)
    how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert statement().startswith(f"no statement, as the run was {how}: ")
    assert statement() in output
    cases = json.loads(Path("r.json").read_text())["cases"]
    assert [(case["id"], case["verdict"]) for case in cases] == [("test_mine.first", "pass")]


def test_a_program_that_runs_pytest_keeps_its_own_exit(pytester: pytest.Pytester) -> None:
    program = pytester.makepyfile(
        program=f"""
        import os, signal, pytest
        before = os._exit, signal.getsignal(signal.SIGTERM)
        assert pytest.main({command("Wrong")[3:]!r}) == 1
        assert (os._exit, signal.getsignal(signal.SIGTERM)) == before
        """
    )
    result = pytester.runpython(program)

    assert result.ret == 0, result.stderr.str()


def test_a_child_of_the_backend_may_end_by_os_exit() -> None:
    code = """
import os
from pytest_mmapconf.plugin.run_end import RunEnd
RunEnd().watch()
if os.fork() == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
os._exit(0)
"""
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 3
    assert os.path.exists("r.json")


def test_an_agent_that_fails_at_the_end_of_a_controller_s_check_is_a_usage_error(pytester: pytest.Pytester) -> None:
    agent = "--mmap-backend=agent:sh -c 'echo mmapconf 1 page=4096; cat > /dev/null; exit 3'"

    result = pytester.runpytest_subprocess("-n1", agent)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *: cannot start: the agent exited with status 3 at the end of its stream"])


def test_a_signal_to_a_child_ends_it_without_a_word() -> None:
    code = """
import os, signal, time
from pytest_mmapconf.plugin.run_end import RunEnd
RunEnd().watch()
ready, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, b".")  # before it, Python would discard the signal as the parent's
    time.sleep(60)
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
"""
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_forked_child_ends_by_a_signal_as_if_nothing_watched() -> None:
    """A handler in Python does not run while the child waits for a lock."""
    code = """
import os, signal
from pytest_mmapconf.plugin.run_end import SIGNALS, RunEnd
RunEnd().watch()
assert all(callable(signal.getsignal(number)) for number in SIGNALS)
if os.fork() == 0:
    assert all(signal.getsignal(number) is signal.SIG_DFL for number in SIGNALS)
    os.kill(os.getpid(), signal.SIGTERM)
print(os.wait()[1] == signal.SIGTERM)
assert all(callable(signal.getsignal(number)) for number in SIGNALS)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("True\n", "")
