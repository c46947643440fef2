"""A quality filter that learns from the user's own examples."""

import random

import polars as pl
import pytest

from bakeoff.core.errors import ConfigError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.explain import explain
from bakeoff.prepare.steps import Preparation

SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="y", inputs=("text",))
GOOD = "the report describes how results were measured and what they mean for readers".split()  # noqa: SIM905
BAD = "buy now cheap pills click here win free casino bonus !!! best price deal".split()  # noqa: SIM905


def texts(rng: random.Random, words: list[str], count: int) -> list[str]:
    return [" ".join(rng.choices(words, k=12)) for _ in range(count)]


@pytest.fixture
def files(tmp_path):
    rng = random.Random(1)
    pl.DataFrame({"text": texts(rng, GOOD, 60)}).write_ndjson(tmp_path / "good.jsonl")
    (tmp_path / "bad.txt").write_text("\n".join(texts(rng, BAD, 60)))
    return {"name": "keep_learned_quality", "good": str(tmp_path / "good.jsonl"), "bad": str(tmp_path / "bad.txt")}


def test_texts_like_the_good_ones_stay(files) -> None:
    rng = random.Random(2)
    table = pl.DataFrame({"text": [*texts(rng, GOOD, 50), *texts(rng, BAD, 50), None], "y": ["a"] * 101})
    kept = Preparation([files]).apply_rows_and_columns(table, SCHEMA).kept.tolist()
    assert sum(row < 50 for row in kept) >= 49
    assert sum(50 <= row < 100 for row in kept) <= 1
    assert 100 in kept  # nothing is known of it
    (explained,) = explain(table, SCHEMA, [files])
    assert all("good with a chance of" in example.why for example in explained.examples)


def test_other_examples_make_another_step(files, tmp_path) -> None:
    before = Preparation([files]).key
    assert Preparation([files]).key == before
    (tmp_path / "bad.txt").write_text("\n".join(texts(random.Random(3), BAD, 70)))
    assert Preparation([files]).key != before


def test_examples_that_teach_nothing_are_refused(files, tmp_path) -> None:
    (tmp_path / "bad.txt").write_text("\n".join(texts(random.Random(3), GOOD, 60)))
    with pytest.raises(ConfigError, match="do not tell good from bad"):
        Preparation([files])
    (tmp_path / "bad.txt").write_text("one\ntwo")
    with pytest.raises(ConfigError, match="2 distinct examples"):
        Preparation([files])
    with pytest.raises(ConfigError, match="needs 'good' and 'bad'"):
        Preparation(["keep_learned_quality"])
