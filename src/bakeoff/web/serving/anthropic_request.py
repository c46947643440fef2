"""The body of POST /v1/messages (Anthropic's API), and the same as a request for a chat completion.

Source: the Anthropic API reference, docs.anthropic.com/en/api/messages.
"""

import json
from typing import Any, Literal

import msgspec

from bakeoff.core import narrow
from bakeoff.web.serving.bodies import decoded, joined, refused
from bakeoff.web.serving.chat_request import ChatRequest, Function, FunctionTool, ResponseFormat, Turn

__all__ = ["MessageRequest", "message_request", "tokens_request"]

EXAMPLE = '{"max_tokens": 256, "messages": [{"role": "user", "content": …}]}'
TEXTS = {"text": "text"}
UNSEEN = ("thinking", "redacted_thinking")
"""Parts of earlier answers that are no part of a prompt."""


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message: a text, or parts of it, calls of tools, and their results."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class Tool(msgspec.Struct):
    """A tool of the caller's; `cache_control` and the like change nothing."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None


class ToolChoice(msgspec.Struct, forbid_unknown_fields=True):
    """Whether a tool is called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class MessageRequest(msgspec.Struct):
    """The body; who asks (`metadata`, `user_profile_id`), `service_tier` and `cache_control` change nothing.

    `thinking` may be off, or adaptive: the model decides, as it does here anyway.
    """

    messages: list[Message]
    max_tokens: int
    model: str | None = None
    system: str | list[dict[str, Any]] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    cache_control: Any = None
    user_profile_id: str | None = None

    def chat(self) -> ChatRequest:
        """The same as a request for a chat completion.

        Raises:
            HttpError: something that it cannot say.
        """
        if self.thinking is not None and self.thinking.get("type") not in ("disabled", "adaptive"):
            expected = "it to be left out, disabled or adaptive"
            raise refused("thinking", expected, self.thinking, code="unsupported_parameter")
        choice = self.tool_choice or ToolChoice(type="auto")
        named = {"type": "function", "function": {"name": choice.name}}
        return ChatRequest(
            messages=self._turns(),
            model=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=self.stop_sequences,
            stream=self.stream,
            user=self.user_profile_id,
            response_format=self._format(),
            reasoning_effort=(self.output_config or {}).get("effort"),
            tools=[_tool(tool) for tool in self.tools or ()],
            tool_choice={"auto": "auto", "any": "required", "tool": named, "none": "none"}[choice.type],
            parallel_tool_calls=not choice.disable_parallel_tool_use,
        )

    def _format(self) -> ResponseFormat | None:
        wanted: Any = dict(self.output_config or {})
        schema, effort = wanted.pop("format", None), wanted.pop("effort", None)
        if any(value is not None for value in wanted.values()):
            expected = "a format and an effort at most"
            raise refused("output_config", expected, self.output_config, code="unsupported_parameter")
        if effort is not None and not isinstance(effort, str):
            raise refused("output_config.effort", "a text", effort, code="invalid_type")
        if schema is None:
            return None
        if not narrow.is_object(schema):
            raise refused("output_config.format", '{"type": "json_schema", "schema": {…}}', schema, code="invalid_type")
        return ResponseFormat(type="json_schema", json_schema={"name": "answer", "schema": schema.get("schema")})

    def _turns(self) -> list[Turn]:
        system = [] if not self.system else [Turn(role="system", content=joined(self.system, "system", TEXTS))]
        if self.messages and self.messages[-1].role == "assistant":
            expected = "the user to speak last: an answer that is begun cannot be gone on with"
            raise refused(f"messages[{len(self.messages) - 1}]", expected, self.messages[-1].content)
        for at, message in enumerate(self.messages):
            system += _turns(message, f"messages[{at}]")
        return system


def _tool(tool: Tool) -> FunctionTool:
    function = Function(name=tool.name, description=tool.description, parameters=tool.input_schema)
    return FunctionTool(type="function", function=function)


def _turns(message: Message, place: str) -> list[Turn]:
    """A message as turns: results of tools are turns of their own, before what is said beside them."""
    if isinstance(message.content, str):
        return [Turn(role=message.role, content=message.content)]
    turns: list[Turn] = []
    texts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for at, block in enumerate(message.content):
        kind, here = block.get("type"), f"{place}.content[{at}]"
        if kind == "text":
            texts.append(block)
        elif kind == "tool_use":
            arguments = json.dumps(block.get("input", {}), ensure_ascii=False)
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif kind == "tool_result":
            answered, content = block.get("tool_use_id"), block.get("content")
            if not isinstance(answered, str):
                raise refused(f"{here}.tool_use_id", "the id of a tool_use", answered, code="invalid_type")
            text = "" if content is None else joined(content, f"{here}.content", TEXTS)
            turns.append(Turn(role="tool", tool_call_id=answered, content=text))
        elif kind not in UNSEEN:
            raise refused(here, "a part of type text, tool_use or tool_result", block)
    if texts or calls or not turns:
        turns.append(
            Turn(role=message.role, content=joined(texts, f"{place}.content", TEXTS), tool_calls=calls or None)
        )
    return turns


class TokensRequest(MessageRequest):
    """The body of POST /v1/messages/count_tokens: no answer is wanted."""

    max_tokens: int = 1


def tokens_request(body: bytes) -> TokensRequest:
    """The request in a body; `HttpError` when it is none."""
    return decoded(body, TokensRequest, '{"messages": [{"role": "user", "content": …}]}')


def message_request(body: bytes) -> MessageRequest:
    """The request in a body; `HttpError` when it is none."""
    return decoded(body, MessageRequest, EXAMPLE)
