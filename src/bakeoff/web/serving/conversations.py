"""The APIs for conversations, texts and vectors: OpenAI's and Anthropic's."""

import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bakeoff.core.errors import ContextLengthError
from bakeoff.core.generation import Piece, Sampling
from bakeoff.core.principals import ANONYMOUS
from bakeoff.core.types import Json
from bakeoff.serve.engine import Call, Engine
from bakeoff.serve.gateway.gateway import Gateway, GatewayCall
from bakeoff.serve.runtime import Row
from bakeoff.web.auth import principal_of
from bakeoff.web.openapi import takes
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, JsonResponse
from bakeoff.web.serving import chat_rows, embeddings, openai
from bakeoff.web.serving.anthropic import MessageForm
from bakeoff.web.serving.anthropic_request import MessageRequest, TokensRequest, message_request, tokens_request
from bakeoff.web.serving.bodies import refused, renamed
from bakeoff.web.serving.chat_request import ChatRequest, chat_request
from bakeoff.web.serving.completions import CompletionForm, CompletionRequest, completion_request
from bakeoff.web.serving.context import Serving, caller_key
from bakeoff.web.serving.conversing import AnswerReader, Form, Head, respond
from bakeoff.web.serving.responses import ResponseForm
from bakeoff.web.serving.responses_request import ResponseRequest, response_request
from bakeoff.web.serving.rows import deadline_s
from bakeoff.web.serving.service_reader import ServiceReader

__all__ = ["ConversationRoutes"]

RESPONSES = {"messages": "input", "max_tokens": "max_output_tokens", "response_format": "text.format"}
MESSAGES = {"stop": "stop_sequences", "response_format": "output_config.format"}
"""Names that APIs have for options of chat completions."""


class ConversationRoutes:
    """Handlers of the paths under `/v1`; a request names the endpoint as its model."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/v1/responses", self.respond, methods=["POST"]),
            Route("/v1/messages", self.message, methods=["POST"]),
            Route("/v1/messages/count_tokens", self.count_message, methods=["POST"]),
            Route("/v1/responses/input_tokens", self.count_response, methods=["POST"]),
            Route("/v1/embeddings", self.embed, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/models/{model:path}", self.model),
        ]

    @permission("predict")
    @takes(ChatRequest)
    async def chat(self, request: Request) -> Response:
        """OpenAI's chat completions, also as a stream."""
        body = chat_request(await request.body())
        form = partial(openai.ChatForm, include_usage=body.include_usage)
        return await self._converse(request, body, form, {})

    @permission("predict")
    @takes(CompletionRequest)
    async def complete(self, request: Request) -> Response:
        """OpenAI's text completions, also as a stream."""
        chats = completion_request(await request.body()).chats()
        form = partial(CompletionForm, include_usage=chats[0].include_usage, choices=chats[0].choices)
        return await self._converse(request, chats[0], form, {"messages": "prompt"}, chats[1:])

    @permission("predict")
    @takes(ResponseRequest)
    async def respond(self, request: Request) -> Response:
        """OpenAI's responses, also as a stream."""
        body = response_request(await request.body())
        return await self._converse(request, body.chat(), partial(ResponseForm, request=body), RESPONSES)

    @permission("predict")
    @takes(MessageRequest)
    async def message(self, request: Request) -> Response:
        """Anthropic's messages, also as a stream."""
        body = message_request(await request.body())
        return await self._converse(request, body.chat(), MessageForm, MESSAGES)

    @permission("predict")
    @takes(TokensRequest)
    async def count_message(self, request: Request) -> Response:
        """Anthropic's count of the tokens that a message would read."""
        tokens = await self._count(request, tokens_request(await request.body()).chat(), MESSAGES)
        return JsonResponse({"input_tokens": tokens})

    @permission("predict")
    @takes(ResponseRequest)
    async def count_response(self, request: Request) -> Response:
        """OpenAI's count of the tokens that a response would read."""
        tokens = await self._count(request, response_request(await request.body()).chat(), RESPONSES)
        return JsonResponse({"object": "response.input_tokens", "input_tokens": tokens})

    async def _count(self, request: Request, body: ChatRequest, names: Mapping[str, str]) -> int:
        engine, turns, sampling = self._read(request, body, names)
        return await self._serving.in_thread(lambda: engine.prompt_tokens(turns, sampling.tools))

    def _read(
        self, request: Request, body: ChatRequest, names: Mapping[str, str]
    ) -> tuple[Engine, list[dict[str, Json]], Sampling]:
        """Who answers a conversation, its turns, and how; errors name options as the caller's API does."""
        engine = self._serving.of_model(request, body.model)
        try:
            return engine, body.turns(), body.sampling()
        except HttpError as error:
            raise renamed(error, names) from None

    async def _converse(
        self,
        request: Request,
        body: ChatRequest,
        form: Callable[..., Form],
        names: Mapping[str, str],
        others: Sequence[ChatRequest] = (),
    ) -> Response:
        """Answer a conversation in the form of its API, which has names of its own for some of the options.

        `others` are answered by the same call; they differ from the first in what is said alone.
        """
        gateway = self._serving.known.gateway(principal_of(request), body.model)
        if gateway is not None:
            return await self._converse_by_services(request, [body, *others], form, names, gateway)
        engine, turns, sampling = self._read(request, body, names)
        conversations = [turns, *(each.turns() for each in others)]
        if not await self._serving.in_thread(lambda: engine.converses):
            return await self._answer_rows(request, body, form, names, (engine, conversations, sampling))
        head = Head(id=engine.new_id(), created_s=engine.now_ms() // 1000, model=engine.endpoint)
        key = caller_key(request, body.user)

        def choice(index: int) -> Generator[Piece]:
            # Choices of one seed would all be the same answer.
            seed = None if sampling.seed is None else sampling.seed + index % body.choices
            answer_id, messages = openai.prediction_id(head.id, index), conversations[index // body.choices]
            pieces = engine.chat(messages, replace(sampling, seed=seed), answer_id=answer_id, key=key)
            return self._serving.generation(engine).measured(pieces)

        lanes = self._serving.lanes(engine)
        readers = [AnswerReader(choice, index, lanes) for index in range(body.choices * len(conversations))]
        return await respond(request, form(head=head), readers, stream=bool(body.stream), place=self._serving.place())

    async def _converse_by_services(
        self,
        request: Request,
        bodies: Sequence[ChatRequest],
        form: Callable[..., Form],
        names: Mapping[str, str],
        gateway: Gateway,
    ) -> Response:
        """Answer conversations with services that speak other protocols than the caller."""
        try:
            conversations, sampling = [each.turns() for each in bodies], bodies[0].sampling()
        except HttpError as error:
            raise renamed(error, names) from None
        principal, content, choices = principal_of(request), await request.body(), bodies[0].choices
        head = Head(id=secrets.token_hex(16), created_s=gateway.now_ms() // 1000, model=gateway.endpoint)
        values = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        readers: list[ServiceReader] = []
        for index, admission in enumerate(gateway.admitted(principal.name, choices * len(bodies))):
            turns = conversations[index // choices]
            own = {"prompt": msgspec.Raw(msgspec.json.encode(turns[-1]["content"]))} if len(bodies) > 1 else {}
            call = GatewayCall(
                protocol="chat",
                body={**values, **own},
                size=len(content) // len(bodies),
                caller=None if principal is ANONYMOUS else principal.name,
                admission=admission,
                id=openai.prediction_id(head.id, index),
            )
            readers.append(ServiceReader(self._serving, gateway, call, turns, sampling))
        stream = bool(bodies[0].stream)
        return await respond(request, form(head=head), readers, stream=stream, place=self._serving.place())

    async def _answer_rows(
        self,
        request: Request,
        body: ChatRequest,
        form: Callable[..., Form],
        names: Mapping[str, str],
        read: tuple[Engine, Sequence[list[dict[str, Json]]], Sampling],
    ) -> Response:
        """Answer conversations with a model that answers rows; the ids of the answers are the predictions'."""
        engine, conversations, sampling = read
        signature = engine.signature
        rows: list[Row] = []
        try:
            chat_rows.require_plain(sampling, body.choices, signature)
            for turns in conversations:
                rows.append(chat_rows.row_of(turns, signature))  # noqa: PERF401 - how many there are tells which is wrong
        except HttpError as error:
            if len(conversations) > 1 and error.param is not None and error.param.startswith("messages"):
                place = f"prompt[{len(rows)}]"  # each is one text
                problem = error.message.replace(error.param, place, 1)
                raise HttpError(error.status, error.kind, problem, place, error.code) from None
            raise renamed(error, names) from None
        call = Call(rows, caller_key(request, body.user))
        answers = await self._serving.turns(engine).answered(call, deadline_s(request))
        pieces = [chat_rows.answer_pieces(answer, signature, sampling) for answer in answers]
        lanes = self._serving.lanes(engine)
        readers = [AnswerReader(lambda at: (each for each in pieces[at]), at, lanes) for at in range(len(answers))]
        head = Head(id=answers[0].id, created_s=engine.now_ms() // 1000, model=engine.endpoint)
        written = form(head=head) if len(answers) == 1 else form(head=head, ids=[answer.id for answer in answers])
        return await respond(request, written, readers, stream=bool(body.stream), place=self._serving.place())

    @permission("predict")
    @takes(embeddings.EmbeddingRequest)
    async def embed(self, request: Request) -> Response:
        """OpenAI's embeddings, of models that have an encoder."""
        asked = embeddings.embedding_request(await request.body())
        if self._serving.known.gateway(principal_of(request), asked.model) is not None:
            raise refused("model", "an endpoint with an encoder: none of its services speaks OpenAI's API", asked.model)
        engine = self._serving.of_model(request, asked.model)
        texts = asked.texts()
        try:
            found = await self._serving.in_thread(lambda: engine.embed(texts))
        except ContextLengthError as error:
            raise HttpError(400, "ContextLengthError", str(error), "input", "context_length_exceeded") from error
        return JsonResponse(embeddings.embeddings(asked, found, model=engine.endpoint))

    @permission("list")
    async def models(self, request: Request) -> Response:
        """OpenAI's list of models: the endpoints, and the other names that the default one may be called by."""
        names = self._serving.known.models(principal_of(request))
        return JsonResponse(openai.model_list(names, self._now_s()))

    @permission("list")
    async def model(self, request: Request) -> Response:
        """OpenAI's description of one model."""
        name = request.path_params["model"]
        if not name:
            return await self.models(request)
        if self._serving.known.gateway(principal_of(request), name) is None:
            self._serving.of_model(request, name)
        return JsonResponse(openai.model_card(name, self._now_s()))

    def _now_s(self) -> int:
        plane = self._serving.plane
        return (plane.gateways.get(plane.default) or plane.engine()).now_ms() // 1000
