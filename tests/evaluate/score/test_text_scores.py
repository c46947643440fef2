"""Scores of generated texts that need more than truth and answer: schemas, sentence vectors, likelihoods."""

import json

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, ConfigError
from bakeoff.core.types import Predictions
from bakeoff.evaluate.score import text_scores as annotating
from bakeoff.evaluate.score.scoring import score
from bakeoff.evaluate.score.text_scores import annotated, schema_check
from bakeoff.evaluate.score.worker import read_outcomes, write_outcomes

SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
SAID = Predictions(values_n=np.asarray(['{"city": "Ghent"}', '{"city": 3}', "Ghent"], dtype=object))
TRUTH = np.asarray(['{"city": "Ghent"}', '{"city": "Lima"}', "x"], dtype=object)


class Likely:
    """A model that thinks each token of the truth has one chance in eight."""

    tokens = np.asarray([2, 3, 5])

    def log_likelihood(self, table, texts):
        return -self.tokens * np.log(8.0), self.tokens


def notes(model, tmp_path, **asked):
    given = {"json_schema": None, "encoder": None, "cache": tmp_path, "threads": 1, "progress": lambda _: None}
    return annotated(SAID, model, pl.DataFrame({"q": ["a", "b", "c"]}), TRUTH, **{**given, **asked})


def test_json_is_held_against_the_schema(tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    said = notes(None, tmp_path, json_schema=tmp_path / "schema.json")
    assert said.scores["json_valid"].tolist() == [1.0, 0.0, 0.0]
    assert score(TRUTH, said, "generation", resamples=100, seed=0).metrics["json_valid"].value == pytest.approx(1 / 3)
    assert score(TRUTH, SAID, "generation", resamples=100, seed=0).metrics["json_valid"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize("text", ["{", '{"type": "no such type"}'])
def test_a_file_without_a_schema(text, tmp_path):
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ConfigError, match="a JSON schema"):
        schema_check(tmp_path / "schema.json")


def test_perplexity_of_a_model_that_tells_likelihoods(tmp_path):
    found = score(TRUTH, notes(Likely(), tmp_path), "generation", resamples=100, seed=0).metrics["perplexity"]
    assert found.value == pytest.approx(8.0)
    assert found.low is None
    assert "all rows are alike" in found.reason
    assert "perplexity" not in score(TRUTH, SAID, "generation", resamples=100, seed=0).metrics


def test_likelihoods_of_another_shape_are_an_error(tmp_path):
    class Wrong:
        def log_likelihood(self, table, texts):
            return np.zeros(2), np.ones(2)

    with pytest.raises(CandidateError, match="each of 3 rows"):
        notes(Wrong(), tmp_path)


class Encoding:
    """Vectors by the first letter."""

    def sentence_vectors(self, name, texts, *, cache, threads, progress):
        return np.asarray([[1.0, 0.0] if text.startswith("{") else [0.0, 1.0] for text in texts])


def test_meanings_are_compared_by_an_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(annotating.plugins, "load", lambda group, name: Encoding)
    said = notes(None, tmp_path, encoder="letters")
    assert said.scores["embedding_similarity"].tolist() == [1.0, 1.0, 1.0]
    found = score(TRUTH, said, "generation", resamples=100, seed=0)
    assert found.metrics["embedding_similarity"].value == 1.0


def test_outcomes_keep_it_all(tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    said = notes(Likely(), tmp_path, json_schema=tmp_path / "schema.json")
    write_outcomes(tmp_path / "outcomes.parquet", np.arange(3), TRUTH, said)
    truth, again = read_outcomes(pl.read_parquet(tmp_path / "outcomes.parquet"))
    assert truth.tolist() == TRUTH.tolist()
    assert again.scores["json_valid"].tolist() == [1.0, 0.0, 0.0]
    assert again.log_likelihood_n.tolist() == said.log_likelihood_n.tolist()
    assert again.tokens_n.tolist() == [2, 3, 5]
    assert again.take(np.asarray([2])).scores["json_valid"].tolist() == [0.0]
