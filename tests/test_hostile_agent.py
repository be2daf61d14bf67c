"""Whatever an agent answers, the client raises errors of the contract only, and does not wait for ever."""

from __future__ import annotations

import time
from random import Random

import pytest
from hostile_agent import HOSTILE_GREETINGS, Feed, converse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.agent.stream import signal_name
from pytest_mmapconf.contract import Options, Unresolved


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_every_answer_is_an_error_of_the_contract(random: Random) -> None:
    feed = Feed(random)
    try:
        converse(feed, 4)
    finally:
        feed.close()


@pytest.mark.parametrize("greeting", HOSTILE_GREETINGS)
def test_an_impossible_greeting_is_refused_with_the_name_of_the_value(greeting: str) -> None:
    backend = CommandBackend(f"sh -c 'echo mmapconf 1 {greeting}; exec cat >/dev/null'")
    with pytest.raises(Unresolved, match=f"its greeting says {greeting.partition('=')[0]}="):
        backend.facts()


def test_an_agent_that_ends_by_a_real_time_signal_is_reported() -> None:
    backend = CommandBackend("sh -c 'echo mmapconf 1; read line; kill -36 $$'")
    backend.configure(Options(timeout=10))
    with pytest.raises(Unresolved, match=r"by signal SIGRTMIN\+2"):
        backend.boot()


def test_signals_have_names() -> None:
    assert [signal_name(number) for number in (9, 35, 36)] == ["SIGKILL", "SIGRTMIN+1", "SIGRTMIN+2"]


def test_a_process_number_of_many_digits_ends_the_agent_only() -> None:
    script = "echo mmapconf 1 line=65536; read line; echo " + "9" * 5000 + " ok; exec cat >/dev/null"
    backend = CommandBackend(f"sh -c '{script}'")
    backend.configure(Options(timeout=5))
    began = time.monotonic()
    with pytest.raises(Unresolved, match="without a request"):
        backend.boot()
    assert time.monotonic() - began < 60
