"""Hooks that other plugins and conftest files may implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..contract import Backend


def pytest_mmapconf_backends() -> Mapping[str, Callable[[], Backend]]:  # type: ignore[empty-body]
    """Return backends by name, for `--mmap-backend=NAME`.

    A name maps to a factory without arguments, which returns a `contract.Backend`.  The factory must not start the
    implementation yet: the backend first receives the user's options by `Backend.configure`.  A name must not contain a
    colon, and no two plugins may return the same name.  pytest calls the hook in every process of the run, also in each
    worker of pytest-xdist, so it must return the same names each time; it calls the hook only if `--mmap-backend` or
    `--mmap-list-backends` is given.

    A conftest file can provide backends only if pytest loads it before the run starts: beside the ini file, in the
    directory that pytest is started in, or in `tests/` there.
    """
