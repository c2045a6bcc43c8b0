"""The page in a real browser: search, sort, zoom, without the network."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from reports import SAMPLES, report, site
from selenium import webdriver
from selenium.webdriver.common.by import By

from gdbleak.renderers import make_renderer
from gdbleak.report.model import Frame, Verdict, Word

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="there is no Chromium with its driver",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    home = tmp_path_factory.mktemp("browser")
    for word in ("headless=new", "no-sandbox", "disable-gpu", f"user-data-dir={home}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.get("about:blank")
    driver.get_log("performance")  # of its own start
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser, tmp_path):
    """Return a function that opens the page of a report, and in the end looks for complaints."""

    def open_page(made):
        path = tmp_path / "report.html"
        text = make_renderer("html", top=10, width=None, color=False).render(made)
        path.write_text(text, encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    yield open_page
    assert browser.get_log("browser") == []
    requests = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert all('"url":"file:///' in request for request in requests)


def shown(browser):
    """Return the first cells of the rows that are to be seen."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#sites tbody')]"
        ".filter((body) => body.checkVisibility()).map((body) => body.rows[0].cells[0].textContent)"
    )


def boxes(browser):
    return {
        box.get_attribute("title").split("\n")[0]: box
        for box in browser.find_elements(By.CSS_SELECTOR, "#graph .box")
    }


def test_sorting(open_page):
    browser = open_page(SAMPLES["many-sites"])
    assert shown(browser)[:3] == ["1", "2", "3"]
    headers = {h.text.strip(): h for h in browser.find_elements(By.CSS_SELECTOR, "th button")}
    headers["#"].click()
    assert shown(browser)[:3] == ["14", "13", "12"]
    headers["#"].click()
    assert shown(browser)[:3] == ["1", "2", "3"]
    headers["Bytes"].click()
    headers["Bytes"].click()
    assert shown(browser)[0] == "14"


def test_searching(open_page):
    browser = open_page(SAMPLES["many-sites"])
    search = browser.find_element(By.ID, "search")
    search.send_keys("SESSIONtable")
    assert shown(browser) == ["1"]
    assert browser.find_element(By.ID, "found").text == "1 of 14"
    found = [name for name, box in boxes(browser).items() if "found" in box.get_attribute("class")]
    assert found == ["SessionTable::open"]
    search.clear()
    search.send_keys(" ")
    assert len(shown(browser)) == 14


def test_stack_opens_with_its_evidence(open_page):
    leak = site(verdict=Verdict(Word.LEAK, "0 of 9 freed, up to 9 s old"))
    browser = open_page(report(leak))
    frames = browser.find_element(By.CSS_SELECTOR, "details ol")
    assert not frames.is_displayed()
    browser.find_element(By.CSS_SELECTOR, "summary").click()
    assert "start_thread" in frames.text
    assert "fibonacci.c:23" in frames.text
    assert browser.find_element(By.CSS_SELECTOR, ".evidence").text == leak.verdict.evidence


def test_flame_graph(open_page):
    other = (Frame(1, function="parse"), Frame(2, function="main"))
    small = (Frame(3, function="render"), Frame(2, function="main"))
    browser = open_page(
        report(
            site(1, other, outstanding_bytes=3000, allocated_bytes=3000),
            site(2, small, outstanding_bytes=1000, allocated_bytes=9000),
        )
    )
    assert set(boxes(browser)) == {"all", "main", "parse", "render"}
    widths = {name: box.size["width"] for name, box in boxes(browser).items()}
    assert widths["parse"] == pytest.approx(3 * widths["render"], rel=0.05)
    boxes(browser)["render"].click()
    assert set(boxes(browser)) == {"all", "main", "render"}
    assert boxes(browser)["render"].size["width"] == pytest.approx(widths["all"], rel=0.05)
    browser.find_element(By.ID, "reset").click()
    assert set(boxes(browser)) == {"all", "main", "parse", "render"}
    browser.find_element(By.CSS_SELECTOR, "[data-weight=allocated]").click()
    widths = {name: box.size["width"] for name, box in boxes(browser).items()}
    assert widths["render"] == pytest.approx(3 * widths["parse"], rel=0.05)


def test_names_stay_names(open_page):
    browser = open_page(SAMPLES["hostile"])
    assert browser.find_elements(By.CSS_SELECTOR, "main script, main img") == []
    frames = browser.find_element(By.CSS_SELECTOR, "ol")
    assert "<script>" in frames.get_attribute("textContent")
    assert frames.find_elements(By.CSS_SELECTOR, "script, a, img") == []


@pytest.mark.parametrize("name", SAMPLES)
def test_every_report_opens(open_page, name):
    browser = open_page(SAMPLES[name])
    assert browser.find_element(By.TAG_NAME, "h1").text
    assert len(shown(browser)) == len(SAMPLES[name].leaking)


def test_many_call_stacks(open_page):
    many = report(*(replace(site(n), rank=n) for n in range(1, 5001)))
    browser = open_page(many)
    assert len(shown(browser)) == 1000
    assert "4,000 more call stacks with" in browser.find_element(By.CLASS_NAME, "left-out").text
