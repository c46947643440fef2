"""The app of one endpoint: predict, feedback, health, metrics.

Work on the processor runs in threads, so that health answers while models compute; when too many calls wait,
new ones are turned away (503) instead of piling up.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar, cast

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bakeoff.core.errors import BakeoffError, ContextLengthError, NotFoundError
from bakeoff.core.generation import Piece, Sampling
from bakeoff.core.types import Json
from bakeoff.feedback.record import Recorded
from bakeoff.serve.engine import Answer, Engine
from bakeoff.web import embeddings, openai
from bakeoff.web.anthropic import MessageForm
from bakeoff.web.anthropic_request import message_request, tokens_request
from bakeoff.web.bodies import renamed, shown
from bakeoff.web.chat_request import ChatRequest, chat_request
from bakeoff.web.completions import CompletionForm, completion_request
from bakeoff.web.conversing import Form, Head, Lanes, respond
from bakeoff.web.guard import Guard
from bakeoff.web.measures import Measures
from bakeoff.web.permissions import permission, require_permissions
from bakeoff.web.problems import HttpError, JsonResponse, error_response
from bakeoff.web.responses import ResponseForm
from bakeoff.web.responses_request import response_request

__all__ = ["create_app"]

T = TypeVar("T")

MAX_BODY_BYTES = 10 * 2**20
THREADS = 16
MAX_WAITING = 512
ANY_NAME = "*"
RESPONSES = {"messages": "input", "max_tokens": "max_output_tokens", "response_format": "text.format"}
MESSAGES = {"stop": "stop_sequences", "response_format": "output_config.format"}
"""Names that APIs have for options of chat completions."""
REFRESH_S = 0.5
NOT_FOUND, NOT_ALLOWED = 404, 405


class _PredictRequest(msgspec.Struct):
    rows: list[dict[str, Any]] | None = None
    row: dict[str, Any] | None = None


class _FeedbackRequest(msgspec.Struct):
    items: list[dict[str, Any]]


class _Said(msgspec.Struct, omit_defaults=True):
    id: str
    label: str | None = None
    value: float | str | None = None
    probabilities: dict[str, float] | None = None
    absent: tuple[str, ...] = ()
    imputed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class _PredictResponse(msgspec.Struct):
    predictions: list[_Said]
    model_version: str | None
    release_id: str | None


def create_app(
    engine: Engine,
    record_feedback: Callable[[Sequence[dict[str, Json]]], Recorded],
    *,
    hosts: frozenset[str] | None = None,
    model_names: Sequence[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
    threads: int = THREADS,
) -> Starlette:
    """The app that serves the engine's endpoint.

    Args:
        engine: answers rows.
        record_feedback: logs feedback items.
        hosts: the names that a Host header may have, or None for all.
        model_names: what the model may be called beside the endpoint's name; "*" for whatever callers like.
        max_body_bytes: the largest body that is read.
        threads: calls that compute or wait for the log at once.

    Raises:
        SecurityError: a route declares no permission.
    """
    handlers = _Handlers(engine, record_feedback, Measures(), threads, tuple(model_names))
    routes = [
        Route("/", handlers.index),
        Route("/predict", handlers.predict, methods=["POST"]),
        Route("/feedback", handlers.feedback, methods=["POST"]),
        Route("/v1/chat/completions", handlers.chat, methods=["POST"]),
        Route("/v1/completions", handlers.complete, methods=["POST"]),
        Route("/v1/responses", handlers.respond, methods=["POST"]),
        Route("/v1/messages", handlers.message, methods=["POST"]),
        Route("/v1/messages/count_tokens", handlers.count_message, methods=["POST"]),
        Route("/v1/responses/input_tokens", handlers.count_response, methods=["POST"]),
        Route("/v1/embeddings", handlers.embed, methods=["POST"]),
        Route("/v1/models", handlers.models),
        Route("/v1/models/{model:path}", handlers.model),
        Route("/endpoints/{name}/predict", handlers.predict, methods=["POST"]),
        Route("/endpoints/{name}/feedback", handlers.feedback, methods=["POST"]),
        Route("/health/live", handlers.live),
        Route("/health/ready", handlers.ready),
        Route("/metrics", handlers.metrics),
    ]
    require_permissions(routes)
    guard = Middleware(Guard, hosts=hosts, max_body_bytes=max_body_bytes, measures=handlers.measures)
    return Starlette(
        routes=routes,
        middleware=[guard],
        lifespan=handlers.lifespan,
        exception_handlers={
            BakeoffError: _on_error,
            HttpError: _on_error,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
        },
    )


class _Handlers:
    def __init__(
        self,
        engine: Engine,
        record_feedback: Callable[[Sequence[dict[str, Json]]], Recorded],
        measures: Measures,
        threads: int,
        model_names: tuple[str, ...],
    ) -> None:
        self.engine, self.record_feedback, self.measures = engine, record_feedback, measures
        self.threads, self.waiting, self.model_names = threads, 0, model_names
        self.pool: ThreadPoolExecutor | None = None
        self.lanes: Lanes | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Threads live as long as the app; a task follows the endpoint's pointer, so that few calls have to.

        Answers that come piece by piece have threads of their own, so that they keep no others waiting: as many as the
        live model works at, or as may wait where it does not say.
        """
        with (
            ThreadPoolExecutor(self.threads, thread_name_prefix="predict") as self.pool,
            ThreadPoolExecutor(MAX_WAITING, thread_name_prefix="chat") as chat_pool,
        ):
            self.lanes = Lanes(chat_pool, lambda: self.engine.concurrency)
            follower = asyncio.create_task(self._follow())
            try:
                yield
            finally:
                follower.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await follower

    async def _follow(self) -> None:
        while True:
            await asyncio.to_thread(self.engine.refresh_if_due)
            await asyncio.sleep(REFRESH_S)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(self.pool, call)

    @contextlib.contextmanager
    def _place(self) -> Generator[None]:
        """A place among the calls that wait, if there is one left."""
        if self.waiting >= MAX_WAITING:
            raise HttpError(503, "Overloaded", f"{self.waiting} calls are waiting; try again in a second")
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def _check_name(self, request: Request) -> None:
        name = request.path_params.get("name", self.engine.endpoint)
        if name != self.engine.endpoint:
            raise NotFoundError(f"expected endpoint {self.engine.endpoint!r}, received {name!r}")

    def _check_model(self, name: str | None) -> None:
        if name not in {None, "", self.engine.endpoint, *self.model_names} and ANY_NAME not in self.model_names:
            names = " or ".join(repr(each) for each in (self.engine.endpoint, *self.model_names))
            problem = f"expected model {names}, received {shown(name)}; [endpoint] model_names can allow it other names"
            raise HttpError(404, "NotFoundError", problem, "model", "model_not_found")

    @permission("predict")
    async def predict(self, request: Request) -> Response:
        """Answer rows: `{"rows": [{…}, …]}` or `{"row": {…}}`; each answer has an id for feedback."""
        self._check_name(request)
        asked = _decoded(await request.body(), _PREDICT, '{"rows": [{…}, …]} or {"row": {…}}')
        if (asked.rows is None) == (asked.row is None):
            raise HttpError(400, "BadRequest", "expected either rows or row, received both or neither")
        rows = asked.rows if asked.rows is not None else [asked.row or {}]
        answers = await self._in_thread(lambda: self.engine.predict(rows))
        return JsonResponse(_rendered(answers))

    @permission("feedback")
    async def feedback(self, request: Request) -> Response:
        """Log what was true of an answer: `{"items": [{"id": …, "label": …}, …]}`; sent twice, counted once."""
        self._check_name(request)
        asked = _decoded(await request.body(), _FEEDBACK, '{"items": [{"id": …, "label": …}, …]}')
        recorded = await self._in_thread(lambda: self.record_feedback(asked.items))
        return JsonResponse(recorded.to_json())

    @permission("predict")
    async def chat(self, request: Request) -> Response:
        """OpenAI's chat completions, also as a stream."""
        body = chat_request(await request.body())
        form = openai.ChatForm(head=self._head(), include_usage=body.include_usage)
        return await self._converse(request, body, form, {})

    @permission("predict")
    async def complete(self, request: Request) -> Response:
        """OpenAI's text completions, also as a stream."""
        body = completion_request(await request.body())
        chat = body.chat()
        form = CompletionForm(head=self._head(), include_usage=chat.include_usage)
        return await self._converse(request, chat, form, {"messages": "prompt"})

    @permission("predict")
    async def respond(self, request: Request) -> Response:
        """OpenAI's responses, also as a stream."""
        body = response_request(await request.body())
        return await self._converse(request, body.chat(), ResponseForm(head=self._head(), request=body), RESPONSES)

    @permission("predict")
    async def message(self, request: Request) -> Response:
        """Anthropic's messages, also as a stream."""
        body = message_request(await request.body())
        return await self._converse(request, body.chat(), MessageForm(head=self._head()), MESSAGES)

    @permission("predict")
    async def count_message(self, request: Request) -> Response:
        """Anthropic's count of the tokens that a message would read."""
        tokens = await self._count(tokens_request(await request.body()).chat(), MESSAGES)
        return JsonResponse({"input_tokens": tokens})

    @permission("predict")
    async def count_response(self, request: Request) -> Response:
        """OpenAI's count of the tokens that a response would read."""
        tokens = await self._count(response_request(await request.body()).chat(), RESPONSES)
        return JsonResponse({"object": "response.input_tokens", "input_tokens": tokens})

    async def _count(self, body: ChatRequest, names: Mapping[str, str]) -> int:
        turns, sampling = self._read(body, names)
        return await self._in_thread(lambda: self.engine.prompt_tokens(turns, sampling.tools))

    def _head(self) -> Head:
        now_s = self.engine.now_ms() // 1000
        return Head(id=self.engine.new_id(), created_s=now_s, model=self.engine.endpoint)

    def _read(self, body: ChatRequest, names: Mapping[str, str]) -> tuple[list[dict[str, Json]], Sampling]:
        """The turns of a conversation and how to answer them; errors name options as the caller's API does."""
        self._check_model(body.model)
        try:
            return body.turns(), body.sampling()
        except HttpError as error:
            raise renamed(error, names) from None

    async def _converse(self, request: Request, body: ChatRequest, form: Form, names: Mapping[str, str]) -> Response:
        """Answer a conversation in the form of its API, which has names of its own for some of the options."""
        turns, sampling = self._read(body, names)
        assert self.lanes is not None, "the app's lifespan has not started"

        def choice(index: int) -> Generator[Piece]:
            # Choices of one seed would all be the same answer.
            seed = None if sampling.seed is None else sampling.seed + index
            answer_id = openai.prediction_id(form.head.id, index)
            return self.engine.chat(turns, replace(sampling, seed=seed), answer_id=answer_id)

        return await respond(
            request,
            form,
            choice,
            count=body.choices,
            stream=bool(body.stream),
            lanes=self.lanes,
            place=self._place(),
        )

    @permission("predict")
    async def embed(self, request: Request) -> Response:
        """OpenAI's embeddings, of models that have an encoder."""
        asked = embeddings.embedding_request(await request.body())
        self._check_model(asked.model)
        texts = asked.texts()
        try:
            found = await self._in_thread(lambda: self.engine.embed(texts))
        except ContextLengthError as error:
            raise HttpError(400, "ContextLengthError", str(error), "input", "context_length_exceeded") from error
        return JsonResponse(embeddings.embeddings(asked, found, model=self.engine.endpoint))

    @permission("read")
    async def models(self, _request: Request) -> Response:
        """OpenAI's list of models: the endpoint, and the other names that it may be called by."""
        others = [name for name in self.model_names if name != ANY_NAME]
        names = list(dict.fromkeys([self.engine.endpoint, *others]))
        return JsonResponse(openai.model_list(names, self.engine.now_ms() // 1000))

    @permission("read")
    async def model(self, request: Request) -> Response:
        """OpenAI's description of one model."""
        name = request.path_params["model"]
        if not name:
            return await self.models(request)
        self._check_model(name)
        return JsonResponse(openai.model_card(name, self.engine.now_ms() // 1000))

    @permission("public")
    async def live(self, _request: Request) -> Response:
        """200 as long as the process answers."""
        return JsonResponse({"status": "live"})

    @permission("public")
    async def ready(self, _request: Request) -> Response:
        """200 when a release answers, else 503; the body says which, and how many records the log has lost."""
        health = self.engine.health()
        return JsonResponse(health, status_code=200 if health.ready else 503)

    @permission("read")
    async def metrics(self, _request: Request) -> Response:
        """Counts and durations, for Prometheus."""
        health = self.engine.health()
        text = self.measures.render(
            self.engine.endpoint,
            health.model_version,
            ready=health.ready,
            violated=self.engine.violated,
            lacked=self.engine.lacked,
        )
        return PlainTextResponse(text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    @permission("read")
    async def index(self, request: Request) -> Response:
        """The endpoint, what a row must hold, and an example of a call."""
        signature = await self._in_thread(lambda: self.engine.signature)
        health = self.engine.health()
        example = {column.name: _EXAMPLES[column.kind] for column in signature.inputs}
        body = msgspec.json.encode({"rows": [example]}).decode()
        return JsonResponse(
            {
                "endpoint": self.engine.endpoint,
                "model_version": health.model_version,
                "release_id": health.release_id,
                "task": signature.task,
                "classes": signature.classes,
                "inputs": [
                    {"name": column.name, "kind": column.kind, "dtype": column.dtype} for column in signature.inputs
                ],
                "example": f"curl {request.base_url}predict --json '{body}'",
            }
        )


_PREDICT = msgspec.json.Decoder(_PredictRequest)
_FEEDBACK = msgspec.json.Decoder(_FeedbackRequest)
_EXAMPLES: dict[str, Json] = {
    "text": "some text",
    "categorical": "a",
    "numeric": 1.5,
    "datetime": "2026-01-31T12:00:00",
    "boolean": True,
}


def _decoded(body: bytes, decoder: msgspec.json.Decoder[T], expected: str) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, "BadRequest", f"expected {expected}; {error}") from error


def _rendered(answers: Sequence[Answer]) -> _PredictResponse:
    # All answers of a call come from one release.
    return _PredictResponse(
        predictions=[
            _Said(
                id=answer.id,
                label=answer.label,
                value=answer.value,
                probabilities=dict(answer.probabilities) if answer.probabilities else None,
                absent=answer.gaps.absent,
                imputed=answer.gaps.imputed,
                unseen=answer.gaps.unseen,
                unknown=answer.gaps.unknown,
            )
            for answer in answers
        ],
        model_version=answers[0].model_version if answers else None,
        release_id=answers[0].release_id if answers else None,
    )


async def _on_error(request: Request, error: Exception) -> Response:
    return error_response(error, request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "NotFoundError", 405: "MethodNotAllowed"}.get(error.status_code, "BadRequest")
    return error_response(HttpError(error.status_code, kind, _problem_of(request, error)), request.url.path)


def _problem_of(request: Request, error: HTTPException) -> str:
    """What is wrong with a request that no handler takes."""
    path, routes = request.url.path, cast("Starlette", request.app).routes
    served = {route.path for route in routes if isinstance(route, Route)}
    if error.status_code == NOT_FOUND:
        # Clients of OpenAI's API have a base URL that ends with /v1; those of Anthropic's have one without.
        near = [each for each in (f"/v1{path}", path.replace("/v1/v1", "/v1")) if each.rstrip("/") in served]
        hint = f"; is it {near[0]!r}? look at the base URL of the client" if near else "; GET / tells what is served"
        return f"expected a path that is served here, received {shown(path)}{hint}"
    if error.status_code == NOT_ALLOWED:
        allowed = sorted((error.headers or {}).get("Allow", "").replace(" ", "").split(","))
        return f"expected {' or '.join(allowed)} at {path}, received {request.method}"
    return error.detail


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)
