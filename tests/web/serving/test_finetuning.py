"""OpenAI's files and fine-tuning jobs by the stock client: a model is tuned by a process of the server, and answers."""

import json
import shutil
import time

import httpx2 as httpx
import pytest
from tests.loop.test_fine_tune import FILE, chat_lines, conversations

from bakeoff.loop.fine_tune_jobs import FineTuneJobs
from bakeoff.project.project import Project
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

openai = pytest.importorskip("openai")
pytest.importorskip("torch")
pytest.importorskip("peft")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.families.language.tiny import write_tiny

    made = tmp_path_factory.mktemp("desk")
    (made / "rows.jsonl").write_bytes(chat_lines(conversations(80, seed=1)))
    model = write_tiny(tmp_path_factory.mktemp("models"))
    (made / "bakeoff.toml").write_text(FILE.format(model=model))
    return made


@pytest.fixture(scope="module")
def project(folder):
    with Project(folder, progress=lambda _: None) as made:
        yield made


@pytest.fixture(scope="module")
def client(project):
    app = create_app(project.plane(), project.feedback, hosts=local_hosts("127.0.0.1"), fine_tuning=project.fine_tuning)
    with (
        Server(app) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20) as made,
    ):
        yield made


def upload(client, content=None):
    content = chat_lines(conversations(12, seed=3)) if content is None else content
    return client.files.create(file=("chäts.jsonl", content), purpose="fine-tune")


def test_files(client) -> None:
    content = chat_lines(conversations(12, seed=3)) + b"\r\n"
    file = upload(client, content)
    assert (file.bytes, file.filename, file.purpose, file.status) == (
        len(content),
        "chäts.jsonl",
        "fine-tune",
        "processed",
    )
    assert client.files.content(file.id).content == content
    assert client.files.retrieve(file.id) == file
    other = upload(client)
    assert [each.id for each in client.files.list(limit=1)][:2] == [other.id, file.id]  # over two pages
    assert client.files.list(order="asc", after=file.id).data == [other]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="file that was uploaded"):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError, match="purpose: expected fine-tune or"):
        client.files.create(file=b"x", purpose="other")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"nothing"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune'),
    ],
)
def test_forms_that_are_none_are_refused(client, kind, body) -> None:
    url = str(client.base_url).rstrip("/") + "/files"
    answer = httpx.post(url, content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert "expected" in answer.json()["error"]["message"]


def test_jobs_are_listed_cancelled_and_refused(client) -> None:
    file = upload(client)
    job = client.fine_tuning.jobs.create(
        model="tuned",
        training_file=file.id,
        method={"type": "supervised"},
        hyperparameters={"n_epochs": 2, "batch_size": "auto"},
        seed=3,
        metadata={"team": "desk"},
        suffix="help",
    )
    assert (job.status, job.model, job.seed, job.training_file) == ("queued", "tuned", 3, file.id)
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (2, "auto")
    assert client.fine_tuning.jobs.retrieve(job.id) == job
    assert [each.id for each in client.fine_tuning.jobs.list(metadata={"team": "desk"})] == [job.id]
    assert client.fine_tuning.jobs.list(metadata={"team": "other"}).data == []
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert [event.message for event in client.fine_tuning.jobs.list_events(job.id)] == [
        "the job cancelled",
        "the job waits for its turn",
    ]
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []
    for options, message in (
        ({"model": "gpt-4o-mini"}, "as a candidate of family 'lora' names it"),
        ({"training_file": "file-none"}, "file that was uploaded"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs: expected"),
        ({"method": {"type": "dpo"}}, "expected the keys"),
        ({"method": {"type": "reinforcement"}}, "supervised"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "nothing is sent elsewhere"),
        ({"seed": -1}, "seed: expected"),
    ):
        with pytest.raises(openai.BadRequestError, match=message):
            client.fine_tuning.jobs.create(**{"model": "tuned", "training_file": file.id, **options})
    with pytest.raises(openai.BadRequestError, match="which cancelled"):
        client.fine_tuning.jobs.cancel(job.id)
    with pytest.raises(openai.NotFoundError, match="fine-tuning job"):
        client.fine_tuning.jobs.retrieve("ftjob-none")


@pytest.mark.slow
@pytest.mark.processes
def test_a_job_by_the_stock_client_becomes_a_model_that_answers(client, project) -> None:
    asked = [("aaord bbord", "ccord")] * 40
    job = client.fine_tuning.jobs.create(
        model="tuned",
        training_file=upload(client, chat_lines(asked)).id,
        hyperparameters={"n_epochs": 30, "learning_rate_multiplier": 5},
    )
    with project.fine_tuning.working(0.1):
        until = time.monotonic() + 120
        while (job := client.fine_tuning.jobs.retrieve(job.id)).status in {"queued", "running"}:
            assert time.monotonic() < until, client.fine_tuning.jobs.list_events(job.id).data
            time.sleep(0.2)
    assert job.status == "succeeded", job.error
    assert job.judged["verdict"].startswith("there was no champion")
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [each.fine_tuned_model_checkpoint for each in checkpoints] == [job.fine_tuned_model]
    question = [{"role": "user", "content": "aaord bbord"}]
    with pytest.raises(openai.NotFoundError, match=job.fine_tuned_model):
        client.chat.completions.create(model=job.fine_tuned_model, messages=question)
    project.endpoints.release(job.fine_tuned_model)
    time.sleep(1.5)  # the server looks at the routes twice a second
    answer = client.chat.completions.create(model=job.fine_tuned_model, messages=question)
    assert answer.choices[0].message.content == "ccord"


@pytest.mark.slow
@pytest.mark.processes
def test_a_process_that_fails_is_told(client, project, monkeypatch) -> None:
    jobs: FineTuneJobs = project.fine_tuning.jobs
    job = client.fine_tuning.jobs.create(model="tuned", training_file=upload(client).id)
    monkeypatch.setattr("bakeoff.project.fine_tuning.sys.executable", shutil.which("false"))
    with project.fine_tuning.working(0.05):
        until = time.monotonic() + 20
        while not jobs.get(job.id).ended and time.monotonic() < until:
            time.sleep(0.05)
    failed = client.fine_tuning.jobs.retrieve(job.id)
    assert failed.status == "failed"
    assert "ended with code 1" in failed.error.message
    assert json.loads(failed.to_json())["fine_tuned_model"] is None
