"""A search as pytest runs it: its tests, its findings from several workers, and the directory that keeps them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_mmapconf.plugin import search_folder

TWO = "mutant:munmap-takes-length-0+msync-of-an-unaligned-address-is-ENOMEM"
CASE = "conformance/random_programs.py"


def command(backend: str, *options: str) -> list[str]:
    pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--mmap-level=linux"]
    return [*pytest_command, f"--mmap-backend={backend}", *options, CASE]


def run(folder: Path, backend: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command(backend, *options), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def kept(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The state and the findings in a directory."""
    findings = [json.loads(file.read_text()) for file in sorted(folder.glob("finding-*.json"))]
    return search_folder.read(folder), findings


def test_the_findings_are_the_same_with_workers_and_each_has_its_reproducers(tmp_path: Path) -> None:
    outputs = []
    for name, workers in (("alone", "0"), ("workers", "2")):
        options = ["--mmap-steps=6000", "--hypothesis-seed=1", f"-n{workers}", f"--mmap-findings={name}"]
        out = run(tmp_path, TWO, *options, f"--mmap-reproducers=of-{name}").stdout
        assert "6 of 6 parts" in out, out
        outputs.append(out)

    (state, findings), (other_state, other_findings) = kept(tmp_path / "alone"), kept(tmp_path / "workers")
    assert {finding["id"] for finding in findings} == {finding["id"] for finding in other_findings}
    assert {finding["call"] for finding in findings} == {"munmap", "msync"}
    assert state["parts"] == other_state["parts"] == 6
    assert state["seed"] == "1"
    for out in outputs:
        assert re.search(r"\d+ programs: process \d: munmap\(.*, 0\): success; allowed: EINVAL", out), out
    for finding in findings:
        assert (tmp_path / "of-alone" / f"{finding['id']}.json").exists()
        assert list((tmp_path / "of-alone").glob(f"{finding['id']}*.c"))


def test_what_is_on_record_is_no_failure(tmp_path: Path) -> None:
    run(tmp_path, TWO, "--mmap-steps=4000", "--hypothesis-seed=1", "--mmap-findings=found")
    _state, findings = kept(tmp_path / "found")
    entries = []
    for number, finding in enumerate(findings):
        (tmp_path / f"{number}.json").write_text(finding["program"])
        entries += [
            "[[expect]]",
            'case = "random_programs.random_programs"',
            f'verdict = "fail"\nreason = "known {number}"\nprogram = "{number}.json"',
        ]
    (tmp_path / "known.toml").write_text("\n".join(entries))

    result = run(tmp_path, TWO, "--mmap-steps=4000", "--hypothesis-seed=1", "--mmap-expectations=known.toml")

    assert result.returncode == 0, result.stdout
    assert "no new difference" in result.stdout
    assert len(re.findall("^on record, in ", result.stdout, re.MULTILINE)) == len(findings) >= 2


def test_a_search_goes_on_from_its_directory(tmp_path: Path) -> None:
    first = run(tmp_path, "reference", "--mmap-steps=2000", "--mmap-findings=here").stdout
    second = run(tmp_path, "reference", "--mmap-steps=1000", "--mmap-findings=here").stdout

    seed = re.search(r"random programs of the seed (\d+)$", first, re.MULTILINE)
    assert seed, first
    assert f"random programs of the seed {seed[1]}, from part 3 on" in second, second
    state, _findings = kept(tmp_path / "here")
    assert state["parts"] == 3
    assert state["steps"] >= 3000
    other = run(tmp_path, "reference", "--mmap-steps=1000", "--mmap-findings=here", "--hypothesis-seed=0")
    assert f"is of the seed {seed[1]}, not 0" in other.stderr


def test_a_search_for_a_time_ends_in_time(tmp_path: Path) -> None:
    result = run(tmp_path, "reference", "--mmap-for=2s", "-n2")

    assert result.returncode == 0, result.stdout
    assert "4 of 4 parts" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_keeps_what_it_has_found(tmp_path: Path, number: signal.Signals) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with subprocess.Popen(
        command(TWO, "--mmap-for=1h", "--mmap-findings=here", "--hypothesis-seed=1"),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as search:
        end = time.monotonic() + 120
        while len(list((tmp_path / "here").glob("finding-*.json"))) < 2 and time.monotonic() < end:
            time.sleep(0.2)
        search.send_signal(number)
        out = search.communicate()[0]

    state, findings = kept(tmp_path / "here")
    assert {finding["call"] for finding in findings} == {"munmap", "msync"}
    assert state["steps"] > 0, out
    assert "programs: process" in out or "program: process" in out, out


def test_a_search_ends_after_as_many_findings_as_were_asked_for(tmp_path: Path) -> None:
    out = run(tmp_path, TWO, "--mmap-steps=5000", "--hypothesis-seed=1", "--mmap-max-findings=1").stdout

    assert "not run: the search has ended after 1 findings" in out, out


def test_an_exhaustive_search_is_spread_over_workers(tmp_path: Path) -> None:
    found = {}
    for workers in ("0", "2"):
        out = run(tmp_path, TWO, "--mmap-exhaustive=1", f"-n{workers}").stdout
        counts = re.search(r"^(\d+) states that up to 1 call reach, (\d+) calls in 64 of 64 parts", out, re.MULTILINE)
        assert counts, out
        found[workers] = counts.groups()

    assert found["0"] == found["2"]


def test_a_directory_that_is_not_of_a_search_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "search.json").write_text("[]")

    result = run(tmp_path, "reference", "--mmap-steps=1000", "--mmap-findings=here")

    assert "--mmap-findings=here: cannot be used: search.json is not the state of a search" in result.stderr


@pytest.mark.parametrize("workers", ["0", "1"])
def test_progress_has_lines_of_its_own(tmp_path: Path, workers: str) -> None:
    (tmp_path / "often.py").write_text("from pytest_mmapconf.plugin import search_report\nsearch_report.EVERY = 0.0\n")

    out = run(tmp_path, "reference", "--mmap-steps=3000", "--hypothesis-seed=1", f"-n{workers}", "-p", "often").stdout

    lines = [line for line in out.splitlines() if "search: " in line]
    assert len(lines) >= 3, out
    for line in lines:
        assert re.match(r"(mmap )?search: (\d+ % \(\d+ of 3 parts\)|random programs)", line), line
