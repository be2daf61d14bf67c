"""A copy of the suite in another project, which has only pytest, pluggy and hypothesis."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from finished import ORDINARY_USER, WITHOUT_TOUR, Run
from shared import made_once

PROJECT = Path(__file__).resolve().parents[2]

INI = """
[pytest]
addopts = -p hostplugin --strict-markers --strict-config
markers = slow: takes long
host_greeting = hello
xfail_strict = true
filterwarnings = error
"""

PLUGIN = """
def pytest_addoption(parser):
    parser.addini("host_greeting", "a setting of the host's own")
    parser.addoption("--host", action="store_true")

def pytest_report_header(config):
    return "host says " + config.getini("host_greeting")
"""

CONFTEST = """
import pytest

@pytest.fixture
def process():
    return "the host's own process"

@pytest.fixture(autouse=True)
def page(request):
    yield 3

def pytest_collection_modifyitems(items):
    items.reverse()
"""

TESTS = """
import warnings
import pytest

@pytest.mark.parametrize("number", range(10))
def test_number(number, process, page):
    assert process == "the host's own process" and page == 3
    assert number != 7, "seven fails"

@pytest.mark.slow
def test_slow():
    pass

@pytest.mark.skip(reason="not today")
def test_skipped():
    pass

@pytest.mark.xfail(reason="known")
def test_known():
    assert False

def test_error(no_such_fixture):
    pass

def test_warning():
    warnings.warn("an error here")
"""

MODULES = ("one", "two")
IN_A_MODULE = 15
MORE = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_more(number):
    pass
"""
ALL_MODULES = ("--mmap-backend=reference", "--mmap-level=linux", "--collect-only")
"""Arguments of a run that imports every module of cases."""

NUMBER = len(MODULES) * IN_A_MODULE + 20

Command = Callable[..., subprocess.CompletedProcess[str]]
Host = Callable[..., Path]


@pytest.fixture
def python(core: Path, installed: Path, tmp_path: Path) -> Command:
    """Return `python(host, *arguments)`, which runs a Python with only pytest, pluggy and hypothesis in a host project.

    With `suite`, the installed suite as well, with `everything`, all that this Python has; `path` goes first.
    """

    def python(
        host: Path,
        *arguments: str,
        suite: bool = False,
        everything: bool = False,
        path: Path | None = None,
        status: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        folders = [path] * (path is not None) + [installed] * suite + ([] if everything else [core])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
        for name in [name for name in environment if name.startswith("PYTEST_")]:
            del environment[name]
        command = [sys.executable, *([] if everything else ["-S"]), *arguments]
        done = subprocess.run(command, cwd=host, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return python


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return a project with tests, a conftest, ini options and a plugin of its own, and with spaces in its path."""
    folder = tmp_path / "a host project"
    files = {"pytest.ini": INI, "hostplugin.py": PLUGIN, "conftest.py": CONFTEST, "tests/test_more.py": MORE}
    files |= {f"tests/test_{module}.py": TESTS for module in MODULES}
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture(scope="session")
def copy(core: Path, installed: Path, public: Path) -> Path:
    """Return a copy that the installed suite has made, and that has run; each test copies it into a host project.

    The run leaves the bytecode of the modules, which each test would otherwise compile again.
    """
    folder = public / "copies/mmconf"
    folder.parent.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder.parent), str(installed), str(core)])}
    environment.pop("PYTEST_ADDOPTS", None)
    judge = ("pytest", "-q", "-p", "no:mmapconf", "-p", "mmconf.plugin", "-p", "no:cacheprovider")
    with made_once(folder) as is_first:
        for command in [("pytest_mmapconf", "vendor", str(folder)), (*judge, *ALL_MODULES)] * is_first:
            done = subprocess.run(
                [sys.executable, "-S", "-m", *command],
                cwd=folder.parent, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


def put(copy: Path, host: Path, place: str = "third_party/mmconf") -> Path:
    """Copy the directory into a host project."""
    return Path(shutil.copytree(copy, host / place))


def own_run(python: Command, host: Path, *arguments: str, **how: bool) -> tuple[dict[str, str], str]:
    """Run the host's own tests; return the outcome by node id, and the output without its durations."""
    done = python(host, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments, status=1, **how)
    outcomes = dict(re.findall(r"^(tests/\S+::\S+) ([A-Z]+)", done.stdout, re.MULTILINE))
    return outcomes, re.sub(r" in \d+\.\d+s", "", done.stdout)


def judged(python: Command, host: Path, *arguments: str, package: str = "third_party.mmconf", **how: Any) -> Run:
    """Run the copy in a project."""
    report = host / "verdicts.json"
    report.unlink(missing_ok=True)
    command = ["-m", "pytest", "-p", f"{package}.plugin", f"--mmap-report={report}", "-p", "no:cacheprovider"]
    done = python(host, *command, *arguments, **how)
    return Run(done.returncode, done.stdout, json.loads(report.read_text()))


def files_in(folder: Path) -> dict[str, int]:
    """Return every path in a directory with its modification time."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_the_hosts_own_runs_are_unchanged(python: Command, copy: Path, host: Path) -> None:
    for how in ([], ["--import-mode=importlib"]):
        before = own_run(python, host, *how)
        assert len(before[0]) == NUMBER == 50
        assert set(before[0].values()) == {"PASSED", "FAILED", "SKIPPED", "XFAIL", "ERROR"}
        put(copy, host)

        assert own_run(python, host, *how) == before
        assert own_run(python, host, "-p", "third_party.mmconf.plugin", *how) == before
        assert own_run(python, host, "-p", "third_party.mmconf.plugin", *how, suite=True)[0] == before[0]
        shutil.rmtree(host / "third_party")


@pytest.mark.parametrize("where", ["the command line", "the ini file"])
def test_a_directory_above_a_copy_selects_its_cases(python: Command, copy: Path, host: Path, where: str) -> None:
    put(copy, host)
    asked = ["--mmap-backend=reference"]
    if where == "the ini file":
        (host / "pytest.ini").write_text(f"{INI.rstrip()}\nmmap_backend = reference\n")
        asked = []

    run = judged(python, host, *asked, "--mmap-clause=munmap.range", "third_party", *WITHOUT_TOUR)

    assert run.verdicts["munmap.range"] == "pass"


@pytest.mark.parametrize(
    ("place", "package", "root"),
    [
        ("third_party/mmconf", "third_party.mmconf", ""),
        ("conf", "conf", ""),
        ("my libs/pages", "pages", "my libs"),
        ("pytest_mmapconf", "pytest_mmapconf", ""),
    ],
)
def test_a_conformance_run_under_any_name(
    python: Command, copy: Path, host: Path, place: str, package: str, root: str
) -> None:
    printed = python(host, "-m", "pytest_mmapconf", "vendor", place, suite=True).stdout
    assert f"-p {package}.plugin --mmap-backend=reference" in printed
    run = judged(
        python,
        host,
        "--mmap-backend=reference",
        "--mmap-clause=munmap.*",
        *WITHOUT_TOUR,
        package=package,
        path=host / root,
    )

    manifest = json.loads((host / place / "vendored.json").read_text())
    assert set(run.verdicts.values()) == {"pass"}
    assert run.report["suite"]["version"] == manifest["version"]
    assert f"mmapconf {manifest['version']}: backend reference" in run.output
    assert "host says hello" in run.output
    checked = python(host, "-m", package, "vendor", "--check", place, path=host / root)
    assert checked.stdout.endswith("complete and unmodified\n")


def test_every_case_of_a_copy(python: Command, copy: Path, host: Path) -> None:
    put(copy, host)

    run = judged(python, host, "--mmap-backend=reference", "--mmap-level=linux", *WITHOUT_TOUR)

    cases = json.loads((host / "third_party/mmconf/vendored.json").read_text())["cases"]
    assert set(run.case_verdicts) == {id for id in cases if not id.startswith("tour.")}
    assert set(run.verdicts.values()) == {"pass"}


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_native_backend_of_a_copy(python: Command, copy: Path, host: Path) -> None:
    put(copy, host)

    run = judged(python, host, "--mmap-backend=native", *WITHOUT_TOUR)

    assert set(run.verdicts.values()) <= {"pass", "unsupported"}
    assert len(run.with_verdict("pass")) > 60


@pytest.mark.parametrize("how", [["--import-mode=importlib"], ["-n", "2"]], ids=["importlib", "two-workers"])
def test_the_same_verdicts_however_it_is_run(python: Command, copy: Path, host: Path, how: list[str]) -> None:
    put(copy, host)
    asked = "--mmap-backend=reference", "--mmap-clause=m*.errno.*", *WITHOUT_TOUR
    alone = judged(python, host, *asked)

    assert judged(python, host, *asked, *how, everything="-n" in how).case_verdicts == alone.case_verdicts


def test_a_copy_comes_before_an_installed_suite_of_another_version(python: Command, copy: Path, host: Path) -> None:
    put(copy, host)
    manifest = host / "third_party/mmconf/vendored.json"
    manifest.write_text(manifest.read_text().replace('"version": "', '"version": "7.5.'))

    run = judged(python, host, "--mmap-backend=reference", "--mmap-clause=munmap.*", *WITHOUT_TOUR, suite=True)

    assert "mmapconf 7.5." in run.output
    assert set(run.verdicts.values()) == {"pass"}


def test_a_copy_that_comes_after_an_installed_suite_says_what_to_do(python: Command, copy: Path, host: Path) -> None:
    put(copy, host)
    (host / "conftest.py").write_text('pytest_plugins = ["third_party.mmconf.plugin"]\n')
    command = "-m", "pytest", "-q", "--mmap-backend=reference", "--mmap-clause=munmap.range", *WITHOUT_TOUR

    python(host, *command)
    refused = python(host, *command, suite=True, status=4)
    python(host, *command, "-p", "no:mmapconf", suite=True)

    assert refused.stderr.strip() == (
        "ERROR: third_party.mmconf.plugin: another copy of the suite is loaded already; "
        "leave the installed one out with -p no:mmapconf"
    )


def test_two_copies_at_once_are_refused(python: Command, copy: Path, host: Path) -> None:
    put(copy, host)
    put(copy, host, "other")

    refused = python(host, "-m", "pytest", "-p", "other.plugin", "-p", "third_party.mmconf.plugin", status=4)

    assert refused.stderr.strip() == (
        "ERROR: third_party.mmconf.plugin: another copy of the suite is loaded already; name one of them only"
    )


def test_a_backend_of_the_hosts_own(python: Command, copy: Path, host: Path) -> None:
    put(copy, host)
    (host / "mine.py").write_text(
        """
from third_party.mmconf.reference.backend import ReferenceBackend

class Mine(ReferenceBackend):
    name = "mine"
"""
    )
    (host / "conftest.py").write_text(
        """
def pytest_mmapconf_backends():
    from mine import Mine
    return {"hooked": Mine}
"""
    )

    for backend in ("python:mine:Mine", "hooked"):
        run = judged(python, host, f"--mmap-backend={backend}", "--mmap-clause=munmap.*", *WITHOUT_TOUR)
        assert set(run.verdicts.values()) == {"pass"}
        assert run.report["backend"]["name"] == "mine"


def test_a_copy_that_cannot_be_written(
    copy: Path, public: Path, interpreter_for_all: tuple[str, str], core: Path
) -> None:
    """Run a read-only copy as an unprivileged user: no file is written beside the modules."""
    mine = public / "read-only/mmconf"
    shutil.copytree(copy, mine, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a=rX", str(mine.parent)], check=True)
    before = files_in(mine)
    work = Path(mkdtemp(dir=public))
    root = os.getuid() == 0
    if root:
        os.chown(work, ORDINARY_USER, ORDINARY_USER)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{mine.parent}{os.pathsep}{core}", "HOME": str(work)}
    command = [interpreter_for_all[0] if root else sys.executable, "-S", "-m", "pytest", "-p", "mmconf.plugin", "-q"]

    for backend in ["reference", *["native"] * bool(shutil.which("cc"))]:
        done = subprocess.run(
            [*command, f"--mmap-backend={backend}", "--mmap-clause=munmap.*", *WITHOUT_TOUR],
            cwd=work,
            env=environment,
            user=ORDINARY_USER if root else None,
            group=ORDINARY_USER if root else None,
            extra_groups=[] if root else None,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "clauses of level documented asked" in done.stdout

    assert files_in(mine) == before
    subprocess.run(["chmod", "-R", "u+w", str(mine.parent)], check=True)


def test_a_checkout_gives_the_same_copy_as_the_wheel(python: Command, copy: Path, host: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "*cache*", ".hypothesis")
    shutil.copytree(PROJECT, checkout, ignore=ignored)

    python(host, "-m", "pytest_mmapconf", "vendor", "from_checkout", path=checkout)

    one, other = (json.loads((at / "vendored.json").read_text()) for at in (copy, host / "from_checkout"))
    assert other["files"] == one["files"]
    assert other["cases"] == one["cases"]
    assert other["version"] == one["version"]
    assert "LICENSE" in one["files"]


def test_an_upgrade_from_an_older_version(python: Command, copy: Path, host: Path) -> None:
    """The older version has one clause and one case less, one clause at another level, and one module more."""
    mine = put(copy, host)
    older_version(mine)
    command = "-m", "pytest_mmapconf", "vendor", "third_party/mmconf"
    assert python(host, *command, "--check", suite=True).stdout.startswith("third_party/mmconf: pytest-mmapconf 0.0.9,")
    assert (
        "munmap.result"
        not in judged(python, host, "--mmap-backend=reference", "--mmap-clause=munmap.*", *WITHOUT_TOUR).verdicts
    )

    (mine / "plugin/__init__.py").write_text((mine / "plugin/__init__.py").read_text() + "# mine\n")
    refused = python(host, *command, suite=True, status=2).stderr
    assert "has local modifications, which would be lost:\n  changed: plugin/__init__.py\n" in refused
    printed = python(host, *command, "--force", suite=True).stdout

    assert re.match(r"third_party/mmconf: pytest-mmapconf 0\.0\.9 -> \S+: 0 files new, 2 changed, 1 removed\n", printed)
    assert "clauses, new: 1\n  munmap.result (documented)\n" in printed
    assert "clauses, changed: 1\n  munmap.range\n      level: documented\n        was: posix\n" in printed
    assert "cases, new: 1\n  munmap.failure_reports_errno_and_unmaps_nothing\n" in printed
    assert "cases, changed in their code: 1\n  munmap.success_reports_no_error\n" in printed
    assert not (mine / "long_gone.py").exists()
    python(host, *command, "--check", suite=True)
    run = judged(python, host, "--mmap-backend=reference", "--mmap-clause=munmap.*", *WITHOUT_TOUR)
    assert run.verdicts["munmap.result"] == "pass"


def older_version(copy: Path) -> None:
    """Make an older version of a copy, with a manifest that matches it."""
    clauses, cases, manifest = (
        copy / name for name in ("conformance/clauses.toml", "conformance/munmap.py", "vendored.json")
    )
    entries = re.split(r"(?=^\[\[clause\]\]\n)", clauses.read_text(), flags=re.MULTILINE)
    entries = [entry for entry in entries if 'id = "munmap.result"' not in entry]
    at_level = next(number for number, entry in enumerate(entries) if 'id = "munmap.range"\n' in entry)
    entries[at_level] = entries[at_level].replace('level = "documented"', 'level = "posix"')
    clauses.write_text("".join(entries))
    functions = re.split(r"(?=^@clause)", cases.read_text(), flags=re.MULTILINE)
    functions = [text for text in functions if "def test_failure_reports_errno_and_unmaps_nothing" not in text]
    cases.write_text("".join(functions).replace('@clause("munmap.result")', '@clause("munmap.errno.EINVAL")'))
    (copy / "long_gone.py").touch()
    document = json.loads(manifest.read_text())
    document["version"] = "0.0.9"
    document["cases"].remove("munmap.failure_reports_errno_and_unmaps_nothing")
    document["files"] = {
        path: sha256((copy / path).read_bytes()).hexdigest() for path in [*document["files"], "long_gone.py"]
    }
    manifest.write_text(json.dumps(document))
