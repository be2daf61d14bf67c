"""Run the tiny agent as a WebAssembly program: `--mmap-backend=wasi`, or `agent:python -m pytest_mmapconf.agent.wasi`.

The compiler is zig's (PyPI: ziglang), with wasi-libc, whose mmap is emulated; the runtime is wasmtime (PyPI: wasmtime).
The program sees one directory, as "/".
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from .dead_agent import record_owner
from .tiny_port import built

COMPILER: Final = (sys.executable, "-m", "ziglang", "cc")
OPTIONS: Final = ("-target", "wasm32-wasi", "-O1", "-D_WASI_EMULATED_MMAN", "-lwasi-emulated-mman")


def main(arguments: list[str]) -> int:
    """Compile and run; `--directory DIR` is where the program's directory is made."""
    wasmtime: Any = import_module("wasmtime")
    base = arguments[1] if arguments[:1] == ["--directory"] else None
    program = built("wasi", ".wasm", ("wasi.c",), COMPILER, OPTIONS)
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
