"""The worked example as a command: its output and exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

BACKENDS = ["native", "reference"]


def run(*arguments: str, cwd: Path | None = None, pass_fds: Sequence[int] = ()) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pytest_mmapconf", "print", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=cwd, pass_fds=pass_fds)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("content", [b"Hello World!\n", bytes(range(256)) * 40], ids=["text", "every-byte"])
def test_the_output_is_the_file(tmp_path: Path, backend: str, content: bytes) -> None:
    path = tmp_path / "test.file"
    path.write_bytes(content)

    done = run(str(path), "--backend", backend)

    assert (done.returncode, done.stdout, done.stderr) == (0, content, b"")


def test_relative_path_starts_in_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "test.file").write_bytes(b"here\n")

    assert run("test.file", cwd=tmp_path).stdout == b"here\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_usage(backend: str) -> None:
    done = run("--backend", backend)

    assert done.returncode == 255
    assert done.stdout.startswith(b"Usage: ")


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_such_file(tmp_path: Path, backend: str) -> None:
    done = run(str(tmp_path / "missing"), "--backend", backend)

    assert (done.returncode, done.stdout) == (255, b"")
    assert done.stderr == b"open error: No such file or directory\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_file(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "empty"
    path.touch()

    done = run(str(path), "--backend", backend)

    assert (done.returncode, done.stdout, done.stderr) == (255, b"", b"mmap error: Invalid argument\n")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_directory(tmp_path: Path, backend: str) -> None:
    done = run(str(tmp_path), "--backend", backend)

    assert done.returncode == 1
    assert done.stdout.endswith(b" is not a file\n")


def test_a_device() -> None:
    done = run("/dev/null")

    assert (done.returncode, done.stdout) == (1, b"file /dev/null is not a file\n")


def test_a_pipe() -> None:
    """A path as in a shell's <(…): a descriptor of the command itself."""
    reader, writer = os.pipe()
    try:
        done = run(f"/dev/fd/{reader}", pass_fds=[reader])
    finally:
        os.close(reader)
        os.close(writer)

    assert done.returncode == 1
    assert done.stdout.endswith(b" is not a file\n")


def test_a_device_cannot_be_copied() -> None:
    done = run("/dev/null", "--backend", "reference")

    assert done.returncode == 255
    assert b"neither a regular file nor a directory" in done.stderr


def test_an_unknown_backend(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--backend", "refrence")

    assert done.returncode == 255
    assert b"reference" in done.stderr


def test_reader_that_closes_the_output(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(bytes(1 << 20))
    command = [sys.executable, "-m", "pytest_mmapconf", "print", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()

        assert process.stderr.read() == b""
        assert process.wait(60) == 255
