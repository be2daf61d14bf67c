"""The C file around the steps of a program: the template's blocks that they use, headers, names, and main."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final, Protocol

from .c_calls import HEADERS, NEW_CONSTANTS
from .c_text import literal

SECONDS: Final = 20
"""Seconds after which process 0 ends a program that has several processes, or that may hang."""


class Printed(Protocol):
    """What the steps of a program need of the file around them."""

    uses: set[str]
    """The blocks of the template."""
    numbers: dict[str, int]
    """The number of each process and thread, by name."""
    names: dict[str, str]
    """The declaration of each name in C."""
    files: list[str]
    """The paths that the program creates, and removes at its end."""
    buffer_size: int
    """Bytes of the buffer of loads, stores, reads and writes."""
    round_calls: int
    """The most calls that a step makes at the same time."""
    restarts: list[int]
    """The numbers of the steps in which a process starts the program again."""
    threads: dict[int, int]
    """By the number of a step in which a thread is started, the number of the thread."""

    def prologue(self) -> list[str]:
        """Return the lines of main before the first step."""

    def epilogue(self) -> list[str]:
        """Return the lines after the last step."""


def fill_in(printer: Printed, body: Sequence[str], title: str, clauses: Sequence[str]) -> str:
    """Return the template with the printed steps and the blocks that they use."""
    with_files = "FILES" in printer.uses
    prologue, epilogue = printer.prologue(), printer.epilogue()
    heading = f"int main({'int argc, char **argv' if with_files or printer.restarts else 'void'})"
    if printer.threads:
        begin = ["switch (from) {", *cases([*printer.threads, *printer.restarts]), "}"]
        steps = [
            *_function("static void make_steps(int from)", [*begin, *body, *epilogue]),
            "",
            *_function(heading, [*prologue, "make_steps(0);", "return 0;"]),
        ]
    else:
        steps = _function(heading, [*prologue, *body, *epilogue, "return 0;"])
    parameters = {
        "steps": "\n".join(steps),
        "clauses": literal((", ".join(clauses) or "the expectation").encode()),
        "buffer_size": str(max(printer.buffer_size, 16)),
        "files": ", ".join([*(literal(path.encode()) for path in reversed(printer.files)), "NULL"]),
        "processes": str(len(printer.numbers) + 1),
        "round_calls": str(printer.round_calls),
        "local": "_Thread_local " if printer.threads else "",
        "actor": "process or thread" if printer.threads else "process",
        "seconds": str(SECONDS),
        "and_processes": ", processes" if "PROCESSES" in printer.uses else "",
        "names": _names(printer),
    }
    regions = [name for name, declaration in printer.names.items() if declaration.startswith("char *")]
    parameters["region_formats"] = "".join(f", {name} = %p" for name in regions)
    parameters["regions"] = ", ".join(f"(void *){name}" for name in regions)
    if printer.names:
        printer.uses.add("NAMES")
    if regions:
        printer.uses.add("REGIONS")
    text = "\n".join(_used((files(__package__) / "c_source.c.in").read_text("utf-8").splitlines(), printer.uses))
    for name, value in parameters.items():
        text = text.replace(f"@{name}@", value)
    includes = [f"#include <{header}>" for header, words in HEADERS.items() if not words or re.search(words, text)]
    for name, number in NEW_CONSTANTS.items():
        if re.search(rf"\b{name}\b", text):
            includes += ["", f"#ifndef {name}", f"#define {name} {number:#x}", "#endif"]
    text = text.replace("@includes@", "\n".join(includes))
    return _heading(title, clauses, with_files, bool(printer.threads)) + re.sub(r"\n{3,}", "\n\n", text) + "\n"


def cases(steps: Sequence[int]) -> Iterator[str]:
    """Yield the cases of a switch that continues after one of the steps."""
    for step in steps:
        yield from (f"case {step}:", f"    goto after_{step};")


def _function(heading: str, body: Sequence[str]) -> list[str]:
    """Return the lines of a function, with the declarations that its body needs."""
    text = "\n".join(body)
    declarations = []
    if "&status" in text:
        declarations.append("struct stat status;")
    if "pair[" in text or "(pair)" in text or ", pair)" in text:
        declarations.append("int pair[2];")
    lines = [*declarations, *([""] if declarations else []), *body]
    return [heading, "{", *(f"    {line}" if line else "" for line in lines), "}"]


def _names(printer: Printed) -> str:
    """Return the declarations of all names; with several processes as one struct, which messages carry."""
    if "PROCESSES" not in printer.uses:
        return "\n".join(f"static {declaration}" for declaration in printer.names.values())
    lines = ["static struct {", "    int verdict;", *(f"    {line}" for line in printer.names.values()), "} known;"]
    return "\n".join([*lines, *(f"#define {name} known.{name}" for name in printer.names)])


def _used(lines: Sequence[str], uses: set[str]) -> Iterator[str]:
    """Yield the lines of the template, those between #if USES_… and #endif only if that block is used."""
    blocks = [(False, True)]  # (True if its condition is USES_…, True if its lines are kept)
    for line in lines:
        ours, kept = blocks[-1]
        word, _, condition = line.partition(" ")
        if word.startswith("#if"):
            ours = condition.startswith("USES_")
            blocks.append((ours, kept and (not ours or condition[len("USES_") :] in uses)))
        elif word == "#else" and ours:
            blocks[-1] = ours, blocks[-2][1] and not kept
        elif word == "#endif":
            blocks.pop()
        if kept and not (ours and word in ("#else", "#endif")) and not (word == "#if" and ours):
            yield line


def _heading(title: str, clauses: Sequence[str], with_files: bool, with_threads: bool) -> str:
    """Return the opening comment of a C file."""
    judged = "".join(f" *     {clause}\n" for clause in clauses)
    options = "-Wall -Wextra -Werror -pthread" if with_threads else "-Wall -Wextra -Werror"
    where = " [DIRECTORY]" if with_files else ""
    note = " * Files are made in a new folder in DIRECTORY (/tmp), and removed.\n" if with_files else ""
    return (
        f"/*\n * {title}\n *\n"
        + (f" * Judges:\n{judged} *\n" if judged else "")
        + " * Exits 0 where the system conforms, 1 where it deviates, 2 where the result is inconclusive.\n"
        f" *     cc {options} THIS.c -o reproducer && ./reproducer{where}\n{note} */\n"
    )
