"""Building the agent: once, kept under what it is made of; and what is said where it cannot be built."""

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
    """The cache's folder, empty, for this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "pytest-mmapconf"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a compiler that writes a line a build; it is the one that $CC names."""
    compiler, log = tmp_path / "fake compiler", tmp_path / "log"
    compiler.write_text(SLOW_FAKE.format(log=log))
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", f"'{compiler}' -march=fancy")
    log.touch()
    return log


def test_it_is_built_once_and_kept(cache: Path, log: Path) -> None:
    first, second = build_agent(), build_agent()

    assert first == second
    assert first.parent == cache
    assert os.access(first, os.X_OK)
    assert [entry.name for entry in cache.iterdir()] == [first.name]
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("named", ["", "relative/cache"], ids=["no name", "a name that is no path"])
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


def test_two_that_build_at_once_do_not_disturb_one_another(cache: Path, log: Path) -> None:
    code = """
from pytest_mmapconf.agent.build import build_agent
print(build_agent())
"""
    builders = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {builder.communicate(timeout=60)[0] for builder in builders}

    assert len(said) == 1
    assert [entry.name for entry in cache.iterdir()] == [Path(said.pop().strip()).name]


def test_without_a_cache_that_can_be_written_it_is_built_for_this_run(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()  # a file, where the cache's folder would have to be made
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


def three_ways_out(text: str) -> bool:
    return "$CC" in text and "pip install ziglang" in text and "--mmap-backend=agent:PATH" in text


def test_no_compiler(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(BuildError, match=r"there is no C compiler \(cc, gcc, clang\)") as error:
        build_agent()

    assert three_ways_out(str(error.value))


def test_a_compiler_that_is_not_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")

    with pytest.raises(BuildError, match=r"\$CC names a compiler that is not there: no-such-compiler") as error:
        build_agent()

    assert three_ways_out(str(error.value))


def test_a_compiler_that_fails(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'no headers here' >&2; exit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CC", str(failing))

    with pytest.raises(BuildError, match=r"failing .* failed:\nno headers here") as error:
        build_agent()

    assert three_ways_out(str(error.value))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("named", "there", "ziglang", "found"),
    [
        ("mine -m32", ["mine", "cc"], False, ["mine", "-m32"]),
        ("", ["gcc", "cc", "clang"], False, ["cc"]),
        ("", ["gcc", "clang"], True, ["gcc"]),
        ("", ["clang"], True, ["clang"]),
        ("", [], True, [sys.executable, "-m", "ziglang", "cc"]),
    ],
    ids=["CC", "cc", "gcc", "clang", "ziglang"],
)
def test_which_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, there: list[str], ziglang: bool, found: list[str]
) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", named)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if ziglang else None)

    assert find_compiler() == found


def test_the_source_has_no_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*find_compiler(), *build.FLAGS, "-Wall", "-Wextra", "-Werror", str(build.SOURCE), "-o", "agent"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
