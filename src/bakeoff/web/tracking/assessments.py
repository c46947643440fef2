"""Assessments of traces: feedback and expectations, by people, code or judges; corrected, never silently replaced."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.documents import Body
from bakeoff.web.tracking.traces import change, ms_of, time_of, trace_of
from bakeoff.web.tracking.wire import TrackingError, invalid, snake, unknown

__all__ = ["completed", "create", "delete", "get", "update"]

UPDATED = ("assessment_name", "feedback", "expectation", "rationale", "metadata", "valid")


def completed(tracking: Tracking, trace_id: str, given: Mapping[str, Any]) -> Body:
    """An assessment as it is kept: with an id, its trace and its times."""
    if not given.get("assessment_name"):
        raise invalid("Missing value for required parameter 'assessment_name'.")
    if [isinstance(given[key], dict) for key in ("feedback", "expectation", "issue") if key in given] != [True]:
        raise invalid("Exactly one of `expectation`, `feedback`, or `issue` should be specified.")
    for key in ("create_time", "last_update_time"):
        ms_of(given.get(key, 0))
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


def _plain(body: Body) -> Body:
    """Expectations that are no plain value are kept as JSON, as clients expect them."""
    expectation = body.get("expectation")
    if expectation is not None and isinstance(expectation.get("value"), dict | list):
        serialized = {"serialization_format": "JSON_FORMAT", "value": json.dumps(expectation["value"])}
        body["expectation"] = {"serialized_value": serialized}
    return body


def _absent(trace_id: str, assessment_id: str) -> TrackingError:
    return unknown(f"Assessment with ID '{assessment_id}' not found for trace '{trace_id}'")


def _one(body: Body, assessment_id: str) -> Body:
    for each in body["assessments"]:
        if each["assessment_id"] == assessment_id:
            return each
    raise _absent(body["trace_id"], assessment_id)


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new assessment; one that it overrides is not valid any more."""
    new = completed(tracking, given["trace_id"], given["assessment"])
    overridden = new.get("overrides")

    def changed(body: Body) -> Body:
        before = body["assessments"]
        if overridden:
            before = _valid(before, _one(body, overridden)["assessment_id"], valid=False)
        return {"assessments": [*before, new]}

    change(tracking, given["trace_id"], changed)
    return {"assessment": new}


def _valid(assessments: list[Body], assessment_id: str | None, *, valid: bool) -> list[Body]:
    return [{**each, "valid": valid} if each["assessment_id"] == assessment_id else each for each in assessments]


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One assessment."""
    return {"assessment": _one(trace_of(tracking, given["trace_id"]), given["assessment_id"])}


def update(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Change what the mask names of an assessment."""
    stated, mask, wanted = given["assessment"], given["update_mask"], given["assessment_id"]
    paths = mask.split(",") if isinstance(mask, str) else mask.get("paths", [])
    names = [snake(path.strip()) for path in paths]

    def updated(old: Body) -> Body:
        for kind, other in (("feedback", "expectation"), ("expectation", "feedback")):
            if kind in names and other in old:
                raise invalid(f"Cannot update {kind} value on an {other} assessment.")
        more = {name: stated[name] for name in names if name in UPDATED and name in stated}
        if "metadata" in more:
            more["metadata"] = {**old.get("metadata", {}), **more["metadata"]}
        return _plain({**old, **more, "last_update_time": time_of(tracking.clock())})

    def changed(body: Body) -> Body:
        new = updated(_one(body, wanted))
        return {"assessments": [new if each["assessment_id"] == wanted else each for each in body["assessments"]]}

    return {"assessment": _one(change(tracking, given["trace_id"], changed), wanted)}


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take an assessment away; one that it overrode is valid again."""

    def changed(body: Body) -> Body:
        gone = _one(body, given["assessment_id"])
        rest = [each for each in body["assessments"] if each is not gone]
        return {"assessments": _valid(rest, gone.get("overrides"), valid=True)}

    change(tracking, given["trace_id"], changed)
    return {}
