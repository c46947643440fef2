"""Signals of rows and answers that are other than they were: drift by column, jointly, outliers, signs in answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.types import Json
from bakeoff.metrics.discoveries import discovered
from bakeoff.metrics.domain import separation
from bakeoff.metrics.drift import Drift, calendar, dispersion, drifts, rebased
from bakeoff.metrics.intervals import wilson
from bakeoff.monitor.hours import HOUR_MS
from bakeoff.monitor.look import MonitorLook
from bakeoff.monitor.signals import Signal
from bakeoff.monitor.sums import PredictionSums, Sampled

__all__ = ["Span", "Window", "answers", "days", "days_of", "drift", "joint", "outliers", "windows"]

WORST = 5
DAY, DAYS, WEEK, WEEKS = 24, 7, 168, 4
LEAST_DAY_ROWS = 20
LEAST_SAMPLE = 100
LOOKS_A_DAY = 24

Span = Callable[[int, int], PredictionSums]
"""The sums of the hours first ≤ hour < last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window, what it is compared with if not the training data, and days, which show how much days vary."""

    hours: int | None
    sums: PredictionSums
    baseline: PredictionSums | None = None
    days: tuple[PredictionSums, ...] = ()


def windows(span: Span, look: MonitorLook, end: int | None = None) -> list[Window]:
    """The windows that a look is about, up to the present hour, or to `end`."""
    end = (look.until_ms - 1) // HOUR_MS + 1 if end is None else end
    made: list[Window] = []
    for hours in look.config.windows:
        first = end - hours
        days = [span(first - DAY * (at + 1), first - DAY * at) for at in range(DAYS)]
        days = [day for day in days if day.rows >= LEAST_DAY_ROWS]
        if len(days) < 2 and hours > DAY:  # noqa: PLR2004 - it is new: its own days
            days = [span(at, min(at + DAY, end)) for at in range(first, end, DAY)]
            days = [day for day in days if day.rows >= LEAST_DAY_ROWS]
        made.append(
            Window(hours=hours, sums=span(first, end), baseline=_baseline(span, first, end, look), days=tuple(days))
        )
    return made


def days(span: Span, look: MonitorLook, end: int) -> list[PredictionSums]:
    """The days of the window that all signals are of."""
    first = end - look.config.windows[0]
    return [span(at, min(at + DAY, end)) for at in range(first, end, DAY)]


def _baseline(span: Span, first: int, end: int, look: MonitorLook) -> PredictionSums | None:
    """What the window is compared with; None where that is the training data, also for want of another."""
    match look.config.baseline:
        case "training":
            return None
        case "previous":
            before = span(first - (end - first), first)
        case "seasonal":
            before = PredictionSums()
            for week in range(1, WEEKS + 1):
                before = before + span(first - WEEK * week, min(end - WEEK * week, first))
        case days:
            since, until = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in days.split("/"))
            until += timedelta(days=1)
            before = span(int(since.timestamp()) // 3600, int(until.timestamp()) // 3600)
    return before if before.rows >= look.config.min_rows else None


def drift(windows: Sequence[Window], look: MonitorLook) -> Signal:
    """The largest PSI over input columns and predictions; an alert when one has surely moved, and more than the limit.

    Of several windows the one that raises an alert is shown, else the first.
    """
    config, limit = look.config, look.config.drift_psi
    enough = [window for window in windows if window.sums.rows >= config.min_rows]
    if not enough:
        rows = windows[0].sums.rows
        reason = f"{rows} rows, at least {config.min_rows} needed"
        return look.signal("drift", None, limit=limit, rows=rows, detail={"reason": reason})
    signals = [_of_window(window, look, look.level / len(windows)) for window in enough]
    return next((signal for signal in signals if signal.alert), signals[0])


def _of_window(window: Window, look: MonitorLook, level: float) -> Signal:
    limit, rows = look.config.drift_psi, window.sums.rows
    moving = calendar(look.reference.inputs) | {*look.config.calendar}
    compared = [each for each in _drifts(window, look) if each.column not in moving]
    if not compared:
        return look.signal("drift", None, limit=limit, rows=rows, detail={"reason": "no columns to compare"})
    sure = discovered([each.p for each in compared], level)
    moved = [each for each, is_sure in zip(compared, sure, strict=True) if is_sure]
    over = sorted((each for each in moved if each.psi > limit), key=lambda each: -each.psi)
    worst = sorted(compared, key=lambda each: each.psi, reverse=True)
    shown = over[0] if over else worst[0]
    unsure = "" if over or shown.psi <= limit else f", which chance may give on {rows} rows (p = {shown.p:.2g})"
    reason = (
        f"PSI of {shown.column!r} is {shown.psi:.3f} (limit {limit:g}){unsure}; {len(over)} of {len(worst)} over it"
    )
    detail: dict[str, Json] = {
        "reason": reason,
        "columns": {item.column: item.psi for item in worst[:WORST]},
        "over": [each.column for each in over],
        "moved": {each.column: each.p for each in sorted(moved, key=lambda each: each.p)[:WORST]},
        "measures": {each.column: dict(each.measures) for each in (over or worst)[:WORST]},
        "window_hours": window.hours,
        "baseline": "training" if window.baseline is None else look.config.baseline,
    }
    if moving:
        detail["calendar"] = sorted(moving)
    return look.signal("drift", shown.psi, limit=limit, rows=rows, alert=bool(over), detail=detail)


def _drifts(window: Window, look: MonitorLook) -> list[Drift]:
    """Drift of all columns; `prediction` and `confidence` after the inputs."""
    compared: list[Drift] = []
    for part in ("inputs", "predictions"):
        known: Mapping[str, Json] = getattr(look.reference, part)
        seen = getattr(window.sums, part)
        factors = dispersion(known, [getattr(day, part) for day in window.days])
        known = {name: profiled for name, profiled in known.items() if name in seen}
        if window.baseline is not None:
            before = getattr(window.baseline, part)
            known = rebased({name: each for name, each in known.items() if name in before}, before)
        compared += drifts(known, seen, factors)
    return compared


def joint(sums: PredictionSums, look: MonitorLook, days: Sequence[PredictionSums] = ()) -> Signal:
    """How well a classifier tells rows of the window from those of the reference (ROC AUC): 0.5 where nothing differs.

    It sees what no single column shows. Meant to be worked out once a day. `days`: of the window; they show how much
    days differ by themselves.
    """
    limit, known, sample = look.config.joint_auc, look.reference.rows, sums.sample
    moving = calendar(look.reference.inputs) | {*look.config.calendar}
    kinds = {
        name: str(narrow.json_object(profiled)["kind"])
        for name, profiled in look.reference.inputs.items()
        if name not in moving
    }
    distinct = _distinct(known, kinds)
    if len(distinct) >= LEAST_SAMPLE:  # else rows are of few kinds, and how often each comes is what there is to see
        known = [known[at] for at in distinct]
        sample = [sample[at] for at in _distinct([each.row for each in sample], kinds)]
    rows = [each.row for each in sample]
    if min(len(rows), len(known)) < LEAST_SAMPLE:
        reason = f"{len(rows)} different sampled rows beside {len(known)}, at least {LEAST_SAMPLE} needed"
        return look.signal("joint", None, limit=limit, rows=len(rows), detail={"reason": reason})
    auc, p, weights = separation(known, rows, kinds, days=days_of(sample, days), seed=look.seed)
    names = sorted(weights, key=lambda name: -weights[name])[:WORST]
    reason = f"rows are told from those of the reference with an AUC of {auc:.3f}, mostly by {', '.join(names)}"
    detail: dict[str, Json] = {"p": p, "columns": {name: weights[name] for name in names}, "reason": reason}
    alert = auc > limit and p < look.level * LOOKS_A_DAY
    return look.signal("joint", auc, limit=limit, rows=len(rows), alert=alert, detail=detail)


def _distinct(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> list[int]:
    """Where each different row stands first: one that is sent again says nothing new of what others send."""
    first: dict[bytes, int] = {}
    for at, row in enumerate(rows):
        first.setdefault(msgspec.json.encode([row.get(name) for name in names]), at)
    return list(first.values())


def days_of(sample: Sequence[Sampled], days: Sequence[PredictionSums]) -> list[int]:
    """On which of the days each row came; nothing where that is not known of all."""
    known = {each.id: at for at, day in enumerate(days) for each in day.sample if each.id}
    of_rows = [known.get(each.id, -1) for each in sample]
    return [] if -1 in of_rows else of_rows


def outliers(sums: PredictionSums, look: MonitorLook) -> Signal:
    """The share of rows with a number far outside of the reference's; never an alert by itself."""
    if not sums.rows:
        return look.signal("outliers", None, rows=0, detail={"reason": "no rows"})
    low, high = wilson(sums.outlying, sums.rows)
    detail: dict[str, Json] = {"low": low, "high": high, "reference": look.reference.outlying}
    return look.signal("outliers", sums.outlying / sums.rows, rows=sums.rows, detail=detail)


def answers(sums: PredictionSums, look: MonitorLook) -> Signal:
    """The share of generated answers with the sign that became more frequent most; an alert over `answer_share`."""
    from scipy.stats import hypergeom

    limit, rows, known = look.config.answer_share, sums.rows, look.reference.answers
    if look.signature.task != "generation" or not rows or not known:
        why = "no texts are generated" if look.signature.task != "generation" else "no answers to compare"
        return look.signal("answers", None, limit=limit, rows=rows, detail={"reason": why})
    shares: dict[str, Any] = {}
    tested: list[tuple[float, float, str]] = []
    for sign in sorted({*sums.signs, *look.reference.signs}):
        count, before = sums.signs.get(sign, 0), look.reference.signs.get(sign, 0)
        shares[sign] = {"share": count / rows, "reference": before / known}
        tested.append(
            (count / rows - before / known, float(hypergeom.sf(count - 1, rows + known, count + before, rows)), sign)
        )
    if not tested:
        return look.signal("answers", 0.0, limit=limit, rows=rows, detail={"signs": {}})
    sure = discovered([p for _, p, _ in tested], look.level)
    over = [each for each, is_sure in zip(tested, sure, strict=True) if is_sure and each[0] > limit]
    rise, _, sign = max(over or tested)
    reason = f"{shares[sign]['share']:.1%} of answers are {sign}, {shares[sign]['reference']:.1%} of the reference's"
    detail: dict[str, Json] = {"signs": shares, "reason": reason}
    return look.signal("answers", rise, limit=limit, rows=rows, alert=bool(over), detail=detail)
