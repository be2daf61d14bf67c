"""The suite determines its own version."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pytest_mmapconf import version

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory in place of the package's."""
    directory = tmp_path / "package"
    directory.mkdir()
    monkeypatch.setattr(version, "HERE", directory)
    return directory


def test_version_is_the_projects() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]

    assert version.suite_version() == declared


def test_copy_reads_its_manifest(here: Path) -> None:
    (here / "conformance").mkdir()
    (here / version.MANIFEST).write_text('{"version": "7.5"}')

    assert version.suite_version() == "7.5"


def test_checkout_reads_its_project_file(here: Path) -> None:
    (here.parent / "pyproject.toml").write_text('[project]\nversion = "7.6"')

    assert version.suite_version() == "7.6"


def test_installed_package_reads_its_metadata(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "conformance").mkdir()
    monkeypatch.setattr(version, "version", {"pytest-mmapconf": "7.7"}.__getitem__)

    assert version.suite_version() == "7.7"


@pytest.mark.parametrize("manifest", ["{", "{}", "[]", "\0"])
def test_version_is_unknown_with_an_invalid_manifest(here: Path, manifest: str) -> None:
    (here / "conformance").mkdir()
    (here / version.MANIFEST).write_text(manifest)

    assert version.suite_version() == "(unknown)"


def test_copy_under_another_name_ignores_the_metadata(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "conformance").mkdir()
    monkeypatch.setattr(version, "__package__", "third_party.mm")

    assert version.suite_version() == "(unknown)"
