"""docs/behaviours.md: each clause that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_mmapconf.catalogue import clauses as catalogue

PAGE = Path(__file__).parents[1] / "docs/behaviours.md"


def test_named_clauses_exist() -> None:
    named = set(re.findall(r"`([a-z0-9]+(?:\.[\w-]+)+)`", PAGE.read_text(encoding="utf-8")))

    assert len(named) > 100
    assert sorted(named - set(catalogue.load())) == []
