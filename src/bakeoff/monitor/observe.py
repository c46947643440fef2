"""Look at an endpoint's logs over windows up to now and say what there is to see."""

from collections.abc import Callable, Mapping, Sequence

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.core.protocols import DocumentRecords, EventLog
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.monitor import quality as of_quality
from bakeoff.monitor import shift, texts, traffic
from bakeoff.monitor.hours import HOUR_MS, Hours, Watched
from bakeoff.monitor.judged import AnswerJudge, judged
from bakeoff.monitor.look import LabelledRows, MonitorLook, top
from bakeoff.monitor.reference import MonitoringReference
from bakeoff.monitor.signals import MonitorReport, Signal, SignalName, signal_of
from bakeoff.monitor.sums import Lack, PredictionSums
from bakeoff.monitor.texts import TextReaders

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
    days: Sequence[int] = (),
    usd_per_1000: Mapping[str, float] | None = None,
    release_id: str | None = None,
    since_ms: int,
    until_ms: int,
    seed: int = 0,
    documents: DocumentRecords | None = None,
    losses: tuple[Loss, ...] = (),
    readers: TextReaders | None = None,
    judge: AnswerJudge | None = None,
) -> MonitorReport:
    """Signals of the endpoint in since_ms ≤ time < until_ms; with `documents`, of `[monitor] windows` up to now.

    With `documents`, since_ms is when the release was made, and what was read before is not read again (`Hours`); else
    the window is read whole.

    - volume, inputs, cost, tokens, outliers, calibration, estimated, judged: shown, and no alert by themselves.
    - latency, errors, contract: an alert when more than the limit is too unlikely to be chance.
    - drift, joint, language, meaning, answers, quality, slices: an alert when the change is surely none of chance, and
      over its limit. Joint, language and meaning are worked out once a day where there are `documents`.

    `config.false_alarms` says what "surely" is: see `bakeoff.metrics.discoveries`.

    With `release_id`, only that release's predictions count; `truth`, `said`, `rows`, `groups` and `days` (of what
    labels are known) and `losses` (the feedback that does not count, and rows that are past their retention) are taken
    as given. `readers` are what reads
    texts, and `judge` who is shown some answers, where there are `documents` to write down what it says.
    """
    watched = Watched(
        endpoint=endpoint,
        release_id=release_id,
        signature=signature,
        reference=reference,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    labels = LabelledRows(truth=truth, predicted=said, rows=rows, groups=groups, days=days)
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
            daily=lambda sums: tuple(made() for made in _daily(sums, look, readers or TextReaders()).values()),
            judged=lambda sums: judged(sums, look, None, "", judge),
        )
    key = f"{endpoint}/{release_id}"
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
        daily=lambda sums: _once_a_day(
            documents,
            key,
            look,
            _daily(sums, look, readers or TextReaders(), shift.days(hours.between, look, hours.end)),
        ),
        judged=lambda sums: judged(sums, look, documents, key, judge),
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
    daily: Callable[[PredictionSums], Sequence[Signal]],
    judged: Callable[[PredictionSums], Signal],
) -> MonitorReport:
    sums = windows[0].sums
    drift = shift.drift(windows, look)
    jointly, language, meaning = daily(sums)
    is_shifted = drift.alert or jointly.alert or meaning.alert
    apart = [each.value for each in (jointly, meaning) if each.value is not None]
    separation = max(apart) if is_shifted and apart else None
    signals = (
        traffic.volume(sums, look, out_of_time),
        traffic.latency(sums, look),
        traffic.errors(sums, look),
        traffic.contract(sums, look),
        traffic.inputs(sums, look),
        drift,
        of_quality.quality(look),
        of_quality.estimated(sums, look, is_shifted=is_shifted, separation=separation),
        of_quality.calibration(look),
        of_quality.slices(look),
        jointly,
        shift.outliers(sums, look),
        shift.answers(sums, look),
        traffic.cost(sums, look, usd_per_1000),
        language,
        meaning,
        traffic.tokens(sums, look),
        judged(sums),
    )
    return MonitorReport(
        endpoint=endpoint,
        release_id=release_id,
        since_ms=look.since_ms,
        until_ms=look.until_ms,
        signals=signals,
        ledger=_ledger(sums, losses),
    )


def _daily(
    sums: PredictionSums, look: MonitorLook, readers: TextReaders, days: Sequence[PredictionSums] = ()
) -> Mapping[SignalName, Callable[[], Signal]]:
    """What makes the signals that take longest: what rows show jointly, and what texts show."""
    return {
        "joint": lambda: shift.joint(sums, look, days),
        "language": lambda: texts.language(sums, look, readers, days),
        "meaning": lambda: texts.meaning(sums, look, readers, days),
    }


def _once_a_day(
    documents: DocumentRecords, key: str, look: MonitorLook, ways: Mapping[SignalName, Callable[[], Signal]]
) -> Sequence[Signal]:
    """Those of the day: each is worked out by the first look that has rows enough for it."""
    day = look.until_ms // DAY_MS
    known = documents.get(DAILY, key)
    body = {} if known is None or known.body.get("day") != day else dict(known.body)
    signals: list[Signal] = []
    news: dict[str, Json] = {}
    for name, made in ways.items():
        if name in body:
            signals.append(signal_of(body[name], since_ms=look.since_ms, until_ms=look.until_ms))
            continue
        signals.append(signal := made())
        if signal.value is not None or signal.detail.get("unread"):
            news[name] = signal.to_json()
    if news:
        documents.put(DAILY, key, {**body, **news, "day": day})
    return signals


def _ledger(seen: PredictionSums, feedback: Sequence[Loss]) -> Ledger:
    """Rows that were sent, those that were answered, and what does not count: feedback, and rows that nobody read."""
    unread = sum(loss.count for loss in feedback if loss.kind == "row")
    rows_in = seen.rows + sum(seen.unanswered.values()) + unread
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
