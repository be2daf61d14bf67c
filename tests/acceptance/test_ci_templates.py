"""What other projects use in CI: the composite action, GitLab's template, the Containerfile.

They run in a shell, as far as one machine without those services can.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
ARGUMENTS = "--mmap-clause=munmap.* -p no:cacheprovider"


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    """Provide the wheel, and a `python` that has what it needs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MMAPCONF_"))}
    return {**outside, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(installed)}


def run_action(inputs: dict[str, str], environment: dict[str, str], folder: Path) -> tuple[int, dict[str, str], str]:
    """Run the steps of the action as GitHub does; return the exit status, the outputs, and the workflow's summary."""
    action: dict[str, Any] = yaml.safe_load((PROJECT / "action.yml").read_text())
    values = {name: str(given.get("default", "")) for name, given in action["inputs"].items()} | inputs
    files = {"GITHUB_OUTPUT": folder / "outputs", "GITHUB_STEP_SUMMARY": folder / "step-summary"}
    for file in files.values():
        file.touch()

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: values[found[1]], text)

    status = 0
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"], "an input in the text of a script can be a command"
        variables = {name: filled(text) for name, text in step["env"].items()}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        paths = {name: str(file) for name, file in files.items()}
        done = subprocess.run(
            command, cwd=folder, env=environment | variables | paths, capture_output=True, text=True, check=False
        )
        status = status or done.returncode
    written = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    outputs = {
        name: written[re.fullmatch(r"\$\{\{ steps\.judge\.outputs\.(\w+) \}\}", output["value"])[1]]  # type: ignore[index]
        for name, output in action["outputs"].items()
    }
    return status, outputs, files["GITHUB_STEP_SUMMARY"].read_text()


@pytest.mark.parametrize(("backend", "status"), [("reference", 0), ("mutant:munmap-takes-length-0", 1)])
def test_the_action(backend: str, status: int, environment: dict[str, str], tmp_path: Path) -> None:
    inputs = {"backend": backend, "arguments": ARGUMENTS, "install": "", "output": "my report"}

    exited, outputs, summary = run_action(inputs, environment, tmp_path)

    assert exited == status
    report = json.loads((tmp_path / outputs["report"]).read_text())
    assert report["level"] == "documented"
    assert report["statement"]["text"] in summary
    assert (tmp_path / outputs["page"]).read_text().startswith("<!doctype html>")
    assert "<svg" in (tmp_path / outputs["badge"]).read_text()
    assert (tmp_path / outputs["summary"]).read_text() == summary


def test_an_input_is_no_command(environment: dict[str, str], tmp_path: Path) -> None:
    inputs = {"backend": "$(touch intruder); touch intruder", "arguments": ARGUMENTS, "install": ""}

    exited, _outputs, _summary = run_action(inputs, environment, tmp_path)

    assert exited == pytest.ExitCode.USAGE_ERROR
    assert not (tmp_path / "intruder").exists()


def test_the_template_for_gitlab(environment: dict[str, str], tmp_path: Path) -> None:
    job = yaml.safe_load((PROJECT / "ci-templates/gitlab.yml").read_text())[".mmapconf"]
    given = {"MMAP_BACKEND": "reference", "MMAP_ARGUMENTS": ARGUMENTS, "MMAP_INSTALL": ""}

    for index in "12":
        variables = job["variables"] | given | {"CI_NODE_INDEX": index, "CI_NODE_TOTAL": "2"}
        for command in job["script"]:
            subprocess.run(["sh", "-ec", command], cwd=tmp_path, env=environment | variables, check=True)

    for suffix in ("report-1.json", "report-2.json", "page-1.html", "junit-2.xml"):
        assert (tmp_path / "mmap-report" / suffix).stat().st_size > 0


def test_the_container(tmp_path: Path) -> None:
    """Build the image and judge in it, where podman or docker can."""
    engine = shutil.which("podman") or shutil.which("docker")
    if engine is None or subprocess.run([engine, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no podman or docker here that runs")
    pulled = subprocess.run([engine, "pull", "python:3.12-slim"], capture_output=True, check=False, timeout=120)
    if pulled.returncode:
        pytest.skip("python:3.12-slim cannot be had here")
    subprocess.run([engine, "build", "-t", "mmapconf-test", "-f", "Containerfile", "."], cwd=PROJECT, check=True)

    subprocess.run([engine, "run", "--rm", "mmapconf-test", "--mmap-backend=native", "-q"], check=True)


def test_the_containers_commands_name_what_exists() -> None:
    text = (PROJECT / "Containerfile").read_text()

    for file in re.findall(r"\.ci/\w+", text):
        assert (PROJECT / file).exists()
