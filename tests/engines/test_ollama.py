"""Tests for `bakeoff.engines.ollama`: Go templates that write what the model's own template writes."""

import pytest

from bakeoff.chat.template import ChatTemplate
from bakeoff.core.errors import DataError
from bakeoff.engines.ollama import modelfile, pieces_of

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}" + CHATML
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
COUNTING = "{% for message in messages %}[{{ loop.index }} {{ message['role'] }}]{{ message['content'] }}{% endfor %}"
LOUD = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] | upper }}\n{% endfor %}"
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]


@pytest.mark.parametrize("text", [CHATML, WITH_DEFAULT, LLAMA])
def test_pieces_make_what_the_template_makes(text: str) -> None:
    template = ChatTemplate(text, tokens={"bos_token": "<s>"})
    pieces = pieces_of(template, bos="<s>")
    assert pieces.render(TURNS) == template.render(TURNS, answer=True).removeprefix("<s>")
    assert pieces.default == ("You are kind." if text == WITH_DEFAULT else None)
    for piece in (*pieces.system, pieces.user, pieces.answer, pieces.after):
        assert piece in pieces.template


@pytest.mark.parametrize("text", [COUNTING, LOUD])
def test_a_template_that_does_more_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"same pieces around each turn|shows each turn"):
        pieces_of(ChatTemplate(text))


def test_a_modelfile_has_what_was_measured() -> None:
    pieces = pieces_of(ChatTemplate(WITH_DEFAULT))
    text = modelfile(
        pieces,
        weights="model.gguf",
        adapter="adapter.gguf",
        before=TURNS[:3],
        stop="<|im_end|>",
        context=8192,
        max_new_tokens=64,
    )
    lines = text.splitlines()
    assert lines[:2] == ["FROM ./model.gguf", "ADAPTER ./adapter.gguf"]
    assert 'SYSTEM """Be brief."""' in lines
    assert 'MESSAGE user """Hi"""' in lines
    assert lines[-4:-1] == ['PARAMETER stop """<|im_end|>"""', "PARAMETER num_ctx 8192", "PARAMETER num_predict 64"]
    plain = modelfile(pieces, weights="model.gguf", adapter=None, before=[], stop=None, context=2048, max_new_tokens=64)
    assert 'SYSTEM """You are kind."""' in plain
    with pytest.raises(DataError, match="three quotes"):
        modelfile(
            pieces,
            weights="model.gguf",
            adapter=None,
            before=[{"role": "system", "content": 'Say """hi""".'}],
            stop=None,
            context=2048,
            max_new_tokens=64,
        )
