"""Look at an endpoint's logs over a window and say what there is to see."""

import random
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.core.protocols import EventLog
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.data.schema import conform
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.drift import compare
from bakeoff.metrics.intervals import percentile, wilson
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.positive import BINARY
from bakeoff.metrics.registry import bind, find, with_class
from bakeoff.monitor.reference import Reference, said_table
from bakeoff.monitor.signals import Report, Signal, SignalName

__all__ = ["observe"]

Event: TypeAlias = Mapping[str, Json]

MAX_DRIFT_ROWS = 50_000
EVER = -(2**62)
WORST = 5
LACKS = {
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
    reference: Reference
    config: MonitorConfig
    since_ms: int
    until_ms: int
    seed: int
    by_time: bool

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


@dataclass(slots=True)
class _Seen:
    """What one pass over the log of predictions gathers; of many rows, `sample` holds a random part."""

    sample: list[Event] = field(default_factory=list[Event])
    latency_ms: "array[float]" = field(default_factory=lambda: array("d"))
    calls: float = 0.0
    failed: Counter[str] = field(default_factory=Counter[str])
    violating: int = 0
    refused: int = 0
    violated: Counter[str] = field(default_factory=Counter[str])
    lacking: int = 0
    lacked: dict[str, Counter[str]] = field(default_factory=lambda: {lack: Counter[str]() for lack in LACKS})
    versions: Counter[str] = field(default_factory=Counter[str])
    out_of_time: int = 0
    unanswered: Counter[str] = field(default_factory=Counter[str])

    @property
    def rows(self) -> int:
        return len(self.latency_ms)


def observe(
    events: EventLog,
    endpoint: str,
    *,
    signature: Signature,
    reference: Reference,
    config: MonitorConfig,
    truth: Sequence[str | float] = (),
    said: Predictions | None = None,
    release_id: str | None = None,
    since_ms: int,
    until_ms: int,
    seed: int = 0,
    by_time: bool = True,
    losses: tuple[Loss, ...] = (),
) -> Report:
    """Signals of the endpoint in since_ms ≤ time < until_ms; without `by_time`, of all that the release ever answered.

    - volume: rows answered; never an alert. Rows of the release with a time that is not between its making and now
      are counted all the same, and told: then a clock was moved.
    - latency: the 95th percentile of a row's share of its call's computing time; an alert over
      `latency_p95_ms` when that is set and there are `min_rows` rows.
    - errors: the share of failed calls; an alert when even the lower end of its Wilson interval is over
      `error_share`, so that one failure among few calls is none.
    - contract: the share of rows that violate the released data contract, served or refused; an alert when even
      the lower end of its Wilson interval is over `contract_share`.
    - inputs: the share of answered rows with an input that was absent, or missing though no training row lacked it, or
      with keys that nobody knows; by name, and never an alert.
    - drift: the largest PSI over input columns and predictions against the reference, on at most 50,000 rows
      drawn at random; an alert over `drift_psi`, from `min_rows` rows on.
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
        by_time=by_time,
    )
    seen = _gather(events, endpoint, release_id, look)
    signals = (
        look.signal("volume", float(seen.rows), limit=None, rows=seen.rows, detail=_volume(seen)),
        _latency(seen, look),
        _errors(seen, look),
        _contract(seen, look),
        _inputs(seen, look),
        _drift(seen, look),
        _quality(truth, said, look),
    )
    return Report(
        endpoint=endpoint,
        release_id=release_id,
        since_ms=since_ms,
        until_ms=until_ms,
        signals=signals,
        ledger=_ledger(seen, losses),
    )


def _ledger(seen: _Seen, feedback: Sequence[Loss]) -> Ledger:
    """Rows that were sent, those that were answered, and the feedback that does not count."""
    rows_in = seen.rows + sum(seen.unanswered.values())
    unanswered = [
        Loss(kind="row", reason=f"not answered: {error}", count=rows, of=rows_in)
        for error, rows in seen.unanswered.most_common()
    ]
    cells = [
        Loss(kind="cell", reason=LACKS[lack], subject=name, count=rows, of=seen.rows)
        for lack, names in seen.lacked.items()
        for name, rows in names.most_common()
    ]
    return Ledger(rows_in=rows_in, rows_used=seen.rows).with_losses([*unanswered, *cells, *feedback])


def _gather(events: EventLog, endpoint: str, release_id: str | None, look: _Look) -> _Seen:
    seen, draw = _Seen(), random.Random(look.seed)  # noqa: S311 - a sample, no secret
    since_ms, until_ms = (look.since_ms, look.until_ms) if look.by_time else (EVER, None)
    for event in events.read("prediction", since_ms=since_ms, until_ms=until_ms):
        if event["endpoint"] != endpoint or (release_id and event["release_id"] != release_id):
            continue
        if not look.by_time:
            seen.out_of_time += not look.since_ms <= cast("int", event["time_ms"]) < look.until_ms
        if event.get("status") == "error":
            seen.failed[str(event["error"])] += 1
            seen.unanswered[str(event["error"])] += cast("int", event.get("rows_in_call", 1))
            seen.refused += cast("int", event.get("violating_rows", 0))
            continue
        seen.latency_ms.append(cast("float", event["latency_ms"]))
        _keep(event, seen, draw)
        _count_violations(event, seen)
        _count_lacks(event, seen)
        seen.calls += 1 / cast("int", event["rows_in_call"])
        seen.versions[str(event["model_version"])] += 1
    return seen


def _keep(event: Event, seen: _Seen, draw: random.Random) -> None:
    """Reservoir sampling. Source: Vitter, "Random Sampling with a Reservoir", ACM TOMS 11 (1985), algorithm R."""
    if len(seen.sample) < MAX_DRIFT_ROWS:
        seen.sample.append(event)
    elif (place := draw.randrange(seen.rows)) < MAX_DRIFT_ROWS:
        seen.sample[place] = event


def _count_violations(event: Event, seen: _Seen) -> None:
    broken = cast("list[list[str]]", event.get("violations", ()))
    seen.violating += bool(broken)
    seen.violated.update(f"{column}: {rule}" for column, rule in broken)


def _count_lacks(event: Event, seen: _Seen) -> None:
    seen.lacking += any(event.get(lack) for lack in LACKS)
    for lack, names in seen.lacked.items():
        names.update(cast("list[str]", event.get(lack, ())))


def _inputs(seen: _Seen, look: _Look) -> Signal:
    if not seen.rows:
        return look.signal("inputs", None, limit=None, rows=0, detail={"reason": "no rows"})
    named = {lack: dict(names.most_common(WORST)) for lack, names in seen.lacked.items() if names}
    detail = cast("dict[str, Json]", dict(named))
    if named:
        parts = [f"{lack} {', '.join(f'{n!r} {c:,}' for n, c in names.items())}" for lack, names in named.items()]
        detail["reason"] = f"{seen.lacking:,} rows: {'; '.join(parts)}"
    return look.signal("inputs", seen.lacking / seen.rows, limit=None, rows=seen.rows, detail=detail)


def _contract(seen: _Seen, look: _Look) -> Signal:
    rows, limit = seen.rows + seen.refused, look.config.contract_share
    if not rows:
        return look.signal("contract", None, limit=limit, rows=0, detail={"reason": "no rows"})
    low, high = wilson(seen.violating + seen.refused, rows)
    by_rule = cast("dict[str, Json]", dict(seen.violated.most_common(WORST)))
    detail: dict[str, Json] = {"low": low, "high": high, "refused": seen.refused, "served": seen.violating}
    share = (seen.violating + seen.refused) / rows
    detail["by_rule"] = by_rule
    return look.signal("contract", share, limit=limit, rows=rows, alert=low > limit, detail=detail)


def _volume(seen: _Seen) -> dict[str, Json]:
    detail: dict[str, Json] = {"calls": round(seen.calls), "by_model_version": dict(seen.versions)}
    if seen.out_of_time:
        detail["out_of_time"] = seen.out_of_time
        detail["reason"] = (
            f"{seen.out_of_time:,} records of this release have a time before it was made or after now; they count, "
            "but a clock was moved"
        )
    return detail


def _latency(seen: _Seen, look: _Look) -> Signal:
    limit, rows = look.config.latency_p95_ms, seen.rows
    if not rows:
        return look.signal("latency", None, limit=limit, rows=0, detail={"reason": "no rows"})
    p50, p95 = (float(value) for value in np.percentile(seen.latency_ms, [50, 95]))
    alert = limit is not None and rows >= look.config.min_rows and p95 > limit
    detail: dict[str, Json] = {"p50_ms": p50, "p95_ms": p95}
    return look.signal("latency", p95, limit=limit, rows=rows, alert=alert, detail=detail)


def _errors(seen: _Seen, look: _Look) -> Signal:
    failed, limit = sum(seen.failed.values()), look.config.error_share
    calls = failed + round(seen.calls)
    if not calls:
        return look.signal("errors", None, limit=limit, rows=0, detail={"reason": "no calls"})
    low, high = wilson(failed, calls)
    detail: dict[str, Json] = {"failed": failed, "calls": calls, "low": low, "high": high, "by_type": dict(seen.failed)}
    return look.signal("errors", failed / calls, limit=limit, rows=calls, alert=low > limit, detail=detail)


def _drift(seen: _Seen, look: _Look) -> Signal:
    rows, limit = len(seen.sample), look.config.drift_psi
    if rows < look.config.min_rows:
        reason = f"{rows} rows, at least {look.config.min_rows} needed"
        return look.signal("drift", None, limit=limit, rows=rows, detail={"reason": reason})
    table = conform([cast("Mapping[str, Json]", event["row"]) for event in seen.sample], look.signature.inputs)
    answers = [cast("str | float", event.get("label", event.get("value"))) for event in seen.sample]
    said = said_table(answers, look.signature.task)
    found = [*compare(look.reference.inputs, table), *compare(look.reference.predictions, said)]
    worst = sorted(found, key=lambda item: item.psi, reverse=True)
    if not worst:
        return look.signal("drift", None, limit=limit, rows=rows, detail={"reason": "no columns to compare"})
    largest = worst[0]
    over = [item.column for item in worst if item.psi > limit]
    reason = f"PSI of {largest.column!r} is {largest.psi:.3f} (limit {limit:g}); {len(over)} of {len(worst)} over it"
    detail: dict[str, Json] = {
        "reason": reason,
        "columns": {item.column: item.psi for item in worst[:WORST]},
        "over": cast("list[Json]", over),
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
        reason = f"{measure.name} is undefined on these {rows} rows (one class only?)"
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
