"""`python -m pytest_mmapconf vendor DEST`: copy the suite into a directory of another project.

Inside the package every import is relative, so its directory works under any name and in any place.  A directory is a
*copy* if it has a manifest: the version, a hash of each file, and the ids of the cases.  The manifest shows whether a
copy has been modified, and which files belong to the suite when the copy is upgraded:

* A file that differs from the manifest is a local modification, unless it equals the file of the new version (an
  interrupted upgrade can therefore be resumed, because the manifest is written last).
* A file that the manifest does not name belongs to the project, and is not touched.
* A file that the new version no longer has is removed.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final

from ..data_files import parse_json
from ..version import HERE, MANIFEST, PACKAGE, suite_version
from . import verdict_changes

EXTERNAL_PACKAGES: Final = ("conformance", "reference")
"""Sub-packages that a checkout has next to the package, and an installed suite or a copy inside it."""


class VendorError(Exception):
    """The suite cannot be copied; the message says why, and what to do."""


@dataclass(frozen=True)
class Manifest:
    """The manifest of a copy."""

    version: str
    files: dict[str, str]
    """SHA-256 of each file, by its path in the copy, with slashes."""
    cases: tuple[str, ...]
    """The ids of the cases, of every level."""


# --------------------------------------------------------------------------------------------- contents of a copy


def package_files() -> dict[str, Path]:
    """Return the files of a copy: path in the copy -> path of the source, installed or in a checkout."""
    sources = {path: HERE / path for path in _walk(HERE)}
    if (HERE / "conformance").is_dir():
        sources.update(_installed_licence())
    else:
        for name in EXTERNAL_PACKAGES:
            spec = find_spec(f"{PACKAGE}.{name}")
            if spec is None or spec.origin is None:
                raise VendorError(f"{PACKAGE}.{name} cannot be found: this suite is incomplete")
            folder = Path(spec.origin).parent
            sources |= {f"{name}/{path}": folder / path for path in _walk(folder)}
        sources["LICENSE"] = HERE.parent / "LICENSE"
    return dict(sorted(sources.items()))


def _walk(folder: Path) -> Iterator[str]:
    """Yield the files in a directory, except the manifest, hidden files, and files made by Python and editors."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in names:
            path = Path(place, name).relative_to(folder).as_posix()
            if not name.startswith(".") and not name.endswith((".pyc", "~")) and path != MANIFEST:
                yield path


def _installed_licence() -> dict[str, Path]:
    """Return the licence of an installed suite, which is in its metadata; a copy has it among its files."""
    if (HERE / MANIFEST).is_file():
        return {}
    try:
        return {
            file.name: Path(str(file.locate())) for file in files("pytest-mmapconf") or () if file.name == "LICENSE"
        }
    except PackageNotFoundError:
        return {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    return {path: _hash((folder / path).read_bytes()) for path in _walk(folder)}


# -------------------------------------------------------------------------------------------------- the manifest


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a copy, or None if there is none.  Raises VendorError if it is invalid."""
    try:
        document = parse_json((folder / MANIFEST).read_text("utf-8"))
        manifest = Manifest(document["version"], document["files"], tuple(document["cases"]))
        texts = [manifest.version, *manifest.files.values(), *manifest.files, *manifest.cases]
        outside = [path for path in manifest.files if not _is_inside(path)]
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise VendorError(f"{folder}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VendorError(
            f"{folder / MANIFEST} is not a valid manifest ({error!r}): restore it, or remove the directory"
        ) from error
    if outside or not all(isinstance(text, str) for text in texts):
        raise VendorError(f"{folder / MANIFEST} is not a valid manifest: restore it, or remove the directory")
    return manifest


def _is_inside(path: str) -> bool:
    """Return whether a path in a manifest, which may be forged, is inside the copy's directory."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _write_manifest(folder: Path, manifest: Manifest, name: str) -> None:
    document = {
        "suite": "pytest-mmapconf",
        "version": manifest.version,
        "package": name,
        "files": manifest.files,
        "cases": manifest.cases,
    }
    _write(folder / MANIFEST, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)


# ------------------------------------------------------------------------------------------------------- --check


def differences(folder: Path, manifest: Manifest) -> list[str]:
    """Return the files that differ from the manifest: "changed: PATH", "missing: PATH", "extra: PATH"."""
    current = _hashes(folder)
    found = [("missing", path) for path in manifest.files if path not in current]
    found += [("changed", path) for path, hash in current.items() if manifest.files.get(path, hash) != hash]
    found += [("extra", path) for path in current if path not in manifest.files]
    return [f"{kind}: {path}" for kind, path in sorted(found)]


def check(folder: Path) -> tuple[bool, list[str]]:
    """Return whether a copy is complete and unmodified, and the lines of the report."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise VendorError(f"{folder}: not a copy of the suite (there is no {MANIFEST})")
    wrong = differences(folder, manifest)
    about = f"{folder}: pytest-mmapconf {manifest.version}, {len(manifest.files)} files"
    return not wrong, [f"{about}, {'modified' if wrong else 'complete and unmodified'}", *wrong]


# ------------------------------------------------------------------------------------------------ copy and upgrade


def name_of(folder: Path, name: str | None) -> str:
    """Return the name to import a copy by: `name` after a check, else the end of the path, as far as it is a name."""
    own = Path(os.path.abspath(folder)).name
    if not _is_name(own):
        raise VendorError(f"{folder}: a package cannot be called {own!r}; give the directory a name such as mmapconf")
    if name is not None:
        parts = name.split(".")
        if not all(map(_is_name, parts)):
            raise VendorError(f"--name={name}: must be names with dots between, such as third_party.mmapconf")
        if Path(os.path.abspath(folder)).parts[-len(parts) :] != tuple(parts):
            raise VendorError(f"--name={name}: must be the end of the directory's path, {folder}")
        return name
    parts = []
    for part in reversed(Path(os.path.relpath(folder)).parts):
        if not _is_name(part):
            break
        parts.insert(0, part)
    return ".".join(parts) or own


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def vendor(folder: Path, name: str | None = None, *, force: bool = False) -> list[str]:
    """Copy this suite to `folder`, or upgrade the copy there to this version; return the lines of the report.

    Raises VendorError, without changing anything, if a local modification would be lost; `force` overwrites them.
    """
    package = name_of(folder, name)
    sources = package_files()
    _refuse_wrong_source(folder)
    old = read_manifest(folder)
    if old is None and folder.exists() and any(folder.iterdir()):
        raise VendorError(f"{folder}: is neither empty nor a copy of the suite (there is no {MANIFEST})")
    contents = {path: source.read_bytes() for path, source in sources.items()}
    new = Manifest(
        suite_version(),
        {path: _hash(content) for path, content in contents.items()},
        tuple(verdict_changes.current_case_ids()),
    )
    current = _hashes(folder) if old is not None else {}
    local = _local_modifications(old, new, current)
    if local and not force:
        raise VendorError(
            "\n".join(
                [
                    f"{folder}: has local modifications, which would be lost:",
                    *(f"  {line}" for line in local),
                    "Nothing was changed. Save them elsewhere (as a patch, for example), or overwrite them: --force.",
                ]
            )
        )
    changes = verdict_changes.summary(folder, sources, old.cases, new.cases) if old is not None else []
    for path, content in contents.items():
        if current.get(path) != new.files[path]:
            _write(folder / path, content)
    for path in (old.files.keys() & current.keys()) - new.files.keys() if old is not None else ():
        (folder / path).unlink()
        _remove_empty(folder, (folder / path).parent)
    _write_manifest(folder, new, package)
    return [*_describe_result(folder, old, new), *changes, *_describe_usage(folder, package)]


def _refuse_wrong_source(folder: Path) -> None:
    target, here = folder.resolve(), HERE.resolve()
    if target == here or here in target.parents or target in here.parents:
        raise VendorError(
            f"{folder}: is, contains or is inside the running suite; upgrade a copy from the installed suite"
        )
    manifest = read_manifest(HERE)
    if manifest is not None and (wrong := differences(HERE, manifest)):
        raise VendorError("\n".join([f"{HERE}: is itself a copy, and modified:", *wrong]))


def _local_modifications(old: Manifest | None, new: Manifest, current: Mapping[str, str]) -> list[str]:
    """Return the local modifications that an upgrade would overwrite."""
    if old is None:
        return []
    modifications = []
    for path in sorted({*old.files, *new.files}):
        was, now = old.files.get(path), current.get(path)
        if now not in (was, new.files.get(path)):
            kind = "missing" if now is None else "extra" if was is None else "changed"
            modifications.append(f"{kind}: {path}")
    return modifications


def _remove_empty(folder: Path, inner: Path) -> None:
    """Remove `inner`, and its parents inside `folder`, as long as they contain only compiled modules."""
    while inner != folder and {path.name for path in inner.iterdir()} <= {"__pycache__"}:
        shutil.rmtree(inner)
        inner = inner.parent


def _describe_result(folder: Path, old: Manifest | None, new: Manifest) -> list[str]:
    if old is None:
        return [f"{folder}: pytest-mmapconf {new.version}, {len(new.files)} files"]
    added = sum(path not in old.files for path in new.files)
    changed = sum(old.files.get(path, hash) != hash for path, hash in new.files.items())
    removed = sum(path not in new.files for path in old.files)
    version = new.version if old.version == new.version else f"{old.version} -> {new.version}"
    counts = f"{added} files new, {changed} changed, {removed} removed" if added or changed or removed else "no change"
    return [f"{folder}: pytest-mmapconf {version}: {counts}"]


def _describe_usage(folder: Path, package: str) -> list[str]:
    root = Path(os.path.relpath(Path(os.path.abspath(folder)).parents[package.count(".")]))
    path = "" if root == Path() else f"PYTHONPATH={_quoted(str(root))} "
    return ["", "To judge with it:", f"  {path}python -m pytest -p {package}.plugin --mmap-backend=reference"]


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w./-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def main(folder: Path, name: str | None, *, check_only: bool, force: bool) -> int:
    """Run `python -m pytest_mmapconf vendor`; return 1 if a checked copy is modified, 2 if nothing was done."""
    try:
        passed, lines = check(folder) if check_only else (True, vendor(folder, name, force=force))
    except (VendorError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if passed else 1
