"""A stand-in for a service with an OpenAI-compatible API: a real server on loopback that says what it is told to."""

import json
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bakeoff.core.types import Json

__all__ = ["FakeService", "ServiceRequest", "completion", "event", "reasoning", "serving"]

START_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """One request as it came: its path, body, headers (names in lower case) and what stands behind the path."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def said(self) -> str:
        """The content of the last message."""
        return str(self.body["messages"][-1]["content"])


Answer = Callable[[ServiceRequest], "tuple[int, Any, Mapping[str, str]] | str | dict[str, Any]"]
"""Gives a text to be said, a whole body, or (status, body, headers).

A body that is a text is sent as it is, one that is an iterator as server-sent events, piece by piece.
"""


@dataclass(slots=True, kw_only=True)
class FakeService:
    """A running service: `url` is what a client takes, `asked` all requests so far, in the order they came."""

    url: str
    asked: list[ServiceRequest] = field(default_factory=list[ServiceRequest])


def completion(text: str, *, top: Mapping[str, float] | None = None, usage: Mapping[str, int] | None = None) -> Any:
    """The body of a chat completion; `top` are log-probabilities of first tokens."""
    logprobs: Json = None
    if top is not None:
        first: Json = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
        logprobs = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": first}]}
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}],
        "usage": dict(usage or {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}),
    }


def event(text: str | None = None, *, finish: str | None = None, usage: Mapping[str, int] | None = None) -> str:
    """A chunk of a streamed completion as a server-sent event."""
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if usage is None else []
    body = {"object": "chat.completion.chunk", "choices": choices, "usage": None if usage is None else dict(usage)}
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def reasoning(answer: Answer) -> Answer:
    """The service as one with a reasoning model: it refuses what OpenAI's do, in their words, and counts reasoning.

    Source: the OpenAI API reference, guide to reasoning models (limitations).
    """

    def refusing(asked: ServiceRequest) -> "tuple[int, Any, Mapping[str, str]] | str | dict[str, Any]":
        for name, problem in (
            ("max_tokens", "is not supported with this model. Use 'max_completion_tokens' instead."),
            ("temperature", "is not supported with this model: only the default (1) is."),
            ("logprobs", "is not supported with this model."),
        ):
            if name in asked.body and not (name == "temperature" and asked.body[name] == 1):
                error = {"message": f"Unsupported parameter: '{name}' {problem}", "type": "invalid_request_error"}
                return 400, {"error": error | {"param": name, "code": "unsupported_parameter"}}, {}
        return answer(asked)

    return refusing


@contextmanager
def serving(answer: Answer) -> Generator[FakeService]:
    """Serve on a free port of 127.0.0.1 within the block."""
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    listening = socket.create_server(("127.0.0.1", 0))
    service = FakeService(url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1")

    async def handle(request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = dict(request.query_params)
        asked = ServiceRequest(path=request.url.path, body=await request.json(), headers=headers, query=query)
        service.asked.append(asked)
        found = await run_in_threadpool(answer, asked)
        if isinstance(found, str):
            found = completion(found)
        if isinstance(found, dict):
            return JSONResponse(found)
        status, body, extra = found
        if isinstance(body, str):
            return Response(body, status_code=status, headers=dict(extra))
        if isinstance(body, Iterator):
            return StreamingResponse(body, status_code=status, headers=dict(extra), media_type="text/event-stream")
        return JSONResponse(body, status_code=status, headers=dict(extra))

    app = Starlette(routes=[Route("/v1/{rest:path}", handle, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    started = threading.Event()
    for _ in range(int(START_S / 0.01)):
        if server.started:
            break
        started.wait(0.01)
    assert server.started, "the stand-in service did not start"
    try:
        yield service
    finally:
        server.should_exit = True
        thread.join(START_S)
        listening.close()
