"""Look at an endpoint's logs over a window and say what there is to see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.core.protocols import DocumentRecords, EventLog
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.drift import drifts
from bakeoff.metrics.intervals import percentile, wilson
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.positive import BINARY
from bakeoff.metrics.rare import why_undefined
from bakeoff.metrics.registry import bind, find, with_class
from bakeoff.monitor.reference import MonitoringReference
from bakeoff.monitor.signals import MonitorReport, Signal, SignalName
from bakeoff.monitor.sums import Lack, PredictionSums, Watched

__all__ = ["observe"]

WORST = 5
LACKS: Mapping[Lack, str] = {
    "absent": "absent: answered as if it were missing",
    "imputed": "missing, which no training row was: answered with the median or most frequent value",
    "unseen": "a category that no training row had: the model knows nothing of it",
    "unknown": "not a column of the training data: not used",
}
"""What an answered row's event says of its inputs (see `bakeoff.serve.inputs.Gaps`), in words."""
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What every signal is made with."""

    signature: Signature
    reference: MonitoringReference
    config: MonitorConfig
    since_ms: int
    until_ms: int
    seed: int

    def signal(
        self,
        name: SignalName,
        value: float | None,
        *,
        limit: float | None,
        rows: int,
        detail: Mapping[str, Json],
        alert: bool = False,
    ) -> Signal:
        return Signal(
            name=name,
            value=value,
            limit=limit,
            alert=alert,
            rows=rows,
            since_ms=self.since_ms,
            until_ms=self.until_ms,
            detail=detail,
        )


def observe(
    events: EventLog,
    endpoint: str,
    *,
    signature: Signature,
    reference: MonitoringReference,
    config: MonitorConfig,
    truth: Sequence[str | float] = (),
    said: Predictions | None = None,
    release_id: str | None = None,
    since_ms: int,
    until_ms: int,
    seed: int = 0,
    documents: DocumentRecords | None = None,
    losses: tuple[Loss, ...] = (),
) -> MonitorReport:
    """Signals of the endpoint in since_ms ≤ time < until_ms; with `documents`, of all that the release ever answered.

    What the release answered is added up there (`PredictionSums`), so that a look reads what is new. A window is read
    whole.

    - volume: rows answered; never an alert. Rows of the release with a time that is not between its making and now
      are counted all the same, and told: then a clock was moved.
    - latency: the 95th percentile of a row's share of its call's computing time, of times to three significant digits;
      an alert over `latency_p95_ms` when that is set and there are `min_rows` rows.
    - errors: the share of failed calls; an alert when even the lower end of its Wilson interval is over
      `error_share`, so that one failure among few calls is none.
    - contract: the share of rows that violate the released data contract, served or refused; an alert when even
      the lower end of its Wilson interval is over `contract_share`.
    - inputs: the share of answered rows with an input that was absent, or missing though no training row lacked it, or
      with keys that nobody knows; by name, and never an alert.
    - drift: the largest PSI over input columns and predictions against the reference; an alert over `drift_psi`, from
      `min_rows` rows on.
    - quality: the reference's metric on rows whose truth is known (`truth` with what was `said` of them), with
      a bootstrap interval; an alert when it is worse than the reference by more than `quality_drop` and the
      95% interval excludes the reference, so that noise is none; from `min_feedback` rows on.

    With `release_id`, only that release's predictions count; `truth`, `said` and `losses` (the feedback that does not
    count) are taken as given.
    """
    look = _Look(
        signature=signature,
        reference=reference,
        config=config,
        since_ms=since_ms,
        until_ms=until_ms,
        seed=seed,
    )
    watched = Watched(
        endpoint=endpoint,
        release_id=release_id,
        signature=signature,
        reference=reference,
        since_ms=since_ms,
        until_ms=until_ms,
        by_time=documents is None,
    )
    seen = watched.sums(events) if documents is None else watched.sums_so_far(events, documents)
    signals = (
        _volume(seen, look),
        _latency(seen, look),
        _errors(seen, look),
        _contract(seen, look),
        _inputs(seen, look),
        _drift(seen, look),
        _quality(truth, said, look),
    )
    return MonitorReport(
        endpoint=endpoint,
        release_id=release_id,
        since_ms=since_ms,
        until_ms=until_ms,
        signals=signals,
        ledger=_ledger(seen, losses),
    )


def _ledger(seen: PredictionSums, feedback: Sequence[Loss]) -> Ledger:
    """Rows that were sent, those that were answered, and the feedback that does not count."""
    rows_in = seen.rows + sum(seen.unanswered.values())
    unanswered = [
        Loss(kind="row", reason=f"not answered: {error}", count=rows, of=rows_in)
        for error, rows in _top(seen.unanswered).items()
    ]
    cells = [
        Loss(kind="cell", reason=LACKS[lack], subject=name, count=rows, of=seen.rows)
        for lack in LACKS
        for name, rows in _top(seen.lacked.get(lack, {})).items()
    ]
    return Ledger(rows_in=rows_in, rows_used=seen.rows).with_losses([*unanswered, *cells, *feedback])


def _top(counts: Mapping[str, int], most: int | None = None) -> dict[str, int]:
    """The most frequent first, equals by name."""
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:most])


def _inputs(seen: PredictionSums, look: _Look) -> Signal:
    if not seen.rows:
        return look.signal("inputs", None, limit=None, rows=0, detail={"reason": "no rows"})
    named = {lack: _top(seen.lacked[lack], WORST) for lack in LACKS if lack in seen.lacked}
    detail: dict[str, Json] = {**named}
    if named:
        parts = [f"{lack} {', '.join(f'{n!r} {c:,}' for n, c in names.items())}" for lack, names in named.items()]
        detail["reason"] = f"{seen.lacking:,} rows: {'; '.join(parts)}"
    return look.signal("inputs", seen.lacking / seen.rows, limit=None, rows=seen.rows, detail=detail)


def _contract(seen: PredictionSums, look: _Look) -> Signal:
    rows, limit = seen.rows + seen.refused, look.config.contract_share
    if not rows:
        return look.signal("contract", None, limit=limit, rows=0, detail={"reason": "no rows"})
    low, high = wilson(seen.violating + seen.refused, rows)
    by_rule = _top(seen.violated, WORST)
    detail: dict[str, Json] = {"low": low, "high": high, "refused": seen.refused, "served": seen.violating}
    share = (seen.violating + seen.refused) / rows
    detail["by_rule"] = by_rule
    return look.signal("contract", share, limit=limit, rows=rows, alert=low > limit, detail=detail)


def _volume(seen: PredictionSums, look: _Look) -> Signal:
    versions = _top(seen.versions)
    detail: dict[str, Json] = {"calls": round(seen.calls), "by_model_version": versions}
    if out_of_time := seen.out_of_time(look.until_ms):
        detail["out_of_time"] = out_of_time
        detail["reason"] = (
            f"{out_of_time:,} records of this release have a time before it was made or after now; they count, "
            "but a clock was moved"
        )
    return look.signal("volume", float(seen.rows), limit=None, rows=seen.rows, detail=detail)


def _latency(seen: PredictionSums, look: _Look) -> Signal:
    limit, rows = look.config.latency_p95_ms, seen.rows
    if not rows:
        return look.signal("latency", None, limit=limit, rows=0, detail={"reason": "no rows"})
    p50, p95 = seen.percentiles(0.5, 0.95)
    alert = limit is not None and rows >= look.config.min_rows and p95 > limit
    detail: dict[str, Json] = {"p50_ms": p50, "p95_ms": p95}
    return look.signal("latency", p95, limit=limit, rows=rows, alert=alert, detail=detail)


def _errors(seen: PredictionSums, look: _Look) -> Signal:
    failed, limit = sum(seen.failed.values()), look.config.error_share
    calls = failed + round(seen.calls)
    if not calls:
        return look.signal("errors", None, limit=limit, rows=0, detail={"reason": "no calls"})
    low, high = wilson(failed, calls)
    by_type = _top(seen.failed)
    detail: dict[str, Json] = {"failed": failed, "calls": calls, "low": low, "high": high, "by_type": by_type}
    return look.signal("errors", failed / calls, limit=limit, rows=calls, alert=low > limit, detail=detail)


def _drift(seen: PredictionSums, look: _Look) -> Signal:
    rows, limit = seen.rows, look.config.drift_psi
    if rows < look.config.min_rows:
        reason = f"{rows} rows, at least {look.config.min_rows} needed"
        return look.signal("drift", None, limit=limit, rows=rows, detail={"reason": reason})
    found = [*drifts(look.reference.inputs, seen.inputs), *drifts(look.reference.predictions, seen.predictions)]
    worst = sorted(found, key=lambda item: item.psi, reverse=True)
    if not worst:
        return look.signal("drift", None, limit=limit, rows=rows, detail={"reason": "no columns to compare"})
    largest = worst[0]
    over = [item.column for item in worst if item.psi > limit]
    reason = f"PSI of {largest.column!r} is {largest.psi:.3f} (limit {limit:g}); {len(over)} of {len(worst)} over it"
    detail: dict[str, Json] = {
        "reason": reason,
        "columns": {item.column: item.psi for item in worst[:WORST]},
        "over": over,
    }
    return look.signal("drift", largest.psi, limit=limit, rows=rows, alert=bool(over), detail=detail)


def _full_name(metric: str, signature: Signature) -> str:
    """The metric with its class; releases made before names had one meant the second of two."""
    classes = signature.classes
    if "[" in metric or len(classes) != BINARY:
        return metric
    return with_class(metric, signature.task, classes=classes, positive=classes[1])


def _quality(truth: Sequence[str | float], said: Predictions | None, look: _Look) -> Signal:
    rows, limit = len(truth), look.config.quality_drop
    if said is None or rows < look.config.min_feedback:
        reason = f"{rows} rows with feedback, at least {look.config.min_feedback} needed"
        return look.signal("quality", None, limit=limit, rows=rows, detail={"reason": reason})
    measure = find(_full_name(look.reference.metric, look.signature), look.signature.task)
    seen = outcome(truth, said, look.signature.task)
    statistic = bind([measure], seen)[measure.name]
    drawn = replicate([statistic], rows, resamples=RESAMPLES, seed=look.seed)[0]
    value = float(drawn.value_m[0])
    low, high = percentile(drawn.draws_rm[:, 0])
    if not np.isfinite([value, low, high]).all():
        reason = f"{measure.name} is undefined on these {rows} rows ({why_undefined(measure.name)})"
        return look.signal("quality", None, limit=limit, rows=rows, detail={"reason": reason})
    drop = look.reference.value - value if measure.higher_is_better else value - look.reference.value
    excluded = high < look.reference.value if measure.higher_is_better else low > look.reference.value
    reason = (
        f"{measure.name} is {value:.4f} [{low:.4f}, {high:.4f}] on {rows} rows with feedback, "
        f"{abs(drop):.4f} {'worse' if drop > 0 else 'better'} than the reference {look.reference.value:.4f}"
    )
    detail: dict[str, Json] = {
        "metric": measure.name,
        "low": low,
        "high": high,
        "reference": look.reference.value,
        "drop": drop,
        "reason": reason,
    }
    alert = drop > limit and excluded
    return look.signal("quality", value, limit=limit, rows=rows, alert=alert, detail=detail)
