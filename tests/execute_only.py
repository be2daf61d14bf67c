"""References on which pages with PROT_EXEC alone cannot be loaded: ``--mmap-backend=python:execute_only:Keys``.

They do not depend on the processor that the tests run on.
"""

from __future__ import annotations

from pytest_mmapconf.reference.backend import ReferenceBackend


class Keys(ReferenceBackend):
    """A reference of x86-64 with protection keys, which prevent loads by the kernel as well."""

    def __init__(self) -> None:
        super().__init__(execute_only="SEGV_PKUERR")


class Tables(ReferenceBackend):
    """A reference with execute-only page tables, which prevent loads by the processor, but not by the kernel."""

    def __init__(self) -> None:
        super().__init__(execute_only="SEGV_ACCERR", populates_execute_only=True)
