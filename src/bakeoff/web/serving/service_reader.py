"""Reads answers of services that speak another protocol than the caller, piece by piece."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from bakeoff.chat.client import Reply
from bakeoff.chat.streaming import Heard
from bakeoff.core.events import PredictionEvent
from bakeoff.core.generation import Messages, Piece, Sampling, ToolCall
from bakeoff.serve.gateway.conversation import converse
from bakeoff.serve.gateway.gateway import Gateway, GatewayCall
from bakeoff.serve.gateway.upstream import Upstream
from bakeoff.web.serving.context import Serving
from bakeoff.web.serving.conversing import PieceReader

__all__ = ["ServiceReader"]


class ServiceReader(PieceReader):
    """Reads one answer; it is logged before its end is told, and as far as it came where its reader breaks it off.

    Args:
        serving: logs and measures.
        gateway: the endpoint.
        call: what is answered.
        messages, sampling: the conversation, and how to go on with it.
    """

    def __init__(
        self, serving: Serving, gateway: Gateway, call: GatewayCall, messages: Messages, sampling: Sampling
    ) -> None:
        super().__init__()
        self._serving, self._gateway, self._call = serving, gateway, call
        self._messages, self._sampling = messages, sampling

    def stop(self) -> None:
        """See `PieceReader`; what was let in and never began has used nothing."""
        if self._reading is None:
            self._call.admission.settle()
        super().stop()

    def _begun(self, hand: Callable[[Piece], None]) -> asyncio.Task[None]:
        reading = super()._begun(hand)
        reading.add_done_callback(lambda _: self._call.admission.settle())  # also one that was cancelled before a step
        return reading

    async def _answer(self, hand: Callable[[Piece], None]) -> None:
        gateway, call, answer = self._gateway, self._call, Heard()
        upstream: Upstream | None = None
        asked: list[Upstream] = []
        with self._serving.generation(gateway).relayed() as measured:
            try:
                upstream, chunks = await converse(gateway, self._messages, self._sampling, asked)
                measured.begin()
                async with aclosing(chunks):
                    async for chunk in chunks:
                        for piece in answer.pieces([chunk]):
                            hand(piece)
            except Exception as error:
                tokens = _tokens(self._reply(answer)) if upstream is not None else None
                self._serving.submit(gateway.recorder, gateway.failed(call, error, upstream, tokens))
                raise
            except BaseException:  # whoever reads went away
                if upstream is None:
                    self._serving.submit(gateway.recorder, gateway.left(call, asked))
                else:
                    self._serving.submit(gateway.recorder, self._answered(upstream, answer))
                raise
            events = self._answered(upstream, answer)
            await self._serving.logged(gateway.recorder, events)
            measured.finish(_tokens(self._reply(answer)))
        hand(_end(answer, self._reply(answer)))

    def _answered(self, upstream: Upstream, answer: Heard) -> list[PredictionEvent]:
        calls = [call.text for call in ToolCall.joined(answer.calls)]
        text = "\n".join(["".join(answer.text), *calls]).strip("\n") if calls else "".join(answer.text)
        return self._gateway.answered(self._call, upstream, [text], _tokens(self._reply(answer)))

    def _reply(self, answer: Heard) -> Reply:
        return Reply(body=answer.body, seconds=0.0, cached=False, asked_characters=self._call.size)


def _tokens(reply: Reply) -> tuple[int, int, int]:
    return reply.tokens_in, reply.tokens_out, reply.tokens_cached


def _end(answer: Heard, reply: Reply) -> Piece:
    return Piece(
        finish=answer.finish,
        prompt_tokens=reply.tokens_in,
        completion_tokens=reply.tokens_out,
        cached_tokens=reply.tokens_cached,
        reasoning_tokens=reply.tokens_reasoning,
    )
