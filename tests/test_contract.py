"""The contract: a call that a backend lacks is reported by name, and never taken for an answer."""

from __future__ import annotations

import errno
import inspect
import subprocess
import sys

import pytest

from pytest_mmapconf.contract import Call, Facility, Fault, Process, System, Unsupported, errno_name

CALLS = [name for name, _ in inspect.getmembers(Process, inspect.isfunction) if not name.startswith("_")]
CALLS.remove("batch")  # which makes other calls


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_left_out_is_unsupported_by_name(name: str) -> None:
    call = getattr(Process(), name)
    parameters = inspect.signature(call).parameters.values()
    positional = [0 for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = {p.name: False for p in parameters if p.kind is p.KEYWORD_ONLY}

    with pytest.raises(NotImplementedError, match=rf"no (mprotect|sysconf|fork|{name})$"):
        call(*positional, **keywords)


def test_a_batch_has_a_result_or_an_exception_for_each_call() -> None:
    class Refusing(Process):
        def sysconf(self, name: int) -> int:
            if name < 0:
                raise OSError(errno.EINVAL, "no such name")
            return name

    value, refused, missing = Refusing().batch([("sysconf", (1,)), ("sysconf", (-1,)), ("munlockall", ())])

    assert value == 1
    assert isinstance(refused, OSError)
    assert isinstance(missing, NotImplementedError)


@pytest.mark.parametrize("facility", Facility)
def test_a_facility_that_is_left_out_is_unsupported_by_name(facility: Facility) -> None:
    with pytest.raises(Unsupported, match=facility.value):
        System().facility(facility)


def test_together_makes_each_call_and_keeps_the_order() -> None:
    class Counting(Process):
        def __init__(self, value: int) -> None:
            self.value = value

        def sysconf(self, name: int) -> int:
            return self.value + name

    calls = [Call(Counting(value), "sysconf", (1,)) for value in (10, 20)]

    assert System().run_concurrently(calls) == [11, 21]


def test_fault_has_what_a_signal_handler_receives() -> None:
    assert str(Fault("SIGBUS", "BUS_ADRERR", 0x1000)) == "SIGBUS (BUS_ADRERR) at 0x1000"
    assert str(Fault("SIGSEGV", "SI_KERNEL", None)) == "SIGSEGV (SI_KERNEL) at an address that was not reported"


def test_errno_name() -> None:
    assert errno_name(OSError(22, "")) == "EINVAL"
    assert errno_name(OSError(99_999, "")) == "99999"


def test_the_contract_imports_nothing_dear_and_nothing_of_ours() -> None:
    program = "import sys, pytest_mmapconf.contract; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert {name for name in modules if name.startswith("pytest_mmapconf.")} == {"pytest_mmapconf.contract"}
    assert not {"pytest", "hypothesis", "ctypes", "sortedcontainers"} & set(modules)
