"""What pyproject.toml cannot say: the text of README.md for the page of a package index, whose links are absolute."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

PROJECT = Path(__file__).parent


def index_page() -> str:
    """Return README.md without the comments for its tests, and with its relative links on the project's repository."""
    urls = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    text = re.sub(r"^<!-- .* -->\n", "", (PROJECT / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    return re.sub(r"\]\((?!https?:|#)", f"]({urls['Repository']}/blob/main/", text)


setup(long_description=index_page(), long_description_content_type="text/markdown")
