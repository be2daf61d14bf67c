"""report.markdown: the summary in Markdown."""

from __future__ import annotations

from runs import EINVAL, FLUSH, MARKUP, case, run

from pytest_mmapconf.report.markdown import MOST, markdown, plain, table

CAUSE = {"call": "munmap", "answer": "success", "instead of": "EINVAL", "step": "p1.munmap(r1, 0)"}


def test_summary_of_one_run() -> None:
    text = markdown(
        [
            run(
                case("a", EINVAL, verdict="fail", reason="expected EINVAL, but the call succeeded", cause=CAUSE),
                case("b", EINVAL),
                case("c", FLUSH, verdict="unsupported", reason="no disk"),
                details={"page": "4096", "capabilities": "all"},
            )
        ]
    )

    assert (
        text
        == """\
# Conformance of mmap

## mine

**✗ does not conform to level documented: 1 unsupported, 1 fail**

level documented · suite pytest-mmapconf 0.1.0 · date 2026-11-26T17:00:00+00:00 · page 4096

| | ✓ pass | ○ unsupported | ✗ fail |
|---|---:|---:|---:|
| clauses | 0 | 1 | 1 |
| cases | 1 | 1 | 1 |

### Failures by cause

| cause | cases | clauses | detail | for example |
|---|---|---|---|---|
| munmap → success | 1 | 1 | instead of EINVAL | p1.munmap(r1, 0) |

### Failed or unresolved

| clause | verdict | why |
|---|---|---|
| `munmap.errno.EINVAL` | ✗ fail | expected EINVAL, but the call succeeded (1 of 2 cases) |

### Not asked

| why | clauses |
|---|---|
| no disk | `msync.flush` |
"""
    )


def test_side_by_side() -> None:
    text = markdown([run(case("a"), case("b", FLUSH)), run(case("a", verdict="fail"), name="other")])

    assert text.endswith(
        """\
### Where they differ

| clause | mine | other |
|---|---|---|
| `munmap.range` | ✓ pass | ✗ fail |
"""
    )


def test_lists_are_limited() -> None:
    lines = list(table("Many", ("a",), [[str(number)] for number in range(MOST + 7)]))

    assert len(lines) == MOST + 7
    assert lines[-2] == "… and 7 more."


def test_text_of_an_implementation_is_never_markup() -> None:
    assert plain("a|b <b>`c` [d](e) *f* \\ &amp; \x1b[31m\n\u202e g") == (
        r"a\|b \<b\>\`c\` \[d\](e) \*f\* \\ \&amp; \[31m g"
    )
    text = markdown([run(case("a", verdict="fail", reason=MARKUP), name=MARKUP)])
    assert "<script" not in text.replace("\\<script", "")
    assert len({line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("| `")}) == 1
