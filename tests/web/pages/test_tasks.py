"""What a stranger would do in the browser, from the first page on: each task by what one sees there.

Labelling twenty rows by keyboard within a minute, and seeing why the others lost, stand in `test_browser`.
"""

import shutil
import time

import psutil
import pytest
from tests.web.pages.conftest import opened
from tests.web.pages.test_browser import DESKTOP, PHONE, browser, page, pytestmark, violations

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.records import Metric, RunChange
from bakeoff.web.pages.app import Pages
from bakeoff.web.pages.previews import Previews
from bakeoff.web.server import Server

__all__ = ["browser", "page", "pytestmark"]

DAY_MS = 86_400_000
LOOP = """
# what the loop may do
[loop]
approval = true   # ask us
"""


@pytest.fixture(scope="module")
def waiting(films_run, third_party_path, family, tmp_path_factory):
    """A project whose loop has a winner that waits for a person."""
    folder = shutil.copytree(films_run, tmp_path_factory.mktemp("tasks") / "films")
    with (folder / "bakeoff.toml").open("a") as file:
        file.write(LOOP)
    source = folder / "films.csv"
    source.write_text(source.read_text() + "good film for all,2001,yes\n" * 3)
    site = opened(folder, tmp_path_factory.mktemp("scratch"))
    assert site.project.loop_once().cycle.state == "approval"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(third_party_path))  # replays are processes of their own
        yield site
    site.project.close()


@pytest.fixture(scope="module")
def url(waiting):
    with Server(waiting.app) as server:
        yield server.url


def test_a_retrain_is_approved_and_then_rolled_back(page, url, waiting):
    before = waiting.project.release().model_version
    page.goto(url)
    page.click("nav >> text=Loop")
    assert "A person must decide" in page.inner_text("main")
    page.click("summary:has-text('Approve')")
    page.fill("details[open] input[name=why]", "looked at it")
    page.click("details[open] button")
    page.wait_for_selector(".done")
    assert "A person must decide" not in page.inner_text("main")
    after = waiting.project.release().model_version
    assert after != before
    page.click("nav >> text=Endpoints")
    page.click("main a >> text=films")
    page.click("summary:has-text('Roll back')")
    assert "will go back to the release that was live before" in page.inner_text("details[open]")
    page.click("details[open] button")
    page.wait_for_selector(".done")
    assert waiting.project.release().model_version == before
    assert page.said == []


def test_the_best_run_of_the_last_week_is_found(page, url, waiting):
    runs, now_ms = waiting.project.records.runs, waiting.tracking.clock()
    experiment = waiting.project.records.experiments.open("sweep").experiment_id
    made = {}
    for name, days, value in (("old and best", 10, 0.99), ("best", 3, 0.9), ("worse", 1, 0.8)):
        run = runs.start(experiment, name, start_ms=now_ms - days * DAY_MS)
        runs.apply([RunChange(run_id=run.run_id, metrics=[Metric(key="sweep_f1", value=value)], status="FINISHED")])
        made[name] = run.run_id
    page.goto(f"{url}/runs")
    page.click("summary:has-text('Views')")
    page.click("text=the last seven days")
    page.wait_for_url("**filter=start_time**")
    page.fill("input[name=columns]", "started, metrics.sweep_f1")
    page.keyboard.press("Enter")
    page.wait_for_url("**columns=**")
    page.click("th >> text=sweep_f1")
    page.wait_for_url("**order=**")
    assert "old and best" not in page.inner_text("main")
    page.click("table.rows tbody tr:first-child th a")
    page.wait_for_url(f"**/runs/{made['best']}")
    assert page.said == []


def test_a_changed_policy_is_tried_on_the_past_and_saved(page, url, waiting):
    page.goto(f"{url}/loop")
    page.click("text=Change it, or try a change on the past")
    page.fill("input[name='loop.cool_down']", "none")
    page.check("input[name='loop.triggers.schedule']")
    page.fill("input[name='loop.schedule']", "every 1d")
    page.fill("input[name=by]", "year")
    page.fill("input[name=start]", "2018")
    page.click("button:has-text('Preview')")
    page.wait_for_selector("text=Replaying the past")
    page.wait_for_selector("[data-done]", timeout=120_000)
    text = page.inner_text("#policy-next")
    assert "loop.cool_down none" in text
    for label in ("the policy now", "the changed policy", "never retrain", "best in hindsight", "False alarms"):
        assert label.lower() in text.lower()
    assert page.locator("#policy-next polyline").count() == 4
    assert not page.locator("#policy-next button").is_visible()
    assert violations(page) == []
    page.click("button:has-text('Show what would change')")
    page.wait_for_selector("#policy-next >> text=What would change")
    assert "+cool_down" in page.inner_text(".diff")
    page.set_viewport_size(PHONE)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    page.fill("#policy-next input[name=why]", "labels come daily")
    page.click("button:has-text('Save in bakeoff.toml')")
    page.wait_for_url("**/loop?done=*")
    text = (waiting.project.folder / "bakeoff.toml").read_text()
    assert "# what the loop may do\n[loop]\napproval = true   # ask us\n" in text
    assert waiting.project.config.loop.schedule == "every 1d"
    assert page.said == []


def test_a_replay_ends_when_its_page_is_left(page, url):
    page.goto(f"{url}/loop/policy")
    page.fill("input[name=by]", "year")
    page.fill("input[name=start]", "1960")  # sixty models: minutes
    page.click("button:has-text('Preview')")
    page.wait_for_selector("text=Replaying the past")

    (replay,) = [each for each in psutil.Process().children() if "replay" in " ".join(each.cmdline())]
    time.sleep(1)
    processes = [replay, *replay.children(recursive=True)]
    page.goto(f"{url}/loop")
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []


def test_a_server_that_ends_ends_its_replay_and_leaves_no_folder(waiting, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pages, before = Pages(waiting.tracking, waiting.project), set(psutil.Process().children())
    text = (waiting.project.folder / "bakeoff.toml").read_text()
    begun = pages._previews.start(text, ["--by=year", "--start=1960"], who="ada", changed={})
    (replay,) = set(psutil.Process().children()) - before
    pages.close()
    assert (begun.state, replay.is_running(), list(tmp_path.iterdir())) == ("cancelled", False, [])


def test_a_replay_that_takes_too_long_is_ended_and_nobody_elses_is_seen(waiting):
    previews = Previews(waiting.project, most_s=1.0)
    text = (waiting.project.folder / "bakeoff.toml").read_text()
    begun = previews.start(text, ["--by=year", "--start=1960"], who="ada", changed={})
    with pytest.raises(ConflictError, match="ada is running one"):
        previews.start(text, ["--by=year"], who="ben", changed={})
    with pytest.raises(NotFoundError):
        previews.get(begun.id, who="ben")
    previews.cancel(begun.id, who="ben")
    until = time.monotonic() + 30
    while previews.get(begun.id, who="ada").state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert begun.state == "late"
    previews = Previews(waiting.project)
    wrong = previews.start(text, ["--by=nothing"], who="ben", changed={})
    until = time.monotonic() + 30
    while previews.get(wrong.id, who="ben").state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert (wrong.state, "expected a column 'nothing' in the past" in wrong.problem) == ("failed", True)
