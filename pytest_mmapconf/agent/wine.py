"""Run the tiny agent as a program of Windows under wine: `--mmap-backend=wine`.

The compiler is that of mingw-w64.  Wine has the drives of Windows in a directory, the prefix.  The one that it makes by
itself takes ten seconds and 700 MB; the agent needs libraries only, so this one has links to wine's, and is removed at
the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from .dead_agent import record_owner
from .tiny_port import built

COMPILER: Final = ("x86_64-w64-mingw32-gcc",)
SOURCES: Final = ("windows.c", "windows_mman.h", "names.h")
OPTIONS: Final = ("-std=c11", "-O1")

LIBRARIES: Final = ("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows", "/usr/lib/wine/x86_64-windows")
"""Where wine's packages have the libraries of 64-bit Windows."""


def make_prefix(prefix: Path) -> None:
    """Make what wine needs to start a program, which it does not change then (.update-timestamp)."""
    (prefix / "dosdevices").mkdir(parents=True)
    (prefix / "dosdevices" / "c:").symlink_to("../drive_c")
    (prefix / "dosdevices" / "z:").symlink_to("/")
    (prefix / ".update-timestamp").write_text("disable\n", encoding="ascii")
    system = prefix / "drive_c" / "windows" / "system32"
    system.mkdir(parents=True)
    for library in libraries():
        (system / library.name).symlink_to(library)


def libraries() -> Iterator[Path]:
    """Yield the libraries that wine has."""
    for folder in LIBRARIES:
        with suppress(OSError):
            yield from Path(folder).iterdir()


def end_server(environment: dict[str, str]) -> None:
    """Wait until wine's server has ended, which it does by itself after the last program; kill it if it does not."""
    for option in ("-w", "-k"):
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["wineserver", option], env=environment, check=False, timeout=5, capture_output=True)
            return


def main(arguments: list[str]) -> int:
    """Compile and run; `--directory DIR` is where the directory of its files and of the prefix is made."""
    base = arguments[1] if arguments[:1] == ["--directory"] else None
    program = built("windows", ".exe", SOURCES, COMPILER, OPTIONS)
    with tempfile.TemporaryDirectory(prefix=f"mmapconf-{os.getpid()}_", dir=base) as folder:
        record_owner(folder)
        prefix, files, temporary = (Path(folder, name) for name in ("prefix", "files", "temporary"))
        make_prefix(prefix)
        files.mkdir()
        temporary.mkdir()  # its server has a directory in it
        settings = {"WINEPREFIX": str(prefix), "TMPDIR": str(temporary), "WINEDEBUG": "-all"}
        environment = {**os.environ, **settings}
        command = ["wine", str(program), "--directory", str(files)]
        status = subprocess.run(command, env=environment, cwd=files, check=False).returncode
        end_server(environment)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
