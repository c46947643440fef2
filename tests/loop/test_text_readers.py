"""What reads texts for monitoring: a detector of languages, and the fastest encoder of the project's candidates."""

from types import SimpleNamespace

import numpy as np

from bakeoff.loop import text_readers as readers
from bakeoff.loop.text_readers import text_readers


class Encoding:
    def __init__(self, name):
        self.name = name

    def sentence_vectors(self, model, texts, *, cache, threads, progress):
        return np.full((len(texts), 2), {"words": 1.0, "embedding": 2.0}[self.name])


def stage_of(*families):
    contenders = [
        SimpleNamespace(shown=SimpleNamespace(family_name=name, params=SimpleNamespace(**more)))
        for name, more in families
    ]
    return SimpleNamespace(contenders=contenders, compute=SimpleNamespace(threads=0), cache=None)


def test_the_language_of_texts_is_detected():
    languages = text_readers(stage_of()).languages
    said = ["Das Wetter ist heute schön, und wir gehen spazieren.", "The parcel arrived late and was damaged.", "12 !"]
    assert languages(said) == ["de", "en", None]


def test_the_encoder_is_that_of_a_candidate_static_vectors_first(monkeypatch):
    made = {"words": Encoding("words"), "embedding": Encoding("embedding"), "lora": object(), "linear": object()}
    monkeypatch.setattr(readers, "load_family", made.get)
    model = {"model": "any"}
    both = stage_of(("linear", {}), ("embedding", model), ("words", model))
    assert text_readers(both).vectors(["a", "b"]).tolist() == [[1.0, 1.0]] * 2
    assert text_readers(stage_of(("lora", model), ("embedding", model))).vectors(["a"]).tolist() == [[2.0, 2.0]]
    assert text_readers(stage_of(("lora", model), ("linear", {}))).vectors is None
