"""The front of an agent: the emulator that runs it, or the system itself.

The system that the command names must be the one that is judged.  An agent that executes itself again leaves an
emulator of user-mode programs (valgrind, qemu-user) in front of it, and the system below would be judged without
notice.  Two sources show this.  The agent reports its front in its greeting and after each exec, and both must agree
(PROTOCOL.md).  And where the agent's process is one of this machine, its command line shows whether what was started
still runs it, whatever the agent reports.  Neither exists for an agent that is reached by ssh and reports nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

IDENTITY: Final = ("front", "program", "platform", "page")
"""The names in a greeting, and in the answer to exec, that state what runs the agent."""

EMULATORS: Final = ("qemu-", "valgrind", "box64", "box86", "FEXInterpreter", "ld-linux", "ld-musl")
"""The beginnings of names of programs that run another program in their own process."""

LAUNCHERS: Final = re.compile(
    r"(a|ba|da|fi|k|z|)sh|bwrap|busybox|capsh|chpst|chroot|chrt|doas|env|gosu|i386|ionice|linux(32|64)|nice|nohup"
    r"|nsenter|numactl|perl|prlimit|python[\d.]*|ruby|runuser|setarch|setpriv|setsid|softlimit|stdbuf|strace|su|sudo"
    r"|systemd-run|taskset|uname26|unshare|x86_64"
)
"""The names of programs that execute another program in their place, or run a script that may do so."""

ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
"""The beginning of a word that sets a variable."""


def fields(text: str) -> dict[str, str]:
    """Return the NAME=VALUE fields of a line."""
    words = (word.partition("=") for word in text.split())
    return {name: unquote(value) for name, equals, value in words if equals}


def described(facts: Mapping[str, str]) -> str:
    """Return what runs the agent, in words, given the fields of its greeting."""
    if "program" not in facts:
        return "unknown: the agent does not report it"
    words = facts.get("front", "").split("\0")[:-1]
    return f"{shlex.join(words)} ({facts['program']})" if words else "the system itself"


def changed_by_exec(greeting: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """Return how the answer to exec contradicts the greeting; None if both report the same, or the greeting nothing."""
    if "program" in greeting and "program" not in after:
        return f"before exec the agent is run by {described(greeting)}; after it the agent does not report what runs it"
    names = [name for name in IDENTITY if name != "program" or greeting.get("front")]  # an agent may be two programs
    for name in names:
        if name in after and greeting.get(name, after[name]) != after[name]:
            what = "" if name in ("front", "program") else f", {name} {greeting[name]} and then {after[name]}"
            return f"before exec the agent is run by {described(greeting)}, after it by {described(after)}{what}"
    return None


# ------------------------------------------------------------------------------------------ processes of this machine


def escape_of(command: Sequence[str], pid: int) -> str | None:
    """Return how a started process shows that its program is no longer run by what the command names; else None.

    None also where nothing is known: the process cannot be observed, or a launcher or a script has executed something.
    """
    words = _command_line(pid)
    if not words or words[1:] == list(command[1:]):
        return None  # also a program that executes another one with the same arguments, as valgrind does
    lost = emulators_left(command, words)
    if lost is None and not _is_launcher(command[0]):
        lost = command[0]
    return lost and f"{shlex.join(words)} runs now, and not under {lost}, which was started"


def escape_in_session(command: Sequence[str], session: int) -> str | None:
    """Return how a process of a session shows that it has left an emulator that the command names; else None."""
    if not any(_is_emulator(word) for word in command):
        return None
    for pid in _processes_of(session):
        words = _command_line(pid)
        lost = emulators_left(command, words) if words else None
        if lost:
            return f"after exec {shlex.join(words)} runs, not run by {lost}"
    return None


def emulators_left(command: Sequence[str], words: Sequence[str]) -> str | None:
    """Return the first emulator in a command that is not in the command line of a process; None if there is none."""
    present = [os.path.basename(word) for word in words]
    for word in filter(_is_emulator, command):
        # valgrind executes valgrind.bin on some systems
        if not any(name.startswith(os.path.basename(word)) for name in present):
            return word
    return None


def _is_emulator(word: str) -> bool:
    """Return True if a word of a command names an emulator; a variable's assignment after `env` names no program."""
    return not ASSIGNMENT.match(word) and os.path.basename(word).startswith(EMULATORS)


def _is_launcher(word: str) -> bool:
    name = os.path.basename(word)
    if LAUNCHERS.fullmatch(name):
        return True
    try:
        with open(shutil.which(word) or word, "rb") as program:
            return program.read(2) == b"#!"
    except OSError:
        return True  # it cannot be known


def _command_line(pid: int) -> list[str]:
    """Return the command line of a process; empty if it has ended or cannot be observed."""
    try:
        return [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
    except OSError:
        return []


def _processes_of(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == session:
                    yield int(entry.name)
            except OSError:  # it has ended
                continue
