"""All calls of the tour by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .calls import CALLS, TourCall
from .further_calls import FURTHER_CALLS

ALL_CALLS: Final[Mapping[str, TourCall]] = {**CALLS, **FURTHER_CALLS}
"""By the name of the value, the call: the plain ones, and those that are refused or have a rare flag."""
