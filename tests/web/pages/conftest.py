"""A project with a run, traffic, labels, a canary, foreign runs and traces, whose texts would like to be markup."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from bakeoff import Project
from bakeoff.core import plugins
from bakeoff.core.records import Metric, RunChange, RunInput
from bakeoff.project import wiring
from bakeoff.web.pages.app import Pages
from bakeoff.web.tracking import traces
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.otlp import spans_of

NASTY = "<script>alert('x')</script><img src=x onerror=alert(1)> \"'`${{7*7}} javascript:alert(1) \u202e</title>"
EMPTY = """
[project]
name = "empty"
task = "classification"
[data]
source = "films.csv"
target = "liked"
[candidates.linear]
"""


@pytest.fixture(scope="session")
def family(third_party_path):
    """The family of the films, for as long as tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(third_party_path))
        plugins._registered.cache_clear()
        yield
    plugins._registered.cache_clear()
    sys.modules.pop("firstword", None)


def opened(folder, scratch):
    """A project and the app that serves its pages."""
    project = Project(folder)
    tracking = Tracking(records=project.records, blobs=project.blobs, clock=wiring.now_ms, scratch=scratch)
    tracking.prepare()
    app = create_tracking_app(tracking, pages=Pages(tracking, project).routes())
    return SimpleNamespace(project=project, tracking=tracking, app=app)


@pytest.fixture(scope="session")
def filled(films_run, family, tmp_path_factory):
    folder = shutil.copytree(films_run, tmp_path_factory.mktemp("pages") / "films")
    site = opened(folder, tmp_path_factory.mktemp("scratch"))
    project, records = site.project, site.project.records
    answers = project.predict([{"review": f"good {NASTY}", "year": 1999}] * 40)
    project.feedback([{"id": each.id, "label": "yes", "comment": NASTY} for each in answers[:3]])
    project.monitor()
    project.monitor(since_ms=0)
    site.batch = project.review.pick(8, shares={"random": 1.0}, who=NASTY[:60]).id
    other = next(each for each in project.models() if "champion" not in each.aliases)
    project.endpoints.canary(f"{other.name}/{other.number}", share=0.2, why=NASTY)
    experiment = records.experiments.create(NASTY).experiment_id
    for at in range(60):
        run = records.runs.start(experiment, f"{NASTY[:40]} {at}", tags={NASTY[:60]: NASTY, "team": f"t{at % 3}"})
        metrics = [
            Metric(key=key, value=step / 10 + at, step=step) for key in ("loss", NASTY[:30]) for step in range(5)
        ]
        change = RunChange(run_id=run.run_id, metrics=metrics, params={NASTY[:50]: NASTY, "depth": str(at % 4)})
        records.runs.apply([change])
        inputs = [RunInput(name=NASTY, version=NASTY, context=NASTY)]
        records.runs.apply([RunChange(run_id=run.run_id, inputs=inputs, status="FINISHED" if at else None)])
    traces.take(site.tracking, None, spans_of(json.dumps(spans()).encode(), kind="application/json", encoding=None))
    site.candidates = [each.run_id for each in project.last().fine]
    site.prediction = answers[0].id
    site.nasty_run = run.run_id
    yield site
    project.close()


def spans():
    """Three spans of a trace in OTLP's JSON, one inside another."""

    def span(number, parent, name, start, end, **attributes):
        told = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
        return {
            "traceId": "ab" * 16,
            "spanId": f"{number:016x}",
            **({"parentSpanId": f"{parent:016x}"} if parent else {}),
            "name": name,
            "startTimeUnixNano": str(start * 10**6),
            "endTimeUnixNano": str(end * 10**6),
            "attributes": told,
            "status": {"code": 2, "message": NASTY} if number == 3 else {},
        }

    start = 1_790_000_000_000
    listed = [
        span(1, 0, NASTY, start, start + 100, **{"mlflow.spanInputs": json.dumps(NASTY), NASTY: NASTY}),
        span(2, 1, "retrieve", start + 10, start + 40),
        span(3, 1, "answer", start + 40, start + 90),
    ]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": listed}]}]}


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    (folder / "bakeoff.toml").write_text(EMPTY)
    site = opened(folder, tmp_path_factory.mktemp("scratch"))
    yield site
    site.project.close()


@pytest.fixture(scope="session")
def addresses(filled):
    """Every page of the filled project."""
    runs = "&".join(f"run={each}" for each in filled.candidates)
    bake_off, model = filled.project.last().run_id, filled.project.models()[0]
    return [
        *("/", "/runs", "/runs?group=params.depth", "/runs?filter=metrics.loss+%3E+3&order=metrics.loss+DESC"),
        *("/runs/latest", f"/runs/{bake_off}", f"/runs/{filled.nasty_run}", f"/compare?{runs}"),
        *(f"/compare/rows?{runs}", f"/compare?run={filled.nasty_run}&run={bake_off}", "/verdict", "/endpoints"),
        *("/endpoints/films", f"/predictions/{filled.prediction}", "/models", f"/models/films/{model.number}"),
        *(f"/lineage?of=model%3Afilms%2F{model.number}", "/lineage?of=dataset%3Afilms%2F1&direction=up"),
        *(f"/lineage/graph?of=prediction%3A{filled.prediction}", "/runs/groups?group=params.depth", "/loop/policy"),
        *("/data", "/traces", f"/traces/tr-{'ab' * 16}", "/loop", "/review", f"/review/{filled.batch}/0"),
        "/nothing-here",
    ]


@pytest.fixture
def client(filled):
    with TestClient(filled.app, raise_server_exceptions=False) as client:
        yield client
