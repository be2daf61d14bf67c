"""Compile the tiny agent to WebAssembly: its port wasi.c, for wasi-libc and for Emscripten."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .build import BuildError, kept

TINY: Final = Path(__file__).with_name("tiny")
SOURCES: Final = ("tiny_agent.c", "wasi.c", "tiny.h")


def built(name: str, suffix: str, compiler: Sequence[str], options: Sequence[str]) -> Path:
    """Return the program NAME-HASH.SUFFIX; compile it first if no program was made from these sources and options.

    If it cannot be compiled, this program ends with a message, and with the compiler's status if it has one.
    """
    texts = ((TINY / name).read_text(encoding="utf-8") for name in SOURCES)
    made_from = "\0".join([*texts, *options])

    def compile_to(program: Path) -> None:
        files = [str(TINY / source) for source in SOURCES if source.endswith(".c")]
        command = [*compiler, "-o", str(program), *files, *options]
        subprocess.run(command, check=True, stdout=sys.stderr.fileno())
        program.chmod(0o755)

    hashed = hashlib.sha256(made_from.encode()).hexdigest()[:20]
    try:
        return kept(f"{name}-{hashed}{suffix}", compile_to, lambda program: True)
    except subprocess.CalledProcessError as error:  # the compiler has said why
        sys.exit(error.returncode)
    except (BuildError, OSError) as error:
        sys.exit(str(error))
