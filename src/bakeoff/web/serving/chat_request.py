"""The body of POST /v1/chat/completions: each of the API's options is done, without effect by its nature, or refused.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/chat/create; `top_k` and `min_p` as vLLM
and llama.cpp have them.
"""

import json
from typing import Any, Literal, TypeAlias

import msgspec

from bakeoff.chat.streaming import ANY_OBJECT
from bakeoff.core import narrow
from bakeoff.core.generation import Sampling, ToolCall
from bakeoff.core.types import Json
from bakeoff.web.serving.bodies import decoded, joined, refused

__all__ = [
    "NO_EFFECT",
    "ChatRequest",
    "Function",
    "FunctionTool",
    "ResponseFormat",
    "SamplingOptions",
    "StreamOptions",
    "Turn",
    "chat_request",
]

MAX_TOKENS = 256
MAX_TOP_LOGPROBS = 20
MAX_CHOICES = 16
MAX_STOPS = 16
EXAMPLE = '{"messages": [{"role": …, "content": …}]}'
TEXT_PARTS = {"text": "text", "refusal": "refusal"}

NO_EFFECT = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prediction",
)
"""Options that are taken and change nothing here: they say who asks, what the service may keep and how fast it is."""

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool", "function"]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream tells beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ResponseFormat(msgspec.Struct, forbid_unknown_fields=True):
    """The form that an answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class Function(msgspec.Struct, forbid_unknown_fields=True):
    """What a tool does. `strict` changes nothing: arguments are held to the schema wherever that can be done."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(msgspec.Struct, forbid_unknown_fields=True):
    """A tool of the caller's."""

    type: Literal["function"]
    function: Function


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """A message. `name`, `annotations` and `reasoning_content` have no place in a prompt here."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    annotations: list[Any] | None = None
    audio: Any = None
    reasoning_content: str | None = None


class SamplingOptions(msgspec.Struct, kw_only=True):
    """Options that chat and text completions of the OpenAI API have in common."""

    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None


class ChatRequest(SamplingOptions, kw_only=True):
    """The body. Each key may be null, which is the same as leaving it out."""

    messages: list[Turn]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    verbosity: str | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    audio: Any = None
    web_search_options: Any = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    moderation: Any = None
    prediction: dict[str, Any] | None = None

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def sampling(self) -> Sampling:
        """How to choose tokens.

        Raises:
            HttpError: values out of their ranges, or something that no model here can do.
        """
        self._check_ranges()
        self._check_forms()
        if self.max_tokens is not None and self.max_completion_tokens not in {None, self.max_tokens}:
            raise refused("max_tokens", "it or max_completion_tokens, not two different values", self.max_tokens)
        if self.top_logprobs and not self.logprobs:
            raise refused("top_logprobs", "logprobs = true beside it", self.top_logprobs)
        most = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        return Sampling(
            max_tokens=MAX_TOKENS if most is None else most,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(0, self.top_k or 0),
            min_p=self.min_p or 0.0,
            seed=self.seed,
            stop=self._stops(),
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            json_schema=_schema(self.response_format),
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            logit_bias=self._biases(),
            reasoning_effort=None if self.reasoning_effort == "none" else self.reasoning_effort,
            tools=tuple(_tool(each.function) for each in self._tools()),
            tool_choice=self._tool_choice(),
            parallel_tools=self.parallel_tool_calls is not False,
        )

    def turns(self) -> list[dict[str, Json]]:
        """The messages with plain text as their content; `developer` is the newer word for `system`.

        With tools, their calls and results stay what they are, for a template that knows them; without, calls stand
        in the text.
        """
        if not self.messages:
            raise refused("messages", "at least one message", [])
        return [_turn(turn, f"messages[{at}]", tools=bool(self.tools)) for at, turn in enumerate(self.messages)]

    def _tools(self) -> list[FunctionTool]:
        tools = [] if self.tool_choice == "none" else self.tools or []
        names = [tool.function.name for tool in tools]
        if len(set(names)) < len(names) or {"auto", "required"} & set(names):
            raise refused("tools", "tools with different names, none of them auto or required", names)
        return tools

    def _tool_choice(self) -> str:
        choice, names = self.tool_choice, [tool.function.name for tool in self.tools or ()]
        if choice is None or choice in ("none", "auto"):
            return "auto"
        if choice == "required" and names:
            return "required"
        named = choice.get("function") if narrow.is_object(choice) else None
        name = named.get("name") if narrow.is_object(named) else None
        if name not in names:
            one = " or ".join(["none", "auto", "required", *(f"the function {name!r}" for name in names)])
            raise refused("tool_choice", one if names else "tools to choose from", choice)
        return str(name)

    def _check_ranges(self) -> None:
        for name, value, low, high in (
            ("max_tokens", self.max_tokens, 1, 1_000_000),
            ("max_completion_tokens", self.max_completion_tokens, 1, 1_000_000),
            ("temperature", self.temperature, 0, 2),
            ("top_p", self.top_p, 0, 1),
            ("top_k", self.top_k, -1, 1_000_000),
            ("min_p", self.min_p, 0, 1),
            ("n", self.n, 1, MAX_CHOICES),
            ("top_logprobs", self.top_logprobs, 0, MAX_TOP_LOGPROBS),
            ("frequency_penalty", self.frequency_penalty, -2, 2),
            ("presence_penalty", self.presence_penalty, -2, 2),
            ("seed", self.seed, -(2**63), 2**63 - 1),
        ):
            if value is not None and not low <= value <= high:
                raise refused(name, f"{low} to {high}", value)

    def _check_forms(self) -> None:
        """Other forms of answers are not served; saying that none are wanted is fine."""
        for name, value, none in (
            ("repetition_penalty", self.repetition_penalty, (1,)),
            ("functions", self.functions, ([],)),
            ("function_call", self.function_call, ("none", "auto")),
            ("modalities", self.modalities, (["text"], [])),
            ("verbosity", self.verbosity, ("medium",)),
            ("audio", self.audio, ()),
            ("web_search_options", self.web_search_options, ()),
            ("moderation", self.moderation, ()),
        ):
            if value is not None and value not in none:
                left_out = " or ".join(["left out", *(json.dumps(each) for each in none)])
                raise refused(
                    name, f"it to be {left_out}: more is not served here", value, code="unsupported_parameter"
                )

    def _stops(self) -> tuple[str, ...]:
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if len(stops) > MAX_STOPS or not all(stops):
            raise refused("stop", f"at most {MAX_STOPS} texts, none of them empty", self.stop)
        return stops

    def _biases(self) -> dict[int, float]:
        biases = self.logit_bias or {}
        for token, bias in biases.items():
            if not (token.isascii() and token.isdecimal()) or not -100 <= bias <= 100:  # noqa: PLR2004 - the API's
                raise refused(f"logit_bias.{token[:20]}", "a token's id with a number of -100 to 100", bias)
        return {int(token): bias for token, bias in biases.items()}


def chat_request(body: bytes) -> ChatRequest:
    """The request in a body.

    Raises:
        HttpError: it is none.
    """
    return decoded(body, ChatRequest, EXAMPLE)


def _turn(turn: Turn, place: str, *, tools: bool) -> dict[str, Json]:
    """One message; without `tools`, calls of tools stand in its text, each in a line."""
    if turn.audio is not None:
        raise refused(f"{place}.audio", "text alone", turn.audio, code="unsupported_parameter")
    calls = [_call(call, f"{place}.tool_calls[{at}]") for at, call in enumerate(turn.tool_calls or ())]
    if turn.function_call is not None:
        calls.append(_call({"function": turn.function_call}, f"{place}.function_call"))
    if turn.content is None and turn.role != "assistant":
        raise refused(f"{place}.content", "a text, or a list of parts", None)
    text = turn.refusal or "" if turn.content is None else joined(turn.content, f"{place}.content", TEXT_PARTS)
    role = "system" if turn.role == "developer" else turn.role
    if tools:
        message: dict[str, Json] = {"role": role, "content": text}
        extra: dict[str, Json] = {"tool_calls": turn.tool_calls, "tool_call_id": turn.tool_call_id}
        return message | {name: value for name, value in extra.items() if value}
    return {"role": role, "content": "\n".join(each for each in (text, *calls) if each)}


def _tool(function: Function) -> dict[str, Json]:
    parameters = function.parameters or {"type": "object", "properties": {}}
    return {"name": function.name, "description": function.description or "", "parameters": parameters}


def _call(call: dict[str, Any], place: str) -> str:
    function = call.get("function")
    if not narrow.is_object(function) or not isinstance(function.get("name"), str):
        raise refused(place, "a function with a name", call)
    return ToolCall(index=0, name=function["name"], arguments=str(function.get("arguments", ""))).text


def _schema(wanted: ResponseFormat | None) -> dict[str, Json] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return dict(ANY_OBJECT)
    schema = (wanted.json_schema or {}).get("schema")
    if not narrow.is_object(schema):
        raise refused("response_format.json_schema", "a name and a schema", wanted.json_schema)
    return schema
