"""The output of `--mmap-smoke`."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Sequence
from typing import Final

import pytest

from .. import backends
from ..catalogue.clauses import LEVELS
from ..contract import Backend
from ..smoke.checks import CHECKS
from ..smoke.outcomes import LACKS, OK, SKIPPED, WRONG, Outcome
from ..smoke.run import run
from ..version import suite_version
from . import options as plugin_options
from . import required_calls


def report(name: str, checks: Sequence[Outcome], probes: Sequence[Outcome]) -> tuple[bool, list[str]]:
    """Return whether the adapter works, and the lines of the report."""
    lines = [f"mmapconf {suite_version()}: smoke of {name}"]
    for check, outcome in zip(CHECKS, checks, strict=True):
        lines.append(f"  {outcome.verdict:6}{check.name:9}{check.text}")
        lines += _wrapped(outcome.observed) + _wrapped(f"-> {outcome.fix}" if outcome.fix else "")
    if probes:
        lines += [*_listed("has", [probe for probe in probes if probe.verdict == OK])]
        lines += [*_listed("lacks", [probe for probe in probes if probe.verdict == LACKS])]
        lines += [f"  {probe.check}: {probe.observed}" for probe in probes if probe.verdict == WRONG]
        has = {probe.check for probe in probes if probe.verdict == OK}
        for level in LEVELS:
            lines.append(_level(level, has))
    else:
        lines.append("The calls of the backend and the levels it supports are listed once the adapter works.")
    wrong = sum(outcome.verdict == WRONG for outcome in checks)
    works = not wrong and checks[3].verdict == OK
    conclusion = "the adapter works" if works else "the adapter does not work yet"
    counts = [(sum(outcome.verdict == verdict for outcome in checks), text) for verdict, text in COUNTED.items()]
    lines.append(f"{conclusion}: {', '.join(f'{count} {text}' for count, text in counts if count)}")
    return works, lines


COUNTED: Final = {OK: "ok", WRONG: "to fix", LACKS: "unsupported", SKIPPED: "skipped"}


def _wrapped(text: str) -> list[str]:
    indent = " " * 17
    width = max(shutil.get_terminal_size().columns, 60)
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _listed(title: str, probes: Sequence[Outcome]) -> list[str]:
    text = ", ".join(f"{probe.check} ({probe.observed})" if probe.observed else probe.check for probe in probes)
    width = max(shutil.get_terminal_size().columns, 60)
    return textwrap.wrap(f"{title:7}{text or 'nothing'}", width, subsequent_indent=" " * 7, break_on_hyphens=False)


def _level(level: str, has: Collection[str]) -> str:
    possible, total, missing = required_calls.possible(level, has)
    most = ", ".join(f"{call} ({count})" for call, count in missing.most_common(4))
    return f"level {level}: about {possible} of {total} clauses can be judged" + (
        f"; others need {most}" if most else ""
    )


def show(config: pytest.Config) -> int:
    """Print the report of --mmap-smoke; return the exit status."""
    name = plugin_options.value(config, "mmap_backend")
    if not name:
        raise pytest.UsageError("--mmap-smoke needs --mmap-backend=BACKEND")
    options = plugin_options.backend_options(config)

    def make() -> Backend:
        backend = backends.make(
            name,
            config.hook.pytest_mmapconf_backends(),
            plugin_options.import_directories(config),
            plugin_options.recipe_files(config),
        )
        backend.configure(options)
        return backend

    agent = name.partition(":")[0] in ("agent", "native")
    # An agent's client has this time-out too, and its message is more detailed.
    seconds = options.timeout + (5 if agent else 0)
    works, lines = report(name, *run(make, agent, seconds))
    print("\n".join(lines))
    return int(pytest.ExitCode.OK if works else pytest.ExitCode.TESTS_FAILED)
