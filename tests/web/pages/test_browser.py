"""Pages in a real browser: no word on the console, no request elsewhere, axe-core content, and the keyboard enough."""

import shutil
import time
from pathlib import Path

import pytest

from bakeoff.web.pages.site import PAGES
from bakeoff.web.server import Server

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
axe = pytest.importorskip("axe_playwright_python", reason="needs axe-core: pip install axe-playwright-python")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
    pytest.mark.slow,
]
PHONE, DESKTOP = {"width": 375, "height": 800}, {"width": 1280, "height": 900}
AXE = Path(axe.__file__).with_name("axe.min.js")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(filled):
    with Server(filled.app) as server:
        yield server.url


@pytest.fixture
def page(browser, url):
    """A page that remembers what its console said and what it asked for."""
    context = browser.new_context(viewport=DESKTOP, bypass_csp=False)
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


def violations(page):
    """What axe-core finds; its script is put in from outside of the page's policy."""
    if page.evaluate("typeof axe === 'undefined'"):  # it stays until the page goes
        page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run({resultTypes: ['violations']})).violations")
    return [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found]


def looked_at(page, url, addresses):
    """Each address on a phone in the dark and on a desktop in the light: nothing said, nothing elsewhere, no fault."""
    page.emulate_media(color_scheme="dark")
    for at in addresses:
        page.set_viewport_size(PHONE)
        page.goto(url + at)
        page.wait_for_selector("[aria-busy=true]", state="detached")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], at
        assert violations(page) == [], at
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
        assert violations(page) == [], at
        page.emulate_media(color_scheme="dark")
    assert page.said == []
    assert [each for each in page.asked if not each.startswith((url, "data:,"))] == []


def test_every_page_is_silent_accessible_and_fits_on_a_phone(page, url, addresses):
    looked_at(page, url, addresses[:-1])


def test_every_page_of_an_empty_project_is_silent_accessible_and_fits_on_a_phone(page, empty):
    pages = [each for _, _, each, _ in PAGES]
    with Server(empty.app) as server:
        looked_at(page, server.url, [*pages, "/loop/policy", "/runs?group=status", "/traces?filter=status+%3D+'ERROR'"])


def test_two_runs_are_chosen_and_compared_by_keyboard(page, url):
    page.goto(f"{url}/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs")
    page.keyboard.press("/")
    page.keyboard.type("metrics.los")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("> 58")
    page.keyboard.press("Enter")
    page.wait_for_url("**filter=metrics.loss**")
    assert page.locator("table.rows tbody tr").count() == 2
    for key in ("j", "x", "j", "x", "c"):
        page.keyboard.press(key)
    page.wait_for_url("**/compare?run=*&run=*")
    assert "Compare 2 runs" in page.inner_text("h1")
    assert page.said == []


SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => { for (const each of list.getEntries()) window.shifted += each.value; })
  .observe({ type: "layout-shift", buffered: true });
"""


def test_what_comes_after_a_page_moves_nothing_and_the_page_is_marked_where_one_sees_it(page, url, filled):
    page.add_init_script(SHIFTS)
    page.set_viewport_size(PHONE)
    runs = "&".join(f"run={each}" for each in filled.candidates)
    for at in (f"/compare?{runs}", "/models/films/1", "/runs?group=params.depth", "/loop"):
        page.goto(url + at)
        page.wait_for_load_state("networkidle")
        page.wait_for_selector("[aria-busy=true]", state="detached")
        page.wait_for_timeout(100)  # the frame after it
        assert page.evaluate("window.shifted") < 0.01, at
        here = page.locator("nav [aria-current]").bounding_box()
        assert 0 <= here["x"] <= PHONE["width"] - here["width"] + 1, at
    assert page.said == []


def test_a_canary_is_ended_after_a_confirmation_and_the_verdict_asked_what_if(page, url, filled):
    page.goto(f"{url}/endpoints/films")
    page.click("summary:has-text('End the canary')")
    assert "will answer all calls" in page.inner_text("details[open]")
    page.fill("details[open] input[name=why]", "complaints")
    page.click("details[open] button")
    page.wait_for_url("**done=**")
    status = filled.project.endpoints.show()
    assert ([each.status for each in status.routes], status.changes[0].why) == (["live"], "complaints")
    page.goto(f"{url}/verdict")
    page.select_option("select[name=metric]", "accuracy")
    page.wait_for_selector("text=the metric is accuracy")
    assert "metric=accuracy" in page.url
    other = next(each for each in filled.project.models() if "champion" not in each.aliases)
    filled.project.endpoints.canary(f"{other.name}/{other.number}", share=0.2)
    assert page.said == []


def test_a_row_is_tried_and_the_side_of_disagreement_chosen_in_place(page, url, filled):
    page.goto(f"{url}/endpoints/films")
    page.fill("textarea[name='in.review']", "good film")
    page.click("form.try button")
    page.wait_for_selector("#answer >> text=yes")
    runs = "&".join(f"run={each}" for each in filled.candidates)
    page.goto(f"{url}/compare?{runs}")
    page.select_option("#rows-part select[name=side]", "second")
    page.wait_for_selector("#rows-part option[value=second][selected]", state="attached")
    assert page.said == []


def test_a_running_run_updates_by_itself(page, url, filled):
    from bakeoff.core.queries import Query, attribute
    from bakeoff.core.records import Metric, RunChange

    runs = filled.project.records.runs
    running = runs.search(Query(where=attribute("status", "=", "RUNNING"))).items[0]
    page.goto(f"{url}/runs/{running.run_id}")
    before = page.locator(".plot").count()
    runs.apply([RunChange(run_id=running.run_id, metrics=[Metric(key="fresh", value=7.25, step=3, time_ms=2**40)])])
    page.wait_for_selector("text=fresh", timeout=15_000)
    assert page.locator(".plot").count() == before + 1
    assert page.said == []


def test_twenty_rows_are_labelled_with_one_key_each_within_a_minute(page, url, filled):
    batch = filled.project.review.pick(20, shares={"random": 1.0})
    for each in filled.project.review.batches():
        if each.id != batch.id:
            filled.project.review.close(each.id)
    page.goto(f"{url}/review")
    began = time.monotonic()
    page.keyboard.press("l")
    for done in range(20):
        page.wait_for_url(f"**/review/{batch.id}/{done}")
        page.wait_for_selector(f"progress[value='{done}']")
        page.keyboard.press("1")
    page.wait_for_selector("text=Nothing is left for you to label")
    assert time.monotonic() - began < 60
    assert filled.project.review.progress(batch.id)[0].done == 20
    assert page.said == []


def test_the_best_run_is_one_address_away_and_why_the_others_lost(page, url, filled):
    page.goto(f"{url}/runs?columns=metrics.f1_macro&filter=metrics.f1_macro+%3E+0")
    page.click("th >> text=f1_macro")
    page.wait_for_url("**order=**")
    ranked = filled.project.last().ranked
    best = {each.run_id for each in ranked if each.metrics["f1_macro"].value == ranked[0].metrics["f1_macro"].value}
    page.click("table.rows tbody tr:first-child th a")
    page.wait_for_url("**/runs/*")
    assert page.url.rpartition("/")[2] in best
    page.click("a.button >> text=Verdict")
    page.wait_for_url("**/verdict?run=*")
    assert filled.project.last().verdict.reason in page.inner_text("#result")
    assert page.said == []
