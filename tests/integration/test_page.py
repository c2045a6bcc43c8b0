"""The page in a real browser: search, sort, zoom, without the network."""

from __future__ import annotations

import shutil
from dataclasses import replace

import heap_reports
import pytest
from reports import SAMPLES, report, site
from selenium import webdriver
from selenium.webdriver.common.by import By

from gdbleak.renderers import make_renderer
from gdbleak.renderers.heap import HEAP_FORMATS
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
def open_text(browser, tmp_path):
    """Return a function that opens a page, and in the end looks for complaints."""

    def open_text(text):
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    yield open_text
    assert browser.get_log("browser") == []
    requests = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert all('"url":"file:///' in request for request in requests)


@pytest.fixture
def open_page(open_text):
    """Return a function that opens the page of a report."""
    renderer = make_renderer("html", top=10, width=None, color=False)
    return lambda made: open_text(renderer.render(made))


@pytest.fixture
def open_heap(open_text):
    """Return a function that opens the page of a report of a heap."""
    return lambda made: open_text(HEAP_FORMATS["html"].render(made, 10, None))


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


def test_a_click_shows_library_internals(open_page):
    names = "std::allocator_traits<A>::allocate()", "std::_Rb_tree<K>::insert()", "fill", "main"
    stack = tuple(Frame(n, function=name) for n, name in enumerate(names, 1))
    browser = open_page(report(site(1, stack, caller=stack[2])))
    assert set(boxes(browser)) == {"all", "main", "fill", "[libstdc++]"}
    browser.find_element(By.CSS_SELECTOR, ".caller summary").click()
    run = browser.find_element(By.CSS_SELECTOR, ".run details")
    assert "insert" not in run.text
    run.find_element(By.TAG_NAME, "summary").click()
    assert "insert" in run.text
    run.find_element(By.TAG_NAME, "summary").click()
    toggle = browser.find_element(By.ID, "internals")
    toggle.click()
    assert set(boxes(browser)) == {"all", *names}
    assert "insert" in run.text
    toggle.click()
    assert set(boxes(browser)) == {"all", "main", "fill", "[libstdc++]"}
    assert "insert" not in run.text


def test_without_internals_there_is_nothing_to_click(open_page):
    browser = open_page(report(site(1)))
    assert not browser.find_element(By.ID, "internals").is_displayed()


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


def cells(browser, section, number=0):
    """Return the cells of a column of the table of a section of a heap's page."""
    return browser.execute_script(
        "const title = [...document.querySelectorAll('h2')].find((h) => h.textContent ==="
        " arguments[0]); return [...title.parentElement.querySelector('tbody').rows].map((row) =>"
        " row.cells[arguments[1]].textContent)",
        section,
        number,
    )


@pytest.mark.parametrize("name", heap_reports.SAMPLES)
def test_every_heap_opens(open_heap, name):
    made = heap_reports.SAMPLES[name]
    browser = open_heap(made)
    assert browser.find_element(By.TAG_NAME, "h1").text
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
    kinds = {mapping.kind for mapping in made.mappings}
    assert len(browser.find_elements(By.CSS_SELECTOR, "details")) == len(kinds)
    # Wide tables scroll by themselves: the page does not.
    widths = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1]


def test_sorting_sizes_of_a_heap(open_heap):
    browser = open_heap(heap_reports.GROWING)
    assert cells(browser, "Blocks by size")[:2] == ["24", "1040-1528"]
    headers = browser.find_elements(By.CSS_SELECTOR, "th button")
    headers[0].click()
    assert cells(browser, "Blocks by size") == ["20971504-25165808", "1040-1528", "72", "40", "24"]
    headers[2].click()
    sizes = ["1.1 GiB", "68.7 MiB", "60.0 MiB", "770 KiB", "23.4 KiB"]
    assert cells(browser, "Blocks by size", 2) == sizes
    headers[2].click()
    assert cells(browser, "Blocks by size", 2) == sizes[::-1]


def test_treemap_of_a_heap(open_heap):
    browser = open_heap(heap_reports.FRAGMENTED)
    boxes = {
        group.find_element(By.TAG_NAME, "title").get_attribute("textContent"): group.size
        for group in browser.find_elements(By.CSS_SELECTOR, ".treemap g")
    }
    area = {
        title.partition(":")[0]: size["width"] * size["height"] for title, size in boxes.items()
    }
    assert area["free, large bins"] == pytest.approx(10 * area["40 bytes"], rel=0.1)


def test_mappings_of_a_kind_open(open_heap):
    browser = open_heap(heap_reports.MANY_ARENAS)
    for details in browser.find_elements(By.TAG_NAME, "details"):
        if details.text.startswith("arena"):
            table = details.find_element(By.TAG_NAME, "table")
            assert not table.is_displayed()
            details.find_element(By.TAG_NAME, "summary").click()
            assert table.is_displayed()
            assert "heap of arena 12" in table.text
            break
    else:
        raise AssertionError("no arenas")
