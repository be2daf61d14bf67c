"""plugin.assertions: pytest rewrites the cases and the user's own modules, and nothing else that the suite imports."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec

import pytest

from pytest_mmapconf.plugin.assertions import PlainModules, rewrite_only_cases


def folder(package: str) -> list[str]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return list(spec.submodule_search_locations)


@pytest.mark.parametrize(
    ("package", "module", "is_plain"),
    [
        ("pytest_mmapconf.trace", "program", True),
        ("pytest_mmapconf", "testing", True),
        ("hypothesis", "core", True),
        ("pytest_mmapconf", "conformance", False),
        ("pytest_mmapconf.conformance", "munmap", False),
        ("packaging", "version", False),
    ],
)
def test_the_modules_that_are_not_rewritten(package: str, module: str, is_plain: bool) -> None:
    spec = PlainModules().find_spec(f"{package}.{module}", folder(package))

    assert (spec is not None) == is_plain
    if spec is not None:
        assert isinstance(spec.loader, SourceFileLoader)


def test_the_finder_is_there_until_the_run_ends(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig()

    rewrite_only_cases(config)

    assert isinstance(sys.meta_path[0], PlainModules)
    config._ensure_unconfigure()
    assert not any(isinstance(finder, PlainModules) for finder in sys.meta_path)
