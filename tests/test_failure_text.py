"""plugin.failure_text: the case's own lines, the calls, the clause in words, the reason in the API's words."""

from __future__ import annotations

from os import O_CREAT, O_RDWR
from traceback import walk_tb

import hypothesis
import hypothesis.strategies
import pytest

from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, Fault
from pytest_mmapconf.differential.divergence import shortened
from pytest_mmapconf.plugin import failure_text
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.recorder import RecordedSystem


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("assert 13 == 8", "expected 8, but saw 13"),
        ("assert 365080637440 == 365080616960", "expected 0x5500802000, but saw 0x5500807000"),
        ("assert b'a' == b'b'", "expected b'b', but saw b'a'"),
        ("assert 1 in (2, 3)", "assert 1 in (2, 3)"),
        ("assert (1 == 2) == (3 == 3)", "assert (1 == 2) == (3 == 3)"),
        ("the length is 1048576", "the length is 1048576"),
        ("failed: [Errno 12] Cannot allocate memory", "failed: ENOMEM"),
        ("OSError: [Errno 12] Cannot allocate memory", "ENOMEM"),
        ("expected EINVAL, but the call succeeded", "expected EINVAL, but the call succeeded"),
    ],
)
def test_a_reason_is_readable(text: str, shown: str) -> None:
    assert failure_text.readable(text) == shown


STAT = "Stat(kind='regular', size=13)"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([f" +  where 13 = {STAT}.size", f" +    where {STAT} = fstat(3)"], "size of fstat is 13, 8 expected"),
        ([" +  where 13 = pwrite(3, b'x', 0)"], "pwrite returned 13, 8 expected"),
        ([f" +  where 13 = {STAT}.size"], None),
        ([f" +  where 13 = {STAT}.size", f" +    where {STAT} = helper(3)"], None),
        ([" +  where 13 = len(b'0123456789abc')"], None),
        ([" +  where 8 = lseek(3, 0, 0)"], None),
        ([], None),
    ],
)
def test_a_compared_result_is_named_by_its_call(lines: list[str], shown: str | None) -> None:
    assert failure_text.result_compared("\n".join(["assert 13 == 8", *lines])) == shown


def test_a_long_value_of_a_comparison_is_shortened() -> None:
    assert len(failure_text.readable(f"assert {b'x' * 9000!r} == {b'y' * 9000!r}")) < 260


@pytest.mark.parametrize(
    ("result", "error", "shown"),
    [
        (None, None, ""),
        (3, None, "3"),
        (True, None, "True"),
        (0x7F0000001000, None, "0x7f0000001000"),
        (None, OSError(22, "wrong"), "EINVAL"),
        (None, Fault("SIGBUS", "BUS_ADRERR", 0x1000), str(Fault("SIGBUS", "BUS_ADRERR", 0x1000))),
        (None, RuntimeError("x"), "RuntimeError"),
        (b"a" * 99, None, f"{b'a' * 99!r:.60} …"),
    ],
)
def test_the_answer_of_a_call(result: object, error: Exception | None, shown: str) -> None:
    assert failure_text.answer(result, error) == shown


def test_the_calls_of_a_case_and_its_clause() -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    base = process.mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    with pytest.raises(OSError, match="EINVAL") as caught:
        process.munmap(base, 0)

    (clause, text), (title, calls) = failure_text.sections(["munmap.result", "no.clause"], system)

    assert clause == "clause munmap.result"
    assert text.startswith("munmap returns 0")
    assert title == "calls"
    assert calls.splitlines()[0].startswith("  1  r1 = p1.mmap(0, ")
    assert f"→ {int(base):#x}" in calls
    assert calls.splitlines()[1] == "  2  p1.munmap(r1, 0)  → EINVAL"
    assert failure_text.reason(caught.value, system) == "munmap failed with EINVAL"
    assert failure_text.reason(OSError(22, "another"), system) is None
    assert repr(process) == "process 1"


def test_a_traceback_has_the_lines_of_the_case_only() -> None:
    process = RecordedSystem(ReferenceBackend().boot()).spawn()

    @hypothesis.settings(database=None)
    @hypothesis.given(hypothesis.strategies.just(0))
    def case(length: int) -> None:
        process.munmap(0, length)

    with pytest.raises(OSError, match="EINVAL") as caught:
        case()

    trace = failure_text.of_the_case(caught.value.__traceback__)
    assert trace is not None
    assert {frame.f_globals["__name__"] for frame, _ in walk_tb(trace)} == {__name__}
    assert [frame.f_code.co_name for frame, _ in walk_tb(trace)][-1] == "case"
    assert failure_text.of_the_case(None) is None


def test_a_call_with_long_data_is_one_short_line() -> None:
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    process.pwrite(process.open("a", O_RDWR | O_CREAT), bytes(range(256)) * 16, 0)

    (_, line) = failure_text.call_lines(system)

    assert line.startswith('  2  p1.pwrite(fd1, ["')
    assert line.endswith(", 0)  → 4096")
    assert len(line) <= 200


def test_an_address_space_keeps_its_marked_lines() -> None:
    maps = "\n".join(f"line {number}" + ("  <- load" if number == 50 else "") for number in range(99))

    assert shortened(maps, 3, "{} more") == "line 0\nline 1\nline 50  <- load\n96 more"
    assert shortened("a\nb", 2) == "a\nb"


def test_a_note_of_hypothesis_is_shortened() -> None:
    note = (
        "Failing test case: test_x(\n    process=<Recorded object at 0x1>,\n    page=4096,\n)\n"
        "Explanation:\n    These lines were always and only run by failing test cases:\n        a.py:3"
    )

    assert failure_text.shortened_note(note) == "Failing test case: test_x(\n    page=4096,\n)"
    assert len(failure_text.shortened_note("data=" + "x" * 5000)) < 300


@pytest.mark.parametrize(
    ("module", "shown"),
    [
        ("pytest_mmapconf.conformance.munmap", True),
        ("mine", True),
        ("pytest_mmapconf.trace.recorder", False),
        ("hypothesis.core", False),
    ],
)
def test_the_lines_that_a_traceback_has(module: str, shown: bool) -> None:
    assert failure_text.is_of_the_case(module) == shown
