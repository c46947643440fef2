"""Look at an endpoint's logs over windows up to now and say what there is to see."""

from collections.abc import Mapping, Sequence

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.core.protocols import DocumentRecords, EventLog
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.monitor import quality as of_quality
from bakeoff.monitor import shift, traffic
from bakeoff.monitor.hours import HOUR_MS, Hours, Watched
from bakeoff.monitor.look import LabelledRows, MonitorLook, top
from bakeoff.monitor.reference import MonitoringReference
from bakeoff.monitor.signals import MonitorReport, Signal, signal_of
from bakeoff.monitor.sums import Lack, PredictionSums

__all__ = ["observe"]

LACKS: Mapping[Lack, str] = {
    "absent": "absent: answered as if it were missing",
    "imputed": "missing, which no training row was: answered with the median or most frequent value",
    "unseen": "a category that no training row had: the model knows nothing of it",
    "unknown": "not a column of the training data: not used",
}
"""What an answered row's event says of its inputs (see `bakeoff.serve.inputs.Gaps`), in words."""
DAY_MS = 24 * HOUR_MS
DAILY = "monitor_daily"


def observe(
    events: EventLog,
    endpoint: str,
    *,
    signature: Signature,
    reference: MonitoringReference,
    config: MonitorConfig,
    truth: Sequence[str | float] = (),
    said: Predictions | None = None,
    rows: Sequence[Mapping[str, Json]] = (),
    groups: Sequence[object] = (),
    usd_per_1000: Mapping[str, float] | None = None,
    release_id: str | None = None,
    since_ms: int,
    until_ms: int,
    seed: int = 0,
    documents: DocumentRecords | None = None,
    losses: tuple[Loss, ...] = (),
) -> MonitorReport:
    """Signals of the endpoint in since_ms ≤ time < until_ms; with `documents`, of `[monitor] windows` up to now.

    With `documents`, since_ms is when the release was made, and what was read before is not read again (`Hours`); else
    the window is read whole.

    - volume, inputs, cost, outliers, calibration, estimated: shown, and no alert by themselves.
    - latency, errors, contract: an alert when more than the limit is too unlikely to be chance.
    - drift, joint, answers, quality, slices: an alert when the change is surely none of chance, and over its limit.

    `config.false_alarms` says what "surely" is: see `bakeoff.metrics.discoveries`.

    With `release_id`, only that release's predictions count; `truth`, `said`, `rows` and `groups` (of what labels are
    known) and `losses` (the feedback that does not count) are taken as given.
    """
    watched = Watched(
        endpoint=endpoint,
        release_id=release_id,
        signature=signature,
        reference=reference,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    labels = LabelledRows(truth=truth, predicted=said, rows=rows, groups=groups)
    look = MonitorLook(
        signature=signature,
        reference=reference,
        config=config,
        since_ms=since_ms,
        until_ms=until_ms,
        seed=seed,
        labels=labels,
    )
    if documents is None:
        sums = watched.between(events)
        return _report(
            endpoint,
            release_id,
            look,
            [shift.Window(hours=None, sums=sums)],
            losses=losses,
            usd_per_1000=usd_per_1000 or {},
        )
    hours = Hours(watched, events, documents, labelled=len(truth))
    start_ms = max(since_ms, (hours.end - config.windows[0]) * HOUR_MS)
    look = MonitorLook(
        signature=signature,
        reference=reference,
        config=config,
        since_ms=min(start_ms, until_ms),
        until_ms=until_ms,
        seed=seed,
        number=hours.look,
        labels=labels,
    )
    return _report(
        endpoint,
        release_id,
        look,
        shift.windows(hours.between, look, hours.end),
        losses=losses,
        usd_per_1000=usd_per_1000 or {},
        out_of_time=hours.early + hours.ahead,
        joint=lambda sums: _once_a_day(documents, f"{endpoint}/{release_id}", sums, look),
    )


def _report(
    endpoint: str,
    release_id: str | None,
    look: MonitorLook,
    windows: Sequence[shift.Window],
    *,
    losses: Sequence[Loss],
    usd_per_1000: Mapping[str, float],
    out_of_time: int = 0,
    joint: "shift.Joint | None" = None,
) -> MonitorReport:
    sums = windows[0].sums
    drift = shift.drift(windows, look)
    jointly = joint(sums) if joint else shift.joint(sums, look)
    signals = (
        traffic.volume(sums, look, out_of_time),
        traffic.latency(sums, look),
        traffic.errors(sums, look),
        traffic.contract(sums, look),
        traffic.inputs(sums, look),
        drift,
        of_quality.quality(look),
        of_quality.estimated(sums, look, is_shifted=drift.alert or jointly.alert),
        of_quality.calibration(look),
        of_quality.slices(look),
        jointly,
        shift.outliers(sums, look),
        shift.answers(sums, look),
        traffic.cost(sums, look, usd_per_1000),
    )
    return MonitorReport(
        endpoint=endpoint,
        release_id=release_id,
        since_ms=look.since_ms,
        until_ms=look.until_ms,
        signals=signals,
        ledger=_ledger(sums, losses),
    )


def _once_a_day(documents: DocumentRecords, key: str, sums: PredictionSums, look: MonitorLook) -> Signal:
    """The joint drift of the day: worked out by the first look that has rows enough."""
    day = look.until_ms // DAY_MS
    known = documents.get(DAILY, key)
    if known is not None and known.body.get("day") == day:
        return signal_of(known.body["joint"], since_ms=look.since_ms, until_ms=look.until_ms)
    signal = shift.joint(sums, look)
    if signal.value is not None:
        documents.put(DAILY, key, {"day": day, "joint": signal.to_json()})
    return signal


def _ledger(seen: PredictionSums, feedback: Sequence[Loss]) -> Ledger:
    """Rows that were sent, those that were answered, and the feedback that does not count."""
    rows_in = seen.rows + sum(seen.unanswered.values())
    unanswered = [
        Loss(kind="row", reason=f"not answered: {error}", count=rows, of=rows_in)
        for error, rows in top(seen.unanswered).items()
    ]
    cells = [
        Loss(kind="cell", reason=LACKS[lack], subject=name, count=rows, of=seen.rows)
        for lack in LACKS
        for name, rows in top(seen.lacked.get(lack, {})).items()
    ]
    return Ledger(rows_in=rows_in, rows_used=seen.rows).with_losses([*unanswered, *cells, *feedback])
