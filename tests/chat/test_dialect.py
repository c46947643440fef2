"""What services say of options that they do not take, and what is learned of it."""

import pytest

from bakeoff.chat.dialect import PLAIN, REASONING, Dialect

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
        (400, openai(MAX, "max_tokens", "unsupported_parameter"), Dialect(max_tokens="max_completion_tokens")),
        (400, openai(MAX), Dialect(max_tokens="max_completion_tokens")),
        (400, openai(TEMPERATURE, "temperature", "unsupported_value"), Dialect(left_out=("temperature",))),
        (
            400,
            openai("Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs"),
            Dialect(left_out=("logprobs", "top_logprobs")),
        ),
        (
            403,
            openai("You are not allowed to request logprobs from this model"),
            Dialect(left_out=("logprobs", "top_logprobs")),
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
            Dialect(left_out=("logprobs", "top_logprobs")),
        ),
        (
            422,
            {"object": "error", "message": "Unknown field: stream_options", "code": 422},
            Dialect(left_out=("stream_options",)),
        ),
        (400, {"error": "unexpected keyword argument 'top_p'"}, Dialect(left_out=("top_p",))),
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
