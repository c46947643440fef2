"""POST /v1/messages as Anthropic's API has it, over a real socket; its client is not needed to see the bytes."""

import contextlib
import json
import urllib.error
import urllib.request

import pytest

TOOL = {"name": "speak", "input_schema": {"type": "object", "properties": {"say": {"type": "string"}}}}


def sent(talk, path="/v1/messages", **body):
    asked = {"model": "talk", "max_tokens": 50, "messages": [{"role": "user", "content": "one two"}], **body}
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(f"{talk.server.url}{path}", json.dumps(asked).encode(), headers)
    try:
        with contextlib.closing(urllib.request.urlopen(request, timeout=10)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def message(talk, **body):
    status, text = sent(talk, **body)
    assert status == 200, text
    return json.loads(text)


def events(talk, **body):
    _, text = sent(talk, stream=True, **body)
    found = [block.split("\n") for block in text.strip().split("\n\n")]
    told = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in found]
    assert all(name == data["type"] for name, data in told)
    return [data for _, data in told]


def user(*blocks):
    return [{"role": "user", "content": list(blocks)}]


def test_tokens_from_a_cache_are_counted_beside_those_that_were_read(talk, monkeypatch):
    monkeypatch.setattr(talk.model, "cached", 5)
    usage = message(talk)["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (2, 5, 2)


def test_a_message_is_answered_and_logged(talk):
    answer = message(talk, system="Repeat.", stop_sequences=["END"], top_k=3)
    assert answer["content"] == [{"type": "text", "text": "one two "}]
    assert (answer["type"], answer["role"], answer["stop_reason"]) == ("message", "assistant", "end_turn")
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (7, 2)
    assert any(event.id == answer["id"] for event in talk.logged())
    assert talk.model.messages[0] == {"role": "system", "content": "Repeat."}
    assert (talk.model.asked[-1].stop, talk.model.asked[-1].top_k) == (("END",), 3)
    assert message(talk, max_tokens=1)["stop_reason"] == "max_tokens"


def test_tokens_are_counted_before_an_answer_is_wanted(talk):
    count = "/v1/messages/count_tokens"
    status, text = sent(talk, count, system="Be brief.", tools=[TOOL], max_tokens=None)
    assert status == 400
    assert "max_tokens" in text
    asked = {"system": "Be brief.", "messages": [{"role": "user", "content": "one two"}]}
    status, text = sent(talk, count, **asked, tools=[TOOL])
    assert (status, json.loads(text)) == (200, {"input_tokens": 14})
    status, text = sent(talk, count, model="other")
    assert (status, json.loads(text)["error"]["type"]) == (404, "not_found_error")


def test_an_effort_reaches_the_model_and_adaptive_thinking_is_its_own_choice(talk):
    assert message(talk, thinking={"type": "adaptive"})["stop_reason"] == "end_turn"
    status, text = sent(talk, output_config={"effort": "low"})
    assert status == 400
    assert "the echo cannot do it" in json.loads(text)["error"]["message"]


def test_a_tool_is_called(talk):
    answer = message(talk, tools=[TOOL], messages=[{"role": "user", "content": "call one"}])
    assert answer["stop_reason"] == "tool_use"
    assert answer["content"] == [{"type": "tool_use", "id": "call_0", "name": "speak", "input": {"say": "one"}}]


def test_a_stream_has_blocks(talk):
    text = events(talk)
    assert [each["type"] for each in text] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "".join(each["delta"]["text"] for each in text if each["type"] == "content_block_delta") == "one two "
    assert text[-2]["usage"]["output_tokens"] == 2
    called = events(talk, tools=[TOOL], messages=[{"role": "user", "content": "call one two"}])
    starts = [each["content_block"]["name"] for each in called if each["type"] == "content_block_start"]
    bits = [each for each in called if each["type"] == "content_block_delta"]
    arguments = ["".join(bit["delta"]["partial_json"] for bit in bits if bit["index"] == at) for at in (0, 1)]
    assert (starts, arguments) == (["speak", "speak"], ['{"say": "one"}', '{"say": "two"}'])
    assert called[-2]["delta"]["stop_reason"] == "tool_use"


def test_results_of_tools_are_turns_before_what_is_said_beside_them(talk):
    history = [
        {"role": "user", "content": "Speak."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "speak", "input": {"say": "x"}}]},
        *user({"type": "tool_result", "tool_use_id": "c1", "content": "done"}, {"type": "text", "text": "So?"}),
    ]
    message(talk, tools=[TOOL], messages=history)
    assert [(turn["role"], turn["content"]) for turn in talk.model.messages] == [
        ("user", "Speak."),
        ("assistant", ""),
        ("tool", "done"),
        ("user", "So?"),
    ]
    assert talk.model.messages[1]["tool_calls"][0]["function"] == {"name": "speak", "arguments": '{"say": "x"}'}


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, "auto", True),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "tool", "name": "speak"}, "speak", True),
    ],
)
def test_the_choice_of_a_tool_reaches_the_model(talk, choice, expected, parallel):
    message(talk, tools=[TOOL], tool_choice=choice)
    assert (talk.model.asked[-1].tool_choice, talk.model.asked[-1].parallel_tools) == (expected, parallel)


def result(call, content):
    return {"type": "tool_result", "tool_use_id": call, "content": content}


@pytest.mark.parametrize(
    ("change", "status", "kind", "told"),
    [
        ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens"),
        ({"model": "other"}, 404, "not_found_error", "talk"),
        ({"messages": user({"type": "image"})}, 400, "invalid_request_error", r"messages[0].content[0]"),
        ({"messages": [*user(), {"role": "assistant", "content": "{"}]}, 400, "invalid_request_error", "to speak last"),
        ({"messages": user({"type": ["text"]})}, 400, "invalid_request_error", r"messages[0].content[0]"),
        ({"messages": user(result("c", ["x"]))}, 400, "invalid_request_error", r"messages[0].content[0].content[0]"),
        ({"messages": user(result("c", 5))}, 400, "invalid_request_error", r"content[0].content: expected a text"),
        ({"messages": user(result("c", 0))}, 400, "invalid_request_error", r"content[0].content: expected a text"),
        ({"messages": user(result(None, "x"))}, 400, "invalid_request_error", r"content[0].tool_use_id: expected"),
        ({"messages": user(result(5, "x"))}, 400, "invalid_request_error", r"content[0].tool_use_id: expected"),
        ({"output_config": {"format": "json"}}, 400, "invalid_request_error", "output_config.format: expected"),
        ({"thinking": {"type": ["disabled"]}}, 400, "invalid_request_error", "thinking"),
        ({"stop_sequences": [""]}, 400, "invalid_request_error", "stop_sequences: expected"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, 400, "invalid_request_error", "thinking"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, 400, "invalid_request_error", "tools[0]"),
        ({"messages": [{"role": "user", "content": "x " * 60}]}, 400, "invalid_request_error", "50 tokens"),
        ({"messages": [{"role": "user", "content": "break upstream"}]}, 502, "api_error", ""),
        ({"messages": [{"role": "user", "content": "break disk"}]}, 503, "overloaded_error", ""),
    ],
)
def test_errors_have_the_form_of_the_api(talk, change, status, kind, told):
    code, text = sent(talk, **change)
    body = json.loads(text)
    assert (code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert told in body["error"]["message"]
