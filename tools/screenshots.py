"""The screenshots of docs/images, taken of the demo's project: each page at the width of a desktop and of a phone.

    make demo                                  # once: the project
    python tools/screenshots.py                # all pages (some minutes: the loop runs once more)
    python tools/screenshots.py loop data      # these pages alone

The project is copied to build/screenshots, and taken from there the next time. In the copy the loop runs on a few more
rows and waits for a person's word; then come an hour of calls, labels, a canary and rows for review. With Pillow the
files are a third as large.
"""

import argparse
import csv
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bakeoff import Project
from bakeoff.project import wiring
from bakeoff.web.pages.app import Pages
from bakeoff.web.server import Server
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
STORY = ROOT / "build" / "screenshots"
TOLD = STORY / "told"
MINUTE_MS, HOUR, CALLS, LABELS, NEW_ROWS = 60_000, 60, 12, 5, 60
CANARY_FROM, LOOKS = 20, {14, 29, 44, 59}
"""Of the minutes of the hour."""
DESKTOP, PHONE = 1160, 390
CHROMIUM = next((at for name in ("chromium", "google-chrome") if (at := shutil.which(name))), None)


@dataclass(slots=True, kw_only=True)
class StoryClock:
    """The time of the story: after all that the demo did."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return wiring.now_ms() + self.ahead_ms


def tell(folder: Path, clock: StoryClock) -> None:
    """What happens in the copy of the demo's project."""
    config, source = folder / "bakeoff.toml", folder / "reviews.csv"
    text = config.read_text().replace("[candidates.embedding]\n", "")
    config.write_text(text.replace("[loop]\n", "[loop]\napproval = true                # a person says yes\n"))
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with source.open("a", newline="") as file:
        again = ({**row, "review": f"Again: {row['review']}"} for row in rows[:NEW_ROWS])
        csv.DictWriter(file, list(rows[0])).writerows(again)
    with Project(folder, clock=clock) as project:
        project.loop_once()
        other = next(each for each in project.models() if "champion" not in each.aliases)
        for minute in range(HOUR):
            clock.ahead_ms += MINUTE_MS
            if minute == CANARY_FROM:
                project.endpoints.canary(f"{other.name}/{other.number}", share=0.2, why="as good on test rows")
            some = rows[minute * CALLS : (minute + 1) * CALLS - minute * 7 % 5]
            answers = project.predict([{"review": row["review"]} for row in some])
            known = list(zip(answers, some, strict=True))[:LABELS]
            project.feedback([{"id": answer.id, "label": row["verdict"]} for answer, row in known])
            if minute in LOOKS:
                project.monitor()
        project.review.pick(20)


@contextmanager
def served(demo: Path) -> Generator[tuple[Project, str]]:
    """The pages of the project with its story."""
    clock = StoryClock()
    if not TOLD.exists():
        shutil.rmtree(STORY, ignore_errors=True)
        tell(shutil.copytree(demo, STORY), clock)
        TOLD.write_text(str(clock()))
    clock.ahead_ms = int(TOLD.read_text()) - wiring.now_ms()  # at its end, whenever it is looked at
    with Project(STORY, clock=clock) as project, tempfile.TemporaryDirectory() as scratch:
        tracking = Tracking(records=project.records, blobs=project.blobs, clock=clock, scratch=Path(scratch))
        tracking.prepare()
        with Server(create_tracking_app(tracking, pages=Pages(tracking, project).routes())) as server:
            yield project, server.url


def pages(project: Project) -> dict[str, tuple[str, int]]:
    """Each page: its address, and how much of its height is shown at most."""
    runs = "&".join(f"run={each.run_id}" for each in project.last().ranked)
    prediction = project.predict([{"review": "A film that nobody forgets."}])[0].id
    return {
        "overview": ("/", 900),
        "runs": ("/runs", 520),
        "compare": (f"/compare?{runs}", 1000),
        "verdict": ("/verdict", 900),
        "endpoint": ("/endpoints/reviews", 1000),
        "model": ("/models/reviews/1", 900),
        "lineage": (f"/lineage?of=prediction:{prediction}", 760),
        "review": ("/review", 760),
        "data": ("/data", 760),
        "loop": ("/loop", 1000),
        "policy": ("/loop/policy", 900),
    }


def taken(browser: Browser, url: str, name: str, height: int, *, width: int) -> Path:
    """One picture; on a phone in the dark."""
    phone = width == PHONE
    page = browser.new_page(
        viewport={"width": width, "height": 780 if phone else height}, color_scheme="dark" if phone else "light"
    )
    page.goto(url)
    if name == "review":
        page.keyboard.press("l")
        page.wait_for_url("**/review/*/*")
    page.wait_for_selector("[aria-busy=true]", state="detached")
    page.wait_for_timeout(300)
    if phone and name in {"compare", "verdict"}:  # what decides stands below what one fills in
        page.locator("#paired, #result").first.evaluate("each => each.scrollIntoView({behavior: 'instant'})")
    file = IMAGES / f"pages-{name}{'-phone' if phone else ''}.png"
    if not phone:
        last = "document.querySelector('main').lastElementChild"
        end = page.evaluate(f"Math.ceil({last}.getBoundingClientRect().bottom)")
        page.set_viewport_size({"width": width, "height": min(height, end + 24)})
    page.screenshot(path=file)
    page.close()
    return file


def smaller() -> Callable[[Path], None]:
    """What makes a file smaller, where Pillow is installed."""
    try:
        from PIL import Image
    except ImportError:
        return lambda _: None

    def shrink(file: Path) -> None:
        of = Image.open(file).convert("RGB")
        of.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, optimize=True)

    return shrink


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("names", nargs="*", help="the pages; all by default")
    asked.add_argument("--demo", type=Path, default=ROOT / "demo-reviews", help="the demo's project")
    given, shrink = asked.parse_args(), smaller()
    with served(given.demo) as (project, url), sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, (path, height) in pages(project).items():
            if given.names and name not in given.names:
                continue
            for width in (DESKTOP, PHONE):
                file = taken(browser, url + path, name, height, width=width)
                shrink(file)
                print(f"{file.relative_to(ROOT)} {file.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
