"""Whatever a backend in pytest's process raises is a failure of the case; whatever does not return is ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pytest_mmapconf.contract import Call, Died, Process, System
from pytest_mmapconf.plugin.guarded_backend import Guard, GuardedProcess, GuardedSystem, RaisedByBackend
from pytest_mmapconf.plugin.watchdog import Watchdog


@pytest.fixture
def guard() -> Iterator[Guard]:
    watchdog = Watchdog(0.2)
    watchdog.start()
    yield Guard(watchdog)
    watchdog.stop()


def raises(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(0), "spawn raised SystemExit: 0"),
        (GeneratorExit(), "spawn raised GeneratorExit: "),
        (pytest.skip.Exception("no"), "spawn raised Skipped: no"),
        (pytest.xfail.Exception("no"), "spawn raised _pytest.outcomes.XFailed: no"),
        (pytest.exit.Exception("no"), "spawn raised _pytest.outcomes.Exit: no"),
    ],
)
def test_a_request_to_pytest_or_the_interpreter_is_a_failure(guard: Guard, error: BaseException, text: str) -> None:
    with pytest.raises(RaisedByBackend) as raised:
        guard.make("spawn", raises(error))

    assert str(raised.value).replace("builtins.", "") == text


@pytest.mark.parametrize("error", [OSError(22, "no"), KeyboardInterrupt(), ValueError("no"), NotImplementedError()])
def test_other_exceptions_pass(guard: Guard, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        guard.make("spawn", raises(error))

    assert raised.value is error


def loop() -> None:
    while True:
        pass


def stubborn() -> None:
    for _ in range(3):
        try:
            time.sleep(30)
        except Died:
            continue
    time.sleep(30)


@pytest.mark.parametrize("function", [loop, lambda: time.sleep(30), lambda: threading.Event().wait(30), stubborn])
def test_a_call_that_does_not_return_is_ended(guard: Guard, function: Callable[[], None]) -> None:
    with pytest.raises(Died, match=r"no answer to 'munmap' in 0\.2 s"):
        guard.make("munmap", function)


def test_a_call_in_time_is_not_ended(guard: Guard) -> None:
    for _ in range(5):
        guard.make("munmap", lambda: time.sleep(0.1))
    time.sleep(0.3)  # the deadline of the last call passes


def test_calls_reach_the_system_and_its_processes(guard: Guard) -> None:
    class Mine(Process):
        extra = "more"

        def munmap(self, addr: int, length: int) -> None:
            raise SystemExit(addr)

        def sysconf(self, name: int) -> int:
            return name

        def fork(self) -> Process:
            return Mine()

    class Its(System):
        def spawn(self) -> Process:
            return Mine()

    system = GuardedSystem(Its(), guard)
    process = system.spawn()

    assert process.sysconf(7) == 7
    assert process.extra == "more"  # type: ignore[attr-defined]
    assert system.run_concurrently([Call(process, "sysconf", (3,)), Call(process.fork(), "sysconf", (4,))]) == [3, 4]
    with pytest.raises(RaisedByBackend, match="munmap raised SystemExit: 5"):
        process.fork().munmap(5, 1)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("pytest.xfail('x')", "munmap raised _pytest.outcomes.XFailed: x"),
        ("pytest.skip('x')", "munmap raised Skipped: x"),
        ("pytest.exit('x', 0)", "munmap raised _pytest.outcomes.Exit: x"),
        ("sys.exit(0)", "munmap raised SystemExit: 0"),
        ("time.sleep(60)", "no answer to 'munmap' in 0.5 s"),
    ],
)
@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "worker"])
def test_the_run_fails(pytester: pytest.Pytester, what: str, reason: str, workers: list[str]) -> None:
    pytester.makepyfile(
        subjects=f"""
        import sys, time
        import pytest
        from pytest_mmapconf.contract import Process
        class Mine(Process):
            def sysconf(self, name):
                return 4096
            def munmap(self, addr, length):
                {what}
        """,
        test_mine="""
        from pytest_mmapconf.testing import clause
        @clause("munmap.range")
        def test_one(process):
            process.munmap(0, 4096)
        """,
    )
    result = pytester.runpytest_subprocess(
        "--mmap-backend=python:subjects:Mine", "--mmap-timeout=0.5", "test_mine.py", *workers, timeout=60
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{reason}*"])


@pytest.mark.parametrize(("guarded", "kind"), [(GuardedProcess, Process), (GuardedSystem, System)])
def test_every_call_of_the_contract_is_guarded(guarded: type, kind: type) -> None:
    calls = {name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}

    assert calls <= vars(guarded).keys()
