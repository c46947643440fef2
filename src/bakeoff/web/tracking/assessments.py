"""Assessments of traces: feedback and expectations, by people, code or judges; corrected, never silently replaced."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.traces import change_assessments, time_of, trace_of
from bakeoff.web.tracking.wire import TrackingError, invalid, unknown

__all__ = ["completed", "create", "delete", "get", "update"]

UPDATED = ("assessment_name", "feedback", "expectation", "rationale", "metadata", "valid")


def completed(tracking: Tracking, trace_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """An assessment as it is kept: with an id, its trace and its times."""
    if not given.get("assessment_name"):
        raise invalid("Missing value for required parameter 'assessment_name'.")
    if sum(key in given for key in ("feedback", "expectation", "issue")) != 1:
        raise invalid("Exactly one of `expectation`, `feedback`, or `issue` should be specified.")
    now = time_of(tracking.clock())
    body = {
        "create_time": now,
        "last_update_time": now,
        **given,
        "assessment_id": given.get("assessment_id") or f"a-{uuid.uuid4().hex}",
        "trace_id": trace_id,
        "valid": given.get("valid", True),
    }
    return _plain(body)


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """Expectations that are no plain value are kept as JSON, as clients expect them."""
    expectation = body.get("expectation")
    if expectation is not None and isinstance(expectation.get("value"), dict | list):
        serialized = {"serialization_format": "JSON_FORMAT", "value": json.dumps(expectation["value"])}
        body["expectation"] = {"serialized_value": serialized}
    return body


def _absent(trace_id: str, assessment_id: str) -> TrackingError:
    return unknown(f"Assessment with ID '{assessment_id}' not found for trace '{trace_id}'")


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new assessment; one that it overrides is not valid any more."""
    new = completed(tracking, given["trace_id"], given["assessment"])
    overridden = new.get("overrides")

    def changed(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if overridden and overridden not in {each["assessment_id"] for each in known}:
            raise _absent(given["trace_id"], overridden)
        return [*({**each, "valid": False} if each["assessment_id"] == overridden else each for each in known), new]

    change_assessments(tracking, given["trace_id"], changed)
    return {"assessment": new}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One assessment."""
    for each in trace_of(tracking, given["trace_id"])["assessments"]:
        if each["assessment_id"] == given["assessment_id"]:
            return {"assessment": each}
    raise _absent(given["trace_id"], given["assessment_id"])


def update(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Change what the mask names of an assessment."""
    stated, mask = given["assessment"], given["update_mask"]
    paths = mask.split(",") if isinstance(mask, str) else mask.get("paths", [])
    names = ["".join(f"_{c.lower()}" if c.isupper() else c for c in path.strip()) for path in paths]
    result: list[dict[str, Any]] = []

    def changed(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_updated(each) if each["assessment_id"] == given["assessment_id"] else each for each in known]

    def _updated(old: dict[str, Any]) -> dict[str, Any]:
        for kind, other in (("feedback", "expectation"), ("expectation", "feedback")):
            if kind in names and other in old:
                raise invalid(f"Cannot update {kind} value on an {other} assessment.")
        more = {name: stated[name] for name in names if name in UPDATED and name in stated}
        if "metadata" in more:
            more["metadata"] = {**old.get("metadata", {}), **more["metadata"]}
        result.append(_plain({**old, **more, "last_update_time": time_of(tracking.clock())}))
        return result[-1]

    change_assessments(tracking, given["trace_id"], changed)
    if not result:
        raise _absent(given["trace_id"], given["assessment_id"])
    return {"assessment": result[-1]}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take an assessment away; one that it overrode is valid again."""

    def changed(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        gone = next((each for each in known if each["assessment_id"] == given["assessment_id"]), None)
        if gone is None:
            raise _absent(given["trace_id"], given["assessment_id"])
        overridden = gone.get("overrides")
        rest = [each for each in known if each is not gone]
        return [{**each, "valid": True} if each["assessment_id"] == overridden else each for each in rest]

    change_assessments(tracking, given["trace_id"], changed)
    return {}
