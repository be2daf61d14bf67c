"""The page of a run in a browser: Debian's chromium, without a network.

The pages are written by the wheel: of a mutant, and of the mutant and the reference side by side.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from shared import locked

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1400,1000"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

BROKEN = "munmap.errno.EINVAL"
"""One of the clauses that the mutant breaks."""


class Pages(NamedTuple):
    """The paths of the pages, and the JSON report that they show."""

    one: Path
    """The page of the mutant."""
    many: Path
    """The page of the mutant and the reference side by side."""
    report: dict[str, Any]


@pytest.fixture(scope="module")
def pages(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    with locked(tmp_path_factory, "pages") as folder:
        if not (folder / "many.html").exists():
            write_pages(installed, folder)
    return Pages(folder / "one.html", folder / "many.html", json.loads((folder / "one.json").read_text()))


def write_pages(installed: Path, folder: Path) -> None:
    """Judge the mutant and the reference, and write the pages and reports into a directory."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    environment.pop("PYTEST_ADDOPTS", None)

    def run(*arguments: str) -> int:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode

    judge = ("pytest", "-p", "no:cacheprovider", "--mmap-clause=m*map.*", "--mmap-level=linux", "-m", "not mmap_tour")
    mutant = "--mmap-backend=mutant:munmap-takes-length-0"
    reports = ("--mmap-report=one.html", "--mmap-report=one.json", "--mmap-reproducers=shown")
    assert run(*judge, mutant, *reports) == 1
    assert run(*judge, "--mmap-backend=reference", "--mmap-report=two.json") == 0
    assert run("pytest_mmapconf", "report", "one.json", "two.json", "-o", "many.html") == 0


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium with its chromedriver here (Debian: chromium, chromium-driver)")
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = Chrome(options, Service(driver))
    yield started
    started.quit()


class Page:
    """A page in the browser."""

    def __init__(self, browser: Chrome, path: Path) -> None:
        self.browser = browser
        browser.get("about:blank")
        browser.get(path.as_uri())

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def shown(self) -> list[str]:
        """Return the ids of the clauses that the filter shows."""
        script = "return [...document.querySelectorAll('.clause .id')].filter((id) => id.checkVisibility())"
        texts: list[str] = self.browser.execute_script(f"{script}.map((id) => id.textContent)")
        return texts

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def tab_to(self, element: WebElement) -> None:
        for _ in range(50):
            self.press(Keys.TAB)
            if self.at() == element:
                return
        pytest.fail(f"fifty steps of the keyboard do not lead to {element.text!r}, but to {self.at().text!r}")

    def at(self) -> WebElement:
        """Return the element that has the focus."""
        return self.browser.switch_to.active_element

    def problems(self) -> list[str]:
        """Return the messages of the browser: errors, and scripts and styles that the policy forbids."""
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]

    def overflows(self) -> bool:
        """Return True if the page is wider than the window."""
        wide: bool = self.browser.execute_script(
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide


@pytest.fixture
def page(chromium: Chrome, pages: Pages) -> Iterator[Page]:
    page = Page(chromium, pages.one)
    yield page
    assert page.problems() == []


@pytest.fixture
def many(chromium: Chrome, pages: Pages) -> Iterator[Page]:
    page = Page(chromium, pages.many)
    yield page
    assert page.problems() == []


PICTURE = Path(__file__).resolve().parents[2] / "docs" / "report.webp"
"""The picture of a page in docs/reports.md."""


def test_the_first_screen_is_the_picture_of_the_documentation(page: Page) -> None:
    """What is to be mended is on it: the statement, the first cause and its calls.  MMAPCONF_PICTURE=1 renews it."""
    size = {"width": 1100, "height": 720, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for selector in ("#statement .conclusion", ".causes summary code", ".causes pre"):
            assert page.one(selector).rect["y"] + page.one(selector).rect["height"] <= size["height"], selector
        asked = {"format": "webp", "quality": 60}
        taken = b64decode(page.browser.execute_cdp_cmd("Page.captureScreenshot", asked)["data"])
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    if "MMAPCONF_PICTURE" in os.environ:
        PICTURE.write_bytes(taken)
    assert PICTURE.read_bytes()[8:12] == taken[8:12] == b"WEBP"
    assert len(PICTURE.read_bytes()) < 64 << 10


def ids(pages: Pages, *verdicts: str) -> list[str]:
    return [clause["id"] for clause in pages.report["clauses"] if clause["verdict"] in verdicts]


def test_the_statement_is_at_the_top(page: Page, pages: Pages) -> None:
    said = page.one("#statement")

    assert pages.report["statement"]["text"][1:] in said.text
    assert said.location["y"] < 300
    assert page.one("h1").text == "mutant:munmap-takes-length-0"


def test_filtering_by_verdict(page: Page, pages: Pages) -> None:
    fails = ids(pages, "fail")
    assert 0 < len(fails) < len(page.shown())

    button = page.one("#filter [data-verdict=fail]")
    button.click()

    assert page.shown() == fails
    assert button.get_attribute("aria-pressed") == "true"
    assert page.one("#shown").text == f"{len(fails)} of {len(pages.report['clauses'])} clauses"
    button.click()
    assert len(page.shown()) == len(pages.report["clauses"])


def test_filtering_by_text_and_level(page: Page) -> None:
    page.one("#filter [name=text]").send_keys("munmap.errno.EINVAL munmap.length_zero_is_refused mapped")
    assert page.shown() == [BROKEN]
    page.one("#filter [name=level]").send_keys("linux")
    assert page.shown() == []
    assert page.one("#nothing").is_displayed()

    page.one("#reset").click()

    assert len(page.shown()) == len(page.all(".clause"))


def test_opening_a_clause_and_copying_its_program(page: Page, pages: Pages) -> None:
    """Use the keyboard only."""
    clause = page.one(f"[id='clause-{BROKEN}']")
    assert clause.get_attribute("open") is None
    page.press("/", BROKEN)
    page.tab_to(clause.find_element(By.TAG_NAME, "summary"))

    page.press(Keys.ENTER)

    assert clause.get_attribute("open") is not None
    article = clause.find_element(By.TAG_NAME, "article")
    assert "the reference allows" in article.text
    assert "Address space of the implementation" in article.text
    page.tab_to(article.find_element(By.CSS_SELECTOR, "[data-copy]"))
    page.press(Keys.ENTER)

    id = article.find_element(By.CSS_SELECTOR, "h4 code").text
    (case,) = [case for case in pages.report["cases"] if case["id"] == id]
    assert copied(page) == case["evidence"]["program"]["c"]


def copied(page: Page) -> str:
    """Return the copied text; if the browser does not allow a page to copy, the text that the page selected."""
    page.browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    while not (said := page.one("#said").text):
        pass
    if said == "Copied":
        script = "const done = arguments[0]; navigator.clipboard.readText().then(done, (why) => done(`${why}`))"
        text: str = page.browser.execute_async_script(script)
        return text
    assert said == "Selected: copy it with your keyboard"
    selected: str = page.browser.execute_script("return getSelection().toString()")
    return selected


def test_the_arrows_go_from_clause_to_clause(page: Page, pages: Pages) -> None:
    page.one("#filter [data-verdict=fail]").click()
    first, second = (page.one(f"[id='clause-{id}'] > summary") for id in ids(pages, "fail")[:2])
    page.browser.execute_script("arguments[0].focus()", first)

    page.press(Keys.ARROW_DOWN)
    assert page.at() == second
    page.press(Keys.ARROW_UP)
    assert page.at() == first


def test_a_link_to_a_clause_opens_it_even_if_it_is_filtered_out(page: Page) -> None:
    page.one("#filter [data-verdict=pass]").click()
    assert BROKEN not in page.shown()

    page.browser.execute_script(f"location.hash = 'clause-{BROKEN}'")

    clause = page.one(f"[id='clause-{BROKEN}']")
    while clause.get_attribute("open") is None:
        pass
    assert clause.is_displayed()


def test_the_matrix(page: Page) -> None:
    fields = page.all("#matrix td")

    assert len(fields) == 16 * 16
    assert {field.get_attribute("class") for field in fields} <= {"pass", "pass edge"}
    assert fields[0].text.split() == ["✓", "pass", "maps"]


def test_side_by_side(many: Page, pages: Pages) -> None:
    assert [heading.text for heading in many.all("#statement h2")] == [
        "mutant:munmap-takes-length-0",
        "reference",
    ]
    many.one("#filter [name=differs]").click()

    assert many.shown() == ids(pages, "fail")
    verdicts = many.all(f"[id='clause-{BROKEN}'] > summary .badge")
    assert [verdict.text.split() for verdict in verdicts] == [["✗", "fail"], ["✓", "pass"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_page_fits_the_window_and_can_be_read(page: Page, width: int, scheme: str) -> None:
    """No element is wider than the window, and text contrasts with its background (WCAG 2.1, 1.4.3)."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    feature = {"name": "prefers-color-scheme", "value": scheme}
    execute: Any = page.browser.execute_cdp_cmd
    execute("Emulation.setDeviceMetricsOverride", size)
    execute("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        page.one("#open-all").click()
        assert not page.overflows()
        assert page.browser.execute_script(CONTRAST) == []
    finally:
        execute("Emulation.clearDeviceMetricsOverride", {})
        execute("Emulation.setEmulatedMedia", {"features": []})


CONTRAST = """
const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const background = (element) => {
  for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3]) return colour;
  }
};
const poor = new Map();
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!own || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
  const [a, b] = [light(numbers(getComputedStyle(element).color)), light(background(element))].sort((a, b) => b - a);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) poor.set(`${element.tagName} ${element.className}`, ratio);
}
return [...poor];
"""


def test_page_is_readable_without_javascript(page: Page, pages: Pages) -> None:
    execute: Any = page.browser.execute_cdp_cmd
    execute("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.browser.get(pages.one.as_uri())
        assert not page.one("#filter").is_displayed()
        assert not [button for button in page.all("button") if button.is_displayed()]
        clause = page.one(f"[id='clause-{BROKEN}']")
        clause.find_element(By.TAG_NAME, "summary").click()
        assert "the reference allows" in clause.text
        clause.find_element(By.CSS_SELECTOR, ".program summary").click()
        assert "#define _GNU_SOURCE" in clause.text
    finally:
        execute("Emulation.setScriptExecutionDisabled", {"value": False})
        page.browser.get(pages.one.as_uri())


def test_printed_it_shows_what_failed_and_no_controls(page: Page) -> None:
    execute: Any = page.browser.execute_cdp_cmd
    execute("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not page.one("#filter").is_displayed()
        visible = "return arguments[0].checkVisibility() && arguments[0].getBoundingClientRect().height > 0"
        assert page.browser.execute_script(visible, page.one(f"[id='clause-{BROKEN}'] article .reason"))
        assert not page.browser.execute_script(visible, page.one(".clause[data-verdicts=pass] .clause-facts"))
    finally:
        execute("Emulation.setEmulatedMedia", {"media": ""})
