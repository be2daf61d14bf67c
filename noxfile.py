"""What a developer runs, and CI: ``nox -l`` lists the sessions, ``nox -R -s lint types`` runs two in kept environments.

``nox --no-venv`` runs them in the environment that `.ci/run` has prepared.  A developer's loop for one module is
``pytest tests/test_MODULE.py`` after ``pip install .``; it takes some seconds.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "suites"]

PROJECT = Path(__file__).resolve().parent
TESTS = PROJECT / "tests"
LINUX = "--mmap-level=linux"
WITHOUT_RANDOM = ("-m", "not mmap_random")
SUITES = {
    "odd": ("--mmap-backend=python:odd_machine:Odd", LINUX),
    "lockstep": ("--mmap-backend=native", LINUX, "--mmap-lockstep", *WITHOUT_RANDOM),
    "tmpfs": ("--mmap-backend=native", LINUX, "--mmap-disruptive", "--mmap-dir=/dev/shm"),
    "reference": ("--mmap-backend=reference",),
    "native": ("--mmap-backend=native",),
}
"""Runs of the conformance suite: on a reference that places mappings elsewhere, side by side with the reference, with
what disturbs the machine for a moment, and as the README shows it."""

GATES = {
    "mutants": ("mutants", "--level", "linux", "--check"),
    "reach": ("reach", "--backend", "native", "--disruptive", "--check"),
}
"""Every clause has a case and a mutant, every mutant is caught; every error and fault is reached or has a reason."""

BENCHMARKS = {
    "overhead": ("overhead.py", "--rounds", "3"),
    "startup": ("startup.py", "--rounds", "5"),
    "lockstep": ("lockstep.py", "--rounds", "1", "--programs", "60"),
    "kills": ("kills.py", "--kills", "5", "--clause", "munmap.*"),
}
"""Each with arguments that make it short."""


ELSEWHERE = TESTS / "elsewhere"
SYSTEMS = {system["name"]: system for system in tomllib.loads((ELSEWHERE / "systems.toml").read_text())["system"]}
"""Other systems that one machine can run, by name; the file describes its keys."""


def prepare(session: nox.Session, *more: str) -> None:
    """Install the project, unless the environment is prepared already."""
    if session.venv_backend != "none":
        session.install(".[test]", *more)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    prepare(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types in the installed package, in tests and in benchmarks."""
    prepare(session)
    mypy = ("mypy", "--config-file", str(PROJECT / "pyproject.toml"))
    with session.chdir(TESTS):  # the installed package is found from there
        session.run(*mypy, "-p", "pytest_mmapconf")
    for folder in (TESTS, TESTS / "acceptance", PROJECT / "benchmarks"):
        with session.chdir(folder):
            session.run(*mypy, *sorted(path.name for path in folder.glob("*.py")))


@nox.session
def imports(session: nox.Session) -> None:
    """Check that no layer of the installed package imports a higher one."""
    prepare(session, "import-linter")
    with session.chdir(TESTS):
        session.run("lint-imports", "--config", str(PROJECT / "pyproject.toml"))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the project's tests, or those named after ``--``."""
    prepare(session)
    session.run("pytest", *(session.posargs or ("-n", "auto", "--dist=worksteal")))


@nox.session
@nox.parametrize("suite", list(SUITES), ids=list(SUITES))
def suites(session: nox.Session, suite: str) -> None:
    """Run the conformance suite."""
    prepare(session)
    session.run("pytest", "-q", *SUITES[suite], env={"PYTHONPATH": str(TESTS)})


@nox.session
@nox.parametrize("gate", list(GATES), ids=list(GATES))
def gates(session: nox.Session, gate: str) -> None:
    """Check that the suite is complete."""
    prepare(session)
    session.run("python", "-m", "pytest_mmapconf", *GATES[gate], *session.posargs)


@nox.session
@nox.parametrize("benchmark", list(BENCHMARKS), ids=list(BENCHMARKS))
def benchmarks(session: nox.Session, benchmark: str) -> None:
    """Run a benchmark once, shortly."""
    prepare(session)
    script, *arguments = BENCHMARKS[benchmark]
    session.run("python", str(PROJECT / "benchmarks" / script), *(session.posargs or arguments))


@nox.session
@nox.parametrize("system", list(SYSTEMS), ids=list(SYSTEMS))
def elsewhere(session: nox.Session, system: str) -> None:
    """Run the cases, but for the random ones, on another system of tests/elsewhere."""
    facts = SYSTEMS[system]
    for program in [facts[key] for key in ("agent", "front") if key in facts]:
        if shutil.which(shlex.split(program)[0]) is None:
            session.skip(f"{shlex.split(program)[0]} is not installed")
    if "mount" in facts and os.geteuid() != 0:
        session.skip("a mount needs root")
    prepare(session)
    with tempfile.TemporaryDirectory() as directory:
        command = ["pytest", "-q", f"--mmap-level={facts['level']}", "--mmap-timeout=10", *WITHOUT_RANDOM]
        if (ELSEWHERE / f"{system}.toml").exists():
            command.append(f"--mmap-expectations={ELSEWHERE / f'{system}.toml'}")
        if "mount" in facts:
            command += ["--mmap-backend=native", f"--mmap-dir={directory}/m"]
            # A mount namespace of its own: the mounts end with the command, whatever happens.
            script = f"mkdir $DIR/m $DIR/u\n{facts['mount']}\nexec {shlex.join(command)}"
            command = ["unshare", "--mount", "--propagation=private", "sh", "-ec", script]
        else:
            agent = f"{directory}/agent"
            source = session.run("python", "-m", "pytest_mmapconf", "agent", "--source", silent=True)
            session.run(*shlex.split(facts["agent"]), "-O2", "-o", agent, str(source).strip(), external=True)
            command.append(f"--mmap-backend=agent:{facts.get('front', '')} {agent}")
        session.run(*command, env={"DIR": directory}, external=True)
