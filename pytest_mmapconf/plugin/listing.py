"""The lists of --mmap-list-clauses and --mmap-list-backends."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

import pytest

from .. import backends
from ..catalogue.clauses import LEVELS, Clause
from . import options


def show(config: pytest.Config) -> int:
    """Print the lists that the options ask for; return the exit status."""
    if config.option.mmap_list_clauses:
        level = options.level(config) if config.option.mmap_level else LEVELS[-1]
        show_lines(clauses(options.selected_clauses(level, options.value(config, "mmap_clause")).values()))
    if config.option.mmap_list_backends:
        show_lines(backend_lines(backends.named_backends(config.hook.pytest_mmapconf_backends())))
    return 0


def show_lines(lines: Iterable[str]) -> None:
    """Print lines; characters that the terminal's encoding lacks are escaped, `…` is three dots."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            print(line.replace("…", "...").encode(encoding, "backslashreplace").decode(encoding))
        else:
            print(line)


def clauses(selected: Iterable[Clause]) -> list[str]:
    """Return a paragraph for each clause: its id, its level, its text."""
    selected = list(selected)
    width = max(shutil.get_terminal_size().columns, 60)
    column = max(len(clause.id) for clause in selected) + 2
    lines = []
    for clause in selected:
        first = f"{clause.id:{column}}{clause.level:12}"
        text = f"{clause.text} Only for {clause.when}." if clause.when else clause.text
        lines.append(textwrap.fill(first + text, width, subsequent_indent=" " * min(len(first), width // 2)))
    return lines


def backend_lines(names: Iterable[str]) -> list[str]:
    """Return a line for each name of a backend, for each variant of the reference, and for each form of the option."""
    width = max(len(form) for form in backends.FORMS) + 2
    variants = backends.variants()
    column = max(map(len, variants), default=0) + 2
    return [
        *names,
        *(f"{name:{column}}{text}" for name, text in variants.items()),
        *(f"{form:{width}}{text}" for form, text in backends.FORMS.items()),
    ]
