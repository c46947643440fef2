"""Whether the time of an answer tells what is another team's from what is not there.

    python -m benchmarks.unknown_and_forbidden         # --evened no: answers as soon as they are made

300 requests for a thing of another team and 300 for one that nobody has, in turns, by a client in the server's own
process (what else the machine does slows both alike): the medians, and Mann and Whitney's rank test of the two. With
so many tests, a p below 0.05 divided by their number (Bonferroni) is a difference.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx2 as httpx
from scipy.stats import mannwhitneyu
from starlette.testclient import TestClient
from tests.web.test_auth import World as Apps
from tests.web.test_unknown_and_forbidden import World, unknown

from bakeoff import Project
from bakeoff.core.events import PredictionEvent
from bakeoff.core.records import Metric, RunChange
from bakeoff.feedback.review import ReviewBatch, ReviewQueue, ReviewRow
from bakeoff.project import wiring
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.events import open_events
from bakeoff.web import auth
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.pages.app import Pages
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking

EACH, LEVEL = 300, 0.05
METRICS = 2_000
TOML = """[project]
name = "mine"
task = "classification"
[data]
source = "rows.csv"
target = "label"
[candidates.linear]
"""
API = "/api/2.0/mlflow"
TRACKING = {
    "experiment by id": ("GET", f"{API}/experiments/get?experiment_id={{experiment_id}}", None),
    "experiment by name": ("GET", f"{API}/experiments/get-by-name?experiment_name={{experiment_name}}", None),
    "run": ("GET", f"{API}/runs/get?run_id={{run_id}}", None),
    "run, a metric to log": (
        "POST",
        f"{API}/runs/log-metric",
        {"run_id": "{run_id}", "key": "k", "value": 1.0, "timestamp": 1},
    ),
    "runs of an experiment": ("POST", f"{API}/runs/search", {"experiment_ids": ["{experiment_id}"]}),
    "registered model": ("GET", f"{API}/registered-models/get?name={{model}}", None),
    "logged model": ("GET", f"{API}/logged-models/{{model_id}}", None),
    "trace": ("GET", "/api/3.0/mlflow/traces/{trace_id}", None),
    "dataset": ("GET", "/api/3.0/mlflow/datasets/{dataset_id}", None),
    "dataset to delete": ("DELETE", "/api/3.0/mlflow/datasets/{dataset_id}", {}),
    "artifacts": ("GET", f"{API}/artifacts/list?run_id={{run_id}}", None),
    "artifact": ("GET", "/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/f.txt", None),
    "page of a run": ("GET", "/runs/{run_id}", None),
}
SERVING = {
    "endpoint": ("POST", "/predict/{endpoint}", {"row": {}}),
    "endpoint as a model": ("POST", "/v1/completions", {"model": "{endpoint}", "prompt": "x"}),
    "file": ("GET", "/v1/files/{file}", None),
    "job": ("GET", "/v1/fine_tuning/jobs/{job}", None),
    "prediction": ("POST", "/feedback", {"items": [{"id": "{prediction}", "label": "yes"}]}),
}
PAGES = {
    "page of an endpoint": ("GET", "/endpoints/{endpoint}", None),
    "page of a prediction": ("GET", "/predictions/{prediction}", None),
    "label on that page": ("FORM", "/predictions/{prediction}/feedback", {"label": "yes"}),
    "lineage of it": ("GET", "/lineage?of=prediction:{prediction}", None),
    "page of a row of review": ("GET", "/review/{batch}/0", None),
    "row of review, to skip": ("FORM", "/review/{batch}/0", {"what": "skip"}),
    "batch of review": ("FORM", "/review/take", {"batch": "{batch}"}),
}
PARTS = {"tracking": TRACKING, "serving": SERVING, "pages": PAGES}
TESTS = sum(map(len, PARTS.values()))


def filled_in(value, ids):
    """A path or a body with these ids."""
    if isinstance(value, str):
        return value.format(**ids)
    if isinstance(value, dict):
        return {name: filled_in(each, ids) for name, each in value.items()}
    return [filled_in(each, ids) for each in value] if isinstance(value, list) else value


async def timed(app, headers, asked, hidden, nobodys) -> list[list[float]]:
    """Milliseconds of requests, of what is hidden and of what is not there."""
    method, path, body = asked
    times: list[list[float]] = [[], []]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
        for turn in range(2 * EACH + 20):
            ids = (hidden, nobodys)[turn % 2]
            more = {} if body is None else {"data" if method == "FORM" else "json": filled_in(body, ids)}
            sent = method.replace("FORM", "POST")
            request = client.build_request(sent, filled_in(path, ids), headers=headers, **more)
            began = time.perf_counter()
            answer = await client.send(request)
            if turn >= 20:
                times[turn % 2].append((time.perf_counter() - began) * 1000)
            assert answer.status_code < 500, answer.text
    return times


async def measured(app, headers, table, hidden, nobodys) -> int:
    """Measure all requests to an app; how many of them tell the two apart."""
    told = 0
    async with app.router.lifespan_context(app):
        for name, asked in table.items():
            theirs, nothing = await timed(app, headers, asked, hidden, nobodys)
            p = mannwhitneyu(theirs, nothing).pvalue
            told += p < LEVEL / TESTS
            mark = "  DIFFERENT" if p < LEVEL / TESTS else ""
            print(f"{name:22} {median(theirs):8.3f} ms {median(nothing):8.3f} ms   p {p:.2g}{mark}", flush=True)
    return told


def tracking(folder: Path) -> int:
    world = World(folder)
    with TestClient(world.app) as client:
        hidden = world.filled(client, "theirs")
    metrics = [Metric(key=f"m{at}", value=1.0) for at in range(METRICS)]
    world.records.runs.apply([RunChange(run_id=hidden["run_id"], metrics=metrics)])
    app = world.app
    return asyncio.run(measured(app, world.headers["mine"], TRACKING, hidden, unknown(hidden)))


def serving(folder: Path) -> int:
    apps = Apps(folder, open_blobs("file://blobs", folder=folder, clock=lambda: 1))
    log = open_events("file://events", folder=folder, clock=lambda: 1)
    log.append([PredictionEvent(id="p-taxis", endpoint="taxis", release_id="r", model_version="t/1", row={})])
    apps.events.append = log.append
    apps.events.get = log.get
    file = apps.fine_tuning.files.put("secret.jsonl", b"x", purpose="fine-tune").id
    job = apps.fine_tuning.jobs.create(model="m", training="b").id
    hidden = {"endpoint": "taxis", "file": file, "job": job, "prediction": "p-taxis"}
    nobodys = {"endpoint": "ghost", "file": f"{file[:-4]}0000", "job": f"{job[:-4]}0000", "prediction": "p-ghost"}
    headers = {"authorization": f"Bearer {apps.token('admin', 'endpoint:reviews')}"}
    told = asyncio.run(measured(apps.apps["serving"], headers, SERVING, hidden, nobodys))
    log.close()
    return told


def pages(folder: Path) -> int:
    """A project with an endpoint, a prediction and a row of review of another team."""
    (folder / "bakeoff.toml").write_text(TOML)
    (folder / "scratch").mkdir()
    with Project(folder) as project:
        project.endpoints.create("taxis")
        event = {"endpoint": "taxis", "release_id": "r", "model_version": "t/1", "row": {"a": "b"}}
        project.events.append([PredictionEvent(id="p-taxis", **event)])
        row = ReviewRow(batch="b-taxis", position=0, id="p-taxis", endpoint="taxis", model_version="t/1", row={})
        batch = {"endpoint": "taxis", "created_by": "x", "rows": 1, "random": 0, "population": 1, "created_ms": 1}
        queue = ReviewQueue(project.records.documents, wiring.now_ms, lease_ms=60_000)
        queue.add(ReviewBatch(id="b-taxis", **batch), [row])
        tracking = Tracking(
            records=project.records, blobs=project.blobs, clock=wiring.now_ms, scratch=folder / "scratch"
        )
        tracking.prepare()
        tokens = AccessTokens(project.records.documents, Roles({}), wiring.now_ms)
        text = tokens.create("x", roles=["admin"], scopes=["endpoint:mine", "model:mine"])[1]
        routes = Pages(tracking, project).routes()
        app = create_tracking_app(tracking, authenticator=TokenAuthenticator(tokens), pages=routes)
        hidden = {"endpoint": "taxis", "prediction": "p-taxis", "batch": "b-taxis"}
        nobodys = {"endpoint": "ghost", "prediction": "p-ghost", "batch": "b-ghost"}
        headers = {"authorization": f"Bearer {text}", "origin": "http://testserver"}
        return asyncio.run(measured(app, headers, PAGES, hidden, nobodys))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evened", choices=["yes", "no"], default="yes")
    parser.add_argument("--part", choices=list(PARTS))
    given = parser.parse_args()
    if given.evened == "no":
        auth.STEP_S = 1e-9
    print(f"{'of':22} {'another':>8}    {'nobody':>8}")
    told, parts = 0, {"tracking": tracking, "serving": serving, "pages": pages}
    for part in [parts[given.part]] if given.part else parts.values():
        with tempfile.TemporaryDirectory() as folder:
            told += part(Path(folder))
    print(f"{told} of {len(PARTS[given.part]) if given.part else TESTS} kinds of names are told apart by time")


if __name__ == "__main__":
    main()
