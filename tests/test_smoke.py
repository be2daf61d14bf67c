"""--mmap-smoke: a correct adapter passes, and each wrong one gets advice on what to change."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.agent.build import build_agent
from pytest_mmapconf.contract import Backend, Facts, Fault, Options, Process, System, Unsupported
from pytest_mmapconf.plugin import smoke_report
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.smoke.checks import CHECKS
from pytest_mmapconf.smoke.contract_calls import CALLS
from pytest_mmapconf.smoke.outcomes import LACKS, OK, SKIPPED, WRONG, Outcome
from pytest_mmapconf.smoke.run import PROBED, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# -------------------------------------------------------------------------------------------- adapters of the reference


class Adapter(Process):
    """An adapter around the reference, as a user may write it; correct until a call of it is replaced."""

    def __init__(self, inner: Process) -> None:
        self.inner = inner


def _forwarder(call: str) -> Callable[..., Any]:
    return lambda self, *arguments, **named: getattr(self.inner, call)(*arguments, **named)


for _call in CALLS:
    setattr(Adapter, _call, _forwarder(_call))


class Adapted(Backend):
    """The backend of such adapters."""

    name = "adapted"
    machines: ReferenceBackend

    def __init__(self, adapter: Callable[[Process], object]) -> None:
        self.machines = ReferenceBackend()
        self.adapter = adapter

    def boot(self) -> System:
        machine, adapter = self.machines.boot(), self.adapter

        class Adapting(System):
            def spawn(self) -> Process:
                return adapter(machine.spawn())  # type: ignore[return-value]

            def close(self) -> None:
                machine.close()

        return Adapting()


Calls = Callable[..., Any]


def with_calls(**calls: Calls) -> Callable[[], Backend]:
    """Return a factory of backends whose adapter has these calls; the first argument of each is the correct process."""
    replaced = {name: lambda self, *arguments, call=call: call(self.inner, *arguments) for name, call in calls.items()}
    return lambda: Adapted(type("Spoilt", (Adapter,), replaced))


def failing(error: BaseException) -> Calls:
    def call(process: Process, *arguments: Any) -> Any:
        raise error

    return call


def changed(name: str, change: Callable[[Any], Any]) -> dict[str, Calls]:
    """Return a call whose result is changed."""
    return {name: lambda process, *arguments: change(getattr(process, name)(*arguments))}


def instead_of_errors(name: str, change: Callable[[OSError], Any]) -> dict[str, Calls]:
    """Return a call that replaces an error by the result of `change`."""

    def call(process: Process, *arguments: Any) -> Any:
        try:
            return getattr(process, name)(*arguments)
        except OSError as error:
            return change(error)

    return {name: call}


def instead_of_faults(name: str, change: Callable[[Fault], Any]) -> dict[str, Calls]:
    def call(process: Process, *arguments: Any) -> Any:
        try:
            return getattr(process, name)(*arguments)
        except Fault as fault:
            return change(fault)

    return {name: call}


def throw(error: BaseException) -> Any:
    raise error


def swapped(bits: int) -> int:
    """Return a number with its lowest two bits exchanged."""
    return (bits & ~3) | (bits & 1) << 1 | (bits & 2) >> 1


def smoke(make: Callable[[], Backend], agent: bool = False, seconds: float = 20) -> dict[str, Outcome]:
    checks, _ = run(make, agent, seconds)
    return {outcome.check: outcome for outcome in checks}


def test_correct_adapter_passes() -> None:
    checks, probes = run(with_calls(), False, 20)

    assert [outcome.check for outcome in checks] == [check.name for check in CHECKS]
    assert {outcome.verdict for outcome in checks} == {OK}
    assert {probe.check: probe.verdict for probe in probes} == dict.fromkeys(PROBED, OK)


@pytest.mark.parametrize(("machine", "verdict"), [("s390x", OK), ("x86_64", WRONG), ("", WRONG)])
def test_a_machine_may_be_known_to_report_the_page_of_a_fault(machine: str, verdict: str) -> None:
    class OfPages(Adapted):
        def facts(self) -> Facts:
            return Facts("of pages", details={"machine": machine} if machine else {})

    calls = {
        **instead_of_faults("load", lambda fault: throw(at_its_page(fault))),
        **instead_of_faults("store", lambda fault: throw(at_its_page(fault))),
    }
    replaced = {name: lambda self, *arguments, call=call: call(self.inner, *arguments) for name, call in calls.items()}

    assert smoke(lambda: OfPages(type("Wrong", (Adapter,), replaced)))["fault"].verdict == verdict


def at_its_page(fault: Fault) -> Fault:
    assert fault.address is not None
    return Fault(fault.signal, fault.code, fault.address - fault.address % 4096)


def test_bytes_of_another_kind_are_bytes() -> None:
    for kind in (bytearray, memoryview):
        assert {outcome.verdict for outcome in smoke(with_calls(**changed("load", kind))).values()} == {OK}


WRONG_CALLS: dict[str, tuple[dict[str, Calls], str, str, str]] = {
    "no page size": (changed("sysconf", lambda size: None), "page", "sysconf(30) returned None", "returns an int"),
    "untranslated name": (
        {"sysconf": failing(OSError(errno.EINVAL, "name"))},
        *("page", "sysconf(30) failed with EINVAL", "Linux's numbers"),
    ),
    "page size in KiB": (changed("sysconf", lambda size: size // 1024), "page", "returned 4", "in bytes"),
    "address as text": (changed("mmap", hex), "mapping", "returned '0x", "mmap returns an int"),
    "page numbers": (
        changed("mmap", lambda at: at // 4096 + 1),
        "mapping",
        "mmap returned 0x",
        "a multiple of the page",
    ),
    "the same again": (changed("mmap", lambda at: 1 << 20), "mapping", "are at 0x100000 and 0x100000", "They overlap"),
    "other arguments": (
        {"mmap": lambda process, length, prot: 0},
        *("mapping", "mmap(0, 0x2000, 0x3, 0x22, -1, 0) raised TypeError", "C's arguments in C's order"),
    ),
    "ints for bytes": (changed("load", list), "memory", "returned [0, 0", "load returns bytes."),
    "high address first": (changed("load", lambda data: data[::-1]), "memory", "expected ", "lowest address first"),
    "a count from store": (
        {"store": lambda process, at, data: process.store(at, data) or len(data)},
        *("memory", "returned 32", "store returns None"),
    ),
    "no fault": (instead_of_faults("load", lambda fault: b"\0"), "fault", "expected a fault at", "raises Fault("),
    "fault as error": (
        instead_of_faults("load", lambda fault: throw(OSError(errno.EFAULT, "bad address"))),
        *("fault", "failed with EFAULT", "OSError is for calls"),
    ),
    "signal by number": (
        instead_of_faults("load", lambda fault: throw(Fault(11, fault.code, fault.address))),  # type: ignore[arg-type]
        *("fault", "got 11 for a signal", "Names, not numbers"),
    ),
    "code by number": (
        instead_of_faults("load", lambda fault: throw(Fault(fault.signal, 1, fault.address))),  # type: ignore[arg-type]
        *("fault", "got 1 for a si_code", "Names, not numbers"),
    ),
    "fault at its page": (
        instead_of_faults("store", lambda fault: throw(Fault(fault.signal, fault.code, (fault.address or 0) & ~4095))),
        *("fault", "the first byte that cannot be accessed", "not of its page"),
    ),
    "-1": (
        instead_of_errors("mmap", lambda error: -1),
        "errors",
        "returned -1, expected EINVAL",
        "neither None nor -1",
    ),
    "None": (
        instead_of_errors("munmap", lambda error: None),
        "errors",
        "returned None, expected EINVAL",
        "errno.EINVAL, …)",
    ),
    "-errno": (
        instead_of_errors("mmap", lambda error: -(error.errno or 0)),
        *("errors", "returned -22, expected EINVAL", "nor -errno"),
    ),
    "negative errno": (
        instead_of_errors("mmap", lambda error: throw(OSError(-(error.errno or 0), "invalid"))),
        *("errors", "failed with the errno -22, expected EINVAL", "the number first, and positive"),
    ),
    "no errno": (
        instead_of_errors("mmap", lambda error: throw(OSError("invalid"))),
        *("errors", "failed with the errno None, expected EINVAL", "the number first, and positive"),
    ),
    "another errno": (
        instead_of_errors("munmap", lambda error: throw(OSError(errno.ENOSYS, "no"))),
        *("errors", "failed with ENOSYS, expected EINVAL", "OSError(errno.EINVAL, …)"),
    ),
    "fault for an error": (
        instead_of_errors("munmap", lambda error: throw(Fault("SIGSEGV", "SEGV_MAPERR", 1))),
        *("errors", "got SIGSEGV", "Only accesses to memory fault"),
    ),
    "another exception": (
        instead_of_errors("munmap", lambda error: throw(ValueError("unaligned"))),
        *("errors", "raised ValueError: unaligned", "raises OSError, Fault or NotImplementedError only"),
    ),
    "protections swapped": (
        {"mmap": lambda process, addr, length, prot, *rest: process.mmap(addr, length, swapped(prot), *rest)},
        *("prot", "store(0x", "SEGV_ACCERR"),
    ),
    "no such errno": (
        {"open": lambda process, path, *rest: process.open(path, 0o102)},
        *("files", "open('no-such-file', 0x0) returned 3, expected ENOENT", "errno.ENOENT"),
    ),
    "offset before length": (
        {"pread": lambda process, fd, offset, length: process.pread(fd, length, offset)},
        *("files", "returned b''", "(fd, length, offset)"),
    ),
    "types swapped": (
        {
            "mmap": lambda process, addr, length, prot, flags, *rest: process.mmap(
                addr, length, prot, swapped(flags), *rest
            )
        },
        *("shared", "after a store of b'new' in a shared mapping, pread returned b'bbbb'", "MAP_SHARED is 1"),
    ),
    "offset in pages": (
        {"mmap": lambda process, *arguments: process.mmap(*arguments[:5], arguments[5] * 4096)},
        *("shared", "got SIGBUS (BUS_ADRERR)", "Addresses, lengths and offsets are in bytes"),
    ),
    "always shared": (
        {
            "mmap": lambda process, addr, length, prot, flags, fd, offset: process.mmap(
                addr, length, prot, flags if fd < 0 else 1, fd, offset
            )
        },
        *("private", "in a private mapping, pread returned b'newa'", "MAP_PRIVATE 2"),
    ),
}


@pytest.mark.parametrize(("calls", "check", "observed", "fix"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_advice_for_a_wrong_adapter(calls: dict[str, Calls], check: str, observed: str, fix: str) -> None:
    outcomes = smoke(with_calls(**calls))

    assert outcomes[check].verdict == WRONG
    assert observed in outcomes[check].observed
    assert fix in outcomes[check].fix
    first = next(outcome.check for outcome in outcomes.values() if outcome.verdict == WRONG)
    assert first == check
    assert outcomes["end"].verdict == OK


def test_checks_are_skipped_if_they_depend_on_a_failed_one() -> None:
    outcomes = smoke(with_calls(**changed("load", list)))

    assert [outcome.check for outcome in outcomes.values() if outcome.verdict == OK] == [
        *("start", "boot", "page", "mapping", "files", "fresh", "front", "end")
    ]
    assert {outcome.check: outcome.observed for outcome in outcomes.values() if outcome.verdict == SKIPPED} == {
        "fault": "depends on memory",
        "errors": "depends on memory",
        "prot": "depends on fault",
        "shared": "depends on memory",
        "private": "depends on shared",
    }


def test_unsupported_call_is_not_an_error() -> None:
    def refuse(process: Process, *arguments: Any) -> Any:
        raise NotImplementedError("files come next week")

    checks, probes = run(with_calls(open=refuse, mremap=failing(Unsupported("the backend has no mremap"))), False, 20)

    assert [outcome.check for outcome in checks if outcome.verdict == LACKS] == ["files"]
    assert {outcome.check: outcome.observed for outcome in probes if outcome.verdict == LACKS} == {
        "open": "files come next week",
        "mremap": "",
    }
    works, lines = smoke_report.report("mine", checks, probes)
    assert works
    assert "lacks  mremap, open (files come next week)" in lines
    assert lines[-1] == "the adapter works: 10 ok, 1 unsupported, 3 skipped"


# --------------------------------------------------------------------------------------------- backends and their end


class KeepsFiles(Adapted):
    def boot(self) -> System:
        machine = self.__dict__.setdefault("machine", self.machines.boot())

        class Same(System):
            def spawn(self) -> Process:
                process: Process = machine.spawn()
                return process

        return Same()


class NoFacts(Adapted):
    def facts(self) -> Facts:
        return None  # type: ignore[return-value]


class NoSystem(Adapted):
    def boot(self) -> System:
        return "booted"  # type: ignore[return-value]


class NotClosing(Adapted):
    def close(self) -> None:
        raise RuntimeError("stuck")


class EndsWhenClosed(Adapted):
    def close(self) -> None:
        os._exit(4)


@pytest.mark.parametrize(
    ("make", "check", "observed", "fix"),
    [
        (
            lambda: KeepsFiles(Adapter),
            "fresh",
            "open('leftover', 0x0) returned 3, expected ENOENT",
            "errno.ENOENT",
        ),
        (lambda: NoFacts(Adapter), "start", "facts() returned None", "facts() returns pytest_mmapconf.contract.Facts"),
        (lambda: NoSystem(Adapter), "boot", "boot() returned 'booted'", "a pytest_mmapconf.contract.System"),
        (lambda: Adapted(lambda process: None), "boot", "spawn() returned None", "a pytest_mmapconf.contract.Process"),
        (lambda: NotClosing(Adapter), "end", "RuntimeError: stuck", "raise NotImplementedError or Unresolved only"),
        (lambda: EndsWhenClosed(Adapter), "end", "close() of the backend ended the whole process, with status 4", ""),
    ],
    ids=["keeps files", "no facts", "no system", "no process", "not closing", "ends when closed"],
)
def test_backends(make: Callable[[], Backend], check: str, observed: str, fix: str) -> None:
    outcomes = smoke(make)

    assert [outcome.check for outcome in outcomes.values() if outcome.verdict == WRONG] == [check]
    assert outcomes[check].observed == observed
    assert fix in outcomes[check].fix


def end_with(status: int) -> Calls:
    return lambda process, *arguments: os._exit(status)


@pytest.mark.parametrize(
    ("call", "how"),
    [
        (end_with(0), "with status 0"),
        (end_with(9), "with status 9"),
        (lambda process, *arguments: os.kill(os.getpid(), signal.SIGKILL), "by SIGKILL"),
    ],
    ids=["quietly", "exits", "crashes"],
)
def test_class_that_ends_python_is_identified_by_its_last_call(call: Calls, how: str) -> None:
    outcomes = smoke(with_calls(store=call))

    assert outcomes["memory"].verdict == WRONG
    assert outcomes["memory"].observed.startswith("store(0x")
    assert outcomes["memory"].observed.endswith(f") ended the whole process, {how}")
    assert "nor end the process" in outcomes["memory"].fix
    assert outcomes["files"].verdict == OK  # another child has gone on


def test_class_that_blocks_is_identified_by_its_last_call() -> None:
    checks, probes = run(with_calls(pread=lambda process, *arguments: time.sleep(60)), False, 1.5)

    assert {outcome.check: outcome.observed for outcome in checks if outcome.verdict == WRONG} == {
        "files": "pread(3, 64, 3) did not return within 1.5 s"
    }
    assert probes == []


def test_call_that_blocks_or_crashes_does_not_affect_others() -> None:
    checks, probes = run(with_calls(msync=lambda process, *arguments: time.sleep(60), mincore=end_with(3)), False, 1.5)

    assert {outcome.verdict for outcome in checks} == {OK}
    wrong = {outcome.check: outcome.observed for outcome in probes if outcome.verdict == WRONG}
    assert list(wrong) == ["msync", "mincore"]
    assert wrong["msync"].endswith(") did not return within 1.5 s")
    assert wrong["mincore"].endswith(") ended the whole process, with status 3")
    assert len(probes) == len(PROBED)


@pytest.mark.parametrize("wrong", [lambda: os._exit(5), lambda: time.sleep(60)], ids=["ends", "hangs"])
def test_factory_that_does_not_return_is_called_once(wrong: Callable[[], None]) -> None:
    def make() -> Backend:
        wrong()
        return Adapted(Adapter)

    began = time.monotonic()
    checks, probes = run(make, False, 1.5)

    assert checks[0].observed.startswith("making the backend ")
    assert {outcome.verdict for outcome in checks[1:]} == {SKIPPED}
    assert probes == []
    assert time.monotonic() - began < 30


def test_no_process_is_left() -> None:
    smoke(with_calls(store=end_with(1)))

    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# -------------------------------------------------------------------------------------------------------------- agents

WRONG_AGENTS = {
    "dies": ("memory", "it ended at 'load", "Run it under a debugger"),
    "hangs": ("mapping", "no answer to 'mmap 0x0", "flushed"),
    "wrong-process": (
        "page",
        "it said '77 ok 4096', without a request",
        "the number of the process of the request",
    ),
    "babbles": ("page", "it said 'DEBUG: asked for", "diagnostics go to stderr"),
    "no-answer-kind": ("mapping", "it answered '0 ' to munmap", "ok, error, fault"),
    "errno-by-number": ("errors", "an error that Python has no name for: 22", "by name: `error EINVAL`"),
    "errno-as-result": ("errors", "returned -22, expected EINVAL", "`error EINVAL`, not `ok`"),
    "errno-of-another-call": ("errors", "failed with ENOTTY, expected EINVAL", "the name of errno, here EINVAL"),
    "fault-as-error": ("fault", "failed with EFAULT", "catches SIGSEGV and SIGBUS"),
    "dies-of-a-fault": ("fault", "the process ended by itself (SIGSEGV)", "catch SIGSEGV and SIGBUS"),
    "fault-at-its-page": ("fault", "the first byte that cannot be accessed", "The address is si_addr"),
    "no-number": ("mapping", "where a number belongs", "Results are numbers"),
    "bytes-with-blanks": ("memory", "where bytes belong", "pairs of hexadecimal digits"),
    "too-many-bytes": ("memory", "bytes where 16 were asked for", "as many bytes as requested"),
    "other-verbs": ("mapping", "does not understand 'munmap", "Verbs and arguments are those of PROTOCOL.md"),
    "page-size-in-kib": ("page", "sysconf(30) returned 4", "whatever number it has there"),
    "leaves-its-emulator": (
        "front",
        "before exec the agent is run by",
        "execute the command line of the emulator again",
    ),
    "reports-no-front-after-exec": ("front", "does not report what runs it", "reports what the greeting reports"),
    "no-process": ("boot", "where a process belongs", "The answer of spawn and fork"),
}


def agent(command: str, timeout: float = 3.0) -> Callable[[], Backend]:
    def make() -> Backend:
        backend = CommandBackend(command)
        backend.configure(Options(timeout=timeout))
        return backend

    return make


@pytest.fixture
def wrong_agent(tmp_path: Path) -> Callable[[str], Callable[[], Backend]]:
    """Return a function that makes an agent with the given fault, by its name in `wrong_agent.WAYS`."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the native agent is for Linux")
    script = Path(__file__).with_name("wrong_agent.py")

    def wrong_agent(way: str) -> Callable[[], Backend]:
        return agent(shlex.join([sys.executable, str(script), way, str(build_agent()), "--directory", str(tmp_path)]))

    return wrong_agent


def test_correct_agent_passes(wrong_agent: Callable[[str], Callable[[], Backend]]) -> None:
    assert {outcome.verdict for outcome in smoke(wrong_agent("right"), agent=True).values()} == {OK}


@pytest.mark.parametrize(("way", "advice"), WRONG_AGENTS.items(), ids=WRONG_AGENTS)
def test_advice_for_a_wrong_agent(
    wrong_agent: Callable[[str], Callable[[], Backend]], way: str, advice: tuple[str, str, str]
) -> None:
    check, observed, fix = advice

    outcomes = smoke(wrong_agent(way), agent=True)

    first = next(outcome for outcome in outcomes.values() if outcome.verdict == WRONG)
    assert first.check == check
    assert observed in first.observed
    assert fix in first.fix


@pytest.mark.parametrize(
    ("command", "observed", "fix"),
    [
        ("./no-such-agent", "cannot be started", "Is the command right"),
        ("false", "it ended at 'its greeting' (with status 1)", "it begins with `mmapconf 1 …`"),
        ("sleep 60", "no answer to 'its greeting' in 0.5 s", "It must write its greeting without a request"),
        ("yes", "it did not greet within", "one line `mmapconf 1 NAME=VALUE …`"),
        ("echo mmapconf 2", "it speaks version 2", "the greeting is `mmapconf 1 …`"),
        ("echo mmapconf 1 page=many", "its greeting says page='many'", "decimal and above 0"),
    ],
)
def test_agent_without_a_greeting(command: str, observed: str, fix: str) -> None:
    outcomes = smoke(agent(command, timeout=0.5), agent=True)

    assert outcomes["start"].verdict == WRONG
    assert observed in outcomes["start"].observed
    assert fix in outcomes["start"].fix
    assert {outcome.verdict for outcome in outcomes.values()} == {WRONG, SKIPPED}


# ----------------------------------------------------------------------------------------------------- as users have it

MINE = """
import os
from pytest_mmapconf.contract import Process

class Mine(Process):
    def __init__(self):
        self.top = 65536
    def sysconf(self, name):
        return 4096
    def mmap(self, addr, length, prot, flags, fd, offset):
        self.top += 65536
        return self.top if length else -1
    def munmap(self, addr, length):
        pass
    def load(self, addr, length):
        return bytes(length)

class Ends(Mine):
    def mmap(self, *arguments):
        os._exit(7)
"""

Smoke = Callable[..., pytest.RunResult]


@pytest.fixture
def command(pytester: pytest.Pytester) -> Smoke:
    pytester.makepyfile(mine=MINE)
    return lambda *arguments: pytester.runpytest_subprocess("-p", "no:hypothesispytest", "--mmap-smoke", *arguments)


def test_the_command(command: Smoke) -> None:
    result = command("--mmap-backend=python:mine:Mine")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "mmapconf *: smoke of python:mine:Mine",
            "  ok    mapping  mmap of anonymous memory gives an address, and two mappings do not overlap",
            "  lacks memory   Mapped memory is zero at first, and keeps the stored bytes",
            "                 the backend has no store",
            "  -     errors   A call that fails reports its errno",
            "                 depends on memory",
            "has    mmap, munmap, sysconf, load",
            "lacks  mremap, msync, mprotect, *",
            "level documented: about * of * clauses can be judged; others need *",
            "the adapter works: 5 ok, 3 unsupported, 6 skipped",
        ]
    )


def test_a_class_that_ends_pytest(command: Smoke) -> None:
    result = command("--mmap-backend=python:mine:Ends")

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "  FIX   mapping  *",
            "                 mmap(0, 0x2000, 0x3, 0x22, -1, 0) ended the whole process, with",
            "                 status 7",
            "                 -> A call returns or raises; *",
            "the adapter does not work yet: *",
        ]
    )


@pytest.mark.parametrize("arguments", [("-n", "2"), ("-p", "no:xdist"), ("no_such_file.py",)], ids=" ".join)
def test_no_case_is_run(command: Smoke, pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makepyfile("def test_mine(): assert False")
    pytester.makeini("[pytest]\nmmap_backend = reference")

    result = command(*arguments)

    assert result.ret == 0
    assert result.outlines[-1] == "the adapter works: 14 ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "ERROR: --mmap-smoke needs --mmap-backend=BACKEND"),
        (("--mmap-backend=python:mime:Mine",), "ERROR: --mmap-backend=python:mime:Mine: cannot import mime: *"),
        (
            ("--mmap-backend=native", "--mmap-timeout=never"),
            "ERROR: --mmap-timeout=never: must be a number of seconds*",
        ),
    ],
    ids=["no backend", "no module", "no time"],
)
def test_wrong_command_lines(command: Smoke, arguments: tuple[str, ...], message: str) -> None:
    result = command(*arguments)

    assert result.ret == 4
    result.stderr.fnmatch_lines([message])
