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

from bakeoff.core.events import PredictionEvent
from bakeoff.core.records import Metric, RunChange
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.events import open_events
from bakeoff.web import auth

EACH, LEVEL = 300, 0.05
METRICS = 2_000
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
            more = {} if body is None else {"json": filled_in(body, ids)}
            request = client.build_request(method, filled_in(path, ids), headers=headers, **more)
            began = time.perf_counter()
            answer = await client.send(request)
            if turn >= 20:
                times[turn % 2].append((time.perf_counter() - began) * 1000)
            assert answer.status_code < 500, answer.text
    return times


async def measured(app, headers, table, hidden, nobodys) -> int:
    """Measure all requests to an app; how many of them tell the two apart."""
    told, tests = 0, len(TRACKING) + len(SERVING)
    async with app.router.lifespan_context(app):
        for name, asked in table.items():
            theirs, nothing = await timed(app, headers, asked, hidden, nobodys)
            p = mannwhitneyu(theirs, nothing).pvalue
            told += p < LEVEL / tests
            mark = "  DIFFERENT" if p < LEVEL / tests else ""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evened", choices=["yes", "no"], default="yes")
    parser.add_argument("--part", choices=["tracking", "serving"])
    given = parser.parse_args()
    if given.evened == "no":
        auth.STEP_S = 1e-9
    print(f"{'of':22} {'another':>8}    {'nobody':>8}")
    told = 0
    for part in [{"tracking": tracking, "serving": serving}[given.part]] if given.part else [tracking, serving]:
        with tempfile.TemporaryDirectory() as folder:
            told += part(Path(folder))
    print(f"{told} of {len(TRACKING) + len(SERVING)} kinds of names are told apart by time")


if __name__ == "__main__":
    main()
