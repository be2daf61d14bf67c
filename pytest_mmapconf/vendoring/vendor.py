"""`python -m pytest_mmapconf vendor DEST`: the suite as a folder of another project.

Inside the package every import is relative, so its folder works under whatever name and wherever it is put.  What
makes a folder a *copy* is the manifest in it: the version, a hash of each file, and the names of the cases.  By it a
copy can be told from one that somebody has changed, and an upgrade knows what is the suite's and what is not:

* a file that differs from the manifest is a local modification, unless it is what the new version has there anyway
  (so an upgrade that was interrupted goes on where it stopped, for the manifest is written last);
* a file that the manifest does not name belongs to the project, and is left alone;
* a file that the new version does not have any more is removed.
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

from ..version import HERE, MANIFEST, PACKAGE, suite_version
from . import verdict_changes as changes

ROOMS: Final = ("conformance", "reference")
"""Folders that a checkout has beside the package, and every other suite in it."""


class VendorError(Exception):
    """It cannot be done; the text says why, and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a copy says of itself."""

    version: str
    files: dict[str, str]
    """SHA-256 of each file by its path in the copy, with slashes."""
    cases: tuple[str, ...]
    """The ids of the cases, of every level."""


# ------------------------------------------------------------------------------------------------- what is copied


def package_files() -> dict[str, Path]:
    """What a copy consists of: path in the copy, and where it lies now, installed or in a checkout."""
    found = {path: HERE / path for path in _walk(HERE)}
    if (HERE / "conformance").is_dir():
        found.update(_installed_licence())
    else:
        for room in ROOMS:
            spec = find_spec(f"{PACKAGE}.{room}")
            if spec is None or spec.origin is None:
                raise VendorError(f"{PACKAGE}.{room} is not there: this suite is not whole")
            folder = Path(spec.origin).parent
            found |= {f"{room}/{path}": folder / path for path in _walk(folder)}
        found["LICENSE"] = HERE.parent / "LICENSE"
    return dict(sorted(found.items()))


def _walk(folder: Path) -> Iterator[str]:
    """The files in a folder but for the manifest, what Python and editors leave there, and what is hidden."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in names:
            path = Path(place, name).relative_to(folder).as_posix()
            if not name.startswith(".") and not name.endswith((".pyc", "~")) and path != MANIFEST:
                yield path


def _installed_licence() -> dict[str, Path]:
    """The licence, which an installed suite has among its metadata; a copy has it among its files."""
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
    """The manifest of a copy; None where there is none.  Raises VendorError where it cannot be understood."""
    try:
        document = json.loads((folder / MANIFEST).read_text("utf-8"))
        manifest = Manifest(document["version"], document["files"], tuple(document["cases"]))
        told = [manifest.version, *manifest.files.values(), *manifest.files, *manifest.cases]
        outside = [path for path in manifest.files if not _is_inside(path)]
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise VendorError(f"{folder}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VendorError(
            f"{folder / MANIFEST} is no manifest of a copy ({error!r}): restore it, or remove the folder"
        ) from error
    if outside or not all(isinstance(text, str) for text in told):
        raise VendorError(f"{folder / MANIFEST} is no manifest of a copy: restore it, or remove the folder")
    return manifest


def _is_inside(path: str) -> bool:
    """Whether a path in a manifest, which anybody may have written, stays in the copy's folder."""
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
    """Put a file in its place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)


# ------------------------------------------------------------------------------------------------------- --check


def differences(folder: Path, manifest: Manifest) -> list[str]:
    """What in a copy is not as its manifest says: "changed: PATH", "missing: PATH", "extra: PATH"."""
    there = _hashes(folder)
    told = [("missing", path) for path in manifest.files if path not in there]
    told += [("changed", path) for path, hash in there.items() if manifest.files.get(path, hash) != hash]
    told += [("extra", path) for path in there if path not in manifest.files]
    return [f"{kind}: {path}" for kind, path in sorted(told)]


def check(folder: Path) -> tuple[bool, list[str]]:
    """Whether a copy is whole and unmodified, and lines that say so or name each file that is not."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise VendorError(f"{folder}: no copy of the suite (there is no {MANIFEST})")
    wrong = differences(folder, manifest)
    about = f"{folder}: pytest-mmapconf {manifest.version}, {len(manifest.files)} files"
    return not wrong, [f"{about}, {'not as they were copied' if wrong else 'whole and unmodified'}", *wrong]


# ------------------------------------------------------------------------------------------------ copy and upgrade


def name_of(folder: Path, name: str | None) -> str:
    """What a copy is imported as: `name`, checked, else the end of the folder's path as far as it is a name."""
    own = Path(os.path.abspath(folder)).name
    if not _is_name(own):
        raise VendorError(f"{folder}: a package cannot be called {own!r}; give the folder a name such as mmapconf")
    if name is not None:
        parts = name.split(".")
        if not all(map(_is_name, parts)):
            raise VendorError(f"--name={name}: must be names with dots between, such as third_party.mmapconf")
        if Path(os.path.abspath(folder)).parts[-len(parts) :] != tuple(parts):
            raise VendorError(f"--name={name}: must be the end of the folder's path, {folder}")
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
    """Copy this suite to `folder`, or bring the copy there to this version; return what there is to say, in lines.

    Raises VendorError, with everything as it was, where a local modification would be lost; `force` allows that.
    """
    package = name_of(folder, name)
    sources = package_files()
    _refuse_wrong_source(folder)
    old = read_manifest(folder)
    if old is None and folder.exists() and any(folder.iterdir()):
        raise VendorError(f"{folder}: is neither empty nor a copy of the suite (there is no {MANIFEST})")
    contents = {path: source.read_bytes() for path, source in sources.items()}
    new = Manifest(
        suite_version(), {path: _hash(content) for path, content in contents.items()}, tuple(changes.cases_now())
    )
    there = _hashes(folder) if old is not None else {}
    local = _local_modifications(old, new, there)
    if local and not force:
        raise VendorError(
            "\n".join(
                [
                    f"{folder}: has local modifications, which would be lost:",
                    *(f"  {line}" for line in local),
                    "Nothing was done. Keep them elsewhere (as a patch, say), or lose them with --force.",
                ]
            )
        )
    told = changes.told(folder, sources, old.cases, new.cases) if old is not None else []
    for path, content in contents.items():
        if there.get(path) != new.files[path]:
            _write(folder / path, content)
    for path in (old.files.keys() & there.keys()) - new.files.keys() if old is not None else ():
        (folder / path).unlink()
        _remove_empty(folder, (folder / path).parent)
    _write_manifest(folder, new, package)
    return [*_what_was_done(folder, old, new), *told, *_how_to_use(folder, package)]


def _refuse_wrong_source(folder: Path) -> None:
    target, here = folder.resolve(), HERE.resolve()
    if target == here or here in target.parents or target in here.parents:
        raise VendorError(
            f"{folder}: is, holds or lies in the suite that runs; upgrade a copy from the installed suite"
        )
    manifest = read_manifest(HERE)
    if manifest is not None and (wrong := differences(HERE, manifest)):
        raise VendorError("\n".join([f"{HERE}: is itself a copy, and not as it was copied:", *wrong]))


def _local_modifications(old: Manifest | None, new: Manifest, there: Mapping[str, str]) -> list[str]:
    """What an upgrade would undo."""
    if old is None:
        return []
    told = []
    for path in sorted({*old.files, *new.files}):
        was, now = old.files.get(path), there.get(path)
        if now not in (was, new.files.get(path)):
            kind = "missing" if now is None else "extra" if was is None else "changed"
            told.append(f"{kind}: {path}")
    return told


def _remove_empty(folder: Path, inner: Path) -> None:
    """Remove a folder, and those around it inside `folder`, in which nothing but compiled modules is left."""
    while inner != folder and {path.name for path in inner.iterdir()} <= {"__pycache__"}:
        shutil.rmtree(inner)
        inner = inner.parent


def _what_was_done(folder: Path, old: Manifest | None, new: Manifest) -> list[str]:
    if old is None:
        return [f"{folder}: pytest-mmapconf {new.version}, {len(new.files)} files"]
    added = sum(path not in old.files for path in new.files)
    changed = sum(old.files.get(path, hash) != hash for path, hash in new.files.items())
    removed = sum(path not in new.files for path in old.files)
    version = new.version if old.version == new.version else f"{old.version} -> {new.version}"
    counts = f"{added} files new, {changed} changed, {removed} removed" if added or changed or removed else "no change"
    return [f"{folder}: pytest-mmapconf {version}: {counts}"]


def _how_to_use(folder: Path, package: str) -> list[str]:
    root = Path(os.path.relpath(Path(os.path.abspath(folder)).parents[package.count(".")]))
    path = "" if root == Path() else f"PYTHONPATH={_quoted(str(root))} "
    return ["", "To judge with it:", f"  {path}python -m pytest -p {package}.plugin --mmap-backend=reference"]


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w./-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def main(folder: Path, name: str | None, *, check_only: bool, force: bool) -> int:
    """`python -m pytest_mmapconf vendor`; exit status: 1 where a copy is not as it was, 2 where nothing was done."""
    try:
        good, lines = check(folder) if check_only else (True, vendor(folder, name, force=force))
    except (VendorError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if good else 1
