"""report.terminal: the summary of a run, line by line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_mmapconf.catalogue import clauses as catalogue
from pytest_mmapconf.catalogue.verdicts import CaseResult, ClauseResult, judge
from pytest_mmapconf.contract import Facts
from pytest_mmapconf.differential.divergence import MAX_LINES
from pytest_mmapconf.plugin import item_hooks
from pytest_mmapconf.report import terminal
from pytest_mmapconf.version import suite_version

Judge = Callable[..., pytest.RunResult]


def judged(verdicts: dict[str, tuple[str, str]]) -> list[ClauseResult]:
    """Return results of clauses, each with a case of the given verdict and reason, and one that passes."""
    entries = []
    for id, (verdict, reason) in verdicts.items():
        cases = [
            CaseResult("a", (id,), verdict, reason),
            CaseResult("b", (id,), "pass" if verdict != "unsupported" else verdict),
        ]
        entries.append(judge(catalogue.Clause(id, "documented", id.partition(".")[0], "t", "o", "s"), cases))
    return entries


SOME = judged(
    {
        "munmap.range": ("pass", ""),
        "munmap.errno.EINVAL": ("fail", "expected EINVAL, but the call succeeded"),
        "msync.flush": ("unsupported", "the backend has no facility crashing-file-system"),
        "msync.flag.sync": (
            "unresolved",
            "the agent died: killed by signal 9 in msync, after 30 s; its last words: none",
        ),
        "paging.unit": ("expected", "16 KiB pages, see issue 7"),
    }
)


def test_table() -> None:
    assert terminal.table(SOME) == [
        "         pass   expected   unsupported   unresolved   fail",
        "munmap      1          ·             ·            ·      1",
        "msync       ·          ·             1            1      ·",
        "paging      ·          1             ·            ·      ·",
    ]
    assert terminal.table([]) == []


def test_first_of_several_exceptions_is_reported() -> None:
    error = ExceptionGroup("2 distinct failures", [AssertionError("expected EINVAL\nhere"), ValueError("other")])

    assert item_hooks._in_one_line(error) == "expected EINVAL (the first of 2)"
    assert item_hooks._in_one_line(OSError(22, "wrong")) == "OSError: [Errno 22] wrong"


def test_details_at_80_columns() -> None:
    assert [line for line, _ in terminal.details(SOME, 80)] == [
        "fail",
        "  munmap.errno.EINVAL  expected EINVAL, but the call succeeded (1 of 2 cases)",
        "unresolved",
        "  msync.flag.sync      the agent died: killed by signal 9 in msync, after 30 s;",
        "                       its last words: none (1 of 2 cases)",
        "unsupported",
        "  msync.flush          the backend has no facility crashing-file-system",
        "expected, a deviation on record",
        "  paging.unit          16 KiB pages, see issue 7",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_details_keep_to_the_width(width: int) -> None:
    lines = [line for line, _ in terminal.details(SOME, width)]

    assert max(map(len, lines)) <= max(width, 60)
    assert sum(line.startswith("  msync.flag.sync ") for line in lines) == 1


def test_unsupported_causes_of_a_passing_clause_are_shown() -> None:
    clause = catalogue.Clause("mmap.errno.EPERM", "documented", "mmap", "t", "o", "s")
    entry = judge(clause, [CaseResult("a", (), "pass"), CaseResult("b", (), "unsupported", "no noexec mount")])

    assert [line for line, _ in terminal.details([entry], 80)] == [
        "pass, but some causes could not be asked",
        "  mmap.errno.EPERM  no noexec mount",
    ]


def test_header() -> None:
    facts = Facts("native", "6.1", {"kernel": "Linux 6.1", "page": "16384", "libc": "musl"})
    version = suite_version()

    assert terminal.header(facts, "posix", "7") == (
        f"mmapconf {version}: backend native 6.1, kernel Linux 6.1, page 16384, level posix, seed 7"
    )
    with_kernel = Facts("native", "Linux 6.1, musl", {"kernel": "Linux 6.1"})
    line = terminal.header(with_kernel, "posix", version)
    assert line == f"mmapconf {version}: backend native Linux 6.1, musl, level posix, seed {version}"
    assert terminal.header(Facts("mine"), "linux", "1") == f"mmapconf {version}: backend mine, level linux, seed 1"


# ------------------------------------------------------------------------------------------------------- whole runs


def section(result: pytest.RunResult) -> list[str]:
    """Return the lines of the conformance section."""
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if "mmap conformance" in line) + 1
    return lines[start : start + next(n for n, line in enumerate(lines[start:]) if "conform" in line) + 1]


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_the_summary(judge: Judge, mode: list[str]) -> None:
    assert section(judge("Bad", *mode)) == [
        "       pass   fail",
        "map       ·      2",
        "file      1      ·",
        "fail",
        "  map.size     expected EINVAL, but the call succeeded (2 of 2 cases)",
        "  map.address  assert (65537 % 4096) == 0 (1 of 1 cases)",
        "does not conform to level documented: 1 pass, 2 fail",
    ]


def test_summary_of_a_passing_run_is_short(judge: Judge) -> None:
    statement = "conforms to level documented: 3 pass"

    assert section(judge("Good")) == ["       pass", "map       2", "file      1", statement]
    assert section(judge("Good", "-q")) == [statement]


def test_quiet_keeps_the_failures(judge: Judge) -> None:
    assert section(judge("Bad", "-q"))[0] == "fail"
    assert section(judge("Bad", "-qq")) == ["does not conform to level documented: 1 pass, 2 fail"]


def test_maps_of_every_process_are_shown(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine="""
        from subjects import Good, Nothing

        class Long(Good):
            def maps(self): return "line\\n" * 100

        def test_fails(process):
            child = Good()
            others = [Good(), Nothing()]
            long = Long()
            assert process is child
        """
    )

    result = judge("Good", "test_mine.py")

    pictures = [line.strip("- ") for line in result.outlines if "address space of" in line]
    assert pictures == ["address space of process", "address space of child", "address space of others"]
    pytester.makepyfile(test_mine=pytester.path.joinpath("test_mine.py").read_text().replace(", Nothing()]", "]"))
    result = judge("Good", "test_mine.py")
    assert result.outlines.count("line") == MAX_LINES
    result.stdout.fnmatch_lines(["… and 40 lines more"])
