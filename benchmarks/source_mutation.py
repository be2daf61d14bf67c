"""Mutation of the reference's source by cosmic-ray: does anything notice, whatever token is wrong?

    python benchmarks/source_mutation.py [--sample 200] [--seed 4] [--workers 2]

Each mutant is judged by the deterministic cases at level linux and by the reference's unit tests (judge.py). There
are many thousands, so a sample is drawn: at random from the seed, at most one at each place in the source, none in an
annotation, which nothing evaluates. Each worker has copies of package and tests, where cosmic-ray changes the source.
What survives is printed as a difference; docs/source-mutation.md says what was thought of each that has survived.
"""

from __future__ import annotations

import argparse
import ast
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from random import Random

PROJECT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"__init__.py", "mutant.py", "picture.py"}
"""Of reference/: what makes mutants and what draws, beside what decides."""

CONFIGURATION = """
[cosmic-ray]
module-path = {modules}
timeout = {timeout}
excluded-modules = []
test-command = "{python} -P judge.py"

[cosmic-ray.distributor]
name = "local"
"""


def unevaluated(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where, in lines and columns, the annotations of a module reach."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found.append(node.returns)
    return [((a.lineno, a.col_offset), (a.end_lineno or 0, a.end_col_offset or 0)) for a in found if a]


def draw(session: sqlite3.Connection, size: int, seed: int) -> list[str]:
    """The mutants of the sample, the same for the same source and version of cosmic-ray."""
    rows = session.execute(
        "SELECT module_path, start_pos_row, start_pos_col, operator_name, occurrence, operator_args, job_id "
        "FROM mutation_specs"
    ).fetchall()
    rows.sort(key=lambda row: row[:-1])  # the job's id is another each time
    skipped = {module: unevaluated(Path(module).read_text()) for module in {row[0] for row in rows}}
    Random(seed).shuffle(rows)
    places: dict[tuple[str, int, int], str] = {}
    for module, line, column, *_, job in rows:
        if not any(start <= (line, column) < end for start, end in skipped[module]):
            places.setdefault((module, line, column), job)
    print(f"{len(rows)} mutants at {len(places)} places outside of annotations")
    return list(places.values())[:size]


def keep(session: sqlite3.Connection, jobs: list[str]) -> None:
    """Leave a session these of its mutants only."""
    session.execute("CREATE TEMP TABLE kept (job_id)")
    session.executemany("INSERT INTO kept VALUES (?)", [(job,) for job in jobs])
    for table in ("mutation_specs", "work_items"):
        session.execute(f"DELETE FROM {table} WHERE job_id NOT IN (SELECT job_id FROM kept)")
    session.commit()


def prepare(folder: Path, timeout: float) -> None:
    """Copies of the package, as it is laid out when installed, and of the tests; and what cosmic-ray wants to know."""
    package = folder / "package/pytest_mmapconf"
    places = {"pytest_mmapconf": package, "conformance": package / "conformance", "reference": package / "reference"}
    for room, place in (places | {"tests": folder / "tests"}).items():
        shutil.copytree(PROJECT / room, place, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    modules = [
        os.fspath(path.relative_to(folder))
        for path in sorted((package / "reference").glob("*.py"))
        if path.name not in LEFT_OUT
    ]
    shutil.copytree(package / "reference", folder / "honest")
    shutil.copy(Path(__file__).with_name("judge.py"), folder)
    (folder / "mutation.toml").write_text(
        CONFIGURATION.format(modules=modules, timeout=timeout, python=shlex.quote(sys.executable))
    )
    # By its hash, as a mutant may be as long as the honest source and be written in the same second.
    compiling = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "package", "tests"]
    for arguments in (compiling, ["-P", "judge.py", "record"]):
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True)


def outcomes(session: sqlite3.Connection) -> list[tuple[str, str]]:
    """What became of each mutant, and its difference."""
    found = []
    for state, output, difference in session.execute("SELECT test_outcome, output, diff FROM work_results"):
        killer = output.rsplit("killed by ", 1)[1].splitlines()[0] if "killed by " in output else "nothing"
        found.append(("time" if output == "timeout" else "survived" if "SURVIVED" in state else killer, difference))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="how many mutants (%(default)s)")
    parser.add_argument("--seed", type=int, default=4, help="which ones (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="how many at a time (%(default)s)")
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="for each mutant (%(default)s)")
    options = parser.parse_args()
    if not shutil.which("cosmic-ray") or not find_spec("coverage"):
        sys.exit("cosmic-ray or coverage is not there: pip install cosmic-ray coverage")

    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, str(worker)) for worker in range(options.workers)]
        first = folders[0]
        prepare(first, options.timeout)
        os.chdir(first)
        subprocess.run(["cosmic-ray", "init", "mutation.toml", "session.sqlite"], check=True)
        sample = draw(sqlite3.connect("session.sqlite"), options.sample, options.seed)
        for folder in folders[1:]:
            shutil.copytree(first, folder)
        for number, folder in enumerate(folders):
            keep(sqlite3.connect(folder / "session.sqlite"), sample[number :: options.workers])
        began = time.monotonic()
        running = [
            subprocess.Popen(["cosmic-ray", "exec", "mutation.toml", "session.sqlite"], cwd=folder)
            for folder in folders
        ]
        if sum(run.wait() for run in running):
            sys.exit("cosmic-ray failed")
        seconds = time.monotonic() - began
        results = [each for folder in folders for each in outcomes(sqlite3.connect(folder / "session.sqlite"))]

    for outcome, difference in results:
        if outcome in ("survived", "time"):
            print(f"\n{outcome}\n{difference}")
    counts = Counter(outcome for outcome, _ in results)
    print(
        f"{len(results)} mutants in {seconds:.0f} s: " + ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    )


if __name__ == "__main__":
    main()
