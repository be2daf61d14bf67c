"""The names under which pytest's objects (config, items, reports) carry this plugin's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from .search_plan import Part
from .settings import Settings

if TYPE_CHECKING:
    from ..fuzzing.findings import LongSearch
    from ..trace.program import Program


class CaseId(NamedTuple):
    """The identity of a case: its id, and the clauses that it judges."""

    id: str
    clauses: tuple[str, ...]


SETTINGS = pytest.StashKey[Settings]()
"""Of the config: the settings of the run."""

CASE = pytest.StashKey[CaseId]()
"""Of an item that is a case: its identity."""

PROGRAM: Final[pytest.StashKey[Program]] = pytest.StashKey()
"""Of an item: the program that shows its failure, if the case ran programs."""

LEFT_OUT = pytest.StashKey[bool]()
"""Of the config: True if a module of cases is not collected because -m excludes them all."""

PART = pytest.StashKey[Part]()
"""Of an item that is a part of a long search: the part."""

FOUND = pytest.StashKey[dict[str, Any]]()
"""Of an item that is a part of a long search: what it has found and done, as plain data (`search_data`)."""

LONG_SEARCH: Final[pytest.StashKey[LongSearch]] = pytest.StashKey()
"""Of the config: the long search of this process."""

RECORDED = pytest.StashKey[dict[str, Any]]()
"""Of an item: the values noted with the fixture `record`."""

FAST_PARAMETERS = pytest.StashKey[dict[str, object]]()
"""Of an item whose fixtures `fast_values` creates: its parameters."""

ATTRIBUTE: Final = "mmapconf"
"""The attribute of pytest's reports that carries this plugin's data."""
