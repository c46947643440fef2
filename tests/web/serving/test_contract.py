"""A request that violates the released contract: 422 with row, column and rule; and what metrics count."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.data.contract import parse
from bakeoff.data.contract_rows import compiled
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

CONTRACT = parse('[columns.age]\ntype = "numeric"\nmissing = 0\nrange = { min = 0, max = 120 }')


class Model:
    signature = Signature(
        task="classification", inputs=(Column(name="age", kind="numeric", dtype="Float64"),), classes=("no", "yes")
    )

    def predict(self, table):
        return Predictions.of_probabilities(np.full((table.height, 2), 0.5), ("no", "yes"))


@pytest.fixture
def url():
    events = MemoryEvents(lambda: 1)
    live = Release(
        release_id="r", endpoint="e", model="m", number=1, family="f", blob_id="b", contract_id=CONTRACT.version
    )
    engine = Engine(
        "e",
        load=lambda release: Model(),
        routes=lambda: [live],
        prepare=lambda table, steps, columns: table,
        events=events,
        clock=lambda: 1,
        check=lambda contract_id, columns: compiled(CONTRACT, columns),
    )
    app = create_app(
        DataPlane.of(engine), lambda items, **within: record(events, items, **within), hosts=local_hosts("127.0.0.1")
    )
    with Server(app) as server:
        yield server.url


def post(url, rows):
    request = urllib.request.Request(
        f"{url}/predict", data=json.dumps({"rows": rows}).encode(), headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_violation_is_422_and_names_row_column_and_rule(url):
    assert post(url, [{"age": 30}])[0] == 200
    status, body = post(url, [{"age": 30}, {"age": 300}, {"age": None}])
    assert status == 422
    assert body["error"]["type"] == "ContractError"
    assert "row 2, column 'age', rule range: expected ≥ 0 and ≤ 120, received 300" in body["error"]["message"]
    assert body["error"]["violations"] == [
        {"row": 2, "column": "age", "rule": "range", "expected": "≥ 0 and ≤ 120", "received": "300"},
        {"row": 3, "column": "age", "rule": "missing", "expected": "a value", "received": "None"},
    ]
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'bakeoff_contract_violations_total{endpoint="e",column="age",rule="range"} 1' in text
