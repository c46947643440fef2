"""The other half of the loop: watch what is served, take feedback in, start again when there is reason to."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.ledger import Loss
from bakeoff.core.moments import LAST_MS
from bakeoff.core.releases import Release
from bakeoff.core.retention import expired_of
from bakeoff.core.types import Column, Json
from bakeoff.loop.advance import Advanced, LoopLook, advance, cycles_of
from bakeoff.loop.cache import Steps
from bakeoff.loop.context import Stage
from bakeoff.loop.cycle import Cycle, CycleReason
from bakeoff.loop.dataset import gather, load_arrays, load_table
from bakeoff.loop.feedback_rows import conformed
from bakeoff.loop.judged_answers import answer_judge
from bakeoff.loop.run import FinishedRun, data_changed
from bakeoff.loop.sources import FEEDBACK, ingested
from bakeoff.loop.stored_outcome import LAST, PASSES, last_outcome
from bakeoff.loop.text_readers import text_readers
from bakeoff.registry.lineage import signature_of
from bakeoff.serve.releases import current

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.feedback.join import Labelled
    from bakeoff.monitor.alerts import Alerts
    from bakeoff.monitor.signals import MonitorReport
    from bakeoff.monitor.triggers import Trigger

HOUR_MS = 3_600_000

__all__ = ["LoopTurn", "alerts_of", "observe", "take_in", "turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTurn:
    """One turn of the loop: what monitoring saw, what fired, and the pass that followed (if any).

    `blocked`: why the winner of this or the last pass waits for a person's word, if it does. `unwatched`: why there is
    no report, where there is none. `cycle`: the one that is open, or that this turn ended.
    """

    report: "MonitorReport | None"
    triggers: "tuple[Trigger, ...]"
    taken_in: int
    outcome: FinishedRun | None
    blocked: str | None = None
    unwatched: str | None = None
    cycle: Cycle | None = None


def observe(stage: Stage, *, since_ms: int | None = None, until_ms: int | None = None) -> "MonitorReport":
    """Signals of all that the live release answered (or of the window given); kept in the records.

    Raises:
        NotFoundError: nothing is released on the endpoint. UsageError: it is no window.
    """
    start_ms, end_ms = since_ms or 0, LAST_MS if until_ms is None else until_ms
    if not 0 <= start_ms <= end_ms <= LAST_MS:
        raise UsageError(
            f"expected a window that begins in 1970 or later and does not end before it begins, received {start_ms} to "
            f"{end_ms} (milliseconds since 1970)"
        )
    live = _live(stage)
    return _observe(stage, live, _labelled(stage, since_ms, until_ms), since_ms, until_ms)


def turn(stage: Stage) -> LoopTurn:
    """Look once; when a trigger fires and the policy allows it, take the feedback in and run; bring the cycle on.

    Raises:
        BakeoffError: the run failed, which is written down in the cycle.
    """
    live, cycles = current(stage.records.documents, stage.endpoint), cycles_of(stage)
    cycle = cycles.open()
    if live is None:
        first = CycleReason(kind="first", reason="nothing is released on the endpoint yet")
        made = advance(stage, cycle or cycles.begin([first], {}, state="running"), LoopLook())
        return _ended(made, unwatched="nothing was released before this turn")
    labelled = _labelled(stage)
    unwatched = None if live.reference_id is not None else _no_reference(live)
    report = _observe(stage, live, labelled) if unwatched is None else None
    look = _look(stage, live, labelled, report)
    for trigger in look.triggers:
        stage.progress(f"trigger {trigger.kind}: {trigger.reason}")
    if cycle is None and look.triggers:
        reasons = [CycleReason(kind=each.kind, reason=each.reason) for each in look.triggers]
        cycle = cycles.begin(reasons, _evidence(report))
    made = None if cycle is None else advance(stage, cycle, look)
    return _ended(made, report=report, look=look, unwatched=unwatched, blocked=_blocked(stage))


def _look(stage: Stage, live: Release, labelled: "Labelled", report: "MonitorReport | None") -> LoopLook:
    """What there is reason to do."""
    from bakeoff.monitor.triggers import due

    last = stage.records.documents.get(PASSES, LAST)
    # Of runs of before it is not known how many labels they had: all that had joined the data by then.
    joined = (ingested(stage) or {}).get("labelled", 0)
    before = narrow.whole(joined if last is None else last.body.get("labelled", joined))
    changed = data_changed(stage)
    triggers = due(
        report,
        stage.config.loop,
        last_run_ms=last.updated_ms if last else None,
        now_ms=stage.clock() + 1,
        new_feedback=labelled.usable - before,
        data_changed=changed,
    )
    new_labels = stage.config.loop.use_feedback and labelled.usable > before
    return LoopLook(
        triggers=tuple(triggers),
        new_labels=max(labelled.usable - before, 0),
        data_changed=changed,
        take_in=lambda: _take_in(stage, live, labelled) if new_labels else 0,
    )


def _evidence(report: "MonitorReport | None") -> dict[str, Json]:
    """The signals that a cycle begins with: those over their limits whole, of the others the values."""
    if report is None:
        return {}
    alerts: dict[str, Json] = {each.name: msgspec.to_builtins(each) for each in report.alerts}
    return {"alerts": alerts, "signals": {each.name: each.value for each in report.signals}}


def _blocked(stage: Stage) -> str | None:
    """Why the winner of the last pass waits for a person's word; None once somebody has given it."""
    cycle = cycles_of(stage).open()
    if cycle is None or cycle.state != "approval":
        return None
    finished = last_outcome(stage.records, stage.blobs)
    return finished.blocked if finished else None


def _ended(
    made: Advanced | None,
    *,
    report: "MonitorReport | None" = None,
    look: LoopLook | None = None,
    unwatched: str | None = None,
    blocked: str | None = None,
) -> LoopTurn:
    outcome = made.outcome if made else None
    return LoopTurn(
        report=report,
        triggers=look.triggers if look else (),
        taken_in=made.taken_in if made else 0,
        outcome=outcome,
        blocked=outcome.results.blocked if outcome else blocked,
        unwatched=unwatched,
        cycle=made.cycle if made else None,
    )


def take_in(stage: Stage) -> "pl.DataFrame":
    """Let all feedback join the data now, without a run: the next dataset's rows, with the `part` that each is in.

    Raises:
        NotFoundError: nothing is released on the endpoint.
    """
    import polars as pl

    live = _live(stage)
    _take_in(stage, live, _labelled(stage))
    gathered = gather(stage, Steps.of(stage))
    table, rows = load_table(stage.blobs, gathered.table_blob), load_arrays(stage.blobs, gathered.rows_blob)
    parts = [table[rows[name]].with_columns(part=pl.lit(name)) for name in ("train", "validation", "test")]
    return pl.concat(parts)


def _live(stage: Stage) -> Release:
    live = current(stage.records.documents, stage.endpoint)
    if live is None:
        raise NotFoundError(f"expected a release on endpoint {stage.endpoint!r}, found none; run 'bakeoff run' first")
    return live


def _labelled(stage: Stage, since_ms: int | None = None, until_ms: int | None = None) -> "Labelled":
    from bakeoff.feedback.join import labelled

    return labelled(stage.events, stage.endpoint, truth_of=stage.truth_of, since_ms=since_ms, until_ms=until_ms)


def _no_reference(live: Release) -> str:
    """Why monitoring cannot look at a release without a reference."""
    return (
        f"expected release {live.release_id} ({live.model_version}) to have a reference that monitoring compares "
        "with, found none: it was released by hand; 'bakeoff run' makes one for the winner that it releases"
    )


def _observe(
    stage: Stage, live: Release, labelled: "Labelled", since_ms: int | None = None, until_ms: int | None = None
) -> "MonitorReport":
    from bakeoff.feedback.join import comparable, judged
    from bakeoff.monitor.observe import observe as look
    from bakeoff.monitor.reference import from_bytes
    from bakeoff.monitor.signals import store

    if live.reference_id is None:
        raise NotFoundError(_no_reference(live))
    stage.events.compact()  # here, and not while serving: it would cost answers their time
    signature = signature_of(stage.records.versions, live.model_version)
    mine = replace(labelled, pairs=tuple(pair for pair in labelled.pairs if pair.release_id == live.release_id))
    now_ms = stage.clock() + 1 if until_ms is None else until_ms
    recent = mine if since_ms is not None else _recent(mine, stage, live.created_ms, now_ms)
    truth, said = judged(recent, signature)
    pairs = comparable(recent, signature)
    labelled_rows = [pair.row for pair in pairs]
    group = stage.config.data.group
    report = look(
        stage.events,
        stage.endpoint,
        signature=signature,
        reference=from_bytes(stage.blobs.get(live.reference_id)),
        config=stage.config.monitor,
        truth=truth,
        said=said,
        rows=labelled_rows,
        groups=[] if group is None else [row.get(group) for row in labelled_rows],
        days=[pair.time_ms // (24 * HOUR_MS) for pair in pairs],
        usd_per_1000=_price(stage, live),
        release_id=live.release_id,
        since_ms=live.created_ms if since_ms is None else since_ms,
        until_ms=now_ms,
        seed=stage.seed,
        documents=stage.records.documents if since_ms is None and until_ms is None else None,
        losses=(*mine.losses(), *_past_retention(stage, live, since_ms, until_ms)),
        readers=text_readers(stage),
        judge=answer_judge(stage, signature, mine.pairs),
    )
    if now_ms <= stage.clock() + 1:  # what ends in the future would be the newest for so long
        store(stage.records.documents, report)
    if since_ms is None and until_ms is None:
        for event in alerts_of(stage).see(report):
            stage.progress(f"alert {event.kind}: {event.title}: {event.reason}")
    return report


def _past_retention(stage: Stage, live: Release, since_ms: int | None, until_ms: int | None) -> tuple[Loss, ...]:
    """Predictions that went before a look read them: of the time that was asked for, or since the last look."""
    from bakeoff.monitor.signals import latest

    if since_ms is None:
        last = latest(stage.records.documents, stage.endpoint)
        since_ms = last.until_ms if last is not None and last.release_id == live.release_id else live.created_ms
    count = expired_of(stage.events).count(stage.endpoint, since_ms, until_ms)
    reason, remedy = "past its retention before monitoring read it", "look more often than [endpoint] keep"
    return (Loss(kind="row", reason=reason, count=count, remedy=remedy),) if count else ()


def alerts_of(stage: Stage) -> "Alerts":
    """The alerts of the project's endpoint, with who is told."""
    from bakeoff.monitor.alerts import Alerts
    from bakeoff.monitor.deliver import deliver

    to = stage.config.alerts.to
    return Alerts(
        stage.records.documents, stage.endpoint, stage.config.alerts, lambda name, event: deliver(to[name], event)
    )


def _recent(labelled: "Labelled", stage: Stage, created_ms: int, until_ms: int) -> "Labelled":
    """Of what is labelled, that whose truth became known in the window; the newest, where that is too little.

    Nothing is known of a release's answers before it was made, whatever a clock that was set back said.
    """
    config = stage.config.monitor
    pairs = sorted((pair for pair in labelled.pairs if pair.label is not None), key=lambda pair: pair.known_ms)
    since_ms = until_ms - config.windows[0] * HOUR_MS
    inside = sum(max(pair.known_ms, created_ms) >= since_ms for pair in pairs)
    return replace(labelled, pairs=tuple(pairs[-max(inside, config.min_feedback) :]))


def _price(stage: Stage, live: Release) -> dict[str, float]:
    """What a thousand answers of the release cost, by its model version, where that was measured."""
    origin = stage.records.versions.get("model", live.model, live.number).model_origin
    usd = origin.scorecard.get("cost_usd_per_1k")
    return {live.model_version: float(usd)} if isinstance(usd, int | float) else {}


def _take_in(stage: Stage, live: Release, labelled: "Labelled") -> int:
    """Let all labelled rows join the data; the number of rows that are new."""
    from bakeoff.data.snapshot import write
    from bakeoff.feedback.join import as_rows

    columns = stage.records.versions.get("model", live.model, live.number).model_origin.columns
    data, rejected = stage.config.data, None
    if stage.config.project.task == "generation":
        rejected = data.rejected_column
        columns = tuple(column for column in columns if column.name != rejected)
        columns += (Column(name=rejected, kind="text", dtype="String"),)
    inputs = signature_of(stage.records.versions, live.model_version).inputs
    fed = as_rows(labelled, data.target, inputs=inputs, time=data.time, rejected=rejected)
    table, misfits = conformed(fed.rows, columns)
    losses = (*labelled.losses(without_row=True), *fed.losses(), *misfits)
    before = ingested(stage) or {}
    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        path = Path(scratch) / "feedback.parquet"
        write(table, path)
        blob = stage.blobs.put(path)
    body: Mapping[str, Json] = {
        "rows_blob": blob,
        "rows": len(table),
        "brought": fed.brought,
        "labelled": labelled.usable,
        "losses": msgspec.to_builtins(losses),
        "until_ms": stage.clock(),
    }
    stage.records.documents.put(*FEEDBACK, body)
    added = len(table) - narrow.whole(before.get("rows", 0))
    stage.progress(f"{added} labelled rows join the data")
    for loss in losses:
        stage.progress(f"feedback lost: {loss}")
    return added
