"""A generating model is released only when its engine serves what was trained; then it converses."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("xllamacpp")

from bakeoff.config.file import loads
from bakeoff.core.generation import Sampling
from bakeoff.core.jobs import JobResult
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import Contest
from bakeoff.loop.context import Contender
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.fidelity import verified
from bakeoff.loop.fit import Fitted
from bakeoff.project.project import Project
from bakeoff.testing.memory import MemoryBlobs, MemoryRecords

FILE = """
[project]
name = "tiny"
task = "generation"
[data]
source = "talks.jsonl"
target = "answer"
[candidates.lora]
model = "{model}"
precision = "fp32"
quantisation = "f32"
layers = 0
learning_rate = 0.02
epochs = 20
max_new_tokens = 6
[decide]
metric = "exact_match"
resamples = 200
findings = false
[compute]
workers = 1
threads = 1
"""
SAID = {"aaord bbord": "eeord", "ccord ddord": "fford"}


@pytest.mark.slow
def test_what_was_trained_is_released_and_converses(tiny: Path, tmp_path: Path) -> None:
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"{q} {i}"}, {"role": "assistant", "content": a}]})
        for i in range(40)
        for q, a in SAID.items()
    ]
    (tmp_path / "talks.jsonl").write_text("\n".join(lines))
    (tmp_path / "bakeoff.toml").write_text(FILE.format(model=tiny), encoding="utf-8")
    told: list[str] = []
    with Project(tmp_path, progress=told.append) as project:
        outcome = project.run()
        verdict = outcome.document["verdict"]
        assert verdict["promoted"], verdict
        assert "llamacpp serves what was trained within" in json.dumps(outcome.document)
        asked = [{"role": "user", "content": "aaord bbord 3"}]
        pieces = list(project.engine().chat(asked, Sampling(max_tokens=6), answer_id="a1"))
        assert "".join(piece.text for piece in pieces) == "eeord"
        project.feedback([{"id": "a1", "rating": -1, "correction": "ggord"}])
        joined = project.take_in()
        corrected = joined.filter(joined["answer"] == "ggord")
        assert corrected.select("messages", "answer_rejected").rows() == [("aaord bbord 3", "eeord")]
        assert joined["answer_rejected"].null_count() == len(joined) - 1
        again = project.run().document
        assert [candidate["status"] for candidate in again["candidates"]] == ["ok"]
        learned = any("learned in place of a rejected one" in line for line in told)
        assert learned == (corrected["part"][0] == "train")


def test_a_model_that_is_served_as_something_else_is_not_promoted(tmp_path: Path) -> None:
    text = FILE.format(model="m").replace("talks.jsonl", "x.jsonl")
    records, blobs = MemoryRecords(lambda: 1), MemoryBlobs()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").write_text("weights")
    contender = Contender(name="lora", family_name="lora", requires=(), params=None, code="c")
    winner = Judged(fitted=Fitted(contender=contender, key="k", tree_blob=blobs.put_tree(tmp_path / "model")))
    found = {"engine": "llamacpp", "diverges": "token 2 of the prompt is 'a' when trained and 'b' when served"}
    results = [JobResult(name="lora", value={**found, "mean_gap": 1.0}), JobResult(name="lora", error="no memory")]

    def run(jobs, progress, exclusive):
        return iter([results.pop(0)])

    stage = SimpleNamespace(
        config=loads(text, folder=tmp_path).config,
        work=tmp_path / "work",
        cache=tmp_path,
        blobs=blobs,
        compute=SimpleNamespace(run=run, threads=1),
        new_id=lambda: str(len(results)),
        progress=lambda line: None,
    )
    contest = Contest(promoted=True, reason="there was no champion")
    steps = Steps(records.documents, blobs)
    refused = verified(stage, steps, winner, contest)
    assert not refused.promoted
    assert "token 2 of the prompt" in refused.reason
    assert verified(stage, steps, winner, contest) == refused  # it is found once
    other = Judged(fitted=Fitted(contender=contender, key="k", tree_blob=blobs.put(b"other")))
    assert other.fitted.tree_blob != winner.fitted.tree_blob
