"""Workers of pytest-xdist that die: in every mode no case is lost or run twice, and the run ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from vendored import CASES, build

Judge = Callable[..., pytest.RunResult]

MODES = ["load", "loadscope", "loadfile", "loadgroup", "worksteal", "each"]

DYING = """
import os, pytest
from ..testing import clause

@clause("map.size")
@pytest.mark.parametrize("number", range(6))
def test_dying(process, number):
    with open("asked.txt", "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], number, file=file)
    if number in (0, 3, 5):
        os._exit(9)
"""
"""Six cases, of which the first, one in the middle and the last kill their worker."""


MANY = """
import pytest
from ..testing import clause

@clause("map.size")
@pytest.mark.parametrize("number", range(40))
def test_many(process, number):
    pass
"""


@pytest.fixture
def dying(tmp_path: Path) -> Path:
    """A copy of the suite with the cases of DYING."""
    return build(tmp_path / "library", {**CASES, "dying.py": DYING})


def verdicts(path: Path) -> list[dict[str, str]]:
    """Return the verdict on each case, for each run in the report."""
    document = json.loads(path.read_text())
    return [{case["id"]: case["verdict"] for case in run["cases"]} for run in document.get("runs", [document])]


@pytest.mark.parametrize("dist", MODES)
def test_each_case_runs_once_although_workers_die(
    judge: Judge, pytester: pytest.Pytester, dying: Path, dist: str
) -> None:
    result = judge("Good", "-n", "2", "--dist", dist, "--mmap-report=v.json", library=dying)

    expected = {f"dying.dying[{number}]": "unresolved" if number in (0, 3, 5) else "pass" for number in range(6)}
    expected |= {f"files.content{more}": "pass" for more in ("", "_written")}
    expected |= {f"mapping.{case}": "pass" for case in ("aligned", "no_length[none]", "no_length[read]")}
    asked = [line.split() for line in (pytester.path / "asked.txt").read_text().splitlines()]
    times = 2 if dist == "each" else 1
    assert verdicts(pytester.path / "v.json") == [expected] * times
    assert sorted(number for _, number in asked) == sorted([*"012345"] * times)
    assert result.ret == 1
    result.assert_outcomes(passed=8 * times, errors=3 * times)


@pytest.mark.parametrize("dist", MODES)
def test_worker_dies_just_before_it_receives_more(judge: Judge, pytester: pytest.Pytester, dist: str) -> None:
    when = 2 if dist in ("load", "loadgroup") else 1  # in other modes a worker receives all its cases together
    pytester.makeconftest(
        f"""
        import os
        from pathlib import Path
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if worker:
            Path(worker).write_text(str(os.getpid()))
        def pytest_configure_node(node):
            if node.gateway.id == "gw0":
                send, given = node.send_runtest_some, []
                def send_runtest_some(indices):
                    given.append(indices)
                    if len(given) == {when}:
                        pid = int(Path("gw0").read_text())
                        os.kill(pid, 9)
                        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                        Path("died").touch()
                    send(indices)
                node.send_runtest_some = send_runtest_some
        """
    )
    cases = {"many.py": MANY, **CASES}
    result = judge("Good", "-n", "2", "--dist", dist, "--mmap-report=v.json", library=build(pytester.path / "b", cases))

    assert (pytester.path / "died").exists()
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    for run in verdicts(pytester.path / "v.json"):
        assert len(run) == 45
        assert sum(verdict == "unresolved" for verdict in run.values()) <= 1  # the one in which it died


@pytest.mark.parametrize("dist", MODES)
def test_remaining_cases_are_unresolved_without_workers(
    judge: Judge, pytester: pytest.Pytester, dying: Path, dist: str
) -> None:
    options = ["-n", "1", "--max-worker-restart=0"]
    judge("Good", *options, "--dist", dist, "--mmap-report=v.json", library=dying)

    (run,) = verdicts(pytester.path / "v.json")
    assert len(run) == 11
    assert set(run.values()) == {"unresolved"}  # the first case has killed the only worker


def test_each_worker_judges_a_system_of_its_own(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import os
        from subjects import Known
        from third_party.mm.contract import Facts
        class Mine(Known):
            def facts(self):
                return Facts("mine", os.environ.get("PYTEST_XDIST_WORKER", "controller"), {"kernel": "Toy 4"})
        def pytest_mmapconf_backends():
            return {"mine": Mine}
        """
    )
    each = judge("", "--mmap-backend=mine", "-n", "2", "--dist", "each", "--mmap-report=each.json")
    load = judge("", "--mmap-backend=mine", "-n", "2", "--mmap-report=load.json")

    assert each.ret == 0
    each.stdout.fnmatch_lines(["=* mmap conformance: gw0, backend mine gw0, kernel Toy 4 =*"])
    each.stdout.fnmatch_lines(["=* mmap conformance: gw1, backend mine gw1, kernel Toy 4 =*"])
    statements = [line for line in each.outlines if "conforms" in line]
    assert statements == [f"gw{number}: conforms to level documented: 3 pass" for number in range(2)]
    runs = json.loads((pytester.path / "each.json").read_text())["runs"]
    assert [(run["backend"]["version"], run["backend"]["worker"]) for run in runs] == [("gw0", "gw0"), ("gw1", "gw1")]
    assert load.ret == 1
    load.stdout.fnmatch_lines(["no statement: workers judged backend mine gw?, kernel Toy 4, and backend mine gw?, *"])
