"""OpenAI's responses API as a service: calls and answers in the form of chat completions, said in its own.

Nothing is left with the service: every call says `store = false`.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/responses and /responses-streaming.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.types import Json

__all__ = ["ResponseEvents", "response_body", "response_reply"]

ELSEWHERE = frozenset(
    {"messages", "max_tokens", "max_completion_tokens", "logprobs", "response_format", "reasoning_effort"}
    | {"tools", "tool_choice", "stream_options"}
)
"""Options of chat completions that have another name or place here."""


def response_body(body: Mapping[str, Any]) -> dict[str, Json]:
    """The body of a chat completion as one of a response; options that it has no name for go as they are."""
    made: dict[str, Any] = {name: value for name, value in body.items() if name not in ELSEWHERE}
    made |= {"input": [item for turn in body["messages"] for item in _items(turn)], "store": False}
    made["max_output_tokens"] = body.get("max_tokens", body.get("max_completion_tokens"))
    if body.get("logprobs"):
        made["include"] = ["message.output_text.logprobs"]
    if body.get("reasoning_effort"):
        made["reasoning"] = {"effort": body["reasoning_effort"]}
    wanted: dict[str, Any] = body.get("response_format") or {}
    if wanted:
        made["text"] = {"format": {"type": wanted["type"], **(wanted.get("json_schema") or {})}}
    if body.get("tools"):
        choice = body.get("tool_choice", "auto")
        made["tools"] = [{"type": "function", **tool["function"]} for tool in body["tools"]]
        named = {"type": "function", "name": choice["function"]["name"]} if isinstance(choice, Mapping) else choice
        made["tool_choice"] = named
    return made


def _items(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    if turn["role"] == "tool":
        call_id = turn.get("tool_call_id")
        return [{"type": "function_call_output", "call_id": call_id, "output": turn["content"]}]
    calls: Sequence[dict[str, Any]] = turn.get("tool_calls") or ()
    items: list[dict[str, Any]] = [{"role": turn["role"], "content": turn["content"]}] if turn["content"] else []
    return items + [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls]


def response_reply(found: Any) -> Any:
    """A response as the body of a chat completion; what is none stays as it is."""
    if not narrow.is_object(found) or found.get("object") != "response":
        return found
    response = found
    items: Sequence[dict[str, Any]] = response.get("output") or ()
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or ()]
    said: dict[str, Any] = {"role": "assistant", "content": "".join(str(part.get("text", "")) for part in parts)}
    calls = [item for item in items if item.get("type") == "function_call"]
    if calls:
        said["tool_calls"] = [_call(item) for item in calls]
    logprobs = [token for part in parts for token in part.get("logprobs") or ()]
    choice = {
        "index": 0,
        "message": said,
        "finish_reason": _finish(response, calls=bool(calls)),
        "logprobs": {"content": logprobs} if logprobs else None,
    }
    return {"object": "chat.completion", "choices": [choice], "usage": _usage(response.get("usage") or {})}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item.get("arguments") or ""}
    return {"id": item["call_id"], "type": "function", "function": function}


def _finish(response: Mapping[str, Any], *, calls: bool) -> str:
    reason = (response.get("incomplete_details") or {}).get("reason")
    return {"max_output_tokens": "length"}.get(str(reason)) or ("tool_calls" if calls else "stop")


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }


class ResponseEvents:
    """Events of a streamed response as chunks of a chat completion."""

    def __init__(self) -> None:
        self._calls = 0

    def chunks(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks that an event makes."""
        match event.get("type"):
            case "response.output_text.delta":
                logprobs = {"content": event["logprobs"]} if event.get("logprobs") else None
                yield _chunk({"content": event["delta"]}, logprobs=logprobs)
            case "response.output_item.added" if event["item"].get("type") == "function_call":
                call = {"index": self._calls, **_call(event["item"] | {"arguments": ""})}
                self._calls += 1
                yield _chunk({"tool_calls": [call]})
            case "response.function_call_arguments.delta":
                bit = {"index": self._calls - 1, "function": {"arguments": event["delta"]}}
                yield _chunk({"tool_calls": [bit]})
            case "response.completed" | "response.incomplete":
                response = event["response"]
                finish = _finish(response, calls=self._calls > 0)
                yield _chunk({}, finish=finish) | {"usage": _usage(response.get("usage") or {})}
            case "response.failed" | "error":
                yield {"error": event.get("response", event)}
            case _:
                pass


def _chunk(
    delta: dict[str, Any], *, finish: str | None = None, logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
    return {"object": "chat.completion.chunk", "choices": [choice]}
