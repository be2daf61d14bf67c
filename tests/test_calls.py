"""The call lists that cannot be derived from the contract agree with it: those of C, and those of the protocol."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from pytest_mmapconf.agent.client import AgentProcess
from pytest_mmapconf.contract import MAP_PRIVATE, Process
from pytest_mmapconf.differential.lockstep import LockstepProcess
from pytest_mmapconf.trace import calls
from pytest_mmapconf.trace.c_calls import C_CALLS, PRINTED_OTHERWISE, UNPRINTABLE
from pytest_mmapconf.trace.calls import CALLS, PROCESS_CALLS, forwarder, invoke
from pytest_mmapconf.trace.recorder import RecordedProcess

PROJECT = Path(__file__).resolve().parents[1]

LETTERS = {"address": "a", "amount": "an", "data": "x", "path": "p", "text": "p"}
"""By kind of argument, the letters that mmap_agent.c may have for it; n, a number, for the others."""

WORDS = {"BYTES": "data", "PATH": "path", "RESOURCE": "text", "CAPABILITY": "text"}
WORDS |= {"ADDR": "address", "NEWADDR": "address", "LOCK": "address"}
"""By word of PROTOCOL.md, the kind of argument; a number of any kind for the others."""

OBSERVATIONS = {"audit": "*", "batch": "*", "maps": "n"}
"""Verbs for the methods of a process that are no calls, and the form of their arguments."""

ABOUT_THREADS = {"in": "n*", "together": "nnn*"}
"""Verbs for the calls of threads, and of several concurrently."""

OF_THE_AGENT = {"wait", "receive-descriptor", "serve-stream"}
"""Verbs of mmap_agent.c with which its processes address each other."""

OF_THE_SUPERVISOR = {"kill"}
"""Calls of a process that are carried out by the supervisor of an agent."""


def verb(call: str) -> str:
    return call.replace("_", "-")


def agent_forms() -> dict[str, str]:
    """The verbs of mmap_agent.c, each with the letters of its arguments."""
    source = (files("pytest_mmapconf.agent") / "mmap_agent.c").read_text("utf-8")
    return dict(re.findall(r'^    \{"([a-z0-9-]+)", "([a-z*]*)", do_\w+\},$', source, re.MULTILINE))


def protocol_forms() -> dict[str, list[str]]:
    """The verbs of a process in PROTOCOL.md, each with the words of its arguments."""
    text = (files("pytest_mmapconf.agent") / "PROTOCOL.md").read_text("utf-8").partition("## A process's verbs")[2]
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return {words[0]: words[1:] for row in rows for words in map(str.split, re.findall(r"`([a-z][^`.]*)`", row))}


LISTED = {
    "pytest_mmapconf/plugin/set_up_calls.py": "does no clause judge it, so that its failure leaves a case unresolved?",
    "pytest_mmapconf/differential/blame.py": "has it an effect on mappings, or one that other processes see? Which "
    "clause states its effect, which its result?",
    "pytest_mmapconf/plugin/failure_cause.py": "is it an access, or does it only report a state?",
    "pytest_mmapconf/trace/used_process.py": "can it be made twice, and has it an offset in a file?",
    "pytest_mmapconf/fuzzing/levels.py": "do programs make it at level linux only?",
    "pytest_mmapconf/catalogue/scopes/posix.toml": "is it one of POSIX?",
    "reference/variants.py": "do other systems have it?",
    "pytest_mmapconf/tour/calls.py": "which rows of the tour make it?",
    "pytest_mmapconf/catalogue/call_experiments.py": "is it to be made once, to see whether the system has it?",
}
"""The files with a list of calls that cannot be derived, and what is decided there."""

DECIDED = frozenset(
    (
        *("mmap", "munmap", "mremap", "msync", "sysconf", "mprotect", "fragment", "madvise", "mincore", "mseal"),
        *(
            "mlock",
            "munlock",
            "mlock2",
            "mlockall",
            "munlockall",
            "load",
            "store",
            "return_instruction",
            "execute",
            "add",
        ),
        *("fallocate", "copy_file_range", "rename", "link", "preadv", "pwritev", "open_path_at", "fstat_into"),
        *("open", "close", "dup", "ftruncate", "lseek", "pread", "pwrite", "read_into", "write_from", "fstat", "fsync"),
        *("drop_cache", "set_old_mtime", "has_old_mtime", "unlink", "mkdir", "pipe", "socketpair", "memfd", "seal"),
        *("set_append_only", "flock", "record_lock", "watch", "close_events", "free_space", "fork", "thread", "exit"),
        *("kill", "exec", "set_limit_headroom", "drop_capability", "scratch_range", "errno_cleared", "counters"),
        *("spawn", "run_concurrently", "together", "facility", "crash", "full_file_table", "end_full_file_table"),
        *("mapping_limit", "load_in_child"),
    )
)
"""The calls for which the lists of LISTED have been decided on."""


def test_a_new_call_is_decided_on_in_each_list() -> None:
    new = ", ".join(CALLS.keys() - DECIDED)
    lists = "\n".join(f"{path}: {question}" for path, question in LISTED.items())

    assert not new, f"{new}: decide, and add it to DECIDED here\n{lists}"
    assert set(CALLS) == DECIDED
    assert [path for path in LISTED if not (PROJECT / path).is_file()] == []


def test_the_agent_in_c_has_every_call_and_no_other() -> None:
    forms = agent_forms()

    calls = {verb(call) for call in PROCESS_CALLS} - OF_THE_SUPERVISOR
    others = OBSERVATIONS | ABOUT_THREADS
    assert set(forms) == calls | set(others) | OF_THE_AGENT
    assert {name: forms[name] for name in others} == others


@pytest.mark.parametrize("call", [call for call in PROCESS_CALLS if call not in OF_THE_SUPERVISOR])
def test_the_agent_in_c_reads_each_argument_by_its_kind(call: str) -> None:
    form = agent_forms()[verb(call)]

    kinds = CALLS[call].arguments.values()
    assert len(form) == len(kinds)
    assert all(letter in LETTERS.get(kind, "n") for letter, kind in zip(form, kinds, strict=True)), form


def test_the_protocol_has_every_call_and_no_other() -> None:
    calls = {verb(call) for call in PROCESS_CALLS}
    assert set(protocol_forms()) - {"fd"} == calls | set(OBSERVATIONS | ABOUT_THREADS)


@pytest.mark.parametrize("call", PROCESS_CALLS)
def test_the_protocol_names_each_argument_by_its_kind(call: str) -> None:
    words = protocol_forms()[verb(call)]

    kinds = list(CALLS[call].arguments.values())
    assert len(words) == len(kinds)
    numbers = [WORDS.get(word, "number") for word in words]
    assert numbers == [kind if kind in WORDS.values() else "number" for kind in kinds]


def test_every_call_can_be_printed_in_c_or_is_known_not_to_be() -> None:
    assert sorted([*C_CALLS, *PRINTED_OTHERWISE, *UNPRINTABLE]) == sorted(CALLS)
    for call, text in C_CALLS.items():
        assert set(re.findall(r"{(\w+)}", text)) <= {*CALLS[call].arguments, "number", "thread"}


@pytest.mark.parametrize("proxy", [AgentProcess, LockstepProcess, RecordedProcess])
def test_every_proxy_forwards_every_call(proxy: type[Process]) -> None:
    assert set(PROCESS_CALLS) <= set(vars(proxy))


def test_a_forwarder_takes_arguments_as_the_contract_does() -> None:
    class Forwarding(Process):
        mremap = forwarder("mremap", lambda self, call, arguments: (call, arguments))
        record_lock = forwarder("record_lock", lambda self, call, arguments: (call, arguments))

    process = Forwarding()

    assert process.mremap(1, 2, 3, 4) == ("mremap", (1, 2, 3, 4, 0))
    assert process.mremap(1, 2, new_size=3, flags=MAP_PRIVATE, new_addr=5) == ("mremap", (1, 2, 3, 2, 5))
    assert process.record_lock(1, ofd=True) == ("record_lock", (1, True))
    with pytest.raises(TypeError, match=r"mremap\(\) lacks flags"):
        process.mremap(1, 2, 3)
    with pytest.raises(TypeError, match=r"mremap\(\) takes 5 positional arguments but 6 were given"):
        process.mremap(1, 2, 3, 4, 5, 6)
    with pytest.raises(TypeError, match=r"mremap\(\) got an unexpected argument address"):
        process.mremap(1, 2, 3, 4, address=5)
    with pytest.raises(TypeError, match=r"mremap\(\) got an unexpected argument addr"):
        process.mremap(1, 2, 3, 4, addr=5)
    with pytest.raises(TypeError, match=r"record_lock\(\) takes 1 positional arguments but 2 were given"):
        process.record_lock(1, True)


def test_an_argument_that_is_passed_by_keyword_is_invoked_by_keyword() -> None:
    class Locking(Process):
        def record_lock(self, fd: int, *, ofd: bool) -> None:
            raise OSError(fd, str(ofd))

    with pytest.raises(OSError, match="True") as caught:
        invoke(Locking(), "record_lock", (3, True))

    assert caught.value.errno == 3


def test_an_argument_without_a_kind_of_the_contract_is_named() -> None:
    class Extended(Process):
        def mlock3(self, addr: int) -> None: ...

    with pytest.raises(TypeError, match=r"Extended\.mlock3: annotate addr with a kind that the contract defines"):
        calls._derive(Extended, ())
