"""Served = trained: what is served wrongly is seen, whatever is wrong, and so is an engine that says too little."""

import json
import shutil

import pytest

pytest.importorskip("transformers")
pytest.importorskip("xllamacpp")

from bakeoff.core.errors import CandidateError
from bakeoff.core.generation import Piece
from bakeoff.engines.derived import derived, digests_of, expect
from bakeoff.engines.fidelity import compare
from bakeoff.engines.llamacpp import LlamaCppEngine, gguf_of
from bakeoff.engines.reference import ReferenceSession


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(tiny_model):
    return ReferenceSession(tiny_model, None, threads=1, context=256)


class Stub:
    """Answers as the trained model does, changed by `change`."""

    def __init__(self, trained, change):
        self.trained, self.change = trained, change

    def render(self, messages):
        return self.trained.render(messages)

    def chat(self, messages, sampling):
        pieces = list(self.trained.chat(messages, sampling))
        return iter(self.change(pieces[:-1], pieces[-1]))


def early(pieces, last):
    return [pieces[0], Piece(finish="stop", completion_tokens=len(pieces[0].tokens))]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda pieces, last: [Piece(finish="stop")], "ends after 0 tokens"),
        (lambda pieces, last: [Piece(finish="length")], "cut after 0 tokens"),
        (early, "ends after|cut after"),
        (lambda pieces, last: [], "too few|cut after"),
    ],
)
def test_an_engine_that_says_nothing_or_stops_early_is_seen(trained, change, why):
    import re

    fidelity = compare(trained, Stub(trained, change), tolerance=0.1)
    assert not fidelity.holds
    assert re.search(why, fidelity.diverges), fidelity.diverges


def test_the_same_engine_holds(trained):
    fidelity = compare(trained, Stub(trained, lambda pieces, last: [*pieces, last]), tolerance=0.001)
    assert fidelity.holds, fidelity.diverges
    assert fidelity.tokens + fidelity.ends >= 8


def opened(model, cache, quantisation="f32"):
    return LlamaCppEngine().open(model, threads=1, cache=cache, context=256, parallel=1, quantisation=quantisation)


@pytest.mark.parametrize("which", ["bos_token", "eos_token"])
def test_other_special_tokens_in_the_file_are_seen(which, trained, tiny_model, tmp_path):
    other = shutil.copytree(tiny_model, tmp_path / "other")
    settings = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps(settings | {which: "<|endoftext|>"}))
    if which == "eos_token":  # the template says how turns end, so the file must be told otherwise
        template = other / "chat_template.jinja"
        template.write_text(template.read_text().replace("<|im_end|>", "<|endoftext|>"))
    served = opened(other, tmp_path)
    try:
        fidelity = compare(trained, served, tolerance=0.1)
    finally:
        served.close()
    assert "the token that" in fidelity.diverges


def test_a_cut_or_changed_file_is_made_again(tiny_model, tmp_path):
    file = gguf_of(tiny_model, tmp_path, "q8_0")
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], b""):
        file.write_bytes(damaged)
        assert gguf_of(tiny_model, tmp_path, "q8_0") == file
        assert file.read_bytes() == whole
    file.unlink()
    assert gguf_of(tiny_model, tmp_path, "q8_0").read_bytes() == whole
    other = gguf_of(tiny_model, tmp_path, "q4_0")
    shutil.copy(other, file)  # another quantisation in its place
    assert gguf_of(tiny_model, tmp_path, "q8_0").read_bytes() == whole


def test_a_restart_converts_nothing(tiny_model, tmp_path, monkeypatch):
    first = LlamaCppEngine().open(tiny_model, threads=1, cache=tmp_path, parallel=1)
    first.close()

    def fail(*_args, **_named):
        raise AssertionError("converted again")

    monkeypatch.setattr("bakeoff.engines.gguf_export.model_to_gguf", fail)
    monkeypatch.setattr("bakeoff.engines.llamacpp._pre_tokenizer", fail)
    again = LlamaCppEngine().open(tiny_model, threads=1, cache=tmp_path, parallel=1)
    try:
        assert again.files == first.files
        assert len(again.files) == 1
    finally:
        again.close()


def test_what_was_checked_is_what_is_served_or_nothing_is(tmp_path):
    file = derived(tmp_path / "a.gguf", lambda made: made.write_text("one") and None)
    checked = digests_of(file, None)
    expect(tmp_path / "elsewhere", checked)
    assert derived(tmp_path / "elsewhere" / "a.gguf", lambda made: made.write_text("one") and None).exists()
    file.write_text("swapped")
    file.with_name("a.gguf.digest.json").unlink()
    expect(tmp_path, checked)
    assert derived(file, lambda made: made.write_text("one") and None).read_text() == "one"
    file.write_text("swapped")
    with pytest.raises(CandidateError, match="checked before the release"):
        derived(file, lambda made: made.write_text("two") and None)
