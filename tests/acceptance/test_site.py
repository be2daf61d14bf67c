"""The documentation's site, which `nox -s docs` has built without a warning.

Every page of docs/ is in it, and can be reached and found.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site() -> Path:
    if "MMAPCONF_SITE" not in os.environ:
        pytest.skip("no site in MMAPCONF_SITE: nox -s docs builds and tests it")
    return Path(os.environ["MMAPCONF_SITE"])


def test_every_page_can_be_reached_and_found(site: Path) -> None:
    start = (site / "index.html").read_text()
    found = {
        entry["location"].partition("/")[0]
        for entry in json.loads((site / "search/search_index.json").read_text())["docs"]
    }

    for page in (PROJECT / "docs").glob("*.md"):
        if page.stem != "README":
            assert f'href="{page.stem}/"' in start
            assert page.stem in found


def test_the_navigation_has_every_page() -> None:
    navigation = yaml.safe_load((PROJECT / "mkdocs.yml").read_text("utf-8"))["nav"]
    pages = re.findall(r"[\w-]+\.md", json.dumps(navigation))

    assert {page.name for page in (PROJECT / "docs").glob("*.md")} <= set(pages)


def test_the_api_is_taken_from_the_docstrings(site: Path) -> None:
    api = (site / "api/index.html").read_text()

    for name in ("contract.Process.munmap", "contract.System.spawn", "testing.clause", "fixtures.process"):
        assert name in api
