"""The badge: one line for a README, as an SVG image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, totals
from .result import Run

LABEL: Final = "mmap"

COLOURS: Final = {PASS: "#14692f", FAIL: "#b3201a", UNRESOLVED: "#6b3fb5", "partial": "#4c5665"}
"""Of what is behind white text."""

WIDTH: Final = 6.6
"""Pixels of a letter of 11 pixels, roughly; the text is then made to fit."""


def badge(runs: Sequence[Run]) -> str:
    """The badge of one run, or of several."""
    kind, text = conclusion(runs[0]) if len(runs) == 1 else summary(runs)
    left, right = (round(len(part) * WIDTH) + 12 for part in (LABEL, text))
    about = escape(f"{LABEL}: {text}", {'"': "&quot;"})
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{about}">
<title>{about}</title>
<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3b434f"/>\
<rect x="{left}" width="{right}" height="20" fill="{COLOURS[kind]}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2}" y="14" textLength="{left - 12}">{LABEL}</text>
<text x="{left + right / 2}" y="14" textLength="{right - 12}">{escape(text)}</text>
</g>
</svg>
"""


def conclusion(run: Run) -> tuple[str, str]:
    """Which colour, and what in a few words; none of it comes from an implementation."""
    counts = totals(entry.verdict for entry in run.judged)
    good, _ = run.statement
    if run.harness_is_broken:
        return UNRESOLVED, "harness broken"
    wrong = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (FAIL, UNRESOLVED) if counts[verdict])
    if not good:
        return FAIL, wrong or "nothing could be asked"
    if run.partial:
        return "partial", f"partial run, {counts[PASS]} of {run.there} pass"
    on_record = counts[EXPECTED] + counts[FLAKY]
    return PASS, f"conforms to {run.level}" + (f" but for {on_record} on record" if on_record else "")


def summary(runs: Sequence[Run]) -> tuple[str, str]:
    """The same of several."""
    good = sum(run.statement[0] and not run.partial for run in runs)
    return PASS if good == len(runs) else FAIL, f"{good} of {len(runs)} conform"
