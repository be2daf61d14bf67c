"""Other systems that are right: ``--mmap-backend=reference:NAME``.

The suite must accept every conforming system, not only Linux.  A variant is the reference with other choices
(`Choices`), other sizes and limits (`Parameters`), or fewer calls.  No case may fail on one at the levels that it
conforms to; the mutation gate checks that (`pytest_mmapconf.gates`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..contract import Facts
from .backend import ReferenceBackend
from .choices import Choices
from .machine import Parameters
from .strict_choices import StrictChoices
from .system import ReferenceSystem


@dataclass(frozen=True)
class Variant:
    """A conforming system that differs from Linux."""

    name: str
    """Its name, which `reference:` precedes."""
    text: str
    """What it does differently."""
    source: str
    """The document that permits or describes it."""
    choices: Callable[[int], Choices]
    """Return its choices, given the bytes of a page."""
    parameters: Parameters = field(default_factory=Parameters)
    """Its sizes and limits."""
    kernel: str = ""
    """Its name and version as a fact, if it plays a system that has one."""
    machine: str = ""
    """The name of its processor as a fact."""


class VariantBackend(ReferenceBackend):
    """The backend of a variant."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.parameters = variant.parameters
        self.name = f"reference:{variant.name}"

    def facts(self) -> Facts:
        facts = super().facts()
        details = {**facts.details, "kernel": self.variant.kernel, "machine": self.variant.machine}
        return Facts(self.name, details={name: value for name, value in details.items() if value})

    def boot(self) -> ReferenceSystem:
        return ReferenceSystem(self.parameters, self.variant.choices(self.parameters.page))


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant(
            "posix-strict",
            "Every freedom of POSIX.1-2024 is taken in another way than Linux does.",
            "POSIX.1-2024, as in reference/strict_choices.py",
            StrictChoices,
        ),
    )
}
"""The variants by name."""
