"""The plugin as a user sees it: options, output, exit status and reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from vendored import CASES, NAME, build

Judge = Callable[..., pytest.RunResult]

DOCUMENTED = {
    "files.content": "pass",
    "files.content_written": "pass",
    "mapping.aligned": "pass",
    "mapping.no_length[none]": "pass",
    "mapping.no_length[read]": "pass",
}


def cases(report: Path) -> dict[str, str]:
    """Return the verdict on each case in a JSON report."""
    document = json.loads(report.read_text())
    return {case["id"]: case["verdict"] for case in document["cases"] if case["clauses"]}


def clauses(report: Path) -> dict[str, str]:
    """Return the verdict on each clause in a JSON report."""
    return {clause["id"]: clause["verdict"] for clause in json.loads(report.read_text())["clauses"]}


def test_location_of_a_case_is_pytests_own(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        def pytest_collection_finish(session):
            for item in session.items:
                assert item.location == pytest.Item.location.func(item)
        """
    )
    judge("Good").assert_outcomes(passed=5)


# ------------------------------------------------------------------------------------------------- without the option


def test_without_the_option_nothing_is_imported(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        f"""
        import sys
        def pytest_sessionfinish(session):
            modules = sorted(name for name in sys.modules if name.startswith({NAME!r}))
            heavy = [name for name in ("hypothesis", "ctypes", "sortedcontainers", "tomllib") if name in sys.modules]
            plugins = [name for name, _ in session.config.pluginmanager.list_name_plugin() if name.startswith({NAME!r})]
            print("\\nimported", *modules, "and", *heavy, "and", *plugins)
        """
    )
    pytester.makepyfile("def test_mine(): pass")

    result = judge("", "-s", "--strict-markers", "-p", "no:xdist", alone=True)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"imported {NAME} {NAME}.plugin {NAME}.plugin.hookspecs and and {NAME}.plugin"])
    assert "mmap" not in result.stdout.str().replace(NAME, "")


def test_without_the_option_there_are_no_fixtures(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(process): pass")

    result = judge("")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'process' not found"])


def test_markers_are_registered(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.clause("map.size")
        @pytest.mark.mmap_random
        @pytest.mark.mmap_crash
        def test_mine(): pass
        """
    )

    judge("", "--strict-markers").assert_outcomes(passed=1)


# ------------------------------------------------------------------------------------------- collection and verdicts


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param([], id="plain"),
        pytest.param(["-p", "no:xdist"], id="no-xdist"),
        pytest.param(["-n", "2"], id="two-workers"),
        pytest.param(["-n", "2", "--dist", "worksteal"], id="worksteal"),
        pytest.param(["-n", "2", "--dist", "loadfile"], id="loadfile"),
        pytest.param(["-p", "no:cacheprovider", "-q"], id="quiet"),
        pytest.param(["--setup-show"], id="pytest-creates-the-fixtures"),
    ],
)
def test_without_paths_the_installed_cases_run(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.makepyfile("def test_mine(): assert False, 'the user named no file'")

    result = judge("Good", "--mmap-report=out/verdicts.json", *mode)

    result.assert_outcomes(passed=5)
    assert result.ret == 0
    assert cases(pytester.path / "out/verdicts.json") == DOCUMENTED
    result.stdout.fnmatch_lines(["conforms to level documented: 3 pass"])


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_defect_fails_its_clauses(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    result = judge("Bad", "--mmap-report=v.json", *mode)

    result.assert_outcomes(passed=2, failed=3)
    assert result.ret == 1
    assert clauses(pytester.path / "v.json") == {"map.size": "fail", "map.address": "fail", "file.content": "pass"}
    result.stdout.fnmatch_lines(
        [
            "*= FAILURES =*",
            "*- address space of process -*",
            "mapped up to 0x*",
            "FAILED conformance/mapping.py::test_no_length*",
            "  map.size     expected EINVAL, but the call succeeded (all 2 cases)",
            "mmap → success: 2 cases of 1 clause",
            "mmap → another address: 1 case of 1 clause",
            "does not conform to level documented: 1 pass, 2 fail",
        ]
    )


def test_missing_call_is_unsupported(judge: Judge, pytester: pytest.Pytester) -> None:
    result = judge("NoFiles", "--mmap-report=v.json", "-rs")

    result.assert_outcomes(passed=3, skipped=2)
    assert result.ret == 0
    assert clauses(pytester.path / "v.json")["file.content"] == "unsupported"
    result.stdout.fnmatch_lines(
        [
            "SKIPPED * *files.py:*: unsupported: the backend has no open",
            "unsupported",
            "  the backend has no open:",
            "      file.content",
            "conforms to level documented: 2 pass, 1 unsupported",
        ]
    )


def test_run_without_supported_case_fails(judge: Judge) -> None:
    result = judge("Nothing")

    result.assert_outcomes(skipped=5)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["no case could run: every case is unsupported"])


def test_run_without_cases_has_pytests_own_status(judge: Judge) -> None:
    assert judge("Good", "-k", "no_such_case").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("subject", "reason", "mode"),
    [
        pytest.param("Dies", "the agent died", [], id="in-the-call"),
        pytest.param("Dies", "the agent died", ["-n", "2"], id="in-the-call-of-a-worker"),
        pytest.param("CannotSetUp", "cannot make the file file-1: [Errno 28] full", [], id="a-file-cannot-be-made"),
    ],
)
def test_unresolved_is_an_error(
    judge: Judge, pytester: pytest.Pytester, subject: str, reason: str, mode: list[str]
) -> None:
    result = judge(subject, "--mmap-report=v.json", *mode)

    result.assert_outcomes(passed=3, errors=2)
    assert result.ret == 1
    document = json.loads((pytester.path / "v.json").read_text())
    result_of_clause = next(clause for clause in document["clauses"] if clause["id"] == "file.content")
    assert (result_of_clause["verdict"], result_of_clause["reason"]) == ("unresolved", reason)
    result.stdout.fnmatch_lines(["unresolved", f"  file.content  {reason.replace('[', '[[]')[:40]}*"])


def test_case_whose_system_cannot_be_closed_is_unresolved(judge: Judge, pytester: pytest.Pytester) -> None:
    result = judge("NotClosing", "--mmap-report=v.json", "-k", "aligned")

    result.assert_outcomes(passed=1, errors=1, deselected=4)
    assert cases(pytester.path / "v.json") == {"mapping.aligned": "unresolved"}


@pytest.mark.parametrize(
    ("subject", "verdicts"),
    [
        pytest.param("Crashes", {**DOCUMENTED, "files.content": "unresolved", "files.content_written": "unresolved"}),
        pytest.param("CrashesAtBirth", {**DOCUMENTED, "mapping.aligned": "unresolved"}),
    ],
)
def test_case_that_kills_its_worker_keeps_its_clause(
    judge: Judge, pytester: pytest.Pytester, subject: str, verdicts: dict[str, str]
) -> None:
    class_of = "NotAsking" if subject == "CrashesAtBirth" else subject
    pytester.makepyfile(
        quiet="""
        from subjects import *
        class CrashesAtBirth(CrashesAtBirth): pass
        class NotAsking(Backend):
            def boot(self):
                class One(System):
                    def spawn(self): return CrashesAtBirth()
                return One()
        """
    )
    place = "python:quiet:NotAsking" if class_of == "NotAsking" else f"python:subjects:{subject}"

    judge("", f"--mmap-backend={place}", "-n", "1", "--mmap-report=v.json")

    assert cases(pytester.path / "v.json") == verdicts


def test_xfail_marks_are_deviations_on_record(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine="""
        import pytest
        from third_party.mm.contract import Unresolved
        from third_party.mm.testing import clause

        @clause("map.size")
        @pytest.mark.xfail(reason="known")
        def test_deviates(process): assert process.top == 0

        @clause("map.address")
        @pytest.mark.xfail(reason="known no more")
        def test_holds(process): pass

        @clause("file.content")
        @pytest.mark.xfail(reason="says nothing of this")
        def test_died(process): raise Unresolved("died")

        @clause("file.content")
        @pytest.mark.xfail(reason="says nothing of this")
        def test_lacks(process): process.munmap(0, 0)

        @clause("file.content")
        @pytest.mark.xfail(strict=True, reason="strictly known no more")
        def test_strictly(process): pass

        @clause("map.size")
        def test_not_now(process): pytest.skip("not on Sundays")

        @clause("map.size")
        def test_now_it_is_known(process): pytest.xfail("known in time")
        """
    )

    result = judge("Good", "test_mine.py", "--mmap-report=v.json")

    assert cases(pytester.path / "v.json") == {
        "test_mine.deviates": "expected",
        "test_mine.holds": "fail",
        "test_mine.died": "unresolved",
        "test_mine.lacks": "unsupported",
        "test_mine.strictly": "fail",
        "test_mine.not_now": "unsupported",
        "test_mine.now_it_is_known": "expected",
    }
    result.assert_outcomes(xfailed=2, failed=2, errors=1, skipped=2)
    result.stdout.fnmatch_lines(["  map.address   passes, although a deviation is on record: known no more*"])


def test_not_implemented_error_fails_an_ordinary_test(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_mine="def test_ordinary(): raise NotImplementedError('mine')\ndef test_fine(): pass")

    result = judge("Good", "test_mine.py")

    result.assert_outcomes(failed=1, passed=1)
    assert "mmap conformance" not in result.stdout.str()


# -------------------------------------------------------------------------------------------------- the user's cases

MINE = """
import pytest
from third_party.mm.testing import clause

@clause("map.address")
@pytest.mark.parametrize("pages", [1, 2])
def test_more(process, page, pages):
    assert process.mmap(0, pages * page, 0, 0x22, -1, 0) % page == 0

def test_without_clause(system):
    assert system.spawn()

def test_ordinary():
    pass

class TestGroup:
    @clause("file.linux")
    def test_in_a_class(self, process, file, request):
        assert request.getfixturevalue("process") is process
        assert file(b"", 0, "a-name") == 3
"""


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_cases_of_the_user(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.makepyfile(test_mine=MINE)

    result = judge("Good", "--mmap-level=linux", "test_mine.py", "--mmap-report=v.json", *mode)

    result.assert_outcomes(passed=5)
    assert cases(pytester.path / "v.json") == {
        "test_mine.more[1]": "pass",
        "test_mine.more[2]": "pass",
        "test_mine.TestGroup.in_a_class": "pass",
    }
    assert json.loads((pytester.path / "v.json").read_text())["totals"]["cases"]["pass"] == 4
    result.stdout.fnmatch_lines(["partial run: 2 of 5 clauses of level linux asked: 2 pass"])


def test_fixtures_of_the_user_work_with_the_plugins(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine="""
        import pytest

        @pytest.fixture
        def mapping(process, page):
            return process, process.mmap(0, page, 0, 0x22, -1, 0)

        @pytest.fixture
        def page(page):
            return page * 2

        @pytest.fixture
        def twice(request):
            return request.param * 2

        @pytest.mark.parametrize("twice", [3], indirect=True)
        def test_indirect(process, twice):
            assert twice == 6

        @pytest.mark.parametrize("page", [8192])
        def test_parameter_of_that_name(process, page, new_path):
            assert page == 8192
            assert [new_path(), new_path()] == ["file-1", "file-2"]

        def test_same_process(process, mapping, page):
            assert mapping[0] is process
            assert page == 8192
        """
    )

    judge("Good", "test_mine.py").assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_unknown_clause_is_an_error(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.makepyfile(test_mine=MINE.replace("map.address", "map.adress"))

    result = judge("Good", "test_mine.py", *mode)

    assert result.ret != 0
    result.stdout.fnmatch_lines(
        ["*case test_mine.more[[]1]: there is no clause 'map.adress'; did you mean map.address*"]
    )


def test_installed_case_without_clause_is_an_error(judge: Judge, tmp_path: Path) -> None:
    changed = build(tmp_path / "lib", {**CASES, "third.py": "def test_nameless(process): pass"})

    result = judge("Good", library=changed)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*case third.nameless: names no clause*"])


# ------------------------------------------------------------------------------------------------ the user's project


@pytest.mark.parametrize(
    ("ini", "mode"),
    [
        ("python_files = check_*.py\npython_functions = check_*\npython_classes = Check*", []),
        ("python_files = *.py", []),
        ("norecursedirs = conformance third_party *", []),
        ("testpaths = tests\naddopts = --strict-markers --import-mode=importlib\nfilterwarnings = error", []),
        ("testpaths = tests\naddopts = --strict-markers --import-mode=importlib\nfilterwarnings = error", ["-n", "2"]),
    ],
    ids=["other-names", "every-file", "norecursedirs", "testpaths", "testpaths-two-workers"],
)
def test_ini_file_does_not_change_the_installed_cases(
    judge: Judge, pytester: pytest.Pytester, ini: str, mode: list[str]
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.mkdir("tests")
    pytester.makepyfile(**{"tests/test_mine": "def test_mine(): assert False"})

    judge("Good", "--mmap-report=v.json", *mode)

    assert cases(pytester.path / "v.json") == DOCUMENTED


def test_copy_inside_the_users_own_tree(judge: Judge, pytester: pytest.Pytester) -> None:
    """Each case is collected once, although a directory above is named and the user's python_files match the cases."""
    pytester.makeini("[pytest]\npython_files = *.py\n")
    inside = build(pytester.path / "libs")

    result = judge("Good", "libs/third_party/mm/conformance", "--mmap-report=v.json", library=inside)

    result.assert_outcomes(passed=5)
    assert cases(pytester.path / "v.json") == DOCUMENTED


def test_file_or_printed_node_id_selects_cases(judge: Judge, pytester: pytest.Pytester, library: Path) -> None:
    directory = library / "third_party/mm/conformance"
    by_path = judge("Good", f"{directory}/files.py", "--rootdir=.", "-v")  # the file is outside the root directory
    by_node = judge("Good", "conformance/mapping.py::test_no_length[read]", "-v")

    by_path.stdout.fnmatch_lines(["conformance/files.py::test_content PASSED*"])
    by_path.assert_outcomes(passed=2)
    by_node.stdout.fnmatch_lines(["conformance/mapping.py::test_no_length[[]read] PASSED*", "partial run: 1 of 3 *"])
    by_node.assert_outcomes(passed=1)


def test_assertions_of_installed_cases_are_explained(judge: Judge) -> None:
    judge("Bad", "-k", "aligned").stdout.fnmatch_lines(["E       assert (6* % 4096) == 0"])


def test_collect_only_starts_nothing(judge: Judge, pytester: pytest.Pytester) -> None:
    result = judge("NotStarting", "--collect-only", "-q", "--mmap-report=v.json")

    assert result.ret == 0
    assert result.outlines[:2] == ["conformance/files.py::test_content", "conformance/files.py::test_content_written"]
    assert not (pytester.path / "v.json").exists()


@pytest.mark.parametrize("mode", [["--setup-only"], ["--setup-plan"], ["--setup-only", "-n", "2"]], ids="-".join)
def test_cases_that_are_only_set_up_are_not_judged(judge: Judge, pytester: pytest.Pytester, mode: list[str]) -> None:
    result = judge("Bad", "--mmap-report=v.json", *mode)

    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert not [line for line in result.outlines if "pass" in line]
    assert not (pytester.path / "v.json").exists()


def test_junit_report_counts_cases(judge: Judge, pytester: pytest.Pytester) -> None:
    judge("Bad", "--junitxml=j.xml", "-n", "2")

    text = (pytester.path / "j.xml").read_text()
    assert 'tests="5"' in text
    assert 'failures="3"' in text


def test_run_causes_no_python_warnings(judge: Judge) -> None:
    judge("Good", "-W", "error").assert_outcomes(passed=5)


# --------------------------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("options", "there"),
    [
        (["--mmap-level=posix"], {"map.size", "map.address", "file.content", "file.end"}),
        (["--mmap-level=linux"], {"map.size", "map.address", "file.content", "file.end", "file.linux"}),
        (["--mmap-clause=map.*"], {"map.size", "map.address"}),
        (["--mmap-clause=*.size", "--mmap-clause=file.*"], {"map.size", "file.content"}),
        (["--mmap-clause=*.size", "--mmap-clause=file.*", "-n", "2"], {"map.size", "file.content"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_level_and_clause_options_select_clauses(
    judge: Judge, pytester: pytest.Pytester, options: list[str], there: set[str]
) -> None:
    judge("Good", "--mmap-report=v.json", *options)

    assert set(clauses(pytester.path / "v.json")) == there


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "not read"],
        ["-k", "not read", "-n", "2"],
        ["-m", "not parametrize"],
        ["--deselect", "conformance/files.py::test_content"],
        ["-x"],
    ],
    ids="_".join,
)
def test_partial_run_makes_no_conformance_statement(judge: Judge, options: list[str]) -> None:
    """In each of these runs but -x every clause has a case that runs, but not all its cases run."""
    result = judge("Bad" if options == ["-x"] else "Good", *options)

    result.stdout.fnmatch_lines(["partial run: *"])
    result.stdout.no_fnmatch_line("*conform*s to level*")


# ------------------------------------------------------------------------------------------------------ the ini file


def test_ini_file_has_all_options(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        mmap_backend = python:subjects:Known
        mmap_level = linux
        mmap_clause = map.* file.linux
        mmap_timeout = 2.5
        mmap_start_timeout = 50
        mmap_dir = .
        mmap_disruptive = true
        mmap_report = v.json other/w.json
        """
    )

    result = judge("")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["mmapconf *: backend known 7.1, kernel Toy 3, page 4096, level linux, seed *"])
    expected = {"map.size": "pass", "map.address": "pass", "file.linux": "pass"}
    assert clauses(pytester.path / "v.json") == clauses(pytester.path / "other/w.json") == expected
    options = f"Options(directory={str(pytester.path)!r}, timeout=2.5, start_timeout=50.0, disruptive=True)"
    assert (pytester.path / "closed.txt").read_text() == f"closed {options}\n"


def test_command_line_overrides_the_ini_file(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmmap_backend = no-such\nmmap_level = linux\n")

    result = judge("Known", "--mmap-level=documented", "--mmap-timeout=1")

    result.stdout.fnmatch_lines(["conforms to level documented: 3 pass"])


def test_each_process_closes_its_backend_once(judge: Judge, pytester: pytest.Pytester) -> None:
    judge("Known", "-n", "2")

    assert len((pytester.path / "closed.txt").read_text().splitlines()) == 3


# ---------------------------------------------------------------------------------------------------- invalid values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mmap-backend=nativ"], "no such backend; did you mean native? *"),
        (["--mmap-backend="], "no such backend; there are *"),
        (
            ["--mmap-backend=python:nowhere:Mine"],
            "cannot import nowhere: ModuleNotFoundError: *add that directory to PYTHONPATH",
        ),
        (["--mmap-backend=python:subjects:Goof"], "subjects (*) has no Goof; did you mean Good*?"),
        (["--mmap-backend=python:subjects:NotStarting"], "cannot start: no such machine\nbuy one"),
        (["--mmap-level=posicks"], "no such level; did you mean posix?"),
        (["--mmap-level=9"], "no such level; there are: documented, posix, linux"),
        (["--mmap-clause=map.adress"], "no clause matches; did you mean map.address or map.size?"),
        (["--mmap-clause=file.lin*"], "file.linux needs --mmap-level=linux"),
        (["--mmap-level=posicks", "-n", "2"], "no such level; did you mean posix?"),
        (["--mmap-backend=python:subjects:NotStarting", "-n", "2"], "cannot start: no such machine"),
        (["--mmap-timeout=soon"], "must be a number of seconds above 0, such as 30 or 0.5*"),
        (["--mmap-timeout=-1"], "must be a number of seconds above 0, such as 30 or 0.5*"),
        (["--mmap-timeout=inf"], "must be a number of seconds above 0, such as 30 or 0.5*"),
        (["--mmap-timeout=1e9"], "must be a number of seconds above 0, such as 30 or 0.5, and at most 86400"),
        (["--mmap-steps=0"], "must be a whole number from 1 to *, such as 100000"),
        (["--mmap-steps=-5"], "must be a whole number from 1 to *"),
        (["--mmap-steps=1e6"], "must be a whole number from 1 to *"),
        (["--mmap-steps=99999999999999999"], "must be a whole number from 1 to *"),
        (
            ["--mmap-dir=/proc"],
            "no file can be created there (*); name a directory *",
        ),
        (["--mmap-dir=nowhere"], "is not a directory"),
        (["--mmap-report=/dev/null/v.json"], "cannot be written: its directory is a file"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_invalid_values(judge: Judge, options: list[str], message: str) -> None:
    result = judge("Good", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"ERROR: {options[0]}: {message}".splitlines())
    assert "created" not in result.stdout.str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mmap-level=linux"], "--mmap-level: does nothing without --mmap-backend=BACKEND, *"),
        (["--mmap-lockstep"], "--mmap-lockstep: does nothing without --mmap-backend=BACKEND, *"),
        (["--mmap-report", "x.json", "--mmap-steps=5"], "--mmap-report, --mmap-steps: do nothing without *"),
        (["--mmap-list-clauses", "--mmap-dir=."], "--mmap-dir: does nothing with a list, which runs no case"),
        (
            ["--mmap-backend=python:subjects:Good", "--mmap-steps=9", "--mmap-replay=x.json"],
            "--mmap-steps: does nothing with --mmap-replay, which runs one program in lockstep and no case",
        ),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_option_without_effect_is_an_error(
    judge: Judge, pytester: pytest.Pytester, options: list[str], message: str
) -> None:
    pytester.makepyfile("def test_mine(): pass")

    result = judge("", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_options_of_the_project_are_allowed_in_every_run(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        addopts = ["--mmap-level=posix"]
        mmap_clause = ["file.*"]
        """
    )
    pytester.makepyfile("def test_mine(): pass")

    judge("").assert_outcomes(passed=1)
    judge("Known").stdout.fnmatch_lines(["partial run: 2 of 4 clauses of level posix asked: *"])


def test_project_that_always_judges_the_same(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        mmap_backend = "python:subjects:Known"
        mmap_level = "posix"
        mmap_report = ["v.json"]
        """
    )

    result = judge("")

    result.stdout.fnmatch_lines(["conforms to level posix: 4 pass"])
    assert (pytester.path / "v.json").exists()


def test_clauses_of_other_levels_that_match_are_named(judge: Judge) -> None:
    result = judge("Good", "--mmap-clause=file.*", "-q")

    result.stdout.fnmatch_lines(
        ["--mmap-clause matches 2 more clauses above level documented: --mmap-level=linux asks them too"]
    )


# ----------------------------------------------------------------------------------------------------------- listing


def test_list_clauses(judge: Judge) -> None:
    result = judge("", "--mmap-list-clauses", "--mmap-level=posix", "--mmap-clause=file.*")

    assert result.ret == 0
    assert result.outlines == [
        "file.content  documented  A file holds what was written.",
        "file.end      posix       Nothing is read past the end.",
    ]


def test_list_backends_names_those_of_a_conftest(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_mmapconf_backends():
            from subjects import Known
            return {"toy": Known}
        """
    )

    listed = judge("", "--mmap-list-backends")
    run = judge("", "--mmap-backend=toy", "-n", "2")

    assert {"native", "reference", "toy"} <= set(listed.outlines)
    assert any(line.startswith("python:MODULE:FACTORY ") for line in listed.outlines)
    run.assert_outcomes(passed=5)


def test_hook_may_not_return_a_name_of_the_suite(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_mmapconf_backends(): return {'native': object}")

    result = judge("Good")

    assert result.ret == 0  # the run does not look up names of the hook
    result = judge("", "--mmap-backend=native")
    result.stderr.fnmatch_lines(["ERROR: pytest_mmapconf_backends: the name 'native' is taken"])
