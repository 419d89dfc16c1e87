"""The report pages in a headless browser: offline, on a phone, in dark mode, with filters and sortable tables."""

from io import BytesIO

import pandas as pd
import pytest
from matplotlib.image import imread

from ablations.grids import grid, runs_of
from harness.settings import with_settings
from results.frame import gather
from results.reports.exact import write_exact_report
from results.reports.page import render
from results.reports.runs import PAGES as REPORT
from results.reports.runs import write_report
from results.style import ON_DARK
from results.tables import Table
from results.verdicts.decisions import judge_exact
from tests.browser.chromium import chromium
from tests.results.figures.conftest import TINY
from tests.results.reports.test_exact import CLAIMS
from tests.support import exact_frames
from tests.support.run_folder_factory import fail, write_done

pytestmark = pytest.mark.browser

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = (*REPORT, "task-winding-road.html", "exact/report.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report about six seeds, one of them failed, and the report of the exact lab."""
    root = tmp_path_factory.mktemp("runs")
    runs = [with_settings(run, TINY) for run in runs_of("truth")]
    write_done(root, runs[:-1])
    fail(root, runs[-1], "parameters not finite at update <812> & after")
    out = tmp_path_factory.mktemp("report")
    verdicts = judge_exact(CLAIMS)
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
def test_a_page_reads_only_its_folder_and_logs_no_console_message(show, folder, name, viewport):
    page = show(name, viewport)
    assert page.requests[0] == (folder / name).as_uri()
    figures = (folder / name).parent / "figures"
    assert all(request.startswith(figures.as_uri()) for request in page.requests[1:])
    assert page.messages == []
    assert page.evaluate("[...document.images].every(image => !image.complete || image.naturalWidth > 0)")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_not_scroll_sideways_on_a_phone(show, name):
    page = show(name, PHONE)
    for fold in page.locator("main > details, section > details, p + details").all():
        fold.locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.evaluate("window.scrollBy(500, 0)")
    assert page.evaluate("window.scrollX") == 0


@pytest.mark.parametrize("name", REPORT)
def test_the_contents_and_the_heads_of_tables_stay_in_view(show, name):
    page = show(name)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert page.locator(".site").bounding_box()["y"] == 0
    assert 0 <= page.locator(".contents").bounding_box()["y"] < 100
    page.locator("a.top").click()
    page.wait_for_function("window.scrollY === 0")


def column(page, table: str, number: int) -> list[str]:
    return page.locator(f"table.{table} tbody tr td:nth-child({number})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    """The numbers at the beginning of cells, as a reader understands them."""
    plain = [text.split()[0].replace("\N{MINUS SIGN}", "-").replace("<0.001", "0.0009").rstrip("*") for text in texts]
    return [float(text.replace(",", "")) for text in plain if text != "-"]


@pytest.mark.parametrize(("table", "place"), [("scores", 2), ("differences", 6), ("verdicts", 6), ("verdicts", 4)])
def test_columns_with_negative_numbers_intervals_and_bounds_sort_both_ways(show, table, place):
    page = show("task-winding-road.html")
    before = column(page, table, place)
    heading = page.locator(f"table.{table} th").nth(place - 1)
    heading.locator("button").click()
    ascending = column(page, table, place)
    assert numbers(ascending) == sorted(numbers(before))
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    assert numbers(column(page, table, place)) == sorted(numbers(before), reverse=True)
    assert sorted(ascending) == sorted(before)


def test_minus_signs_bounds_and_missing_values_are_in_order(browser):
    cells = ["-13.8 [-14.0, -13.5]", "0.02", "-27.1", "<0.001", "-", "-16.1 [-17, -15]", "1,720", "3 of 10"]
    table = Table("hand", "By hand", pd.DataFrame(), pd.DataFrame({"Value": cells}))
    page = browser.new_page()
    page.set_content(render("speed.html", table=table, pictures=[], about={"machine": "", "commit": "", "date": ""}))
    minus = "\N{MINUS SIGN}"
    ascending = ["27.1", "16.1 [17, 15]", "13.8 [14.0, 13.5]", "<0.001", "0.02", "3 of 10", "1,720"]
    shown = []
    for _ in range(2):
        page.locator("th button").click()
        shown.append([" ".join(text.replace(minus, "").split()) for text in column(page, "hand", 1)])
    assert shown == [[*ascending, "-"], [*reversed(ascending), "-"]]
    page.close()


def test_the_keyboard_sorts_text_columns_alphabetically(show):
    page = show("report.html")
    page.locator("table.matrix th button").first.focus()
    page.keyboard.press("Enter")
    topics = column(page, "matrix", 1)
    assert topics == sorted(topics, key=str.lower)
    assert len(topics) > 20


def test_claims_are_filtered_by_arm_and_verdict(show):
    page = show("claims.html")
    everything = page.locator("details.claim:visible").count()
    page.locator("select[name=verdict]").select_option("supported")
    shown = page.locator("details.claim:visible")
    assert 0 < shown.count() < everything
    for claim in shown.all():
        claim.locator("summary").first.click()
        assert {text.split()[1] for text in claim.locator("td.verdict:visible").all_inner_texts()} == {"supported"}
    page.locator("select[name=verdict]").select_option("")
    assert page.locator("details.claim:visible").count() == everything


def test_runs_are_filtered_by_state(show):
    page = show("runs.html")
    page.locator("select[name=state]").select_option("failed")
    assert page.locator("table.run_list tbody tr:visible").count() == 1


@pytest.fixture(scope="module")
def long_report(tmp_path_factory):
    """A report about 126 runs, the last one failed."""
    root = tmp_path_factory.mktemp("runs")
    runs = [with_settings(run, TINY) for run in grid(("winding-road",), ("cql", "monte_carlo"), range(63), "demo")]
    write_done(root, runs[:-1])
    fail(root, runs[-1], "parameters not finite at update <812> & after")
    write_report(gather(root), root / "report")
    return root / "report"


@pytest.fixture
def long_list(show, long_report):
    return show(long_report / "runs.html")


def seeds_of(rows) -> set[str]:
    return set(rows.locator("td:nth-child(4)").all_inner_texts())


def test_a_long_list_of_runs_begins_with_100_and_its_button_shows_all(long_list):
    rows = long_list.locator("table.run_list tbody tr:visible")
    assert rows.count() == 100
    long_list.locator(".more button").click()
    assert rows.count() == 126
    assert len(seeds_of(rows)) == 63
    assert not long_list.locator(".more").is_visible()


def test_sorting_filters_and_printing_reach_all_runs_of_a_long_list(long_list):
    rows = long_list.locator("table.run_list tbody tr:visible")
    long_list.pdf()
    assert rows.count() == 126
    long_list.reload()
    assert rows.count() == 100
    long_list.locator("table.run_list th button").nth(2).click()
    assert rows.count() == 126
    long_list.reload()
    long_list.locator("select[name=arm]").select_option("cql")
    assert rows.count() == 63
    long_list.locator("select[name=arm]").select_option("")
    long_list.locator("select[name=state]").select_option("failed")
    assert rows.count() == 1
    assert long_list.messages == []


@pytest.mark.parametrize("name", ["report.html", "exact/report.html"])
def test_the_page_and_its_figures_follow_the_colour_scheme(show, name):
    styles = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    pages = {colours: show(name, colours=colours) for colours in ("light", "dark")}
    light, dark = (page.evaluate(styles) for page in pages.values())
    assert light == ["rgb(255, 255, 255)", rgb("#222222")]
    assert dark == [rgb(ON_DARK["#ffffff"]), rgb(ON_DARK["#222222"])]
    for colours, page in pages.items():
        picture = page.locator("figure img").first
        picture.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('figure img').complete")
        red, green, blue = imread(BytesIO(picture.screenshot()))[2, 2, :3]
        expected = "#ffffff" if colours == "light" else ON_DARK["#ffffff"]
        assert [round(255 * float(value)) for value in (red, green, blue)] == list(bytes.fromhex(expected[1:]))


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))})"


def test_links_of_claims_open_their_sections(show):
    page = show("report.html")
    page.get_by_role("link", name="Cal-QL's score dips less than CQL's after the switch.").click()
    page.wait_for_url("**/claims.html#claim-cal-ql-smaller-dip")
    section = page.locator("#claim-cal-ql-smaller-dip")
    assert section.bounding_box()["y"] < DESKTOP["height"]
    assert section.locator("table").is_visible()
    assert section.locator("code").last.is_hidden()
    section.locator("details summary").click()
    assert section.locator("details code").last.is_visible()
    page.go_back()
    page.get_by_role("link", name="Q at \N{MINUS SIGN}35 is not pushed down.").click()
    page.wait_for_url("**/exact/report.html#claim-zero-gradient")
    assert page.locator("#claim-zero-gradient").is_visible()
    assert page.messages == []


def test_the_menu_leads_to_the_page_of_a_task(show):
    page = show("report.html")
    page.locator(".site select").select_option("task-winding-road.html")
    page.wait_for_url("**/task-winding-road.html")
    assert page.locator("h1").inner_text() == "winding-road"
