"""The pages of `bakeoff ui` on large records: server time of each, bytes, an idle page; and beside MLflow's UI.

    python benchmarks/pages.py                     # 100,000 runs, 1,000,000 points, 50,000 traces (ten minutes)
    SCALE=0.1 python benchmarks/pages.py           # a tenth of them
    python benchmarks/pages.py --parts runs traces # of runs, compare, traces, idle, look, beside: each by itself
    python benchmarks/pages.py --peers FOLDER      # an environment that has mlflow already

Runs, points and traces are written into the database directly, and kept for the next part (--anew writes them again).
A page is asked for by one connection, and timed until its last byte; the first time (templates, modules) stands beside
the median of the others. In the browser (Chromium by playwright, both on 10,000 runs) the time goes until the name of
the newest run can be read, in a fresh profile. The part `look` opens each page of the large records on a phone and on
a desktop: what its console says, what it asks elsewhere, what axe-core finds, what is wider than the screen; with
pictures of all in the folder of the records.
"""

import argparse
import gzip
import http.client
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode

import psutil
import tracking
from playwright.sync_api import sync_playwright
from tracking import BEGAN_MS, HISTORY, SEED, Server, scaled

import data
from bakeoff.config.sections import StoreConfig
from bakeoff.core.queries import QueryField
from bakeoff.core.records import DocumentChange
from bakeoff.project import wiring

EXPERIMENT, FEW = "7", "8"
RUNS, CURVES, POINTS, TRACES, BESIDE = scaled(100_000), 50, scaled(10_000), scaled(50_000), scaled(10_000)
TIMES = 7
PARTS = ("runs", "compare", "traces", "idle", "look", "beside")
CHROMIUM = next((at for name in ("chromium", "google-chrome") if (at := shutil.which(name))), None)


def seed_traces(folder: Path, count: int) -> None:
    """Traces as they are stored, without spans."""
    records, _ = wiring.open_stores(
        folder, StoreConfig(records="sqlite:///.bakeoff/records.db", blobs="file://.bakeoff/blobs"), wiring.now_ms
    )

    def change(at: int) -> DocumentChange:
        start = BEGAN_MS + at
        body = {"trace_id": f"tr-{at:032x}", "experiment_id": "0", "start_ms": start, "end_ms": start + at % 900}
        body |= {"state": "ERROR" if at % 50 == 0 else "OK", "request_preview": f"question {at}", "metadata": {}}
        body |= {"response_preview": "answer", "tags": {"mlflow.traceName": "ask"}, "assessments": [], "spans": 3}
        fields = {"timestamp_ms": start, "execution_time_ms": at % 900, "status": body["state"], "experiment_id": "0"}
        named = {QueryField(kind="attribute", key=key): value for key, value in fields.items()}
        return DocumentChange(collection="traces", key=body["trace_id"], body=body, fields=named)

    for first in range(0, count, 1000):
        records.documents.apply([change(at) for at in range(first, min(count, first + 1000))])
    records.close()


def pages() -> dict[str, dict[str, str]]:
    """What is asked for in each part, by what it is called."""
    curves = [("run", f"{EXPERIMENT}{at:028x}") for at in range(CURVES)]
    return {
        "runs": {
            "runs, newest first": "/runs",
            "runs, by a metric": "/runs?" + urlencode({"order": "metrics.loss ASC"}),
            "runs, filtered and sorted": "/runs?"
            + urlencode({"filter": "metrics.acc > 0.5 and params.model = 'rf'", "order": "metrics.acc DESC"}),
            "runs, by a filter that none passes": "/runs?"
            + urlencode({"filter": "metrics.acc > 0.5 and params.model = 'x'", "order": "metrics.acc DESC"}),
            "runs, grouped": "/runs?" + urlencode({"group": "params.model"}),
            "ranges of the groups' metrics, behind it": "/runs/groups?" + urlencode({"group": "params.model"}),
            "one run": f"/runs/{EXPERIMENT}{5:028x}",
            "rows that changed": "/runs/rows?" + urlencode({"since": str(BEGAN_MS + RUNS), "columns": "metrics.loss"}),
        },
        "compare": {
            f"compare {CURVES} runs, {POINTS:,} points each": f"/compare?{urlencode([*curves, ('metric', 'loss')])}",
        },
        "traces": {
            "traces, newest first": "/traces",
            "traces, slowest first": "/traces?order=slowest",
            "traces, filtered": "/traces?" + urlencode({"filter": "status = 'ERROR'"}),
        },
    }


def timed(server: Server, path: str) -> tuple[float, float, float, int]:
    """Milliseconds of the first request, the median of the others, their processor time, and the answer's bytes."""
    process, spent = psutil.Process(server.process.pid), 0.0
    connection, took, size = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120), [], 0
    for number in range(TIMES + 1):
        if number == 1:
            spent = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        size = len(answer.read())
        assert answer.status == 200, (path, answer.status)
        took.append((time.perf_counter() - began) * 1000)
    connection.close()
    spent = (sum(process.cpu_times()[:2]) - spent) * 1000 / TIMES
    return took[0], statistics.median(took[1:]), spent, size


def seeded(folder: Path, name: str, write: Callable[[], None]) -> None:
    """Write a set, unless an earlier part has."""
    mark = folder / f"{name}.written"
    if not mark.exists():
        write()
        mark.touch()


def large(folder: Path, parts: Sequence[str]) -> None:
    """Each page of these parts on the large records, and what an open page costs that nobody touches."""
    with Server("bakeoff", folder) as server:
        seeded(folder, "runs", lambda: SEED["bakeoff"](folder, EXPERIMENT, RUNS))
        if {"compare", "look"} & set(parts):
            for at in range(CURVES):
                run_id = f"{EXPERIMENT}{at:028x}"
                seeded(folder, run_id, lambda run_id=run_id: HISTORY["bakeoff"](folder, run_id, POINTS))
        if {"traces", "look"} & set(parts):
            seeded(folder, "traces", lambda: seed_traces(folder, TRACES))
        print(f"{RUNS:,} runs, {CURVES * POINTS:,} points of curves, {TRACES:,} traces\n")
        print("| page | first, ms | median, ms | processor, ms | kB |\n|---|---|---|---|---|")
        for part in parts:
            for name, path in pages().get(part, {}).items():
                first, median, spent, size = timed(server, path)
                print(f"| {name} | {first:.0f} | {median:.0f} | {spent:.0f} | {size / 1000:.0f} |", flush=True)
        if "idle" in parts:
            print(f"\nidle page of runs: {idle(server):.2%} of a core")
        if "look" in parts:
            print(f"{look(server, folder)} faults; pictures in {folder / 'pictures'}")
    script = files("bakeoff.web.pages").joinpath("pages.js").read_bytes()
    style = files("bakeoff.web.pages").joinpath("pages.css").read_bytes()
    print(
        f"JavaScript {len(gzip.compress(script)) / 1000:.1f} kB gzip, style {len(gzip.compress(style)) / 1000:.1f} kB\n"
    )


def idle(server: Server, seconds: int = 30) -> float:
    """What an open page that nobody touches costs, as a share of a core."""
    process = psutil.Process(server.process.pid)
    with browser() as (chromium, _):
        page = chromium.new_page()
        page.goto(f"{server.url}/runs")
        time.sleep(5)
        before = sum(process.cpu_times()[:2])
        time.sleep(seconds)
        return (sum(process.cpu_times()[:2]) - before) / seconds


def look(server: Server, folder: Path) -> int:
    """How many faults the pages of the large records have; each is printed, and each page is photographed."""
    import axe_playwright_python

    axe = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
    run, trace = f"{EXPERIMENT}{5:028x}", f"tr-{TRACES - 1:032x}"
    paths = [path for part in pages().values() for name, path in part.items() if name != "rows that changed"]
    paths += ["/", "/runs/latest", f"/runs?experiment={EXPERIMENT}", f"/runs/{run}", f"/traces/{trace}"]
    count, pictures = 0, folder / "pictures"
    pictures.mkdir(exist_ok=True)
    with browser() as (chromium, _):
        for number, path in enumerate(paths):
            for width, height, scheme in ((390, 780, "dark"), (1280, 900, "light")):
                page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                faults: list[object] = []
                page.on("console", lambda message, to=faults: to.append(message.text))
                page.on("pageerror", lambda error, to=faults: to.append(str(error)))
                page.on(
                    "request",
                    lambda request, to=faults: (
                        None if request.url.startswith((server.url, "data:")) else to.append(request.url)
                    ),
                )
                page.goto(server.url + path)
                page.wait_for_selector("[aria-busy=true]", state="detached")
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    faults.append("wider than the screen")
                page.evaluate(axe)
                violations = page.evaluate("async () => (await axe.run({resultTypes: ['violations']})).violations")
                faults += [(each["id"], [node["html"][:100] for node in each["nodes"][:2]]) for each in violations]
                page.screenshot(path=pictures / f"{number:02}-{width}.png")
                page.close()
                count += len(faults)
                print(f"{width} {path[:80]}: {faults or 'no fault'}", flush=True)
    return count


class browser:  # noqa: N801 - used as a context manager
    def __enter__(self):
        self.started = sync_playwright().start()
        self.chromium = self.started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        return self.chromium, self.started

    def __exit__(self, *_):
        self.chromium.close()
        self.started.stop()


def beside(system: str, folder: Path) -> None:
    """The page of runs in a browser."""
    with Server(system, folder) as server:
        time.sleep(tracking.SETTLE_S)
        SEED[system](folder, FEW, BESIDE)
        path = f"/runs?experiment={FEW}" if system == "bakeoff" else f"/#/experiments/{FEW}/runs"
        took, sizes = [], []
        with browser() as (chromium, _):
            for _ in range(5):
                context = chromium.new_context(viewport={"width": 1280, "height": 900})
                page = context.new_page()
                bodies: list[int] = []
                session = context.new_cdp_session(page)
                session.send("Network.enable")
                session.on("Network.loadingFinished", lambda event, to=bodies: to.append(event["encodedDataLength"]))
                began = time.perf_counter()
                page.goto(server.url + path, wait_until="commit")
                page.get_by_text(f"run-{BESIDE - 1}", exact=True).first.wait_for(timeout=60_000)
                took.append(time.perf_counter() - began)
                page.wait_for_timeout(500)
                sizes.append(sum(bodies))
                context.close()
        median, size = statistics.median(took) * 1000, statistics.median(sizes) / 1000
        print(f"| {system} | {median:.0f} | {max(took) * 1000:.0f} | {size:,.0f} |", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--peers", help="an environment that has mlflow")
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    asked.add_argument("--anew", action="store_true", help="write the large records again")
    given = asked.parse_args()
    if given.peers:
        tracking.python = lambda: str(Path(given.peers) / "bin" / "python")
    work = data.CACHE / "work"
    folders = {name: work / f"pages-{name}" for name in (f"large-{RUNS}", "bakeoff", "mlflow")}
    for name, folder in folders.items():
        if given.anew or not name.startswith("large"):
            shutil.rmtree(folder, ignore_errors=True)
    if parts := [each for each in given.parts if each != "beside"]:
        large(folders[f"large-{RUNS}"], parts)
    if "beside" in given.parts:
        print("| runs in a browser | median, ms | slowest, ms | kB over the wire |\n|---|---|---|---|")
        for system in ("bakeoff", "mlflow"):
            beside(system, folders[system])
    print(json.dumps({"runs": RUNS, "points": POINTS, "traces": TRACES}))


if __name__ == "__main__":
    main()
