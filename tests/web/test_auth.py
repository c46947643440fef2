"""The matrix of roles and routes: made of the apps' own routes, tried by real requests, each cell as it is declared."""

import base64
import dataclasses
import re
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from bakeoff.core.errors import SecurityError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.principals import ROLES, Principal
from bakeoff.core.refs import BlobRef
from bakeoff.feedback.record import record
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents, MemoryRecords
from bakeoff.web import auth
from bakeoff.web.auth import TokenAuthenticator, protect
from bakeoff.web.pages.app import Pages
from bakeoff.web.permissions import permission_of
from bakeoff.web.serving.app import create_app
from bakeoff.web.sign_in import SignIn
from bakeoff.web.tracking import reach
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking

NOW = 1_000_000
REFUSED = {401, 403}


class World:
    """Both apps over one set of records, with a token for each role."""

    def __init__(self, folder, blobs) -> None:
        self.records = MemoryRecords(lambda: NOW)
        self.tokens = AccessTokens(self.records.documents, Roles({}), lambda: NOW)
        self.texts = {role: self.token(role) for role in ROLES}
        authenticator, events = TokenAuthenticator(self.tokens), MemoryEvents(lambda: NOW)
        plane = self.plane = DataPlane.of(*(self.engine(name, events) for name in ("reviews", "taxis")))
        tracking = Tracking(records=self.records, blobs=blobs, clock=lambda: NOW, scratch=folder)
        tracking.prepare()
        project = SimpleNamespace(
            records=self.records, blobs=blobs, config=SimpleNamespace(project=SimpleNamespace(seed=0))
        )
        self.fine_tuning = ProjectFineTuning(project, lambda: NOW, nullcontext)
        self.events = events
        self.apps = {
            "serving": create_app(
                plane,
                lambda items, **within: record(events, items, **within),
                authenticator=authenticator,
                fine_tuning=self.fine_tuning,
            ),
            "tracking": create_tracking_app(
                tracking, authenticator=authenticator, pages=[*Pages(tracking).routes(), *self.signing_in()]
            ),
        }

    def signing_in(self):
        return SignIn(sessions=AccessTokens(self.records.documents, Roles({}), lambda: NOW, kind="session")).routes()

    @staticmethod
    def engine(name, events) -> Engine:
        return Engine(
            name, load=lambda _: None, routes=list, prepare=lambda table, *_: table, events=events, clock=lambda: NOW
        )

    def token(self, role, *scopes) -> str:
        return self.tokens.create(f"{role} {scopes}", roles=[role], scopes=scopes)[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from bakeoff.stores.blobs import open_blobs

    folder = tmp_path_factory.mktemp("blobs")
    return World(folder, open_blobs("file://blobs", folder=folder, clock=lambda: NOW))


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(auth, "STEP_S", 0.001)


@pytest.mark.parametrize("app", ["serving", "tracking"])
def test_every_cell_of_roles_and_routes_is_as_declared(world, app):
    wrong, cells = [], 0
    with TestClient(world.apps[app], raise_server_exceptions=False, follow_redirects=False) as client:
        for route in world.apps[app].routes:
            assert isinstance(route, Route)
            needed = permission_of(route.endpoint)
            path = re.sub(r"{[^}]*}", "x", route.path)
            method = next(iter(sorted(set(route.methods) - {"HEAD"})))
            for role, text in [*world.texts.items(), ("nobody", None)]:
                headers = {"origin": "http://testserver"}  # of a page of the same site, as forms of pages must be
                headers |= {} if text is None else {"authorization": f"Bearer {text}"}
                status = client.request(method, path, headers=headers).status_code
                allowed = needed == "public" or Principal(name=role, permissions=ROLES.get(role, frozenset())).may(
                    needed
                )
                cells += 1
                assert status < 500 or app == "serving", (method, path, role)
                if (status in REFUSED) is allowed or (not allowed and status != (401 if text is None else 403)):
                    wrong.append((role, method, path, needed, status))
    assert wrong == []
    assert cells > 100


def test_every_cell_of_roles_and_calls_of_grpc_is_as_declared(world):
    grpc = pytest.importorskip("grpc")
    from bakeoff.web.serving.inference_grpc import SERVICE, GrpcServer

    refusals = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    with GrpcServer(world.plane, tokens=world.tokens) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        for name, (needed, _) in server._calls().items():
            for role, text in [*world.texts.items(), ("nobody", None)]:
                metadata = [] if text is None else [("authorization", f"Bearer {text}")]
                code = grpc.StatusCode.OK
                try:
                    channel.unary_unary(f"/{SERVICE}/{name}")(b"", metadata=metadata, timeout=20)
                except grpc.RpcError as error:
                    code = error.code()
                allowed = needed == "public" or Principal(name=role, permissions=ROLES.get(role, frozenset())).may(
                    needed
                )
                refusal = grpc.StatusCode.UNAUTHENTICATED if text is None else grpc.StatusCode.PERMISSION_DENIED
                assert (code in refusals) is not allowed, (role, name)
                assert allowed or code == refusal
        channel.close()


def test_a_route_without_permission_stops_the_start():
    with pytest.raises(SecurityError, match="/open"):
        protect([Route("/open", lambda _: None)], None)


@pytest.mark.parametrize("app", ["serving", "tracking"])
def test_each_way_to_say_who_calls(world, app):
    text = world.texts["viewer"]
    path = {"serving": "/v1/models", "tracking": "/api/2.0/mlflow/experiments/search?max_results=1"}[app]

    def basic(user, password):
        return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    with TestClient(world.apps[app]) as client:
        for headers in ({"authorization": f"bearer {text}"}, basic("me", text), basic(text, ""), {"x-api-key": text}):
            assert client.get(path, headers=headers).status_code == 200
        for headers in ({}, basic("me", "open"), {"authorization": "Basic %%%"}, {"authorization": text}):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401
            assert "Bearer" in answer.headers["www-authenticate"]


def test_refusals_speak_the_protocol_of_the_path(world):
    headers = {"authorization": f"Bearer {world.texts['viewer']}"}
    with TestClient(world.apps["tracking"]) as client:
        answer = client.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    with TestClient(world.apps["serving"]) as client:
        assert client.post("/v1/chat/completions", headers=headers).json()["error"]["code"] == "permission_denied"
        assert client.post("/v1/messages").json()["error"]["type"] == "authentication_error"
        assert client.post("/predict", headers=headers).json()["error"]["type"] == "PermissionDenied"


def test_an_endpoint_out_of_reach_is_as_one_that_there_is_not(world):
    headers = {"authorization": f"Bearer {world.token('admin', 'endpoint:reviews')}"}
    with TestClient(world.apps["serving"]) as client:
        assert [each["id"] for each in client.get("/v1/models", headers=headers).json()["data"]] == ["reviews"]
        hidden = client.post("/predict/taxis", json={"row": {}}, headers=headers)
        unknown = client.post("/predict/trains", json={"row": {}}, headers=headers)
        assert (hidden.status_code, unknown.status_code) == (404, 404)
        assert hidden.text.replace("taxis", "trains") == unknown.text
        chat = {"model": "taxis", "messages": [{"role": "user", "content": "x"}]}
        assert client.post("/v1/chat/completions", json=chat, headers=headers).status_code == 404
        assert 'endpoint="taxis"' not in client.get("/metrics", headers=headers).text
        assert client.get("/health/ready").json() == {"ready": False}


def test_files_and_jobs_are_of_the_project_and_hidden_from_who_reaches_a_part_of_it(world):
    """They have no name that a scope could be about: whoever does not reach every model knows of none."""
    file = world.fine_tuning.files.put("secret.jsonl", b"x", purpose="fine-tune")
    job = world.fine_tuning.jobs.create(model="m", training=BlobRef("b"))
    paths = [f"/v1/files/{file.id}", f"/v1/files/{file.id}/content"]
    paths += [f"/v1/fine_tuning/jobs/{job.id}{end}" for end in ("", "/events", "/checkpoints")]
    with TestClient(world.apps["serving"]) as client:
        for scopes, reaches in (
            (["endpoint:*"], False),
            (["model:mine*", "endpoint:*"], False),
            (["model:*"], True),
            ([], True),
        ):
            headers = {"authorization": f"Bearer {world.token('admin', *scopes)}"}
            for path in paths:
                assert client.get(path, headers=headers).status_code == (200 if reaches else 404)
                unknown = client.get(path.replace(file.id, "file-x").replace(job.id, "ftjob-x"), headers=headers)
                if not reaches:
                    hidden = client.get(path, headers=headers).text
                    assert hidden.replace(file.id, "file-x").replace(job.id, "ftjob-x") == unknown.text
            for path in ("/v1/files", "/v1/fine_tuning/jobs"):
                assert len(client.get(path, headers=headers).json()["data"]) == int(reaches)
            if not reaches:
                assert client.delete(paths[0], headers=headers).status_code == 404
                assert client.post(f"{paths[2]}/cancel", headers=headers).status_code == 404
                body = {"model": "m", "training_file": file.id}
                form = {"files": {"file": ("a", b"x")}, "data": {"purpose": "fine-tune"}}
                assert client.post("/v1/fine_tuning/jobs", json=body, headers=headers).status_code == 403
                assert client.post("/v1/files", **form, headers=headers).status_code == 403
    assert world.fine_tuning.files.all() == [file]
    assert world.fine_tuning.jobs.all() == [job]


def test_models_for_whoever_reaches_none_or_not_the_default_one(world):
    authenticator = TokenAuthenticator(world.tokens)
    app = create_app(world.plane, lambda _: None, authenticator=authenticator, model_names=("gpt",))
    with TestClient(app) as client:

        def names(*scopes):
            answer = client.get("/v1/models", headers={"authorization": f"Bearer {world.token('admin', *scopes)}"})
            assert answer.status_code == 200, answer.text
            return [each["id"] for each in answer.json()["data"]]

        assert names() == ["reviews", "taxis", "gpt"]
        assert names("endpoint:taxis") == ["taxis"]  # "gpt" is a name of the default endpoint
        assert names("experiment:*") == []


def test_basic_that_says_nothing_hides_no_other_token(world):
    text = world.texts["viewer"]
    with TestClient(world.apps["serving"]) as client:
        for value in ("Basic é".encode("latin-1"), b"Basic %%%", b"Basic " + base64.b64encode(b"\xff")):
            assert client.get("/v1/models", headers={"authorization": value}).status_code == 401
            assert client.get("/v1/models", headers={"authorization": value, "x-api-key": text}).status_code == 200


def test_feedback_is_taken_on_predictions_within_reach_alone(world):
    for endpoint in ("reviews", "taxis"):
        world.events.append(
            [
                PredictionEvent(
                    id=f"p-{endpoint}",
                    endpoint=endpoint,
                    model_version=f"{endpoint}/1",
                    release_id="r",
                    row={},
                    label="yes",
                )
            ]
        )
    with TestClient(world.apps["serving"]) as client:
        headers = {"authorization": f"Bearer {world.token('admin', 'endpoint:reviews')}"}
        items = [{"id": each, "label": "no"} for each in ("p-reviews", "p-taxis", "p-nobody")]
        told = client.post("/feedback", json={"items": items}, headers=headers).json()
        assert (told["accepted"], told["unmatched"]) == (1, 2)
        assert [each["id"] for each in told["problems"]] == ["p-taxis", "p-nobody"]
        assert [each.id for each in world.events.read(FeedbackEvent)] == ["p-reviews", "p-nobody"]


def test_what_is_public_says_no_more_than_it_must(world):
    with TestClient(world.apps["serving"]) as client:
        assert "reviews" not in client.get("/health/ready").text + client.get("/health/live").text


class Tracked:
    """A caller of tracking with a token."""

    def __init__(self, world, client, *scopes, role="admin") -> None:
        self.headers = {"authorization": f"Bearer {world.token(role, *scopes)}"}
        self.client = client

    def post(self, path, status=200, **body):
        answer = self.client.post(f"/api/{path}", json=body, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path, status=200, **query):
        answer = self.client.get(f"/api/{path}", params=query, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json()


def test_what_is_out_of_reach_is_not_there(world):
    """Searches, listings, ids, names and errors: nothing of another team's experiment or model."""
    with TestClient(world.apps["tracking"], raise_server_exceptions=False) as client:
        every, mine = Tracked(world, client), Tracked(world, client, "experiment:mine*", "model:mine*")
        for owner in ("mine", "theirs"):
            experiment = every.post("2.0/mlflow/experiments/create", name=owner)["experiment_id"]
            run = every.post("2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
            every.post("2.0/mlflow/runs/log-metric", run_id=run, key="secret", value=1.0, timestamp=1, step=0)
            every.post("2.0/mlflow/registered-models/create", name=f"{owner}-model")
            trace = f"tr-{owner}"
            location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
            info = {
                "trace_id": trace,
                "trace_location": location,
                "request_time": "2026-11-29T00:00:00Z",
                "state": "OK",
            }
            every.post("3.0/mlflow/traces", trace={"trace_info": info})
        theirs, their_run = experiment, run
        shown = mine.get("2.0/mlflow/experiments/search", max_results=100)["experiments"]
        assert [each["name"] for each in shown] == ["mine"]
        both = [shown[0]["experiment_id"], theirs]
        runs = mine.post("2.0/mlflow/runs/search", experiment_ids=both)["runs"]
        assert {each["info"]["experiment_id"] for each in runs} == {both[0]}
        models = mine.get("2.0/mlflow/registered-models/search", max_results=100)["registered_models"]
        assert [each["name"] for each in models] == ["mine-model"]
        for path, query in (
            ("2.0/mlflow/experiments/get", {"experiment_id": theirs}),
            ("2.0/mlflow/experiments/get-by-name", {"experiment_name": "theirs"}),
            ("2.0/mlflow/runs/get", {"run_id": their_run}),
            ("2.0/mlflow/metrics/get-history", {"run_id": their_run, "metric_key": "secret"}),
            ("2.0/mlflow/registered-models/get", {"name": "theirs-model"}),
            ("3.0/mlflow/traces/tr-theirs", {}),
        ):
            hidden = mine.get(path, 404, **query)
            unknown = (
                mine.get(path.replace("tr-theirs", "tr-nobodys"), 404, **dict.fromkeys(query, "nobodys"))
                if "id" not in "".join(query)
                else hidden
            )
            assert hidden["error_code"] == unknown["error_code"] == "RESOURCE_DOES_NOT_EXIST"
        mine.post("2.0/mlflow/runs/create", 404, experiment_id=theirs)
        mine.post("2.0/mlflow/runs/log-metric", 404, run_id=their_run, key="a", value=1.0, timestamp=1, step=0)
        mine.post("2.0/mlflow/experiments/create", 403, name="others")
        mine.post("2.0/mlflow/registered-models/create", 403, name="others")
        locations = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": each}} for each in both]
        traces = mine.post("3.0/mlflow/traces/search", locations=locations)["traces"]
        assert [each["trace_id"] for each in traces] == ["tr-mine"]
        fetched = mine.get("3.0/mlflow/traces/tr-mine")["trace"]["trace_info"]
        assert fetched["trace_id"] == "tr-mine"


def test_the_lineage_of_a_version_leads_to_no_run_out_of_reach(world):
    with TestClient(world.apps["tracking"], raise_server_exceptions=False) as client:
        every, mine = Tracked(world, client), Tracked(world, client, "model:shared")
        experiment = every.post("2.0/mlflow/experiments/create", name="hidden")["experiment_id"]
        run = every.post("2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        every.post("2.0/mlflow/registered-models/create", name="shared")
        source = f"mlflow-artifacts:/{experiment}/{run}/artifacts/model"
        made = {"name": "shared", "source": source, "run_id": run, "run_link": f"https://here/#/{run}"}
        every.post("2.0/mlflow/model-versions/create", **made)
        every.post("2.0/mlflow/registered-models/alias", name="shared", alias="best", version="1")
        for caller, shown in ((every, run), (mine, "")):
            got = caller.get("2.0/mlflow/model-versions/get", name="shared", version="1")["model_version"]
            by_alias = caller.get("2.0/mlflow/registered-models/alias", name="shared", alias="best")["model_version"]
            listed = caller.get("2.0/mlflow/model-versions/search", max_results=9)["model_versions"]
            searched = next(each for each in listed if each["name"] == "shared")
            assert {each["run_id"] for each in (got, by_alias, searched)} == {shown}
            assert all(bool(each.get("run_link")) is bool(shown) for each in (got, by_alias, searched))


def test_what_others_load_by_name_is_moved_by_who_may_release(world):
    with TestClient(world.apps["tracking"], raise_server_exceptions=False) as client:
        contributor, operator = Tracked(world, client, role="contributor"), Tracked(world, client, role="operator")
        contributor.post("2.0/mlflow/registered-models/create", name="moved")
        contributor.post("2.0/mlflow/model-versions/create", name="moved", source="mlflow-artifacts:/models/moved/1")
        alias = {"name": "moved", "alias": "champion", "version": "1"}
        stage = {"name": "moved", "version": "1", "stage": "Production"}
        contributor.post("2.0/mlflow/registered-models/alias", 403, **alias)
        contributor.post("2.0/mlflow/model-versions/transition-stage", 403, **stage)
        contributor.post("2.0/mlflow/registered-models/rename", 403, name="moved", new_name="taken")
        operator.post("2.0/mlflow/registered-models/alias", **alias)
        operator.post("2.0/mlflow/model-versions/transition-stage", **stage)


def test_callers_with_tokens_name_no_folder_of_the_server(world, tmp_path):
    """With a folder as its place, an experiment's artifacts would be written wherever its maker likes."""
    with TestClient(world.apps["tracking"], raise_server_exceptions=False) as client:
        every = Tracked(world, client)
        for place in (str(tmp_path), f"file://{tmp_path}", "relative"):
            every.post("2.0/mlflow/experiments/create", 400, name=f"in {place}", artifact_location=place)
        stored = world.records.experiments.create("of before", location=str(tmp_path)).experiment_id
        run = every.post("2.0/mlflow/runs/create", experiment_id=stored)["run"]["info"]["run_id"]
        path = f"/api/2.0/mlflow/upload-artifact?run_uuid={run}&path=planted.txt"
        assert client.post(path, content=b"x", headers=every.headers).status_code == 400
    assert list(tmp_path.iterdir()) == []


def test_links_may_come_before_the_trace_of_a_caller_with_scopes(world):
    with TestClient(world.apps["tracking"], raise_server_exceptions=False) as client:
        every, mine = Tracked(world, client), Tracked(world, client, "experiment:linked")
        experiment = every.post("2.0/mlflow/experiments/create", name="linked")["experiment_id"]
        run = mine.post("2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        mine.post("2.0/mlflow/traces/link-to-run", trace_ids=["tr-linked"], run_id=run)
        prompt = {"name": "greeting", "version": "3"}
        mine.post("2.0/mlflow/traces/link-prompts", trace_id="tr-linked", prompt_versions=[prompt])
        mine.get("3.0/mlflow/traces/tr-linked", 404)
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        info = {"trace_id": "tr-linked", "trace_location": location, "request_time": "2026-11-29T00:00:00Z"}
        mine.post("3.0/mlflow/traces", trace={"trace_info": {**info, "state": "OK"}})
        search = {"locations": [location], "filter": f"run_id = '{run}' AND prompt = 'greeting/3'"}
        assert [each["trace_id"] for each in mine.post("3.0/mlflow/traces/search", **search)["traces"]] == ["tr-linked"]
        other = Tracked(world, client, "experiment:others")
        other.get("3.0/mlflow/traces/tr-linked", 404)
        other.post("2.0/mlflow/traces/link-to-run", 403, trace_ids=["tr-linked"], run_id=run)


def test_one_thing_is_looked_up_without_reading_all_experiments(world, monkeypatch):
    """And out of the way of the thread that writes for all."""
    with TestClient(world.apps["tracking"], raise_server_exceptions=False) as client:
        every, mine = Tracked(world, client), Tracked(world, client, "experiment:looked-*", "model:looked-*")
        experiment = every.post("2.0/mlflow/experiments/create", name="looked-up")["experiment_id"]
        every.post("2.0/mlflow/experiments/create", name="looked-at")
        every.post("2.0/mlflow/registered-models/create", name="looked-up")
        run = mine.post("2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        search, get, threads = world.records.experiments.search, world.records.experiments.get, set()

        def narrow(query):
            assert query.where.parts[0].value == ("looked-up",), "all experiments are read"
            return search(query)

        def noted(experiment_id):
            threads.add(threading.current_thread().name)
            return get(experiment_id)

        monkeypatch.setattr(world.records.experiments, "search", narrow)
        monkeypatch.setattr(world.records.experiments, "get", noted)
        mine.post("2.0/mlflow/runs/log-metric", run_id=run, key="loss", value=1.0, timestamp=1, step=0)
        assert threads
        assert "tracking-writes" not in threads
        mine.get("2.0/mlflow/runs/get", run_id=run)
        assert len(mine.post("2.0/mlflow/runs/search", experiment_ids=[experiment, "404"])["runs"]) == 1
        assert mine.get("2.0/mlflow/experiments/get-by-name", experiment_name="looked-up")
        mine.get("2.0/mlflow/registered-models/get", name="looked-up")
        monkeypatch.undo()
        monkeypatch.setattr(reach, "MOST_NAMES", 1)
        answer = mine.get("2.0/mlflow/experiments/search", 400, max_results=10)
        assert "expected a search in at most 1 things of a caller with scopes, there are 2" in answer["message"]


def test_the_parts_of_a_thing_are_within_reach_by_one_look_at_it(world, monkeypatch):
    records = world.records
    experiment = records.experiments.create("parted").experiment_id
    seen = reach.within_reach(
        Tracking(records=records, blobs=None, clock=lambda: NOW, scratch=None),
        Principal(name="p", permissions=frozenset({"read"}), scopes=(("experiment", "parted"),)),
    )
    records.documents.put("traces", "tr-p", {"trace_id": "tr-p", "experiment_id": experiment})
    for number in range(5):
        records.documents.put("trace_spans", f"tr-p/{number}", {"trace_id": "tr-p"})
    get, looks = records.documents.get, []
    monkeypatch.setattr(records.documents, "get", lambda *at: looks.append(at) or get(*at))
    assert len(seen.records.documents.find("trace_spans", "tr-p/")) == 5
    assert looks == [("traces", "tr-p")]


def test_principals_do_not_change_by_requests(world):
    with pytest.raises(dataclasses.FrozenInstanceError):
        world.tokens.principal(world.texts["viewer"]).permissions = frozenset({"administer"})


def test_what_is_not_there_is_told_at_steps_of_time_to_who_has_scopes(world, monkeypatch):
    """So that how long it takes does not say whether it is another's (`make bench-unknown-and-forbidden`)."""

    def seconds(client, caller, method, path, **more):
        began = time.monotonic()
        client.request(method, path, headers=caller.headers, **more)
        return time.monotonic() - began

    with TestClient(world.apps["tracking"]) as client:
        every, mine = Tracked(world, client), Tracked(world, client, "experiment:timed")
        own = every.post("2.0/mlflow/experiments/create", name="timed")["experiment_id"]
        hidden = every.post("2.0/mlflow/experiments/create", name="timed too")["experiment_id"]
        path = "/api/2.0/mlflow/experiments/get?experiment_id="
        monkeypatch.setattr(auth, "STEP_S", 60.0)
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": own}}
        info = {"trace_id": "tr-timed", "trace_location": location, "request_time": "2026-11-29T00:00:00Z"}
        new = {"json": {"trace": {"trace_info": {**info, "state": "OK"}}}}
        assert seconds(client, mine, "POST", "/api/3.0/mlflow/traces", **new) < 30  # looked for, and made
        assert seconds(client, every, "GET", f"{path}999") < 30
        assert seconds(client, mine, "GET", f"{path}{own}") < 30
        monkeypatch.setattr(auth, "STEP_S", 0.2)
        for number in (hidden, "999"):
            search = {"json": {"experiment_ids": [number]}}
            assert seconds(client, mine, "GET", f"{path}{number}") > 0.19
            assert seconds(client, mine, "POST", "/api/2.0/mlflow/runs/search", **search) > 0.19  # answered with none
    with TestClient(world.apps["serving"]) as client:
        caller = Tracked(world, client, "endpoint:reviews")
        feedback = {"json": {"items": [{"id": "p-nowhere", "label": "no"}]}}
        assert seconds(client, caller, "POST", "/feedback", **feedback) > 0.19


def test_who_called_a_moment_ago_is_known_without_a_question(world):
    authenticator = TokenAuthenticator(world.tokens)
    token, secret = world.tokens.create("momentary", roles=["viewer"])
    text = secret.encode()
    assert authenticator.remembered([(b"authorization", b"Bearer " + text)]) is None  # not read yet
    with TestClient(world.apps["serving"]) as client:
        assert client.get("/v1/models", headers={"authorization": b"Bearer " + text}).status_code == 200
    for value in (b"Bearer " + text, b"bEARER   " + text + b" "):
        principal = authenticator.remembered([(b"host", b"here"), (b"authorization", value)])
        assert principal is not None
        assert principal.name == "token momentary"
    for value in (b"Basic " + text, b"Bearer", b"Bearer\xe9" + text, text, b"Bearer " + text[:-1]):
        assert authenticator.remembered([(b"authorization", value)]) is None
    assert authenticator.remembered([(b"x-api-key", text)]) is None  # for these the long way is there
    world.tokens.revoke(token.id)
    assert authenticator.remembered([(b"authorization", b"Bearer " + text)]) is None
