"""The errno of a call, for tests that compare it with an expected name."""

from __future__ import annotations

from collections.abc import Callable

from pytest_mmapconf.contract import errno_name


def errno(call: Callable[[], object]) -> str:
    """The errno of a call; empty if it succeeds."""
    try:
        call()
    except OSError as error:
        return errno_name(error)
    return ""
