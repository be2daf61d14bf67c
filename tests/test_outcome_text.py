"""The outcome of a call as one text, and back."""

from __future__ import annotations

import errno

import pytest

from pytest_mmapconf.contract import Fault
from pytest_mmapconf.outcomes import Failed, Faulted, Outcome, Returned
from pytest_mmapconf.trace.outcome_text import KEPT, outcome_of, outcome_text

OUTCOMES = [
    ("munmap", (4096, 1), None, "ok", Returned(None)),
    ("load", (4096, 2), b"ab", "ok 6162", Returned(b"ab")),
    ("mmap", (4096, 1, 0, 0, 0, 0), 4096, "ok 0x1000", Returned(4096)),
    ("pwrite", (3, b"ab", 0), 2, "ok 2", Returned(2)),
    ("dup", (3,), 4, "ok 4", Returned(4)),
    ("mincore", (4096, 8192), [True, False], "ok 10", Returned([True, False])),
    ("munmap", (1, 1), OSError(errno.EINVAL, ""), "error EINVAL", Failed("EINVAL")),
    *(
        ("load", (9, 1), Fault("SIGSEGV", code, at), f"fault SIGSEGV {code}", Faulted("SIGSEGV", code, at))
        for code, at in (("SEGV_MAPERR", 9), ("SI_KERNEL", None))
    ),
]


@pytest.mark.parametrize(("call", "arguments", "result", "text", "outcome"), OUTCOMES)
def test_an_outcome_is_a_text(
    call: str, arguments: tuple[object, ...], result: object, text: str, outcome: Outcome
) -> None:
    def make() -> object:
        if isinstance(result, Exception):
            raise result
        return result

    assert outcome_text(call, make) == text
    assert outcome_of(call, arguments, text) == outcome


def test_a_long_result_is_cut_off() -> None:
    assert len(outcome_text("load", lambda: b"x" * 1000)) == KEPT
