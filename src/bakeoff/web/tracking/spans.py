"""Spans as documents: written in MLflow's attributes whatever their convention, searched by fields, and given back."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.records import DocumentChange
from bakeoff.core.tracked import SPANS
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.conventions import ModelCall, call_of, translated
from bakeoff.web.tracking.documents import fields
from bakeoff.web.tracking.otlp import OtlpSpan, attributes_of, with_attributes

__all__ = [
    "ENDED_ERROR",
    "MOST_TEXT",
    "SPANS",
    "CallSummary",
    "change_of",
    "preview",
    "priced",
    "spans_in",
    "summary",
    "text_of",
    "trace_data",
]

MOST_TEXT, PREVIEW = 65_536, 1000
ENDED_ERROR = 2
STATUS = ("UNSET", "OK", "ERROR")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """What is counted of a span; it stands in the document of its trace, so that sums need not read all spans."""

    name: str
    kind: str | None
    status: str
    start_ms: int
    took_ms: int | None
    model: str | None
    provider: str | None
    cost: Mapping[str, float] = field(default_factory=dict[str, float])
    usage: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def of(cls, stored: Sequence[Any]) -> "CallSummary":
        """As it is stored: its values in this order."""
        return cls(**dict(zip(cls.__slots__, stored, strict=True)))

    def stored(self) -> list[Json]:
        """Its values, in the order of its fields."""
        return [getattr(self, name) for name in self.__slots__]


def summary(span: OtlpSpan, call: ModelCall) -> CallSummary:
    """What is counted of a span."""
    return CallSummary(
        name=span.name,
        kind=call.kind,
        status=status_of(span.status),
        start_ms=span.start_ns // 1_000_000,
        took_ms=None if span.end_ns is None else (span.end_ns - span.start_ns) // 1_000_000,
        model=call.model,
        provider=call.provider,
        cost=call.cost,
        usage=call.usage,
    )


def priced(tracking: Tracking, span: OtlpSpan) -> ModelCall:
    """What a span says of a call, and what that cost."""
    call = call_of(span.attributes, span.events)
    return replace(call, cost=tracking.prices.cost(call))


def change_of(trace_id: str, span: OtlpSpan, call: ModelCall, text: str) -> DocumentChange:
    """How a span is written: as it came, with the attributes that MLflow's clients read; `text`: see `text_of`."""
    more = translated(span.attributes, call)
    texts = {key: _as_text(value) for key, value in {**span.attributes, **more}.items()}
    return DocumentChange(
        collection=SPANS,
        key=f"{trace_id}/{span.id}",
        body={"trace_id": trace_id, "span": with_attributes(span.body, more)},
        fields=fields(
            {
                "trace_id": trace_id,
                "name": span.name,
                "type": call.kind,
                "status": status_of(span.status),
                "content": text[:MOST_TEXT],
                "model": call.model,
                "provider": call.provider,
                **{f"attributes.{key}": each for key, each in texts.items() if len(each) <= PREVIEW},
            }
        ),
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def status_of(code: int) -> str:
    """The name of a status that spans have as a number."""
    return STATUS[code] if 0 <= code < len(STATUS) else STATUS[0]


def text_of(span: OtlpSpan) -> str:
    """What a search for text looks at."""
    return f"{span.name} {json.dumps(span.attributes, ensure_ascii=False, default=str)}"


def spans_in(tracking: Tracking, trace_id: str) -> list[Mapping[str, Any]]:
    """The bodies of a trace's spans, in the order in which they began."""
    documents = tracking.records.documents.find(SPANS, f"{trace_id}/")
    bodies = [narrow.json_object(each.body["span"]) for each in documents]
    return sorted(bodies, key=lambda body: int(str(body.get("start_time_unix_nano", 0))))


def preview(value: Any, role: str) -> str | None:
    """The beginning of what went in or came out: the last message of a role, where there are messages."""
    if value is None:
        return None
    text = _said_last(value, role) or json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= PREVIEW else text[: PREVIEW - 3] + "..."


def _said_last(value: Any, role: str) -> str | None:
    """The text of the last message of a role (of any, if none has it), in the shapes that clients write."""
    if isinstance(value, Mapping):
        choices = value.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        lists = (value.get("messages"), first and [first.get("message")], value.get("input"), value.get("output"))
        value = next((each for each in lists if isinstance(each, list)), None)
    if not isinstance(value, list):
        return None
    messages = [each for each in value if isinstance(each, Mapping) and "role" in each]
    mine = [each for each in messages if each["role"] == role] or messages
    return _words(mine[-1]) if mine else None


def _words(message: Mapping[str, Any]) -> str | None:
    content = message.get("content", message.get("parts"))
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (each.get("text", each.get("content")) for each in parts if isinstance(each, Mapping))
    return " ".join(each for each in texts if isinstance(each, str)) or None


def trace_data(spans: Sequence[Mapping[str, Any]]) -> Json:
    """Spans as MLflow's clients write them to a file: each attribute is JSON by itself."""
    return {"spans": [_in_file(span) for span in spans]}


def _in_file(span: Mapping[str, Any]) -> Json:
    parent = span.get("parent_span_id")
    status = span.get("status") or {}
    code = status.get("code", 0)
    return {
        "trace_id": _base64(span["trace_id"]),
        "span_id": _base64(span["span_id"]),
        "parent_span_id": _base64(parent) if parent else None,
        "name": span.get("name", ""),
        "start_time_unix_nano": int(span.get("start_time_unix_nano", 0)),
        "end_time_unix_nano": int(span["end_time_unix_nano"]) if span.get("end_time_unix_nano") else None,
        "events": [
            {
                "name": each.get("name", ""),
                "time_unix_nano": int(each.get("time_unix_nano", 0)),
                "attributes": attributes_of(each),
            }
            for each in span.get("events", [])
        ],
        "status": {
            "code": code if isinstance(code, str) else f"STATUS_CODE_{status_of(code)}",
            "message": status.get("message", ""),
        },
        "attributes": {
            key: json.dumps(value, ensure_ascii=False, default=str) for key, value in attributes_of(span).items()
        },
    }


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
