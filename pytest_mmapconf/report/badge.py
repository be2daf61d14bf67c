"""The badge: one line for a README, as an SVG image."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, totals
from .result import Run

LABEL: Final = "mmap"

COLOURS: Final = {PASS: "#14692f", FAIL: "#b3201a", UNRESOLVED: "#6b3fb5", "partial": "#4c5665"}
"""Background colours of the white text, by kind of conclusion."""

WIDTH: Final = 6.6
"""Approximate width in pixels of a letter of 11 pixels; `textLength` then makes the text fit."""


def badge(runs: Sequence[Run]) -> str:
    """Return the badge of one run, or of several, as SVG."""
    kind, text = conclusion(runs[0]) if len(runs) == 1 else summary(runs)
    left, right = (round(len(part) * WIDTH) + 12 for part in (LABEL, text))
    about = escape(f"{LABEL}: {text}")
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{about}">
<title>{about}</title>
<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3b434f"/>\
<rect x="{left}" width="{right}" height="20" fill="{COLOURS[kind]}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2}" y="14" textLength="{left - 12}">{LABEL}</text>
<text x="{left + right / 2}" y="14" textLength="{right - 12}">{escape(text, quote=False)}</text>
</g>
</svg>
"""


def conclusion(run: Run) -> tuple[str, str]:
    """Return the kind (a key of COLOURS) and a short text, which contains nothing that an implementation supplies."""
    counts = totals(entry.verdict for entry in run.judged)
    passed, _ = run.statement
    if run.harness_is_broken:
        return UNRESOLVED, "harness broken"
    wrong = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (FAIL, UNRESOLVED) if counts[verdict])
    if not passed:
        return FAIL, wrong or "no case could run"
    if run.partial:
        return "partial", f"partial run, {counts[PASS]} of {run.total_clauses} pass"
    on_record = counts[EXPECTED] + counts[FLAKY]
    return PASS, f"conforms to {run.scope or run.level}" + (f" but for {on_record} on record" if on_record else "")


def summary(runs: Sequence[Run]) -> tuple[str, str]:
    """Return the kind and a short text for several runs."""
    conforming = sum(run.statement[0] and not run.partial for run in runs)
    return PASS if conforming == len(runs) else FAIL, f"{conforming} of {len(runs)} conform"
