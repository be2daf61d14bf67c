"""vendoring.verdict_changes: changes of another version that may affect verdicts."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_mmapconf.plugin import isolated_run
from pytest_mmapconf.vendoring import verdict_changes

CLAUSES = """
[[clause]]
id = "map.size"
level = "documented"
text = "A length of zero is refused."

[[clause]]
id = "map.gone"
level = "linux"
text = "This clause is removed."
"""

CASES = '''
"""Cases."""
from ._helpers import length

LENGTHS = 1, 2

def test_size(process):
    """It is refused."""
    assert length(process) == 0

def test_other():
    pass
'''


def written(folder: Path, clauses: str = CLAUSES, cases: str = CASES, helpers: str = "length = len") -> dict[str, Path]:
    """Write the conformance directory of a suite; return its files as `vendor.package_files` does."""
    texts = {"clauses.toml": clauses, "mapping.py": cases, "_helpers.py": helpers}
    (folder / "conformance").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "conformance" / name).write_text(text)
    return {f"conformance/{name}": folder / "conformance" / name for name in texts}


def summary(tmp_path: Path, *, old_cases: tuple[str, ...] = (), new_cases: tuple[str, ...] = (), **new: str) -> str:
    """Return the summary for a suite with these files, compared with the one above."""
    written(tmp_path / "old")
    return "\n".join(verdict_changes.summary(tmp_path / "old", written(tmp_path / "new", **new), old_cases, new_cases))


def expected(text: str) -> str:
    return "\nChanges that may affect verdicts:\n" + textwrap.dedent(text).strip()


NOTHING = "\nChanges that may affect verdicts:\n  nothing"


def test_nothing(tmp_path: Path) -> None:
    assert summary(tmp_path) == NOTHING


def test_clauses(tmp_path: Path) -> None:
    new = """
[[clause]]
id = "map.size"
level = "posix"
text = "A length of zero is refused with EINVAL."
linux = "It is so since 2.6.12."

[[clause]]
id = "map.new"
level = "documented"
text = "An address is a multiple of the page."
"""

    assert summary(tmp_path, clauses=new) == expected(
        """
        clauses, new: 1
          map.new (documented)
              An address is a multiple of the page.
        clauses, removed: 1
          map.gone (linux)
              This clause is removed.
        clauses, changed: 1
          map.size
              level: posix
                was: documented
              text: A length of zero is refused with EINVAL.
               was: A length of zero is refused.
              linux: It is so since 2.6.12.
                was: -
        """
    )


def test_cases(tmp_path: Path) -> None:
    lines = summary(tmp_path, old_cases=("a.one", "a.two[x]"), new_cases=("a.one", "a.two[y]", "a.three"))

    assert lines == expected(
        """
        cases, new: 2
          a.three
          a.two[y]
        cases, removed: 1
          a.two[x]
        """
    )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"""It is refused."""', '"""It is not."""'),
        ("def test_other", "# a remark\n\ndef test_other"),
        ("1, 2", "(1, 2)"),
    ],
    ids=["documentation", "remark", "layout"],
)
def test_changes_outside_code_are_ignored(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in CASES
    assert summary(tmp_path, cases=CASES.replace(right, wrong)) == expected("  nothing").replace(
        "\nnothing", "\n  nothing"
    )


def test_code_of_a_case(tmp_path: Path) -> None:
    assert summary(tmp_path, cases=CASES.replace("== 0", "== 1")) == expected(
        "cases, changed in their code: 1\n  mapping.size"
    )


def test_code_that_cases_share(tmp_path: Path) -> None:
    lines = summary(tmp_path, cases=CASES.replace("1, 2", "1, 3"), helpers="length = sum")

    assert lines == expected("shared code of cases, changed: 2\n  _helpers\n  mapping")


def test_unreadable_files_of_a_copy_are_ignored(tmp_path: Path) -> None:
    sources = written(tmp_path / "new")
    written(tmp_path / "old", clauses="[[", cases="def", helpers="\0")

    lines = verdict_changes.summary(tmp_path / "old", sources, (), ())

    assert lines[2] == "clauses, new: 2"
    assert "cases, changed in their code: 2" not in lines


def test_the_cases_of_this_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(arguments: list[str], plugins: list[object]) -> tuple[int, str]:
        ran.append(arguments)
        return 4, "cannot be"

    monkeypatch.setattr(isolated_run, "run", run)

    with pytest.raises(RuntimeError, match="the cases could not be collected:\ncannot be"):
        verdict_changes.current_case_ids()
    assert "--mmap-level=linux" in ran[0]


def test_changed_table_of_cases_is_reported_as_shared_code(tmp_path: Path) -> None:
    """The table of mmap's matrix is not among the modules of cases, as the report reads it as well."""
    written(tmp_path / "old")
    sources = written(tmp_path / "new")
    name = "catalogue/mmap_matrix.py"
    for suite, text in (("old", "ROWS = 1"), ("new", "ROWS = 2")):
        (tmp_path / suite / "catalogue").mkdir()
        (tmp_path / suite / name).write_text(text)
        (tmp_path / suite / "catalogue" / "clauses.py").write_text(text)
    sources |= {name: tmp_path / "new" / name, "catalogue/clauses.py": tmp_path / "new" / "catalogue" / "clauses.py"}

    lines = verdict_changes.summary(tmp_path / "old", sources, (), ())

    assert lines[2:] == ["shared code of cases, changed: 1", "  catalogue/mmap_matrix"]
