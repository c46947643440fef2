"""Exports: files that other programs read, which answer as what was trained."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("xllamacpp")
pytest.importorskip("peft")

from bakeoff.actions.export import Wish, export
from bakeoff.core.errors import CandidateError, UsageError
from bakeoff.core.generation import Speech


@dataclass(frozen=True)
class Spoken:
    """A model as far as exports look at it."""

    speech: Speech | None


@pytest.fixture
def speech(tiny_model: Path, tiny_adapter: Path) -> Speech:
    return Speech(
        model=tiny_model,
        adapter=tiny_adapter,
        engine="llamacpp",
        quantisation="f32",
        before=({"role": "system", "content": "be brief"},),
        max_new_tokens=8,
    )


def written(model: object, folder: Path, **wish: object):
    return export(
        model,  # type: ignore[arg-type]
        folder / "out",
        name="tiny/1",
        wish=Wish(**wish),  # type: ignore[arg-type]
        threads=1,
        cache=folder / "cache",
        progress=lambda _: None,
    )


def test_gguf_is_what_was_measured_with_the_adapter_beside_it(speech: Speech, tmp_path: Path) -> None:
    made = written(Spoken(speech), tmp_path)
    assert made.files == ("Modelfile", "README.md", "adapter.gguf", "model.gguf", "prompt.json")
    assert made.tokens > 5
    assert made.mean_gap < 0.01
    assert not made.notes
    lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
    assert lines[:2] == ["FROM ./model.gguf", "ADAPTER ./adapter.gguf"]
    assert json.loads((tmp_path / "out" / "prompt.json").read_text())["before"] == list(speech.before)


@pytest.mark.parametrize("form", ["gguf", "safetensors"])
def test_merged_weights_need_no_adapter(form: str, speech: Speech, tmp_path: Path) -> None:
    made = written(Spoken(speech), tmp_path, form=form, merged=True)
    assert not [file for file in made.files if "adapter" in file]
    assert made.mean_gap < 0.02
    base = written(Spoken(replace(speech, adapter=None)), tmp_path / "base", form=form)
    weights = "model.gguf" if form == "gguf" else "model/model.safetensors"
    assert (Path(made.folder) / weights).read_bytes() != (Path(base.folder) / weights).read_bytes()


def test_what_cannot_be_exported_is_said_and_leaves_nothing(speech: Speech, tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match="weights of its own"):
        written(object(), tmp_path)
    with pytest.raises(UsageError, match="no quantisation beside safetensors"):
        written(Spoken(speech), tmp_path, form="safetensors", quantisation="q8_0")
    with pytest.raises(CandidateError, match="expected quantisation among"):
        written(Spoken(speech), tmp_path, quantisation="q4_k_m")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("")
    with pytest.raises(UsageError, match="empty or new folder"):
        written(Spoken(speech), tmp_path)
    assert (tmp_path / "out" / "mine.txt").exists()
