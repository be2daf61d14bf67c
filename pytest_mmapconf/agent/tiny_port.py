"""Compile the tiny agent with one of its ports to a program for another system, which is kept in the user's cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .build import BuildError, kept

TINY: Final = Path(__file__).with_name("tiny")
COMMON: Final = ("tiny_agent.c", "tiny.h")


def built(name: str, suffix: str, sources: Sequence[str], compiler: Sequence[str], options: Sequence[str]) -> Path:
    """Return the program NAME-HASH.SUFFIX; compile it first if no program was made from these sources and options.

    `sources` are the files of the port.  If it cannot be compiled, this program ends with a message, and with the
    compiler's status if it has one.
    """
    files = [TINY / source for source in (*COMMON, *sources)]
    made_from = "\0".join([*(file.read_text(encoding="utf-8") for file in files), *options])

    def compile_to(program: Path) -> None:
        made = program.with_suffix(suffix)  # a name without suffix gets one by some compilers
        command = [*compiler, "-o", str(made), *(str(file) for file in files if file.suffix == ".c"), *options]
        subprocess.run(command, check=True, stdout=sys.stderr.fileno())
        made.rename(program)
        program.chmod(0o755)

    hashed = hashlib.sha256(made_from.encode()).hexdigest()[:20]
    try:
        return kept(f"{name}-{hashed}{suffix}", compile_to, lambda program: True)
    except subprocess.CalledProcessError as error:  # the compiler has said why
        sys.exit(error.returncode)
    except (BuildError, OSError) as error:
        sys.exit(str(error))
