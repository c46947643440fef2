"""Signals of how good the answers are: from labels, before labels, by slices, and whether probabilities are true.

What labels say is compared with what the reference's rows give when as many of them are drawn of each class as came
with labels. So both have the same classes in the same shares, as few rows, and the reference's own chance: rows are
drawn by weights of a Bayesian bootstrap. Equal rows, and rows of a group, are worth as many as their errors show.

Source: D. Rubin, "The Bayesian Bootstrap", Annals of Statistics 9 (1981); L. Kish, "Survey Sampling" (1965), 8.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.hashing import canonical_json
from bakeoff.core.types import Json, Signature
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.dependence import group_codes, united
from bakeoff.metrics.discoveries import discovered
from bakeoff.metrics.expected import beliefs_of, evidence, expected_value, prior_of
from bakeoff.metrics.intervals import LEVEL, wilson
from bakeoff.metrics.labels import Margins
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.positive import BINARY
from bakeoff.metrics.rare import why_undefined
from bakeoff.metrics.registry import bind, find, with_class
from bakeoff.monitor.look import LabelledRows, MonitorLook
from bakeoff.monitor.reference import CONFIDENCE, PREDICTION, slice_names
from bakeoff.monitor.signals import Signal
from bakeoff.monitor.sums import PredictionSums

__all__ = ["calibration", "estimated", "quality", "slices"]

DRAWS = 400
LEAST_SLICE = 20
WORST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The window's value, what the reference gives in its place, and the deviation of their difference."""

    value: float
    expected: float
    deviation: float
    rows: int
    classes: int | None = None


def quality(look: MonitorLook) -> Signal:
    """The metric on rows with a known truth; an alert when surely worse than the reference, and by `quality_drop`."""
    labels, limit = look.labels, look.config.quality_drop
    if labels.predicted is None or len(labels.truth) < look.config.min_feedback:
        reason = f"{len(labels.truth)} rows with feedback, at least {look.config.min_feedback} needed"
        return look.signal("quality", None, limit=limit, rows=len(labels.truth), detail={"reason": reason})
    measure = _measure(look)
    compared = _compared(measure, labels, look)
    if compared is None or not np.isfinite([compared.value, compared.expected, compared.deviation]).all():
        reason = f"{measure.name} is undefined on these {len(labels.truth)} rows ({why_undefined(measure.name)})"
        return look.signal("quality", None, limit=limit, rows=len(labels.truth), detail={"reason": reason})
    worse = compared.expected - compared.value
    drop = worse if measure.higher_is_better else -worse
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * compared.deviation
    least, most = measure.bounds
    low, high = max(least, compared.value - half), min(most, compared.value + half)
    surely = drop > -NormalDist().inv_cdf(look.level) * compared.deviation
    among = "" if compared.classes is None else f" over the {compared.classes} classes that have feedback"
    left_out = len(labels.truth) - compared.rows
    others = f" ({left_out} more are of classes that the reference lacks)" if left_out else ""
    reason = (
        f"{measure.name}{among} is {compared.value:.4f} [{low:.4f}, {high:.4f}] on {compared.rows} rows "
        f"with feedback{others}, "
        f"{abs(drop):.4f} {'worse' if drop > 0 else 'better'} than the reference {compared.expected:.4f}"
    )
    detail: dict[str, Json] = {
        "metric": measure.name,
        "low": low,
        "high": high,
        "reference": compared.expected,
        "drop": drop,
        "reason": reason,
    }
    if left_out:
        detail["left_out"] = left_out
    alert = drop > limit and surely
    return look.signal("quality", compared.value, limit=limit, rows=compared.rows, alert=alert, detail=detail)


def _measure(look: MonitorLook) -> Measure:
    """The metric with its class; releases made before names had one meant the second of two."""
    metric, classes = look.reference.metric, look.signature.classes
    if "[" not in metric and len(classes) == BINARY:
        metric = with_class(metric, look.signature.task, classes=classes, positive=classes[1])
    return find(metric, look.signature.task)


def _together(labels: LabelledRows) -> NDArray[np.intp] | None:
    """Which rows go together: those of a group, and equal ones (who asks the same again tells nothing new)."""
    known: list[NDArray[np.intp]] = []
    if len(labels.groups) == len(labels.truth):
        known.append(group_codes(np.asarray(labels.groups, dtype=object)))
    if len(labels.rows) == len(labels.truth):
        codes: dict[bytes, int] = {}
        same = [codes.setdefault(canonical_json(dict(row)), len(codes)) for row in labels.rows]
        known.append(np.asarray(same, dtype=np.intp))
    if not known:
        return None
    return known[0] if len(known) == 1 else united(known[0], known[1])


def _compared(measure: Measure, labels: LabelledRows, look: MonitorLook) -> _Compared | None:
    task, known = look.signature.task, look.reference.predicted
    assert labels.predicted is not None
    window = outcome(labels.truth, labels.predicted, task, positive=_positive(look.signature))
    if not measure.fits(window):
        return None
    spread = max(_spread(labels, window), _rows_worth_one(_days(labels), look) ** 0.5)
    before = None
    if known is not None:
        before = outcome(look.reference.outcomes["truth"], known, task, positive=_positive(look.signature))
    if before is None or not measure.fits(before):  # a reference of an earlier version: its value is all there is
        statistic = bind([measure], window)[measure.name]
        drawn = replicate([statistic], len(window), resamples=DRAWS, seed=look.seed)[0]
        draws = drawn.draws_rm[np.isfinite(drawn.draws_rm[:, 0]), 0]
        deviation = float(draws.std()) * spread if len(draws) else np.nan
        return _Compared(
            value=float(drawn.value_m[0]), expected=look.reference.value, deviation=deviation, rows=len(window)
        )
    strata_w, strata_r, shared = _strata(window, before)
    inside = np.isin(strata_w, shared)
    if not inside.any():
        return None
    window, strata_w = window.take(inside), strata_w[inside]
    names = shared if task == "classification" and len(shared) < len(before.classes) else None
    value = _value(measure, window, np.ones((1, len(window))), names)[0]
    wanted = {name: int((strata_w == name).sum()) for name in shared}
    before, strata_r, rows_u = _collapsed(measure, before, strata_r)
    drawn_r = _value(measure, before, _draws(strata_r, rows_u, wanted, look.seed), names)
    drawn_r = drawn_r[np.isfinite(drawn_r)]
    if not len(drawn_r):
        return None
    corrected = look.reference.value - _value(measure, before, rows_u[None, :], None)[0]
    expected = float(drawn_r.mean()) + (float(corrected) if np.isfinite(corrected) else 0.0)
    return _Compared(
        value=float(value),
        expected=expected,
        deviation=float(drawn_r.std()) * spread,
        rows=len(window),
        classes=None if names is None else len(names),
    )


def _positive(signature: Signature) -> str | None:
    return signature.classes[1] if len(signature.classes) == BINARY else None


def _strata(window: Outcome, before: Outcome) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """What rows are drawn by: their classes, those that both have; other rows are all alike."""
    if not window.classes:
        return np.full(len(window), ""), np.full(len(before), ""), [""]
    of_window, of_before = (np.asarray(each.classes)[each.truth_n] for each in (window, before))
    return of_window, of_before, sorted({*of_window.tolist()} & {*of_before.tolist()})


def _collapsed(
    measure: Measure, before: Outcome, strata_n: NDArray[Any]
) -> tuple[Outcome, NDArray[Any], NDArray[np.float64]]:
    """Rows that are alike for the measure as one unit, and how many each is."""
    key_n = measure.gather(before).key_n if before.classes else None
    if key_n is None:
        return before, strata_n, np.ones(len(before))
    _, first_u, rows_u = np.unique(key_n, return_index=True, return_counts=True)
    return before.take(first_u), strata_n[first_u], rows_u.astype(np.float64)


def _draws(
    strata_u: NDArray[Any], rows_u: NDArray[np.float64], wanted: dict[str, int], seed: int
) -> NDArray[np.float64]:
    """How often each unit is drawn (r, u): so many of each stratum, by weights that are drawn, too."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((DRAWS, len(strata_u)))
    for name, count in wanted.items():
        units = np.flatnonzero(strata_u == name)
        shares = rng.standard_gamma(np.broadcast_to(rows_u[units], (DRAWS, len(units))))
        drawn[:, units] = rng.multinomial(count, shares / shares.sum(axis=1, keepdims=True))
    return drawn


def _value(
    measure: Measure, of: Outcome, weights_ru: NDArray[Any], classes: Sequence[str] | None
) -> NDArray[np.float64]:
    """The measure (r,); means over classes only over these."""
    sums = measure.gather(of)(weights_ru)
    if classes is not None and isinstance(sums, Margins):
        at = [sums.classes.index(name) for name in classes]
        sums = replace(
            sums,
            hit_rk=sums.hit_rk[:, at],
            true_rk=sums.true_rk[:, at],
            predicted_rk=sums.predicted_rk[:, at],
            classes=tuple(classes),
        )
    return np.asarray(measure.finish(sums), dtype=np.float64)


def _days(labels: LabelledRows) -> NDArray[Any] | None:
    """On which day each row happened, where that is known of all."""
    return np.asarray(labels.days) if len(labels.days) == len(labels.truth) > 0 else None


def _rows_worth_one(day_n: NDArray[Any] | None, look: MonitorLook) -> float:
    """How many rows of these days are worth one, where those of a day are as alike as the reference's: 1 or more.

    That the window's own days differ is no measure: they do where it became worse within the window.
    """
    if day_n is None:
        return 1.0
    rows_d = np.unique(day_n, return_counts=True)[1]
    return max(1.0, 1.0 + (float((rows_d**2).sum() / rows_d.sum()) - 1.0) * look.reference.within_day)


def _spread(labels: LabelledRows, window: Outcome) -> float:
    """By how much more a mean deviates than over as many rows that have nothing to do with each other: 1 or more."""
    group_n = _together(labels)
    if group_n is None or not len(window):
        return 1.0
    if window.classes or window.truth_n.dtype == object:
        loss_n = (window.truth_n != window.predicted_n).astype(np.float64)
    else:
        loss_n = np.abs(window.truth_n - window.predicted_n)
    apart_n = loss_n - loss_n.mean()
    alone = float((apart_n**2).sum())
    groups = int(group_n.max()) + 1
    together = float((np.bincount(group_n, weights=apart_n) ** 2).sum()) * groups / max(groups - 1, 1)
    return max(1.0, together / alone) ** 0.5 if alone else 1.0


def estimated(
    sums: PredictionSums, look: MonitorLook, *, is_shifted: bool = False, separation: float | None = None
) -> Signal:
    """What the metric is expected to be before labels come, from calibrated probabilities or past errors of numbers.

    `error` is how far it was off on the rows whose labels came since, `corrected` the value without it. Never an alert:
    what has changed in meaning, it cannot see. Where rows have become unlike those that it was calibrated on
    (`is_shifted`), `low` and `high` say what that may hide: as many rows as a classifier tells from the reference's
    (its AUC is `separation`) may be answered by guessing; where it is not known, they are left out. Of texts, the value
    itself is lower then: see `_worth`.
    """
    measure, reference = _measure(look), look.reference
    classes, made = look.signature.classes, reference.calibrated
    worth = _worth(sums, look) if is_shifted and classes else 1.0
    value = _believed(sums, look, measure, worth) if classes else _of_numbers(sums, look, measure)
    if value is None:
        why = "no rows" if not sums.rows else f"{measure.name} is not known from what the model says of its answers"
        return look.signal("estimated", None, rows=sums.rows, detail={"reason": why})
    before = expected_value(measure, reference.beliefs, classes, made) if classes else None
    if before is not None:  # what it was off on the test rows, whose truth is known
        value = float(np.clip(value + worth * (reference.value - before), *measure.bounds))
    detail: dict[str, Json] = {"metric": measure.name, "reference": reference.value}
    if before is not None:
        offset = reference.value - before
        detail["worth"] = worth
        if separation is not None or not is_shifted:  # else nobody knows what the shift may hide
            detail |= _hidden(sums, look, measure, offset=offset, worth=worth, separation=separation)
    labels = look.labels
    shares = None if labels.predicted is None else labels.predicted.probabilities_nk
    if labels.predicted is not None and shares is not None and len(labels.truth) >= look.config.min_feedback:
        names = labels.predicted.values_n.tolist()
        prior_k = prior_of(reference.beliefs, classes, made)
        of_rows = beliefs_of(names, shares, made)
        of_labelled = expected_value(measure, of_rows, classes, made, worth=worth, prior_k=prior_k)
        true = measure(outcome(labels.truth, labels.predicted, look.signature.task, positive=_positive(look.signature)))
        if of_labelled is not None and np.isfinite(true):
            of_labelled += 0.0 if before is None else worth * (reference.value - before)
            detail |= {"error": of_labelled - true, "labelled": len(labels.truth)}
            detail["corrected"] = float(np.clip(value - (of_labelled - true), *measure.bounds))
    off = f"; off by {detail['error']:+.4f} on the labelled ones" if "error" in detail else ""
    unlike = ""
    if is_shifted:
        ends = f", it may be anything from {detail['low']:.4f} to {detail['high']:.4f}" if "low" in detail else ""
        unlike = f"; rows are unlike the reference's{ends or ': it may be well off'}"
    detail |= {"is_shifted": is_shifted}
    detail["reason"] = f"{measure.name} is expected to be {value:.4f} (reference {reference.value:.4f}){off}{unlike}"
    return look.signal("estimated", value, rows=sums.rows, detail=detail)


def _believed(sums: PredictionSums, look: MonitorLook, measure: Measure, worth: float) -> float | None:
    classes, made = look.signature.classes, look.reference.calibrated
    prior_k = prior_of(look.reference.beliefs, classes, made)
    return expected_value(measure, sums.beliefs, classes, made, worth=worth, prior_k=prior_k)


def _worth(sums: PredictionSums, look: MonitorLook) -> float:
    """How much of what a model says of shifted texts is true of them: as much as it has to say beside the reference.

    Words that it does not know make a model unsure, which calibrated probabilities show. Where they are many, those
    that it knows mean less, too, which they do not. It is a rule of thumb that was measured, not a theorem
    (docs/benchmarks.md), and of texts alone: of tables it made estimates worse.
    """
    known, seen = look.reference.predictions.get(CONFIDENCE), sums.predictions.get(CONFIDENCE)
    if known is None or seen is None or all(column.kind != "text" for column in look.signature.inputs):
        return 1.0
    profiled, count = narrow.json_object(known), len(look.signature.classes)
    grid = np.asarray(profiled["grid"], dtype=np.float64)
    now = evidence(grid, np.asarray(seen.bins, dtype=np.float64), count)
    before = evidence(grid, np.diff([0.0, *profiled["cdf"], 1.0]), count)
    return min(1.0, now / before) if now is not None and before else 1.0


def _hidden(
    sums: PredictionSums,
    look: MonitorLook,
    measure: Measure,
    *,
    offset: float,
    worth: float,
    separation: float | None,
) -> dict[str, Json]:
    """Between what values the metric may lie, as far as chance and a shift of inputs go.

    A classifier's AUC bounds from below how many rows are none that the reference could have; what a model says of
    these may be worth nothing. (For scores of two normal distributions; S. Ben-David and others, "A theory of learning
    from different domains", Machine Learning 79 (2010), has the bound that this follows.)
    """
    normal = NormalDist()
    auc = 0.5 if separation is None else min(max(separation, 0.5), 1 - 1e-9)
    apart = 2 * normal.cdf(normal.inv_cdf(auc) / 2**0.5) - 1
    least = min(worth, 1 - apart)
    ends = [_believed(sums, look, measure, share) for share in (least, 1.0)]
    if ends[0] is None or ends[1] is None:
        return {}
    known = len(look.reference.outcomes.get("truth", ())) or sums.rows
    half = normal.inv_cdf(0.5 + LEVEL / 2) * 0.5 * (1 / sums.rows + 1 / known) ** 0.5
    low, high = sorted((ends[0] + least * offset, ends[1] + offset))
    bounds = measure.bounds
    return {"low": max(bounds[0], low - half), "high": min(bounds[1], high + half)}


def _of_numbers(sums: PredictionSums, look: MonitorLook, measure: Measure) -> float | None:
    """Mean errors of the reference's rows, weighted as predictions are now; of `mae` and `rmse`."""
    known = narrow.json_object(look.reference.predictions.get(PREDICTION) or {})
    predicted = look.reference.predicted
    if measure.name not in {"mae", "rmse"} or predicted is None or PREDICTION not in sums.predictions:
        return None
    edges = np.asarray(known.get("edges", []), dtype=np.float64)
    error_n = np.abs(np.asarray(look.reference.outcomes["truth"], dtype=np.float64) - predicted.values_n.astype(float))
    power = 2 if measure.name == "rmse" else 1
    at_n = np.searchsorted(edges, predicted.values_n.astype(np.float64), side="left")
    rows_b = np.bincount(at_n, minlength=len(edges) + 1)
    error_b = np.bincount(at_n, weights=error_n**power, minlength=len(edges) + 1) / np.maximum(rows_b, 1)
    up_to = np.cumsum(sums.predictions[PREDICTION].bins)
    now_b = np.diff([0, *up_to[np.searchsorted(known["grid"], edges)], up_to[-1]]).astype(np.float64)
    usable = rows_b > 0
    if not now_b[usable].sum():
        return None
    return float((now_b[usable] * error_b[usable]).sum() / now_b[usable].sum()) ** (1 / power)


def calibration(look: MonitorLook) -> Signal:
    """By how much the model's confidence exceeds its accuracy on labelled rows; never an alert by itself."""
    labels = look.labels
    shares = None if labels.predicted is None else labels.predicted.probabilities_nk
    if labels.predicted is None or shares is None or len(labels.truth) < look.config.min_feedback:
        return look.signal("calibration", None, rows=0, detail={"reason": "too few labels of rows with probabilities"})
    right = labels.predicted.values_n.astype(np.str_) == np.asarray(labels.truth, dtype=np.str_)
    sure = float(shares.max(axis=1).mean())
    low, high = wilson(int(right.sum()), len(right))
    detail: dict[str, Json] = {
        "confidence": sure,
        "accuracy": float(right.mean()),
        "low": sure - high,
        "high": sure - low,
    }
    return look.signal("calibration", sure - float(right.mean()), rows=len(right), detail=detail)


def slices(look: MonitorLook) -> Signal:
    """The part of the data that has become worse most: an alert when surely, and by more than `slice_drop`.

    Rows of a day are worth as many as the reference's days show (those of its part are taken to be as many a day).
    """
    from scipy.stats import hypergeom

    labels, limit, known = look.labels, look.config.slice_drop, look.reference.slices
    if labels.predicted is None or not known or len(labels.rows) != len(labels.truth):
        return look.signal("slices", None, limit=limit, rows=0, detail={"reason": "no labelled rows to compare"})
    wrong_n = labels.predicted.values_n.astype(np.str_) != np.asarray(labels.truth, dtype=np.str_)
    tested: list[tuple[float, float, str, int]] = []
    day_n = _days(labels)
    for name, before in known.items():
        profiled = narrow.json_object(look.reference.inputs[name])
        of_rows = np.asarray(slice_names(profiled, [row.get(name) for row in labels.rows]), dtype=object)
        for part, (rows, wrong) in before.items():
            is_here = of_rows == part
            here = wrong_n[is_here]
            if min(len(here), rows) < LEAST_SLICE:
                continue
            rise = float(here.mean()) - wrong / rows
            one = _rows_worth_one(None if day_n is None else day_n[is_here], look)
            n, hits, of, were = (round(each / one) for each in (len(here), int(here.sum()), rows, wrong))
            p = float(hypergeom.sf(hits - 1, of + n, were + hits, n))
            tested.append((rise, p, f"{name} = {part}", len(here)))
    if not tested:
        reason = f"no part of the data has {LEAST_SLICE} labelled rows"
        return look.signal("slices", None, limit=limit, rows=len(wrong_n), detail={"reason": reason})
    sure = discovered([p for _, p, _, _ in tested], look.level)
    over = sorted(
        (each for each, is_sure in zip(tested, sure, strict=True) if is_sure and each[0] > limit), reverse=True
    )
    rise, p, part, rows = over[0] if over else max(tested)
    reason = (
        f"{rise:+.1%} wrong answers where {part}, on {rows} rows (p = {p:.2g}); {len(over)} of {len(tested)} over it"
    )
    detail: dict[str, Json] = {"over": {name: rise for rise, _, name, _ in over[:WORST]}, "reason": reason}
    return look.signal("slices", rise, limit=limit, rows=rows, alert=bool(over), detail=detail)
