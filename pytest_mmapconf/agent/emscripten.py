"""Run the tiny agent as a program of Emscripten: `--mmap-backend=emscripten`.

The runtime is node.  Files are in the memory of the program (MEMFS), and so are mappings, which are copies of them.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from .tiny_port import built

OPTIONS: Final = ("-O1", "-sALLOW_MEMORY_GROWTH=1", "-sEXIT_RUNTIME=1", "-sSINGLE_FILE=1")


def main() -> int:
    """Compile, and run.  A directory for its files means nothing to it."""
    program = built("emscripten", ".js", ("wasi.c",), ("emcc",), OPTIONS)
    return subprocess.run(["node", str(program)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
