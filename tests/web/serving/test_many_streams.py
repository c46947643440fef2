"""Sixty-four streams at once hold as many threads as their model works at, and keep no other call waiting."""

import asyncio
import json
import threading
import time
import urllib.request

STREAMS, AT_ONCE = 64, 4
BODY = json.dumps({"stream": True, "messages": [{"role": "user", "content": "a b c"}]}).encode()


async def stream(world, begun):
    """One answer, read to its end."""
    reader, writer = await asyncio.open_connection(world.server.host, world.server.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + BODY)
    text = b""
    while part := await reader.read(65536):
        begun.set()
        text += part
    writer.close()
    return text


def timed(world, path, body=None):
    request = urllib.request.Request(world.server.url + path, body, {"content-type": "application/json"})
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    return time.perf_counter() - started


def chat_threads():
    return sum(thread.name.startswith("chat") for thread in threading.enumerate())


def test_streams_that_wait_hold_no_threads_and_health_answers_meanwhile(talk):
    talk.model.concurrency = AT_ONCE
    talk.model.pause.clear()
    before = chat_threads()

    async def play():
        begun = [asyncio.Event() for _ in range(STREAMS)]
        streams = [asyncio.ensure_future(stream(talk, each)) for each in begun]
        await asyncio.wait_for(asyncio.gather(*(each.wait() for each in begun[:1])), 10)
        await asyncio.sleep(0.5)  # all have come by now
        running = sum(each.is_set() for each in begun)
        threads = chat_threads()
        waits = [await asyncio.to_thread(timed, talk, "/health/live") for _ in range(10)]
        feedback = json.dumps({"items": [{"id": "nobody", "label": "x"}]}).encode()
        waits.append(await asyncio.to_thread(timed, talk, "/feedback", feedback))
        talk.model.pause.set()
        return running, threads, waits, await asyncio.gather(*streams)

    try:
        running, threads, waits, texts = asyncio.run(play())
    finally:
        talk.model.pause.set()
        del talk.model.concurrency
    assert running == AT_ONCE
    assert threads <= before + AT_ONCE
    assert max(waits) < 1
    for text in texts:
        said = [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: {")]
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in said) == "a b c "
        assert said[-1]["choices"][0]["finish_reason"] == "stop"
        assert text.count(b"data: [DONE]") == 1
