"""report.badge: the text of the badge of one run and of several."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from runs import EINVAL, MARKUP, case, run

from pytest_mmapconf.report.badge import badge
from pytest_mmapconf.report.result import Run


@pytest.mark.parametrize(
    ("about", "text"),
    [
        (run(case("a")), "conforms to documented"),
        (run(case("a", verdict="fail"), case("b", EINVAL, verdict="unresolved")), "1 fail, 1 unresolved"),
        (run(case("a", verdict="expected"), case("b", EINVAL)), "conforms to documented but for 1 on record"),
        (run(case("a"), total_clauses=9), "partial run, 1 of 9 pass"),
        (run(case("a"), narrowed=True), "partial run, 1 of 1 pass"),
        (run(case("a", verdict="unresolved")), "harness broken"),
        (run(case("a", verdict="unsupported")), "no case could run"),
        (run(case("a", reason=MARKUP), name=MARKUP), "conforms to documented"),
    ],
)
def test_text_of_one_run(about: Run, text: str) -> None:
    image = ElementTree.fromstring(badge([about]))

    assert image.findtext("{*}title") == image.attrib["aria-label"] == f"mmap: {text}"
    assert [part.text for part in image.iter("{http://www.w3.org/2000/svg}text")] == ["mmap", text]


def test_text_of_several_runs() -> None:
    passing, failing, part = run(case("a")), run(case("a", verdict="fail")), run(case("a"), narrowed=True)

    assert "<title>mmap: 2 of 2 conform</title>" in badge([passing, passing])
    assert "<title>mmap: 1 of 3 conform</title>" in badge([passing, failing, part])
