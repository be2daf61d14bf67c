"""Hooks of mkdocs: pages of the project's own directory are pages of the site.

Other links outside docs/ are made links to the repository.  So each page is written once, and its links work in a
checkout as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parents[1]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md")
"""Pages of the project's directory that belong to the site."""

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the project's directory."""
    for name in OUTSIDE:
        files.append(File.generated(config, name, content=(PROJECT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Make each link of a page lead to a page of the site, or to the repository."""
    folder = PROJECT if page.file.src_uri in OUTSIDE else PROJECT / "docs"

    def led(found: re.Match[str]) -> str:
        target = (folder / found[1]).resolve()
        if not target.exists():
            return found[0]  # mkdocs reports it
        path, anchor = target.relative_to(PROJECT).as_posix(), found[2] or ""
        if path in OUTSIDE:
            return f"]({path}{anchor})"
        if path.startswith("docs/"):
            return f"]({path.removeprefix('docs/')}{anchor})"
        return f"]({config.repo_url.rstrip('/')}/blob/main/{path}{anchor})"

    return LINK.sub(led, markdown)
