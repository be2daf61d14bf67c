"""The page: one self-contained HTML file, readable without JavaScript.

Text supplied by an implementation (names, reasons, maps of address spaces) may contain anything.  The template engine
escapes all of it, and the content security policy of the page allows only the page's own script and style, which it
identifies by their hashes.
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
from .causes import rest_of
from .grid import grid
from .result import Run

PACKAGE_FILES: Final = files(__package__)
"""The template, style and script of the page."""


def page(runs: Sequence[Run]) -> str:
    """Return the page about one run, or about several side by side."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"anchor": anchor, "slug": slug}
    style = f":root {{ --runs: {len(runs)}; }}\n" + (PACKAGE_FILES / "page.css").read_text("utf-8")
    script = (PACKAGE_FILES / "page.js").read_text("utf-8")
    labels = view.labels(runs)
    groups = view.groups(runs)
    rows = [row for of in groups.values() for row in of]
    shown = sum(len(cell.shown) for row in rows for cell in row.cells if cell)
    occurring = {verdict for row in rows for verdict in row.verdicts}
    others = [(label, list(view.without_clause(run))) for label, run in zip(labels, runs, strict=True)]
    grids = [(label, grid(run)) for label, run in zip(labels, runs, strict=True)]
    return environment.from_string((PACKAGE_FILES / "page.html.j2").read_text("utf-8")).render(
        title=f"Conformance of {' and '.join(labels)}",
        heading=labels[0] if len(runs) == 1 else f"{len(runs)} side by side",
        many=len(runs) > 1,
        runs=[about(run, label, rows) for run, label in zip(runs, labels, strict=True)],
        symbols=view.SYMBOLS,
        meanings=view.MEANINGS,
        main_facts=view.MAIN_FACTS,
        verdicts=[verdict for verdict in reversed(VERDICTS) if verdict in occurring],
        tally={name: tally(of, len(runs)) for name, of in groups.items()},
        levels=view.levels(runs),
        verdict_counts=dict(Counter(verdict for row in rows for verdict in row.verdicts).most_common()),
        groups=groups,
        on_page={entry.clause.id for run in runs for entry in run.judged},
        grids=[(label, lines) for label, lines in grids if lines],
        protections=PROTECTIONS,
        choices=view.choices(runs),
        others=[entry for entry in others if entry[1]],
        left_out=sum(bool(case.evidence) for run in runs for case in run.cases if case.clauses) - shown,
        version=suite_version(),
        style=Markup(style),
        style_hash=fingerprint(style),
        script=Markup(script),
        script_hash=fingerprint(script),
    )


def about(run: Run, label: str, rows: Sequence[view.Row]) -> dict[str, Any]:
    """Return the values of the page's section on one run: the statement, the failures, the facts and the counts."""
    passed, text = run.statement
    broken = run.harness_is_broken
    causes = view.failures(run, rows)
    first = next((case.reason for case in run.cases if case.verdict == UNRESOLVED), "")
    return {
        "label": label,
        "sign": view.SYMBOLS[PASS if passed else UNRESOLVED if broken else FAIL],
        "tone": "partial" if passed and run.partial else PASS if passed else UNRESOLVED if broken else FAIL,
        "text": text[:1].upper() + text[1:],
        "broken": first if broken else "",
        "partial": run.partial,
        "facts": view.facts(run),
        "main": len(view.facts(run).keys() & set(view.MAIN_FACTS)),
        "counts": view.counts(run),
        "causes": causes[: view.MAIN_CAUSES],
        "other_causes": causes[view.MAIN_CAUSES :],
        "of_others": rest_of(run.groups[view.MAIN_CAUSES :]),
        "causes_left_out": max(len(run.groups) - view.MAX_CAUSES, 0),
        "wrong": [entry for entry in run.judged if entry.verdict in (FAIL, UNRESOLVED)],
        "not_asked": view.not_asked(run),
        "causes_not_asked": view.causes_not_asked(run),
    }


def tally(rows: Sequence[view.Row], runs: int) -> list[Counter[str]]:
    """Count, for each of `runs` runs, the clauses of a group by verdict."""
    return [Counter(cell.verdict for row in rows if (cell := row.cells[number])) for number in range(runs)]


def anchor(id: str) -> str:
    """Return the HTML id of a clause on the page."""
    return f"clause-{slug(id)}"


def slug(name: str) -> str:
    """Return a name as a part of a URL."""
    return quote(re.sub(r"\s+", "-", name), safe="")


def fingerprint(text: str) -> str:
    """Return the hash by which the page's content security policy identifies a script or a style."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
