"""Fine-tuning on a caller's file: trained, judged against the champion on the project's test rows, released."""

import importlib.util
import json
import random
from pathlib import Path

import polars as pl
import pytest

from bakeoff.core.errors import ConfigError, DataError, UsageError
from bakeoff.loop.fine_tune_jobs import Tuning
from bakeoff.loop.references import references
from bakeoff.project.project import Project

pytest.importorskip("torch")
pytest.importorskip("peft")
pytestmark = pytest.mark.slow

FILE = """
[project]
name = "desk"
task = "generation"
[data]
source = "rows.jsonl"
target = "answer"
[split]
near_duplicates = 0
[candidates.retrieval]
[candidates.tuned]
family = "lora"
model = "{model}"
precision = "fp32"
layers = 1
epochs = 1
checks = 1
engine = "transformers"
max_new_tokens = 3
[combine]
blends = false
cascades = false
[decide]
resamples = 100
findings = false
[compute]
workers = 1
threads = 1
"""
WORDS = [f"{letter}{letter}ord" for letter in "abcdefghijklmnopqrstuvwxyz"]


def conversations(rows, *, seed):
    """Questions of two words, the first of which tells the answer."""
    pairs = random.Random(seed).sample([(at, second) for at in range(6) for second in WORDS], rows)
    return [(f"{WORDS[at]} {second}", f"{WORDS[at + 10]} {WORDS[at + 18]}") for at, second in pairs]


def chat_lines(pairs):
    lines = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}
        for asked, answer in pairs
    ]
    return "\n".join(map(json.dumps, lines)).encode()


def pair_lines(pairs):
    lines = [
        {
            "input": {"messages": [{"role": "user", "content": asked}]},
            "preferred_output": [{"role": "assistant", "content": answer}],
            "non_preferred_output": [{"role": "assistant", "content": "zzord"}],
        }
        for asked, answer in pairs
    ]
    return "\n".join(map(json.dumps, lines)).encode()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    place = Path(__file__).parents[1] / "families" / "language" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny_language_model", place)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    folder = tmp_path_factory.mktemp("desk")
    (folder / "rows.jsonl").write_bytes(chat_lines(conversations(80, seed=1)))
    model = tiny.write_tiny(tmp_path_factory.mktemp("models"))
    (folder / "bakeoff.toml").write_text(FILE.format(model=model))
    with Project(folder, progress=lambda _: None) as made:
        made.run()
        yield made


def upload(project, content):
    return project.fine_tuning.files.put("chats.jsonl", content, purpose="fine-tune").id


@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_a_job_makes_a_version_that_can_be_released(project, method) -> None:
    tuning, lines = project.fine_tuning, chat_lines if method == "supervised" else pair_lines
    mine = conversations(30, seed=2)
    known = conversations(80, seed=1)  # the project's own rows, a part of which it is tested on
    job = tuning.create(
        "tuned", upload(project, lines([*mine, *known])), tuning=Tuning(method=method, epochs=2, batch=8, seed=7)
    )
    assert (job.status, tuning.jobs.take("somebody").id) == ("queued", job.id)
    before = project.endpoints.show().routes
    done = tuning.work(job.id)
    assert done.error is None
    assert done.status == "succeeded"
    messages = [event.message for event in done.events]
    assert any("rows that are test rows" in message for message in messages), messages
    version = next(each for each in project.models() if f"{each.name}/{each.number}" == done.model_version)
    origin = version.model_origin
    assert (origin.family, origin.seed, origin.params["epochs"], origin.params["batch"]) == ("lora", 7, 2, 8)
    assert (origin.params["preference_beta"] > 0) == (method == "dpo")
    assert origin.fitted_rows <= 110
    assert "desk/" in done.verdict
    assert done.checkpoints[0].model_version == done.model_version
    assert done.checkpoints[0].step > 0
    assert project.endpoints.show().routes == before  # nothing was released
    assert project.endpoints.release(done.model_version, endpoint=None).live.model_version == done.model_version
    project.endpoints.undo()
    assert {each.owner for each in references(project.records)} >= {f"fine-tuning job {job.id}"}


def test_it_learns_what_the_file_says(project) -> None:
    """A tuned model gives what it was told; the project's own candidate does not."""
    asked = [("aaord bbord", "ccord")] * 40
    job = project.fine_tuning.create(
        "tuned", upload(project, chat_lines(asked)), tuning=Tuning(epochs=30, learning_rate_multiplier=5)
    )
    done = project.fine_tuning.work(job.id)
    assert done.error is None
    table = pl.DataFrame({"messages": ["aaord bbord"]})
    assert project.model(done.model_version).predict(table)[0] == "ccord"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"messages": []}', "line 1: expected"),
        (b"no json", "line 1: expected"),
        (chat_lines(conversations(3, seed=0)), "at least 10 examples"),
        (pair_lines(conversations(12, seed=0)), r"expected the keys \['messages'\]"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "ends with the assistant"),
    ],
)
def test_files_that_are_none_are_refused_at_once(project, content, message) -> None:
    with pytest.raises(DataError, match=message):
        project.fine_tuning.create("tuned", upload(project, content))


def test_models_and_parameters_that_cannot_be_tuned_are_refused_at_once(project) -> None:
    file_id = upload(project, chat_lines(conversations(12, seed=0)))
    with pytest.raises(UsageError, match="candidate of family 'lora' names it"):
        project.fine_tuning.create("gpt-4o-mini", file_id)
    with pytest.raises(UsageError, match="received '/etc'"):
        project.fine_tuning.create("/etc", file_id)
    with pytest.raises(ConfigError, match="epochs"):
        project.fine_tuning.create("tuned", file_id, tuning=Tuning(epochs=-1))
    base = project.config.candidates["tuned"].params["model"]
    assert project.fine_tuning.create(str(base), file_id).model == base


def test_a_file_for_a_project_of_labels(tmp_path) -> None:
    from bakeoff.core.types import Column, Schema
    from bakeoff.loop.training_files import examples_of, row_of

    one, two = (Column(name=name, kind="text", dtype="String") for name in ("text", "label"))
    number = Column(name="x", kind="numeric", dtype="Float64")
    content = chat_lines([('{"text": "t", "x": 2}', "yes")] * 10)
    example = examples_of(content, "supervised", name="f")[0]
    single = Schema(columns=(one, two), target="label", inputs=("text",))
    several = Schema(columns=(one, number, two), target="label", inputs=("text", "x"))
    assert row_of(example, single, "classification", name="f") == {"label": "yes", "text": '{"text": "t", "x": 2}'}
    assert row_of(example, several, "classification", name="f") == {"label": "yes", "text": "t", "x": 2}
    plain = examples_of(chat_lines([("hello", "yes")] * 10), "supervised", name="f")[0]
    with pytest.raises(DataError, match="the row as a JSON object with 'text', 'x'"):
        row_of(plain, several, "classification", name="f")
