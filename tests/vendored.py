"""A small copy of the package under another name, and a few backends for it.

The copy has the layout of an installed package, with a catalogue of five clauses and cases of its own.  Tests that run
it do not depend on the real cases, and test vendoring at the same time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest_mmapconf

NAME = "third_party.mm"

CLAUSES = """
[[clause]]
id = "map.size"
level = "documented"
text = "A length of zero is refused."
observed = "EINVAL"
source = "the chapter"

[[clause]]
id = "map.address"
level = "documented"
text = "The address is a multiple of the page."
observed = "by looking at it"
source = "the chapter"

[[clause]]
id = "file.content"
level = "documented"
text = "A file holds what was written."
observed = "by reading it"
source = "the chapter"

[[clause]]
id = "file.end"
level = "posix"
text = "Nothing is read past the end."
observed = "by reading there"
source = "XSH read()"

[[clause]]
id = "file.linux"
level = "linux"
text = "The first descriptor is 3."
observed = "by looking at it"
source = "open(2)"
"""

CASES = {
    "mapping.py": """
import pytest
from ..contract import MAP_PRIVATE, PROT_READ
from ..testing import clause, fails

@clause("map.size")
@pytest.mark.parametrize("prot", [pytest.param(0, id="none"), pytest.param(PROT_READ, id="read")])
def test_no_length(process, prot):
    with fails("EINVAL"):
        process.mmap(0, 0, prot, MAP_PRIVATE, -1, 0)

@clause("map.address")
def test_aligned(process, page, record):
    address = process.mmap(0, page, PROT_READ, MAP_PRIVATE, -1, 0)
    record("address", hex(address))
    assert address % page == 0
""",
    "files.py": """
from ..testing import clause

def helper():
    raise AssertionError("this is not a case")

@clause("file.content")
def test_content(process, file):
    assert process.pread(file(b"abc"), 9, 0) == b"abc"

@clause("file.content")
def test_content_written(process, new_path, write_file):
    path = new_path()
    write_file(path, b"abc")
    assert process.pread(process.open(path, 0), 2, 1) == b"bc"

@clause("file.end")
def test_end(process, file):
    assert process.pread(file(b"abc"), 9, 3) == b""

@clause("file.linux")
def test_first(file):
    assert file() == 3
""",
    "_helpers.py": "raise AssertionError('this is no module of cases')",
}

SUBJECTS = """
import errno, os
from third_party.mm.contract import *

class Good(Process):
    def __init__(self):
        self.files, self.open_files, self.top = {}, {}, 65536
    def sysconf(self, name):
        return 4096
    def mmap(self, addr, length, prot, flags, fd, offset):
        if not length:
            raise OSError(errno.EINVAL, "length")
        self.top += 4096
        return self.top
    def open(self, path, flags, mode=0o600):
        fd = 3 + len(self.open_files)
        self.open_files[fd] = self.files.setdefault(path, bytearray())
        return fd
    def close(self, fd):
        del self.open_files[fd]
    def pwrite(self, fd, data, offset):
        self.open_files[fd][offset:offset + 2] = data[:2]
        return len(data[:2])
    def pread(self, fd, length, offset):
        return bytes(self.open_files[fd][offset:offset + length])
    def maps(self):
        return f"mapped up to {self.top:#x}"

class Bad(Good):
    def mmap(self, addr, length, prot, flags, fd, offset):
        self.top += 1 if length else 0
        return self.top

class NoFiles(Good):
    open = Process.open

class Nothing(Process):
    pass

class Dies(Good):
    def pread(self, fd, length, offset):
        raise Unresolved("the agent died\\nof old age")

class CannotSetUp(Good):
    def pwrite(self, fd, data, offset):
        raise OSError(errno.ENOSPC, "full")

class Crashes(Good):
    def pread(self, fd, length, offset):
        os._exit(9)

class CrashesAtBirth(Good):
    def sysconf(self, name):
        os._exit(9)

class GoodSystem(System):
    def spawn(self):
        return Good()

class Known(Backend):
    name = "known"
    closed = 0
    def facts(self):
        return Facts("known", "7.1", {"kernel": "Toy 3", "page": "4096", "machine": "paper"})
    def boot(self):
        return GoodSystem()
    def close(self):
        with open("closed.txt", "a") as file:
            print("closed", self.options, file=file)

class NotClosing(Known):
    def boot(self):
        system = GoodSystem()
        system.close = self.stuck
        return system
    def stuck(self):
        raise OSError(errno.EBUSY, "still mounted")

class NotStarting(Known):
    def facts(self):
        raise Unresolved("no such machine\\nbuy one")
"""


def build(folder: Path, cases: dict[str, str] = CASES) -> Path:
    """Write the copy and the backends into `folder`, which must then be on PYTHONPATH."""
    source = Path(pytest_mmapconf.__file__).parent
    package = folder.joinpath(*NAME.split("."))
    package.parent.mkdir(parents=True)
    package.parent.joinpath("__init__.py").touch()
    leave = shutil.ignore_patterns("__pycache__", "conformance", "reference", "*.c")
    shutil.copytree(source, package, ignore=leave)
    conformance = package / "conformance"
    conformance.mkdir()
    (conformance / "__init__.py").touch()
    (conformance / "clauses.toml").write_text(CLAUSES)
    for name, text in cases.items():
        (conformance / name).write_text(text)
    (folder / "subjects.py").write_text(SUBJECTS)
    return folder
