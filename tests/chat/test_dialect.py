"""What services say of options that they do not take, and what is learned of it."""

import pytest

from bakeoff.chat.client import Service, ServiceClient
from bakeoff.chat.dialect import ANTHROPIC, PLAIN, REASONING, RESPONSES, ServiceDialect, dialect_of
from bakeoff.testing.service import serving

BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "max_tokens? logprobs?"}],
    "max_tokens": 16,
    "temperature": 0.0,
    "top_p": 1.0,
    "logprobs": True,
    "top_logprobs": 20,
    "stream_options": {"include_usage": True},
    "response_format": {"type": "json_object"},
}


def openai(message, param=None, code=None):
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


MAX = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported."
)


@pytest.mark.parametrize(
    ("status", "answer", "learned"),
    [
        (400, openai(MAX, "max_tokens", "unsupported_parameter"), ServiceDialect(max_tokens="max_completion_tokens")),
        (400, openai(MAX), ServiceDialect(max_tokens="max_completion_tokens")),
        (400, openai(TEMPERATURE, "temperature", "unsupported_value"), ServiceDialect(left_out=("temperature",))),
        (
            400,
            openai("Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs"),
            ServiceDialect(left_out=("logprobs", "top_logprobs")),
        ),
        (
            403,
            openai("You are not allowed to request logprobs from this model"),
            ServiceDialect(left_out=("logprobs", "top_logprobs")),
        ),
        (
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "top_logprobs"],
                        "msg": "Extra inputs are not permitted",
                    }
                ]
            },
            ServiceDialect(left_out=("logprobs", "top_logprobs")),
        ),
        (
            422,
            {"object": "error", "message": "Unknown field: stream_options", "code": 422},
            ServiceDialect(left_out=("stream_options",)),
        ),
        (400, {"error": "unexpected keyword argument 'top_p'"}, ServiceDialect(left_out=("top_p",))),
        (400, openai("Unsupported parameter: 'response_format'", "response_format"), None),
        (400, openai("Unsupported parameter: 'messages[0].content'", "messages"), None),
        (
            400,
            openai("This model's maximum context length is 8192 tokens", "messages", "context_length_exceeded"),
            None,
        ),
        (400, openai("max_tokens is too large: 16", "max_tokens", "invalid_value"), None),
        (400, openai("The content was filtered", None, "content_filter"), None),
        (401, openai("Unsupported parameter: 'temperature'", "temperature"), None),
        (500, openai("Unsupported parameter: 'temperature'", "temperature"), None),
        (400, "not json", None),
    ],
)
def test_what_a_refusal_teaches(status, answer, learned):
    assert PLAIN.learned(status, answer, BODY) == learned


def test_what_somebody_asked_for_is_not_left_out():
    answer = openai(TEMPERATURE, "temperature", "unsupported_value")
    assert PLAIN.learned(400, answer, BODY, frozenset({"temperature"})) is None


def test_a_service_that_refuses_either_name_is_not_asked_for_ever():
    first = PLAIN.learned(400, openai(MAX, "max_tokens"), BODY)
    spoken = first.spoken(BODY)
    assert spoken["max_completion_tokens"] == 16
    back = openai("Unknown parameter: 'max_completion_tokens'", "max_completion_tokens")
    assert first.learned(400, back, spoken) is None


def test_reasoning_models_are_spoken_to_as_they_want():
    assert REASONING.spoken(BODY).keys() == {
        "model",
        "messages",
        "max_completion_tokens",
        "stream_options",
        "response_format",
    }


# --- other APIs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("auto", "http://127.0.0.1:8000/v1", PLAIN),
        ("auto", "https://api.openai.com/v1/responses", RESPONSES),
        ("auto", "https://api.anthropic.com/v1", ANTHROPIC),
        ("auto", "https://api.anthropic.com/v1/messages/", ANTHROPIC),
        ("auto", "https://api.anthropic.com/v1/chat/completions", PLAIN),
        ("auto", "https://x.openai.azure.com/openai/v1/responses?api-version=1", RESPONSES),
        ("plain", "https://api.anthropic.com/v1", PLAIN),
        ("reasoning", "https://api.openai.com/v1", REASONING),
        ("anthropic", "http://127.0.0.1:8000/v1", ANTHROPIC),
    ],
)
def test_the_address_tells_the_api(name, url, expected):
    assert dialect_of(name, url) == expected


def test_an_answer_of_anthropic_is_read_with_what_its_cache_saved():
    body = {
        "type": "message",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "pos"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 90,
            "cache_creation_input_tokens": 5,
            "output_tokens": 3,
        },
    }
    asked = []

    def answer(call):
        asked.append(call)
        return 200, body, {}

    with serving(answer) as service:
        made = Service(url=service.url, model="claude", key_env="A_KEY")
        client = ServiceClient(made, environ={"A_KEY": "k"}, dialect=ANTHROPIC)
        (reply,) = client.chat([{"messages": [{"role": "user", "content": "x"}], "max_tokens": 5, "logprobs": True}])
    assert (reply.text, reply.tokens_in, reply.tokens_cached, reply.tokens_out) == ("pos", 105, 90, 3)
    assert asked[0].path == "/v1/messages"
    assert (asked[0].headers["x-api-key"], asked[0].headers["anthropic-version"]) == ("k", "2023-06-01")
    assert "authorization" not in asked[0].headers
    assert set(asked[0].body) == {"model", "messages", "max_tokens"}


def test_an_answer_of_openai_s_responses_is_read_with_its_reasoning():
    body = {
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "pos", "annotations": []}]},
        ],
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 8},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 25},
            "total_tokens": 50,
        },
    }
    with serving(lambda asked: (200, body, {})) as service:
        client = ServiceClient(Service(url=f"{service.url}/responses", model="gpt"), dialect=RESPONSES)
        asked = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 30, "reasoning_effort": "low"}
        (reply,) = client.chat([asked])
        sent = service.asked[0]
    assert (reply.text, reply.tokens_in, reply.tokens_cached) == ("pos", 20, 8)
    assert (reply.tokens_out, reply.tokens_reasoning) == (30, 25)
    assert reply.body["choices"][0]["finish_reason"] == "length"
    assert (sent.path, sent.body["store"], sent.body["reasoning"]) == ("/v1/responses", False, {"effort": "low"})
    assert sent.body["max_output_tokens"] == 30
