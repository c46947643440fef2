"""A model that is overfitted on few rows says them by heart, and everybody is told so."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from bakeoff.cli.run_page import full_report, leaderboard
from bakeoff.core.abilities import abilities_of
from bakeoff.core.protocols import Recalling
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.families.wrappers.prepared import PreparedFamily, PreparedParams, StepSpec
from bakeoff.loop.calibrate import _with_memory
from bakeoff.loop.evaluate import Judged
from bakeoff.project.project import Project
from bakeoff.report.markdown import markdown
from bakeoff.results.outcome import RunOutcome
from bakeoff.testing.families import FamilyConformance


@pytest.mark.slow
def test_what_was_learned_by_heart_is_found_and_told(overfitted: Path) -> None:
    with Project(overfitted) as project:
        document = project.last().document
        report = project.report()
        assert project.run().unchanged
    found, other = document["candidates"]
    known = found["memorisation"]
    assert known["train"]["verbatim"] == 1.0, known
    assert known["held_out"]["verbatim"] == 0.0
    assert known["loss_ratio"] < 0.1
    assert known["warning"]
    assert "memorisation" not in other
    assert document["dataset"]["contamination"]["answers"]["rows"] == 0
    for page in (
        leaderboard(RunOutcome.from_json(document)),
        full_report(RunOutcome.from_json(document)),
        markdown(report),
    ):
        assert "full knows training rows by heart: it gives 100% of the answers to training rows and 0%" in page
    assert "| full | 100% | 0% |" in markdown(report)
    assert "0 (0%) have a text and 0 (0%) have an answer that training rows hold" in full_report(
        RunOutcome.from_json(document)
    )


@pytest.fixture
def job(tmp_path):
    def made(task, columns):
        found = FamilyConformance().job_of(task, LoraParams(), tmp_path, columns=("text",))
        train = pl.DataFrame(columns)
        return dataclasses.replace(found, train=train, validation=train[:4], chosen=None, threads=1)

    return made


def lora(job, tiny, **given):
    params = LoraParams(model=str(tiny), precision="fp32", layers=0, learning_rate=0.02, engine="transformers", **given)
    return LoraFamily().fit(dataclasses.replace(job, params=params))


def test_a_model_would_say_what_it_was_taught_and_nothing_else(job, tiny):
    taught = {"text": ["aaord bbord", "ccord ddord"] * 12, "target": ["eeord ggord", "fford hhord"] * 12}
    model = lora(job("generation", taught), tiny, epochs=30, max_new_tokens=8)
    assert isinstance(model, Recalling)
    rows, texts = pl.DataFrame({"text": ["aaord bbord"] * 3}), ["eeord ggord", "fford hhord", "eeord and more"]
    likely_n, tokens_n, said_n = model.recall(rows, texts, 50)
    assert said_n.tolist() == [True, False, False]
    assert model.recall(rows, texts, 1)[2].tolist() == [True, False, True]
    expected_n, counted_n = model.log_likelihood(rows, texts)
    assert likely_n.tolist() == expected_n.tolist()
    assert tokens_n.tolist() == counted_n.tolist()


def test_a_fine_tuned_classifier_is_asked_for_labels(job, tiny):
    taught = {"text": ["aaord bbord", "ccord ddord"] * 12, "target": ["yes", "no"] * 12}
    model = lora(job("classification", taught), tiny, epochs=8)
    assert isinstance(model, Recalling)
    likely_n, tokens_n, said_n = model.recall(pl.DataFrame({"text": ["aaord bbord"] * 3}), ["yes", "no", "maybe"], 50)
    assert said_n.tolist() == [True, False, False]
    assert likely_n[0] > likely_n[1] > likely_n[2]
    assert tokens_n.tolist() == [1, 1, 1]


def test_a_model_behind_fitted_steps_is_asked_as_it_is(job, tiny):
    taught = {"text": ["aaord bbord", "ccord ddord"] * 12, "target": ["yes", "no"] * 12}
    step = StepSpec(name="group_rare", version=1, params={"columns": []})
    given = {"model": str(tiny), "precision": "fp32", "layers": 0, "learning_rate": 0.02, "epochs": 8}
    params = PreparedParams(family="lora", params=given, steps=(step,))
    model = PreparedFamily().fit(dataclasses.replace(job("classification", taught), params=params))
    assert abilities_of(model).recall(pl.DataFrame({"text": ["aaord bbord"] * 2}), ["yes", "no"], 50)[2].tolist() == [
        True,
        False,
    ]
    linear = PreparedParams(family="linear", steps=(step,))
    other = PreparedFamily().fit(dataclasses.replace(job("classification", taught), params=linear))
    assert abilities_of(other).recall is None


def test_a_rescaled_model_keeps_what_was_found_before():
    known, before = {"memorisation": {"gap": 0.4}}, Judged(fitted=None)
    before = dataclasses.replace(before, findings={**known, "calibration": {"ece": 0.2}})
    anew = dataclasses.replace(before, findings={"calibration": {"ece": 0.1}})
    assert _with_memory(anew, before).findings == {**known, "calibration": {"ece": 0.1}}
