"""What spans of language models say, in every generation of the conventions, read into one form.

Source: OpenTelemetry's semantic conventions for GenAI, 1.27 to 1.41 (https://opentelemetry.io/docs/specs/semconv/gen-ai/):
`gen_ai.system` became `gen_ai.provider.name`, `gen_ai.usage.prompt_tokens` became `input_tokens`, events became
attributes, `cache_creation` became `cache_write`. Also what OpenLLMetry (`llm.*`, `traceloop.*`), OpenInference
(`llm.token_count.*`, `input.value`) and MLflow (`mlflow.*`) write.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "call_of"]

PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.vendor", "llm.system", "mlflow.llm.provider")
MODEL = (
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.request.model",
    "llm.model_name",
    "mlflow.llm.model",
)
OPERATION = (
    "gen_ai.operation.name",
    "llm.request.type",
    "mlflow.spanType",
    "openinference.span.kind",
    "traceloop.span.kind",
)
INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
)
OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
)
CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
CACHE_WRITE = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "mlflow.trace.session",
    "traceloop.association.properties.session_id",
)
USER = ("enduser.id", "user.id", "mlflow.trace.user", "traceloop.association.properties.user_id")
INPUT = (
    "mlflow.spanInputs",
    "gen_ai.input.messages",
    "input.value",
    "traceloop.entity.input",
    "gen_ai.prompt",
    "gen_ai.system_instructions",
)
OUTPUT = (
    "mlflow.spanOutputs",
    "gen_ai.output.messages",
    "output.value",
    "traceloop.entity.output",
    "gen_ai.completion",
)
PROMPT_EVENTS = {"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"}
NUMBERED_INPUT, NUMBERED_OUTPUT = (
    ("gen_ai.prompt.", "llm.prompts.", "llm.input_messages."),
    (
        "gen_ai.completion.",
        "llm.completions.",
        "llm.output_messages.",
    ),
)
USAGE, COST = "mlflow.chat.tokenUsage", "mlflow.llm.cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a span says of a call to a model; None for what it does not say. `cost_usd` is what its writer reckoned."""

    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    session: str | None = None
    user: str | None = None
    input: str | None = None
    output: str | None = None


def call_of(attributes: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> Call:
    """What the attributes of a span, and its events, say of a call.

    >>> call_of({"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 3}).input_tokens
    3
    """
    usage = _mapping(attributes.get(USAGE))
    cost = _mapping(attributes.get(COST)).get("total_cost")
    model = _text(attributes, MODEL)
    return Call(
        provider=_text(attributes, PROVIDER),
        model=None if model is None else _unquoted(model),
        operation=_text(attributes, OPERATION),
        input_tokens=_count(attributes, INPUT_TOKENS, usage.get("input_tokens")),
        output_tokens=_count(attributes, OUTPUT_TOKENS, usage.get("output_tokens")),
        cache_read_tokens=_count(attributes, CACHE_READ, usage.get("cache_read_input_tokens")),
        cache_write_tokens=_count(attributes, CACHE_WRITE, usage.get("cache_creation_input_tokens")),
        cost_usd=float(cost) if isinstance(cost, int | float) else None,
        session=_text(attributes, SESSION),
        user=_text(attributes, USER),
        input=_text(attributes, INPUT) or _numbered(attributes, NUMBERED_INPUT) or _of_events(events, PROMPT_EVENTS),
        output=_text(attributes, OUTPUT)
        or _numbered(attributes, NUMBERED_OUTPUT)
        or _of_events(events, {"gen_ai.choice"}),
    )


def _text(attributes: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _count(attributes: Mapping[str, Any], names: Sequence[str], other: Any) -> int | None:
    for value in (*(attributes.get(name) for name in names), other):
        try:
            if value is not None:
                return int(value)
        except (TypeError, ValueError):
            continue
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _numbered(attributes: Mapping[str, Any], prefixes: Sequence[str]) -> str | None:
    """Messages that are spread over attributes: `gen_ai.prompt.0.content`."""
    result = {key: value for key, value in attributes.items() if key.startswith(tuple(prefixes))}
    return json.dumps(result, ensure_ascii=False, default=str) if result else None


def _of_events(events: Sequence[tuple[str, Mapping[str, Any]]], names: set[str]) -> str | None:
    stated = [{"event": name, **attributes} for name, attributes in events if name in names]
    return json.dumps(stated, ensure_ascii=False, default=str) if stated else None
