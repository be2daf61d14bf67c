"""grading: the tables of points, the points of a report, the table of a class, and the command."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import lab_kernel
import pytest
from runs import EINVAL, FLUSH, RANGE, case, run

from pytest_mmapconf.__main__ import main
from pytest_mmapconf.catalogue.verdicts import CaseResult
from pytest_mmapconf.contract import Facts
from pytest_mmapconf.data_files import ready_made
from pytest_mmapconf.grading.grade import Grade, NoGrade, check, counted_cases, grade
from pytest_mmapconf.grading.points import PointsError, Row, load, parse
from pytest_mmapconf.grading.table import as_csv, as_html, as_text
from pytest_mmapconf.report.json_report import document

ROWS = (Row("munmap", 60, (RANGE, EINVAL)), Row("msync", 40, ("msync.*",)))
MODEL = run(case("a"), case("b"), case("c", EINVAL), case("d", FLUSH), case("e", FLUSH), case("f", FLUSH))
COUNTED = counted_cases([MODEL])
FAILING: dict[str, Any] = {"verdict": "fail", "cause": {"call": "munmap", "answer": "EINVAL"}}


def test_a_perfect_solution_has_all_points() -> None:
    assert grade(MODEL, ROWS, COUNTED).total == 100


def test_clauses_count_alike_whatever_the_number_of_their_cases() -> None:
    found = grade(run(case("a", **FAILING), case("b"), case("c", EINVAL)), ROWS[:1], COUNTED)

    assert found.earned == {"munmap": 45}
    assert [(loss.points, loss.row, loss.cause, loss.cases) for loss in found.losses] == [
        (15, "munmap", "munmap → EINVAL", ("a",))
    ]


def test_one_cause_costs_points_in_one_row() -> None:
    found = grade(run(case("a", **FAILING), case("b"), case("c", EINVAL), *syncs(1)), ROWS, COUNTED)

    assert found.earned == {"munmap": 45, "msync": 40}


def test_a_row_that_mostly_fails_earns_what_it_passes() -> None:
    found = grade(
        run(case("a", **FAILING), case("b", **FAILING), case("c", EINVAL, **FAILING), *syncs(2)), ROWS, COUNTED
    )

    assert found.earned["munmap"] == 0
    assert found.earned["msync"] == pytest.approx(40 / 3)


def syncs(number: int) -> list[CaseResult]:
    """Return three cases of msync, of which that many fail."""
    return [case(id, FLUSH, **(FAILING if at < number else {})) for at, id in enumerate("def")]


def test_unresolved_cases_are_a_column_of_their_own() -> None:
    found = grade(run(case("a", verdict="unresolved"), case("b"), case("c", EINVAL)), ROWS[:1], COUNTED)

    assert (found.total, found.open, found.unresolved) == (45, 15, 1)


def test_cases_that_the_model_does_not_pass_do_not_count() -> None:
    assert grade(run(case("a"), case("z", verdict="fail"), case("c", EINVAL)), ROWS[:1], COUNTED).total == 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row", "x: not TOML"),
        ("", "x: must have tables [[row]]"),
        ("other = 1", "x: must have tables [[row]]"),
        ('[[row]]\nname = "a"', "x: row 1: must have name, points, clauses"),
        ('[[row]]\nname = ""\npoints = 1\nclauses = ["mmap.*"]', "x: row 1: name is not text"),
        ('[[row]]\nname = "a"\npoints = 0\nclauses = ["mmap.*"]', "x: row 1: points is not a number above 0"),
        ('[[row]]\nname = "a"\npoints = nan\nclauses = ["mmap.*"]', "x: row 1: points is not a number above 0"),
        ('[[row]]\nname = "a"\npoints = true\nclauses = ["mmap.*"]', "x: row 1: points is not a number above 0"),
        ('[[row]]\nname = "a"\npoints = 1\nclauses = []', "x: row 1: clauses is not a list of texts"),
        ('[[row]]\nname = "a"\npoints = 1\nclauses = ["munmap.rnage"]', "did you mean munmap.range"),
        ('[[row]]\nname = "a"\npoints = 1\nclauses = ["mmap.*"]\n' * 2, "x: there are two rows 'a'"),
    ],
)
def test_an_invalid_table_of_points_is_an_error(text: str, message: str) -> None:
    with pytest.raises(PointsError, match=re.escape(message)):
        parse(text, "x")


@pytest.mark.parametrize("name", ready_made("pytest_mmapconf.grading", "points"))
def test_ready_made_tables_give_100_points(name: str) -> None:
    assert sum(row.points for row in load(name)) == 100


def test_tables_of_a_class() -> None:
    students: dict[str, Grade | str] = {
        "ada": grade(MODEL, ROWS, COUNTED),
        "<b>": Grade({"munmap": 1, "msync": 2}, (), 3, 4),
        "=1": "empty",
    }

    text, page = as_text(students, ROWS), as_html(students, ROWS)
    table = list(csv.reader(as_csv(students, ROWS).splitlines()))

    assert table[0] == ["student", "munmap (60)", "msync (40)", "grade (100)", "open", "remark"]
    assert table[1] == ["ada", "60.0", "40.0", "100.0", "0.0", ""]
    assert table[2] == ["<b>", "1.0", "2.0", "3.0", "3.0", "4 unresolved"]
    assert table[3] == ["'=1", "", "", "", "", "no grade: empty"]
    assert [line.split()[0] for line in text.splitlines()] == ["student", "ada", "<b>", "=1"]
    assert "<td>&lt;b&gt;</td>" in page


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (run(case("a"), name="reference"), "it judges reference, which comes with the suite"),
        (run(case("a"), name="mutant:x"), "it judges mutant:x, which comes with the suite"),
        (run(case("a"), narrowed=True), "cases were left out"),
        (run(case("a"), shards=(1,), shard_count=2), "cases were left out"),
        (run(), "no case could be judged"),
        (run(case("a", verdict="unresolved")), "no case could be judged"),
    ],
)
def test_reports_that_have_no_grade(of: object, why: str) -> None:
    with pytest.raises(NoGrade, match=why):
        check(of, "")  # type: ignore[arg-type]


def test_a_report_of_another_scope_has_no_grade() -> None:
    with pytest.raises(NoGrade, match="made with no --mmap-scope, not with --mmap-scope=mmap-lab"):
        check(MODEL, "mmap-lab")


def test_the_command_never_ends_with_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ada.json").write_text(json.dumps(document(MODEL)))
    (tmp_path / "bob.json").write_text("")
    (tmp_path / "points.toml").write_text('[[row]]\nname = "m"\npoints = 9\nclauses = ["munmap.range"]')
    files = [str(tmp_path / name) for name in ("ada.json", "bob.json", "missing.json")]

    status = main(["grade", "--points", str(tmp_path / "points.toml"), *files, "-o", str(tmp_path / "class.csv")])

    assert status == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["ada", "9.0", "9.0", "0.0"]
    assert "bob" in lines[2]
    assert "no grade: it is empty" in lines[2]
    assert "no grade: cannot be read: No such file or directory" in lines[3]
    assert (tmp_path / "class.csv").read_text().startswith("student,m (9),")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--points", "mmaplab", "x.json"], "grade: mmaplab: there is no such file, and no table of that name"),
        (["--points", "mmap-lab", "x.json", "-o", "x.pdf"], "grade: -o x.pdf: there is no table of that kind"),
        (["--points", "mmap-lab", "x.json", "--model", "y.json"], "grade: cannot be read"),
    ],
)
def test_an_invalid_argument_is_an_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grade", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def class_reports(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with the reports of a right solution and of the twelve with a mistake."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("class")
    for kind in (lab_kernel.LabProcess, *lab_kernel.STUDENTS):
        backend = f"--mmap-backend=python:lab_kernel:{kind.__name__}Backend"
        report = f"--mmap-report={folder / kind.__name__}.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not mmap_tour",
            backend,
            report,
        ]
        here = Path(lab_kernel.__file__).parent
        done = subprocess.run([*command, "--mmap-scope=mmap-lab"], cwd=here, capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stdout
    return folder


def test_a_class_of_thirty(class_reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The right solution has all points; what breaks more of the lab costs more."""
    names = sorted(path.stem for path in class_reports.glob("*.json"))
    files = []
    for number in range(30):
        file = tmp_path / f"{number:02}-{names[number % len(names)]}.json"
        file.write_text((class_reports / f"{names[number % len(names)]}.json").read_text())
        files.append(str(file))

    status = main(["grade", "--scope", "mmap-lab", "--points", "mmap-lab", *files, "-o", str(tmp_path / "class.csv")])

    assert status == 0, capsys.readouterr()
    rows = list(csv.DictReader((tmp_path / "class.csv").read_text().splitlines()))
    points = {row["student"][3:]: float(row["grade (100)"]) for row in rows}
    assert len(rows) == 30
    assert points.pop("LabProcess") == 100
    assert max(points.values()) < 100
    assert min(points, key=lambda name: points[name]) == "FirstStoreDies"
    for grave in ("WritesBackFirstKilobyte", "ForbiddenStorePanics", "UnmapsLastPageOnly"):
        for slight in ("UnmapAtEndDoesNothing", "SecondMappingUnaligned", "WriteBackLengthensFile"):
            assert points[grave] < points[slight]


def test_own_backends_are_recognized_through_an_agent() -> None:
    served = run(case("a"))
    facts = Facts("agent:python -m pytest_mmapconf.agent.serve pytest_mmapconf.reference.backend:ReferenceBackend")

    with pytest.raises(NoGrade, match="comes with the suite"):
        check(served.__class__(**{**vars(served), "facts": facts}), "")
