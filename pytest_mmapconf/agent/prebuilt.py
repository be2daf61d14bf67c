"""Agents that were built before: static programs in a wheel, for machines that have no C compiler.

A release builds them with zig (`.ci/prebuild`) into the directory `prebuilt`, with a list of their hashes.  A checkout
and a wheel built from it without that step have none.  An agent is used only if its own hash is the listed one, and the
source that it was built from is the source beside this module.

Such an agent judges the kernel, not the libc of the system: it brings its own.  Its greeting says so.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("prebuilt")

LIST: Final = "agents.json"
"""The list: {"source": hash, "compiler": text, "agents": {machine: hash}}; hashes are SHA-256 in hexadecimal."""

NAMES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""Other names of machines, as `uname -m` or another system reports them -> the name of the file."""


def agent_for(machine: str, source: Path, folder: Path = FOLDER) -> bytes | None:
    """Return the program for a machine, as `uname -m` names it; None if there is none that can be trusted."""
    name = NAMES.get(machine.lower(), machine)
    try:
        listed = json.loads((folder / LIST).read_text("utf-8"))
        expected, of_source = listed["agents"][name], listed["source"]
        content = (folder / name).read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sha256(content).hexdigest() != expected or sha256(source.read_bytes()).hexdigest() != of_source:
        return None
    return content
