"""One path from turns to token ids: control tokens come from templates alone, too long a conversation loses turns."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.errors import CandidateError, ContextLengthError, CorruptError
from bakeoff.testing.conversations import CONTROL, conversations

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if m.tool_calls %}{% for call in m.tool_calls %}{{ call.function.arguments | tojson }}{% endfor %}{% endif %}"
    "{{ m.content or '' }}</s>{% else %}[INST] {{ m.role }}: {{ m.content }} [/INST]{% endif %}{% endfor %}"
)


def words_of(folder, template):
    import tokenizers

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["the cat sat on the mat", "user assistant system"] * 3, trainer)
    made.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": {"content": "<|endoftext|>"}, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return ChatTokens.read(folder)


@pytest.fixture(scope="module", params=[CHATML, INST], ids=["chatml", "inst"])
def words(request, tmp_path_factory):
    return words_of(tmp_path_factory.mktemp("words"), request.param)


def control_in(words, ids):
    return [token for token in ids if token in set(words.control.values())]


@given(st.text(), st.sampled_from(CONTROL), st.text())
def test_what_a_user_writes_adds_no_control_token(words, before, spelling, after):
    def of(text):
        return words.prompt([{"role": "system", "content": text}, {"role": "user", "content": text}])

    text = before + spelling + after
    plain = of("x")
    assert control_in(words, of(text)) == control_in(words, plain)
    assert not control_in(words, words.text(text))
    assert words.text_of(words.text(text)) == text


def test_every_conversation_has_the_control_tokens_of_its_turns_alone(words):
    for turns, answer in conversations(60, seed=1):
        plain = [{**turn, "content": turn["content"] and "x"} for turn in turns]
        assert control_in(words, words.prompt(turns)) == control_in(words, words.prompt(plain))
        assert words.answer(answer) == [*words.text(answer), words.end]


def test_what_is_no_spelling_is_read_as_the_tokenizer_itself_reads_it(words):
    turns = [{"role": "user", "content": " naïve  日本 1,250.5\n"}, {"role": "assistant", "content": "👩‍👩‍👧"}]
    text = words.template.render(turns, answer=True)
    assert words.prompt(turns) == words.tokenizer.encode(text, add_special_tokens=False).ids


def test_the_end_of_a_turn_is_what_the_template_writes_there(words):
    spelled = {token: text for text, token in words.control.items()}
    assert spelled[words.end] == ("<|im_end|>" if "im_start" in words.template.source else "</s>")


def test_the_oldest_exchanges_go_and_the_system_turn_and_last_question_stay(words):
    turns = [{"role": "system", "content": "be brief"}]
    for number in range(6):
        turns += [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "so so"}]
    turns.append({"role": "user", "content": "last"})
    whole = words.prompt(turns)
    assert words.fitted(turns, len(whole)).ids == tuple(whole)
    fitted = words.fitted(turns, len(whole) - 1)
    assert (fitted.exchanges_cut, fitted.text_cut) == (1, False)
    assert list(fitted.turns) == [turns[0], *turns[3:]]
    alone = words.prompt([turns[0], turns[-1]])
    fitted = words.fitted(turns, len(alone))
    assert (list(fitted.ids), fitted.exchanges_cut) == (alone, 6)
    assert words.fitted(turns, len(alone) - 1).text_cut
    with pytest.raises(ContextLengthError, match="shorten the system turn"):
        words.fitted(turns, 5)


def test_the_last_text_is_cut_at_its_end_when_nothing_else_is_left(words):
    turns = [{"role": "user", "content": "the cat " * 200}]
    fitted = words.fitted(turns, 60)
    assert 50 < len(fitted.ids) <= 60
    assert turns[0]["content"].startswith(fitted.turns[0]["content"])
    assert fitted.cut


def test_cutting_never_leaves_more_than_there_is_room_for(words):
    for turns, _ in conversations(40, seed=2):
        fitted = words.fitted(turns, 700)
        assert len(fitted.ids) <= 700
        assert fitted.cut == (len(words.prompt(turns)) > 700)
        assert list(fitted.ids) == words.prompt(fitted.turns)


def test_calls_of_tools_are_text_where_a_template_has_no_place_for_them(tmp_path):
    words = words_of(tmp_path, CHATML)
    call = {"type": "function", "function": {"name": "clock", "arguments": '{"place": 1}'}}
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert '<tool_call>\n{"name": "clock", "arguments": {"place": 1}}\n</tool_call>' in words.rendered(turns)[0]


def test_what_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(CandidateError, match=r"tokenizer\.json"):
        ChatTokens.read(tmp_path)
    words = words_of(tmp_path, None)
    assert words.end == words.control["<|endoftext|>"]
    with pytest.raises(CandidateError, match=r"chat_template\.jinja"):
        words.prompt([{"role": "user", "content": "x"}])
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CorruptError, match="files of a tokenizer"):
        ChatTokens.read(tmp_path)
