"""Text that comes piece by piece: what an engine that runs a language model must offer."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from bakeoff.core import plugins
from bakeoff.core.errors import OptionError
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Capacity",
    "ChatModel",
    "Concurrent",
    "Converted",
    "Embedded",
    "Embedder",
    "Embedding",
    "Finish",
    "Message",
    "Messages",
    "Option",
    "Piece",
    "Sampling",
    "Speaking",
    "Speech",
    "TextEngine",
    "TextSession",
    "Token",
    "Tool",
    "ToolCall",
    "Warming",
    "engine_of",
]

Message: TypeAlias = Mapping[str, Json]
"""One turn as the OpenAI API has it: `role` ("system", "user", "assistant") and `content`."""

Messages: TypeAlias = Sequence[Message]
Tool: TypeAlias = Mapping[str, Json]
"""A function that a model may call, as the OpenAI API has it: `name`, `description`, `parameters` (a JSON schema)."""

Finish: TypeAlias = Literal["stop", "length", "tool_calls"]
Option: TypeAlias = Literal[
    "frequency_penalty", "logit_bias", "logprobs", "presence_penalty", "reasoning_effort", "response_format", "tools"
]
"""An option of a call that not every model can honour. Those of drawing (`temperature`, `top_p`, `top_k`, `min_p`,
`seed`) are honoured by all that draw, and by the others trivially: they give one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to choose the next token; `temperature` 0 takes the likeliest.

    Every model that converses honours `max_tokens` and `stop`. Of the rest, `wanted` names what a call asks for;
    what a model cannot do of it, it refuses (`require`).

    Attributes:
        max_tokens: The answer is cut after so many tokens.
        temperature: Logits are divided by it before anything is left out.
        top_p: Of the likeliest tokens, as many are kept as make up this share.
            Source: Holtzman et al. 2020, section 3.1.
        top_k: So many of the likeliest tokens are kept; 0 for all.
        min_p: Tokens below this share of the likeliest one's probability are left out. Source: Nguyen et al. 2024.
        seed: The same seed gives the same answer; without one, each call draws anew.
        stop: The answer ends before the first of these texts.
        top_logprobs: The log-probability of each token is given, and of so many alternatives (0: of none).
        json_schema: Only texts that are JSON of that schema are allowed.
        frequency_penalty: Taken off a token's logit for each time that the answer has it already.
        presence_penalty: Taken off the logit of each token that the answer has already.
        logit_bias: Added to the logits of tokens, by id.
        reasoning_effort: How long a model that reasons may do so, in the words of its service.
        tools: Functions that the answer may call.
        tool_choice: Whether it calls one: "auto" as it likes, "required", or the name of the one to call.
        parallel_tools: Whether it may call several at once.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    json_schema: Mapping[str, Json] | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])
    reasoning_effort: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tools: bool = True

    @property
    def wanted(self) -> frozenset[Option]:
        """The options, by the names that the OpenAI API gives them, without which the answer would be another."""
        asks: dict[Option, object] = {
            "logprobs": self.top_logprobs is not None,
            "response_format": self.json_schema is not None,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "logit_bias": self.logit_bias,
            "reasoning_effort": self.reasoning_effort is not None,
            "tools": self.tools,
        }
        return frozenset(option for option, asked in asks.items() if asked)

    def require(self, able: frozenset[Option], who: str) -> None:
        """See that all that is wanted can be done.

        Raises:
            OptionError: `who` is able to do less; it names the first option by the alphabet.
        """
        for option in sorted(self.wanted - able):
            can = ", ".join(sorted(able)) or "none of such options"
            raise OptionError(option, f"expected it to be left out: {who} cannot do it (it can do {can})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of an answer: its id, its text, its log-probability, and its likeliest alternatives."""

    id: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a function, or the next bit of one: bits of the same `index` belong together.

    The first bit has `id` and `name`; `arguments` is JSON, in bits that are to be joined.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def text(self) -> str:
        """The call as a line of text, where there is no other place for it."""
        call = json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)
        return f"<tool_call>{call}</tool_call>"

    @classmethod
    def joined(cls, bits: "Iterable[ToolCall]") -> "list[ToolCall]":
        """The whole calls that bits make, in the order of their indices.

        >>> ToolCall.joined([ToolCall(index=0, id="c", name="f", arguments='{"a"'), ToolCall(index=0, arguments=":1}")])
        [ToolCall(index=0, id='c', name='f', arguments='{"a":1}')]
        """
        calls: dict[int, ToolCall] = {}
        for bit in bits:
            known = calls.get(bit.index, cls(index=bit.index))
            calls[bit.index] = cls(
                index=bit.index,
                id=known.id or bit.id,
                name=known.name or bit.name,
                arguments=known.arguments + bit.arguments,
            )
        return [calls[index] for index in sorted(calls)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The next bit of an answer; the last one says why it ended and what was counted.

    `cached_tokens` are those of the prompt that the model had from an earlier one, `reasoning_tokens` those of the
    completion that it thought in.
    """

    text: str = ""
    tokens: tuple[Token, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class TextSession(Protocol):
    """A language model that is loaded. Safe to call from several threads at once."""

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """The answer, piece by piece; closing the iterator stops it.

        `ContextLengthError` when the prompt is too long, `OptionError` for an option that cannot be had.
        """
        ...

    def render(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[int]:
        """The token ids of the prompt that `chat` would give to the model."""
        ...

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Mean-pooled vectors of length one, (n, d); `DataError` from an engine that only converses."""
        ...

    def close(self) -> None:
        """Free what it holds; answers that are under way end."""
        ...


class TextEngine(Protocol):
    """Runs language models that stand in a folder as Hugging Face safetensors; registered under `bakeoff.engines`."""

    name: str
    quantisations: Sequence[str]
    """The forms that it can convert weights to; none for an engine that runs them as they are."""

    def open(
        self,
        model: Path,
        *,
        adapter: Path | None = None,
        threads: int,
        cache: Path,
        context: int = 2048,
        parallel: int = 4,
        quantisation: str = "q8_0",
        kv_cache: str = "f16",
    ) -> TextSession:
        """Load a model, with a peft adapter on it if one is given.

        `context` tokens for each of `parallel` conversations, remembered in `kv_cache`. `quantisation` is for engines
        that convert the weights; what they made is kept in `cache`. `CandidateError` when it cannot be done.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much an engine holds: `slots` conversations of `context` tokens at once, remembered as `kv_cache`."""

    context: int = 2048
    slots: int = 4
    kv_cache: str = "f16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What an engine runs for a model: the folder that was trained, the engine's name and how it may convert it.

    Whoever runs it elsewhere puts the turns `before` before all others (system, examples), the `instruction` before
    what the user says first (unless an example has it), and lets answers have `max_new_tokens`.
    """

    model: Path
    adapter: Path | None
    engine: str
    quantisation: str
    capacity: Capacity = Capacity()
    before: tuple[Message, ...] = ()
    instruction: str = ""
    max_new_tokens: int = 256


@runtime_checkable
class Speaking(Protocol):
    """A model whose answers come from an engine, which may run something else than what was trained."""

    @property
    def speech(self) -> Speech | None:
        """What the engine runs; None when the trained weights answer themselves."""
        ...


@runtime_checkable
class ChatModel(Protocol):
    """A model that also converses: what `/v1/chat/completions` asks for."""

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """As `TextSession.chat`."""
        ...


@runtime_checkable
class Concurrent(Protocol):
    """A session, or a model, that knows how many answers it works at; more of them would only wait inside it."""

    @property
    def concurrency(self) -> int | None:
        """So many answers, and those behind them that it wants to know of; None where more always help."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A model that counts the tokens of a prompt before it is asked."""

    def prompt_tokens(self, messages: Messages, tools: Sequence[Tool] = ()) -> int:
        """As many as `chat` would read, what stands around every conversation among them."""
        ...


@runtime_checkable
class Converted(Protocol):
    """What may answer from other files than were trained: a session that converts weights, a model that it runs."""

    @property
    def weights_bytes(self) -> int | None:
        """The size of those files; None where what was trained answers itself."""
        ...


@runtime_checkable
class Warming(Protocol):
    """A model that loads what its answers need when it is first asked, or before."""

    def warm(self) -> None:
        """Load it now, so that no answer waits for it and what is broken is told here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Vectors of texts, each of length one, (n, d); and the number of tokens that were read."""

    vectors_nd: "NDArray[np.float32]"
    tokens: int


class Embedder(Protocol):
    """An encoder: texts become vectors. Safe to call from several threads at once."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """A vector for each text; `ContextLengthError` for one that is longer than the encoder reads."""
        ...


@runtime_checkable
class Embedding(Protocol):
    """A model that may hold an encoder: what `/v1/embeddings` asks for."""

    @property
    def embedder(self) -> Embedder | None:
        """Its encoder, or the first one among those of the models that it is made of; None when there is none."""
        ...


def engine_of(spec: str) -> TextEngine:
    """The engine of a name, or of `name:URL` for one that runs elsewhere.

    Raises:
        NotFoundError: there is no such engine. MissingExtraError: what it needs is not installed.
    """
    name, _, url = spec.partition(":")
    made = plugins.load("bakeoff.engines", name)
    return made(url) if url else made()
