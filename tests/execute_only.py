"""A reference on which pages with PROT_EXEC alone cannot be loaded: ``--mmap-backend=python:execute_only:Keys``.

As on x86-64 with protection keys, whatever the processor is that the tests run on.
"""

from __future__ import annotations

from pytest_mmapconf.reference.backend import ReferenceBackend


class Keys(ReferenceBackend):
    """By protection keys, which keep the kernel from such pages as well."""

    def __init__(self) -> None:
        super().__init__(execute_only="SEGV_PKUERR")


class Tables(ReferenceBackend):
    """By page tables with a right to execute only, which keep the processor from them, but not the kernel."""

    def __init__(self) -> None:
        super().__init__(execute_only="SEGV_ACCERR", populates_execute_only=True)
