"""What many traces come to: counts, latencies, tokens, costs and judgements, by dimension and time.

Facts: MLflow 3.18's trace metrics, their names, dimensions and filters, as its clients ask for them.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from bakeoff.core.filters import unquoted, within
from bakeoff.core.queries import Expr, Predicate, Query, QueryField, attribute, every
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.spans import CallSummary
from bakeoff.web.tracking.traces import COST, NAME, SESSION, TRACES, USAGE, ms_of, sums_in
from bakeoff.web.tracking.wire import enum_of, invalid, paged

__all__ = ["metrics"]

VIEWS = ("TRACES", "SPANS", "ASSESSMENTS")
KINDS = ("COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX")
AT_ONCE, MOST_POINTS = 10_000, 1000
BUCKET = "time_bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A trace, span or assessment: when it was, what it can be grouped and filtered by, and its measures."""

    time_ms: float
    dimensions: Mapping[str, str | None]
    measures: Mapping[str, float | str | None]


Rows: TypeAlias = Callable[[Mapping[str, Any]], Iterator[_Row]]


def _traces(body: Mapping[str, Any]) -> Iterator[_Row]:
    metadata = body["metadata"]
    took = None if body["end_ms"] is None else body["end_ms"] - body["start_ms"]
    yield _Row(
        time_ms=body["start_ms"],
        dimensions={"trace_name": body["tags"].get(NAME), "trace_status": body["state"]},
        measures={
            "trace_count": 1,
            "session_count": metadata.get(SESSION),
            "latency": took,
            **sums_in(metadata.get(USAGE)),
            **sums_in(metadata.get(COST)),
        },
    )


def _spans(body: Mapping[str, Any]) -> Iterator[_Row]:
    for stored in body["calls"].values():
        call = CallSummary.of(stored)
        yield _Row(
            time_ms=call.start_ms,
            dimensions={
                "span_name": call.name,
                "span_type": call.kind,
                "span_status": call.status,
                "span_model_name": call.model,
                "span_model_provider": call.provider,
            },
            measures={"span_count": 1, "latency": call.took_ms, **call.cost},
        )


def _assessments(body: Mapping[str, Any]) -> Iterator[_Row]:
    for each in body["assessments"]:
        kind = next(kind for kind in ("feedback", "expectation", "issue") if kind in each)
        value = each[kind].get("value", each[kind].get("issue_name"))
        known = {"yes": 1.0, "no": 0.0}
        yield _Row(
            time_ms=ms_of(each["create_time"]),
            dimensions={
                "assessment_name": each["assessment_name"],
                "assessment_value": json.dumps(value),
                "assessment_type": kind,
            },
            measures={
                "assessment_count": 1,
                "assessment_value": known.get(value) if isinstance(value, str) else _number(value),
            },
        )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


ROWS: Mapping[str, Rows] = {"TRACES": _traces, "SPANS": _spans, "ASSESSMENTS": _assessments}
COUNTS = frozenset({"trace_count", "session_count", "span_count", "assessment_count"})
COSTS = frozenset({"input_cost", "output_cost", "total_cost"})
TOKENS = frozenset(f"{of}_tokens" for of in ("input", "output", "total", "cache_read_input", "cache_creation_input"))
MEASURES: Mapping[str, frozenset[str]] = {
    "TRACES": TOKENS | COSTS | {"trace_count", "session_count", "latency"},
    "SPANS": COSTS | {"span_count", "latency"},
    "ASSESSMENTS": frozenset({"assessment_count", "assessment_value"}),
}
DIMENSIONS: Mapping[str, frozenset[str]] = {
    "TRACES": frozenset({"trace_name", "trace_status"}),
    "SPANS": frozenset(f"span_{of}" for of in ("name", "type", "status", "model_name", "model_provider")),
    "ASSESSMENTS": frozenset({"assessment_name", "assessment_value"}),
}


def metrics(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One measure of traces, spans or assessments, summed up by dimensions and spans of time."""
    view, measure = enum_of("view_type", given["view_type"], VIEWS, first=1), given["metric_name"]
    if measure not in MEASURES[view]:
        raise invalid(f"metric_name must be one of {sorted(MEASURES[view])}, got '{measure}'")
    wrong = sorted({*given["dimensions"]} - DIMENSIONS[view])
    if wrong:
        raise invalid(f"Found invalid dimension(s): {wrong}. Supported dimensions: {sorted(DIMENSIONS[view])}")
    summaries = dict(_summary(measure, each) for each in given["aggregations"])
    seconds, first, last = given["time_interval_seconds"], given["start_time_ms"], given["end_time_ms"]
    most = MOST_POINTS if given["max_results"] is None else given["max_results"]
    if not 1 <= most <= AT_ONCE:
        raise invalid(f"max_results must be between 1 and {AT_ONCE}, got {most}")
    if seconds is not None and seconds < 1:
        raise invalid(f"time_interval_seconds must be 1 or more, got {seconds}")
    if seconds is not None and (first is None or last is None):
        raise invalid("start_time_ms and end_time_ms are required if time_interval_seconds is set")
    conditions, same = _filters(view, given["filters"])
    times = ((">=", first), ("<=", last))
    conditions += [attribute("timestamp_ms", sign, at) for sign, at in times if at is not None]  # pyright: ignore[reportArgumentType]
    groups: dict[tuple[str, ...], list[Any]] = {}
    for row in _matching(tracking, given["experiment_ids"], view, conditions, same):
        value = row.measures.get(measure)
        names = [_bucket(row.time_ms, seconds)] if seconds else []
        at = (*names, *(row.dimensions[each] for each in given["dimensions"]))
        if value is not None and None not in at:
            groups.setdefault(at, []).append(value)  # pyright: ignore[reportArgumentType] - no None is in it
    names = [*([BUCKET] if seconds else []), *given["dimensions"]]
    after = _after(given["page_token"], len(names))
    rest = sorted(at for at in groups if after is None or at > after)
    points: list[Json] = [
        {
            "metric_name": measure,
            "dimensions": dict(zip(names, at, strict=True)),
            "values": {name: summary(groups[at]) for name, summary in summaries.items()},
        }
        for at in rest[:most]
    ]
    return paged({"data_points": points}, json.dumps(rest[most - 1]) if len(rest) > most else None)


def _after(page: str | None, names: int) -> tuple[str, ...] | None:
    """The last group of the page before, by which the next one is asked for."""
    if not page:
        return None
    try:
        group = json.loads(page)
    except (ValueError, RecursionError):
        group = None
    if not isinstance(group, list) or len(group) != names or not all(isinstance(each, str) for each in group):
        raise invalid(f"expected a page_token that an answer to the same question named, received {page!r}")
    return tuple(group)


def _matching(
    tracking: Tracking, experiments: Sequence[str], view: str, conditions: Sequence[Expr], same: Mapping[str, str]
) -> Iterator[_Row]:
    where = within(attribute("experiment_id", "in", tuple(experiments)), *conditions)
    query = Query(where=where, lifecycle=None, limit=AT_ONCE)
    for document in every(lambda query: tracking.records.documents.search(TRACES, query), query):
        for row in ROWS[view](document.body):
            if all(row.dimensions[key] == value for key, value in same.items()):
                yield row


def _bucket(time_ms: float, seconds: int) -> str:
    """The beginning of the span of time in which a moment is."""
    return datetime.fromtimestamp(time_ms // (seconds * 1000) * seconds, UTC).isoformat()


# --- summaries ----------------------------------------------------------------------------------


def _summary(measure: str, given: Any) -> tuple[str, Callable[[list[Any]], float]]:
    """An aggregation by the name under which its value is answered."""
    stated: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    kind = enum_of("aggregation_type", stated.get("aggregation_type"), KINDS, first=1)
    allowed = ["COUNT"] if measure in COUNTS else sorted({*KINDS} - {"COUNT"})
    if kind not in allowed:
        raise invalid(f"Found invalid aggregation_type(s): {[kind]}. Supported aggregation types: {allowed}")
    if measure == "session_count":
        return kind, lambda values: len({*values})
    if kind != "PERCENTILE":
        return kind, _SUMMARIES[kind]
    share = stated.get("percentile_value")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 100:  # noqa: PLR2004
        raise invalid(f"Percentile value must be between 0 and 100, got {share}")
    return f"P{float(share)}", lambda values: _percentile(values, share / 100)


def _percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between neighbours.

    Source: R. Hyndman, Y. Fan (1996), "Sample Quantiles in Statistical Packages", definition 7.
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


_SUMMARIES: Mapping[str, Callable[[list[Any]], float]] = {
    "COUNT": len,
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": min,
    "MAX": max,
}


# --- filters ------------------------------------------------------------------------------------

_FILTER = re.compile(
    r"\s*(?P<view>\w+)(?:\.(?P<entity>\w+))?(?:\.(?P<key>`[^`]+`|\"[^\"]+\"|[^\s=!<>]+))?"
    r"\s*(?P<sign>=|!=|<=|>=|<|>|[A-Za-z ]+?)\s*(?P<value>'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|\S+)\s*"
)
ENTITIES: Mapping[str, Sequence[str]] = {
    "trace": ("status", "tag", "metadata"),
    "span": ("name", "status", "type"),
    "assessment": ("name", "type"),
}


def _filters(view: str, texts: Sequence[str]) -> tuple[list[Expr], dict[str, str]]:
    """Filters as conditions on traces, and as values that dimensions of rows must have."""
    conditions: list[Expr] = []
    same: dict[str, str] = {}
    for text in texts:
        of, entity, key, value = _filter(text)
        if of == "trace":
            kind = {"tag": "tag", "metadata": "param"}.get(entity, "attribute")
            field = QueryField(kind=kind, key=key or entity)  # pyright: ignore[reportArgumentType]
            conditions.append(Predicate(field=field, operator="=", value=value))
        elif f"{of}s".upper() != view:
            raise invalid(f"Filtering by {of} is only supported for {of.upper()}S view type, got {view}")
        else:
            same[f"{of}_{entity}"] = value
    return conditions, same


def _filter(text: str) -> tuple[str, str, str | None, str]:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise invalid(f"Invalid filter: '{text}'. Expected one filter clause.")
    of, entity, key, sign, value = match.group("view", "entity", "key", "sign", "value")
    if entity is None:
        columns = "Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'."
        raise invalid(f"Invalid identifier '{of}'. {columns}")
    if of not in ENTITIES:
        raise invalid(f"Invalid view type '{of}'. Valid values are {sorted(ENTITIES)}")
    if entity not in ENTITIES[of]:
        raise invalid(f"Invalid entity '{entity}' specified for view type '{of}'. Valid entities are {[*ENTITIES[of]]}")
    if (entity in {"tag", "metadata"}) != (key is not None):
        how = (
            f"does not require a key, use '{of}.{entity}' instead"
            if key
            else f"requires a key, e.g. '{of}.{entity}.<key> = <value>'"
        )
        raise invalid(f"Filtering by {entity} {how}")
    if sign != "=":
        raise invalid(f"Invalid comparator: '{sign}', only '=' operator is supported")
    if value[0] not in "'\"" or len(value) < 2:  # noqa: PLR2004
        raise invalid(f"Expected a quoted string value for {entity} value (e.g. 'my-value'). Got value {value}")
    return of, entity, key and key.strip('`"'), unquoted(value)
