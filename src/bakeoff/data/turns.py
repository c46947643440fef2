"""Turns of a conversation, from the ways that files write them to messages of the OpenAI API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.conversation import calls_text
from bakeoff.data.transcripts import transcript_of

__all__ = [
    "ConversationExample",
    "alpaca_turns",
    "answered",
    "is_turns",
    "transcript_turns",
    "turns_of",
    "without_place",
]

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "observation", "function", "function_response", "ipython"), "tool"),
}
KNOWN_KEYS = frozenset(
    {"role", "from", "content", "value", "name", "tool_calls", "tool_call_id", "function_call", "weight"}
)
Turns = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationExample:
    """Turns, the answer to them, and an answer that was turned down, if there is one."""

    turns: Turns
    answer: str
    rejected: str | None = None


def is_turns(value: object) -> bool:
    """Whether a value is a list of turns, or its JSON, as far as its first element shows."""
    items = _items(value)
    return bool(items) and isinstance(items[0], Mapping) and bool({"role", "from"} & set(items[0]))


def turns_of(value: object, *, system: object = None) -> list[dict[str, Any]]:
    """Messages of a list of turns (or its JSON), after the text of a `system` turn if there is one.

    Raises:
        TypeError: it is none, with what is wrong.
    """
    items = _items(value)
    if not items:
        raise TypeError(f"expected a list of turns, received {str(value)[:80]!r}")
    turns = [_turn(item) for item in items]
    if isinstance(system, str) and system and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system})
    return turns


def answered(turns: list[dict[str, Any]]) -> ConversationExample:
    """The turns before the last one, which is the answer.

    Raises:
        TypeError: the assistant does not speak last.
    """
    if not turns or turns[-1]["role"] != "assistant":
        last = turns[-1]["role"] if turns else None
        raise TypeError(f"expected a conversation that ends with the assistant, received one that ends with {last!r}")
    last = turns[-1]
    if last.get("weight") == 0:
        raise TypeError("expected a last answer to learn, received one of weight 0")
    calls = last.get("tool_calls")
    answer = calls_text(last.get("content"), calls) if calls else str(last.get("content") or "")
    return ConversationExample(turns=turns[:-1], answer=answer)


def transcript_turns(text: object) -> list[dict[str, Any]]:
    r"""The turns of a text that is a whole conversation.

    >>> transcript_turns("### Human: Hi### Assistant: Yes?")[1]["content"]
    'Yes?'

    Raises:
        TypeError: it is none, with what is wrong.
    """
    form = transcript_of(text)
    if form is None:
        raise TypeError(f"expected a text with marks of turns, received {str(text)[:80]!r}")
    return turns_of(form.turns(str(text)))


def alpaca_turns(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns before the answer of a row of Alpaca: system, history (pairs), instruction with its input."""
    turns: list[dict[str, Any]] = []
    if row.get("system"):
        turns.append({"role": "system", "content": str(row["system"])})
    for pair in _items(row.get("history")):
        if not isinstance(pair, str | list | tuple) or len(pair) != 2:  # noqa: PLR2004
            raise TypeError(f"expected history as pairs of a question and an answer, received {str(pair)[:80]!r}")
        turns += [{"role": role, "content": str(text)} for role, text in zip(("user", "assistant"), pair, strict=True)]
    asked = [str(row[name]) for name in ("instruction", "input", "context") if row.get(name)]
    if not asked:
        raise TypeError("expected an instruction, received none")
    return [*turns, {"role": "user", "content": "\n\n".join(asked)}]


def _turn(item: object) -> dict[str, Any]:
    if not narrow.is_mapping(item):
        raise TypeError(f"expected a turn with role and content, received {str(item)[:80]!r}")
    turn = item
    said = turn.get("role") or turn.get("from")
    role = ROLES.get(str(said))
    if role is None:
        raise TypeError(f"expected a role among {', '.join(sorted(ROLES))}, received {said!r}")
    content = turn.get("content") if turn.get("content") is not None else turn.get("value")
    calls = turn.get("tool_calls") or _legacy_call(turn, str(said), content)
    made: dict[str, Any] = {"role": role, "content": _content(content)}
    if calls:
        made["tool_calls"] = [_call(call) for call in calls]
        made["content"] = None if said == "function_call" or content is None else made["content"]
    elif content is None:
        raise TypeError(f"expected the content of the turn of {said!r}, received none")
    for name in ("name", "tool_call_id"):
        if isinstance(turn.get(name), str):
            made[name] = turn[name]
    if role == "assistant" and turn.get("weight") == 0:  # OpenAI's way to say that a turn is not to be learned
        made["weight"] = 0
    return made


def without_place(value: object) -> list[str]:
    """Keys of a list of turns that have a value, and no place in a prompt."""
    turns = [item for item in _items(value) if narrow.is_mapping(item)]
    return [key for turn in turns for key, each in turn.items() if each and key not in KNOWN_KEYS]


def _content(content: object) -> str:
    """The text of a turn, of which a list of parts may have several."""
    if content is None or isinstance(content, str):
        return content or ""
    if not narrow.is_array(content):
        raise TypeError(f"expected a text as the content of a turn, received {str(content)[:80]!r}")
    texts: list[str] = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, Mapping) else part
            raise TypeError(f"expected parts of text, as models here read texts only, received one of {kind!r}")
        texts.append(text)
    return "\n".join(texts)


def _legacy_call(turn: Mapping[str, Any], said: str, content: object) -> list[Any]:
    """A call in the ways before `tool_calls`: OpenAI's `function_call`, and a turn of ShareGPT of that name."""
    if turn.get("function_call"):
        return [turn["function_call"]]
    if said != "function_call":
        return []
    try:
        return [msgspec.json.decode(str(content))]
    except msgspec.DecodeError:
        raise TypeError(f"expected a call of a function as JSON, received {str(content)[:80]!r}") from None


def _call(call: object) -> dict[str, Any]:
    body = call if narrow.is_mapping(call) else {}
    function = body.get("function") or body
    if not isinstance(function.get("name"), str):
        raise TypeError(f"expected a call of a tool with a name, received {str(call)[:80]!r}")
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    made = {"type": "function", "function": {"name": function["name"], "arguments": text}}
    return {"id": body["id"], **made} if isinstance(body.get("id"), str) else made


def _items(value: object) -> list[Any]:
    if isinstance(value, str):  # JSON inside CSV
        if value[:1] != "[":
            return []
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return []
    return list(value) if narrow.is_array(value) else []
