"""The body of POST /v1/responses (OpenAI), and the same as a request for a chat completion.

Nothing is kept between calls: what would need that (`previous_response_id`, `conversation`, `background`) is refused.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/responses/create.
"""

from typing import Any, Literal

import msgspec

from bakeoff.core import narrow
from bakeoff.web.serving.bodies import decoded, joined, refused
from bakeoff.web.serving.chat_request import ChatRequest, Function, FunctionTool, ResponseFormat, Role, Turn

__all__ = ["ResponseRequest", "response_request"]

LOGPROBS = "message.output_text.logprobs"
REFUSED = (
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "max_tool_calls",
    "moderation",
    "context_management",
)
INCLUDES = (
    LOGPROBS,
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)
"""All that a response may be asked to hold beside its text; but for the first, none of it ever occurs here."""
TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


class Item(msgspec.Struct):
    """A message, a call of a function, its result, or what a model thought (which is no part of a prompt)."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Role = "user"
    content: str | list[dict[str, Any]] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[dict[str, Any]] | None = None


class FunctionOnly(msgspec.Struct):
    """A tool of the caller's; there are no others here."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Format(msgspec.Struct):
    """The form that an answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Text(msgspec.Struct, forbid_unknown_fields=True):
    """How the answer's text is to be."""

    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    """How long a model that reasons may do so; summaries there are none."""

    effort: str | None = None


class ResponseRequest(msgspec.Struct):
    """The body; who asks (`user`, `metadata`, …) and what is to be stored changes nothing: nothing is."""

    input: str | list[Item]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    stream: bool | None = None
    stream_options: Any = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    tools: list[FunctionOnly] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["disabled", "auto"] | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    prompt: Any = None
    max_tool_calls: int | None = None
    store: bool | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    moderation: Any = None
    context_management: Any = None

    def chat(self) -> ChatRequest:
        """The same as a request for a chat completion.

        Raises:
            HttpError: something that it cannot say.
        """
        for name in REFUSED:
            if getattr(self, name):
                raise refused(name, "it to be left out", getattr(self, name), code="unsupported_parameter")
        if self.truncation == "auto":
            raise refused("truncation", "disabled: nothing is cut silently", "auto", code="unsupported_parameter")
        for at, included in enumerate(self.include or ()):
            if included not in INCLUDES:
                expected = f"one of {', '.join(INCLUDES)}"
                raise refused(f"include[{at}]", expected, included, code="unsupported_parameter")
        named: Any = self.tool_choice
        if narrow.is_object(named) and named.get("type") == "function":
            named = {"type": "function", "function": {"name": named.get("name")}}
        wanted = LOGPROBS in (self.include or ()) or bool(self.top_logprobs)
        return ChatRequest(
            messages=self._turns(),
            model=self.model,
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            logprobs=wanted,
            top_logprobs=self.top_logprobs if wanted else None,
            stream=self.stream,
            user=self.user,
            response_format=None if self.text is None else _format(self.text.format),
            verbosity=None if self.text is None else self.text.verbosity,
            reasoning_effort=None if self.reasoning is None else self.reasoning.effort,
            tools=[_tool(tool) for tool in self.tools or ()],
            tool_choice=named,
            parallel_tool_calls=self.parallel_tool_calls,
        )

    def _turns(self) -> list[Turn]:
        turns = [] if self.instructions is None else [Turn(role="system", content=self.instructions)]
        items = [Item(content=self.input)] if isinstance(self.input, str) else self.input
        for at, item in enumerate(items):
            turns += _turns(item, f"input[{at}]")
        return turns


def _turns(item: Item, place: str) -> list[Turn]:
    match item.type:
        case "message":
            return [Turn(role=item.role, content=_text(item.content, f"{place}.content"))]
        case "function_call":
            function = {"name": item.name, "arguments": item.arguments or ""}
            call = {"id": item.call_id, "type": "function", "function": function}
            return [Turn(role="assistant", tool_calls=[call])]
        case "function_call_output":
            return [Turn(role="tool", tool_call_id=item.call_id, content=_text(item.output, f"{place}.output"))]
        case "reasoning":
            return []


def _text(content: str | list[dict[str, Any]] | None, place: str) -> str:
    if not content and not isinstance(content, str):
        raise refused(place, "a text, or a list of parts", content)
    return joined(content, place, TEXTS, "input_text or output_text")


def _tool(tool: FunctionOnly) -> FunctionTool:
    function = Function(name=tool.name, description=tool.description, parameters=tool.parameters)
    return FunctionTool(type="function", function=function)


def _format(wanted: Format | None) -> ResponseFormat | None:
    if wanted is None:
        return None
    schema = {"name": wanted.name, "schema": wanted.schema} if wanted.type == "json_schema" else None
    return ResponseFormat(type=wanted.type, json_schema=schema)


def response_request(body: bytes) -> ResponseRequest:
    """The request in a body; `HttpError` when it is none."""
    return decoded(body, ResponseRequest, '{"input": "…"}')
