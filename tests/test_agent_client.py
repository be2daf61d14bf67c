"""The client against agents that keep the protocol, and against agents that break it: each a few lines of Python."""

from __future__ import annotations

import errno
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.contract import SC_PAGESIZE, Call, Died, Fault, Options, Unresolved, Unsupported
from pytest_mmapconf.waiting import RunningClock

GOOD = """
import sys
def say(text):
    sys.stdout.write(text); sys.stdout.flush()
def answer(number, verb, arguments):
    if verb == "boot": return "ok /nowhere"
    if verb == "spawn": return "ok 1"
    if verb == "end": return "ok"
    return odd(number, verb, arguments)
def odd(number, verb, arguments):
    if verb == "sysconf": return "ok 4096"
    return "unsupported it is only a small agent"
def greet():
    say("mmapconf 1 bits=32 page=4096 data=16 line=256\\n")
def run():
    greet()
    for line in sys.stdin:
        number, verb, *arguments = line.split()
        say(f"{number} {answer(number, verb, arguments)}\\n")
"""

StartAgent = Callable[..., CommandBackend]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartAgent]:
    """`start(code)` is a backend that uses the small agent above, extended by `code`."""
    started: list[CommandBackend] = []

    def start(code: str = "", timeout: float = 5.0, start_timeout: float = 20.0) -> CommandBackend:
        script = tmp_path / f"agent {len(started)}.py"
        script.write_text(f"{GOOD}\n{code}\nrun()\n")
        backend = CommandBackend(shlex.join([sys.executable, "-S", str(script)]))
        backend.configure(Options(timeout=timeout, start_timeout=start_timeout))
        started.append(backend)
        return backend

    yield start
    for backend in started:
        backend.close()
        assert not running(str(tmp_path))


def running(word: str) -> list[int]:
    """The processes that have `word` in their command line, zombies not among them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_an_audit_of_an_agent_that_lacks_it_loads_and_reads(start: StartAgent) -> None:
    process = (
        start(
            """
def odd(number, verb, arguments):
    if verb == "sysconf": return "ok 16"
    if verb == "load": return "fault SIGBUS BUS_ADRERR -" if arguments[0] == "0x30" else "ok " + "00" * 16
    if verb == "fstat": return "ok regular 3"
    if verb == "pread": return "ok 616263"
    return "unsupported it is only a small agent"
"""
        )
        .boot()
        .spawn()
    )

    for _ in range(2):
        assert process.audit([(32, 2)], [7]) == ["ecbb4b55", "BUS_ADRERR", "3:352441c2"]


def test_an_audit_goes_into_lines_as_long_as_the_agent_takes(start: StartAgent) -> None:
    process = (
        start(
            """
def odd(number, verb, arguments):
    assert len(verb + " ".join(arguments)) < 240
    words = []
    for what, count in zip(arguments[::2], arguments[1::2]):
        words += ["1:2"] if what == "fd" else ["%08x" % (int(what, 0) // 4096 + at) for at in range(int(count))]
    return "ok " + " ".join(words)
"""
        )
        .boot()
        .spawn()
    )

    reported = process.audit([(0, 40), (1 << 31, 1), (4096, 1)], [5, 6, 7])

    assert reported == [*(f"{at:08x}" for at in range(40)), "00080000", "00000001", "1:2", "1:2", "1:2"]


def test_a_batch_goes_into_lines_as_long_as_the_agent_takes(start: StartAgent) -> None:
    process = (
        start(
            """
def odd(number, verb, arguments):
    assert verb == "batch" and len(verb + " ".join(arguments)) < 240
    return "ok " + ";".join("error EINVAL" if "-1" in each else "ok 7" for each in " ".join(arguments).split(";"))
"""
        )
        .boot()
        .spawn()
    )

    results = process.batch([("sysconf", (1,)), ("sysconf", (-1,)), *[("sysconf", (at,)) for at in range(40)]])

    assert results[0] == 7
    assert isinstance(results[1], OSError)
    assert results[1].errno == errno.EINVAL
    assert results[2:] == [7] * 40


def test_a_batch_of_an_agent_that_lacks_it_is_made_call_by_call(start: StartAgent) -> None:
    process = (
        start('def odd(number, verb, arguments): return "unsupported no" if verb == "batch" else "ok 7"').boot().spawn()
    )

    for _ in range(2):
        assert process.batch([("sysconf", (1,)), ("sysconf", (2,))]) == [7, 7]


def test_a_batch_with_too_few_answers_is_babble(start: StartAgent) -> None:
    process = start('def odd(number, verb, arguments): return "ok ok 7"').boot().spawn()

    with pytest.raises(Unresolved, match="1 of the 2 requests of a batch"):
        process.batch([("sysconf", (1,)), ("sysconf", (2,))])


def test_an_audit_with_too_few_answers_is_babble(start: StartAgent) -> None:
    process = start('def odd(number, verb, arguments): return "ok 00000000"').boot().spawn()

    with pytest.raises(Unresolved, match="1 words to an audit"):
        process.audit([(0, 2)])


def test_a_call_is_a_line_there_and_a_line_back(start: StartAgent) -> None:
    backend = start()

    process = backend.boot().spawn()

    assert process.bits == 32
    assert process.sysconf(SC_PAGESIZE) == 4096


def test_an_unknown_verb_is_unsupported(start: StartAgent) -> None:
    process = start().boot().spawn()

    with pytest.raises(Unsupported, match="it is only a small agent"):
        process.munmap(0, 1)


def test_errors_come_by_name(start: StartAgent) -> None:
    process = start('def odd(*_): return "error ENOTEMPTY"').boot().spawn()

    with pytest.raises(OSError, match="not empty") as failed:
        process.mkdir("x")
    assert failed.value.errno == errno.ENOTEMPTY


def test_an_error_without_a_name_here_is_unresolved(start: StartAgent) -> None:
    process = start('def odd(*_): return "error EFANCY"').boot().spawn()

    with pytest.raises(Unresolved, match="EFANCY"):
        process.mkdir("x")


@pytest.mark.parametrize(("reported", "address"), [("0x1234", 0x1234), ("-", None)])
def test_faults(start: StartAgent, reported: str, address: int | None) -> None:
    process = start(f'def odd(*_): return "fault SIGBUS BUS_ADRERR {reported}"').boot().spawn()

    with pytest.raises(Fault) as fault:
        process.load(0x1234, 1)
    assert (fault.value.signal, fault.value.code, fault.value.address) == ("SIGBUS", "BUS_ADRERR", address)


def test_long_data_goes_in_several_lines(start: StartAgent) -> None:
    code = """
memory = bytearray(100)
def odd(number, verb, arguments):
    at = int(arguments[0], 0)
    if verb == "store":
        data = bytes.fromhex(arguments[1])
        assert len(data) <= 16
        memory[at:at + len(data)] = data
        return "ok"
    assert int(arguments[1]) <= 16
    return "ok " + memory[at:at + int(arguments[1])].hex()
"""
    process = start(code).boot().spawn()

    process.store(10, bytes(range(50)))

    assert process.load(0, 100) == bytes(10) + bytes(range(50)) + bytes(40)


def test_paths_are_one_word(start: StartAgent) -> None:
    process = start('def odd(n, verb, arguments): return f"error E{len(arguments)}{arguments[0]}"').boot().spawn()

    with pytest.raises(Unresolved, match=r"E3a%20%25%C3%A4%0Ab$"):
        process.open("a %ä\nb", 0)


TOGETHER = """
spawned = 0
waiting = []
def run():
    global spawned
    greet()
    for line in sys.stdin:
        number, verb, *arguments = line.split()
        if verb == "spawn":
            spawned += 1
            say(f"0 ok {spawned}\\n")
        elif verb == "sysconf":
            waiting.append((number, arguments[0]))
            if len(waiting) == 3:  # the last that was asked is the first that is answered
                for number, value in reversed(waiting):
                    say(f"{number} {'error EINVAL' if value == '13' else 'ok ' + value}\\n")
                waiting.clear()
        else:
            say(f"{number} ok /nowhere\\n")
"""


def test_calls_made_together_are_all_under_way_before_one_is_answered(start: StartAgent) -> None:
    system = start(TOGETHER).boot()
    processes = [system.spawn() for _ in range(3)]

    for values in ([1, 2, 3], [6, 5, 4]):
        calls = [Call(process, "sysconf", (value,)) for process, value in zip(processes, values, strict=True)]
        assert system.run_concurrently(calls) == values


def test_a_failure_among_calls_made_together_leaves_no_answer(start: StartAgent) -> None:
    system = start(TOGETHER).boot()
    processes = [system.spawn() for _ in range(3)]

    for _ in range(2):
        with pytest.raises(OSError, match="Invalid argument"):
            system.run_concurrently([Call(process, "sysconf", (13 + i,)) for i, process in enumerate(processes)])


def test_calls_made_together_are_of_different_processes(start: StartAgent) -> None:
    system = start().boot()
    process = system.spawn()

    with pytest.raises(TypeError, match="each of another process"):
        system.run_concurrently([Call(process, "sysconf", (1,)), Call(process, "sysconf", (2,))])


def test_chatter_before_the_greeting_is_skipped(start: StartAgent) -> None:
    code = """
def greet():
    say("booting...\\r\\n" * 1000 + "login: mmapconf 1 bits=64 libc=a%20b unknown=\\r\\n")
"""
    backend = start(code)

    assert backend.facts().details["libc"] == "a b"
    assert backend.boot().spawn().bits == 64


BROKEN = {
    "no greeting": ('def greet(): say("hello\\n" * 20000)', "did not greet within 65536 bytes"),
    "silent": ("def greet(): pass", "no answer to 'its greeting' in 0.5 s"),
    "another version": ('def greet(): say("mmapconf 2 bits=64\\n")', "speaks version 2 of the protocol, not 1"),
    "foolish greeting": ('def greet(): say("mmapconf 1 page=big\\n")', "page='big'"),
    "endless greeting": ('def greet(): say("x" * 2000000)', "a line of more than"),
    "ends at once": ('def run(): sys.stderr.write("no such kernel\\n"); sys.exit(3)', "status 3.*no such kernel"),
    "ends later": ("def odd(*_): sys.exit(4)", r"ended at 'sysconf 30' \(with status 4\)"),
    "is killed": ("def odd(*_): import os; os.kill(os.getpid(), 9)", r"ended at 'sysconf 30' \(by signal SIGKILL\)"),
    "hangs": ("def odd(*_): import time; time.sleep(60)", "no answer to 'sysconf 30' in 0.5 s"),
    "hangs at boot": ("def answer(*_): import time; time.sleep(60)", "no answer to 'boot' in 0.5 s"),
    "babbles": ('def odd(*_): return "ok 1\\nand more\\n"', "said 'and more', without a request"),
    "answers for another": ('def odd(*_): say("7 ok\\n")', "said '7 ok', without a request"),
    "answers nonsense": ('def odd(*_): return "perhaps 12"', "answered 'perhaps 12' to sysconf"),
    "not a number": ('def odd(*_): return "ok twelve"', "answered 'twelve' where a number belongs"),
    "endless line": ('def odd(*_): say("1 ok " + "1" * 100000)', "a line of more than 272 bytes"),
    "long line": ('def odd(*_): return "ok " + "1" * 1000', "a line of more than 272 bytes"),
    "not text": ('def odd(*_): sys.stdout.buffer.write(b"\\xff\\xfe\\n"); return "ok"', "without a request"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_an_agent_does_wrong_is_unresolved_and_kills_it(start: StartAgent, tmp_path: Path, name: str) -> None:
    code, reason = BROKEN[name]
    backend = start(code, timeout=0.5, start_timeout=0.5 if name in ("silent", "hangs at boot") else 20)
    begun = time.monotonic()

    def use() -> None:
        process = backend.boot().spawn()
        process.sysconf(SC_PAGESIZE)
        process.sysconf(SC_PAGESIZE)

    with pytest.raises(Unresolved, match=reason):
        use()
    assert time.monotonic() - begun < 4
    assert not running(str(tmp_path))


def test_output_instead_of_a_greeting_is_shown(start: StartAgent) -> None:
    code = 'def run(): say("Booting\\x1b[0m\\r\\nKernel panic - not syncing: no virtio disk\\n" + "more\\n" * 900)'

    with pytest.raises(
        Unresolved, match=r"its greeting.*; it wrote: Kernel panic - not syncing: no virtio disk$"
    ) as it:
        start(code).boot()
    assert len(str(it.value)) < 400
    assert str(it.value).isprintable()


# -------------------------------------------------------------------------------------------- calls that end the system

ENDS = {
    "its process": ('return "died SIGABRT"', "the process ended by itself .SIGABRT., seen at munmap"),
    "its process, with a status": ('return "died 127"', "the process ended by itself .127., seen at munmap"),
    "the system": ("sys.exit(4)", "it ended at 'munmap 0x0 1' .with status 4."),
    "the system, which panics": ('say("[  1.2] Kernel panic - not syncing\\n"); import time; time.sleep(60)', "panic"),
    "nothing, and does not return": ("import time; time.sleep(60)", "no answer to 'munmap 0x0 1' in 1 s"),
}


@pytest.mark.parametrize("what", ENDS)
def test_a_call_that_ends_its_process_or_the_system_is_the_cause(start: StartAgent, what: str) -> None:
    statement, text = ENDS[what]
    code = f"""
def odd(number, verb, arguments):
    if verb == "sysconf": return "ok 4096"
    sys.stderr.write("qemu: Assertion failed\\x07\\n"); sys.stderr.flush()
    {statement}
"""
    backend = start(code, timeout=1)
    process = backend.boot().spawn()
    process.sysconf(SC_PAGESIZE)

    with pytest.raises(Died, match=text) as died:
        process.munmap(0, 1)
    assert "qemu: Assertion failed" in str(died.value)
    assert "qemu: Assertion failed\\x07" in died.value.output
    assert died.value.requests[-2:] == ("1 sysconf 30", "1 munmap 0x0 1")
    assert backend.boot().spawn().sysconf(SC_PAGESIZE) == 4096


NOT_CAUSED = {
    "the process was killed": 'return "died SIGKILL"',
    "the agent ended the process": 'return "died 0"',
    "an object in Python reports its trouble": 'return "died the set-up failed"',
    "the agent was killed": "import os; os.kill(os.getpid(), 9)",
    "the agent was terminated": "import os; os.kill(os.getpid(), 15)",
    "the agent writes something else": 'return "ok\\nDEBUG"',
}


@pytest.mark.parametrize("what", NOT_CAUSED)
def test_the_end_of_an_agent_for_another_reason_has_no_verdict(start: StartAgent, what: str) -> None:
    code = f"""
def odd(number, verb, arguments):
    if verb == "sysconf": return "ok 4096"
    {NOT_CAUSED[what]}
"""
    process = start(code, timeout=1).boot().spawn()

    def unmap_twice() -> None:
        process.munmap(0, 1)
        process.munmap(0, 1)

    with pytest.raises(Unresolved) as unresolved:
        unmap_twice()
    assert not isinstance(unresolved.value, Died)


def test_without_a_new_agent_that_answers_no_call_is_known_to_be_the_cause(start: StartAgent, tmp_path: Path) -> None:
    code = f"""
import os
flag = {str(tmp_path / "flag")!r}
def run_once():
    if os.path.exists(flag): sys.exit(1)
    open(flag, "w").close()
run_once()
def odd(number, verb, arguments):
    if verb == "sysconf": return "ok 4096"
    sys.exit(3)
"""
    process = start(code, timeout=1).boot().spawn()

    with pytest.raises(Unresolved, match="status 3") as unresolved:
        process.munmap(0, 1)
    assert not isinstance(unresolved.value, Died)


def test_after_a_failure_the_system_is_gone_and_the_next_one_is_not(start: StartAgent, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = f"""
import os
def odd(number, verb, arguments):
    if not os.path.exists({str(flag)!r}):
        open({str(flag)!r}, "w").close()
        sys.exit(1)
    return "ok 1"
"""
    backend = start(code)
    system = backend.boot()
    process = system.spawn()
    with pytest.raises(Unresolved, match="ended at"):
        process.sysconf(SC_PAGESIZE)

    with pytest.raises(Unresolved, match="the agent is gone: it ended at"):
        process.sysconf(SC_PAGESIZE)
    with pytest.raises(Unresolved, match="the agent is gone"):
        system.spawn()
    system.close()

    assert backend.boot().spawn().sysconf(SC_PAGESIZE) == 1


def test_an_agent_that_dies_at_the_end_of_a_system_is_started_again(start: StartAgent) -> None:
    code = """
boots = 0
def answer(number, verb, arguments):
    global boots
    if verb == "end": sys.exit(1)
    if verb == "boot": return "ok /nowhere"
    return "ok 1"
"""
    backend = start(code)

    for _ in range(3):
        system = backend.boot()
        assert system.spawn().sysconf(SC_PAGESIZE) == 1
        with pytest.raises(Unresolved, match="it ended at 'end'"):
            system.close()


@pytest.mark.parametrize(
    ("greeting", "answer"),
    [
        ("bits=64", "ok"),
        ("bits=64", "ok 5"),
        ("bits=64", "ok nowhere"),
        ("bits=64", "ok /a /b"),
        ("bits=64", "ok /a%zz"),
        ("bits=64", "ok /../../etc"),
        ("bits=64", "ok /%1b[31m\\x1b"),
        ("directory=/a", "ok /a"),
        ("directory=/a", "ok /a/mmapconf-"),
        ("directory=/a", "ok /b/mmapconf-abcdef"),
    ],
)
def test_the_path_of_a_boot_is_one(start: StartAgent, greeting: str, answer: str) -> None:
    backend = start(f"""
def greet(): say("mmapconf 1 {greeting}\\n")
def answer(number, verb, arguments): return "{answer}" if verb == "boot" else "ok 1"
""")

    with pytest.raises(Unresolved, match="where the path of its directory belongs"):
        backend.boot()


def test_the_path_of_a_boot_may_be_below_the_agent_s_directory(start: StartAgent) -> None:
    backend = start("""
def greet(): say("mmapconf 1 directory=/a/\\n")
def answer(number, verb, arguments): return "ok /a/mmapconf-abc_12/5%20x" if verb == "boot" else "ok 1"
""")

    backend.boot()


@pytest.mark.parametrize(("number", "reason"), [("0", "where a process belongs"), ("1", "the number 1 to two")])
def test_a_new_process_has_a_number_of_its_own(start: StartAgent, number: str, reason: str) -> None:
    process = start(f'def odd(number, verb, arguments): return "ok {number}"').boot().spawn()

    with pytest.raises(Unresolved, match=reason):
        process.fork()


def test_a_closed_system_answers_no_more(start: StartAgent) -> None:
    system = start().boot()
    process = system.spawn()
    system.close()
    system.close()

    with pytest.raises(Unresolved, match="the system is closed"):
        process.sysconf(SC_PAGESIZE)
    with pytest.raises(Unresolved, match="the system is closed"):
        system.spawn()


def test_much_on_stderr_stops_nothing(start: StartAgent) -> None:
    code = """
def odd(*_):
    sys.stderr.write("noise " * 50000); sys.stderr.flush()
    return "ok 5"
"""
    process = start(code).boot().spawn()

    assert [process.sysconf(SC_PAGESIZE) for _ in range(3)] == [5, 5, 5]


@pytest.mark.parametrize("command", ["/no/such/program", "", "'"])
def test_a_command_that_cannot_be_run_is_unresolved(command: str) -> None:
    with pytest.raises(Unresolved, match=r"cannot be started|is empty|cannot be understood"):
        CommandBackend(command).boot()


@pytest.mark.parametrize("name", ["Ab12Cd", "abc_12_9"])  # as C's mkdtemp ends, and as Python's
def test_a_folder_named_by_an_agent_is_removed_only_if_agents_name_folders_so(
    start: StartAgent, tmp_path: Path, name: str
) -> None:
    precious = tmp_path / "precious"
    leftover = tmp_path / f"mmapconf-{name}"
    for folder in (precious, leftover):
        folder.mkdir()
        (folder / "file").touch()
        code = f"""
def answer(number, verb, arguments):
    if verb == "boot": return "ok {folder}"
    if verb == "spawn": return "ok 1"
    sys.exit(1)
"""
        with pytest.raises(Unresolved, match="ended at"):
            start(code).boot().spawn().sysconf(SC_PAGESIZE)

    assert (precious / "file").exists()
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            'def odd(number, verb, arguments):\n    while True: say("77 died x\\n" * 500)\n',
            "no answer to 'sysconf 30' in 0.5 s, but other lines",
        ),
        (
            "import time\ndef odd(number, verb, arguments):\n    while True: say('1'); time.sleep(0.01)\n",
            "no answer to 'sysconf 30' in 0.5 s",
        ),
        (
            "def odd(number, verb, arguments):\n    while True: sys.stderr.write('x' * 65536)\n",
            "no answer to 'sysconf 30' in 0.5 s",
        ),
        ("def odd(number, verb, arguments):\n    while True: say('x' * 65536)\n", "it wrote a line of more than"),
    ],
    ids=["lines", "bytes", "stderr", "no newline"],
)
def test_the_deadline_holds_while_bytes_arrive(start: StartAgent, code: str, said: str) -> None:
    process = start(code, timeout=0.5).boot().spawn()

    began = time.monotonic()
    with pytest.raises(Unresolved, match=said):
        process.sysconf(SC_PAGESIZE)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        ("line=1000000000000", "line='1000000000000', which is not from 128 to 2\\^20"),
        ("line=" + "9" * 5000, "line="),
        ("data=1000000000000", "data='1000000000000', which is not from 16 to 2\\^19"),
        ("bits=99999999999999999999999", "bits="),
    ],
)
def test_the_numbers_of_a_greeting_have_bounds(start: StartAgent, greeting: str, said: str) -> None:
    backend = start(f'def greet(): say("mmapconf 1 {greeting}\\n")\n')

    with pytest.raises(Unresolved, match=f"its greeting says {said}") as raised:
        backend.boot()
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("stopped", [0.0, 60.0])
def test_the_time_for_which_the_client_was_stopped_does_not_count(
    start: StartAgent, monkeypatch: pytest.MonkeyPatch, stopped: float
) -> None:
    process = (
        start('import time\ndef odd(number, verb, arguments):\n    time.sleep(1)\n    return "ok 4096"\n', timeout=0.4)
        .boot()
        .spawn()
    )
    wait = RunningClock.wait

    def stopped_wait(clock: RunningClock, wait_for: Callable[[float], Any], seconds: float) -> Any:
        result = wait(clock, wait_for, seconds)
        clock.count_wait(seconds + stopped, seconds)
        return result

    monkeypatch.setattr(RunningClock, "wait", stopped_wait)

    if stopped:
        assert process.sysconf(SC_PAGESIZE) == 4096
    else:
        with pytest.raises(Unresolved, match="no answer"):
            process.sysconf(SC_PAGESIZE)


def test_the_start_has_a_limit_of_its_own(start: StartAgent) -> None:
    backend = start("import time\nsay = (lambda say: lambda text: (time.sleep(0.8), say(text)))(say)\n", timeout=0.4)
    backend.configure(Options(timeout=0.4, start_timeout=20))

    process = backend.boot().spawn()

    with pytest.raises(Unresolved, match=r"no answer to 'sysconf 30' in 0\.4 s"):
        process.sysconf(SC_PAGESIZE)


def test_a_command_that_echoes_is_recognised() -> None:
    backend = CommandBackend("cat")
    backend.configure(Options(timeout=0.5))

    with pytest.raises(Unresolved, match=r"in 0\.5 s: it echoes what it is sent, and does not speak the protocol"):
        backend.boot()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("sys.exit(3)", r"it ended at 'end' \(with status 3\)"),
        ("os.kill(os.getpid(), 11)", r"it ended at 'end' \(by signal SIGSEGV\)"),
        ("time.sleep(60)", r"no answer to 'end' in 1 s"),
        ("return 'error EBUSY'", "it cannot end its processes: Device or resource busy"),
        ("return 'nonsense'", "it answered 'nonsense ' to end"),
    ],
)
def test_the_end_of_a_system_is_judged(start: StartAgent, answer: str, said: str) -> None:
    code = f"import os, time\nbefore = answer\ndef answer(number, verb, arguments):\n    if verb == 'end': {answer}\n"
    backend = start(code + "    return before(number, verb, arguments)\n", timeout=1)
    system = backend.boot()
    assert system.spawn().sysconf(SC_PAGESIZE) == 4096

    with pytest.raises(Unresolved, match=said):
        system.close()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("sys.exit(3)", "exited with status 3"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("sys.stderr.write('Kernel panic'); sys.exit(1)", "exited with status 1 .*; it wrote: Kernel panic"),
    ],
)
def test_the_exit_of_an_agent_is_judged(tmp_path: Path, end: str, said: str) -> None:
    script = tmp_path / "agent.py"
    script.write_text(f"{GOOD}\nrun()\n{end}\n")
    backend = CommandBackend(shlex.join([sys.executable, "-S", str(script)]))
    backend.boot().close()

    with pytest.raises(Unresolved, match=f"the agent {said}"):
        backend.close()


@pytest.mark.parametrize(("name", "number"), [("errno-0", 0), ("0", 0), ("errno-4095", 4095)])
def test_an_errno_without_a_name_is_an_error_of_the_call(start: StartAgent, name: str, number: int) -> None:
    process = start(f'def odd(number, verb, arguments): return "error {name}"\n').boot().spawn()

    with pytest.raises(OSError, match=f"Errno {number}") as raised:
        process.munmap(0, 1)
    assert raised.value.errno == number
