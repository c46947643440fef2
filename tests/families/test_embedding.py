import builtins
import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import CandidateError, ContextLengthError, MissingExtraError, NotFoundError
from bakeoff.families.embedding import EmbeddingFamily, EmbeddingParams
from bakeoff.families.features.onnx_encoder import OnnxEncoder
from bakeoff.families.wrappers.blend import BlendModel
from bakeoff.testing.families import FamilyConformance

pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

_spec = importlib.util.spec_from_file_location("tiny_encoder", Path(__file__).with_name("tiny_encoder.py"))
_tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_tiny)


class TestEmbedding(FamilyConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def family(cls, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingFamily:
        return EmbeddingFamily({"tiny": _tiny.write_tiny_encoder(tmp_path_factory.mktemp("encoder"))})

    @pytest.fixture
    def params(self) -> EmbeddingParams:
        return EmbeddingParams(model="tiny")

    def test_no_text_is_encoded_twice(self, family, job, monkeypatch) -> None:
        encoded: list[str] = []
        plain = OnnxEncoder.__call__
        monkeypatch.setattr(OnnxEncoder, "__call__", lambda self, texts: encoded.extend(texts) or plain(self, texts))
        model = family.fit(job)
        distinct = set(pl.concat([job.train, job.validation])["text"].fill_null("").to_list())
        assert len([text for text in encoded if text]) == len(distinct) - 1
        encoded.clear()
        family.fit(dataclasses.replace(job, params=EmbeddingParams(model="tiny", penalty=5.0)))
        model.predict(job.train.drop("target"))
        assert not [text for text in encoded if text]

    def test_texts_that_are_cut_are_counted(self, family, job) -> None:
        losses = []
        train = job.train.with_columns(text=pl.lit("aa bb"))
        train[3, "text"], train[5, "text"] = "aa " * 5000, "bb " * 20_000
        family.fit(dataclasses.replace(job, train=train, on_loss=losses.append))
        assert [(loss.kind, loss.subject, loss.count, loss.of) for loss in losses] == [
            ("text", "text", 2, len(train) + len(job.validation))
        ]

    def test_a_loaded_model_may_use_the_cache(self, family, job, tmp_path, monkeypatch) -> None:
        model = family.fit(job)
        (tmp_path / "model").mkdir()
        model.save(tmp_path / "model")
        loaded = family.load(tmp_path / "model", 1, job.cache)
        expected = model.predict(job.train).probabilities_nk
        monkeypatch.setattr(OnnxEncoder, "__call__", None)
        assert (loaded.predict(job.train).probabilities_nk == expected).all()

    def test_texts_become_vectors_of_length_one_alone_or_within_others(self, family, job) -> None:
        model = family.fit(job)
        found = model.embedder.embed(["aa bb", "", "aa bb", "zz"])
        assert found.vectors_nd.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found.vectors_nd[[0, 3]], axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(found.vectors_nd[0], found.vectors_nd[2])
        assert found.tokens > model.embedder.embed(["zz"]).tokens > 0
        with pytest.raises(ContextLengthError, match="cut it into parts"):
            model.embedder.embed(["zz", "aa " * 5000])
        assert model.embedder.embed([]).vectors_nd.shape == (0, found.vectors_nd.shape[1])
        joint = BlendModel(state=None, models=(object(), BlendModel(state=None, models=(model,))))
        assert abilities_of(joint).embedder() is model.embedder
        assert abilities_of(BlendModel(state=None, models=(object(),))).embedder is None

    def test_without_texts_it_says_what_to_use(self, family, job, params, tmp_path) -> None:
        with pytest.raises(CandidateError, match=r"\[data\] text"):
            family.fit(self.job_of("classification", params, tmp_path, columns=("numeric",)))

    def test_an_unknown_encoder_gets_a_suggestion(self, family, job) -> None:
        with pytest.raises(NotFoundError, match="Did you mean 'tiny'"):
            family.fit(dataclasses.replace(job, params=EmbeddingParams(model="tiny1")))

    @pytest.mark.parametrize("module", ["onnxruntime", "tokenizers"])
    def test_a_missing_module_names_the_extra(self, family, job, monkeypatch, module) -> None:
        plain = builtins.__import__

        def without(name, *args, **kwargs):
            if name == module:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return plain(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingExtraError, match=r'pip install "bakeoff\[embedding\]"'):
            family.fit(job)

    def test_bytes_that_are_no_model_are_an_error(self, job, tmp_path) -> None:
        source = _tiny.write_tiny_encoder(tmp_path)
        (tmp_path / "tiny.onnx").write_bytes(b"no model")
        with pytest.raises(CandidateError, match="ONNX"):
            EmbeddingFamily({"tiny": source}).fit(job)


@pytest.mark.real
@pytest.mark.slow
def test_the_default_encoder_on_real_texts(tmp_path: Path) -> None:
    good = ["a lovely, moving film", "a joy from start to end", "superb acting", "I laughed and loved it", "a triumph"]
    bad = ["dull and far too long", "a mess; I walked out", "terrible acting", "I was bored and hated it", "a failure"]
    table = pl.DataFrame({"text": [*good, *bad], "target": ["good"] * 5 + ["bad"] * 5})
    job = TestEmbedding().job_of("classification", EmbeddingParams(), tmp_path, columns=("text",))
    model = EmbeddingFamily().fit(dataclasses.replace(job, train=table, validation=table[::2]))
    held = pl.DataFrame({"text": ["delightful and touching", "boring, awful and endless"]})
    assert model.predict(held).values_n.tolist() == ["good", "bad"]
    assert model.encoder.width == 7 * 384
