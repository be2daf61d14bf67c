"""The build of the agent: once, cached under a hash of its inputs; and the error when it cannot be built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mmapconf.agent import build
from pytest_mmapconf.agent.build import BuildError, build_agent, find_compiler

SLOW_FAKE = """#!/bin/sh
echo built >> {log}
while [ "$1" != -o ]; do shift; done
sleep 0.3
echo agent > "$2"
chmod +x "$2"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of an empty cache for this test only."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(directory))
    return directory / "pytest-mmapconf"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set $CC to a compiler that writes a line for each build; return its log."""
    compiler, log = tmp_path / "fake compiler", tmp_path / "log"
    compiler.write_text(SLOW_FAKE.format(log=log))
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", f"'{compiler}' -march=fancy")
    log.touch()
    return log


def test_the_agent_is_built_once_and_kept(cache: Path, log: Path) -> None:
    first, second = build_agent(), build_agent()

    assert first == second
    assert first.parent == cache
    assert os.access(first, os.X_OK)
    assert [entry.name for entry in cache.iterdir()] == [first.name]
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("named", ["", "relative/cache"], ids=["empty", "relative path"])
def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", named)

    assert build.cache_folder() == str(tmp_path / ".cache/pytest-mmapconf")


def test_another_source_or_compiler_is_another_agent(
    cache: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_agent()
    monkeypatch.setenv("CC", f"'{tmp_path / 'fake compiler'}' -march=plain")
    second = build_agent()
    other = tmp_path / "other.c"
    other.write_text("int main(void) { return 0; }")
    monkeypatch.setattr(build, "SOURCE", other)
    third = build_agent()

    assert len({first, second, third}) == 3
    assert log.read_text() == "built\n" * 3


def test_concurrent_builds_do_not_disturb_one_another(cache: Path, log: Path) -> None:
    code = """
from pytest_mmapconf.agent.build import build_agent
print(build_agent())
"""
    builders = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {builder.communicate(timeout=60)[0] for builder in builders}

    assert len(outputs) == 1
    assert [entry.name for entry in cache.iterdir()] == [Path(outputs.pop().strip()).name]


def test_without_a_writable_cache_the_agent_is_built_for_this_run(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()  # a file, where the cache's directory must be made
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked / "cache"))
    code = """
from pytest_mmapconf.agent.build import build_agent
agent = build_agent()
assert agent.is_file()
print(agent)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    agent = Path(done.stdout.strip())
    assert agent.name.startswith("mmap_agent-")
    assert not agent.parent.exists()


def has_the_three_solutions(text: str) -> bool:
    return "$CC" in text and "pip install ziglang" in text and "--mmap-backend=agent:PATH" in text


def test_without_a_compiler_the_error_lists_the_solutions(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("pytest_mmapconf.agent.prebuilt.agent_for", lambda machine, source: None)

    with pytest.raises(BuildError, match=r"there is no C compiler \(cc, gcc, clang\)") as error:
        build_agent()

    assert has_the_three_solutions(str(error.value))


def test_a_compiler_that_does_not_exist(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")

    with pytest.raises(BuildError, match=r"\$CC names a compiler that does not exist: no-such-compiler") as error:
        build_agent()

    assert has_the_three_solutions(str(error.value))


def test_a_compiler_that_fails(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'no headers here' >&2; exit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CC", str(failing))

    with pytest.raises(BuildError, match=r"failing .* failed:\nno headers here") as error:
        build_agent()

    assert has_the_three_solutions(str(error.value))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("named", "installed", "ziglang", "chosen"),
    [
        ("mine -m32", ["mine", "cc"], False, ["mine", "-m32"]),
        ("", ["gcc", "cc", "clang"], False, ["cc"]),
        ("", ["gcc", "clang"], True, ["gcc"]),
        ("", ["clang"], True, ["clang"]),
        ("", [], True, [sys.executable, "-m", "ziglang", "cc"]),
    ],
    ids=["CC", "cc", "gcc", "clang", "ziglang"],
)
def test_the_compiler_is_chosen_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, installed: list[str], ziglang: bool, chosen: list[str]
) -> None:
    for name in installed:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", named)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if ziglang else None)

    assert find_compiler() == chosen


def test_the_source_has_no_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*find_compiler(), *build.FLAGS, "-Wall", "-Wextra", "-Werror", str(build.SOURCE), "-o", "agent"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
