"""What `--mmap-smoke` prints."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Sequence
from typing import Final

import pytest

from ..catalogue.clauses import LEVELS
from ..contract import Backend
from ..plugin import backends
from ..plugin import options as plugin_options
from ..version import suite_version
from . import required_calls as needs
from .checks import CHECKS
from .outcomes import LACKS, LEFT_OUT, OK, WRONG, Outcome
from .run import run


def report(name: str, checks: Sequence[Outcome], probes: Sequence[Outcome]) -> tuple[bool, list[str]]:
    """Whether the adapter works, and what there is to say."""
    lines = [f"mmapconf {suite_version()}: smoke of {name}"]
    for check, outcome in zip(CHECKS, checks, strict=True):
        lines.append(f"  {outcome.verdict:6}{check.name:9}{check.text}")
        lines += _wrapped(outcome.seen) + _wrapped(f"-> {outcome.fix}" if outcome.fix else "")
    if probes:
        lines += [*_listed("has", [probe for probe in probes if probe.verdict == OK])]
        lines += [*_listed("lacks", [probe for probe in probes if probe.verdict == LACKS])]
        lines += [f"  {probe.check}: {probe.seen}" for probe in probes if probe.verdict == WRONG]
        has = {probe.check for probe in probes if probe.verdict == OK}
        for level in LEVELS:
            lines.append(_level(level, has))
    else:
        lines.append("What the backend has, and which levels can be asked, is told once the adapter works.")
    wrong = sum(outcome.verdict == WRONG for outcome in checks)
    good = not wrong and checks[3].verdict == OK
    told = "the adapter works" if good else "the adapter does not work yet"
    counts = [(sum(outcome.verdict == verdict for outcome in checks), text) for verdict, text in COUNTED.items()]
    lines.append(f"{told}: {', '.join(f'{count} {text}' for count, text in counts if count)}")
    return good, lines


COUNTED: Final = {OK: "ok", WRONG: "to put right", LACKS: "that it lacks", LEFT_OUT: "left out"}


def _wrapped(text: str) -> list[str]:
    indent = " " * 17
    width = max(shutil.get_terminal_size().columns, 60)
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _listed(title: str, probes: Sequence[Outcome]) -> list[str]:
    text = ", ".join(f"{probe.check} ({probe.seen})" if probe.seen else probe.check for probe in probes)
    width = max(shutil.get_terminal_size().columns, 60)
    return textwrap.wrap(f"{title:7}{text or 'nothing'}", width, subsequent_indent=" " * 7, break_on_hyphens=False)


def _level(level: str, has: Collection[str]) -> str:
    possible, total, missing = needs.possible(level, has)
    most = ", ".join(f"{call} ({count})" for call, count in missing.most_common(4))
    return f"level {level}: about {possible} of {total} clauses can be asked" + (
        f"; others need {most}" if most else ""
    )


def show(config: pytest.Config) -> int:
    """What --mmap-smoke prints; the exit status."""
    name = plugin_options.value(config, "mmap_backend")
    if not name:
        raise pytest.UsageError("--mmap-smoke needs --mmap-backend=BACKEND: whose adapter is it about?")
    options = plugin_options.backend_options(config)

    def make() -> Backend:
        backend = backends.make(name, config.hook.pytest_mmapconf_backends(), backends.import_directories(config))
        backend.configure(options)
        return backend

    agent = name.partition(":")[0] in ("agent", "native")
    patience = options.timeout + (5 if agent else 0)  # an agent's client has the time-out itself, and says more
    good, lines = report(name, *run(make, agent, patience))
    print("\n".join(lines))
    return int(pytest.ExitCode.OK if good else pytest.ExitCode.TESTS_FAILED)
