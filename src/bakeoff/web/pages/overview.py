"""The loop as a picture: each stage with its state, what answers, what was seen of it, and what comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from bakeoff.core.principals import SCOPE_KINDS
from bakeoff.core.records import Run
from bakeoff.web.pages.calls import PageCall, Shown
from bakeoff.web.pages.endpoints import TrafficSums, sums, traffic_chart
from bakeoff.web.pages.site import ago
from bakeoff.web.pages.traffic import Minute, Traffic

if TYPE_CHECKING:
    from bakeoff.actions.status import Status
    from bakeoff.monitor.signals import MonitorReport
    from bakeoff.project.endpoints import EndpointStatus
    from bakeoff.project.project import Project
    from bakeoff.security.audit import AuditRecord

__all__ = ["Picture", "StageState", "live", "overview", "picture"]

AUDITED, RUNS = 8, 6
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """A stage of the loop: in a word, in a line, where more of it stands; `mood` is good, warn, bad or none."""

    name: str
    word: str
    line: str
    url: str
    mood: str = ""


def overview(call: PageCall) -> Shown:
    """The whole picture; without a project, the runs are all there is."""
    if call.of_project is None:
        return Shown(template="no_project.html", values={"title": "Records"})
    return Shown(template="overview.html", values={"title": call.of_project.config.project.name, **_values(call)})


def live(call: PageCall) -> Shown:
    """The part of it that changes."""
    return Shown(template="overview_live.html", values=_values(call))


def _values(call: PageCall) -> Mapping[str, Any]:
    project = call.project("experiment")
    call.project("endpoint", project.endpoint)
    assert call.traffic is not None
    now = picture(project, call.traffic, call.now_ms)
    audit = now.audit if all(map(call.principal.everything, SCOPE_KINDS)) else ()  # it is of all that there is
    return {
        **{each.name: getattr(now, each.name) for each in fields(now)},
        "chart": traffic_chart(now.minutes),
        "sums": sums(now.minutes),
        "happened": _happened(audit, project.runs(limit=RUNS)),
    }


def _happened(
    changes: "Sequence[AuditRecord]", runs: Sequence[Run]
) -> "list[tuple[int, AuditRecord | None, Run | None]]":
    """Changes and runs as one story, the newest first."""
    told: list[tuple[int, AuditRecord | None, Run | None]] = [
        *((each.time_ms, each, None) for each in changes if not each.action.endswith(" written")),  # of stores
        *((each.start_ms, None, each) for each in runs if not each.parent_id),
    ]
    return sorted(told, key=lambda item: -item[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The project at a moment: its stages, what answers, the traffic of the last hour, what was seen, what comes next.

    `next` are what would start a run, and what holds one back; `audit` are the last changes, newest first, `feedback`
    how often somebody said what was true, in a day.
    """

    status: "Status"
    endpoint: "EndpointStatus | None"
    minutes: Sequence[Minute]
    stages: Sequence[StageState]
    signals: "MonitorReport | None"
    next: Sequence[tuple[str, str]]
    audit: "Sequence[AuditRecord]"
    feedback: int


def picture(project: "Project", traffic: Traffic, now_ms: int) -> Picture:
    """The project now."""
    status, minutes = project.status(), traffic.of(project.endpoint)
    known = {each.name for each in project.endpoints.all()}
    endpoint = project.endpoints.show() if project.endpoint in known else None
    return Picture(
        status=status,
        endpoint=endpoint,
        minutes=minutes,
        stages=_stages(status, endpoint, sums(minutes), now_ms),
        signals=status.signals,
        next=_next(project, now_ms),
        audit=project.audit.last(AUDITED * 2)[::-1],
        feedback=traffic.feedback(),
    )


def _stages(status: "Status", endpoint: "EndpointStatus | None", seen: TrafficSums, now_ms: int) -> list[StageState]:
    here = "/endpoints" if endpoint is None else f"/endpoints/{endpoint.name}"
    last, newest = status.last_run, status.newest_run
    running = newest is not None and newest.status == "RUNNING"
    made = [_run_stage(newest, now_ms, running=running)]
    if last is not None:
        data, verdict = last.dataset, last.verdict
        made.append(
            StageState(
                name="Data",
                word=f"{data.rows:,} rows",
                line=f"{data.train:,} to learn from, {data.test:,} to judge by",
                url="/data",
                mood="warn" if data.warnings else "good",
            )
        )
        failed = f", {len(last.failed)} failed" if last.failed else ""
        late = f", {len(last.left_out)} left out" if last.left_out else ""
        made.append(
            StageState(
                name="Candidates",
                word=f"{len(last.fine)} fitted{failed}{late}",
                line=", ".join(each.name for each in last.ranked[:3]),
                url=f"/runs/{last.run_id}",
                mood="bad" if last.failed else "warn" if last.left_out else "good",
            )
        )
        made.append(
            StageState(
                name="Verdict",
                word=verdict.winner or "nobody wins",
                line=f"{verdict.metric} {verdict.value.value:.4f} {verdict.value.ends('.3f')} expected"
                if verdict.value
                else "no candidate passed",
                url=f"/verdict?run={last.run_id}",
                mood="good" if verdict.winner else "bad",
            )
        )
    made.append(
        StageState(
            name="Champion",
            word=status.champion or "none yet",
            line="waits for a person's word" if last and last.blocked else "what the endpoint is held to",
            url="/models",
            mood="warn" if last and last.blocked else "good" if status.champion else "",
        )
    )
    made.append(_release_stage(endpoint))
    made.append(
        StageState(
            name="Traffic",
            word=f"{seen.rows:,} rows",
            line=f"{seen.failed:,} not answered, in the last hour",
            url=here,
            mood="bad" if seen.failed else "good" if seen.rows else "",
        )
    )
    made.append(_signal_stage(status, f"{here}#signals", now_ms))
    return made


def _run_stage(newest: Run | None, now_ms: int, *, running: bool) -> StageState:
    if newest is None:
        return StageState(name="Run", word="none yet", line="bakeoff run starts one", url="/runs")
    mood = {"RUNNING": "warn", "FINISHED": "good"}.get(newest.status, "bad")
    began = ago(newest.start_ms, now_ms)
    line = f"began {began}" if running else f"the last one began {began}"
    return StageState(
        name="Run", word=newest.status.lower(), line=line, url=f"/runs/{newest.parent_id or newest.run_id}", mood=mood
    )


def _release_stage(endpoint: "EndpointStatus | None") -> StageState:
    if endpoint is not None and endpoint.upstreams:
        first, *others = endpoint.upstreams
        line = f"then {', '.join(others)}" if others else "is asked for everything"
        return StageState(name="Release", word=first, line=line, url=f"/endpoints/{endpoint.name}", mood="good")
    if endpoint is None or endpoint.live is None:
        return StageState(name="Release", word="nothing live", line="a run releases its winner", url="/endpoints")
    return StageState(
        name="Release",
        word=endpoint.live.model_version,
        line=", ".join(endpoint.beside) or "answers everything",
        url=f"/endpoints/{endpoint.name}",
        mood="warn" if endpoint.paused or endpoint.beside else "good",
    )


def _signal_stage(status: "Status", url: str, now_ms: int) -> StageState:
    report = status.signals
    if report is None:
        return StageState(name="Monitoring", word="not looked yet", line="bakeoff monitor, or bakeoff up", url=url)
    alerts = ", ".join(each.name for each in report.alerts)
    return StageState(
        name="Monitoring",
        word=f"alert: {alerts}" if alerts else "no alert",
        line=f"looked {ago(report.until_ms, now_ms)}",
        url=url,
        mood="bad" if alerts else "good",
    )


def _next(project: "Project", now_ms: int) -> list[tuple[str, str]]:
    """What will start a run: each trigger of the policy, and what it waits for; and what holds one back."""
    loop, status = project.config.loop, project.cycles.status()
    triggers = {
        "quality": "measured quality falls by more than the limit",
        "drift": "inputs or answers drift over the limit",
        "feedback": f"{loop.feedback_rows:,} new labels are there",
        "data": "the source holds other rows",
    }
    listed = [(each, triggers[each]) for each in loop.triggers if each in triggers]
    if status.due_ms is not None:
        listed.append(("schedule", f"in {max(0.0, (status.due_ms - now_ms) / HOUR_MS):.0f} hours"))
    return [*listed, *([("held back", status.holding.reason)] if status.holding else [])]
