"""The calls of a process by name, as the contract has them."""

from __future__ import annotations

from types import FunctionType
from typing import Final

from ..contract import Process

CALLS: Final = tuple(
    name for name, member in vars(Process).items() if isinstance(member, FunctionType) and not name.startswith("_")
)
"""Every call of the contract."""

DERIVED_CALLS: Final = frozenset({"fragment", "audit", "batch"})
"""Calls that every backend has, because `Process` implements them by other calls."""
