"""Models that answer in their own words: asked alike in training, in rows and in chats, run by an engine."""

import dataclasses

import polars as pl
import pytest

pytest.importorskip("xllamacpp")

from bakeoff.core.errors import CandidateError, ContextLengthError
from bakeoff.core.generation import Capacity, ChatModel, Sampling, Speaking
from bakeoff.core.protocols import Likely
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.families.language.prompted import PromptedFamily, PromptedParams
from bakeoff.families.language.prompts import Prompt, Shot, row_texts
from bakeoff.testing.families import FamilyConformance

QUESTIONS = ["aaord bbord", "ccord ddord"] * 12
ANSWERS = ["eeord", "fford"] * 12


@pytest.fixture
def job(tmp_path):
    made = FamilyConformance().job_of("generation", LoraParams(), tmp_path, columns=("text",))
    train = pl.DataFrame({"text": QUESTIONS, "target": ANSWERS})
    return dataclasses.replace(made, train=train, validation=train[:4], chosen=None, threads=1)


def lora(job, tiny, **given):
    settings = {"epochs": 30, "layers": 0, "learning_rate": 0.02, "max_new_tokens": 8, "quantisation": "f32", **given}
    params = LoraParams(model=str(tiny), precision="fp32", **settings)
    return LoraFamily().fit(dataclasses.replace(job, params=params))


def test_what_was_learned_is_said_by_either_engine_and_after_loading(job, tiny, tmp_path):
    model = lora(job, tiny)
    rows = pl.DataFrame({"text": QUESTIONS[:2]})
    assert model.predict(rows).values_n.tolist() == ANSWERS[:2]
    folder = tmp_path / "saved"
    folder.mkdir()
    model.save(folder)
    loaded = LoraFamily().load(folder, 1)
    assert loaded.predict(rows).values_n.tolist() == ANSWERS[:2]
    plain = dataclasses.replace(loaded, state=dataclasses.replace(loaded.state, engine="transformers"))
    assert plain.predict(rows).values_n.tolist() == ANSWERS[:2]
    assert isinstance(loaded, ChatModel)
    assert isinstance(loaded, Speaking)
    pieces = list(loaded.chat([{"role": "user", "content": QUESTIONS[0]}], Sampling(max_tokens=8)))
    assert "".join(piece.text for piece in pieces) == ANSWERS[0]


def test_the_learned_answer_is_likelier_than_another(job, tiny):
    model = lora(job, tiny)
    assert isinstance(model, Likely)
    rows = pl.DataFrame({"text": [QUESTIONS[0]] * 2})
    likely_n, tokens_n = model.log_likelihood(rows, [ANSWERS[0], ANSWERS[1]])
    assert likely_n[0] > likely_n[1] + 2
    assert (tokens_n >= 2).all()


def test_prompted_generates_with_examples_and_is_saved(job, tiny, tmp_path):
    params = PromptedParams(model=str(tiny), shots=2, select="random", max_new_tokens=4, system="Be brief.")
    model = PromptedFamily().fit(dataclasses.replace(job, params=params))
    folder = tmp_path / "saved"
    folder.mkdir()
    model.save(folder)
    loaded = PromptedFamily().load(folder, 1)
    # Alone, and both engines the same rows: random weights have near-ties, which flip with what was read together.
    for text in ("aaord", None):
        row = pl.DataFrame({"text": [text]}, schema={"text": pl.String})
        assert loaded.predict(row).values_n.tolist() == model.predict(row).values_n.tolist()
    assert len(model.state.shots) == 2


def test_what_the_engine_holds_is_a_setting(job, tiny, tmp_path):
    params = PromptedParams(model=str(tiny), max_new_tokens=2, context=128, slots=3)
    model = PromptedFamily().fit(dataclasses.replace(job, params=params))
    (folder := tmp_path / "saved").mkdir()
    model.save(folder)
    loaded = PromptedFamily().load(folder, 1)
    assert loaded.speech.capacity == Capacity(context=128, slots=3)
    slots = loaded._speaker.session()._ask("/slots")
    assert len(slots) == 3
    with pytest.raises(ContextLengthError):
        list(loaded.chat([{"role": "user", "content": "a b " * 200}], Sampling(max_tokens=2)))
    coarse = PromptedParams(model=str(tiny), max_new_tokens=2, kv_cache="q8_0")
    with pytest.raises(CandidateError, match="kv_cache = 'q8_0'"):  # its heads are smaller than a block
        PromptedFamily().fit(dataclasses.replace(job, params=coarse)).warm()
    with pytest.raises(CandidateError, match=r"at most 256 tokens .*received 4096"):
        PromptedFamily().fit(dataclasses.replace(job, params=PromptedParams(model=str(tiny), context=4096)))


def test_model_without_a_chat_template_is_refused(job, tiny_plain):
    with pytest.raises(CandidateError, match="chat template"):
        PromptedFamily().fit(dataclasses.replace(job, params=PromptedParams(model=str(tiny_plain))))


def test_rows_and_chats_are_asked_alike():
    prompt = Prompt(instruction="Answer.", target="answer", chat=True, system="Be brief.")
    shots = (Shot(text="1+1", answer="2"),)
    asked = prompt.turns("2+2", shots)
    assert [turn["role"] for turn in asked] == ["system", "user", "assistant", "user"]
    assert asked[1]["content"] == "Answer.\n\n1+1"
    assert prompt.around([{"role": "user", "content": "2+2"}], shots) == asked
    own = prompt.around([{"role": "system", "content": "Shout."}, {"role": "user", "content": "2+2"}])
    assert own == [
        {"role": "system", "content": "Be brief.\n\nShout."},
        {"role": "user", "content": "Answer.\n\n2+2"},
    ]


def test_a_row_may_hold_a_conversation():
    prompt = Prompt(instruction="", target="answer", chat=True)
    text = '[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes?"},{"role":"user","content":"Time?"}]'
    assert [turn["content"] for turn in prompt.turns(text)] == ["Hi", "Yes?", "Time?"]
    table = pl.DataFrame({"q": [text]})
    assert prompt.turns(row_texts(table, ["q"], None)[0]) == [{"role": "user", "content": text}]
    assert len(prompt.turns(row_texts(table, ["q"], None, {"q"})[0])) == 3
