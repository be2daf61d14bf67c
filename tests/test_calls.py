"""The call lists that cannot be derived from the contract agree with it: those of C, and those of the protocol."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from pytest_mmapconf.agent.client import AgentProcess
from pytest_mmapconf.contract import MAP_PRIVATE, Process
from pytest_mmapconf.differential.lockstep import LockstepProcess
from pytest_mmapconf.trace.c_calls import C_CALLS, PRINTED_OTHERWISE, UNPRINTABLE
from pytest_mmapconf.trace.calls import CALLS, PROCESS_CALLS, forwarder, invoke
from pytest_mmapconf.trace.recorder import RecordedProcess

LETTERS = {"address": "a", "amount": "an", "data": "x", "path": "p", "text": "p"}
"""By kind of argument, the letters that mmap_agent.c may have for it; n, a number, for the others."""

WORDS = {"BYTES": "data", "PATH": "path", "RESOURCE": "text", "CAPABILITY": "text"}
WORDS |= {"ADDR": "address", "NEWADDR": "address", "LOCK": "address"}
"""By word of PROTOCOL.md, the kind of argument; a number of any kind for the others."""

OBSERVATIONS = {"audit": "*", "batch": "*", "maps": "n"}
"""Verbs for the methods of a process that are no calls, and the form of their arguments."""

ABOUT_THREADS = {"in": "n*", "together": "nnn*"}
"""Verbs for the calls of threads, and of several at once."""

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
        assert set(re.findall(r"{(\w+)}", text)) <= {*CALLS[call].arguments, "number"}


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
