import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, ContextLengthError, MissingExtraError, NotFoundError
from bakeoff.families.embedding import EmbeddingFamily, EmbeddingParams
from bakeoff.families.features import onnx_encoder
from bakeoff.families.features.onnx_encoder import EncoderSource
from bakeoff.families.features.static_encoder import StaticEncoder, table_of
from bakeoff.families.words import WordsFamily, WordsParams
from bakeoff.testing.families import FamilyConformance

tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[UNK]", *(f"{letter}{letter}ord" for letter in "abcdefghijklmnopqrstuvwxyz")]
WORDS += [f"{kind}{group}" for kind in ("label", "sign") for group in range(6)] + ["nothing"]


def safetensors(table_pd):
    """A file of the format: the length of the header, the header, the numbers."""
    entry = {"dtype": "F16", "shape": list(table_pd.shape), "data_offsets": [0, table_pd.nbytes]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "embedding.weight": entry}).encode()
    return len(header).to_bytes(8, "little") + header + table_pd.tobytes()


def write_table(folder: Path) -> EncoderSource:
    table_pd = np.random.default_rng(0).normal(size=(len(WORDS), 8)).astype(np.float16)
    (folder / "tiny.safetensors").write_bytes(safetensors(table_pd))
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tiny.json"))
    return EncoderSource(weights=str(folder / "tiny.safetensors"), tokenizer=str(folder / "tiny.json"))


def encoder_of(source: EncoderSource) -> StaticEncoder:
    return StaticEncoder(weights=Path(source.weights).read_bytes(), tokenizer=Path(source.tokenizer).read_bytes())


class TestWords(FamilyConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def family(cls, tmp_path_factory: pytest.TempPathFactory) -> WordsFamily:
        return WordsFamily({"tiny": write_table(tmp_path_factory.mktemp("table"))})

    @pytest.fixture
    def params(self) -> WordsParams:
        return WordsParams(model="tiny")

    def test_texts_that_are_cut_are_counted(self, family, job) -> None:
        losses = []
        train = job.train.with_columns(text=pl.lit("aaord bbord"))
        train[3, "text"] = "aaord " * 5000
        family.fit(replace(job, train=train, on_loss=losses.append))
        assert [(loss.count, loss.reason) for loss in losses] == [(1, "of a text, 20,000 characters are read")]


def test_a_text_is_the_mean_of_its_pieces_beside_the_largest(tmp_path):
    encoder = encoder_of(write_table(tmp_path))
    table_pd = table_of(encoder.weights).astype(np.float64)
    two, none = encoder(["aaord label1", ""])
    rows_td = table_pd[[WORDS.index("aaord"), WORDS.index("label1")]]
    np.testing.assert_allclose(two, np.concatenate([rows_td.mean(axis=0), rows_td.max(axis=0)]), atol=1e-3)
    assert not none.any()
    assert encoder.width == 16
    np.testing.assert_allclose(np.linalg.norm(encoder.embed(["aaord"]).vectors_nd, axis=1), 1.0, rtol=1e-3)


@pytest.mark.parametrize("content", [b"", b"abc", safetensors(np.zeros((2, 3), np.float16))[:-4]])
def test_a_file_without_a_table_is_a_clear_error(content):
    with pytest.raises(CandidateError, match="one table"):
        table_of(content)


def test_it_needs_no_onnxruntime(tmp_path, monkeypatch):
    """Its extra installs tokenizers alone."""
    monkeypatch.setattr(onnx_encoder, "find_spec", lambda module: None if module == "onnxruntime" else module)
    source = write_table(tmp_path)
    job = FamilyConformance().job_of("classification", WordsParams(model="tiny", penalty=100.0), tmp_path)
    assert len(WordsFamily({"tiny": source}).fit(job).predict(job.validation)) == 40
    of_onnx = replace(job, params=EmbeddingParams(model="tiny"))
    with pytest.raises(MissingExtraError, match=r"'embedding' needs the module 'onnxruntime'.*bakeoff\[embedding\]"):
        EmbeddingFamily({"tiny": source}).fit(of_onnx)
    with pytest.raises(NotFoundError, match="Did you mean 'tiny'"):  # which is told first
        EmbeddingFamily({"tiny": source}).fit(replace(job, params=EmbeddingParams(model="tiny1")))
    monkeypatch.setattr(onnx_encoder, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"'words' needs the module 'tokenizers'.*bakeoff\[words\]"):
        WordsFamily({"tiny": source}).fit(job)


def test_what_is_embedded_is_read_whole_and_once(tmp_path, monkeypatch):
    encoder = encoder_of(write_table(tmp_path))
    with pytest.raises(ContextLengthError, match=r"at most 20,000 characters.*cut it into parts"):
        encoder.embed(["aaord", "aaord " * 5000])
    batches = []
    monkeypatch.setattr(StaticEncoder, "_ids", lambda _, texts: batches.append(texts) or [np.array([1, 2])])
    assert encoder.embed(["aaord bbord"]).tokens == 2
    assert batches == [["aaord bbord"]]
