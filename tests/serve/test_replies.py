"""Events of a stream that say a text alone are read at once; what is read out of them is the same."""

import json

import pytest

from bakeoff.serve.gateway.replies import EventReader, renamed

TEXT = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def a_choice(finish=None, index=0, **delta):
    return {"index": index, "delta": delta, "finish_reason": finish}


def said(*choices, **more):
    return {**TEXT, "choices": list(choices), **more}


STREAM = [
    said(a_choice(role="assistant", content="")),
    said(a_choice(content="Grüße "), usage=None, system_fingerprint="f"),
    said(a_choice(content="a"), a_choice(content="b", index=1)),
    said(a_choice(content=None)),
    said(a_choice(content=[{"type": "text", "text": "parts "}])),
    said(a_choice(content="x", tool_calls=[{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}])),
    said(a_choice(content=7)),
    said({"delta": {"content": "y"}, "index": 0, "logprobs": {"content": [{"token": "y", "logprob": -1.0}]}}),
    said({"delta": "none"}),
    {**said(a_choice(content="z")), "id": None},
    said(a_choice(content="end"), usage={"prompt_tokens": 3, "completion_tokens": 4}),
    said(a_choice(finish="length")),
    {**TEXT, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}},
    {"error": {"message": "no"}, **said(a_choice(content="lost"))},
]


def everything(reader):
    return reader.id, reader.text, reader.tokens, reader.ended, reader.finished, reader.has_failed


@pytest.mark.parametrize("events", [STREAM, STREAM[::-1], *[[each] for each in STREAM]])
def test_the_short_way_reads_what_the_long_one_reads(events):
    class Slow(EventReader):
        def _takes(self, data):
            return False

    short, long = EventReader("chat", 10), Slow("chat", 10)
    for event in [*(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events), b"data: {\n\n", b": ping\n\n"]:
        assert short.read(event) == long.read(event)
        assert everything(short) == everything(long)
    taken = [short._takes(json.dumps(each).encode()) for each in STREAM]
    assert [at for at, is_taken in enumerate(taken) if is_taken] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (b'{"id":"c-1","x":1}', b'{"id":"a1","x":1}'),
        (b'{"id": "c-1"}', b'{"id": "a1"}'),
        (b'{"id"  :\n"c-1"}', b'{"id"  :\n"a1"}'),
        (b'{"x": "c-1", "id" : "c-1"}', b'{"x": "c-1", "id" : "a1"}'),
        (b'{"xid": "c-1", "model": "c-1"}', b'{"xid": "c-1", "model": "c-1"}'),
        (b'{"text": "\\"id\\": \\"c-1\\"", "id": "c-1"}', b'{"text": "\\"id\\": \\"c-1\\"", "id": "a1"}'),
        (b'{"id": "c-12"}', b'{"id": "c-12"}'),
    ],
)
def test_an_answer_gets_another_id_where_its_own_stands_and_nowhere_else(content, result):
    assert renamed(content, "c-1", "a1") == result
    assert renamed(content, "", "a1") == content


@pytest.mark.parametrize(
    "event",
    [
        b"data: %s\n\n",
        b"data:%s\n\n",
        b"data: %s\r\n\r\n",
        b"id: 7\ndata: %s\n\n",
        b"data: %s\nid: 7\n\n",
        b": well\ndata: %s\n\n",
    ],
)
def test_an_event_is_read_however_its_lines_are_written(event):
    reader = EventReader("chat", 10)
    reader.read(event % json.dumps(STREAM[1]).encode())
    assert (reader.id, reader.text) == ("c-1", "Grüße ")
    reader.read(event % b"[DONE]")
    assert reader.ended
