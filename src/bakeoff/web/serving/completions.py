"""POST /v1/completions of the OpenAI API: the prompt is what a user says, as in the rows that the model was judged on.

Models are served as they were measured, with their instruction, examples and chat template; so a prompt is no text to
go on with, but a question. What only makes sense for the former (`suffix`, `echo`, tokens) is refused.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/completions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bakeoff.core.generation import Piece
from bakeoff.core.types import Json
from bakeoff.web.problems import openai_error
from bakeoff.web.serving.bodies import decoded, refused
from bakeoff.web.serving.chat_request import ChatRequest, SamplingOptions, Turn
from bakeoff.web.serving.conversing import AnswerTokens, Head, sse, text_of
from bakeoff.web.serving.openai import DONE, prediction_id, usage_of

__all__ = ["CompletionForm", "CompletionRequest", "completion_request"]

MAX_TOKENS = 16
"""The API's own default."""
MAX_ANSWERS = 128
"""Of all prompts of a call together; they are made one after another."""


class CompletionRequest(SamplingOptions, kw_only=True):
    """The body; `user` changes nothing."""

    prompt: str | list[Any]
    logprobs: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None

    def chats(self) -> list[ChatRequest]:
        """The same as requests for chat completions, one for each prompt.

        Raises:
            HttpError: something that they cannot say.
        """
        if self.echo:
            expected = "it to be left out: the prompt is a question here"
            raise refused("echo", expected, self.echo, code="unsupported_parameter")
        if self.suffix:
            raise refused("suffix", "it to be left out", self.suffix, code="unsupported_parameter")
        if self.best_of not in {None, self.n or 1}:
            raise refused("best_of", "as many as n", self.best_of, code="unsupported_parameter")
        options: dict[str, Any] = {name: getattr(self, name) for name in SamplingOptions.__struct_fields__}
        options["max_tokens"] = MAX_TOKENS if self.max_tokens is None else self.max_tokens
        return [
            ChatRequest(
                messages=[Turn(role="user", content=text)],
                logprobs=None if self.logprobs is None else True,
                top_logprobs=self.logprobs or None,
                **options,
            )
            for text in self._texts()
        ]

    def _texts(self) -> list[str]:
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        texts = [each for each in prompts if isinstance(each, str)]
        if not texts or len(texts) < len(prompts):
            raise refused("prompt", "a text, or texts: tokens are not served", self.prompt)
        if len(texts) * (self.n or 1) > MAX_ANSWERS:
            raise refused("prompt", f"at most {MAX_ANSWERS} answers of all prompts together", len(texts))
        return texts


def completion_request(body: bytes) -> CompletionRequest:
    """The request in a body; `HttpError` when it is none."""
    return decoded(body, CompletionRequest, '{"prompt": "…"}')


@dataclass(slots=True, kw_only=True)
class CompletionForm:
    """Writes text completions; see `bakeoff.web.serving.conversing.Form`.

    `choices` are answered to each prompt, those of the first one first; `ids` are the answers' own, if they have such.
    """

    head: Head
    include_usage: bool
    choices: int = 1
    ids: Sequence[str] = ()
    _ends: list[Piece] = field(default_factory=list[Piece])

    def whole(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """See `Form`."""
        choices = [self._choice(index, pieces, pieces[-1].finish) for index, pieces in enumerate(answers)]
        usage = self._usage([pieces[-1] for pieces in answers])
        return {**self.head.to_json(), "object": "text_completion", "choices": choices, "usage": usage}

    def start(self) -> Iterable[bytes]:
        """See `Form`."""
        return ()

    def piece(self, index: int, piece: Piece) -> Iterable[bytes]:
        """See `Form`."""
        if piece.finish is not None:
            self._ends.append(piece)
        extra: dict[str, Json] = {"usage": None} if self.include_usage else {}
        choices = [self._choice(index, [piece], piece.finish)]
        yield sse({**self.head.to_json(), "object": "text_completion", "choices": choices, **extra})

    def end(self) -> Iterable[bytes]:
        """See `Form`."""
        if self.include_usage:
            body = {**self.head.to_json(), "object": "text_completion", "choices": []}
            yield sse(body | {"usage": self._usage(self._ends)})
        yield DONE

    def failure(self, error: Exception) -> Iterable[bytes]:
        """See `Form`."""
        yield sse(openai_error(error))

    def _usage(self, ends: Sequence[Piece]) -> dict[str, Json]:
        """Tokens of all prompts, each of which its answers share."""
        prompts = [AnswerTokens.of(ends[at : at + self.choices]) for at in range(0, len(ends), self.choices)]
        return usage_of(sum(prompts, AnswerTokens()))

    def _choice(self, index: int, pieces: Sequence[Piece], finish: str | None) -> dict[str, Any]:
        tokens = [token for piece in pieces for token in piece.tokens]
        offsets = [sum(len(before.text) for before in tokens[:at]) for at in range(len(tokens))]
        logprobs = {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [dict(token.top) for token in tokens],
            "text_offset": offsets,
        }
        return {
            "index": index,
            "text": text_of(pieces),
            "finish_reason": finish,
            "logprobs": logprobs if tokens else None,
            "prediction_id": self.ids[index] if self.ids else prediction_id(self.head.id, index),
        }
