"""Conformance of memory-mapped I/O: a pytest plugin, its cases, and a reference to judge by."""

from pathlib import Path

# In an installed package, the cases and the reference are in this directory.  In a checkout they are beside it, and a
# Python that is started in the checkout imports the package from this directory.
if not Path(__file__).with_name("conformance").exists():
    __path__.append(str(Path(__file__).parent.parent))
