"""Which version this is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pytest_mmapconf import version

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's folder, empty."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(version, "HERE", folder)
    return folder


def test_this_suite_knows_its_version() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]

    assert version.suite_version() == declared


def test_a_copy_has_it_from_its_manifest(here: Path) -> None:
    (here / "conformance").mkdir()
    (here / version.MANIFEST).write_text('{"version": "7.5"}')

    assert version.suite_version() == "7.5"


def test_a_checkout_has_it_from_its_project(here: Path) -> None:
    (here.parent / "pyproject.toml").write_text('[project]\nversion = "7.6"')

    assert version.suite_version() == "7.6"


def test_what_is_installed_has_it_from_its_metadata(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "conformance").mkdir()
    monkeypatch.setattr(version, "version", {"pytest-mmapconf": "7.7"}.__getitem__)

    assert version.suite_version() == "7.7"


@pytest.mark.parametrize("manifest", ["{", "{}", "[]", "\0"])
def test_nothing_is_made_up(here: Path, manifest: str) -> None:
    (here / "conformance").mkdir()
    (here / version.MANIFEST).write_text(manifest)

    assert version.suite_version() == "(unknown)"


def test_a_copy_under_another_name_is_not_what_is_installed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "conformance").mkdir()
    monkeypatch.setattr(version, "__package__", "third_party.mm")

    assert version.suite_version() == "(unknown)"
