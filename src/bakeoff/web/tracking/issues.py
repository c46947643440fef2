"""Issues: problems that people or judges found in traces, and that traces refer to in their assessments."""

import uuid
from collections.abc import Mapping
from typing import Any

from bakeoff.core.filters import Grammar, Name, filter_of, within
from bakeoff.core.queries import Order, Query, QueryField, attribute
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.documents import Body, Fields, edit, fields, write
from bakeoff.web.tracking.experiments import experiment_of
from bakeoff.web.tracking.traces import TRACES
from bakeoff.web.tracking.wire import TrackingError, invalid, unknown

__all__ = ["create", "get", "search", "update"]

ISSUES = "issues"
STATUSES, SEVERITIES = ("pending", "rejected", "resolved"), ("not_an_issue", "low", "medium", "high")
TEXTS = ("name", "description", "status", "severity", "source_run_id", "created_by")
GRAMMAR = Grammar(attributes={key: Name.of(key) for key in ("status", "source_run_id", "severity", "name")})
WORST = (Order(field=QueryField(kind="attribute", key="rank"), descending=True),)


def _checked(given: Mapping[str, Any]) -> Body:
    """What a client says of an issue, as far as it does."""
    for name, choices in (("status", STATUSES), ("severity", SEVERITIES)):
        if given.get(name) is not None and given[name] not in choices:
            raise invalid(f"Invalid value '{given[name]}' for parameter '{name}' supplied: expected one of {choices}")
    return {key: given[key] for key in (*TEXTS, "root_causes", "categories") if given.get(key)}


def _fields(body: Body) -> Fields:
    severity = body.get("severity")
    searched = {key: body.get(key) for key in ("experiment_id", *TEXTS) if key != "description"}
    return fields({**searched, "rank": -1 if severity is None else SEVERITIES.index(severity)})


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new issue of an experiment."""
    experiment_id = experiment_of(tracking, given["experiment_id"]).experiment_id
    now, issue_id = tracking.clock(), f"iss-{uuid.uuid4().hex}"
    body: Body = {"status": STATUSES[0], **_checked(given), "issue_id": issue_id, "experiment_id": experiment_id}
    body |= {"created_timestamp": now, "last_updated_timestamp": now}
    write(tracking, ISSUES, {issue_id: body}, _fields, new=True)
    return {"issue": body}


def _absent(issue_id: str) -> TrackingError:
    return unknown(f"Issue with ID '{issue_id}' not found")


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One issue."""
    known = tracking.records.documents.get(ISSUES, given["issue_id"])
    if known is None:
        raise _absent(given["issue_id"])
    return {"issue": dict(known.body)}


def update(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Change what is said of an issue."""
    more = {
        key: value for key, value in _checked(given).items() if key in {"name", "description", "status", "severity"}
    }

    def changed(body: Body) -> Body:
        return {**body, **more, "last_updated_timestamp": tracking.clock()}

    issue_id = given["issue_id"]
    return {"issue": edit(tracking, ISSUES, issue_id, changed, fields_of=_fields, absent=_absent(issue_id))}


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Issues by filter, the worst first and of these the newest."""
    mine = attribute("experiment_id", "=", given["experiment_id"]) if given["experiment_id"] else None
    query = Query(
        where=within(mine, filter_of(given["filter_string"], GRAMMAR)),
        order=WORST,
        lifecycle=None,
        limit=given["max_results"] or 100,
        page=given["page_token"] or None,
    )
    page = tracking.records.documents.search(ISSUES, query)
    issues: list[Json] = [
        {**each.body, **({"trace_count": _traces(tracking, each.key)} if given["include_trace_count"] else {})}
        for each in page.items
    ]
    return {"issues": issues, "next_page_token": page.following or ""}


def _traces(tracking: Tracking, issue_id: str) -> int:
    """How many traces refer to an issue."""
    return tracking.records.documents.count(TRACES, attribute(f"issue.{issue_id}", "is not null"))
