"""The documentation's site: it builds without a warning, and every page of docs/ is in it and in its search."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("material") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("no mkdocs-material with mkdocstrings here (pip install '.[docs]')")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


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


def test_the_api_is_taken_from_the_docstrings(site: Path) -> None:
    api = (site / "api/index.html").read_text()

    for name in ("contract.Process.munmap", "contract.System.spawn", "testing.clause", "fixtures.process"):
        assert name in api
