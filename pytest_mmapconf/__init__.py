"""Conformance of memory-mapped I/O: a pytest plugin, its cases, and a reference to judge by."""

from pathlib import Path

# Installed, the cases and the reference lie in this folder.  In a checkout they lie beside it, and a Python that is
# started there takes this folder for the package.
if not Path(__file__).with_name("conformance").exists():
    __path__.append(str(Path(__file__).parent.parent))
