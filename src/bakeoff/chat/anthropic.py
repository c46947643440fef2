"""Anthropic's messages API as a service: calls and answers in the form of chat completions, said in its own.

Source: the Anthropic API reference, docs.anthropic.com/en/api/messages and /en/api/messages-streaming.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.types import Json

__all__ = ["HEADERS", "MessageEvents", "message_body", "message_reply"]

HEADERS: Mapping[str, str] = {"anthropic-version": "2023-06-01"}
FINISHES = {"max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}
SAME = ("model", "temperature", "top_k", "stream")


def message_body(body: Mapping[str, Any]) -> dict[str, Json]:
    """The body of a chat completion as one of a message; options that it has no name for go as they are."""
    turns: list[dict[str, Any]] = list(body["messages"])
    system = [str(turn["content"]) for turn in turns if turn["role"] in {"system", "developer"}]
    made: dict[str, Any] = {name: body[name] for name in SAME if name in body}
    made |= {"max_tokens": body.get("max_tokens", body.get("max_completion_tokens"))}
    made |= {"messages": [_message(turn) for turn in turns if turn["role"] not in {"system", "developer"}]}
    if system:
        made["system"] = "\n\n".join(system)
    if body.get("top_p", 1.0) != 1.0:  # with a temperature, it is refused even where it changes nothing
        made["top_p"] = body["top_p"]
    if body.get("stop"):
        made["stop_sequences"] = body["stop"]
    config: dict[str, Any] = {}
    if body.get("reasoning_effort"):
        config["effort"] = body["reasoning_effort"]
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema is not None:
        config["format"] = {"type": "json_schema", "schema": schema}
    if config:
        made["output_config"] = config
    known = {*SAME, "messages", "max_tokens", "max_completion_tokens", "top_p", "stop", "reasoning_effort"}
    known |= {"response_format", "tools", "tool_choice", "parallel_tool_calls", "stream_options"}
    return {**made, **_tools(body), **{name: value for name, value in body.items() if name not in known}}


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    if turn["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": turn.get("tool_call_id"), "content": turn["content"]}
        return {"role": "user", "content": [result]}
    calls = turn.get("tool_calls") or ()
    if not calls:
        return {"role": turn["role"], "content": turn["content"]}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": turn["content"]}] if turn["content"] else []
    for call in calls:
        function = call["function"]
        arguments = json.loads(function["arguments"] or "{}")
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
    return {"role": "assistant", "content": blocks}


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    if not body.get("tools"):
        return {}
    functions = [tool["function"] for tool in body["tools"]]
    tools = [
        {"name": each["name"], "description": each.get("description", ""), "input_schema": each["parameters"]}
        for each in functions
    ]
    choice = body.get("tool_choice", "auto")
    chosen = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}.get(str(choice))
    chosen = chosen or {"type": "tool", "name": choice["function"]["name"]}
    if body.get("parallel_tool_calls") is False:
        chosen = {**chosen, "disable_parallel_tool_use": True}
    return {"tools": tools, "tool_choice": chosen}


def message_reply(found: Any) -> Any:
    """A message as the body of a chat completion; what is none stays as it is."""
    if not narrow.is_object(found) or found.get("type") != "message":
        return found
    message = found
    blocks: Sequence[dict[str, Any]] = message.get("content") or ()
    text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    said: dict[str, Any] = {"role": "assistant", "content": text}
    calls = [_call(block, json.dumps(block.get("input", {}))) for block in blocks if block.get("type") == "tool_use"]
    if calls:
        said["tool_calls"] = calls
    finish = FINISHES.get(str(message.get("stop_reason")), "stop")
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice], "usage": _usage(message.get("usage") or {})}


def _call(block: Mapping[str, Any], arguments: str) -> dict[str, Any]:
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """What was read from its cache, and what was written to it, are no part of what it calls input."""
    cached = int(usage.get("cache_read_input_tokens") or 0)
    read = int(usage.get("input_tokens") or 0) + cached + int(usage.get("cache_creation_input_tokens") or 0)
    written = int(usage.get("output_tokens") or 0)
    details = {"cached_tokens": cached}
    return {"prompt_tokens": read, "completion_tokens": written, "prompt_tokens_details": details}


class MessageEvents:
    """Events of a streamed message as chunks of a chat completion."""

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._calls = 0

    def chunks(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks that an event makes."""
        match event.get("type"):
            case "message_start":
                self._usage |= event["message"].get("usage") or {}
            case "content_block_start" if event["content_block"].get("type") == "tool_use":
                call = {"index": self._calls, **_call(event["content_block"], "")}
                self._calls += 1
                yield _chunk({"tool_calls": [call]})
            case "content_block_delta" if "text" in event["delta"]:
                yield _chunk({"content": event["delta"]["text"]})
            case "content_block_delta" if "partial_json" in event["delta"]:
                function = {"arguments": event["delta"]["partial_json"]}
                yield _chunk({"tool_calls": [{"index": self._calls - 1, "function": function}]})
            case "message_delta":
                self._usage |= {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
                finish = FINISHES.get(str(event["delta"].get("stop_reason")), "stop")
                yield _chunk({}, finish) | {"usage": _usage(self._usage)}
            case "error":
                yield {"error": event.get("error")}
            case _:
                pass


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
