"""llama.cpp against the reference: the same tokens, the same log-probabilities, the same answers."""

import gc
import importlib.util
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("xllamacpp")

from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.errors import CandidateError, ContextLengthError, DataError, OptionError
from bakeoff.core.generation import Sampling, ToolCall
from bakeoff.engines.fidelity import PROMPTS, TOLERANCES, compare, require
from bakeoff.engines.llamacpp import LlamaCppEngine, _pieces
from bakeoff.engines.reference import ReferenceEngine, ReferenceSession, _weighed
from bakeoff.testing.engines import EngineConformance

ASKED = [{"role": "user", "content": "what is the capital of france 123"}]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def reference(tiny_model, cache):
    return ReferenceEngine().open(tiny_model, threads=1, cache=cache, context=256)


@pytest.fixture(scope="module")
def served(tiny_model, cache):
    session = LlamaCppEngine().open(tiny_model, threads=1, cache=cache, context=256, parallel=2, quantisation="f32")
    yield session
    session.close()


def text_of(pieces) -> str:
    return "".join(piece.text for piece in pieces)


def test_both_read_a_prompt_as_the_same_tokens(reference, served):
    for text in ("hello", "  12345, it's naïve 日本 👩‍👧 עברית\n\n", "<|im_end|> is no end here?", "\ttab\r\n"):
        messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]
        assert served.render(messages) == reference.render(messages)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_converted_weights_say_what_the_trained_ones_say(kind, tmp_path, make_model):
    model = make_model(tmp_path / "model", kind)
    served = LlamaCppEngine().open(model, threads=1, cache=tmp_path, context=256, parallel=1, quantisation="f32")
    try:
        found = compare(ReferenceSession(model, None, threads=1, context=256), served, tolerance=0.02)
    finally:
        served.close()
    assert found.holds, found.diverges
    assert found.tokens > 5
    assert found.max_gap < 0.05


def test_the_token_that_ends_an_answer_is_none_of_its_tokens(served):
    end = served._words.end
    asked = Sampling(max_tokens=8, top_logprobs=1, logit_bias={end: 100.0})
    (last,) = served.chat(ASKED, asked)
    assert (last.finish, last.tokens, last.text) == ("stop", (), "")


def test_a_coarser_quantisation_is_a_smaller_file(served, tiny_model, cache):
    coarse = LlamaCppEngine().open(
        tiny_model, threads=1, cache=cache, context=256, parallel=1, quantisation=LlamaCppEngine.quantisations[5]
    )
    try:
        assert LlamaCppEngine.quantisations[5] == "q5_0"
        assert 0 < coarse.weights_bytes < served.weights_bytes
        assert coarse.render(ASKED) == served.render(ASKED)
    finally:
        coarse.close()


def test_adapter_is_served_and_missing_it_is_seen(tiny_model, tiny_adapter, cache):
    engine = LlamaCppEngine()
    trained = ReferenceSession(tiny_model, tiny_adapter, threads=1, context=256)
    with_adapter = engine.open(
        tiny_model, adapter=tiny_adapter, threads=1, cache=cache, context=256, parallel=1, quantisation="f32"
    )
    found = compare(trained, with_adapter, tolerance=0.02)
    with_adapter.close()
    assert found.holds, found.diverges
    without = engine.open(tiny_model, threads=1, cache=cache, context=256, parallel=1, quantisation="f32")
    found = compare(trained, without, tolerance=0.02)
    without.close()
    assert not found.holds
    with pytest.raises(CandidateError, match=r"token \d+ of the answer"):
        require(found, "llamacpp")


def test_other_template_is_seen_with_the_first_token_that_differs(tiny_model, served, tmp_path):
    import shutil

    shutil.copytree(tiny_model, tmp_path / "other")
    template = tmp_path / "other" / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n", "helper\n"))
    found = compare(ReferenceSession(tmp_path / "other", None, threads=1, context=256), served, tolerance=0.02)
    assert "of the prompt is" in found.diverges
    assert "'hel" in found.diverges or "'h" in found.diverges


def test_damaged_weights_are_seen(tiny_model, cache, tmp_path, make_model):
    other = make_model(tmp_path / "model", seed=7)
    served = LlamaCppEngine().open(other, threads=1, cache=cache, context=256, parallel=1, quantisation="f32")
    found = compare(ReferenceSession(tiny_model, None, threads=1, context=256), served, tolerance=0.1)
    served.close()
    assert not found.holds


def test_greedy_answers_agree_and_are_counted(reference, served):
    sampling = Sampling(max_tokens=8)
    ours, theirs = list(reference.chat(ASKED, sampling)), list(served.chat(ASKED, sampling))
    assert ours[-1].prompt_tokens == theirs[-1].prompt_tokens == len(reference.render(ASKED))
    assert {ours[-1].finish, theirs[-1].finish} <= {"stop", "length"}
    assert ours[-1].completion_tokens == theirs[-1].completion_tokens == 8


@pytest.mark.parametrize("which", ["reference", "served"])
def test_session_limits_and_stops(which, request):
    session = request.getfixturevalue(which)
    pieces = list(session.chat(ASKED, Sampling(max_tokens=3, top_logprobs=2)))
    assert all(len(token.top) == 2 for piece in pieces for token in piece.tokens)
    assert pieces[-1].finish in {"stop", "length"}
    drawn = [text_of(session.chat(ASKED, Sampling(max_tokens=6, temperature=1.0, seed=3))) for _ in range(2)]
    assert drawn[0] == drawn[1]
    with pytest.raises(ContextLengthError, match="at most 256 tokens"):
        list(session.chat([{"role": "user", "content": "cat " * 600}], Sampling()))
    broken_off = session.chat(ASKED, Sampling(max_tokens=200, temperature=2.0))
    next(broken_off)
    broken_off.close()
    assert text_of(session.chat(ASKED, Sampling(max_tokens=2))) is not None


def test_stop_string_ends_the_reference_answer(reference):
    whole = text_of(reference.chat(ASKED, Sampling(max_tokens=12)))
    stop = whole[3:5]
    cut = text_of(reference.chat(ASKED, Sampling(max_tokens=12, stop=(stop,))))
    assert cut == whole[: whole.index(stop)]


def test_schema_gives_json_of_that_shape(served):
    import json

    schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}}, "required": ["a"]}
    schema["additionalProperties"] = False
    said = text_of(served.chat(ASKED, Sampling(max_tokens=100, json_schema=schema)))
    assert isinstance(json.loads(said)["a"], int)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {"type": "object"}}, "at #: it does not know not"),
        ({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True}, "uniqueItems"),
        (
            {"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 5}}},
            "at #/properties/a: .*multipleOf",
        ),
        (
            {"$defs": {"x": {"type": "number", "exclusiveMinimum": 0}}, "$ref": "#/$defs/x"},
            "exclusiveMinimum of numbers",
        ),
        ({"anyOf": [{"type": "null"}, {"type": ["string", "number"], "maximum": 3}]}, "at #/anyOf/1: .*maximum of"),
        # These are as many words of grammar that llama.cpp cannot read: it would answer freely, with 200.
        (
            {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=a)b$"}}, "required": ["a"]},
            "no grammar",
        ),
        ({"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}, "required": ["a"]}, "no grammar"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 100_000}, "no grammar"),
        ({"anyOf": []}, "no grammar"),
    ],
)
def test_a_schema_that_would_not_hold_is_refused(served, schema, why):
    with pytest.raises(OptionError, match=rf"response_format: expected a JSON schema that .*{why}"):
        list(served.chat(ASKED, Sampling(max_tokens=20, json_schema=schema)))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"multipleOf": {"type": "string"}, "not": {"type": "null"}}},
        {"type": "array", "items": {"type": "integer", "minimum": 2, "maximum": 7}},
        {"enum": ["Q", "Quite"]},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^Q+$"}}, "required": ["a"]},
        {"type": ["string", "null"], "maxLength": 5},
        {},
    ],
)
def test_a_schema_that_holds_is_taken(served, schema):
    assert list(served.chat(ASKED, Sampling(max_tokens=5, json_schema=schema)))


def test_reference_refuses_a_schema(reference):
    with pytest.raises(OptionError, match="response_format"):
        list(reference.chat(ASKED, Sampling(json_schema={"type": "object"})))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("frequency_penalty", 2.0),
        ("frequency_penalty", 0.7),
        ("logit_bias", {21: -100.0}),
        ("logit_bias", {60: 100.0}),
    ],
)
def test_penalties_and_biases_are_the_same_in_both(reference, served, option, value):
    """llama.cpp counts the prompt's tokens too; only those of the answer may count."""
    plain = text_of(reference.chat(ASKED, Sampling(max_tokens=40)))
    ours, theirs = (
        text_of(session.chat(ASKED, Sampling(max_tokens=40, **{option: value}))) for session in (reference, served)
    )
    assert ours[:20] == theirs[:20]
    assert ours != plain


def test_a_frequency_penalty_counts_each_time_and_a_presence_penalty_once():
    import torch

    sampling = Sampling(frequency_penalty=0.5, presence_penalty=2.0, logit_bias={1: 10.0, 99: 1.0})
    weighed = _weighed(torch.zeros(4), [2, 2, 2, 3], sampling)  # no token 99: there is nothing to weigh
    assert weighed.tolist() == [0.0, 10.0, -3.5, -2.5]


@pytest.mark.parametrize("which", ["reference", "served"])
@pytest.mark.parametrize("only", [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 0.0}])
def test_limits_of_drawing_leave_the_likeliest(which, only, request):
    session = request.getfixturevalue(which)
    likeliest = text_of(session.chat(ASKED, Sampling(max_tokens=6)))
    assert text_of(session.chat(ASKED, Sampling(max_tokens=6, temperature=2.0, **only))) == likeliest


@pytest.mark.parametrize("which", ["reference", "served"])
def test_without_a_seed_each_call_draws_anew(which, request):
    session = request.getfixturevalue(which)

    def drawn(seed) -> str:
        return text_of(session.chat(ASKED, Sampling(max_tokens=8, temperature=1.5, seed=seed)))

    assert len({drawn(None) for _ in range(3)}) == 3
    for seed in (0, -1, 2**40):
        assert drawn(seed) == drawn(seed)


@pytest.mark.parametrize("which", ["reference", "served"])
def test_logprobs_without_alternatives_are_given(which, request):
    pieces = list(request.getfixturevalue(which).chat(ASKED, Sampling(max_tokens=48, top_logprobs=0)))
    tokens = [token for piece in pieces for token in piece.tokens]
    assert tokens
    assert all(token.top == () and token.logprob < 0 for token in tokens)


@pytest.mark.parametrize("which", ["reference", "served"])
def test_no_piece_holds_the_beginning_of_a_stop_text(which, request):
    session = request.getfixturevalue(which)
    whole = text_of(session.chat(ASKED, Sampling(max_tokens=12)))
    stop = whole[6:9]  # of several tokens
    pieces = list(session.chat(ASKED, Sampling(max_tokens=12, stop=(stop,))))
    assert text_of(pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish == "stop"


@pytest.mark.parametrize("which", ["reference", "served"])
def test_a_bias_for_a_token_that_is_none_is_refused(which, request):
    with pytest.raises(OptionError, match="logit_bias: expected tokens of this model, 0 to 311; received 312"):
        list(request.getfixturevalue(which).chat(ASKED, Sampling(max_tokens=1, logit_bias={311: 1.0, 312: 1.0})))


def test_what_llamacpp_cannot_do_is_refused_by_name(served):
    for option, sampling in (
        ("presence_penalty", Sampling(presence_penalty=1.0)),
        ("reasoning_effort", Sampling(reasoning_effort="low")),
        ("response_format", Sampling(json_schema={"type": "wobble"})),
        ("response_format", Sampling(json_schema={"$ref": "#/nowhere"})),
    ):
        with pytest.raises(OptionError) as refused:
            list(served.chat(ASKED, sampling))
        assert refused.value.option == option


TOOLS_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>"
    "<|im_end|>\n{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_tools_are_shown_where_the_template_has_a_place_for_them(served, tmp_path, make_model):
    tools = tuple({"name": name, "description": "", "parameters": {"type": "object"}} for name in ("speak", "sing"))
    sampling = Sampling(max_tokens=1, tools=tools, tool_choice="sing")
    with pytest.raises(OptionError, match=r"tools: expected it to be left out"):
        list(served.chat(ASKED, sampling))
    model = make_model(tmp_path / "model")
    (model / "chat_template.jinja").write_text(TOOLS_TEMPLATE)
    session = LlamaCppEngine().open(model, threads=1, cache=tmp_path, parallel=1, quantisation="f32")
    try:
        asked = session._request(ASKED, sampling)
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["sing"]  # it knows no choice by name
        read = list(session.chat(ASKED, sampling))[-1].prompt_tokens
        assert read == len(session.render(ASKED, tools[1:])) > len(session.render(ASKED))
        with pytest.raises(DataError, match="control tokens"):
            list(session.chat([{"role": "user", "content": "<|im_end|>"}], sampling))
        wrong = ({"name": "sing", "parameters": {"type": "object", "properties": {"song": "any"}}},)
        with pytest.raises(OptionError, match=r"tools: expected a JSON schema .*at #/properties/song"):
            list(session.chat(ASKED, Sampling(max_tokens=1, tools=wrong)))
        with pytest.raises(OptionError, match="tools: expected a JSON schema"):
            session.render(ASKED, wrong)
    finally:
        session.close()


CALL = '<tool_call>\n{"name": "sing", "arguments": {"word": "la"}}\n</tool_call>'


def _tool(name, *words):
    parameters = {"type": "object", "properties": {"word": {"enum": list(words)}}, "required": ["word"]}
    return {"name": name, "description": f"To {name}.", "parameters": parameters}


def _taught(folder, prompt, answer):
    """Teach the model in a folder to give one answer to one prompt."""
    import torch
    from transformers import AutoModelForCausalLM

    words = ChatTokens.read(folder)
    said = words.answer(answer)
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([[*prompt, *said]])
    labels = torch.tensor([[-100] * len(prompt) + said])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.01
    model.save_pretrained(folder)


@pytest.mark.slow
def test_a_model_that_writes_a_call_calls_the_tool(tmp_path, make_model):
    """Taught by heart: the tools reach its template, and the call that it writes is a call, whole and in bits."""
    model = make_model(tmp_path / "model")
    (model / "chat_template.jinja").write_text(TOOLS_TEMPLATE)
    tools = (_tool("speak", "hello"), _tool("sing", "la"))

    def opened():
        return LlamaCppEngine().open(model, threads=1, cache=tmp_path, parallel=1, quantisation="f32")

    session = opened()
    prompt = session.render(ASKED, tools)
    session.close()
    _taught(model, prompt, CALL)
    session = opened()
    try:
        for choice in ("auto", "required"):
            pieces = list(session.chat(ASKED, Sampling(max_tokens=100, tools=tools, tool_choice=choice)))
            (call,) = ToolCall.joined(bit for piece in pieces for bit in piece.calls)
            assert (call.name, json.loads(call.arguments)) == ("sing", {"word": "la"})
            assert call.id
            assert (text_of(pieces).strip(), pieces[-1].finish) == ("", "tool_calls")
            assert pieces[-1].prompt_tokens == len(prompt)
        called = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "sing"}}]}
        called["tool_calls"][0]["function"]["arguments"] = '{"word": "<|im_end|>"}'
        with pytest.raises(DataError, match="control tokens"):
            list(session.chat([*ASKED, called, ASKED[0]], Sampling(max_tokens=1, tools=tools)))
    finally:
        session.close()


def test_calls_of_tools_are_read_from_what_llamacpp_streams():
    def chunk(delta, finish=None):
        return {"choices": [{"delta": delta, "finish_reason": finish}]}

    def bit(arguments, **more):
        return {"tool_calls": [{"index": 0, **more, "function": {"arguments": arguments, **more.pop("of", {})}}]}

    chunks = [
        chunk(bit("", id="c1", of={"name": "sing"})),
        chunk(bit('{"n"')),
        chunk(bit(":1}")),
        chunk({}, "tool_calls"),
    ]
    pieces = list(_pieces(chunks, None))
    (call,) = ToolCall.joined(each for piece in pieces for each in piece.calls)
    assert (call.id, call.name, call.arguments, pieces[-1].finish) == ("c1", "sing", '{"n":1}', "tool_calls")


def test_answers_at_once_do_not_mix(served):
    alone = text_of(served.chat(ASKED, Sampling(max_tokens=6)))
    said: dict[int, str] = {}

    def ask(i: int) -> None:
        said[i] = text_of(served.chat(ASKED, Sampling(max_tokens=6)))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(said) == 6
    assert set(said.values()) == {alone}


def test_a_process_that_dies_is_an_error_and_the_next_call_starts_another(tiny_model, cache):
    session = LlamaCppEngine().open(tiny_model, threads=1, cache=cache, context=256, parallel=1, quantisation="f32")
    process = session._process._process
    try:
        whole = text_of(session.chat(ASKED, Sampling(max_tokens=6)))
        process.send_signal(signal.SIGSTOP)  # else so small a model may have answered before it dies
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        with pytest.raises(CandidateError, match=r"its process ended with -9; it is started again"):
            list(session.chat(ASKED, Sampling(max_tokens=200, seed=1, temperature=1.0)))
        killer.join()
        assert text_of(session.chat(ASKED, Sampling(max_tokens=6))) == whole
    finally:
        session.close()


def test_the_process_ends_with_its_session(tiny_model, cache):
    session = LlamaCppEngine().open(tiny_model, threads=1, cache=cache, context=256, parallel=1, quantisation="f32")
    process = session._process._process
    assert process.poll() is None
    del session
    gc.collect()
    assert process.wait(10) == 0


def test_llamacpp_is_not_loaded_into_the_process_that_serves(tiny_model, cache):
    LlamaCppEngine().open(tiny_model, threads=1, cache=cache, context=256, parallel=1, quantisation="f32").close()
    program = (
        "import sys, pathlib; from bakeoff.engines.llamacpp import LlamaCppEngine as E; "
        "s = E().open(pathlib.Path(sys.argv[1]), threads=1, cache=pathlib.Path(sys.argv[2]), context=256, parallel=1, "
        "quantisation='f32'); print(len(list(s.chat([{'role': 'user', 'content': 'x'}], __import__('bakeoff.core."
        "generation', fromlist=['Sampling']).Sampling(max_tokens=2)))) > 0, sorted({'xllamacpp', 'torch', "
        "'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(tiny_model), str(cache)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True []\n"


def test_broken_files_are_one_clear_error(tmp_path, cache):
    text = tmp_path / "model.gguf"
    text.write_text("not a model")
    with pytest.raises(CandidateError, match="expected a GGUF file"):
        LlamaCppEngine().open(text, threads=1, cache=cache)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(CandidateError, match=r"llama\.cpp can load"):
        LlamaCppEngine().open(cut, threads=1, cache=cache)


def test_unknown_architecture_and_quantisation_are_named(tiny_model, cache, tmp_path):
    import json
    import shutil

    shutil.copytree(tiny_model, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": "gpt_neox"}))
    with pytest.raises(CandidateError, match="gpt_neox"):
        LlamaCppEngine().open(tmp_path / "model", threads=1, cache=cache)
    with pytest.raises(CandidateError, match="q9_9"):
        LlamaCppEngine().open(tiny_model, threads=1, cache=cache, quantisation="q9_9")


def test_model_without_a_template_is_named(tiny_model, tmp_path):
    import shutil

    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    session = ReferenceSession(tmp_path / "model", None, threads=1, context=64)
    with pytest.raises(CandidateError, match="chat template"):
        session.render(ASKED)


def test_reference_embeds_to_length_one(reference):
    import numpy as np

    vectors = reference.embed(["the cat", "the dog", ""])
    assert vectors.shape == (3, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


class TestReference(EngineConformance):
    @pytest.fixture
    def engine(self):
        return ReferenceEngine()

    @pytest.fixture
    def model(self, tiny_model):
        return tiny_model


class TestLlamaCpp(TestReference):
    @pytest.fixture
    def engine(self):
        return LlamaCppEngine()


def _pages():
    spec = importlib.util.spec_from_file_location("pages", Path(__file__).parents[1] / "docs" / "test_extend.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    return pages


class TestHalf(_pages().suite("engine")):
    """The example of docs/extend/engine.md."""

    @pytest.fixture
    def model(self, tiny_model):
        return tiny_model

    def test_it_says_what_was_trained(self, engine, tiny_model, cache):
        """As before each release."""
        session = engine.open(tiny_model, threads=1, cache=cache, context=256)
        trained = ReferenceSession(tiny_model, None, threads=1, context=256)
        found = compare(trained, session, tolerance=TOLERANCES["bf16"], prompts=PROMPTS[:2])
        assert found.holds, found.diverges
        assert found.tokens + found.ends >= 8
