"""What a developer runs, and CI: ``nox -l`` lists the sessions, ``nox -R -s lint types`` runs two in kept environments.

``nox --no-venv`` runs them in the environment that `.ci/run` has prepared.  A developer's loop for one module is
``pytest tests/test_MODULE.py`` after ``pip install .``; it takes some seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import nox

nox.options.sessions = ["lint", "types", "tests", "suites"]

PROJECT = Path(__file__).resolve().parent
TESTS = PROJECT / "tests"
LINUX = "--mmap-level=linux"
WITHOUT_RANDOM = ("-m", "not mmap_random and not mmap_tour")
SUITES = {
    "odd": ("--mmap-backend=python:odd_machine:Odd", LINUX),
    "lockstep": ("--mmap-backend=native", LINUX, "--mmap-lockstep", *WITHOUT_RANDOM),
    "used": ("--mmap-backend=native", LINUX, "--mmap-process=used", *WITHOUT_RANDOM),
    "tmpfs": ("--mmap-backend=native", LINUX, "--mmap-disruptive", "--mmap-dir=/dev/shm"),
    "reference": ("--mmap-backend=reference",),
    "native": ("--mmap-backend=native",),
}
"""Runs of the conformance suite: on a reference that places mappings elsewhere, side by side with the reference, in
used processes, with what disturbs the machine for a moment, and as the README shows it."""

GATES = {
    "mutants": ("mutants", "--level", "linux", "--check"),
    "reach": ("reach", "--backend", "native", "--disruptive", "--check"),
}
"""Every clause has a case and a mutant, every mutant is caught; every error and fault is reached or has a reason."""

BENCHMARKS = {
    "overhead": ("overhead.py", "--rounds", "1"),
    "startup": ("startup.py", "--rounds", "5"),
    "traffic": ("traffic.py",),
    "lockstep": ("lockstep.py", "--rounds", "1", "--programs", "60"),
    "source-mutation": ("source_mutation.py", "--sample", "2", "--without-tour"),
    "kills": ("kills.py", "--kills", "5", "--clause", "munmap.*"),
    "pressure": ("pressure.py", "--runs", "2", "--clause", "munmap.hole"),
    "remains": ("remains.py", "--kills", "3", "--kinds", "native,crash,workers", "--latest", "1"),
}
"""Each with arguments that make it short."""


FUZZERS = {
    "files": ("fuzz_files.py", "--files", "600"),
    "client": ("fuzz_client.py", "--lines", "4000"),
    "agent": ("fuzz_agent.py", "--sanitize", "--lines", "3000"),
    "serve": ("fuzz_agent.py", "--agent", "serve", "--lines", "2000"),
    "parser": ("fuzz_parser.py", "--lines", "100000"),
}
"""Each with arguments that make it short, and the same in every run; `.ci/nightly` gives them an hour and new seeds."""


ELSEWHERE = {
    "musl": "linux",
    "i386": "linux",
    "valgrind": "documented",
    "qemu-user:aarch64": "posix",
    "qemu-user:s390x": "documented",
    "qemu-user:ppc": "posix",
    "qemu-system:amd64-6.1": "documented",
    "uml": "linux",
    "gvisor": "documented",
    "wasi": "documented",
    "wine": "documented",
    "fs:overlay": "linux",
    "fs:btrfs": "linux",
    "fs:tmpfs": "linux",
    "fs:ramfs": "linux",
    "fs:bindfs": "linux",
}
"""The recipes of other systems that one machine can run, and the highest level that is judged."""

WHOLE = ("i386",)
"""The systems that run the tour and the random cases too: as fast as the machine itself, and unlike it."""

IMPLEMENTATIONS = {
    **dict.fromkeys(
        (
            *("fs:bindfs", "fs:btrfs", "fs:ext2", "fs:ext3", "fs:ext4", "fs:ext4-1k", "fs:ext4-journal", "fs:overlay"),
            *("fs:ramfs", "fs:tmpfs", "fs:tmpfs-huge", "fs:xfs"),
        ),
        "linux",
    ),
    **dict.fromkeys(("native", "musl", "i386", "uml"), "posix"),
    **dict.fromkeys(
        (
            *("qemu-user:aarch64", "qemu-user:aarch64,page=65536", "qemu-user:arm", "qemu-user:i386", "qemu-user:mips"),
            *("qemu-user:mips64el", "qemu-user:ppc", "qemu-user:ppc64le", "qemu-user:riscv64", "qemu-user:s390x"),
            *("qemu-user:x86_64", "valgrind", "wasi", "emscripten", "proot", "gvisor", "wine", "qemu-system:amd64-6.1"),
            *("qemu-system:amd64-6.12", "qemu-system:i386-6.1", "qemu-system:arm64-16k", "qemu-system:s390x"),
        ),
        "documented",
    ),
}
"""The systems on the page of implementations, and the level that is judged."""

SCOPES = {"emscripten": "emscripten", "wasi": "wasi"}
"""The promises of systems that do not promise the whole level."""

TIMEOUTS = ("--mmap-timeout=10", "--mmap-start-timeout=120")
"""The longest time of a call and of a start, in seconds; an emulated machine boots on a busy one in half a minute."""

TIMEOUTS_OF_MACHINES = ("--mmap-timeout=60", "--mmap-start-timeout=120")
"""Those of emulated machines: as many mappings as a process may have take one ten seconds or more."""


COMPATIBILITY = {
    "oldest": ("3.11", "hypothesis==6.100.0", "jinja2==3.1.0", "pluggy==1.5.0", "pytest==8.2.0", "pytest-xdist==3.6.0"),
    "newest": ("3.11",),
    "3.12": ("3.12",),
    "3.12-pytest-8": ("3.12", "pytest<9"),
    "3.12-no-xdist": ("3.12",),
    "3.13": ("3.13",),
    "3.14": ("3.14",),
}
"""A Python and versions of packages; the newest of those that are not named.  docs/compatibility.md has the results."""

OF_THE_INTERPRETER = ("calls", "contract", "plugin", "program", "recorder", "report_html", "report_terminal")
"""The modules of the project's tests whose subject depends on the interpreter, or on pytest."""


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
            # the fuzzer of the client runs the agent of its test
            session.run(*mypy, *sorted(path.name for path in folder.glob("*.py")), env={"MYPYPATH": str(TESTS)})


@nox.session
def imports(session: nox.Session) -> None:
    """Check that no layer of the installed package imports a higher one."""
    prepare(session, "import-linter")
    with session.chdir(TESTS):
        session.run("lint-imports", str(PROJECT / "pyproject.toml"))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the project's tests, or those named after ``--``."""
    prepare(session)
    session.run("pytest", *(session.posargs or ("-n", "auto", "--dist=worksteal")))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site in site/, strictly: a link that leads nowhere fails; then test it."""
    if session.venv_backend != "none":
        session.install(".[docs,test]")
    site = PROJECT / "site"
    quiet = {"NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", "build", "--strict", "--site-dir", str(site), env=quiet)  # with -q no warning counts
    session.run("pytest", "-q", str(TESTS / "acceptance" / "test_site.py"), env={"MMAPCONF_SITE": str(site)})


@nox.session
@nox.parametrize("suite", list(SUITES), ids=list(SUITES))
def suites(session: nox.Session, suite: str) -> None:
    """Run the conformance suite."""
    prepare(session)
    session.run("pytest", "-q", *SUITES[suite], env={"PYTHONPATH": str(TESTS)})


def interpreter(version: str) -> str | None:
    """Return a Python of this version: from the path, or else from pyenv, whose commands may refuse to run it."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for python in (f"python{version}", *sorted(map(str, kept.glob(f"{version}.*/bin/python{version}")))):
        found = shutil.which(python)
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
    return None


@nox.session(venv_backend="none")
@nox.parametrize("versions", list(COMPATIBILITY), ids=list(COMPATIBILITY))
def compatibility(session: nox.Session, versions: str) -> None:
    """Judge the reference and this system, and run the tests that depend on them, with other versions of packages."""
    version, *pins = COMPATIBILITY[versions]
    found = interpreter(version)
    if found is None:
        session.skip(f"Python {version} is not on this machine")
    with tempfile.TemporaryDirectory() as scratch:
        session.run(found, "-m", "venv", scratch, external=True)
        python, judge = (str(Path(scratch, "bin", name)) for name in ("python", "pytest"))
        project = os.environ.get("MMAPCONF_WHEEL", str(PROJECT))
        session.run(python, "-m", "pip", "install", "-q", f"{project}[test]", *pins, external=True)
        with_xdist = not versions.endswith("no-xdist")
        if not with_xdist:
            session.run(python, "-m", "pip", "uninstall", "-q", "-y", "pytest-xdist", external=True)
        session.run(python, "-m", "pip", "list", "--format=freeze", external=True)
        for backend in ("reference", "native"):
            session.run(judge, "-q", "-W", "error", f"--mmap-backend={backend}", *WITHOUT_RANDOM, external=True)
        if with_xdist:
            modules = [str(TESTS / f"test_{name}.py") for name in OF_THE_INTERPRETER]
            session.run(judge, "-q", *modules, external=True)


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
    prepare(session, *(("cosmic-ray", "coverage") if benchmark == "source-mutation" else ()))
    script, *arguments = BENCHMARKS[benchmark]
    session.run("python", str(PROJECT / "benchmarks" / script), *(session.posargs or arguments))


@nox.session
@nox.parametrize("fuzzer", list(FUZZERS), ids=list(FUZZERS))
def fuzz(session: nox.Session, fuzzer: str) -> None:
    """Run a fuzzer shortly, or with the arguments after ``--``."""
    script, *arguments = FUZZERS[fuzzer]
    if ("--sanitize" in arguments or fuzzer == "parser") and shutil.which("clang") is None:
        session.skip("clang is not installed")
    prepare(session)
    session.run("python", str(PROJECT / "benchmarks" / script), *(session.posargs or arguments))


@nox.session
@nox.parametrize("system", list(ELSEWHERE), ids=list(ELSEWHERE))
def elsewhere(session: nox.Session, system: str) -> None:
    """Run the cases on another system, most without the random ones and the tour; known deviations are expected."""
    prepare(session, "ziglang", "wasmtime")
    recipe = recipes(session)[system]
    if recipe["needs"]:
        session.skip(f"{system} needs {', '.join(recipe['needs'])}")
    selected = () if system in WHOLE else WITHOUT_RANDOM
    session.run("pytest", "-q", *judging(system, ELSEWHERE[system], recipe), *selected)


def recipes(session: nox.Session) -> dict[str, dict[str, Any]]:
    """Return the recipes by name, as `python -m pytest_mmapconf recipes --json` lists them."""
    listed = json.loads(str(session.run("python", "-m", "pytest_mmapconf", "recipes", "--json", silent=True)))
    return {recipe["name"]: recipe for recipe in listed}


def judging(system: str, level: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that judge a system: what it promises, except for its known deviations."""
    yield from (f"--mmap-backend={system}", f"--mmap-level={level}")
    yield from TIMEOUTS_OF_MACHINES if system.startswith("qemu-system:") else TIMEOUTS
    if recipe["has_known_deviations"]:
        yield "--mmap-expectations=known"
    if system in SCOPES:
        yield f"--mmap-scope={SCOPES[system]}"


@nox.session
def implementations(session: nox.Session) -> None:
    """Judge the systems of IMPLEMENTATIONS, or those that are named after `--`, and write docs/implementations.md.

    What cannot run on this machine keeps the report of an earlier run, if there is one in build/implementations.
    """
    prepare(session, "ziglang", "wasmtime")
    folder = PROJECT / "build" / "implementations"
    folder.mkdir(parents=True, exist_ok=True)
    listed = recipes(session)
    for name in session.posargs or IMPLEMENTATIONS:
        recipe = listed.get(name.partition(",")[0], {"needs": (), "has_known_deviations": False})
        if recipe["needs"]:
            session.warn(f"{name} needs {', '.join(recipe['needs'])}")
            continue
        report = folder / f"{name.replace(':', '-').replace(',', '-')}.json"
        options = ("-q", "-p", "no:cacheprovider", f"--mmap-report={report}")
        command = ("pytest", *options, *judging(name, IMPLEMENTATIONS[name], recipe))
        session.run(*command, success_codes=(0, 1, 4))  # the page has what is not on record
    reports = sorted(map(str, folder.glob("*.json")))
    page = PROJECT / "docs" / "implementations"
    outputs = ("-o", f"{page}.md", "-o", str(folder / "implementations.html"))
    session.run("python", "-m", "pytest_mmapconf", "implementations", *reports, *outputs)


@nox.session
def targets(session: nox.Session) -> None:
    """Compile the tiny agent for the other systems of docs/port-the-agent.md, which cannot be run here."""
    prepare(session, "ziglang")
    session.run("pytest", "-q", str(TESTS / "test_tiny_agent.py"), "-k", "compiles_for_other_systems")


NOT_IN_SDIST = (".gitignore",)
"""The files that serve the repository only."""

SHORT = ("--mmap-clause=munmap.*", "-q", "-p", "no:cacheprovider")


@nox.session
def release(session: nox.Session) -> None:
    """Build, check and test what a release would upload, in dist/; nothing is uploaded."""
    session.install("build", "pipx", "setuptools>=77", "twine", "uv", "ziglang")
    session.run("python", str(PROJECT / ".ci/prebuild"))
    dist = PROJECT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    epoch = str(session.run("git", "log", "-1", "--format=%ct", silent=True, external=True)).strip()
    environment = {"SOURCE_DATE_EPOCH": epoch}
    with tempfile.TemporaryDirectory() as scratch:
        files = str(session.run("git", "ls-files", silent=True, external=True)).split()
        for folder in ("one", "two"):  # the same wheel from two places
            copied = Path(scratch, folder, "project")
            for file in [*files, *(str(path.relative_to(PROJECT)) for path in PREBUILT.glob("*"))]:
                (copied / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / file, copied / file)
            for kind in ("--sdist", "--wheel"):
                to = str(dist if folder == "one" else Path(scratch, "again"))
                session.run("python", "-m", "build", "-q", kind, "-o", to, str(copied), env=environment)
        (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
        if digest(wheel) != digest(Path(scratch, "again", wheel.name)):
            session.error(f"{wheel.name} is not reproducible")
        check_contents(session, wheel, sdist, files)
        session.run("twine", "check", "--strict", str(wheel), str(sdist))
        try_installers(session, wheel, sdist, Path(scratch))
    for path in (wheel, sdist):
        session.log(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {digest(path)}")


PREBUILT = PROJECT / "pytest_mmapconf" / "agent" / "prebuilt"


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def check_contents(session: nox.Session, wheel: Path, sdist: Path, files: list[str]) -> None:
    """Check that the sdist has every file of the repository, and the wheel every agent and no test."""
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = [file for file in files if file not in packed and not file.startswith(NOT_IN_SDIST)]
    if missing:
        session.error(f"{sdist.name} lacks {', '.join(missing)}")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    agents = {f"pytest_mmapconf/agent/prebuilt/{path.name}" for path in PREBUILT.glob("*")}
    if not agents <= names or any(name.startswith(("tests/", "benchmarks/")) for name in names):
        session.error(f"{wheel.name} lacks an agent, or has what only the sdist should have")


def try_installers(session: nox.Session, wheel: Path, sdist: Path, scratch: Path) -> None:
    """Install with pip, uv and pipx into clean environments, and judge; without a compiler, too."""
    judge = ("-m", "pytest", *SHORT)
    empty = scratch / "empty"
    empty.mkdir()
    bare = {"PATH": str(empty), "CC": None, "XDG_CACHE_HOME": str(scratch / "cache")}
    with session.chdir(empty):
        for name, what in {"pip": str(wheel), "pip-sdist": str(sdist), "uv": str(wheel), "editable": "-e"}.items():
            python = str(scratch / name / "bin" / "python")
            if name == "uv":
                session.run("uv", "venv", "-q", "--python", "python", str(scratch / name))
                session.run("uv", "pip", "install", "-q", "--python", python, what)
            else:
                session.run("python", "-m", "venv", str(scratch / name))
                project = [str(scratch / "one" / "project")] if what == "-e" else []
                session.run(python, "-m", "pip", "install", "-q", what, *project, external=True)
            session.run(str(scratch / name / "bin" / "mmapconf"), "--version", external=True)
            session.run(python, *judge, "--mmap-backend=reference", external=True)
            if name != "pip-sdist":  # its wheel has no agents
                session.run(python, *judge, "--mmap-backend=native", external=True, env=bare)
        home = {"PIPX_HOME": str(scratch / "pipx"), "PIPX_BIN_DIR": str(scratch / "bin")}
        session.run("pipx", "install", "-q", str(wheel), env=home)
        session.run(str(scratch / "bin" / "mmapconf"), "--version", external=True)
        session.run("uvx", "-q", "--from", str(wheel), "mmapconf", "--version")
        session.run("uvx", "-q", "--from", str(wheel), "--with", "pytest", "pytest", *SHORT, "--mmap-backend=reference")
