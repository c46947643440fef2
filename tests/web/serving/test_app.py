"""The app over a real socket: answers, feedback, errors, hostile input."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from starlette.responses import Response
from starlette.routing import Mount, Route

from bakeoff.core.errors import DataError, NotFoundError, SecurityError, StoreError
from bakeoff.core.events import FeedbackEvent, KeyEvent, PredictionEvent
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.client import Client, EndpointError
from bakeoff.web.permissions import permission, require_permissions
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app
from bakeoff.web.serving.turns import Pace
from bakeoff.web.worker_measures import WorkerMeasures

USUAL = Pace()

INPUTS = (Column(name="x", kind="numeric", dtype="Float64"), Column(name="note", kind="text", dtype="String"))


class SignModel:
    def __init__(self, surety: float = 0.75) -> None:
        self.signature = Signature(task="classification", inputs=INPUTS, classes=("neg", "pos"))
        self.chosen = {}
        self.surety = surety
        self.seconds = 0.0

    def predict(self, table: pl.DataFrame) -> Predictions:
        time.sleep(self.seconds)
        positive_n = np.where(table["x"].fill_null(0.0).to_numpy() > 0, self.surety, 1 - self.surety)
        return Predictions.of_probabilities(np.stack([1 - positive_n, positive_n], axis=1), ("neg", "pos"))

    def save(self, folder) -> None:
        raise NotImplementedError


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def a_release(number: int) -> Release:
    return Release(
        release_id=f"r{number}", endpoint="signs", model="sign", number=number, family="sign", blob_id=f"b{number}"
    )


class Served:
    """A running server with its parts in reach."""

    def __init__(self, *, max_body_bytes: int = 100_000, pace: Pace = USUAL, signals=lambda names: "") -> None:
        self.events = MemoryEvents(now_ms)
        self.live: Release | None = a_release(1)
        self.models = {"r1": SignModel(0.75), "r2": SignModel(0.9)}
        self.engine = Engine(
            "signs",
            load=lambda release: self.models[release.release_id],
            routes=lambda: [self.live] if self.live else [],
            prepare=lambda table, steps, columns: table,
            events=self.events,
            clock=now_ms,
            max_rows=1000,
        )
        app = create_app(
            DataPlane.of(self.engine),
            lambda items, **within: record(self.events, items, **within),
            hosts=local_hosts("127.0.0.1"),
            max_body_bytes=max_body_bytes,
            pace=lambda _: pace,
            signals=signals,
        )
        self.server = Server(app)

    def client(self) -> Client:
        return Client(self.server.url, timeout_s=10)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            return response.status, json.loads(answer) if is_json else {"text": answer.decode()}


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    with made.server:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    """For tests that do not look at what others left."""
    made = Served()
    with made.server:
        yield made


def test_rows_are_answered_and_logged(served):
    with served.client() as client:
        answer = client.predict([{"x": 1}, {"x": -1, "note": "é"}])
    assert [(p["label"], p["probabilities"]["pos"]) for p in answer["predictions"]] == [("pos", 0.75), ("neg", 0.25)]
    assert (answer["model_version"], answer["release_id"]) == ("sign/1", "r1")
    assert [e.id for e in served.events.read(PredictionEvent)] == [p["id"] for p in answer["predictions"]]


@pytest.mark.parametrize("path", ["/predict", "/endpoints/signs/predict"])
def test_a_single_row_and_the_endpoints_own_path(served, path):
    status, answer = served.send("POST", path, b'{"row": {"x": 3}}')
    assert (status, [p["label"] for p in answer["predictions"]]) == (200, ["pos"])


def test_feedback_is_recorded(served):
    with Client(served.server.url + "/endpoints/signs") as client:
        said = client.predict([{"x": 1}])["predictions"][0]
        assert client.feedback([{"id": said["id"], "label": "neg"}]) == {
            "accepted": 1,
            "unmatched": 0,
            "unusable": 0,
            "problems": [],
        }
        answer = client.feedback([{"id": "nobody", "label": "neg"}])
        assert (answer["accepted"], answer["unmatched"], answer["problems"][0]["id"]) == (0, 1, "nobody")
    assert [e.id for e in served.events.read(FeedbackEvent)] == [said["id"], "nobody"]


def test_health_index_and_metrics(served):
    assert served.send("GET", "/health/live") == (200, {"status": "live"})
    served.send("POST", "/predict", b'{"row": {"x": 3}}')
    served.send("POST", "/predict", b"nonsense")
    status, ready = served.send("GET", "/health/ready")
    assert (status, ready["ready"], ready["model_version"]) == (200, True, "sign/1")
    _, index = served.send("GET", "/")
    assert [column["name"] for column in index["inputs"]] == ["x", "note"]
    assert "curl" in index["example"]
    _, metrics = served.send("GET", "/metrics")
    assert 'bakeoff_http_requests_total{route="/predict",status="200"} 1' in metrics["text"]
    assert 'bakeoff_http_errors_total{route="/predict"} 1' in metrics["text"]
    assert 'bakeoff_http_request_duration_seconds_bucket{route="/predict",le="+Inf"} 2' in metrics["text"]
    assert 'bakeoff_endpoint_ready{endpoint="signs",model_version="sign/1"} 1' in metrics["text"]


def test_nothing_released_is_not_ready():
    made = Served()
    made.live = None
    with made.server:
        assert made.send("GET", "/health/ready")[0] == 503
        assert made.send("GET", "/health/live")[0] == 200
        with made.client() as client, pytest.raises(NotFoundError, match="bakeoff run"):
            client.predict([{"x": 1}])


# --- hostile and wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"rows": {}}', 400),
        (b'{"rows": [1]}', 400),
        (b'{"rows": [], "row": {}}', 400),
        (b'{"rows": null}', 400),
        (b'{"row": {"x": NaN}}', 400),
        (b'{"row": {"x": "\xff"}}', 400),
        (b'{"row": {"x": ' + b"[" * 40_000 + b"]" * 40_000 + b"}}", 400),
        (b'{"row": {"x": "many"}}', 422),
        (b'{"rows": [' + b"{}," * 1000 + b"{}]}", 422),
        (b'{"row": {"note": "' + b"y" * 200_000 + b'"}}', 413),
    ],
)
def test_wrong_bodies_are_refused_in_words_and_the_server_goes_on(shared, body, status):
    before = len(list(shared.events.read(PredictionEvent)))
    received, answer = shared.send("POST", "/predict", body)
    assert (received, set(answer), set(answer["error"])) == (status, {"error"}, {"message", "type"})
    assert shared.send("POST", "/predict", b'{"row": {"x": 1}}')[0] == 200
    assert len(list(shared.events.read(PredictionEvent))) == before + 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"x": 1.0}', '{"row": {…}}; x: expected it to be left out'),
        (
            b'{"row": {"x": 1.0}, "keyz": "a"}',
            "keyz: expected it to be left out: no such option is known here; did you mean",
        ),
        (b'{"instances": [{"x": 1.0}]}', "instances: expected it to be left out"),
        (b'{"row": [1.0]}', "row: expected object or null; received [1.0]"),
        (b"{}", "received neither"),
        (b'{"row": {}, "rows": []}', "received both"),
        (b'{"row": {"x": NaN}}', "write null for NaN"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(shared, body, message):
    """Keys that nobody knows were ignored: a misspelt `key` was lost without a word."""
    status, answer = shared.send("POST", "/predict", body)
    assert status == 400
    assert message in answer["error"]["message"]


def test_a_byte_order_mark_is_no_part_of_the_json(shared):
    assert shared.send("POST", "/predict", b'\xef\xbb\xbf{"row": {"x": 1.0}}')[0] == 200


@pytest.mark.parametrize(
    "value",
    ['"\\u0000"', '"\\ud83d\\ude00"', "1e400", "-1e999", str(10**40), str(2**63), "true", "[1]", '{"a": 1}', "null"],
)
def test_strange_values_are_answered_or_refused_but_never_a_crash(shared, value):
    for column in ("x", "note", "other"):
        status, answer = shared.send("POST", "/predict", f'{{"row": {{"{column}": {value}}}}}'.encode())
        assert status in {200, 400, 422}, (column, answer)


def test_a_body_without_a_length_is_cut_too(shared):
    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    connection = http.client.HTTPConnection("127.0.0.1", shared.server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/predict", endless(), encode_chunked=True, headers={"transfer-encoding": "chunked"})
        with connection.getresponse() as answer:
            assert answer.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/endpoints/other/predict", 404),
        ("POST", "/endpoints/other/feedback", 404),
        ("GET", "/predict", 405),
        ("POST", "/endpoints/..%2f..%2fetc/predict", 404),
    ],
)
def test_what_is_not_there(shared, method, path, status):
    received, answer = shared.send(method, path, b'{"row": {}}' if method == "POST" else None)
    assert (received, list(answer)) == (status, ["error"])


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:80", "[::1", "a@127.0.0.2"]
)
def test_other_host_names_are_refused(shared, host):
    status, answer = shared.send("GET", "/health/live", host=host)
    assert status in {400, 421}, answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:1", "[::1]:8080"])
def test_local_host_names_pass(shared, host):
    assert shared.send("GET", "/health/live", host=host)[0] == 200


def test_pages_of_other_sites_may_not_post(shared):
    body = b'{"row": {"x": 1}}'
    assert shared.send("POST", "/predict", body, origin="https://evil.example")[0] == 403
    assert shared.send("POST", "/predict", body, origin="null")[0] == 403
    assert shared.send("POST", "/predict", body, origin=shared.server.url)[0] == 200


def test_wrong_feedback_names_the_item(served):
    with served.client() as client, pytest.raises(DataError, match="feedback item 1"):
        client.feedback([{"id": "a", "label": 1}, {"id": "b"}])
    assert served.send("POST", "/feedback", b'{"items": 3}')[0] == 400
    assert list(served.events.read(FeedbackEvent)) == []


def test_a_full_disk_is_503_and_the_client_says_so(served):
    def full(*_args, **_kwargs) -> None:
        raise StoreError("no space left on device")

    served.events.append = full
    with served.client() as client, pytest.raises(StoreError, match="no space left"):
        client.predict([{"x": 1}])


def test_what_we_did_not_foresee_keeps_its_details_to_itself(served):
    def broken(*_args, **_kwargs) -> None:
        raise RuntimeError("password=hunter2")

    served.events.append = broken
    status, answer = served.send("POST", "/predict", b'{"row": {"x": 1}}')
    assert (status, answer["error"]["type"]) == (500, "InternalError")
    assert "hunter2" not in str(answer)


# --- permissions --------------------------------------------------------------------------------


async def open_to_whom(_request) -> Response:
    return Response()


def test_a_route_without_a_permission_stops_the_start():
    with pytest.raises(SecurityError, match="'/secret' does not"):
        require_permissions([Mount("/in", routes=[Route("/secret", open_to_whom)])])
    with pytest.raises(SecurityError, match="'/files' does not"):
        require_permissions([Mount("/files", app=open_to_whom)])
    require_permissions([Route("/open", permission("public")(open_to_whom))])


# --- load ---------------------------------------------------------------------------------------


def test_health_answers_while_models_compute(served):
    served.models["r1"].seconds = 1.0

    def ask() -> None:
        with served.client() as client:
            client.predict([{"x": 1}])

    busy = [threading.Thread(target=ask) for _ in range(20)]
    for thread in busy:
        thread.start()
    time.sleep(0.2)
    started = time.perf_counter()
    assert served.send("GET", "/health/live")[0] == 200
    assert time.perf_counter() - started < 0.5
    for thread in busy:
        thread.join(10)
    assert len(list(served.events.read(PredictionEvent))) == 20


def test_moving_the_pointer_under_load_loses_no_call(served):
    answers: list[dict] = []
    failures: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        with served.client() as client:
            while not stop.is_set():
                try:
                    answers.append(client.predict([{"x": 1}]))
                except Exception as error:
                    failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in (2, 1, 2):
        time.sleep(0.7)
        served.live = a_release(number)
    time.sleep(0.8)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert {answer["release_id"] for answer in answers} == {"r1", "r2"}
    for answer in answers:
        surety = 0.75 if answer["release_id"] == "r1" else 0.9
        assert answer["predictions"][0]["probabilities"]["pos"] == surety
    acknowledged = {answer["predictions"][0]["id"] for answer in answers}
    assert acknowledged == {event.id for event in served.events.read(PredictionEvent)}


def test_a_moved_pointer_is_seen_without_traffic(served):
    served.send("POST", "/predict", b'{"row": {"x": 1}}')
    served.live = a_release(2)
    deadline = time.monotonic() + 5
    while served.send("GET", "/health/ready")[1]["release_id"] != "r2":
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- the client ---------------------------------------------------------------------------------


def test_the_client_outlives_a_server_restart_and_says_when_there_is_none():
    first = Served()
    with first.server:
        client = first.client()
        client.predict([{"x": 1}])
    with pytest.raises(EndpointError, match="bakeoff serve"):
        client.predict([{"x": 1}])
    second = Served()
    second.server.stop()
    second.server = Server(
        create_app(DataPlane.of(second.engine), lambda items, **within: record(second.events, items, **within)),
        port=first.server.port,
    )
    with second.server:
        assert client.predict([{"x": 1}])["predictions"]
    client.close()


# --- what rows lack -----------------------------------------------------------------------------


def test_misspelt_keys_are_422_with_the_nearest_name(served):
    status, body = served.send("POST", "/predict", b'{"rows": [{"x": 1}, {"xx": 1}]}')
    assert (status, body["error"]["type"]) == (422, "DataError")
    assert "row 2: expected the inputs 'x', 'note'" in body["error"]["message"]
    assert "'xx' (did you mean 'x'?)" in body["error"]["message"]
    assert served.send("POST", "/predict", b'{"row": {}}')[0] == 422


def test_what_a_row_lacks_stands_in_its_answer_and_in_the_metrics(served):
    status, body = served.send(
        "POST", "/predict", b'{"rows": [{"x": 1, "note": "a"}, {"x": 1}, {"x": 1, "note": "", "z": 1}]}'
    )
    assert status == 200
    named = [
        {key: answer[key] for key in ("absent", "imputed", "unknown") if key in answer}
        for answer in body["predictions"]
    ]
    assert named == [{}, {"absent": ["note"]}, {"unknown": ["z"]}]
    text = served.send("GET", "/metrics")[1]["text"]
    assert 'bakeoff_rows_lacking_inputs_total{endpoint="signs",lack="absent",column="note"} 1' in text
    assert 'bakeoff_rows_lacking_inputs_total{endpoint="signs",lack="unknown",column=""} 1' in text


def test_metrics_have_the_signals_of_what_is_served_and_do_without_them():
    def of_monitoring(names):
        if answers:
            return answers.pop()(names)
        time.sleep(2)
        return "too late 1\n"

    def lost(names):
        raise StoreError("the database does not answer")

    answers = [lost, lambda names: f'bakeoff_signal_value{{endpoint="{names[0]}"}} 0.5\n']
    made = Served(signals=of_monitoring)
    with made.server:
        for expected in (True, False, False):
            began = time.monotonic()
            text = made.send("GET", "/metrics")[1]["text"]
            assert ('bakeoff_signal_value{endpoint="signs"} 0.5\n' in text) == expected
            assert "bakeoff_waiting_calls" in text
            assert "too late" not in text
            assert time.monotonic() - began < 1.8


def test_feedback_by_the_callers_own_key(served):
    served.engine.predict([{"x": 1.0}])  # from here on the row path answers
    assert served.send("POST", "/predict", b'{"row": {"x": 1.0}, "key": "order 1"}')[0] == 200
    status, answer = served.send(
        "POST", "/predict", b'{"rows": [{"x": 1.0}, {"x": -1.0}], "keys": ["order 2", "order 3"]}'
    )
    assert status == 200
    items = [{"key": f"order {n}", "label": "minus"} for n in (1, 2, 3, 4)]
    status, recorded = served.send("POST", "/feedback", json.dumps({"items": items}).encode())
    assert (status, recorded["accepted"], recorded["unmatched"]) == (200, 3, 1)
    keys = {event.prediction_id for event in served.events.read(KeyEvent)}
    assert {each["id"] for each in answer["predictions"]} < keys


@pytest.mark.parametrize(
    "body",
    [
        b'{"row": {"x": 1.0}, "keys": ["a"]}',
        b'{"rows": [{"x": 1.0}], "key": "a"}',
        b'{"rows": [{"x": 1.0}], "keys": ["a", "b"]}',
        b'{"row": {"x": 1.0}, "key": ""}',
        b'{"row": {"x": 1.0}, "key": 3}',
    ],
)
def test_keys_that_do_not_fit_their_rows(shared, body):
    status, answer = shared.send("POST", "/predict", body)
    assert (status, answer["error"]["type"]) == (400, "BadRequest")


def test_a_server_that_is_not_up_yet_has_measured_nothing(tmp_path, row_world):
    workers = WorkerMeasures(tmp_path)
    create_app(row_world.plane, lambda *_, **__: None, workers=workers)
    workers.write()
    (written,) = tmp_path.glob("*.txt")
    assert 'bakeoff_waiting_calls{endpoint="signs"} 0' in written.read_text()
