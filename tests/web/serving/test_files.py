"""Files and fine-tuning jobs without a model: how much may be sent, and what of a job's body is not dropped."""

from contextlib import nullcontext
from types import SimpleNamespace

import msgspec
import pytest
from starlette.testclient import TestClient
from tests.web.serving.conftest import EchoModel

from bakeoff.core.refs import BlobRef
from bakeoff.core.releases import Release
from bakeoff.loop.fine_tune_jobs import Tuning
from bakeoff.loop.training_files import examples_of
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryBlobs, MemoryEvents, MemoryRecords
from bakeoff.web.problems import HttpError
from bakeoff.web.serving.app import create_app
from bakeoff.web.serving.finetuning import JobRequest

NOW = 1_000_000
LINE = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
BASE = {"model": "m", "training_file": "f"}


@pytest.fixture
def tuning():
    config = SimpleNamespace(project=SimpleNamespace(seed=11, task="classification"), candidates={})
    records = SimpleNamespace(documents=MemoryRecords(lambda: NOW).documents)
    ids = iter(range(1000))
    made = ProjectFineTuning(
        SimpleNamespace(records=records, blobs=MemoryBlobs(), config=config), lambda: NOW, nullcontext
    )
    made.files._new_id = lambda: str(next(ids))
    return made


@pytest.fixture
def client(tuning):
    release = Release(release_id="r", endpoint="talk", model="talk", number=1, family="echo", blob_id="b")
    engine = Engine(
        "talk",
        load=lambda _: EchoModel(),
        routes=lambda: [release],
        prepare=lambda table, *_: table,
        events=MemoryEvents(lambda: NOW),
        clock=lambda: NOW,
    )
    app = create_app(
        DataPlane.of(engine), lambda _: None, fine_tuning=tuning, max_body_bytes=1000, max_upload_bytes=5000
    )
    with TestClient(app) as made:
        yield made


def test_a_file_may_be_larger_than_rows_and_has_a_limit_of_its_own(client) -> None:
    def upload(size):
        form = {"files": {"file": ("a.jsonl", b"x" * size)}, "data": {"purpose": "fine-tune"}}
        return client.post("/v1/files", **form)

    assert upload(3000).json()["bytes"] == 3000
    refused = upload(6000)
    assert refused.status_code == 413
    assert "expected a file of at most 5000 bytes; 'bakeoff fine-tune FILE'" in refused.json()["error"]["message"]
    rows = client.post("/predict", content=b"x" * 2000)
    assert rows.status_code == 413
    assert "at most 1000 bytes; send the rows in several calls" in rows.json()["error"]["message"]


def test_a_file_that_there_is_not_is_told_by_its_key(client, tuning, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "_require", lambda *_: None)
    there = tuning.files.put("a", LINE * 10, purpose="fine-tune").id
    for body, param in (
        ({"training_file": "file-none"}, "training_file"),
        ({"training_file": there, "validation_file": "file-none"}, "validation_file"),
    ):
        answer = client.post("/v1/fine_tuning/jobs", json={"model": "m", **body})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_seed_of_a_job_that_names_none_is_the_project_s(client, tuning) -> None:
    job = tuning.jobs.create(model="m", training=BlobRef("b"))
    named = tuning.jobs.create(model="m", training=BlobRef("b"), tuning=Tuning(seed=0))
    assert client.get(f"/v1/fine_tuning/jobs/{job.id}").json()["seed"] == 11
    assert client.get(f"/v1/fine_tuning/jobs/{named.id}").json()["seed"] == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"method": {"type": "supervised", "dpo": {"hyperparameters": {"beta": 0.2}}}}, "method.dpo"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised"),
        ({"method": {"type": "dpo", "reinforcement": {}}}, "method.reinforcement"),
        (
            {
                "method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2}}},
                "hyperparameters": {"n_epochs": 3},
            },
            "hyperparameters",
        ),
    ],
)
def test_options_that_would_change_nothing_are_refused(body, param) -> None:
    with pytest.raises(HttpError, match=f"{param}: expected it to be left out") as refused:
        msgspec.convert({**BASE, **body}, JobRequest).tuning()
    assert refused.value.param == param


def test_options_stand_beside_the_method_or_in_it() -> None:
    beside = {"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 3, "beta": 0.2}}
    within = {"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3, "beta": 0.2}}}}
    for body in (beside, within):
        tuning = msgspec.convert({**BASE, **body}, JobRequest).tuning()
        assert (tuning.method, tuning.epochs, tuning.beta) == ("dpo", 3, 0.2)


def test_a_file_may_begin_with_a_byte_order_mark() -> None:
    assert len(examples_of(b"\xef\xbb\xbf" + LINE * 10, "supervised", name="f")) == 10
