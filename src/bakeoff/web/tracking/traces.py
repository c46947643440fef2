"""Traces: spans taken in, traces worked out from them, found, tagged, linked and removed.

A trace is a document, and so is each of its spans; both are written together. What a client says of its trace
afterwards (`start`) goes before what was worked out from spans.
"""

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bakeoff.core.filters import TAGS, Grammar, Name, filter_of, order_of, within
from bakeoff.core.moments import LAST_MS
from bakeoff.core.queries import AllOf, AnyOf, Expr, Page, Query, QueryField, attribute, every
from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.tracked import TRACES
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import DEFAULT, Tracking
from bakeoff.web.tracking.conventions import ModelCall, decoded, is_amount
from bakeoff.web.tracking.documents import APART, Body, Fields, edit, fields, settle
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.otlp import OtlpSpan, proto_json
from bakeoff.web.tracking.spans import (
    ENDED_ERROR,
    MOST_TEXT,
    SPANS,
    CallSummary,
    change_of,
    preview,
    priced,
    spans_in,
    summary,
    text_of,
    trace_data,
)
from bakeoff.web.tracking.wire import TrackingError, enum_of, invalid, of_pairs, paged, pairs, unknown

__all__ = [
    "COST",
    "NAME",
    "SESSION",
    "TRACES",
    "USAGE",
    "absent",
    "batch",
    "batch_infos",
    "change",
    "correlation",
    "data",
    "delete",
    "delete_tag",
    "end_v2",
    "get",
    "info",
    "info_of",
    "info_v2",
    "link_prompts",
    "link_to_run",
    "logged",
    "ms_of",
    "search",
    "search_v2",
    "set_tag",
    "start",
    "start_v2",
    "sums_in",
    "take",
    "time_of",
    "trace_of",
]

REQUEST, RUN, USAGE, COST, SESSION, USER = (
    "mlflow.traceRequestId",
    "mlflow.sourceRun",
    "mlflow.trace.tokenUsage",
    "mlflow.trace.cost",
    "mlflow.trace.session",
    "mlflow.trace.user",
)
NAME, LOCATION, PROMPTS = "mlflow.traceName", "mlflow.trace.spansLocation", "mlflow.linkedPrompts"
STATES = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
STATES_V2 = ("TRACE_STATUS_UNSPECIFIED", *STATES[1:])
TOKENS = ("input_tokens", "output_tokens", "total_tokens")
_SPAN = f"span{APART}"
"""Before the key of a condition on spans: one of them must meet it."""


GRAMMAR = Grammar(
    attributes={
        **dict.fromkeys(("timestamp_ms", "timestamp", "request_time"), Name.of("timestamp_ms", number=True)),
        **dict.fromkeys(
            ("execution_time_ms", "execution_time", "execution_duration"), Name.of("execution_time_ms", number=True)
        ),
        **dict.fromkeys(("end_time_ms", "end_time"), Name.of("end_time_ms", number=True)),
        **dict.fromkeys(("status", "state"), Name.of("status")),
        "name": Name.of("name"),
        **dict.fromkeys(("request_id", "trace_id"), Name.of("id")),
        "run_id": Name.of("run_id"),
        "prompt": Name.of("prompt"),
        "client_request_id": Name.of("client_request_id"),
        "text": Name.of("text"),
        "experiment_id": Name.of("experiment_id"),
        "session_id": Name(field=QueryField(kind="param", key=SESSION)),
        **{key: Name.of(key, number=True) for key in (*TOKENS, "cost_usd", "spans")},
    },
    kinds={
        **TAGS,
        **dict.fromkeys(("metadata", "request_metadata", "trace_metadata"), "param"),
        **dict.fromkeys(("feedback", "expectation", "issue", "span"), "attribute"),
    },
    prefixes=frozenset({"attribute", "attributes", "attr", "trace"}),
    marks={"feedback": "feedback.", "expectation": "expectation.", "issue": "issue.", "span": _SPAN},
)
NEWEST = order_of(["timestamp_ms DESC", "trace_id ASC"], GRAMMAR)


def absent(trace_id: str) -> TrackingError:
    """There is no such trace."""
    return unknown(f"Trace with ID '{trace_id}' not found.")


def _known(tracking: Tracking, trace_ids: Iterable[str]) -> Iterator[Body]:
    """Of these traces, those that there are."""
    for trace_id in trace_ids:
        known = tracking.records.documents.get(TRACES, trace_id)
        if known is not None and logged(known.body):
            yield dict(known.body)


def logged(body: Mapping[str, Any]) -> bool:
    """Whether there is a trace, and not only links of one that will come."""
    return "trace_id" in body


def trace_of(tracking: Tracking, trace_id: str) -> Body:
    """What is kept of a trace."""
    for body in _known(tracking, [trace_id]):
        return body
    raise absent(trace_id)


def change(tracking: Tracking, trace_id: str, new: Callable[[Body], Body]) -> Body:
    """Change a trace; `new` gives what is new of it."""

    def changed(body: Body) -> Body:
        if not logged(body):
            raise absent(trace_id)
        return {**body, **new(body)}

    return edit(tracking, TRACES, trace_id, changed, fields_of=_fields, absent=absent(trace_id))


def _link(tracking: Tracking, trace_id: str, new: Callable[[Body], Body]) -> None:
    """Change links of a trace, also of one that is not there yet: clients link what they have not sent."""
    nothing: Body = {"runs": [], "tags": {}}
    edit(tracking, TRACES, trace_id, lambda body: {**body, **new(body)}, fields_of=_fields, absent=nothing)


def _new(trace_id: str, experiment_id: str, start_ms: int, known: Mapping[str, Any]) -> Body:
    """A trace as it begins, or goes on; `known` may be links that came before it."""
    if logged(known):
        return dict(known)
    return {
        "trace_id": trace_id,
        "experiment_id": experiment_id,
        "start_ms": start_ms,
        "end_ms": None,
        "state": "IN_PROGRESS",
        "request_preview": None,
        "response_preview": None,
        "client_request_id": None,
        "metadata": {},
        "stated": {},
        "counted": {},
        "tags": {LOCATION: "TRACKING_STORE", **known.get("tags", {})},
        "assessments": [],
        "runs": known.get("runs", []),
        "spans": 0,
        "calls": {},
        "text": "",
        "said": False,
    }


def _fields(body: Body) -> Fields:
    if not logged(body):
        return {}
    metadata: Mapping[str, str] = body["metadata"]
    usage, cost = (sums_in(metadata.get(key)) for key in (USAGE, COST))
    judged: dict[str, str | float | None] = {}
    for each in body["assessments"]:
        kind = next(kind for kind in ("feedback", "expectation", "issue") if kind in each)
        if each.get("valid", True):
            judged[f"{kind}.{each['assessment_name']}"] = _judged(each)
    links = [
        *(f"run{APART}{run}" for run in [metadata.get(RUN), *body["runs"]] if run),
        *(f"prompt{APART}{each['name']}/{each['version']}" for each in _prompts(body)),
    ]
    return fields(
        {
            "experiment_id": body["experiment_id"],
            "timestamp_ms": body["start_ms"],
            "end_time_ms": body["end_ms"],
            "execution_time_ms": None if body["end_ms"] is None else body["end_ms"] - body["start_ms"],
            "status": body["state"],
            "name": body["tags"].get(NAME),
            "client_request_id": body["client_request_id"],
            "run_id": metadata.get(RUN),
            "text": body["text"] or None,
            "spans": body["spans"],
            "cost_usd": cost.get("total_cost"),
            **{key: usage.get(key) for key in TOKENS},
            **dict.fromkeys(links, 1),
            **judged,
        },
        params=metadata,
        tags=body["tags"],
    )


def sums_in(text: str | None) -> dict[str, float]:
    """Sums that stand as JSON, by name, as far as a client wrote numbers."""
    value = decoded(text)
    sums: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    return {name: each for name, each in sums.items() if is_amount(each)}


def _prompts(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The prompts that a trace used, by name and version."""
    value = decoded(body["tags"].get(PROMPTS))
    entries: list[Any] = value if isinstance(value, list) else []
    return [each for each in entries if isinstance(each, Mapping) and {"name", "version"} <= each.keys()]


def _judged(assessment: Mapping[str, Any]) -> str:
    value = (assessment.get("feedback") or assessment.get("expectation") or {}).get("value")
    value = assessment["issue"].get("issue_name") if "issue" in assessment else value
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


def take(tracking: Tracking, experiment_id: str | None, spans: Sequence[OtlpSpan]) -> None:
    """Keep spans and what follows from them for their traces; all of it is durable when this returns."""
    experiment = experiment_of(tracking, experiment_id or DEFAULT)
    of_trace: dict[str, list[OtlpSpan]] = {}
    for span in spans:
        of_trace.setdefault(_trace_id(span), []).append(span)

    def changes() -> Iterator[DocumentChange]:
        for trace_id, its in of_trace.items():
            once = {span.id: span for span in its}  # the last counts of those that are there twice
            yield from _written(tracking, trace_id, experiment.experiment_id, [*once.values()])

    settle(tracking, changes)


def _trace_id(span: OtlpSpan) -> str:
    """The id by which a client knows the trace: one that it wrote into the span, or that of the trace's own."""
    stated = span.attributes.get(REQUEST)
    if isinstance(stated, str) and stated:
        return stated.strip('"')
    return f"tr-{span.trace}"


def _written(
    tracking: Tracking, trace_id: str, experiment_id: str, spans: Sequence[OtlpSpan]
) -> Iterator[DocumentChange]:
    known = tracking.records.documents.get(TRACES, trace_id)
    start_ms = min(span.start_ns for span in spans) // 1_000_000
    body = _new(trace_id, experiment_id, start_ms, {} if known is None else known.body)
    texts = {span.id: text_of(span) for span in spans}
    fresh = [text for span, text in texts.items() if span not in body["calls"]]
    calls = {span.id: priced(tracking, span) for span in spans}
    body["calls"] = {**body["calls"], **{span.id: summary(span, calls[span.id]).stored() for span in spans}}
    body["spans"] = len(body["calls"])
    body["text"] = "\n".join(filter(None, [body["text"], *fresh]))[:MOST_TEXT]
    _count(body, calls.values())
    if not body["said"]:
        ends = [span.end_ns // 1_000_000 for span in spans if span.end_ns]
        body["start_ms"] = min(body["start_ms"], start_ms)
        body["end_ms"] = max([*ends, *([] if body["end_ms"] is None else [body["end_ms"]])], default=None)
    root = next((span for span in spans if span.parent is None), None)
    if root is not None:
        _rooted(body, root, calls[root.id])
    revision = 0 if known is None else known.revision
    yield DocumentChange(collection=TRACES, key=trace_id, body=body, fields=_fields(body), expected=revision)
    for span in spans:
        yield change_of(trace_id, span, calls[span.id], texts[span.id])


def _rooted(body: Body, root: OtlpSpan, call: ModelCall) -> None:
    """What the first span says of all of the trace."""
    if body["state"] in {"IN_PROGRESS", "STATE_UNSPECIFIED"} and root.end_ns:
        body["state"] = "ERROR" if root.status == ENDED_ERROR else "OK"
    body["tags"] = {NAME: root.name, **body["tags"]}
    body["request_preview"] = body["request_preview"] or preview(call.input, "user")
    body["response_preview"] = body["response_preview"] or preview(call.output, "assistant")


def _count(body: Body, calls: Iterable[ModelCall]) -> None:
    """Work out what all calls of a trace used and cost, as each was sent last; and whose they are, by these calls."""
    summaries = [CallSummary.of(each) for each in body["calls"].values()]
    counted = {key: value for key, value in body["counted"].items() if key not in {USAGE, COST}}
    for key, parts in ((USAGE, [each.usage for each in summaries]), (COST, [each.cost for each in summaries])):
        sums: dict[str, float] = {}
        for name, value in (item for part in parts for item in part.items()):
            sums[name] = sums.get(name, 0) + value
        if sums:
            counted[key] = json.dumps(sums)
    for call in calls:
        stated = {SESSION: call.session, USER: call.user}
        counted = {**{key: value for key, value in stated.items() if value}, **counted}
    body["counted"] = counted
    body["metadata"] = {**counted, **body["stated"]}


def _stating(body: Body, metadata: Mapping[str, str]) -> Body:
    """With more metadata that the trace's client says."""
    stated = {**body["stated"], **metadata}
    return {**body, "stated": stated, "metadata": {**body["counted"], **stated}}


# --- as clients read them -----------------------------------------------------------------------


def time_of(ms: int) -> str:
    """A time as protobuf writes it in JSON."""
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms_of(moment: object) -> int:
    """Milliseconds since 1970 of a time as clients write it.

    Raises:
        TrackingError: it is no time, or none of the years 1970 to 9999.
    """
    try:
        at = moment if isinstance(moment, int) else datetime.fromisoformat(str(moment))
        since = at if isinstance(at, int) else round((at - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
    except (TypeError, ValueError):
        since = -1
    if not 0 <= since <= LAST_MS:
        raise invalid(f"Invalid value {moment!r} for parameter 'request_time' supplied.")
    return since


def info_of(body: Mapping[str, Any]) -> dict[str, Json]:
    """What is told of a trace without its spans."""
    took = None if body["end_ms"] is None else body["end_ms"] - body["start_ms"]
    shown: dict[str, Json] = {
        "trace_id": body["trace_id"],
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": body["experiment_id"]},
        },
        "request_time": time_of(body["start_ms"]),
        "state": body["state"],
        "trace_metadata": body["metadata"],
        "tags": body["tags"],
        "assessments": body["assessments"],
    }
    more = {key: body[key] for key in ("request_preview", "response_preview", "client_request_id")}
    more["execution_duration"] = None if took is None else f"{took / 1000:.3f}s"
    return shown | {key: value for key, value in more.items() if value is not None}


def _whole(tracking: Tracking, body: Mapping[str, Any]) -> Json:
    spans = spans_in(tracking, body["trace_id"])
    return {"trace_info": info_of(body), "spans": [proto_json(span) for span in spans]}


def start(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """What a client says of a trace: made when there is none, else put before what was worked out."""
    stated = (given["trace"] or {}).get("trace_info") or {}
    location = stated.get("trace_location", {}).get("mlflow_experiment", {}).get("experiment_id")
    experiment = experiment_of(tracking, location or DEFAULT)
    trace_id = stated.get("trace_id") or f"tr-{uuid.uuid4().hex}"
    start_ms = ms_of(stated.get("request_time", tracking.clock()))
    took = _duration_ms(stated.get("execution_duration"))
    state = enum_of("state", stated.get("state", "IN_PROGRESS"), STATES)

    def changed(known: Body) -> Body:
        body = _new(trace_id, experiment.experiment_id, start_ms, known)
        merged = {
            **_stating(body, stated.get("trace_metadata", {})),
            "experiment_id": experiment.experiment_id,
            "start_ms": start_ms,
            "end_ms": body["end_ms"] if took is None else start_ms + took,
            "state": state,
            "tags": {**body["tags"], **stated.get("tags", {})},
            "said": took is not None or body["said"],
        }
        for key in ("request_preview", "response_preview", "client_request_id"):
            merged[key] = stated.get(key) or body[key]
        if stated.get("assessments"):
            from bakeoff.web.tracking.assessments import completed

            merged["assessments"] = [
                *body["assessments"],
                *(completed(tracking, trace_id, each) for each in stated["assessments"]),
            ]
        return merged

    body = edit(tracking, TRACES, trace_id, changed, fields_of=_fields, absent={})
    return {"trace": {"trace_info": info_of(body)}}


def _duration_ms(text: object) -> int | None:
    if text is None:
        return None
    try:
        return round(float(str(text).removesuffix("s")) * 1000)
    except (ValueError, OverflowError):
        raise invalid(f"Invalid value {text!r} for parameter 'execution_duration' supplied.") from None


def info(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One trace without its spans."""
    return {"trace": {"trace_info": info_of(trace_of(tracking, given["trace_id"]))}}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One trace with its spans, whole unless a part of it will do."""
    body = trace_of(tracking, given["trace_id"])
    if not given["allow_partial"] and (body["state"] == "IN_PROGRESS" or not body["calls"]):
        raise unknown(f"Trace with ID {body['trace_id']} is not fully exported yet.")
    return {"trace": _whole(tracking, body)}


def batch(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Several traces with their spans; those that are not there are left out."""
    return {"traces": [_whole(tracking, each) for each in _known(tracking, given["trace_ids"])]}


def batch_infos(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Several traces without their spans."""
    return {"trace_infos": [info_of(each) for each in _known(tracking, given["trace_ids"])]}


def data(tracking: Tracking, trace_id: str) -> Json:
    """The spans of a trace, as clients write them to a file."""
    return trace_data(spans_in(tracking, trace_of(tracking, trace_id)["trace_id"]))


# --- finding ------------------------------------------------------------------------------------


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Traces of experiments, by filter and order, without their spans."""
    experiments = [(each.get("mlflow_experiment") or {}).get("experiment_id") for each in given["locations"]]
    page = _search(tracking, [each for each in experiments if each], given)
    return paged({"traces": [info_of(each.body) for each in page.items]}, page.following)


def _search(tracking: Tracking, experiments: Sequence[str], given: Mapping[str, Any]) -> Page[Document]:
    order = order_of(given["order_by"], GRAMMAR)
    limit = given["max_results"] or 100
    where = _where(tracking, experiments, given["filter"])
    query = Query(where=where, order=(*order, *NEWEST), lifecycle=None, limit=limit, page=given["page_token"] or None)
    return tracking.records.documents.search(TRACES, query)


def _where(tracking: Tracking, experiments: Sequence[str], text: str | None) -> Expr:
    stated = filter_of(text, GRAMMAR)
    inside = attribute("experiment_id", "in", tuple(experiments))
    return within(inside, None if stated is None else _resolved(tracking, stated))


def _resolved(tracking: Tracking, where: Expr) -> Expr:
    """Conditions on spans and on runs as conditions on traces."""
    if isinstance(where, AllOf):
        return AllOf(parts=tuple(_resolved(tracking, part) for part in where.parts))
    if isinstance(where, AnyOf):
        return AnyOf(parts=tuple(_resolved(tracking, part) for part in where.parts))
    key = where.field.key
    if key in {"run_id", "prompt"} and where.operator in {"=", "in"}:
        values = where.value if isinstance(where.value, tuple) else (where.value,)
        of = key.removesuffix("_id")
        return AnyOf(parts=tuple(attribute(f"{of}{APART}{each}", "is not null") for each in values))
    if key == "issue.id" and where.operator == "=":
        return attribute(f"issue.{where.value}", "is not null")
    if not key.startswith(_SPAN):
        return where
    field = QueryField(kind="attribute", key=key.removeprefix(_SPAN))
    spans = _every(tracking, SPANS, replace(where, field=field))
    return attribute("id", "in", tuple(dict.fromkeys(str(each.body["trace_id"]) for each in spans)))


def _every(tracking: Tracking, collection: str, where: Expr) -> Iterator[Document]:
    return every(lambda query: tracking.records.documents.search(collection, query), Query(where=where, lifecycle=None))


def correlation(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """How far two filters go together: normalised pointwise mutual information, from -1 (never) to 1 (always).

    Source: G. Bouma (2009), "Normalized (Pointwise) Mutual Information in Collocation Extraction".
    """
    base = given["base_filter"]

    def count(*texts: str | None) -> int:
        where = within(*(_where(tracking, given["experiment_ids"], text) for text in (base, *texts)))
        return tracking.records.documents.count(TRACES, where)

    one, other = given["filter_string1"], given["filter_string2"]
    counts = {
        "filter1_count": count(one),
        "filter2_count": count(other),
        "joint_count": count(one, other),
        "total_count": count(),
    }
    first, second, both, total = counts.values()
    smoothed = _npmi(first + 1, second + 1, both + 0.5, total + 2)
    if not first or not second:
        return dict(counts)
    exact = -1.0 if not both else 1.0 if both == total else _npmi(first, second, both, total)
    return {"npmi": exact, "npmi_smoothed": smoothed, **counts}


def _npmi(first: float, second: float, both: float, total: float) -> float:
    joint = both / total
    return (
        max(-1.0, min(1.0, math.log(joint * total * total / (first * second)) / -math.log(joint))) if joint < 1 else 1.0
    )


# --- changing -----------------------------------------------------------------------------------


def set_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A tag of a trace."""
    more = {given["key"]: given["value"] or ""}
    change(tracking, given["trace_id"], lambda body: {"tags": {**body["tags"], **more}})
    return {}


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a trace away."""
    trace_id, key = given["trace_id"], given["key"]

    def changed(body: Body) -> Body:
        if key not in body["tags"]:
            raise unknown(f"No trace tag with key '{key}' for trace with ID '{trace_id}'")
        return {"tags": {name: value for name, value in body["tags"].items() if name != key}}

    change(tracking, trace_id, changed)
    return {}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Remove traces with their spans: those named, or those up to a time."""
    ids: Sequence[str] = given["request_ids"] or given["trace_ids"]
    latest, most = given["max_timestamp_millis"], given["max_traces"]
    if bool(ids) == (latest is not None):
        raise invalid("Either `max_timestamp_millis` or `trace_ids` must be specified, but not both.")
    if ids and most is not None:
        raise invalid("`max_traces` can't be specified if `trace_ids` is specified.")
    if most is not None and most <= 0:
        raise invalid(f"`max_traces` must be a positive integer, received {most}.")
    wanted = attribute("id", "in", tuple(ids)) if ids else attribute("timestamp_ms", "<=", latest)
    where = within(attribute("experiment_id", "=", given["experiment_id"]), wanted)
    query = Query(where=where, order=order_of(["timestamp_ms"], GRAMMAR), lifecycle=None, limit=most or 1000)
    gone = 0
    while known := tracking.records.documents.search(TRACES, query).items:
        changes = [DocumentChange(collection=TRACES, key=each.key, body=None) for each in known]
        for each in known:
            spans = tracking.records.documents.find(SPANS, f"{each.key}/")
            changes += [DocumentChange(collection=SPANS, key=span.key, body=None) for span in spans]
        tracking.records.documents.apply(changes)
        gone += len(known)
        if most is not None:
            break
    return {"traces_deleted": gone}


def link_to_run(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say of traces that they belong to a run."""
    if len(given["trace_ids"]) > 100:  # noqa: PLR2004
        raise invalid("Cannot link more than 100 traces to a run in a single request.")
    for trace_id in given["trace_ids"]:
        _link(tracking, trace_id, lambda body: {"runs": [*dict.fromkeys([*body["runs"], given["run_id"]])]})
    return {}


def link_prompts(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Say of a trace which prompts it used."""
    used = [{"name": each.get("name"), "version": str(each.get("version"))} for each in given["prompt_versions"]]

    def changed(body: Body) -> Body:
        known = _prompts(body)
        together = [*known, *(each for each in used if each not in known)]
        return {"tags": {**body["tags"], PROMPTS: json.dumps(together)}}

    _link(tracking, given["trace_id"], changed)
    return {}


# --- the protocol of before ---------------------------------------------------------------------


def _v2(body: Mapping[str, Any]) -> Json:
    return {
        "request_id": body["trace_id"],
        "experiment_id": body["experiment_id"],
        "timestamp_ms": body["start_ms"],
        "execution_time_ms": 0 if body["end_ms"] is None else body["end_ms"] - body["start_ms"],
        "status": body["state"],
        "request_metadata": pairs(body["metadata"]),
        "tags": pairs(body["tags"]),
    }


def start_v2(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A trace that has begun."""
    experiment = experiment_of(tracking, given["experiment_id"])
    trace_id = f"tr-{uuid.uuid4().hex}"
    new = _new(trace_id, experiment.experiment_id, ms_of(given["timestamp_ms"]), {})
    metadata, tags = of_pairs("request_metadata", given["request_metadata"]), of_pairs("tags", given["tags"])

    def changed(body: Body) -> Body:
        return {**_stating(body, metadata), "tags": {**body["tags"], **tags}}

    return {"trace_info": _v2(edit(tracking, TRACES, trace_id, changed, fields_of=_fields, absent=new))}


def end_v2(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A trace that has ended."""
    status = STATES[0] if given["status"] is None else enum_of("status", given["status"], STATES_V2)
    metadata, tags = of_pairs("request_metadata", given["request_metadata"]), of_pairs("tags", given["tags"])

    def changed(body: Body) -> Body:
        return {
            **_stating(body, metadata),
            "end_ms": ms_of(given["timestamp_ms"]),
            "state": status,
            "said": True,
            "tags": {**body["tags"], **tags},
        }

    return {"trace_info": _v2(change(tracking, given["request_id"], changed))}


def info_v2(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One trace without its spans."""
    return {"trace_info": _v2(trace_of(tracking, given["request_id"]))}


def search_v2(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Traces of experiments."""
    page = _search(tracking, given["experiment_ids"], given)
    return paged({"traces": [_v2(each.body) for each in page.items]}, page.following)
