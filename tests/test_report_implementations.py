"""report.implementations: the page about many implementations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import EINVAL, FLUSH, MARKUP, RANGE, case, run

from pytest_mmapconf.report import implementations
from pytest_mmapconf.report.outputs import OutputError
from pytest_mmapconf.report.result import Run

RECORD = {
    "file": "known.toml",
    "number": 1,
    "kind": "clause",
    "id": EINVAL,
    "verdict": "fail",
    "reason": "it is ENOMEM",
}


def kept(name: str, **more: Any) -> Run:
    return run(case("a"), case("b", FLUSH), case("c", EINVAL), name=name, **more)


def deviating(name: str, **record: str) -> Run:
    expected = case("c", EINVAL, verdict="expected", reason="…", expected=RECORD | record)
    return run(case("a"), case("b", FLUSH, verdict="unsupported", reason="no disk"), expected, name=name)


def observing(name: str, no_room: str, evictable: str) -> Run:
    """Return a run with observed properties; a clause promises the last one, anonymous memory."""
    properties = {"no-room": no_room, "evictable-pages": evictable, "anonymous-memory": evictable}
    return replace(kept(name), properties=properties)


def lines_of(runs: list[Run], badges: str = "") -> list[str]:
    return implementations.markdown(runs, badges).splitlines()


def test_a_row_for_each_implementation_with_its_facts_and_command() -> None:
    lines = lines_of(
        [deviating("qemu:ppc"), kept("native", details={"kernel": "Linux 6.18", "page": "4096"})], "badges"
    )

    assert (
        "| `native` | ![conforms to documented](badges/native-documented.svg) | Linux 6.18 |  |  |  |  | 4096 |  |"
        in lines
    )
    assert any(
        line.startswith("| `qemu:ppc` | ![conforms to documented but for 1 on record](badges/qemu-ppc-")
        for line in lines
    )
    assert "| `pytest --mmap-backend=native --mmap-level=documented` | 0.1.0 | 2026-11-26 |" in lines
    again = "pytest --mmap-backend=qemu:ppc --mmap-level=documented --mmap-expectations=known"
    assert f"| `{again}` | 0.1.0 | 2026-11-26 |" in lines


def test_clauses_are_counted_by_group_without_those_that_could_not_be_asked() -> None:
    lines = lines_of([kept("native"), deviating("qemu:ppc")])

    assert "| implementation | level | munmap | msync |" in lines
    assert "| `native` | documented | 2 | 1 |" in lines
    assert "| `qemu:ppc` | documented | 1 of 2 | · |" in lines
    assert f"| `qemu:ppc` | no disk | `{FLUSH}` |" in lines


def test_a_deviation_is_listed_once_with_all_its_implementations() -> None:
    failing = run(case("a", RANGE, verdict="fail", reason="the last page stays"), name="new")
    found = implementations.deviations(
        implementations.implementations(
            [deviating("a"), deviating("b", link="https://bugs.example/1"), deviating("c"), failing]
        )
    )

    assert [(entry.reason, entry.link, entry.clauses, entry.implementations) for entry in found] == [
        ("it is ENOMEM", "", (EINVAL,), ("a", "c")),
        ("it is ENOMEM", "https://bugs.example/1", (EINVAL,), ("b",)),
        ("the last page stays", "", (RANGE,), ("new",)),
    ]


def test_a_property_in_which_they_differ_and_that_no_clause_promises_is_a_choice() -> None:
    runs = [
        observing("a", "holds", "holds"),
        observing("b", "holds", "does not hold"),
        observing("c", "not known", "holds"),
    ]

    text = "Pages of a file that have been written back can be evicted from memory."
    assert f"| {text} | all others | `b` |" in lines_of(runs)
    assert len(implementations.choices(implementations.implementations(runs))) == 1


def test_a_page_of_nothing_but_what_conforms() -> None:
    assert lines_of([kept("native")]).count("None.") == 3


def test_text_from_outside_is_no_markup() -> None:
    wrong = run(case("a", RANGE, verdict="fail", reason=MARKUP), name=MARKUP, details={"kernel": MARKUP})

    assert "<script>alert" not in implementations.html([wrong])
    assert "<script>alert" not in implementations.markdown([wrong])
    assert "/" not in implementations.Implementation(wrong).badge_file


def test_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [kept("native"), deviating("qemu:ppc")]
    pages = [tmp_path / "new" / "page.md", tmp_path / "new" / "page.HTML"]

    assert implementations.main(runs, pages) == 0

    assert capsys.readouterr().out == f"2 implementations: {pages[0]}, {pages[1]}\n"
    badges = sorted(path.name for path in (tmp_path / "new" / "badges").iterdir())
    assert badges == ["native-documented.svg", "qemu-ppc-documented.svg"]
    assert 'src="badges/qemu-ppc-documented.svg"' in pages[1].read_text("utf-8")


@pytest.mark.parametrize("name", ["page.txt", "page"])
def test_another_suffix_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"the page of implementations is \.md or \.html"):
        implementations.main([kept("native")], [tmp_path / name])
