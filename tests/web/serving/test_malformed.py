"""Thirty malformed requests for each route: a 4xx in the form of the API, never a 5xx, and the server lives on."""

import http.client
import json

import pytest

HUGE = 10**400
DEEP = 5_000


def bodies(good: dict, text: str) -> list[bytes]:
    """Malformed bodies for a route: `good` is a body that it takes, `text` the key of its text or its messages."""
    nested = lambda open_, close: (open_ * DEEP + close * DEEP).encode()  # noqa: E731

    def changed(**change) -> bytes:
        return json.dumps(good | change).encode()

    raw = [
        b"",
        b" ",
        b"null",
        b"[]",
        b"true",
        b'"text"',
        b"12",
        b"{",
        b"{]",
        b'{"a": }',
        b"\xff\xfe\x00",
        b'{"model": "\xc3\x28"}',
        b'{"model": "\xed\xa0\x80"}',
        json.dumps(good).encode("utf-16"),
        json.dumps(good).encode()[:-1],
        json.dumps(good).encode() + b"}",
        b"NaN",
        nested("[", "]"),
        nested('{"a":', "}").replace(b"}", b"1}", 1),
        b'{"' + text.encode() + b'": ' + nested("[", "]") + b"}",
    ]
    wrong = [None, 1, True, 1.5, {}, [], [[]], [None], [1.5], {"role": "user"}, [{"type": 1}]]
    typed = [changed(**{text: value}) for value in wrong]
    more = [
        changed(model=1),
        changed(model=["talk"]),
        changed(model={"a": 1}),
        changed(model="another"),
        changed(model="x" * 100_000),
        changed(no_such_option=1),
        changed(no_such_option={"a": [1] * 1000}),
        changed(**{"x" * 50_000: 1}),
        changed(**{"\ud800": 1}),
        changed(**{"": 1}),
    ]
    return raw + typed + more


CHAT = {"model": "talk", "messages": [{"role": "user", "content": "a b"}]}
NUMBERS = ["1", [1], {}, HUGE, -HUGE, float("nan"), float("inf"), -1, 1e308]


def chats(**names) -> list[bytes]:
    """What is wrong with options of a conversation, by the names that an API has for them."""
    numbers = ("temperature", "top_p", "max_tokens", "top_k", "min_p", "n", "seed", "top_logprobs")
    numbers += ("frequency_penalty", "presence_penalty")
    return [
        json.dumps(CHAT | {name: value}).encode()
        for name in numbers
        for value in NUMBERS
        if not (value == -1 and name in {"seed", "top_k", "frequency_penalty", "presence_penalty"})
    ]


def turns() -> list[bytes]:
    wrong = [
        {"role": "wizard", "content": "a"},
        {"role": 1, "content": "a"},
        {"role": None, "content": "a"},
        {"content": "a"},
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": 1},
        {"role": "user", "content": {"text": "a"}},
        {"role": "user", "content": ["a"]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "text", "text": 1}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": [None]},
        {"role": "user", "content": "a", "colour": "red"},
        {"role": "assistant", "tool_calls": [{}]},
        {"role": "assistant", "tool_calls": [{"function": 1}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": 1}}]},
        {"role": "assistant", "tool_calls": "f()"},
        {"role": "assistant", "function_call": {"name": 7}},
        {"role": "tool", "tool_call_id": 5, "content": "a"},
        {"role": "user", "content": "word " * 60},
        "user",
        None,
        [],
    ]
    options = [
        {"stop": ""},
        {"stop": [""]},
        {"stop": [1]},
        {"stop": {"a": 1}},
        {"stop": ["a"] * 100},
        {"stream": "yes"},
        {"stream": 1},
        {"stream_options": []},
        {"stream_options": {"include": 1}},
        {"response_format": "json"},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}},
        {"tools": {}},
        {"tools": [{}]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {}}]},
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
        {"tools": [{"type": "function", "function": {"name": "a"}}] * 2},
        {"tool_choice": "sometimes"},
        {"tool_choice": {"type": "function"}},
        {"tool_choice": {"type": "function", "function": {"name": "missing"}}},
        {"tool_choice": [1]},
        {"logprobs": "yes"},
        {"logprobs": True, "top_logprobs": 21},
        {"top_logprobs": 3},
        {"logit_bias": {"a": 1}},
        {"logit_bias": {"1": 1000}},
        {"logit_bias": {"1": "x"}},
        {"logit_bias": [1]},
        {"max_tokens": 3, "max_completion_tokens": 4},
        {"n": 0},
        {"n": 1000},
        {"audio": {"voice": "a"}},
        {"functions": [{"name": "f"}]},
        {"modalities": ["audio"]},
        {"metadata": "x"},
    ]
    return [json.dumps(CHAT | {"messages": [turn]}).encode() for turn in wrong] + [
        json.dumps(CHAT | option).encode() for option in options
    ]


MESSAGE = {"model": "talk", "max_tokens": 5, "messages": [{"role": "user", "content": "a b"}]}
ROUTES = {
    "/v1/chat/completions": [*bodies(CHAT, "messages"), *chats(), *turns()],
    "/v1/completions": bodies({"model": "talk", "prompt": "a b"}, "prompt"),
    "/v1/responses": bodies({"model": "talk", "input": "a b"}, "input"),
    "/v1/messages": bodies(MESSAGE, "messages"),
    "/v1/embeddings": bodies({"model": "talk", "input": "a b"}, "input"),
}


def posted(world, path: str, body: bytes, headers: dict | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(world.server.host, world.server.port, timeout=20)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ROUTES)
def test_each_is_a_4xx_with_the_api_s_error_and_the_server_lives_on(talk, path):
    assert len(ROUTES[path]) >= 30
    wrong = []
    for body in ROUTES[path]:
        status, text = posted(talk, path, body)
        error = json.loads(text).get("error", {})
        keys = {"type", "message"} if path == "/v1/messages" else {"type", "message", "param", "code"}
        if not (400 <= status < 500 and set(error) == keys and error["message"] and len(text) < 2_000):
            wrong.append((status, body[:150], text[:300]))
    assert wrong == []
    status, text = posted(talk, "/v1/chat/completions", json.dumps(CHAT).encode())
    assert status == 200
    assert json.loads(text)["choices"][0]["message"]["content"] == "a b "
