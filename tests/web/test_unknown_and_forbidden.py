"""For whoever may not know of a thing, it is as one that there is not: every route with a name in it, both ways.

The status, the body and the headers of two requests are compared: one names things of another team, the other such as
nobody has. `benchmarks/unknown_and_forbidden.py` compares how long they take.
"""

import difflib
import re
import uuid

import pytest
from starlette.testclient import TestClient
from tests.web.test_auth import World as Apps

from bakeoff.config.sections import StoreConfig
from bakeoff.core.events import PredictionEvent
from bakeoff.core.queries import Query
from bakeoff.core.refs import BlobRef
from bakeoff.project import wiring
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.stores.blobs import open_blobs
from bakeoff.web import auth
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.pages.app import Pages
from bakeoff.web.tracking.app import CALLS, create_tracking_app
from bakeoff.web.tracking.context import Tracking

API = "/api/"
OURS = {"date", "x-request-id", "content-length", "etag"}
CHOSEN = {"3.0/mlflow/traces", "2.0/mlflow/traces/link-to-run", "2.0/mlflow/traces/link-prompts"}
"""Routes at which callers choose ids of traces themselves: that one is taken must show."""
REGISTRY = ("2.0/mlflow/registered-models/", "2.0/mlflow/model-versions/")


class World:
    """A server that asks who calls, with one of each thing of a team that the caller knows nothing of."""

    def __init__(self, folder) -> None:
        self.records, blobs = wiring.open_stores(
            folder, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), wiring.now_ms
        )
        (folder / "scratch").mkdir()
        now_ms = wiring.now_ms()
        tracking = Tracking(records=self.records, blobs=blobs, clock=lambda: now_ms, scratch=folder / "scratch")
        tracking.prepare()
        tokens = AccessTokens(self.records.documents, Roles({}), wiring.now_ms)
        pages = Pages(tracking).routes()
        self.app = create_tracking_app(tracking, authenticator=TokenAuthenticator(tokens), pages=pages)
        scopes = {"every": [], "mine": ["experiment:mine*", "model:mine*"]}
        self.headers = {
            name: {"authorization": f"Bearer {tokens.create(name, roles=['admin'], scopes=of)[1]}"}
            for name, of in scopes.items()
        }

    def send(self, client, who, method, path, body=None, *, query=None):
        url = path if path.startswith("/") else f"{API}{path}"
        more = {"params": query} if method == "GET" else {"json": body or {}}
        return client.request(method, url, headers=self.headers[who], **more)

    def made(self, client, path, method="POST", **body):
        answer = self.send(client, "every", method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def filled(self, client, owner) -> dict[str, str]:
        """One of each thing, and their ids by the names that routes have for them."""
        for at in range(20):  # ids of two digits, which are told from numbers of versions
            self.records.experiments.create(f"{owner} {at}")
        experiment = self.made(client, "2.0/mlflow/experiments/create", name=owner)["experiment_id"]
        run = self.made(client, "2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        self.made(client, "2.0/mlflow/runs/log-metric", run_id=run, key="key", value=1.0, timestamp=1)
        self.made(client, "2.0/mlflow/runs/set-tag", run_id=run, key="key", value="v")
        self.made(client, "2.0/mlflow/experiments/set-experiment-tag", experiment_id=experiment, key="key", value="v")
        path = f"{experiment}/{run}/artifacts/f.txt"
        put = f"{API}2.0/mlflow-artifacts/artifacts/{path}"
        assert client.put(put, content=b"x", headers=self.headers["every"]).status_code == 200
        name = f"{owner}-model"
        self.made(client, "2.0/mlflow/registered-models/create", name=name)
        self.made(client, "2.0/mlflow/model-versions/create", name=name, source=f"mlflow-artifacts:/{path}")
        self.made(client, "2.0/mlflow/registered-models/alias", name=name, alias="alias", version="1")
        logged = self.made(client, "2.0/mlflow/logged-models", experiment_id=experiment)["model"]["info"]["model_id"]
        dataset = self.made(client, "3.0/mlflow/datasets/create", name=f"{owner}-data", experiment_ids=[experiment])
        trace = f"tr-{uuid.uuid4().hex}"
        self.made(client, "3.0/mlflow/traces", trace=self.trace(trace, experiment))
        assessment = {"assessment_name": "a", "feedback": {"value": 1}, "source": {"source_type": "HUMAN"}}
        said = self.made(client, f"3.0/mlflow/traces/{trace}/assessments", assessment=assessment)["assessment"]
        issue = self.made(client, "3.0/mlflow/issues", experiment_id=experiment, name="n", description="d")["issue"]
        self.made(
            client, "3.0/mlflow/scorers/register", experiment_id=experiment, name="scorer", serialized_scorer="{}"
        )
        return {
            "experiment_id": experiment,
            "experiment_name": owner,
            "run_id": run,
            "model": name,
            "model_id": logged,
            "dataset_id": dataset["dataset"]["dataset_id"],
            "trace_id": trace,
            "assessment_id": said["assessment_id"],
            "issue_id": issue["issue_id"],
        }

    @staticmethod
    def trace(trace_id, experiment_id):
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
        info = {"trace_id": trace_id, "trace_location": location, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
        return {"trace_info": info}


def unknown(ids):
    """Ids as long as these, which nobody has."""
    return {
        name: "9" * len(value)
        if value.isdigit()
        else re.sub("[0-9a-f]{8,}", lambda found: "0" * len(found[0]), value).replace("theirs", "nobody")
        for name, value in ids.items()
    }


def values_of(call, ids):
    """What a call takes, of these ids."""
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": ids["experiment_id"]}}
    pair = {"key": "key", "value": "v"}
    chosen = {
        **ids,
        "name": ids["model"]
        if call.path.startswith(REGISTRY)
        else "scorer"
        if "scorers" in call.path
        else ids["model"],
        "experiment_ids": [ids["experiment_id"]],
        "run_ids": [ids["run_id"]],
        "source_run_id": ids["run_id"],
        "request_id": ids["trace_id"],
        "trace_ids": [ids["trace_id"]],
        "request_ids": [ids["trace_id"]],
        "locations": [location],
        "models": [{"model_id": ids["model_id"]}],
        "path": f"{ids['experiment_id']}/{ids['run_id']}/artifacts/f.txt",
        "artifact_path": f"{ids['experiment_id']}/{ids['run_id']}/artifacts/f.txt",
        "tags": '{"key": "v"}' if "datasets" in call.path else [pair],
        "params": [pair],
        "metrics": [{"key": "key", "value": 1.0, "timestamp": 1}],
        "datasets": [{"dataset": {"name": "d", "digest": "d", "source": "s", "source_type": "t"}}],
        "records": '[{"inputs": {"a": 1}}]',
        "assessment": {"assessment_name": "a", "feedback": {"value": 2}, "source": {"source_type": "HUMAN"}},
        "update_mask": "feedback",
        "aggregations": [{"aggregation_type": "COUNT"}],
        "prompt_versions": [{"name": "p", "version": "1"}],
        "trace": World.trace("tr-new", ids["experiment_id"]),
        "model_json": '{"artifact_path": "m", "run_id": "r", "utc_time_created": "2026-01-01"}',
        "metric_key": "key",
        "metric_name": "trace_count",
        "view_type": "TRACES",
        "key": "key",
        "tag_key": "key",
        "alias": "alias",
        "version": "1",
        "value": "v",
        "timestamp": 1,
        "timestamp_ms": 1,
        "new_name": "mine-new",
        "stage": "Production",
        "source": "mlflow-artifacts:/x",
        "serialized_scorer": "{}",
        "dataset_record_ids": ["r"],
        "upload_id": "u",
        "filter_string1": "status = 'OK'",
        "filter_string2": "status = 'OK'",
        "description": "d",
        "artifact_file_path": "f",
        "parts": [],
    }
    if call.path.endswith("log-metric"):
        chosen["value"] = 1.0
    if call.path in {"2.0/mlflow/experiments/create", "3.0/mlflow/datasets/create"}:
        chosen["name"] = ids["experiment_name"]
    if call.path.startswith("3.0/mlflow/issues"):
        chosen["name"] = "n"
    return chosen


NAMES = ("experiment_id", "experiment_name", "run_id", "model_id", "dataset_id", "trace_id", "issue_id", "request_id")
NAMES += (
    "experiment_ids",
    "run_ids",
    "trace_ids",
    "request_ids",
    "locations",
    "path",
    "artifact_path",
    "source_run_id",
)


def names_something(call) -> bool:
    return any(each in NAMES for each in (*call.takes, *re.findall(r"{(\w+)", call.path))) or call.path.startswith(
        REGISTRY
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.records.close()


def outlined(answer, ids):
    """Status, headers and body of an answer, whatever the ids are."""
    text = answer.text
    for name, value in sorted(ids.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, name) if len(value) > 3 else re.sub(rf"\b{value}\b", name, text)
    headers = {name: value for name, value in answer.headers.items() if name not in OURS}
    return answer.status_code, headers, text


def asked(call, ids):
    """The path, body and query of a call of these ids."""
    chosen = values_of(call, ids)
    path = re.sub(r"{(\w+)(:path)?}", lambda found: str(chosen[found[1]]), call.path)
    arguments = {name: chosen[name] for name in call.takes if name in chosen}
    return path, *(({}, arguments) if call.method == "GET" else (arguments, {}))


FILES = (
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/f.txt", {}),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/new.txt", {}),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/models/{model_id}/f.txt", {}),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/create/{experiment_id}/{run_id}/artifacts/new.txt", {"num_parts": "1"}),
    ("GET", "/get-artifact", {"run_id": "{run_id}", "path": "f.txt"}),
    ("POST", "/api/2.0/mlflow/upload-artifact", {"run_uuid": "{run_id}", "path": "new.txt"}),
    ("GET", "/model-versions/get-artifact", {"name": "{model}", "version": "1", "path": "f.txt"}),
    ("GET", "/api/3.0/mlflow/get-trace-artifact", {"request_id": "{trace_id}"}),
    ("GET", "/api/2.0/mlflow/logged-models/{model_id}/artifacts/files", {"artifact_file_path": "f.txt"}),
    ("GET", "/runs/{run_id}", {}),
    ("GET", "/runs/{run_id}/live", {}),
    ("POST", "/runs/{run_id}/note", {}),
    ("GET", "/report/{run_id}", {}),
    ("GET", "/compare", {"run": "{run_id}"}),
    ("GET", "/compare/curves", {"run": "{run_id}", "metric": "key"}),
    ("GET", "/runs/rows", {"experiment": "{experiment_id}"}),
    ("GET", "/runs", {"experiment": "{experiment_id}", "filter": "attributes.run_id = '{run_id}'"}),
    ("GET", "/runs/count", {"filter": "attributes.run_id = '{run_id}'"}),
    ("GET", "/models", {"name": "{model}"}),
    ("GET", "/models/{model}/1", {}),
    ("GET", "/lineage", {"of": "{model}/1"}),
    ("GET", "/lineage", {"of": "{run_id}"}),
    ("GET", "/traces", {"experiment": "{experiment_id}"}),
    ("GET", "/traces/{trace_id}", {}),
)


def test_files_and_pages_say_the_same(world, monkeypatch):
    monkeypatch.setattr(auth, "STEP_S", 0.0001)
    differing = []
    with TestClient(world.app, raise_server_exceptions=False, follow_redirects=False) as client:
        hidden = world.filled(client, "theirs too")
        headers = world.headers["mine"] | {"origin": "http://testserver"}
        for method, path, query in FILES:
            answers = []
            for ids in (hidden, unknown(hidden)):
                params = {name: value.format(**ids) for name, value in query.items()}
                form = {"data": {"note": "x"}} if "note" in path else {"content": b"x"} if method != "GET" else {}
                answer = client.request(method, path.format(**ids), params=params, headers=headers, **form)
                answers.append(outlined(answer, ids))
                assert answer.status_code < 500, (path, answer.text)
            if answers[0] != answers[1]:
                lines = difflib.unified_diff(answers[0][2].splitlines(), answers[1][2].splitlines(), n=0)
                differing.append((method, path, answers[0][:2], answers[1][:2], *lines))
        spans = [
            outlined(client.post("/v1/traces", content=b"{}", headers=headers | told), ids)
            for ids in (hidden, unknown(hidden))
            for told in [{"content-type": "application/json", "x-mlflow-experiment-id": ids["experiment_id"]}]
        ]
    assert differing == [], "\n".join(map(str, differing))
    assert spans[0] == spans[1]


PLANTED = "theirs planted"


def test_nothing_that_is_read_or_searched_holds_a_word_of_another_team(world, monkeypatch):
    """Each call with ids of one's own, lists of ids with those of others: their names and texts are in no answer."""
    monkeypatch.setattr(auth, "STEP_S", 0.0001)
    told, count = [], 0
    with TestClient(world.app, raise_server_exceptions=False, follow_redirects=False) as client:
        theirs, mine = world.filled(client, PLANTED), world.filled(client, "mine")
        for path, named in (
            ("2.0/mlflow/runs/set-tag", {"run_id": theirs["run_id"], "key": PLANTED, "value": PLANTED}),
            ("2.0/mlflow/runs/log-parameter", {"run_id": theirs["run_id"], "key": PLANTED, "value": PLANTED}),
        ):
            world.made(client, path, **named)
        world.send(client, "every", "POST", "/v1/traces", {})
        lists = {
            name: [mine[one], theirs[one]] for name, one in (("experiment_ids", "experiment_id"), ("run_ids", "run_id"))
        }
        lists |= {name: [mine["trace_id"], theirs["trace_id"]] for name in ("trace_ids", "request_ids")}
        secrets = {PLANTED, *(theirs[name] for name in ("run_id", "model_id", "dataset_id", "trace_id", "issue_id"))}
        reads = [each for each in CALLS if each.needs == "read"]
        answers = []
        for call in reads:
            path, body, query = asked(call, mine)
            given = {name: each for name, each in lists.items() if name in call.takes}
            answers.append(
                (call.path, world.send(client, "mine", call.method, path, body | given, query=query | given))
            )
        pages = ["/", "/runs", "/runs?group=status", "/models", "/traces", "/endpoints", "/openapi.json"]
        pages += ["/metrics", *(f"/{each}{mine['run_id']}" for each in ("runs/", "compare?run=", "lineage?of=run:"))]
        answers += [(path, client.get(path, headers=world.headers["mine"])) for path in pages]
        for path, answer in answers:
            count += answer.status_code == 200
            sent = f"{answer.request.url}{answer.request.content.decode()}"
            told += [(path, word, answer.text[:300]) for word in secrets if word in answer.text and word not in sent]
    assert told == []
    assert count > 35


def test_no_version_of_a_model_reads_a_file_of_the_server(world, tmp_path):
    (tmp_path / "secret.txt").write_text("planted")
    with TestClient(world.app, raise_server_exceptions=False, follow_redirects=False) as client:
        world.made(client, "2.0/mlflow/registered-models/create", name="mine-read")
        places = (str(tmp_path), f"file://{tmp_path}", f"file:{tmp_path}", f"mlflow-artifacts:/../..{tmp_path}")
        for place in (*places, f"mlflow-artifacts://x{tmp_path}", f"models:/{tmp_path}"):
            body = {"name": "mine-read", "source": place}
            made = world.send(client, "mine", "POST", "2.0/mlflow/model-versions/create", body)
            number = made.json().get("model_version", {}).get("version", "1")
            query = {"name": "mine-read", "version": number, "path": "secret.txt"}
            answer = client.get("/model-versions/get-artifact", params=query, headers=world.headers["mine"])
            assert (answer.status_code in {400, 404}, "planted" in answer.text) == (True, False), (place, answer.text)


def test_endpoints_files_jobs_and_predictions_say_the_same(tmp_path):
    apps = Apps(tmp_path, open_blobs("file://blobs", folder=tmp_path, clock=wiring.now_ms))
    file = apps.fine_tuning.files.put("secret.jsonl", b"x", purpose="fine-tune")
    job = apps.fine_tuning.jobs.create(model="m", training=BlobRef("b"))
    apps.events.append([PredictionEvent(id="p-taxis", endpoint="taxis", release_id="r", model_version="t/1", row={})])
    hidden = {"name": "taxis", "model": "taxis", "file": file.id, "job": job.id, "prediction": "p-taxis"}
    nobodys = {"name": "ghost", "model": "ghost", "file": f"{file.id[:-4]}0000", "job": f"{job.id[:-4]}0000"}
    nobodys["prediction"] = "p-ghost"
    headers = {"authorization": f"Bearer {apps.token('admin', 'endpoint:reviews')}"}
    differing, count = [], 0
    with TestClient(apps.apps["serving"], raise_server_exceptions=False) as client:
        for route in (each for each in apps.apps["serving"].routes if each.path != "/metrics"):  # it counts requests
            for method in sorted(route.methods - {"HEAD"}):
                answers = []
                for ids in (hidden, nobodys):
                    values = ids | {"file_id": ids["file"], "job_id": ids["job"], "id": ids["job"], "version": "1"}
                    path = re.sub(r"{(\w+)(:path)?}", lambda found: values.get(found[1], "x"), route.path)  # noqa: B023
                    body = {"model": ids["model"], "messages": [{"role": "user", "content": "x"}], "input": "x"}
                    body |= {"prompt": "x", "max_tokens": 1, "row": {}, "training_file": ids["file"], "inputs": []}
                    body |= {"items": [{"id": ids["prediction"], "label": "yes"}]}
                    more = {} if method == "GET" else {"json": body}
                    answers.append(outlined(client.request(method, path, headers=headers, **more), ids))
                count += 1
                if answers[0] != answers[1]:
                    differing.append((method, route.path, *answers))
    assert differing == [], "\n".join(map(str, differing))
    assert count > 30


def test_every_route_with_a_name_says_the_same_of_what_is_hidden_and_of_what_is_not_there(world, monkeypatch):
    monkeypatch.setattr(auth, "STEP_S", 0.0001)
    differing, statuses, count = [], set(), 0
    with TestClient(world.app, raise_server_exceptions=False) as client:
        hidden = world.filled(client, "theirs")
        nobodys = unknown(hidden)
        before = state(world)
        for call in filter(names_something, CALLS):
            answers = []
            for ids in (hidden, nobodys):
                path, body, query = asked(call, ids)
                answers.append(outlined(world.send(client, "mine", call.method, path, body, query=query), ids))
            count += 1
            statuses.add(answers[0][0])
            if answers[0] != answers[1] and call.path not in CHOSEN:
                differing.append((call.method, call.path, *answers))
        assert state(world).items() >= before.items()
    assert differing == [], "\n".join(map(str, differing))
    assert count > 90
    assert 500 not in statuses


def state(world):
    """All that there is, by what it is."""
    collections = ("traces", "trace_spans", "evaluation_datasets", "evaluation_records", "issues", "scorers")
    documents = {(name, each.key): each.body for name in collections for each in world.records.documents.find(name)}
    everything, versions = Query(lifecycle=None), world.records.versions
    listed = {"runs": world.records.runs.search(everything).items, "models": versions.registered(everything).items}
    return documents | listed | {"versions": versions.search(everything).items}
