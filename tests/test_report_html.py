"""report.html: the contents of the page, that it is one file, and that text of an implementation is never markup.

What it does in a browser is tested in acceptance/test_page.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from runs import EINVAL, EVIDENCE, FLUSH, MARKUP, RANGE, case, run

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.catalogue.verdicts import VERDICTS
from pytest_mmapconf.report.html import page

Judge = Callable[..., pytest.RunResult]

VOID = {"meta", "input", "rect", "br", "wbr"}


class Outline(HTMLParser):
    """The elements of a page; checks that every element is closed in the right order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def wild(name: str = MARKUP) -> str:
    """Return a page about an implementation all of whose texts are markup."""
    evidence = {
        "expected": MARKUP,
        "seen": MARKUP,
        "step": MARKUP + "!",
        "answer": MARKUP,
        "allowed": [MARKUP],
        "cited": [MARKUP],
        "pictures": [{"of": MARKUP, "text": MARKUP}],
        "program": {"steps": [MARKUP], "c": MARKUP, "lacks": MARKUP},
    }
    on_record = {"file": MARKUP, "number": 1, "verdict": "fail", "reason": MARKUP, "link": "javascript:alert(1)"}
    return page(
        [
            run(
                case(f"a[{MARKUP}]", RANGE, verdict="fail", reason=MARKUP, evidence=evidence),
                case("b", FLUSH, verdict="unsupported", reason=MARKUP, recorded={MARKUP: MARKUP}),
                case("c", EINVAL, verdict="unresolved", reason=MARKUP),
                case("d", EINVAL, verdict="expected", reason=MARKUP, expected=on_record),
                case(
                    "mmap_matrix.mmap_succeeds_and_protection_applies[r---shared-rdonly]", verdict="fail", reason=MARKUP
                ),
                name=each,
                version=MARKUP,
                details={MARKUP: MARKUP},
            )
            for each in (name, "other")
        ]
    )


def test_text_of_an_implementation_is_never_markup() -> None:
    outline = Outline(wild())
    tame = Outline(wild("tame"))

    assert [tag for tag, _ in outline.tags] == [tag for tag, _ in tame.tags]
    assert len(outline.all("script")) == 1
    assert not [
        name for _, attributes in outline.tags for name in attributes if name.startswith("on") or name == "style"
    ]
    assert all((link["href"] or "").startswith("#") for link in outline.all("a"))
    assert any(MARKUP.partition("|")[0] in text for text in outline.texts)


def test_page_refers_to_no_other_file() -> None:
    outline = Outline(page([run(case("a", verdict="fail", evidence=EVIDENCE))]))

    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in outline.tags}
    assert not [attributes for _, attributes in outline.tags if "src" in attributes]
    policy = outline.all("meta")[1]["content"] or ""
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; script-src 'sha256-[\w+/]{43}='", policy
    ), policy


def test_ids_are_unique_and_links_have_targets() -> None:
    cases = [case("a", RANGE, EINVAL, verdict="fail", evidence=EVIDENCE), case("b", FLUSH, verdict="unsupported")]
    evidence = {**EVIDENCE, "cited": [EINVAL, "mremap.errno.ENOMEM"]}  # the latter is of no case of the run
    cases.append(case("c", RANGE, verdict="fail", evidence=evidence))
    outline = Outline(page([run(*cases), run(*cases, name="other")]))

    assert "(not in this run)" in " ".join(outline.texts)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(link["href"] or "")[1:] for link in outline.all("a")} <= set(ids)
    assert {button["data-copy"] for button in outline.all("button") if "data-copy" in button} <= set(ids)


def test_evidence_of_a_failure() -> None:
    text = " ".join(Outline(page([run(case("a", EINVAL, verdict="fail", reason="r", evidence=EVIDENCE))])).texts)

    for part in (
        "the call succeeded",
        EVIDENCE["step"],
        "ENOMEM",
        "Address space of the reference",
        "0x1000-0x3000 r--",
        "  2  p1.munmap(r1 + 1, pages(1))",
        EVIDENCE["program"]["c"],
        load()[EINVAL].text,
        load()[EINVAL].source,
    ):
        assert part in text


@pytest.mark.parametrize(
    ("verdict", "narrowed", "said"),
    [
        ("pass", False, "Conforms to level documented: 1 pass"),
        ("fail", False, "Does not conform to level documented: 1 fail"),
        ("pass", True, "this is not a statement of conformance to the level"),
        ("unresolved", False, "The harness is broken: nothing is known of the implementation"),
    ],
)
def test_the_statement(verdict: str, narrowed: bool, said: str) -> None:
    text = page([run(case("a", verdict=verdict, reason="no route"), narrowed=narrowed)])

    assert said in text
    assert ("The first reason: <code>no route</code>" in text) == (verdict == "unresolved")


def test_deviation_on_record_links_to_its_report() -> None:
    on_record = {"file": "e.toml", "number": 2, "verdict": "fail", "reason": "known", "link": "https://bugs.example/7"}
    outline = Outline(page([run(case("a", verdict="expected", reason="known", expected=on_record))]))

    assert "https://bugs.example/7" in {link["href"] for link in outline.all("a")}
    assert "On record as fail in e.toml, entry 2: known" in " ".join(outline.texts)


def test_failures_by_cause_precede_the_clauses() -> None:
    cause = {"call": "munmap", "answer": MARKUP, "instead of": MARKUP, "step": MARKUP}
    cases = [case(f"a[{number}]", EINVAL, verdict="fail", cause=cause, evidence=EVIDENCE) for number in range(250)]

    text = page([run(*cases)])

    outline = Outline(text)
    assert text.index("Failures by cause") < text.index('id="clauses"')
    assert f"munmap → {MARKUP}" in outline.texts
    assert "250 cases of 1 clause" in outline.texts
    assert "and 50 more" in outline.texts
    assert "#case-1" in {link["href"] for link in outline.all("a")}


def test_many_causes_are_shortened() -> None:
    cases = [case(f"a[{number}]", verdict="fail", reason=f"reason {number}") for number in range(50)]

    text = page([run(*cases)])

    assert "and 38 more causes of 38 cases" in text
    assert "The JSON report has 10 more." in text


def test_every_verdict_has_a_colour() -> None:
    style = (files("pytest_mmapconf.report") / "page.css").read_text()
    for verdict in VERDICTS:
        assert f".badge.{verdict} {{" in style
        assert f"rect.{verdict} {{" in style
        assert f".grid td.{verdict} {{" in style


def test_the_whole_suite_broken_is_less_than_two_megabytes() -> None:
    """Render three thousand failing cases, each of two clauses and with a program of its own."""
    evidence = {**EVIDENCE, "program": {**EVIDENCE["program"], "c": "int main(void)\n{\n}\n" * 350}}
    ids = list(load())
    cases = [
        case(
            f"module.function_{number % 300}[{'parameter-' * 2}{number}]",
            ids[number % len(ids)],
            ids[(number * 7 + 1) % len(ids)],
            verdict="fail",
            reason=f"expected EINVAL, but the call succeeded at {number:#x}",
            evidence=evidence,
        )
        for number in range(3000)
    ]

    text = page([run(*cases)])

    assert len(text.encode()) < 2_000_000
    assert len(Outline(text).all("article")) > 60


def test_only_a_page_needs_the_template_engine(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys
        def pytest_unconfigure():
            print("seen", *sorted({"jinja2", "markupsafe"} & set(sys.modules)))
        """
    )

    assert "seen" in judge("Good", "-s", "--mmap-report=v.json", "--mmap-report=v.md", alone=True).outlines
    assert "seen jinja2 markupsafe" in judge("Good", "-s", "--mmap-report=v.html", alone=True).outlines


def test_without_the_template_engine(judge: Judge, pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys; sys.modules['jinja2'] = None")
    pytester.makepyfile(sitecustomize="import sys; sys.modules['jinja2'] = None")
    pytester.syspathinsert()

    result = judge("Good", "--mmap-report=v.html")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*v.html: a page needs jinja2: pip install jinja2*"])
