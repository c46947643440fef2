"""Our client against our own endpoint, through every API that both of them speak."""

import pytest

from bakeoff.chat.client import Refusal, Service, ServiceClient
from bakeoff.chat.dialect import dialect_of
from bakeoff.chat.streaming import Heard, request_of
from bakeoff.core.generation import Sampling, ToolCall

APIS = ["plain", "responses", "anthropic"]
TOOL = {"name": "speak", "description": "", "parameters": {"type": "object", "properties": {}}}


def asking(text):
    return [{"role": "system", "content": "Repeat."}, {"role": "user", "content": text}]


@pytest.fixture(params=APIS)
def client(request, talk):
    dialect = dialect_of(request.param, "")
    return ServiceClient(Service(url=f"{talk.server.url}/v1", model="talk", attempts=1), dialect=dialect)


def test_an_answer_comes_back_with_its_counts(client, talk):
    asked = {"messages": asking("one two three"), "max_tokens": 2, "temperature": 0.5}
    (reply,) = client.chat([asked])
    assert reply.text == "one two "
    assert (reply.tokens_in, reply.tokens_out) == (7, 2)
    assert reply.body["choices"][0]["finish_reason"] == "length"
    assert (talk.model.asked[-1].max_tokens, talk.model.asked[-1].temperature) == (2, 0.5)
    assert talk.model.messages == asking("one two three")


def test_a_stream_comes_back_with_its_calls(client):
    heard = Heard()
    text = "".join(p.text for p in heard.pieces(client.stream(request_of(asking("one two"), Sampling()))))
    assert (text, heard.finish, heard.usage["completion_tokens"]) == ("one two ", "stop", 2)
    heard = Heard()
    sampling = Sampling(tools=(TOOL,), tool_choice="required", parallel_tools=False)
    list(heard.pieces(client.stream(request_of(asking("call one two"), sampling))))
    calls = [(call.id, call.name, call.arguments) for call in ToolCall.joined(heard.calls)]
    assert calls == [("call_0", "speak", '{"say": "one"}'), ("call_1", "speak", '{"say": "two"}')]
    assert heard.finish == "tool_calls"


def test_calls_and_their_results_go_there_and_back(client, talk):
    sampling = Sampling(tools=(TOOL,), tool_choice="speak")
    (reply,) = client.chat([request_of(asking("call one"), sampling) | {"stream": False}])
    message = reply.body["choices"][0]["message"]
    history = [*asking("call one"), message, {"role": "tool", "tool_call_id": "call_0", "content": "done"}]
    client.chat([request_of(history, sampling) | {"stream": False}])
    assert [turn["role"] for turn in talk.model.messages] == ["system", "user", "assistant", "tool"]
    assert talk.model.messages[2]["tool_calls"][0]["function"]["name"] == "speak"
    assert talk.model.messages[3] == {"role": "tool", "tool_call_id": "call_0", "content": "done"}
    assert talk.model.asked[-1].tool_choice == "speak"


def test_a_schema_is_asked_for(client, talk):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    client.chat([request_of(asking("one"), Sampling(json_schema=schema)) | {"stream": False}])
    assert talk.model.asked[-1].json_schema == schema


def test_what_is_refused_is_a_refusal(client):
    (reply,) = client.chat([{"messages": asking("x " * 60), "max_tokens": 5}])
    assert isinstance(reply, Refusal)
    assert "50 tokens" in reply.message
