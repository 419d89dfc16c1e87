"""The report pages in a headless browser: offline, on a phone, in dark mode, with sortable tables."""

import pytest

from ablations.grids import runs_of
from harness.settings import with_settings
from results.exact_report import write_exact_report
from results.frame import gather
from results.report import write_report
from results.style import ON_DARK
from results.verdicts.exact import judge
from tests.browser.chromium import chromium
from tests.results.figures.conftest import TINY
from tests.results.test_exact_report import CLAIMS
from tests.support import exact_frames
from tests.support.run_folder_factory import fail, write_done

pytestmark = pytest.mark.browser

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = ("report.html", "exact/report.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report about six seeds, one of them failed, and the report of the exact lab."""
    root = tmp_path_factory.mktemp("runs")
    runs = [with_settings(run, TINY) for run in runs_of("truth")]
    write_done(root, runs[:-1])
    fail(root, runs[-1], "parameters not finite at update <812> & after")
    out = tmp_path_factory.mktemp("report")
    verdicts = judge(CLAIMS)
    write_exact_report(verdicts, exact_frames.frames(), out / "exact")
    write_report(gather(root), out, verdicts)
    return out


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    program = chromium()
    if program is None:
        pytest.skip("chromium is not installed; install it with: make browser-test")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture
def show(browser, folder):
    """Open a page; requests and console messages are recorded in `page.requests` and `page.messages`."""
    contexts = []

    def opened(name, viewport=DESKTOP, colours="light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=colours))
        page = contexts[-1].new_page()
        page.requests, page.messages = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.goto((folder / name).as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_page_requests_nothing_else_and_logs_no_console_message(show, folder, name, viewport):
    page = show(name, viewport)
    assert page.requests == [(folder / name).as_uri()]
    assert page.messages == []
    assert page.locator("figure svg").count() >= 6


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_not_scroll_sideways_on_a_phone(show, name):
    page = show(name, PHONE)
    for fold in page.locator("details").all():
        fold.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.evaluate("window.scrollBy(500, 0)")
    assert page.evaluate("window.scrollX") == 0


def column(page, table: str, number: int) -> list[str]:
    return page.locator(f"table.{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_clicking_a_heading_sorts_by_number_and_a_second_click_reverses(show):
    page = show("report.html")
    before = column(page, "scores", 3)
    heading = page.locator("table.scores th").nth(2)
    heading.locator("button").click()
    means = [float(text.split()[0]) for text in column(page, "scores", 3)]
    assert means == sorted(means)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    assert [float(text.split()[0]) for text in column(page, "scores", 3)] == sorted(means, reverse=True)
    assert sorted(column(page, "scores", 3)) == sorted(before)


def test_the_keyboard_sorts_text_columns_alphabetically(show):
    page = show("report.html")
    page.locator("table.overview th button").first.focus()
    page.keyboard.press("Enter")
    topics = column(page, "overview", 1)
    assert topics == sorted(topics, key=str.lower)
    assert len(topics) > 20


@pytest.mark.parametrize("name", PAGES)
def test_the_page_and_its_figures_follow_the_colour_scheme(show, name):
    styles = """() => [
      getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
      getComputedStyle([...document.querySelectorAll("figure svg path")].find(
        path => (path.getAttribute("style") || "").includes("var(--c222222)") &&
                (path.getAttribute("style") || "").includes("stroke"))).stroke,
    ]"""
    light, dark = (show(name, colours=colours).evaluate(styles) for colours in ("light", "dark"))
    assert light == ["rgb(255, 255, 255)", rgb("#222222"), rgb("#222222")]
    assert dark == [rgb(ON_DARK["#ffffff"]), rgb(ON_DARK["#222222"]), rgb(ON_DARK["#222222"])]


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))})"


def test_links_of_claims_lead_to_their_sections(show):
    page = show("report.html")
    page.get_by_role("link", name="Cal-QL's score dips less than CQL's after the switch.").click()
    section = page.locator("#claim-cal-ql-smaller-dip")
    assert section.bounding_box()["y"] < DESKTOP["height"]
    assert section.locator("code").last.is_hidden()
    section.locator("summary").click()
    assert section.locator("details code").last.is_visible()
    page.get_by_role("link", name="Q at -35 is not pushed down.").click()
    page.wait_for_url("**/exact/report.html#claim-zero-gradient")
    assert page.locator("#claim-zero-gradient").is_visible()
    assert page.messages == []
