"""report.terminal: the summary of a run, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile

import pytest

from pytest_mmapconf.catalogue import clauses as catalogue
from pytest_mmapconf.catalogue.verdicts import CaseResult, ClauseResult, judge
from pytest_mmapconf.contract import Facts
from pytest_mmapconf.differential.divergence import MAX_LINES
from pytest_mmapconf.plugin import item_hooks
from pytest_mmapconf.report import terminal
from pytest_mmapconf.report.causes import groups
from pytest_mmapconf.report.terminal import THE_SYSTEM
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


def test_observed_properties() -> None:
    observed = {"fork": "holds", "fixed": "does not hold", "residency": "is not known: the backend has no mincore"}

    assert terminal.properties(observed, 100) == ["observed properties: 1 hold, 1 not known; fixed does not hold"]
    assert terminal.properties({"fork": "holds"}, 100) == []
    assert terminal.properties({}, 100) == []


def test_first_of_several_exceptions_is_reported() -> None:
    error = ExceptionGroup("2 distinct failures", [AssertionError("expected EINVAL\nhere"), ValueError("other")])

    assert item_hooks._in_one_line(error) == "expected EINVAL (the first of 2)"
    assert item_hooks._in_one_line(OSError(22, "wrong")) == "OSError: [Errno 22] wrong"


def test_details_at_80_columns() -> None:
    assert [line for line, _ in terminal.details(SOME, 80, verbose=False)] == [
        "fail",
        "  munmap.errno.EINVAL  expected EINVAL, but the call succeeded (1 of 2 cases)",
        "unresolved",
        "  msync.flag.sync      the agent died: killed by signal 9 in msync, after 30 s;",
        "                       its last words: none (1 of 2 cases)",
        "unsupported",
        "  the backend has no facility crashing-file-system:",
        "      msync.flush",
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

    assert [line for line, _ in terminal.details([entry], 80, verbose=False)] == [
        "pass, but some causes could not be asked",
        "  no noexec mount:",
        "      mmap.errno.EPERM",
    ]


def caused(id: str, call: str, answer: str, **more: str) -> CaseResult:
    return CaseResult(id, ("munmap.range",), "fail", "why", cause={"call": call, "answer": answer, **more})


MANY = [
    *(
        caused(f"advice.refused[{name}]", "madvise", "success", **{"instead of": "EINVAL", "step": "p1.madvise(r1)"})
        for name in ("one", "two", "three")
    ),
    *(caused(f"other.call_{number}", f"call{number}", "ENOSYS") for number in range(30)),
]


def test_failures_by_cause() -> None:
    lines = [line for line, _ in terminal.failures(groups(MANY), 80)]

    assert lines[:4] == [
        "madvise → success: 3 cases of 1 clause",
        "    instead of EINVAL",
        "    for example p1.madvise(r1)",
        "call0 → ENOSYS: 1 case of 1 clause",
    ]
    assert lines[-1] == "and 19 more causes of 19 cases: -v shows them"
    verbose = [line for line, _ in terminal.failures(groups(MANY), 80, verbose=True)]
    assert "    advice.refused[one, three, two]" in verbose
    assert verbose[-2:] == ["call9 → ENOSYS: 1 case of 1 clause", "    other.call_9"]


def test_cases_like_the_one_that_is_shown() -> None:
    assert terminal.alike(groups(MANY)[0]).splitlines() == [
        "madvise → success, like this case (-vv shows the traceback of each)",
        "advice.refused: 2 cases",
    ]


def test_few_reproducers_are_listed_and_many_are_counted() -> None:
    lines = ["out/a.json", "out/a.c is not written: no calls"]
    few = [CaseResult(f"a{number}", (), reproducer=lines) for number in range(12)]
    many = [*few, CaseResult("b", (), reproducer=lines), CaseResult("c", ())]

    assert terminal.reproducers(few, "out") == [f"  {line}" for line in lines * 12]
    assert terminal.reproducers(many, "out") == [
        "  out: 13 files of 13 cases; -v lists them",
        "  without a C program: 13 cases: no calls: 13",
    ]
    assert len(terminal.reproducers(many, "out", verbose=True)) == 26
    assert terminal.reproducers([CaseResult("c", ())], "") == []


def test_each_clause_of_a_long_list_has_one_line() -> None:
    many = judged({f"munmap.clause-{number}": ("fail", "expected EINVAL, but " * 9) for number in range(30)})

    lines = [line for line, _ in terminal.details(many, 80, verbose=False)]

    assert len(lines) == 26
    assert lines[-1] == "  and 6 more clauses: -v lists them"
    assert max(map(len, lines)) <= 80
    assert lines[1].endswith("… (1 of 2 cases)")
    assert len(list(terminal.details(many, 80))) > 60


def test_header_names_an_emulator_that_runs_the_agent() -> None:
    def line(by: str) -> str:
        return terminal.header(Facts("agent:x", "", {"run by": by}), "linux", "1")

    assert line("qemu-arm -p 65536 (/bin/qemu-arm)").endswith(
        "backend agent:x, run by qemu-arm -p 65536 (/bin/qemu-arm), level linux, seed 1"
    )
    assert line(THE_SYSTEM).endswith("backend agent:x, level linux, seed 1")


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
    """Return the lines of the conformance section up to the causes, and the last line."""
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if "mmap conformance" in line) + 1
    ends = ("= mmap failures by cause", " passed in ", " passed, ", " failed, ")
    shown = takewhile(lambda line: not any(end in line for end in ends), lines[start:-1])
    return [*shown, lines[-1]]


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_the_summary(judge: Judge, mode: list[str]) -> None:
    assert section(judge("Bad", *mode)) == [
        "       pass   fail",
        "map       ·      2",
        "file      1      ·",
        "fail",
        "  map.size     expected EINVAL, but the call succeeded (all 2 cases)",
        "  map.address  expected 0, but saw (65537 % 4096)",
        "does not conform to level documented: 1 pass, 2 fail",
    ]


def test_summary_of_a_passing_run_is_short(judge: Judge) -> None:
    statement = "conforms to level documented: 3 pass"

    assert section(judge("Good")) == ["       pass", "map       2", "file      1", statement]
    assert section(judge("Good", "-q")) == [statement]


def test_quiet_keeps_the_failures(judge: Judge) -> None:
    assert section(judge("Bad", "-q"))[0] == "fail"
    assert section(judge("Bad", "-qq")) == ["does not conform to level documented: 1 pass, 2 fail"]


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_one_traceback_for_each_cause(judge: Judge, mode: list[str]) -> None:
    result = judge("Bad", *mode)

    result.assert_outcomes(passed=2, failed=3)
    lines = result.outlines
    assert {line.strip("_ ") for line in lines if line.startswith("___")} == {"test_aligned", "test_no_length[none]"}
    assert sum(line.startswith("FAILED") for line in lines) == 2
    result.stdout.fnmatch_lines(
        [
            "*= FAILURES =*",
            "*- clause map.size -*",
            "A length of zero is refused.",
            "*- calls -*",
            "* p1.mmap(0, 0, *",
            "*- 1 more case -*",
            "mapping.no_length",
            "*= short test summary info =*",
            "*= mmap conformance =*",
            "*= mmap failures by cause =*",
            "mmap → success: 2 cases of 1 clause",
            "  next: --mmap-reproducers=shown *",
            "*3 failed, 2 passed*",
            "does not conform to level documented: 1 pass, 2 fail",
        ]
    )
    all_of_them = judge("Bad", "-vv", *mode).outlines
    assert sum(line.startswith("___") for line in all_of_them) == 3
    assert sum(line.startswith("FAILED") for line in all_of_them) == 3


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_tb_line_shows_the_lines_alone(judge: Judge, mode: list[str]) -> None:
    result = judge("Bad", "--tb=line", *mode)

    lines = result.outlines
    start, end = (
        next(at for at, line in enumerate(lines) if title in line) for title in ("= FAILURES =", "= short test")
    )
    assert all(re.match(r"E|\s|\[gw|/.+\.py:\d+: ", line) for line in lines[start + 1 : end])
    result.stdout.fnmatch_lines(["mmap → success: 2 cases of 1 clause", "does not conform to level documented: *"])


def test_a_run_without_pytests_terminal(judge: Judge, pytester: pytest.Pytester) -> None:
    result = judge("Bad", "-p", "no:terminal", "--mmap-report=r.json")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert '"fail": 2' in (pytester.path / "r.json").read_text()


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
    result = judge("Good", "-v", "test_mine.py")
    assert result.outlines.count("line") == MAX_LINES
    result.stdout.fnmatch_lines(["… and more: -v shows it"])


def test_176_failures_take_at_most_400_lines(judge: Judge, pytester: pytest.Pytester) -> None:
    """However many causes they have, how long their calls, tracebacks and address spaces are."""
    pytester.makepyfile(
        mine="""
        from subjects import Good

        class Wrong(Good):
            def maps(self): return "line\\n" * 100 + "at the end <- load"
            def sysconf(self, name): raise OSError(int(name) % 44 + 1, "wrong")
        """,
        test_mine="""
        import pytest
        from mine import Wrong

        @pytest.mark.mmap_random
        @pytest.mark.parametrize("number", range(176))
        def test_fails(process, file, number):
            others = [Wrong() for _ in range(3)]
            fd = file(b"content" * 9)
            process.open("a long name" * 999, 0)
            process.sysconf(number)
        """,
    )

    result = judge("Good", "--mmap-backend=python:mine:Wrong", "test_mine.py")

    result.assert_outcomes(failed=176)
    lines = result.outlines
    assert "and 32 more causes of 128 cases: -v shows them" in lines
    assert len(lines) <= 400
    assert max(map(len, lines)) <= 300
    assert lines.count("at the end <- load") == 4 * terminal.SHOWN
    assert lines[-1].startswith("partial run: ")
