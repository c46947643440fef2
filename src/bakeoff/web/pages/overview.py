"""The loop as a picture: each stage with its state, what answers, what was seen of it, and what comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.core.records import Run
from bakeoff.loop.stored_outcome import LAST, PASSES
from bakeoff.monitor.signals import reports
from bakeoff.web.pages.calls import Call, Shown
from bakeoff.web.pages.endpoints import sums, traffic_chart
from bakeoff.web.pages.site import ago
from bakeoff.web.pages.traffic import Minute

if TYPE_CHECKING:
    from bakeoff.actions.status import Status
    from bakeoff.project.endpoints import EndpointStatus
    from bakeoff.project.project import Project

__all__ = ["StageState", "live", "overview"]

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


def overview(call: Call) -> Shown:
    """The whole picture; without a project, the runs are all there is."""
    if call.of_project is None:
        return Shown(template="no_project.html", values={"title": "Records"})
    return Shown(template="overview.html", values={"title": call.of_project.config.project.name, **_values(call)})


def live(call: Call) -> Shown:
    """The part of it that changes."""
    return Shown(template="overview_live.html", values=_values(call))


def _values(call: Call) -> Mapping[str, Any]:
    project = call.project("endpoint", None if call.of_project is None else call.of_project.endpoint)
    status = project.status()
    assert call.traffic is not None
    minutes = call.traffic.of(project.endpoint)
    known = {each.name for each in project.endpoints.all()}
    endpoint = project.endpoints.show() if project.endpoint in known else None
    signals = reports(project.records.documents, project.endpoint)[:1]
    records = list(project.audit.records())[-AUDITED:]
    return {
        "project": project,
        "status": status,
        "endpoint": endpoint,
        "stages": _stages(call, status, endpoint, minutes),
        "signals": signals[0] if signals else None,
        "chart": traffic_chart(minutes),
        "sums": sums(minutes),
        "feedback": call.traffic.feedback(),
        "runs": project.runs(limit=RUNS),
        "next": _next(project, call.now_ms),
        "audit": list(reversed(records)),
    }


def _stages(
    call: Call, status: "Status", endpoint: "EndpointStatus | None", minutes: Sequence[Minute]
) -> list[StageState]:
    last, newest = status.last_run, status.newest_run
    running = newest is not None and newest.status == "RUNNING"
    made = [_run_stage(newest, call.now_ms, running=running)]
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
        made.append(
            StageState(
                name="Candidates",
                word=f"{len(last.fine)} fitted{failed}",
                line=", ".join(each.name for each in last.ranked[:3]),
                url=f"/runs/{last.run_id}",
                mood="bad" if last.failed else "good",
            )
        )
        made.append(
            StageState(
                name="Verdict",
                word=verdict.winner or "nobody wins",
                line=f"{verdict.metric} {verdict.value.value:.4f} {verdict.value.ends('.3f')}"
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
    rows, failed_rows = sum(each.rows for each in minutes), sum(each.failed for each in minutes)
    made.append(
        StageState(
            name="Traffic",
            word=f"{rows:,} rows",
            line=f"{failed_rows:,} not answered, in the last hour",
            url=f"/endpoints/{status.endpoint}",
            mood="bad" if failed_rows else "good" if rows else "",
        )
    )
    made.append(_signal_stage(status, call.now_ms))
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
    if endpoint is None or endpoint.live is None:
        return StageState(name="Release", word="nothing live", line="a run releases its winner", url="/endpoints")
    beside = [f"{each.status} {each.model_version} ({each.percent})" for each in endpoint.routes[1:]]
    return StageState(
        name="Release",
        word=endpoint.live.model_version,
        line=", ".join(beside) or "answers everything",
        url=f"/endpoints/{endpoint.name}",
        mood="warn" if endpoint.paused or beside else "good",
    )


def _signal_stage(status: "Status", now_ms: int) -> StageState:
    report, url = status.signals, f"/endpoints/{status.endpoint}#signals"
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
    told = {
        "quality": "measured quality falls by more than the limit",
        "drift": "inputs or answers drift over the limit",
        "feedback": f"{loop.feedback_rows:,} new labels are there",
        "data": "the source holds other rows",
    }
    listed = [(each, told[each]) for each in loop.triggers if each in told]
    last, due_ms = project.records.documents.get(PASSES, LAST), status.due_ms
    if due_ms is None and "schedule" in loop.triggers and last is not None:
        due_ms = last.updated_ms + int(loop.schedule_hours * HOUR_MS)
    if due_ms is not None:
        listed.append(("schedule", f"in {max(0.0, (due_ms - now_ms) / HOUR_MS):.0f} hours"))
    return [*listed, *([("held back", status.holding.reason)] if status.holding else [])]
