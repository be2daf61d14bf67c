"""Run the tiny agent as a WebAssembly program: `--mmap-backend=wasi`, or `agent:python -m pytest_mmapconf.agent.wasi`.

The compiler is zig's (PyPI: ziglang), with wasi-libc, whose mmap is emulated; the runtime is wasmtime (PyPI: wasmtime).
The program sees one directory, as "/".
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from .build import BuildError, kept
from .dead_agent import record_owner

TINY: Final = Path(__file__).with_name("tiny")
SOURCES: Final = ("tiny_agent.c", "wasi.c", "tiny.h")
OPTIONS: Final = ("-target", "wasm32-wasi", "-O1", "-D_WASI_EMULATED_MMAN")
LIBRARY: Final = "-lwasi-emulated-mman"


def built() -> Path:
    """Return the program; compile it first if no program was made from these sources.

    Raises CalledProcessError, whose output is on the standard error, and BuildError.
    """
    sources = "\0".join((TINY / name).read_text(encoding="utf-8") for name in SOURCES)
    return kept(f"wasi-{hashlib.sha256(sources.encode()).hexdigest()[:20]}.wasm", compile_to, lambda program: True)


def compile_to(program: Path) -> None:
    """Compile the tiny agent with its port to WASI."""
    files = [str(TINY / name) for name in SOURCES if name.endswith(".c")]
    command = [sys.executable, "-m", "ziglang", "cc", *OPTIONS, "-o", str(program), *files, LIBRARY]
    subprocess.run(command, check=True, stdout=sys.stderr.fileno())
    program.chmod(0o755)


def main(arguments: list[str]) -> int:
    """Compile and run; `--directory DIR` is where the program's directory is made."""
    wasmtime: Any = import_module("wasmtime")
    base = arguments[1] if arguments[:1] == ["--directory"] else None
    try:
        program = built()
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix=f"mmapconf-{os.getpid()}_", dir=base) as folder:
        record_owner(folder)
        files = Path(folder, "files")
        files.mkdir()
        engine = wasmtime.Engine()
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["agent"]
        wasi.inherit_stdin()
        wasi.inherit_stdout()
        wasi.inherit_stderr()
        wasi.preopen_dir(str(files), "/")
        store.set_wasi(wasi)
        instance = linker.instantiate(store, wasmtime.Module.from_file(engine, str(program)))
        start = instance.exports(store)["_start"]
        try:
            start(store)
        except wasmtime.ExitTrap as end:
            return int(end.code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
