"""Traces: a page of them, and one as a waterfall of spans with tokens and cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.filters import filter_of, order_of
from bakeoff.core.queries import Query
from bakeoff.web.pages.calls import PageCall, Shown, address
from bakeoff.web.tracking import conventions
from bakeoff.web.tracking.otlp import attributes_of
from bakeoff.web.tracking.spans import spans_in
from bakeoff.web.tracking.traces import COST, GRAMMAR, NAME, NEWEST, TRACES, USAGE, logged, sums_in

__all__ = ["listing", "one"]

PAGE, MOST_SPANS, LONGEST, DEEPEST = 50, 2000, 4000, 6
ORDERS = {"newest": (), "slowest": ("execution_time_ms DESC",), "dearest": ("cost_usd DESC",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """A trace in a list."""

    trace_id: str
    name: str
    state: str
    start_ms: int
    took_ms: int | None
    spans: int
    tokens: float | None
    cost_usd: float | None
    request: str
    feedback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanBar:
    """A span of the waterfall: how deep, and where it lies, in percent of the whole."""

    name: str
    kind: str
    depth: int
    left: float
    width: float
    took_ms: float
    failed: bool
    message: str
    model: str
    tokens: float | None
    cost_usd: float | None
    inputs: str
    outputs: str
    attributes: Mapping[str, str]


def row_of(body: Mapping[str, Any]) -> TraceRow:
    """A stored trace as a row."""
    usage, cost = (sums_in(body["metadata"].get(key)) for key in (USAGE, COST))
    return TraceRow(
        trace_id=body["trace_id"],
        name=body["tags"].get(NAME) or "trace",
        state=body["state"],
        start_ms=body["start_ms"],
        took_ms=None if body["end_ms"] is None else body["end_ms"] - body["start_ms"],
        spans=body["spans"],
        tokens=usage.get("total_tokens"),
        cost_usd=cost.get("total_cost"),
        request=body["request_preview"] or "",
        feedback=len(body["assessments"]),
    )


def listing(call: PageCall) -> Shown:
    """A page of traces."""
    text, order, page = (call.query.get(name, "") for name in ("filter", "order", "page"))
    order = order or "newest"
    if order not in ORDERS:
        raise UsageError(f"order: expected one of {', '.join(ORDERS)}, received {order[:40]!r}")
    values: dict[str, Any] = {
        "title": "Traces",
        "filter": text,
        "order": order,
        "orders": list(ORDERS),
        "problem": None,
    }
    values |= {"traces": (), "next": None}
    try:
        query = Query(
            where=filter_of(text, GRAMMAR),
            order=(*order_of(ORDERS[order], GRAMMAR), *NEWEST),
            lifecycle=None,
            limit=PAGE,
            page=page or None,
        )
        page_of = call.records.documents.search(TRACES, query)
        values["traces"] = [row_of(each.body) for each in page_of.items if "trace_id" in each.body]
        values["next"] = page_of.following and address("/traces", filter=text, order=order, page=page_of.following)
    except UsageError as error:
        values["problem"] = str(error)
    return Shown(template="traces.html", values=values)


def one(call: PageCall) -> Shown:
    """A trace: its spans as a waterfall, and what was said of it."""
    stored = call.records.documents.get(TRACES, call.path["trace_id"])
    if stored is None or not logged(stored.body):
        raise NotFoundError(f"expected the id of a trace, received {call.path['trace_id'][:80]!r}")
    body: Any = stored.body
    spans = spans_in(call.tracking, body["trace_id"])
    return Shown(
        template="trace.html",
        values={
            "title": "Trace",
            "trace": row_of(body),
            "body": body,
            "bars": _bars(spans[:MOST_SPANS]),
            "left_out": max(0, len(spans) - MOST_SPANS),
            "assessments": [_assessed(each) for each in body["assessments"]],
        },
    )


def _assessed(each: Mapping[str, Any]) -> Mapping[str, str]:
    value = each.get("feedback") or each.get("expectation") or {}
    return {
        "name": str(each.get("assessment_name", "")),
        "value": _text(value.get("value")),
        "why": str(each.get("rationale") or ""),
        "who": str((each.get("source") or {}).get("source_id", "")),
    }


def _bars(spans: Sequence[Mapping[str, Any]]) -> list[SpanBar]:
    """Spans below those that they are of, in the order in which they began."""
    if not spans:
        return []
    by_id = {each["span_id"]: each for each in spans}
    inside: dict[str, list[Mapping[str, Any]]] = {}
    for each in spans:
        parent = each.get("parent_span_id") or ""
        inside.setdefault(parent if parent in by_id else "", []).append(each)
    start = min(_begins(each) for each in spans)
    whole = max(1, max(max(_ends(each), _begins(each)) for each in spans) - start)
    bars: list[SpanBar] = []
    waiting = [(each, 0) for each in reversed(inside.get("", []))]
    seen: set[str] = set()
    while waiting:
        span, depth = waiting.pop()
        if span["span_id"] in seen:
            continue
        seen.add(span["span_id"])
        bars.append(_bar(span, depth, start, whole))
        waiting += [(each, depth + 1) for each in reversed(inside.get(span["span_id"], []))]
    # Spans that are each other's parents hang on nothing: they are shown all the same.
    return bars + [_bar(each, 0, start, whole) for each in spans if each["span_id"] not in seen]


def _bar(span: Mapping[str, Any], depth: int, start: int, whole: int) -> SpanBar:
    begins, ends = _begins(span), max(_begins(span), _ends(span))
    attributes = attributes_of(span)
    status: Mapping[str, Any] = span.get("status") or {}
    usage, cost = (sums_in(_text(attributes.get(key)) or None) for key in (conventions.USAGE, conventions.COST))
    apart = {conventions.INPUTS, conventions.OUTPUTS}
    return SpanBar(
        name=str(span.get("name", "")),
        kind=_text(attributes.get(conventions.KIND)),
        depth=min(depth, DEEPEST),
        left=100 * (begins - start) / whole,
        width=max(0.4, 100 * (ends - begins) / whole),
        took_ms=(ends - begins) / 1e6,
        failed=str(status.get("code", "")) in {"2", "STATUS_CODE_ERROR"},
        message=str(status.get("message", "")),
        model=_text(attributes.get(conventions.OWN_MODEL)),
        tokens=usage.get("total_tokens"),
        cost_usd=cost.get("total_cost"),
        inputs=_text(attributes.get(conventions.INPUTS)),
        outputs=_text(attributes.get(conventions.OUTPUTS)),
        attributes={key: _text(of) for key, of in sorted(attributes.items()) if key not in apart},
    )


def _begins(span: Mapping[str, Any]) -> int:
    return int(str(span.get("start_time_unix_nano") or 0))


def _ends(span: Mapping[str, Any]) -> int:
    return int(str(span.get("end_time_unix_nano") or 0))


def _text(value: object) -> str:
    """A value as text, short enough to be shown."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
