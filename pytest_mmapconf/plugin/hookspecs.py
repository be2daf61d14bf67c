"""Hooks that other plugins and conftest files may implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..contract import Backend


def pytest_mmapconf_backends() -> Mapping[str, Callable[[], Backend]]:  # type: ignore[empty-body]
    """Backends by name, for `--mmap-backend=NAME`.

    A name maps to a factory without arguments, which returns a `contract.Backend` and starts nothing yet: the backend
    is told the user's options by `Backend.configure` first.  A name must not contain a colon, and no two plugins may
    give the same name.  Called in every process of the run, also in each worker of pytest-xdist, so the same names
    must come out; called only where `--mmap-backend` or `--mmap-list-backends` is given.

    A conftest file gives backends only if pytest loads it before the run starts: beside the ini file, in the folder
    that pytest is started in, or in `tests/` there.
    """
