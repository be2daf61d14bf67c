"""Mistakes of an adapter are reported as such, once, with what to put right."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, Backend, Facts, Fault, System
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.adapter import AdapterMistake, CheckedBackend, checked, checked_facts, mistake_of_result
from pytest_mmapconf.trace.calls import CALLS


def raising(error: BaseException) -> Callable[[], Any]:
    def make() -> Any:
        raise error

    return make


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EINVAL), "munmap raised OSError without an errno; .* OSError\\(errno.EINVAL, "),
        (OSError("EINVAL", "text"), "whose errno is 'EINVAL'"),
        (OSError(-22, "text"), "whose errno is not a number of an error"),
        (OSError(10**30, "text"), "whose errno is not a number of an error"),
        (Fault(None, 5, "x"), 'Fault\\("SIGSEGV", "SEGV_MAPERR", 0x1000\\)'),  # type: ignore[arg-type]
        (Fault("SIGSEGV", "SEGV_MAPERR", 1 << 70), "Fault with a value of another type"),
    ],
)
def test_an_exception_that_the_contract_does_not_have_is_a_mistake(error: Exception, message: str) -> None:
    with pytest.raises(AdapterMistake, match=message):
        checked("munmap", raising(error))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EINVAL, os.strerror(errno.EINVAL)),
        FileNotFoundError(errno.ENOENT, "text"),
        OSError(0, "no error"),
        Fault("SIGBUS", "BUS_ADRERR", None),
        NotImplementedError("no munmap"),
        IndexError("list index out of range"),
        SystemExit(0),
    ],
)
def test_other_exceptions_are_passed_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        checked("munmap", raising(error))
    assert caught.value is error


@pytest.mark.parametrize("ends", [RuntimeError, SystemExit, RecursionError])
def test_an_exception_that_cannot_be_shown_is_replaced(ends: type[BaseException]) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ends

    with pytest.raises(RuntimeError, match="munmap raised Odd, whose text cannot be shown") as caught:
        checked("munmap", raising(Odd()))
    assert caught.value.__cause__ is None


def test_an_error_whose_errno_cannot_be_read_is_replaced() -> None:
    class Odd(OSError):
        @property
        def errno(self) -> int:  # type: ignore[override]
            raise SystemExit

    with pytest.raises(RuntimeError, match="munmap raised Odd, whose text cannot be shown"):
        checked("munmap", raising(Odd()))


def test_what_a_call_returns_that_returns_nothing_is_not_looked_at() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise SystemExit

    assert checked("munmap", Odd) is None


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("mmap", "abc"),
        ("mmap", None),
        ("mmap", True),
        pytest.param("mmap", 10**5000, id="huge"),
        ("load", "text"),
        ("load", None),
        ("open", "3"),
        ("pipe", 3),
        ("pipe", (3, "4")),
        ("mincore", 1),
        ("fstat", (1, 2)),
        ("counters", (1, 2, 3)),
        ("spawn", 5),
        ("facility", None),
        ("scratch_range", (1, 2, 3)),
        ("sysconf", 4096.0),
    ],
)
def test_a_result_of_another_type_is_a_mistake(call: str, result: object) -> None:
    mistake = mistake_of_result(call, result)
    assert mistake is not None
    assert str(mistake).startswith(f"mistake of the adapter: {call} returned ")
    assert "it must return " in str(mistake)


def test_wrong_numbers_are_judged_and_no_mistake() -> None:
    for value in (-22, 0, 1, 1 << 64):
        assert mistake_of_result("mmap", value) is None


def test_every_call_of_the_reference_has_results_of_the_contract() -> None:
    process = CheckedBackend(ReferenceBackend()).boot().spawn()
    page = process.sysconf(30)
    fd = process.open("file", 0o102, 0o600)
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    assert process.load(base, 2) == bytes(2)
    assert process.mincore(base, page) in ([True], [False])
    assert process.fstat(fd).kind == "regular"
    assert process.fork().exit(3) == 3
    assert len(process.pipe()) == 2
    assert process.scratch_range()[1] > 0
    assert process.counters().reads == 0
    assert len(process.audit([(base, 1)], [fd])) == 2
    with pytest.raises(OSError, match="multiple of the page size"):
        process.munmap(base + 1, page)
    assert set(CALLS)


def reporting(facts: object) -> Backend:
    class Reporting(ReferenceBackend):
        def facts(self) -> Facts:
            if isinstance(facts, BaseException):
                raise facts
            return facts  # type: ignore[return-value]

    return Reporting()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (None, "returned None; it must return Facts"),
        (Facts(5), "name or version is no text"),  # type: ignore[arg-type]
        (Facts("a", "b", None), "details are None"),  # type: ignore[arg-type]
        (Facts("a", "b", {1: object()}), "name and value must be text"),  # type: ignore[dict-item]
        (Facts("a", "b", {"page": "3"}), "page='3', which is not from 16"),
        (SystemExit(0), "raised SystemExit"),
    ],
)
def test_impossible_facts_are_a_mistake(facts: object, message: str) -> None:
    with pytest.raises(AdapterMistake, match=message):
        checked_facts(reporting(facts))


def test_facts_are_printable_and_bounded() -> None:
    facts = checked_facts(reporting(Facts("a\x1b", "\ud800", {"b\x07": "x" * 10**6})))
    assert (facts.name, facts.version) == ("a\\x1b", "\\ud800")
    assert len(facts.details["b\\x07"]) < 1100


def test_a_backend_that_boots_no_system_is_a_mistake() -> None:
    class Odd(Backend):
        def boot(self) -> System:
            return 5  # type: ignore[return-value]

    with pytest.raises(AdapterMistake, match="boot returned an object of type int; it must return a System"):
        CheckedBackend(Odd()).boot()


SUBJECTS = """
from errno import EINVAL
from pytest_mmapconf.contract import Fault, Process
from pytest_mmapconf.reference.backend import ReferenceBackend

class Unshowable(Exception):
    def __str__(self):
        raise SystemExit(0)

def backend(call, error):
    class Wrong(ReferenceBackend):
        def boot(self):
            system = super().boot()
            spawn = system.spawn
            def spawned():
                process = spawn()
                def refuse(*arguments):
                    raise error()
                setattr(process, call, refuse)
                return process
            system.spawn = spawned
            return system
    return Wrong()

def Unnumbered():
    return backend("munmap", lambda: OSError(EINVAL))

def Untyped():
    return backend("munmap", lambda: Fault(None, 5, "x"))

def Unshown():
    return backend("munmap", Unshowable)

def Loud():
    return backend("munmap", lambda: RuntimeError("\\x1b[31mred\\x07 \\ud800" + "A" * 1000000))
"""


def run(pytester: pytest.Pytester, subject: str) -> pytest.RunResult:
    pytester.makepyfile(subjects=SUBJECTS)
    reports = [f"--mmap-report=r.{kind}" for kind in ("json", "html", "md")]
    return pytester.runpytest_subprocess(
        f"--mmap-backend=python:subjects:{subject}",
        "--mmap-clause=munmap.r*",
        "-m",
        "not mmap_tour",
        "--junitxml=j.xml",
        *reports,
    )


@pytest.mark.parametrize(("subject", "what"), [("Unnumbered", "OSError without an errno"), ("Untyped", "a Fault with")])
def test_a_mistake_is_reported_once_and_fails_no_clause(pytester: pytest.Pytester, subject: str, what: str) -> None:
    result = run(pytester, subject)
    text = " ".join(result.stdout.str().split())
    causes = text.partition("mmap failures by cause")[2]
    assert result.ret == 1
    assert causes.count(f"mistake of the adapter: munmap raised {what}") == 1
    assert re.search(r"clauses of level documented asked: \d+ unresolved$", text)


def test_an_exception_that_cannot_be_shown_is_one_failure(pytester: pytest.Pytester) -> None:
    result = run(pytester, "Unshown")
    assert result.ret == 1
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines(["*munmap raised Unshowable*"])


def test_reports_of_a_loud_backend_are_printable_and_bounded(pytester: pytest.Pytester) -> None:
    result = run(pytester, "Loud")
    assert result.ret == 1
    files = {name: (pytester.path / name).read_bytes() for name in ("r.json", "r.html", "r.md", "j.xml")}
    for content in (result.stdout.str().encode("utf-8", "surrogateescape"), *files.values()):
        assert not [byte for byte in content if byte < 32 and byte not in b"\n\t\r"]
        assert len(content) < 5_000_000
    assert len(files["r.html"]) < 500_000
    assert b"\\x1b[31mred" in files["r.json"].replace(b"\\\\", b"\\")
