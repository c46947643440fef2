"""The OpenAI API with the official client, over a real socket."""

import contextlib
import json
import time
import urllib.error
import urllib.request

import msgspec
import pytest

from bakeoff.web.serving.chat_request import NO_EFFECT, ChatRequest

openai = pytest.importorskip("openai")


@pytest.fixture
def world(talk):
    return talk


def said(text: str) -> list[dict]:
    return [{"role": "system", "content": "Repeat."}, {"role": "user", "content": text}]


def test_whole_answer_is_logged_under_its_id(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("one two three"))
    assert answer.choices[0].message.content == "one two three "
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
    event = next(event for event in world.logged() if event.id == answer.id)
    assert event.value == "one two three "
    turns = [dict(turn) for turn in said("one two three")]
    assert json.loads(event.row["question"]) == turns


def test_lone_question_is_logged_as_a_row_of_the_dataset(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=[{"role": "user", "content": "Who?"}])
    event = next(event for event in world.logged() if event.id == answer.id)
    assert event.row == {"question": "Who?"}


def test_stream_comes_piece_by_piece_and_counts_when_asked(world):
    with world.client() as client:
        stream = client.chat.completions.create(
            model="talk", messages=said("a b c"), stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "a b c "
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 10
    assert len({chunk.id for chunk in chunks}) == 1
    assert any(event.id == chunks[0].id for event in world.logged())


def test_first_words_arrive_before_the_last_are_made(world):
    world.model.pause.clear()
    try:
        with world.client() as client:
            stream = iter(client.chat.completions.create(model="talk", messages=said("now later"), stream=True))
            assert next(stream).choices[0].delta.role == "assistant"
            assert next(stream).choices[0].delta.content == "now "
            world.model.pause.set()
            assert next(chunk.choices[0].delta.content for chunk in stream) == "later "
    finally:
        world.model.pause.set()


def test_reader_that_goes_away_stops_the_model_and_what_was_said_is_logged(world):
    world.model.closed.clear()
    text = " ".join(f"w{i}" for i in range(40))
    with world.client() as client:
        stream = client.chat.completions.create(model="talk", messages=said(text), stream=True)
        first = next(iter(stream))
        stream.close()
    assert world.model.closed.wait(10)
    deadline = time.monotonic() + 10
    while not any(event.id == first.id for event in world.logged()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert any(event.id == first.id for event in world.logged())


def test_logprobs_limits_and_schema_reach_the_model(world):
    with world.client() as client:
        answer = client.chat.completions.create(
            model="talk",
            messages=said("one two three"),
            max_tokens=2,
            logprobs=True,
            top_logprobs=1,
            stop="END",
            seed=5,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        )
    assert answer.choices[0].finish_reason == "length"
    assert [token.token for token in answer.choices[0].logprobs.content] == ["one", "two"]
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].logprob == -1.0
    sampling = world.model.asked[-1]
    assert (sampling.max_tokens, sampling.stop, sampling.seed) == (2, ("END",), 5)
    assert sampling.json_schema == {"type": "object"}


def test_models_lists_the_endpoint(world):
    with world.client() as client:
        assert [model.id for model in client.models.list()] == ["talk"]


def test_feedback_finds_the_answer(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("hello"))
    body = json.dumps({"items": [{"id": answer.id, "rating": -1, "correction": "Hello to you."}]}).encode()
    request = urllib.request.Request(
        f"{world.server.url}/feedback", body, {"content-type": "application/json"}, method="POST"
    )
    with contextlib.closing(urllib.request.urlopen(request, timeout=10)) as response:
        assert json.load(response)["accepted"] == 1


BAD = [
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_value"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_type"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]", "invalid_value"),
    ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood", "unknown_parameter"),
    ({"messages": "hello"}, "messages", "invalid_type"),
    ({"n": 0}, "n", "invalid_value"),
    ({"n": 17}, "n", "invalid_value"),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_type"),
    ({"top_p": -0.1}, "top_p", "invalid_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": 2.5}, "max_tokens", "invalid_type"),
    ({"max_tokens": 2, "max_completion_tokens": 3}, "max_tokens", "invalid_value"),
    ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
    ({"logprobs": 3}, "logprobs", "invalid_type"),
    ({"frequency_penalty": 2.1}, "frequency_penalty", "invalid_value"),
    ({"presence_penalty": -3}, "presence_penalty", "invalid_value"),
    ({"logit_bias": {"the": 1}}, "logit_bias.the", "invalid_value"),
    ({"logit_bias": {"7": 101}}, "logit_bias.7", "invalid_value"),
    ({"logit_bias": [1]}, "logit_bias", "invalid_type"),
    ({"seed": 1.5}, "seed", "invalid_type"),
    ({"stop": ""}, "stop", "invalid_value"),
    ({"stop": ["a", ""]}, "stop", "invalid_value"),
    ({"stop": 3}, "stop", "invalid_type"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "invalid_value"),
    ({"stream_options": {"every": 1}}, "stream_options.every", "unknown_parameter"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_type"),
    ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "invalid_value"),
    ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
    ({"function_call": {"name": "f"}}, "function_call", "unsupported_parameter"),
    ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
    ({"audio": {"voice": "x"}}, "audio", "unsupported_parameter"),
    ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
    ({"verbosity": "low"}, "verbosity", "unsupported_parameter"),
    ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
    ({"extra_body": {"top_k": -2}}, "top_k", "invalid_value"),
    ({"extra_body": {"min_p": 2}}, "min_p", "invalid_value"),
    ({"extra_body": {"repetition_penalty": 1.1}}, "repetition_penalty", "unsupported_parameter"),
    ({"extra_body": {"best_of": 2}}, "best_of", "unknown_parameter"),
    ({"extra_body": {"temprature": 0.5}}, "temprature", "unknown_parameter"),
]


@pytest.mark.parametrize(("change", "param", "code"), BAD)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_had_is_refused_by_name(world, change, param, code, stream):
    with world.client() as client, pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "talk", "messages": said("x"), "stream": stream, **change})
    error = refused.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert error.body["message"].startswith(f"{param}: expected ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role: expected assistant or developer or"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type: expected function; received 'web_search'"),
        ({"response_format": {"type": "xml"}}, "response_format.type: expected json_object or json_schema or text; re"),
    ],
)
def test_a_value_that_is_none_of_some_is_told_with_them(world, change, message):
    status, body = posted(world, "/v1/chat/completions", json.dumps({"messages": said("x")} | change).encode())
    assert status == 400
    assert message in body["error"]["message"]


def test_a_misspelt_option_has_the_nearest_name(world):
    with world.client() as client, pytest.raises(openai.BadRequestError, match="did you mean 'temperature'"):
        client.chat.completions.create(model="talk", messages=said("x"), extra_body={"temprature": 0.5})


def test_options_without_effect_are_taken(world):
    values = {
        "user": "ann",
        "metadata": {"a": "b"},
        "store": True,
        "service_tier": "flex",
        "safety_identifier": "x",
        "prompt_cache_key": "y",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "implicit"},
        "prediction": {"type": "content", "content": "one"},
    }
    assert set(values) == set(NO_EFFECT)
    fine = {
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "modalities": ["text"],
        "verbosity": "medium",
        "reasoning_effort": "none",
    }
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("one"), extra_body={**values, **fine})
    assert answer.choices[0].message.content == "one "


def test_null_is_the_same_as_nothing(world):
    fields = [field.name for field in msgspec.structs.fields(ChatRequest) if field.name != "messages"]
    with world.client() as client:
        answer = client.chat.completions.create(
            model="talk", messages=said("one"), extra_body=dict.fromkeys(fields, None)
        )
    assert answer.choices[0].message.content == "one "


def test_all_that_is_chosen_reaches_the_model(world):
    chosen = {"temperature": 0.5, "top_p": 0.9, "frequency_penalty": 1.0, "presence_penalty": -1.0, "seed": -3}
    with world.client() as client:
        client.chat.completions.create(
            model="talk",
            messages=said("one"),
            max_completion_tokens=7,
            stop=["a", "b"],
            logit_bias={"50256": -100},
            extra_body={"top_k": 4, "min_p": 0.1},
            **chosen,
        )
    sampling = world.model.asked[-1]
    assert {name: getattr(sampling, name) for name in chosen} == chosen
    assert (sampling.max_tokens, sampling.stop, sampling.logit_bias) == (7, ("a", "b"), {50256: -100})
    assert (sampling.top_k, sampling.min_p) == (4, 0.1)


def test_without_a_seed_none_is_made_up(world):
    with world.client() as client:
        client.chat.completions.create(model="talk", messages=said("one"), temperature=1)
    assert world.model.asked[-1].seed is None


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_have_seeds_and_prediction_ids_of_their_own(world, stream):
    before = len(world.model.asked)
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("a b"), n=3, seed=5, **options)
        chunks = list(answer) if stream else [answer]
    texts = {0: "", 1: "", 2: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += (choice.delta if stream else choice.message).content or ""
    assert texts == dict.fromkeys(range(3), "a b ")
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (7, 6)
    assert [sampling.seed for sampling in world.model.asked[before:]] == [5, 6, 7]
    answer_id = chunks[0].id
    logged = [event.id for event in world.logged()][-3:]
    assert logged == [answer_id, f"{answer_id}-1", f"{answer_id}-2"]


def test_caller_that_goes_away_stops_an_answer_that_is_not_streamed(world):
    world.model.closed.clear()
    world.model.pause.clear()
    try:
        with world.client() as client, pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.3).chat.completions.create(
                model="talk", messages=said(" ".join(f"w{i}" for i in range(40)))
            )
        deadline = time.monotonic() + 10
        while world.model.paused < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)  # until it was looked whether the caller is there
        world.model.pause.set()
        assert world.model.closed.wait(10)
        assert world.model.given < 40
    finally:
        world.model.pause.set()


@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_the_status_and_the_code_of_the_api(world, stream):
    def error_of(words: str, model: str = "talk") -> Exception:
        with world.client() as client, pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(model=model, messages=said(words), stream=stream)
        return raised.value

    cases = (
        (error_of("x", model="other"), 404, "model", "model_not_found", "invalid_request_error"),
        (error_of("x " * 60), 400, "messages", "context_length_exceeded", "invalid_request_error"),
        (error_of("break upstream"), 502, None, "upstream_error", "server_error"),
        (error_of("break refuse"), 400, None, "upstream_refused", "invalid_request_error"),
        (error_of("break disk"), 503, None, "unavailable", "server_error"),
    )
    for error, status, param, code, kind in cases:
        assert (error.status_code, error.param, error.code, error.type) == (status, param, code, kind)
    assert "free space" in str(cases[-1][0])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"messages": [{"role": "user", "content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
        b'{"metadata": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b', "messages": []}',
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
    ],
)
def test_what_is_no_request_is_told_in_the_form_of_the_api(world, body):
    status, answer = posted(world, "/v1/chat/completions", body)
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert "defect" not in answer["error"]["message"]


def posted(world, path: str, body: bytes):
    request = urllib.request.Request(f"{world.server.url}{path}", body, {"content-type": "application/json"})
    try:
        with contextlib.closing(urllib.request.urlopen(request, timeout=10)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_model_by_its_name_and_another(world):
    with world.client() as client:
        assert client.models.retrieve("talk").id == "talk"
        assert client.get("/models/", cast_to=object)["object"] == "list"
        with pytest.raises(openai.NotFoundError) as raised:
            client.models.retrieve("other")
    assert (raised.value.param, raised.value.code) == ("model", "model_not_found")


@pytest.fixture
def aliased(world):
    """The endpoint with names beside its own."""
    made = type(world)(model_names=("gpt-4o-mini", "org/small"))
    with made.server:
        yield made


def test_the_model_has_the_other_names_that_the_project_gives_it(aliased):
    with aliased.client() as client:
        assert [model.id for model in client.models.list()] == ["talk", "gpt-4o-mini", "org/small"]
        assert client.models.retrieve("org/small").id == "org/small"
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=said("one"))
        assert (answer.choices[0].message.content, answer.model) == ("one ", "talk")
        with pytest.raises(openai.NotFoundError, match="'talk' or 'gpt-4o-mini' or 'org/small', received 'gpt-4o'"):
            client.chat.completions.create(model="gpt-4o", messages=said("one"))


def test_a_star_is_whatever_callers_like(world):
    made = type(world)(model_names=("*",))
    with made.server, made.client() as client:
        assert [model.id for model in client.models.list()] == ["talk"]
        assert client.responses.create(model="gpt-5.4", input="one").output_text == "one "


def test_tokens_of_a_response_are_counted_before_it_is_wanted(world):
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
    with world.client() as client:
        counted = client.responses.input_tokens.count(
            model="talk", instructions="Be brief.", input="a b c", tools=[tool]
        )
        assert (counted.input_tokens, counted.object) == (15, "response.input_tokens")
        with pytest.raises(openai.NotFoundError):
            client.responses.input_tokens.count(model="other", input="a")


def test_answers_have_all_that_the_types_of_the_client_require(world):
    options = {"base_url": f"{world.server.url}/v1", "api_key": "none", "max_retries": 0}
    with openai.OpenAI(**options, _strict_response_validation=True) as client:
        client.chat.completions.create(model="talk", messages=said("one two"), logprobs=True, top_logprobs=1)
        list(client.chat.completions.create(model="talk", messages=said("one two"), logprobs=True, stream=True))
        client.completions.create(model="talk", prompt="one two", logprobs=1)
        client.responses.create(model="talk", input="one two", include=["message.output_text.logprobs"])
        tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
        client.responses.create(model="talk", input="call one", tools=[tool])
        with client.responses.stream(model="talk", input="one two", tools=[tool]) as stream:
            assert stream.get_final_response().status == "completed"
        client.models.retrieve("talk")


def test_what_a_response_may_hold_is_taken_where_it_never_does(world):
    with world.client() as client:
        client.responses.create(model="talk", input="x", include=["file_search_call.results"])


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/chat/completions", "is it '/v1/chat/completions'? look at the base URL"),
        ("/v1/v1/chat/completions", "is it '/v1/chat/completions'? look at the base URL"),
        ("/v1/audio/speech", "GET / tells what is served"),
    ],
)
def test_a_path_that_is_not_there_has_the_near_one(world, path, hint):
    status, body = posted(world, path, b"{}")
    assert status == 404
    assert f"received '{path}'" in body["error"]["message"]
    assert hint in body["error"]["message"]


def test_a_method_that_is_not_taken_has_the_one_that_is(world):
    status, body = posted(world, "/v1/models", b"{}")
    assert (status, body["error"]["message"]) == (405, "expected GET or HEAD at /v1/models, received POST")


def test_a_mark_of_byte_order_is_no_part_of_json(world):
    body = json.dumps({"messages": said("one")}).encode("utf-8-sig")
    status, answer = posted(world, "/v1/chat/completions", body)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "one ")


def test_a_history_with_tools_is_taken_whole(world):
    call = {"id": "c1", "type": "function", "function": {"name": "area", "arguments": '{"city": "Ghent"}'}}
    history = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "How large?", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "156 km2"}]},
        {"role": "assistant", "content": None, "refusal": "I may not say."},
        {"role": "assistant", "content": None, "function_call": None, "audio": None, "annotations": []},
        {"role": "user", "content": "So?"},
    ]
    with world.client() as client:
        client.chat.completions.create(model="talk", messages=history)
    told = '<tool_call>{"name": "area", "arguments": "{\\"city\\": \\"Ghent\\"}"}</tool_call>'
    assert [(turn["role"], turn["content"]) for turn in world.model.messages] == [
        ("system", "Be brief."),
        ("user", "How large?"),
        ("assistant", told),
        ("tool", "156 km2"),
        ("assistant", "I may not say."),
        ("assistant", ""),
        ("user", "So?"),
    ]


def test_an_answer_can_be_sent_back_as_it_came(world):
    with world.client() as client:
        first = client.chat.completions.create(model="talk", messages=said("one"))
        turns = [*said("one"), first.choices[0].message, {"role": "user", "content": "two"}]
        again = client.chat.completions.create(model="talk", messages=turns)
    assert again.choices[0].message.content == "two "


def test_logprobs_without_alternatives_are_given(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("one two"), logprobs=True)
    tokens = answer.choices[0].logprobs.content
    assert [(token.token, token.logprob, token.top_logprobs) for token in tokens] == [
        ("one", -0.5, []),
        ("two", -0.5, []),
    ]


def test_streams_leave_the_other_calls_their_threads(world):
    world.model.pause.clear()
    streams = []
    try:
        with world.client() as client:
            for _ in range(20):
                stream = iter(client.chat.completions.create(model="talk", messages=said("now later"), stream=True))
                assert next(stream).choices[0].delta.role == "assistant"
                streams.append(stream)
            items = json.dumps({"items": [{"id": "none", "rating": 1}]}).encode()
            began = time.monotonic()
            assert posted(world, "/feedback", items)[0] == 200
            assert time.monotonic() - began < 5
            world.model.pause.set()
            assert all("later " in [chunk.choices[0].delta.content for chunk in stream] for stream in streams)
    finally:
        world.model.pause.set()


def test_text_parts_are_joined(world):
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "one two "


# --- tools ------------------------------------------------------------------------------------

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("speak", "sing")
]


def test_tools_are_called_whole_and_logged(world):
    with world.client() as client:
        answer = client.chat.completions.create(model="talk", messages=said("call one two"), tools=TOOLS)
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert calls == [("call_0", "speak", '{"say": "one"}'), ("call_1", "sing", '{"say": "two"}')]
    event = next(event for event in world.logged() if event.id == answer.id)
    assert event.value.count("<tool_call>") == 2


def test_tools_are_called_in_a_stream(world):
    with (
        world.client() as client,
        client.chat.completions.stream(model="talk", messages=said("call one two"), tools=TOOLS) as stream,
    ):
        message = stream.get_final_completion().choices[0].message
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    assert calls == [("call_0", "speak", '{"say": "one"}'), ("call_1", "sing", '{"say": "two"}')]


def test_results_of_tools_keep_their_place_where_tools_are_given(world):
    call = {"id": "c1", "type": "function", "function": {"name": "speak", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "Speak."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    with world.client() as client:
        client.chat.completions.create(model="talk", messages=history, tools=TOOLS)
    assert world.model.messages[1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "c1"},
    ]


@pytest.mark.parametrize(
    ("options", "choice", "tools", "parallel"),
    [
        ({}, "auto", ["speak", "sing"], True),
        ({"tool_choice": "required", "parallel_tool_calls": False}, "required", ["speak", "sing"], False),
        ({"tool_choice": {"type": "function", "function": {"name": "sing"}}}, "sing", ["speak", "sing"], True),
        ({"tool_choice": "none"}, "auto", [], True),
    ],
)
def test_the_choice_of_a_tool_reaches_the_model(world, options, choice, tools, parallel):
    with world.client() as client:
        client.chat.completions.create(model="talk", messages=said("one"), tools=TOOLS, **options)
    sampling = world.model.asked[-1]
    assert (sampling.tool_choice, sampling.parallel_tools) == (choice, parallel)
    assert [tool["name"] for tool in sampling.tools] == tools


# --- completions ------------------------------------------------------------------------------


def test_a_prompt_is_completed_as_a_question(world):
    with world.client() as client:
        answer = client.completions.create(model="talk", prompt="one two three", max_tokens=2, logprobs=1, n=2)
        chunks = list(client.completions.create(model="talk", prompt="one two", stream=True))
    assert [choice.text for choice in answer.choices] == ["one two "] * 2
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].logprobs.tokens == ["one", "two"]
    assert answer.choices[0].logprobs.top_logprobs == [{"x": -1.0}] * 2
    assert answer.usage.total_tokens == 7 + 4
    assert world.model.messages == [{"role": "user", "content": "one two"}]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one two "
    assert any(event.id == chunks[0].id for event in world.logged())


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": [1, 2]}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "."}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"prompt": "x " * 60}, "messages"),
    ],
)
def test_what_a_completion_cannot_have_is_refused_by_name(world, change, param):
    with world.client() as client, pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**{"model": "talk", "prompt": "x", **change})
    assert refused.value.param == param


# --- responses --------------------------------------------------------------------------------

FUNCTIONS = [{"type": "function", "name": "speak", "parameters": {"type": "object"}, "strict": False}]


def test_a_response_holds_the_message(world):
    with world.client() as client:
        answer = client.responses.create(model="talk", instructions="Repeat.", input="one two three")
        cut = client.responses.create(model="talk", input="one two three", max_output_tokens=2)
    assert (answer.output_text, answer.status, answer.usage.total_tokens) == ("one two three ", "completed", 10)
    assert any(event.id == answer.id for event in world.logged())
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_cached_tokens_are_counted_in_every_form(world, monkeypatch):
    monkeypatch.setattr(world.model, "cached", 5)
    with world.client() as client:
        chat = client.chat.completions.create(model="talk", messages=said("a"), n=2).usage
        text = client.completions.create(model="talk", prompt="a").usage
        response = client.responses.create(model="talk", input="a").usage
    assert (chat.prompt_tokens, chat.prompt_tokens_details.cached_tokens) == (7, 5)
    assert (text.prompt_tokens, text.prompt_tokens_details.cached_tokens) == (7, 5)
    assert (response.input_tokens, response.input_tokens_details.cached_tokens) == (7, 5)
    assert chat.completion_tokens_details.reasoning_tokens == 0


def test_a_response_is_streamed_with_its_calls(world):
    with world.client() as client:
        with client.responses.stream(model="talk", input="one two", include=["message.output_text.logprobs"]) as stream:
            kinds = [event.type for event in stream]
            answer = stream.get_final_response()
        with client.responses.stream(model="talk", input="call one", tools=FUNCTIONS) as stream:
            called = stream.get_final_response()
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == 2
    assert answer.output_text == "one two "
    assert [token.token for token in answer.output[0].content[0].logprobs] == ["one", "two"]
    assert [(item.type, item.name, item.arguments) for item in called.output] == [
        ("function_call", "speak", '{"say": "one"}')
    ]


def test_items_of_a_response_are_turns(world):
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Speak."}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "speak", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
    ]
    with world.client() as client:
        client.responses.create(model="talk", input=items, tools=FUNCTIONS)
    assert [(turn["role"], turn["content"]) for turn in world.model.messages] == [
        ("system", "Be brief."),
        ("user", "Speak."),
        ("assistant", ""),
        ("tool", "done"),
    ]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "r1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["thoughts"]}, "include[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
    ],
)
def test_what_a_response_cannot_have_is_refused_by_name(world, change, param):
    with world.client() as client, pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**{"model": "talk", "input": "x", **change})
    assert refused.value.param == param


def test_a_response_has_all_its_keys_and_a_stream_its_end(talk):
    import httpx2

    body = {"model": "talk", "input": "a b", "reasoning": None, "text": {"format": {"type": "text"}}}
    url = f"{talk.server.url}/v1/responses"
    made = httpx2.post(url, json=body).json()
    wanted = {"completed_at", "previous_response_id", "background", "text", "reasoning", "service_tier", "top_logprobs"}
    assert wanted | {"frequency_penalty", "presence_penalty", "max_tool_calls", "truncation"} <= made.keys()
    assert (made["temperature"], made["top_p"], made["text"]) == (0.0, 1.0, {"format": {"type": "text"}})
    assert made["completed_at"] >= made["created_at"]
    assert httpx2.post(url, json=body | {"stream": True}).text.endswith("data: [DONE]\n\n")


def test_several_prompts_are_answered_each_by_its_choices(world):
    options = {"model": "talk", "prompt": ["a b", "c"], "n": 2, "seed": 5}
    with world.client() as client:
        answer = client.completions.create(**options)
        chunks = list(client.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, "a b "),
        (1, "a b "),
        (2, "c "),
        (3, "c "),
    ]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (14, 6)
    assert [sampling.seed for sampling in world.model.asked[-4:]] == [5, 6, 5, 6]
    texts = dict.fromkeys(range(4), "")
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.text
    assert texts == {0: "a b ", 1: "a b ", 2: "c ", 3: "c "}
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (14, 6)
    logged = {event.id: (event.row["question"], event.value) for event in world.logged()}
    assert logged[answer.choices[2].prediction_id] == ("c", "c ")


@pytest.mark.parametrize("prompt", [[], [[1]], ["a", 1], ["a"] * 129])
def test_prompts_that_are_no_texts_or_too_many_are_refused(world, prompt):
    with world.client() as client, pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="talk", prompt=prompt)
    assert refused.value.param == "prompt"
