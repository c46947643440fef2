"""The loop's story: its cycles with every decision and the evidence, runs, moves of the endpoint, alerts."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from bakeoff.core.errors import BakeoffError, UsageError
from bakeoff.monitor.signals import reports
from bakeoff.web.pages.calls import PageCall, Redirect, Shown

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Chapter", "decide", "story"]

MOST, MOST_RUNS = 100, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Something that happened: when, what, why (the evidence), and where more of it stands."""

    time_ms: int
    what: str
    why: str
    url: str = ""
    mood: str = ""


def story(call: PageCall) -> Shown:
    """All of it, newest first, and the policy that drives it."""
    project = call.project("experiment")
    status = project.cycles.status()
    chapters = sorted([*_runs(project), *_moves(call, project), *_alerts(call, project)], key=lambda c: -c.time_ms)
    settings = [each for each in project.settings() if each.key.startswith(("loop.", "monitor.", "endpoint.rollout"))]
    return Shown(
        template="story.html",
        values={
            "title": "Loop",
            "chapters": list(islice(chapters, MOST)),
            "settings": settings,
            "status": status,
            "waits": status.cycle is not None and status.cycle.state == "approval",
        },
    )


def decide(call: PageCall) -> Redirect:
    """Say yes or no to the winner that waits for a person."""
    project, what, why = call.project("experiment"), call.form.get("what", ""), call.form.get("why", "")
    call.project("endpoint", project.endpoint)  # the winner is released there
    if what not in {"approve", "reject"}:
        raise UsageError(f"what: expected approve or reject, received {what[:40]!r}")
    cycles = project.cycles
    cycle = (cycles.approve if what == "approve" else cycles.reject)(why=why, who=call.who)
    return Redirect(url="/loop", done=f"{cycle.headline.capitalize()}.")


def _runs(project: "Project") -> Iterator[Chapter]:
    for run in project.bake_offs(limit=MOST_RUNS):
        trigger = run.tags.get("bakeoff.trigger", "manual")
        url = f"/verdict?run={run.run_id}"
        if run.status != "FINISHED":
            mood = "warn" if run.status == "RUNNING" else "bad"
            what = f"A run is {run.status.lower()}"
            yield Chapter(
                time_ms=run.start_ms, what=what, why=f"started by: {trigger}", url=f"/runs/{run.run_id}", mood=mood
            )
            continue
        try:
            verdict = project.outcome(run.run_id).verdict
        except (
            BakeoffError
        ) as error:  # a run of before, or one whose outcome is damaged: the others are told all the same
            yield Chapter(
                time_ms=run.end_ms or run.start_ms, what="A run ended", why=str(error), url=f"/runs/{run.run_id}"
            )
            continue
        became = "promoted" if verdict.promoted else "waits for a person" if verdict.blocked else "not promoted"
        what = f"{verdict.winner} wins: {became}" if verdict.winner else "Nobody wins"
        why = f"started by: {trigger}. {verdict.contest or verdict.reason}"
        mood = "good" if verdict.promoted else "warn" if verdict.winner else "bad"
        yield Chapter(time_ms=run.end_ms or run.start_ms, what=what, why=why, url=url, mood=mood)


def _moves(call: PageCall, project: "Project") -> Iterator[Chapter]:
    for status in call.endpoints(project):
        for change in status.changes:
            why = f"{change.why or 'no reason given'} (by {change.who})"
            yield Chapter(
                time_ms=change.time_ms,
                what=f"{change.endpoint}: {change.what}",
                why=why,
                url=f"/endpoints/{change.endpoint}",
            )


def _alerts(call: PageCall, project: "Project") -> Iterator[Chapter]:
    if not call.principal.reaches("endpoint", project.endpoint):
        return
    for report in reports(project.records.documents, project.endpoint)[:MOST]:
        if report.alerts:
            reasons = [str(each.detail.get("reason") or f"{each.name} {each.value}") for each in report.alerts]
            yield Chapter(
                time_ms=report.until_ms,
                what=f"Alert: {', '.join(each.name for each in report.alerts)}",
                why="; ".join(reasons),
                url=f"/endpoints/{report.endpoint}#signals",
                mood="bad",
            )
