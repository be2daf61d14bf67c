"""The page: one file that needs nothing beside itself, and no JavaScript to be read.

What comes from an implementation (names, reasons, pictures) may hold anything.  The template engine escapes all of it,
and a policy in the page lets no script and no style run but the page's own, which it knows by their hashes.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..catalogue.mmap_matrix import PROTECTIONS
from ..catalogue.verdicts import FAIL, PASS, UNRESOLVED, VERDICTS
from ..version import suite_version
from . import view
from .grid import grid
from .result import Run

ROOM: Final = files(__package__)


def page(runs: Sequence[Run]) -> str:
    """The page about one run, or about several side by side."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"anchor": anchor, "slug": slug}
    style = f":root {{ --runs: {len(runs)}; }}\n" + (ROOM / "page.css").read_text("utf-8")
    script = (ROOM / "page.js").read_text("utf-8")
    labels = view.labels(runs)
    groups = view.groups(runs)
    rows = [row for of in groups.values() for row in of]
    shown = sum(len(cell.shown) for row in rows for cell in row.cells if cell)
    there = {verdict for row in rows for verdict in row.verdicts}
    others = [(label, list(view.without_clause(run))) for label, run in zip(labels, runs, strict=True)]
    grids = [(label, grid(run)) for label, run in zip(labels, runs, strict=True)]
    return environment.from_string((ROOM / "page.html.j2").read_text("utf-8")).render(
        title=f"Conformance of {' and '.join(labels)}",
        heading=labels[0] if len(runs) == 1 else f"{len(runs)} side by side",
        many=len(runs) > 1,
        runs=[about(run, label) for run, label in zip(runs, labels, strict=True)],
        symbols=view.SYMBOLS,
        meanings=view.MEANINGS,
        main_facts=view.MAIN_FACTS,
        verdicts=[verdict for verdict in reversed(VERDICTS) if verdict in there],
        tally={name: tally(of, len(runs)) for name, of in groups.items()},
        levels=view.levels(runs),
        verdict_counts=dict(Counter(verdict for row in rows for verdict in row.verdicts).most_common()),
        groups=groups,
        grids=[(label, lines) for label, lines in grids if lines],
        rights=PROTECTIONS,
        choices=view.choices(runs),
        others=[entry for entry in others if entry[1]],
        left_out=sum(bool(case.evidence) for run in runs for case in run.cases if case.clauses) - shown,
        version=suite_version(),
        style=Markup(style),
        style_hash=fingerprint(style),
        script=Markup(script),
        script_hash=fingerprint(script),
    )


def about(run: Run, label: str) -> dict[str, Any]:
    """The statement of one run, as the page lays it out."""
    good, text = run.statement
    broken = run.harness_is_broken
    first = next((case.reason for case in run.cases if case.verdict == UNRESOLVED), "")
    return {
        "label": label,
        "sign": view.SYMBOLS[PASS if good else UNRESOLVED if broken else FAIL],
        "tone": "partial" if good and run.partial else PASS if good else UNRESOLVED if broken else FAIL,
        "text": text[:1].upper() + text[1:],
        "broken": first if broken else "",
        "partial": run.partial,
        "facts": view.facts(run),
        "main": len(view.facts(run).keys() & set(view.MAIN_FACTS)),
        "counts": view.counts(run),
        "wrong": [entry for entry in run.judged if entry.verdict in (FAIL, UNRESOLVED)],
        "not_asked": view.not_asked(run),
        "causes_not_asked": view.causes_not_asked(run),
    }


def tally(rows: Sequence[view.Row], runs: int) -> list[Counter[str]]:
    """For each run, how many clauses of a group have which verdict."""
    return [Counter(cell.verdict for row in rows if (cell := row.cells[number])) for number in range(runs)]


def anchor(id: str) -> str:
    """Where a clause stands on the page."""
    return f"clause-{slug(id)}"


def slug(name: str) -> str:
    """A name as a part of an address."""
    return quote(re.sub(r"\s+", "-", name), safe="")


def fingerprint(text: str) -> str:
    """How the page's policy names a script or a style."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
