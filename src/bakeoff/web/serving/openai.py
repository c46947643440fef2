"""The OpenAI API over one endpoint: how chat completions (streamed or whole) and models are told.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/chat. The id of an answer is its
prediction id: feedback is given on it. Where a request says nothing, the answer is chosen as it was when the model was
evaluated (the likeliest token), not at the API's temperature of 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bakeoff.core.generation import Piece, Token, ToolCall
from bakeoff.core.types import Json
from bakeoff.web.problems import openai_error
from bakeoff.web.serving.conversing import AnswerTokens, Head, calls_of, sse, text_of

__all__ = ["DONE", "ChatForm", "model_card", "model_list", "prediction_id", "token_logprobs", "usage_of"]

DONE = b"data: [DONE]\n\n"


def prediction_id(answer_id: str, index: int) -> str:
    """The prediction id of one of several answers to a call; that of the first is the call's own."""
    return answer_id if index == 0 else f"{answer_id}-{index}"


@dataclass(slots=True, kw_only=True)
class ChatForm:
    """Writes chat completions; see `bakeoff.web.serving.conversing.Form`."""

    head: Head
    include_usage: bool
    _begun: set[int] = field(default_factory=set[int])
    _ends: list[Piece] = field(default_factory=list[Piece])

    def whole(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """See `Form`."""
        choices = [self._choice(index, pieces) for index, pieces in enumerate(answers)]
        usage = usage_of(AnswerTokens.of(pieces[-1] for pieces in answers))
        return {**self.head.to_json(), "object": "chat.completion", "choices": choices, "usage": usage}

    def start(self) -> Iterable[bytes]:
        """See `Form`."""
        return ()

    def piece(self, index: int, piece: Piece) -> Iterable[bytes]:
        """See `Form`."""
        if index not in self._begun:
            self._begun.add(index)
            yield self._chunk(index, {"role": "assistant", "content": ""})
        delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
        if piece.calls:
            delta["tool_calls"] = [_bit(call) for call in piece.calls]
        if piece.finish is not None:
            self._ends.append(piece)
        yield self._chunk(index, delta, piece)

    def end(self) -> Iterable[bytes]:
        """See `Form`."""
        if self.include_usage:
            body = {**self.head.to_json(), "object": "chat.completion.chunk", "choices": []}
            yield sse(body | {"usage": usage_of(AnswerTokens.of(self._ends))})
        yield DONE

    def failure(self, error: Exception) -> Iterable[bytes]:
        """See `Form`."""
        yield sse(openai_error(error))

    def _choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        calls = calls_of(pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text_of(pieces), "refusal": None}
        if calls:
            message |= {"content": message["content"] or None, "tool_calls": [_call(call) for call in calls]}
        return {
            "index": index,
            "message": message,
            "finish_reason": pieces[-1].finish,
            "logprobs": _logprobs([token for piece in pieces for token in piece.tokens]),
            "prediction_id": prediction_id(self.head.id, index),
        }

    def _chunk(self, index: int, delta: dict[str, Any], piece: Piece | None = None) -> bytes:
        logprobs = _logprobs(piece.tokens) if piece else None
        finish = piece.finish if piece else None
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        extra: dict[str, Json] = {"usage": None} if self.include_usage else {}
        return sse({**self.head.to_json(), "object": "chat.completion.chunk", "choices": [choice], **extra})


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _bit(call: ToolCall) -> dict[str, Any]:
    """A call in a delta: what names it stands in its first bit alone."""
    if not call.name:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    return {"index": call.index, **_call(call)}


def _logprobs(tokens: "Sequence[Token]") -> dict[str, Any] | None:
    return {"content": token_logprobs(tokens), "refusal": None} if tokens else None


def token_logprobs(tokens: Iterable[Token]) -> list[dict[str, Any]]:
    """Log-probabilities of tokens and of those that stood beside them, as OpenAI's APIs have them."""

    def entry(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return [
        {**entry(token.text, token.logprob), "top_logprobs": [entry(*other) for other in token.top]} for token in tokens
    ]


def usage_of(tokens: AnswerTokens) -> dict[str, Json]:
    """Tokens read and written."""
    return {
        "prompt_tokens": tokens.read,
        "completion_tokens": tokens.written,
        "total_tokens": tokens.read + tokens.written,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def model_card(name: str, created_s: int) -> dict[str, Any]:
    """The body of GET /v1/models/{id}, as OpenAI's and as Anthropic's API have it: they share the path."""
    made = datetime.fromtimestamp(created_s, UTC).isoformat().replace("+00:00", "Z")
    card = {"id": name, "object": "model", "created": created_s, "owned_by": "bakeoff"}
    return card | {"type": "model", "display_name": name, "created_at": made}


def model_list(names: Sequence[str], created_s: int) -> dict[str, Any]:
    """The body of GET /v1/models: the models that the caller reaches, by each of their names."""
    page = {"has_more": False, "first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return {"object": "list", "data": [model_card(name, created_s) for name in names], **page}
