"""Answers that were turned down: pairs of examples, their loss, and what training on them does."""

import dataclasses
import math
from pathlib import Path

import polars as pl
import pytest

from bakeoff.core.types import Column, Schema
from bakeoff.families.language import backbone
from bakeoff.families.language import finetune as tuning
from bakeoff.families.language.checkpoints import Checkpoint
from bakeoff.families.language.distributed import Group
from bakeoff.families.language.examples import Example, epoch_batches, with_rejected
from bakeoff.families.language.full import FullFamily, FullParams
from bakeoff.families.language.lora import LoraFamily, LoraParams, _Adapters
from bakeoff.families.language.network import Network
from bakeoff.families.language.objectives import Completions, Preferences
from bakeoff.families.language.training import Recipe, Trainer
from bakeoff.testing.families import FamilyConformance

torch = pytest.importorskip("torch")

QUESTIONS = ["aaord bbord", "ccord ddord", "eeord fford", "ggord hhord"] * 6
GOOD = ["iiord", "jjord kkord"] * 12
BAD = ["llord mmord nnord", None, "", "ooord"] * 6


def pair(prompt, answer, other=None):
    rejected = Example(ids=(*prompt, *other), completion=len(other)) if other else None
    return Example(ids=(*prompt, *answer), completion=len(answer), rejected=rejected)


EXAMPLES = [
    pair((5, 6, 7), (8, 9, 2), (10, 2)),
    pair((5, 6), (11, 2)),
    pair((12, 13, 14, 15), (16, 2), (17, 18, 19, 2)),
]


def test_rejected_answers_stand_behind_their_batch():
    rows, batch = with_rejected([3, 4, 9], EXAMPLES)
    assert rows == [3, 4, 9, -4, -10]
    assert [example.ids for example in batch[3:]] == [EXAMPLES[0].rejected.ids, EXAMPLES[2].rejected.ids]
    assert [(example.length, example.tokens) for example in EXAMPLES] == [(6, 11), (4, 4), (8, 14)]
    assert epoch_batches([1, 2], 2, seed=0, epoch=0) == [[0, 1]]


def plain_log_likelihood(model, example):
    logprobs = model(input_ids=torch.tensor([example.ids])).logits[0].log_softmax(-1)
    begin = len(example.ids) - example.completion
    return sum(logprobs[place - 1, example.ids[place]] for place in range(begin, len(example.ids)))


@pytest.mark.parametrize("layers", [0, 1])
def test_the_loss_is_the_plain_formula(tiny: Path, layers: int) -> None:
    loaded = backbone.load(tiny, "decoder", precision="fp32", threads=1)
    network = Network(loaded, top=layers)
    objective = Preferences(loaded, beta=0.3, weight=2.5)
    referred = objective.referred(network, "train", EXAMPLES, Group())
    with torch.no_grad():
        before = [
            float(plain_log_likelihood(loaded.model, e) - plain_log_likelihood(loaded.model, e.rejected))
            if e.rejected
            else 0.0
            for e in EXAMPLES
        ]
        assert [example.reference for example in referred] == pytest.approx(before, abs=1e-4)
        shifted = [dataclasses.replace(e, reference=e.reference - 1.0) if e.rejected else e for e in referred]
        rows, batch = with_rejected([0, 1, 2], shifted)
        loss, tokens = objective.loss(*network.hidden("train", rows, batch), batch)
        completions = -sum(float(plain_log_likelihood(loaded.model, e)) for e in EXAMPLES)
    assert tokens == 3 + 2 + 2
    assert float(loss) == pytest.approx(completions + 2 * 2.5 * math.log1p(math.exp(-0.3 * 1.0)), rel=1e-4)


def test_pairs_widen_the_margin_over_the_reference(tiny: Path, tmp_path: Path) -> None:
    def gains(pairs: bool) -> list[float]:
        torch.manual_seed(0)
        loaded = backbone.load(tiny, "decoder", precision="fp32", threads=1)
        network = Network(loaded, top=0)
        _Adapters(rank=4, dropout=0.0, base="tiny").prepare(network, 0)
        objective = Preferences(loaded, beta=0.5, weight=2.0)
        referred = objective.referred(network, "train", EXAMPLES, Group())
        examples = referred if pairs else [dataclasses.replace(e, rejected=None) for e in referred]
        recipe = Recipe(
            learning_rate=5e-3,
            epochs=15,
            batch=3,
            accumulate=1,
            warmup=0.1,
            weight_decay=0.0,
            checks=1,
            patience=1,
            max_minutes=None,
            seed=0,
        )
        trainer = Trainer(network, objective if pairs else Completions(loaded), recipe, progress=lambda line: None)
        trainer.run(examples, [], Checkpoint(folder=tmp_path / str(pairs)))
        again = objective.referred(network, "after", EXAMPLES, Group())
        return [b.reference - a.reference for a, b in zip(referred, again, strict=True) if a.rejected]

    with_pairs, without = gains(True), gains(False)
    assert min(with_pairs) > 1.0
    assert sum(with_pairs) > sum(without) + 1.0


def job_of(tmp_path, params, *, rejected="answer_rejected"):
    table = pl.DataFrame({"text": QUESTIONS, "answer": GOOD, "answer_rejected": pl.Series(BAD, dtype=pl.String)})
    columns = tuple(Column(name=name, kind="text", dtype="String") for name in table.columns)
    return dataclasses.replace(
        FamilyConformance().job_of("generation", params, tmp_path, columns=("text",)),
        schema=Schema(columns=columns, target="answer", inputs=("text",), rejected=rejected),
        train=table[:20],
        validation=table[20:],
        chosen=None,
        threads=1,
    )


@pytest.fixture
def trained(monkeypatch):
    """The examples and the objective of each training."""
    seen: list[tuple[list[Example], object]] = []
    run = Trainer.run

    def spy(self, train, held, checkpoint, **given):
        seen.append((list(train), self._objective))
        return run(self, train, held, checkpoint, **given)

    monkeypatch.setattr(tuning.Trainer, "run", spy)
    return seen


@pytest.mark.parametrize(("family", "made"), [(LoraFamily(), LoraParams), (FullFamily(), FullParams)])
def test_a_fit_uses_the_pairs_that_differ(family, made, tiny: Path, tmp_path: Path, trained) -> None:
    params = made(model=str(tiny), layers=1, epochs=1, precision="fp32", max_new_tokens=8)
    job = job_of(tmp_path, params)
    model = family.fit(job)
    examples, objective = trained.pop()
    assert isinstance(objective, Preferences)
    assert [example.rejected is not None for example in examples] == [bool(bad) for bad in BAD[:20]]
    assert all((example.reference != 0) == (example.rejected is not None) for example in examples)
    assert [column.name for column in model.signature.inputs] == ["text"]
    assert family.fit(job).chosen == model.chosen
    assert not trained  # what is the same is not trained again
    family.fit(dataclasses.replace(job, train=job.train.with_columns(answer_rejected=pl.lit("ppord"))))
    assert len(trained) == 1  # other pairs are another training


def test_without_beta_or_column_pairs_are_not_used(tiny: Path, tmp_path: Path, trained) -> None:
    params = LoraParams(model=str(tiny), layers=1, epochs=1, precision="fp32")
    LoraFamily().fit(job_of(tmp_path, dataclasses.replace(params, preference_beta=0.0)))
    LoraFamily().fit(job_of(tmp_path, params, rejected=None))
    for examples, objective in trained:
        assert type(objective) is Completions
        assert not any(example.rejected for example in examples)


def test_a_training_on_pairs_that_was_cut_off_goes_on_exactly(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    params = LoraParams(model=str(tiny), layers=1, epochs=4, batch=8, dropout=0.1, precision="fp32")
    whole = LoraFamily().fit(job_of(tmp_path / "whole", params))
    step, steps = Trainer._step, []

    def cut(self, *given):
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        step(self, *given)

    monkeypatch.setattr(tuning.Trainer, "_step", cut)
    monkeypatch.setattr("bakeoff.families.language.training.SAVED_EVERY_S", -1.0)
    told: list[str] = []
    job = dataclasses.replace(job_of(tmp_path / "cut", params), progress=told.append)
    with pytest.raises(KeyboardInterrupt):
        LoraFamily().fit(job)
    monkeypatch.setattr(tuning.Trainer, "_step", step)
    again = LoraFamily().fit(job)
    assert any("going on at step 5" in line for line in told)
    assert again.chosen == whole.chosen
