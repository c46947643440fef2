"""Endpoints: what answers, the evidence about a canary, signals over time, a form to try it, the last predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.retention import retention_hint
from bakeoff.core.types import Column, Json
from bakeoff.monitor.signals import MonitorReport, reports
from bakeoff.registry.lineage import find_version, signature_of
from bakeoff.serve.inputs import Gaps
from bakeoff.web.pages.calls import PageCall, Redirect, Shown, number_of
from bakeoff.web.pages.drawing import Bar, DrawnLine, columns, lines
from bakeoff.web.pages.traffic import Minute

if TYPE_CHECKING:
    from bakeoff.project.endpoints import EndpointStatus, ProjectEndpoints

__all__ = ["answering", "change", "feedback", "listing", "live", "one", "prediction", "try_it"]

MOST_REPORTS, FEWEST_REPORTS, RECENT = 100, 2, 20
HOUR_MS = 3_600_000
SPANS = {"hour": (60, 60), "day": (24 * 60, 48)}
"""Minutes that are looked back, and in how many columns."""


def listing(call: PageCall) -> Shown:
    """All endpoints that the caller reaches."""
    listed = call.endpoints(call.any_project())
    traffic = call.traffic
    assert traffic is not None
    rows = {each.name: sum(minute.rows for minute in traffic.of(each.name)) for each in listed}
    return Shown(template="endpoints.html", values={"title": "Endpoints", "endpoints": listed, "rows": rows})


def one(call: PageCall) -> Shown:
    """One endpoint."""
    name = call.path["name"]
    project = call.project("endpoint", name)
    values = _values(call, name)
    live, own = values["status"].live, name == project.endpoint
    signature = None if live is None else signature_of(project.records.versions, live.model_version)
    return Shown(
        template="endpoint.html",
        values={
            "title": name,
            "name": name,
            "own": own,
            "fields": [] if signature is None else [field_of(each) for each in signature.inputs],
            "task": project.config.project.task,
            **values,
        },
    )


def live(call: PageCall) -> Shown:
    """The part of an endpoint's page that changes."""
    name = call.path["name"]
    call.project("endpoint", name)
    return Shown(template="endpoint_live.html", values=_values(call, name))


def _values(call: PageCall, name: str) -> Mapping[str, Any]:
    project = call.project("endpoint", name)
    status = project.endpoints.show(name)
    assert call.traffic is not None
    span = call.query.get("span", "hour")
    if span not in SPANS:
        raise UsageError(f"span: expected one of {', '.join(SPANS)}, received {span[:40]!r}")
    minutes, parts = SPANS[span]
    made = call.traffic.of(name, minutes=minutes, parts=parts)
    seen = reports(project.records.documents, name)[:MOST_REPORTS]
    return {
        "name": name,
        "status": status,
        "span": span,
        "chart": traffic_chart(made),
        "latency": _latency_chart(made),
        "sums": sums(made),
        "signals": seen[0] if seen else None,
        "history": _history(seen),
        "recent": list(call.traffic.recent(name))[:RECENT],
        "choices": _changes(status) if call.may("release") else [],
        "live_path": f"/endpoints/{quote(name)}/live?span={span}",
    }


def traffic_chart(minutes: Sequence[Minute]) -> Any:
    """Rows that were answered and that were not, over time."""
    total = sum(each.rows for each in minutes)
    given = [
        Bar(
            title=f"{each.rows + each.failed} rows, {each.failed} not answered",
            value=each.rows + each.failed,
            bad=each.failed,
        )
        for each in minutes
    ]
    hours = (minutes[1].start_ms - minutes[0].start_ms) * len(minutes) / HOUR_MS
    return columns(given, description=f"{total} rows answered in {hours:.0f} h", first=f"{hours:.0f} h ago", last="now")


def _latency_chart(minutes: Sequence[Minute]) -> Any:
    known = [(each.start_ms, each.p95_ms) for each in minutes]
    given = [Bar(title=f"p95 {p95 or 0:.2f} ms", value=p95 or 0.0) for _, p95 in known]
    return (
        columns(given, description="95th percentile of latency", first="", last="now")
        if any(p for _, p in known)
        else None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSums:
    """What was answered, and what was not, by release."""

    rows: int
    failed: int
    p95_ms: float | None
    by_release: Mapping[str, int]


def sums(minutes: Sequence[Minute]) -> TrafficSums:
    """All of these minutes together."""
    together = Minute(0)
    for each in minutes:
        together.add(each)
    return TrafficSums(
        rows=together.rows, failed=together.failed, p95_ms=together.p95_ms, by_release=together.by_release
    )


def _history(seen: Sequence[MonitorReport]) -> list[tuple[str, float | None, Any]]:
    """Each signal over the looks, the oldest first, with its limit."""
    charts: list[tuple[str, float | None, Any]] = []
    if len(seen) < FEWEST_REPORTS:
        return charts
    for signal in seen[0].signals:
        points = [
            (-float(at), each.value)
            for at, report in enumerate(seen)
            for each in report.signals
            if each.name == signal.name and each.value is not None
        ][::-1]
        if len(points) < FEWEST_REPORTS:
            continue
        series = [DrawnLine(name=signal.name, colour=0, points=points)]
        if signal.limit is not None and signal.name != "quality":
            ends = [(points[0][0], signal.limit), (points[-1][0], signal.limit)]
            series.append(DrawnLine(name="limit", colour=1, points=ends))
        text = f"{signal.name} at the last {len(points)} looks"
        charts.append((signal.name, signal.limit, lines(series, description=text, x="looks ago")))
    return charts


# --- changing -----------------------------------------------------------------------------------


def _changes(status: "EndpointStatus") -> list[tuple[str, str, str]]:
    """What can be done to the routes: the change, its label, and what will happen."""
    if status.live is None:
        return []
    live, name = status.live.model_version, status.name
    choices: list[tuple[str, str, str]] = []
    beside = status.routes[1] if len(status.routes) > 1 else None
    if beside is not None:
        version = beside.model_version
        happens = f"{version} will answer all calls on {name}, whatever the evidence says; undo brings {live} back."
        choices.append(("promote", "Promote", happens))
        choices.append(("rollback", "End the " + beside.status, f"{live} will answer all calls; {version} no more."))
    elif status.live.previous is not None:
        choices.append(("rollback", "Roll back", f"{name} will go back to the release that was live before {live}."))
    if status.paused:
        choices.append(("resume", "Resume", "Rollouts go on: a canary gets its share again."))
    else:
        choices.append(("pause", "Pause", f"{live} will answer all calls and nothing is decided until you resume."))
    if status.changes:
        last = status.changes[0]
        choices.append(("undo", "Undo", f"The routes from before the last change ({last.what}) come back."))
    return choices


def change(call: PageCall) -> Redirect:
    """Promote, roll back, pause, resume, undo, or release a model on an endpoint."""
    name, what, why = call.path["name"], call.form.get("what", ""), call.form.get("why", "")
    endpoints = call.project("endpoint", name).endpoints.by(call.who)
    status = _changed(endpoints, name, what, call.form.get("model", ""), why)
    return Redirect(url=f"/endpoints/{quote(name)}", done=f"{what.capitalize()}: {answering(status)}.")


def answering(status: "EndpointStatus") -> str:
    """What answers on an endpoint now, and what beside it."""
    if status.live is None:
        services = ", then ".join(status.upstreams)
        return f"{services} is asked on {status.name}" if services else f"nothing answers on {status.name}"
    return ", ".join([f"{status.live.model_version} answers on {status.name}", *status.beside])


def lacking(gaps: Gaps) -> str:
    """What a row lacks, and what of it the model does not know, in words."""
    named = {"without": gaps.imputed or gaps.absent, "never seen in training": gaps.unseen, "no input": gaps.unknown}
    return "; ".join(f"{what}: {', '.join(columns)}" for what, columns in named.items() if columns)


def _changed(endpoints: "ProjectEndpoints", name: str, what: str, model: str, why: str) -> "EndpointStatus":
    plain = {
        "promote": endpoints.promote,
        "rollback": endpoints.rollback,
        "pause": endpoints.pause,
        "resume": endpoints.resume,
        "undo": endpoints.undo,
    }
    if what in plain:
        return plain[what](name, why=why)
    if what == "release" and model:
        return endpoints.release(model, endpoint=name, why=why)
    if what == "canary" and model:
        return endpoints.canary(model, endpoint=name, why=why)
    raise UsageError(f"what: expected {', '.join(plain)}, or release or canary of a model; received {what[:40]!r}")


# --- trying -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """An input of the form: its name, the kind of its field, and what it may be."""

    name: str
    kind: str
    choices: tuple[str, ...] = ()
    hint: str = ""


def field_of(column: Column) -> FormField:
    """The field of an input."""
    if column.format.form == "conversation":
        return FormField(name=column.name, kind="chat")
    if column.kind == "numeric":
        return FormField(name=column.name, kind="number", hint="a number")
    if column.kind == "categorical" and column.known and len(column.known) <= 50:  # noqa: PLR2004 - a list to look at
        return FormField(name=column.name, kind="choice", choices=tuple(column.known))
    if column.kind == "datetime":
        return FormField(name=column.name, kind="text", hint="2026-11-30T12:00:00")
    return FormField(name=column.name, kind="long" if column.kind == "text" else "text")


def try_it(call: PageCall) -> Shown:
    """Ask the endpoint one row, or what follows in a conversation; it is logged as any other call."""
    name = call.path["name"]
    project = call.project("endpoint", name)
    if name != project.endpoint:
        raise UsageError(f"expected the project's own endpoint {project.endpoint!r}: ask {name!r} over HTTP")
    current = project.release()
    if current is None:
        raise NotFoundError(f"expected a release on {name!r}, found none: 'bakeoff run' makes one")
    signature = signature_of(project.records.versions, current.model_version)
    row: dict[str, Json] = {}
    turns: list[Json] = []
    for column in signature.inputs:
        text = call.form.get(f"in.{column.name}", "")
        if not text:
            continue
        row[column.name] = number_of(column.name, text) if column.kind == "numeric" else _value(text)
        if column.format.form == "conversation":
            given = row[column.name]
            turns = given if isinstance(given, list) else [*_turns(call), {"role": "user", "content": text}]
            row[column.name] = turns
    answer = project.predict([row])[0]
    if turns:
        turns = [*turns, {"role": "assistant", "content": str(answer.value)}]
    shown = sorted((answer.probabilities or {}).items(), key=lambda pair: -pair[1])[:10]
    return Shown(
        template="endpoint_answer.html",
        values={
            "answer": answer,
            "probabilities": shown,
            "title": name,
            "turns": turns,
            "sent": msgspec.json.encode(turns).decode(),
            "lacking": lacking(answer.gaps) if answer.gaps else "",
        },
    )


def _value(text: str) -> Json:
    """A text; messages as JSON are a conversation."""
    if not text.lstrip().startswith("["):
        return text
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        return text


def _turns(call: PageCall) -> list[Json]:
    """What was said before, in a conversation that goes on."""
    text = call.form.get("turns", "")
    known = _value(text) if text else []
    if not isinstance(known, list):
        raise UsageError(f"turns: expected messages as JSON, received {text[:40]!r}: begin the conversation anew")
    return known


def prediction(call: PageCall) -> Shown:
    """One prediction: the row, the answer, what was said of it, and what made the model."""
    known = call.any_project()
    logged = known.events.get(PredictionEvent, [call.path["id"]])
    if not logged or not call.principal.reaches("endpoint", logged[0].endpoint):
        hint = retention_hint(known.events, reaches=lambda name: call.principal.reaches("endpoint", name))
        raise NotFoundError(f"expected the id of a logged prediction, received {call.path['id'][:80]!r}{hint}")
    event = logged[0]
    version = find_version(known.records.versions, known.config.project.name, event.model_version)
    return Shown(
        template="prediction.html",
        values={
            "title": "Prediction",
            "event": event,
            "probabilities": sorted((event.probabilities or {}).items(), key=lambda pair: -pair[1])[:10],
            "feedback": known.events.get(FeedbackEvent, [event.id]),
            "version": version,
            "origin": version.model_origin,
            "classes": signature_of(known.records.versions, event.model_version).classes,
        },
    )


def feedback(call: PageCall) -> Redirect:
    """Say what was true of a prediction."""
    known, identity, label = call.any_project(), call.path["id"], call.form.get("label", "").strip()
    if not label:
        raise UsageError("label: expected what is true, received nothing")
    recorded = known.feedback(
        [{"id": identity, "label": label, "source": call.who}],
        reaches=lambda endpoint: call.principal.reaches("endpoint", endpoint),
    )
    if recorded.unmatched:
        raise NotFoundError(f"expected the id of a logged prediction, received {identity[:80]!r}")
    if not recorded.accepted:
        raise UsageError(f"expected a label that this prediction can have, received {label[:80]!r}")
    return Redirect(url=f"/predictions/{quote(identity)}", done="Thank you: the label is logged.")
