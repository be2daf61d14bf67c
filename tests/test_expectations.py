"""Expectations: invalid files, which entry applies, its effect on verdicts, and updates of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vendored import NAME

from pytest_mmapconf.contract import Facts
from pytest_mmapconf.expectations.file import Entry, ExpectationError, choose, holding, parse, read

Judge = Callable[..., pytest.RunResult]

WITH_WORKERS = pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])

# the subject Bad of `vendored` breaks map.size (both cases) and map.address, by mapping at odd addresses
BAD = """
# its defects
[[expect]]
clause = "map.size"
verdict = "fail"
reason = "maps nothing"
link = "https://bugs.example/17"

[[expect]]
case = "mapping.aligned"
verdict = "fail"
reason = "odd addresses"
"""


def expect(**fields: object) -> dict[str, Any]:
    """Return a table such as `read` returns."""
    return {"file": "known.toml", "number": 1, "verdict": "fail", "reason": "known", **fields}


def cases(report: Path) -> dict[str, dict[str, Any]]:
    """Return the cases of a JSON report by id."""
    document = json.loads(report.read_text())
    return {case["id"]: case for case in document["cases"]}


# --------------------------------------------------------------------------------------------------------- the entries


def test_entry_is_parsed() -> None:
    (entry,) = parse([expect(case="a.b[c]", reason="one\n two", link="http://x", when={"bits": 64})])

    assert (entry.kind, entry.id, entry.verdict, entry.summary) == ("case", "a.b[c]", "fail", "one two (http://x)")
    assert str(entry) == "known.toml, entry 1"
    assert entry.as_data == {
        "file": "known.toml",
        "number": 1,
        "verdict": "fail",
        "reason": "one two",
        "link": "http://x",
    }


@pytest.mark.parametrize(
    ("id", "matching", "others"),
    [
        ("a.b[c]", ["a.b[c]"], ["a.bc", "a.b", "a.b[c]d"]),
        ("a.b[*]", ["a.b[c]", "a.b[]", "a.b[x-y]"], ["a.bc", "a.b"]),
        ("a.?", ["a.b"], ["a.bc", "aab"]),
        ("*", ["a.b", ""], []),
    ],
)
def test_brackets_are_literal(id: str, matching: list[str], others: list[str]) -> None:
    entry = Entry("f", 1, "case", id, "fail", "known")

    assert [id for id in matching + others if entry.matches(id)] == matching


def test_which_entry_applies() -> None:
    about: list[dict[str, object]] = [
        {"clause": "x.y"},
        {"case": "m.*"},
        {"case": "m.one", "when": {"kernel": "<6"}},
        {"case": "m.two"},
        {"clause": "x.*"},
        {"case": "m.t*"},
    ]
    entries = parse(expect(number=number, **fields) for number, fields in enumerate(about, 1))
    new, old = (holding(entries, Facts("s", details={"kernel": f"Linux {version}"})) for version in ("6.1", "5.4"))

    def number(entries: tuple[Entry, ...], case: str) -> int:
        entry = choose(entries, case, ["a", "x.y"])
        return entry.number if entry else 0

    assert [number(new, case) for case in ("m.one", "m.two", "n.one")] == [2, 6, 5]
    assert [number(old, case) for case in ("m.one", "m.two", "n.one")] == [3, 6, 5]
    assert choose(new, "n.one", ["a"]) is None
    assert len(holding(entries, None)) == 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "must have either case or clause"),
        ({"case": "a", "clause": "b"}, "must have either case or clause"),
        ({"case": "a", "reason": ""}, "(a): reason is missing"),
        ({"case": "a", "verdict": "pass"}, "(a): verdict 'pass' is not one of fail, unresolved, unsupported, flaky"),
        ({"case": "a", "until": "x"}, "(a): until is not known; there are case, clause, verdict"),
        ({"case": 3}, "(3): case is not text"),
        ({"case": "a", "when": {"kernal": "x"}}, "(a): when: there is no fact 'kernal'; did you mean kernel?"),
        ({"case": "a", "program": "[]"}, "(a): program: not a program of version 1"),
        ({"clause": "a", "program": "[]"}, "(a): program is allowed for a case only"),
    ],
)
def test_invalid_entries(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        parse([expect(**table)])

    assert str(caught.value).startswith("known.toml, entry 1")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[expect", "known.toml: not TOML: "),
        ("[expect]\ncase = 'a'", "known.toml: expect: only tables named [[expect]] are allowed"),
        ("[[expected]]", "known.toml: expected: only tables named [[expect]] are allowed"),
        ("[[expect]]\nprogram = 'none.json'", "known.toml, entry 1: program: none.json cannot be read: "),
    ],
)
def test_invalid_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "known.toml").write_text(text)

    with pytest.raises(ExpectationError) as caught:
        read("known.toml", tmp_path)

    assert str(caught.value).startswith(message)


# ------------------------------------------------------------------------------------------------------- in a run


@WITH_WORKERS
def test_deviation_on_record_is_expected_and_listed(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.path.joinpath("known.toml").write_text(BAD)

    result = judge("Bad", "--mmap-expectations=known.toml", "--mmap-report=v.json", *mode)

    assert result.ret == 0
    result.assert_outcomes(passed=2, xfailed=3)
    result.stdout.fnmatch_lines(
        [
            "expected, a deviation on record",
            "  map.size     maps nothing (https://bugs.example/17)",
            "  map.address  odd addresses",
            "conforms to level documented except for deviations on record of 2 clauses: 1 pass, 2 expected",
        ]
    )
    results = cases(pytester.path / "v.json")
    assert {id: case["verdict"] for id, case in results.items()} == {
        "files.content": "pass",
        "files.content_written": "pass",
        "mapping.aligned": "expected",
        "mapping.no_length[none]": "expected",
        "mapping.no_length[read]": "expected",
    }
    assert results["mapping.no_length[none]"]["on record"]["seen"] == {
        "verdict": "fail",
        "reason": "expected EINVAL, but the call succeeded",
    }
    assert results["mapping.no_length[none]"]["on record"]["link"] == "https://bugs.example/17"
    assert "on record" not in results["files.content"]


@WITH_WORKERS
def test_unexpected_pass_is_a_failure(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.path.joinpath("known.toml").write_text(BAD)

    result = judge("Good", "--mmap-expectations=known.toml", *mode)

    assert result.ret == 1
    result.assert_outcomes(passed=4, failed=1)  # pytest counts cases, not clauses
    result.stdout.fnmatch_lines(
        [
            "  map.size     passes, although on record as fail: maps nothing*",
            "  map.address  passes, although on record as fail: odd addresses*",
            "does not conform to level documented: 1 pass, 2 fail",
        ]
    )


def test_unexpected_pass_of_a_clause_fails_the_run(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("known.toml").write_text(BAD.partition("[[expect]]\ncase")[0])

    result = judge("Good", "--mmap-expectations=known.toml")

    assert result.ret == 1
    result.assert_outcomes(passed=5)


@pytest.mark.parametrize("mode", [["-k", "read"], ["-n", "2", "-k", "read"]], ids=" ".join)
def test_clause_of_which_only_some_cases_ran_keeps_its_entry(
    judge: Judge, pytester: pytest.Pytester, mode: list[str]
) -> None:
    pytester.path.joinpath("known.toml").write_text(BAD)

    assert judge("Good", "--mmap-expectations=known.toml", *mode).ret == 0


DIES = """
[[expect]]
clause = "file.content"
verdict = "VERDICT"
reason = "known"
"""


@pytest.mark.parametrize(
    ("subject", "verdict", "outcome", "clause"),
    [
        ("Dies", "unresolved", {"xfailed": 2}, "expected"),
        ("Dies", "flaky", {"xfailed": 2}, "flaky"),
        ("Good", "flaky", {"xpassed": 2}, "flaky"),
        ("NoFiles", "unsupported", {"skipped": 2}, "unsupported"),
        ("NoFiles", "fail", {"skipped": 2}, "unsupported"),
        ("CannotSetUp", "unresolved", {"xfailed": 2}, "expected"),
        ("Crashes", "unresolved", {"xfailed": 2}, "expected"),
        ("Crashes", "flaky", {"xfailed": 2}, "flaky"),
        # the verdict on record is another
        ("Dies", "fail", {"errors": 2}, "unresolved"),
        ("Crashes", "fail", {"errors": 2}, "unresolved"),
        ("Good", "unsupported", {"passed": 2}, "fail"),
        ("Good", "unresolved", {"passed": 2}, "fail"),
    ],
)
def test_verdicts_on_record(
    judge: Judge, pytester: pytest.Pytester, subject: str, verdict: str, outcome: dict[str, int], clause: str
) -> None:
    pytester.path.joinpath("known.toml").write_text(DIES.replace("VERDICT", verdict))
    mode = ["-n", "2"] if subject == "Crashes" else []

    result = judge(subject, "--mmap-expectations=known.toml", "--mmap-report=v.json", *mode)

    assert result.ret == (1 if clause in ("fail", "unresolved") else 0)
    counts = result.parseoutcomes()
    assert {name: counts.get(name) for name in outcome} == {
        name: (count + 3 if name == "passed" else count) for name, count in outcome.items()
    }
    document = json.loads((pytester.path / "v.json").read_text())
    (judged,) = (entry for entry in document["clauses"] if entry["id"] == "file.content")
    assert judged["verdict"] == clause
    if clause not in ("unresolved", "unsupported"):
        assert "known" in judged["reason"]
        assert any("known" in line for line in result.outlines)


def test_case_that_is_unresolved_in_its_teardown(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("known.toml").write_text(
        '[[expect]]\ncase = "*"\nverdict = "unresolved"\nreason = "still mounted"\n'
    )

    stuck = judge("NotClosing", "--mmap-expectations=known.toml", "--mmap-report=v.json")
    good = judge("Known", "--mmap-expectations=known.toml")

    assert stuck.ret == 0
    assert {case["verdict"] for case in cases(pytester.path / "v.json").values()} == {"expected"}
    assert good.ret == 1
    good.stdout.fnmatch_lines(["does not conform to level documented: 3 fail"])


@WITH_WORKERS
def test_entries_that_match_nothing(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.path.joinpath("known.toml").write_text(
        """
        [[expect]]
        case = "mapping.no_length[raed]"
        verdict = "fail"
        reason = "a misspelt parameter"
        [[expect]]
        clause = "mapp.size"
        verdict = "fail"
        reason = "a misspelt group"
        [[expect]]
        case = "files.linux"  # of another level
        verdict = "fail"
        reason = "not run"
        [[expect]]
        case = "nothing.such"
        verdict = "fail"
        reason = "for other systems"
        when = { page = 65536 }
        """
    )

    result = judge("Good", "--mmap-expectations=known.toml", "--mmap-clause=file.*", *mode)

    assert result.ret == (1 if mode else 2)  # with workers, the other cases still run
    lines = "\n".join(result.outlines)
    assert (
        "known.toml, entry 1: there is no case 'mapping.no_length[raed]'; did you mean mapping.no_length[read]" in lines
    )
    assert "known.toml, entry 2: there is no clause 'mapp.size'; did you mean map.size" in lines
    assert "entry 3: there is no case 'files.linux'" in lines  # the case is named files.first
    assert "nothing.such" not in lines


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--mmap-level=linux"], 0),
        (["--mmap-level=documented"], 0),
        (["-k", "aligned"], 0),
        (["--mmap-clause=file.*"], 0),
        (["conformance/files.py"], 0),
        (["conformance/mapping.py"], 2),  # collected as a whole, without such a case
        (["conformance/mapping.py::test_aligned"], 0),
        (["--lf"], 0),
    ],
)
def test_entries_for_cases_that_this_run_leaves_out(
    judge: Judge, pytester: pytest.Pytester, options: list[str], status: int
) -> None:
    wrong = "mapping.nothing" if "conformance" in options[0] else "mapping.aligned"
    pytester.path.joinpath("known.toml").write_text(
        f'[[expect]]\ncase = "files.first"\nverdict = "flaky"\nreason = "x"\n'
        f'[[expect]]\ncase = "{wrong}"\nverdict = "flaky"\nreason = "x"\n'
    )

    assert judge("Known", "--mmap-expectations=known.toml", *options).ret == status


def test_stop_at_the_first_failure_ignores_those_on_record(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("known.toml").write_text(BAD)

    result = judge("Bad", "-x", "-n", "1", "--mmap-expectations=known.toml")

    assert result.ret == 0
    result.assert_outcomes(passed=2, xfailed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mmap-expectations=none.toml"], "*--mmap-expectations=none.toml: cannot be read: No such file*"),
        (["--mmap-update-expectations"], "*--mmap-update-expectations: name the file, with --mmap-expectations=FILE"),
    ],
    ids=["missing", "no-file"],
)
def test_wrong_options(judge: Judge, options: list[str], message: str) -> None:
    result = judge("Good", *options)

    assert result.ret == 4
    result.stderr.fnmatch_lines([message])


def test_ini_file_names_expectations(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("known files.toml").write_text(BAD)
    pytester.makeini("[pytest]\nmmap_expectations = 'known files.toml'")

    assert judge("Bad").ret == 0
    assert judge("Good").ret == 1


# ------------------------------------------------------------------------------------------------------ random programs

RANDOM = """
[[expect]]
case = "random_programs.random_programs"
verdict = "fail"
reason = "takes any address"
program = "shown by.json"
"""
UNALIGNED = {
    "version": 1,
    "steps": [{"process": "p1", "call": "munmap", "arguments": {"addr": 4097, "length": "pages(1)"}}],
}
DEVIATES = "--mmap-backend=mutant:munmap-takes-an-unaligned-address"


@pytest.mark.parametrize(
    ("backend", "outcome", "reason"),
    [
        (DEVIATES, {"xfailed": 1}, "takes any address"),
        ("--mmap-backend=reference", {"failed": 1}, "passes, although on record as fail: takes any address"),
        (
            "--mmap-backend=mutant:munmap-takes-length-0",
            {"failed": 1},
            "the program on record no longer shows a difference; process 1: munmap",
        ),
    ],
    ids=["deviates", "repaired", "deviates-otherwise"],
)
def test_program_on_record_is_replayed_in_place_of_the_case(
    pytester: pytest.Pytester, backend: str, outcome: dict[str, int], reason: str
) -> None:
    (pytester.path / "known.toml").write_text(RANDOM)
    (pytester.path / "shown by.json").write_text(json.dumps(UNALIGNED))

    result = pytester.runpytest_subprocess(
        backend,
        "--mmap-level=linux",
        "--mmap-expectations=known.toml",
        "--mmap-report=v.json",
        "-k",
        "test_random_programs",
    )

    result.assert_outcomes(**outcome, deselected=result.parseoutcomes()["deselected"])
    (case,) = cases(pytester.path / "v.json").values()
    assert case["reason"].startswith(reason)
    assert ("recorded" in case) == ("failed" in outcome)  # recorded only if programs were drawn


def test_program_of_a_random_case_is_written(pytester: pytest.Pytester) -> None:
    options = [
        "--mmap-level=linux",
        "--mmap-expectations=known.toml",
        "-k",
        "test_random_programs or test_any_range_is_unmapped_in_whole_pages",
    ]

    backend = "--mmap-backend=mutant:munmap-takes-length-0"
    written = pytester.runpytest_subprocess(backend, *options, "--mmap-update-expectations", "-n", "2")
    again = pytester.runpytest_subprocess(backend, *options)

    written.assert_outcomes(failed=2)
    again.assert_outcomes(xfailed=2, deselected=again.parseoutcomes()["deselected"])
    tables = read("known.toml", pytester.path)
    assert [table["case"] for table in tables] == [
        "random_programs.random_programs",
        "rounding.any_range_is_unmapped_in_whole_pages",
    ]
    for entry in parse(tables):
        assert entry.program
        assert entry.program[-1].call == "munmap"


# ------------------------------------------------------------------------------------------------------------- writing


@WITH_WORKERS
def test_entries_written_from_a_run_apply_to_the_next(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    options = ["--mmap-expectations=sub/known.toml", *mode]

    first = judge("Bad", "--mmap-update-expectations", *options)
    assert first.ret == 1  # it is on record for later runs
    first.stdout.fnmatch_lines(
        [
            "sub/known.toml: added case mapping.aligned (fail)",
            "sub/known.toml: added case mapping.no_length[[]none[]] (fail)",
            "sub/known.toml: added case mapping.no_length[[]read[]] (fail)",
        ]
    )

    again = judge("Bad", "--mmap-update-expectations", *options)
    assert again.ret == 0
    again.stdout.fnmatch_lines(["nothing to write"])

    repaired = judge("Good", *options)
    assert repaired.ret == 1
    repaired.assert_outcomes(passed=2, failed=3)
    repaired.stdout.fnmatch_lines(["*passes, although on record as fail: *"])

    updated = judge("Good", "--mmap-update-expectations", *options)
    updated.stdout.fnmatch_lines(
        ["sub/known.toml: removed case mapping.aligned (fail: expected 0, but saw (6* % 4096)): it passes"]
    )
    assert judge("Good", *options).ret == 0
    assert (pytester.path / "sub/known.toml").read_text() == ""


KEPT = """\
# A file with remarks.

# about the first
[[expect]]
case = "files.content"  # beside it
verdict = "fail"
reason = '''
in words of
our own'''

# about the second
[[expect]]
clause = "map.size"
verdict = "unresolved"
reason = "it died"

# about the third
[[expect]]
case = "mapping.*"
verdict = "fail"
reason = "a pattern"
# the end
"""


def test_comments_reasons_and_order_are_kept(judge: Judge, pytester: pytest.Pytester) -> None:
    file = pytester.path / "known.toml"
    file.write_text(KEPT.replace("mapping.*", "mapping.aligned"))
    other = pytester.path / "other.toml"
    other.write_text('[[expect]]\ncase = "files.content_written"\nverdict = "fail"\nreason = "x"\n')

    result = judge(
        "Bad", "--mmap-update-expectations", "--mmap-expectations=known.toml", "--mmap-expectations=other.toml"
    )

    result.stdout.fnmatch_lines(
        [
            "known.toml: removed case files.content (fail: in words of our own): it passes",
            "other.toml: removed case files.content_written (fail: x): it passes",
            "other.toml: added case mapping.no_length[[]none[]] (fail)",
        ]
    )
    assert file.read_text() == KEPT.replace("mapping.*", "mapping.aligned").replace(
        """\
[[expect]]
case = "files.content"  # beside it
verdict = "fail"
reason = '''
in words of
our own'''
""",
        "",
    )
    assert other.read_text().count("[[expect]]") == 2
    assert judge("Bad", "--mmap-expectations=known.toml", "--mmap-expectations=other.toml").ret == 0


def test_pattern_is_left_unchanged(judge: Judge, pytester: pytest.Pytester) -> None:
    file = pytester.path / "known.toml"
    file.write_text(KEPT)

    result = judge("Known", "--mmap-update-expectations", "--mmap-expectations=known.toml")

    result.stdout.fnmatch_lines(
        [
            "known.toml: removed case files.content (fail: in words of our own): it passes",
            "known.toml, entry 3: left unchanged: case mapping.aligned passes, but 'mapping.[*]' may match others",
        ]
    )
    assert file.read_text().count("[[expect]]") == 2


def test_changed_verdict_is_updated(judge: Judge, pytester: pytest.Pytester) -> None:
    file = pytester.path / "known.toml"
    file.write_text('[[expect]]\ncase = "files.content" # its\nverdict = "fail"\nreason = "reason"\n')

    result = judge("Dies", "--mmap-update-expectations", "--mmap-expectations=known.toml")

    result.stdout.fnmatch_lines(["known.toml: changed case files.content: fail is now unresolved: the agent died"])
    assert file.read_text().startswith('[[expect]]\ncase = "files.content" # its\nverdict = "unresolved"\n')
    assert judge("Dies", "--mmap-expectations=known.toml").ret == 0


def test_xfail_marks_are_not_written(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine=f"""
        import pytest
        from {NAME}.testing import clause
        @pytest.mark.xfail(reason="by the mark")
        @clause("map.size")
        def test_passes(process): pass
        @pytest.mark.xfail(reason="by the mark")
        @clause("map.size")
        def test_fails(process): assert False
        """
    )

    result = judge("Known", "test_mine.py", "--mmap-update-expectations", "--mmap-expectations=known.toml", alone=True)

    result.assert_outcomes(failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["nothing to write"])
    assert not (pytester.path / "known.toml").exists()


def test_update_without_tomlkit_is_an_error(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys
        sys.modules["tomlkit"] = None
        """
    )

    result = judge("Good", "--mmap-update-expectations", "--mmap-expectations=known.toml", alone=True)

    assert result.ret == 4
    result.stderr.fnmatch_lines(["*needs tomlkit, which keeps comments: pip install tomlkit"])
