"""What spans of language models say, in every generation of the conventions, read into one form: MLflow's attributes.

Source: OpenTelemetry's semantic conventions for GenAI, 1.27 to 1.44 (https://opentelemetry.io/docs/specs/semconv/gen-ai/):
`gen_ai.system` became `gen_ai.provider.name`, `gen_ai.usage.prompt_tokens` became `input_tokens`, events became
attributes, `cache_creation` became `cache_write`. Also what OpenLLMetry (`llm.*`, `traceloop.*`), OpenInference
(`llm.token_count.*`, `input.value`), Vercel's AI SDK (`ai.*`), Langfuse, Laminar (`lmnr.*`), LiveKit (`lk.*`), Google's
ADK (`gcp.vertex.agent.*`), VoltAgent and MLflow (`mlflow.*`) write, as their documentation names it.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

import msgspec

__all__ = ["ModelCall", "call_of", "decoded", "is_amount", "translated"]

Attributes: TypeAlias = Mapping[str, Any]
Events: TypeAlias = Sequence[tuple[str, Attributes]]

INPUTS, OUTPUTS, KIND, TOOLS = "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType", "mlflow.chat.tools"
USAGE, COST = "mlflow.chat.tokenUsage", "mlflow.llm.cost"
OWN_MODEL, OWN_PROVIDER = "mlflow.llm.model", "mlflow.llm.provider"
UNKNOWN = "UNKNOWN"
PROVIDER = (OWN_PROVIDER, "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.vendor", "llm.system")
MODEL = (
    OWN_MODEL,
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.request.model",
    "llm.model_name",
    "embedding.model_name",
)
COUNTS: Mapping[str, Sequence[str]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "usage.prompt_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "usage.completion_tokens",
    ),
    "total_tokens": (
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "llm.token_count.total",
        "usage.total_tokens",
    ),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_creation_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
}
COSTS: Mapping[str, Sequence[str]] = {
    "input_cost": ("llm.cost.prompt", "gen_ai.usage.input_cost"),
    "output_cost": ("llm.cost.completion", "gen_ai.usage.output_cost"),
    "total_cost": ("llm.cost.total", "gen_ai.usage.cost"),
}
SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "mlflow.trace.session",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
)
USER = (
    "enduser.id",
    "user.id",
    "mlflow.trace.user",
    "langfuse.user.id",
    "traceloop.association.properties.user_id",
)
INPUT = (
    INPUTS,
    "input.value",
    "gen_ai.input.messages",
    "gen_ai.tool.call.arguments",
    "traceloop.entity.input",
    "gen_ai.prompt",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.tool_call_args",
    "ai.prompt",
    "ai.toolCall.args",
    "ai.value",
    "ai.values",
    "agent.messages",
    "llm.messages",
    "input",
    "lk.user_input",
    "lk.user_transcript",
    "lk.chat_ctx",
    "lk.input_text",
    "lmnr.span.input",
    "langfuse.observation.input",
)
OUTPUT = (
    OUTPUTS,
    "output.value",
    "gen_ai.output.messages",
    "gen_ai.tool.call.result",
    "traceloop.entity.output",
    "gen_ai.completion",
    "gcp.vertex.agent.llm_response",
    "gcp.vertex.agent.tool_response",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall.result",
    "ai.response.object",
    "ai.embedding",
    "ai.embeddings",
    "output",
    "lk.response.text",
    "lk.response.function_calls",
    "lmnr.span.output",
    "langfuse.observation.output",
)
NESTED_INPUT = ("gen_ai.prompt.", "llm.prompts.", "llm.input_messages.", "ai.prompt.")
NESTED_OUTPUT = ("gen_ai.completion.", "llm.completions.", "llm.output_messages.")
DETAILS = "gen_ai.client.inference.operation.details"
"""The event that carries the messages in the newest generation, by the names of attributes."""
_TYPES = frozenset(
    {"LLM", "CHAIN", "AGENT", "TOOL", "RETRIEVER", "EMBEDDING", "RERANKER", "GUARDRAIL", "EVALUATOR", UNKNOWN}
)
KINDS: Mapping[str, Mapping[str, str]] = {
    "openinference.span.kind": {each: each for each in _TYPES},
    "gen_ai.operation.name": {
        "chat": "CHAT_MODEL",
        "generate_content": "LLM",
        "text_completion": "LLM",
        "response": "LLM",
        "llm_call": "LLM",
        "embeddings": "EMBEDDING",
        "create_agent": "AGENT",
        "invoke_agent": "AGENT",
        "agent_call": "AGENT",
        "invoke_workflow": "WORKFLOW",
        "retrieval": "RETRIEVER",
        "execute_tool": "TOOL",
        "tool_call": "TOOL",
    },
    "traceloop.span.kind": {each: each.upper() for each in ("workflow", "task", "agent", "tool", "unknown")},
    "llm.request.type": {"chat": "CHAT_MODEL", "completion": "LLM", "embedding": "EMBEDDING", "rerank": "RERANKER"},
    "ai.operationId": {
        "ai.toolCall": "TOOL",
        **dict.fromkeys(("ai.embed", "ai.embed.doEmbed", "ai.embedMany", "ai.embedMany.doEmbed"), "EMBEDDING"),
        **{
            f"ai.{verb}{what}{inner}": "LLM"
            for verb, of in (("generate", "doGenerate"), ("stream", "doStream"))
            for what in ("Text", "Object")
            for inner in ("", f".{of}")
        },
    },
    "span.type": {each: each.upper() for each in ("agent", "llm", "tool", "memory")},
    "entity.type": {each: each.upper() for each in ("agent", "llm", "tool", "memory")},
    "lmnr.span.type": {
        "LLM": "LLM",
        "CACHED": "LLM",
        "TOOL": "TOOL",
        "DEFAULT": "CHAIN",
        "PIPELINE": "CHAIN",
        "EXECUTOR": "AGENT",
        "EVALUATOR": "EVALUATOR",
        "HUMAN_EVALUATOR": "EVALUATOR",
        "EVALUATION": "EVALUATOR",
    },
    "langfuse.observation.type": {
        "generation": "LLM",
        "span": UNKNOWN,
        **{
            each: each.upper()
            for each in ("embedding", "tool", "retriever", "agent", "chain", "evaluator", "guardrail")
        },
    },
}
DEEPEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """What a span says of a call to a model, a tool or an agent; None for what it does not say.

    `kind` is one of MLflow's types of spans, `usage` and `cost` (in dollars) are by MLflow's names; `cost` is what
    the span's writer reckoned. `input` and `output` are plain values: messages, where it says messages.
    """

    kind: str | None = None
    provider: str | None = None
    model: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    cost: Mapping[str, float] = field(default_factory=dict[str, float])
    session: str | None = None
    user: str | None = None
    input: Any = None
    output: Any = None
    tools: Any = None


def call_of(attributes: Attributes, events: Events = ()) -> ModelCall:
    """What the attributes of a span, and its events, say of a call.

    >>> call_of({"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 3}).usage["input_tokens"]
    3
    """
    for name, of_event in events:
        if name == DETAILS:
            attributes = {**of_event, **attributes}
    stated_input, stated_output = _value(attributes, INPUT), _value(attributes, OUTPUT)
    inputs = _nested(attributes, NESTED_INPUT) if stated_input is None else stated_input
    outputs = _nested(attributes, NESTED_OUTPUT) if stated_output is None else stated_output
    asked_of = (each.get("model") for each in (inputs, outputs) if isinstance(each, Mapping))
    return ModelCall(
        kind=_kind(attributes),
        provider=_text(attributes, PROVIDER),
        model=_text(attributes, MODEL) or next((each for each in asked_of if isinstance(each, str)), None),
        usage=_usage(attributes),
        cost=_cost(attributes),
        session=_text(attributes, SESSION),
        user=_text(attributes, USER),
        input=_prompts(events) if inputs is None else inputs,
        output=_choices(events) if outputs is None else outputs,
        tools=_value(attributes, (TOOLS, "gen_ai.tool.definitions")),
    )


def translated(attributes: Attributes, call: ModelCall) -> dict[str, Any]:
    """The attributes by which MLflow's clients know what a call says, as far as the span lacks them."""
    stated = {
        INPUTS: call.input,
        OUTPUTS: call.output,
        KIND: call.kind,
        TOOLS: call.tools,
        OWN_MODEL: call.model,
        OWN_PROVIDER: call.provider,
        USAGE: dict(call.usage) or None,
        COST: dict(call.cost) or None,
    }
    lacking = {key: value for key, value in stated.items() if value is not None and key not in attributes}
    if call.kind is not None and _unquoted(str(attributes.get(KIND))) != call.kind:
        lacking[KIND] = call.kind
    return lacking


def decoded(value: Any) -> Any:
    """What a text of JSON says, if that is a mapping, a list or a text; else the value itself."""
    if not isinstance(value, str) or value[:1] not in {"{", "[", '"'}:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _kind(attributes: Attributes) -> str | None:
    own = _text(attributes, (KIND,))
    if own not in {None, UNKNOWN}:
        return own
    for key, kinds in KINDS.items():
        kind = kinds.get(_text(attributes, (key,)) or "")
        if kind is not None:
            return kind
    return "LLM" if "gen_ai.request.model" in attributes else own


def _value(attributes: Attributes, names: Sequence[str]) -> Any:
    for name in names:
        value = attributes.get(name)
        if value is not None and (value := decoded(value)) not in (None, "", {}, [], "null"):
            return value
    return None


def _text(attributes: Attributes, names: Sequence[str]) -> str | None:
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return _unquoted(str(value))
    return None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _usage(attributes: Attributes) -> dict[str, int]:
    own = decoded(attributes.get(USAGE))
    stated = own if isinstance(own, Mapping) and own else _first(attributes, COUNTS)
    counts = {name: count for name in COUNTS if (count := _whole(stated.get(name))) is not None}
    parts = [counts[name] for name in ("input_tokens", "output_tokens") if name in counts]
    return {**counts, "total_tokens": counts.get("total_tokens", sum(parts))} if counts else {}


def _cost(attributes: Attributes) -> dict[str, float]:
    own = decoded(attributes.get(COST))
    stated = own if isinstance(own, Mapping) and own else _first(attributes, COSTS)
    costs = {name: float(cost) for name in COSTS if is_amount(cost := stated.get(name))}
    parts = [costs[name] for name in ("input_cost", "output_cost") if name in costs]
    return {**costs, "total_cost": costs.get("total_cost", sum(parts))} if costs else {}


def is_amount(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that can be added up: no truth value, not infinite, no longer than a float is.

    >>> [is_amount(each) for each in (2, 0.5, True, "2", float("nan"), 10**400)]
    [True, True, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _first(attributes: Attributes, of: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """By each name, the first value that there is."""
    return {
        name: next((attributes[each] for each in names if attributes.get(each) is not None), None)
        for name, names in of.items()
    }


def _whole(value: Any) -> int | None:
    try:
        return None if value is None else int(_unquoted(value) if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None


def _nested(attributes: Attributes, prefixes: Sequence[str]) -> Any:
    """What is spread over attributes, put together: `gen_ai.prompt.0.content` is the content of the first message."""
    for prefix in prefixes:
        root: dict[str, Any] = {}
        for key, value in attributes.items():
            if not key.startswith(prefix):
                continue
            *path, last = key.removeprefix(prefix).split(".", DEEPEST)
            inner = root
            for part in path:
                below = inner.get(part)
                inner[part] = below if isinstance(below, dict) else {}
                inner = inner[part]
            inner[last] = [decoded(each) for each in value] if isinstance(value, list) else decoded(value)
        if root:
            return _lists(root)
    return None


def _lists(value: Any) -> Any:
    """Mappings whose keys are places become lists; what OpenInference wraps as a message is one."""
    if not isinstance(value, dict):
        return value
    if list(value) == ["message"]:
        return _lists(value["message"])
    if all(key.isdecimal() and len(key) < 10 for key in value):  # noqa: PLR2004
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(each) for key, each in value.items()}


def _prompts(events: Events) -> Any:
    """The messages of before: an event for each, or one for all."""
    messages: list[Any] = []
    for name, attributes in events:
        role = name.removeprefix("gen_ai.").removesuffix(".message")
        if name == f"gen_ai.{role}.message" and attributes.get("content"):
            messages.append({"role": role, "content": decoded(attributes["content"])})
        elif name == "gen_ai.content.prompt" and attributes.get("gen_ai.prompt"):
            return decoded(attributes["gen_ai.prompt"])
    return messages or None


def _choices(events: Events) -> Any:
    messages: list[Any] = []
    for name, attributes in events:
        if name == "gen_ai.choice":
            content = attributes.get("message") or attributes.get("content")
            role = attributes.get("role", "assistant")
            messages.append(content if isinstance(content, Mapping) else {"role": role, "content": decoded(content)})
        elif name == "gen_ai.content.completion" and attributes.get("gen_ai.completion"):
            return decoded(attributes["gen_ai.completion"])
    return messages or None
