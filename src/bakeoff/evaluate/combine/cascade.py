"""Thresholds of a cascade and the classes that a router passes on, found on validation rows.

A stage's confidence is the probability of its most probable class. Isotonic calibration of it would keep
the order of rows, so a threshold on it is a threshold on calibrated confidence; what the confidence is
worth is told by the share of right answers above the threshold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.out_of_fold import in_order
from bakeoff.metrics.combined import Ladder, common_classes, spread
from bakeoff.metrics.labels import Confusion, Margins
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.registry import Measure

__all__ = ["SHARES", "Climb", "Setting", "cheapest", "composed_latency_ms", "find_route", "joined"]
__all__ += ["mixed_latency_ms", "settings"]

Floats: TypeAlias = NDArray[np.float64]

SHARES = tuple(step / 20 for step in range(1, 20))
"""Shares of rows that a stage of two passes on, as tried."""
COARSE_SHARES = tuple(step / 10 for step in range(1, 10))
KEPT = 0.9
"""The part of what escalating gains at best that the chosen thresholds must keep."""
SURE = 1.0
"""Standard errors by which the next model must do better on a class to be asked about it."""
LEVELS = 400


@dataclass(frozen=True, slots=True)
class Climb:
    """A cascade asked about rows whose answers from every stage are known: its answers, and who gave each."""

    predictions: Predictions
    shares: tuple[float, ...]
    answered_right: tuple[float | None, ...]

    @classmethod
    def of(cls, ladder: Ladder, parts: Sequence[Predictions], truth_n: NDArray[np.str_]) -> "Climb":
        """Let a cascade of these predictions answer."""
        classes = common_classes(part.classes for part in parts)
        spread_snk = [spread(part, classes) for part in parts]
        answer_nk, stage_n = ladder.climb(lambda s, rows: spread_snk[s][rows], len(truth_n), classes)
        predictions = Predictions.of_probabilities(answer_nk, classes)
        right_n = predictions.values_n == truth_n
        answered = [right_n[stage_n == stage] for stage in range(len(parts))]
        return cls(
            predictions,
            ladder.shares(stage_n),
            tuple(float(right.mean()) if len(right) else None for right in answered),
        )


def joined(rows: Sequence[NDArray[np.intp]], climbs: Sequence[Climb]) -> Climb:
    """Climbs over parts of a table (`rows`: the numbers of each part's rows) as one over all of it."""
    if len(climbs) == 1:
        return climbs[0]
    rows_c = np.asarray([len(each) for each in rows], dtype=np.float64)
    reached_cs = np.asarray([climb.shares for climb in climbs]) * rows_c[:, None]
    answered_cs = reached_cs - np.append(reached_cs[:, 1:], np.zeros((len(climbs), 1)), axis=1)
    right_cs = np.asarray([[share or 0.0 for share in climb.answered_right] for climb in climbs]) * answered_cs
    answered_s, right_s = answered_cs.sum(axis=0).tolist(), right_cs.sum(axis=0).tolist()
    return Climb(
        in_order(rows, [climb.predictions for climb in climbs]),
        tuple((reached_cs.sum(axis=0) / rows_c.sum()).tolist()),
        tuple(right / answered if answered > 0 else None for right, answered in zip(right_s, answered_s, strict=True)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to set a cascade, with what it does on validation rows: value of the metric and price."""

    ladder: Ladder
    value: float
    cost: float
    shares: tuple[float, ...]


def settings(
    truth_n: NDArray[np.str_], parts: Sequence[Predictions], costs: Sequence[float], measure: Measure
) -> Iterator[Setting]:
    """Every setting that is tried for stages in this order: shares passed on by each, pooled or not."""
    classes = common_classes(part.classes for part in parts)
    spread_snk = [spread(part, classes) for part in parts]
    grid = SHARES if len(parts) == 2 else COARSE_SHARES  # noqa: PLR2004
    ladders = [
        Ladder(thresholds=thresholds, pooled=pooled)
        for pooled in (False, True)
        for thresholds in _thresholds(spread_snk, (), np.arange(len(truth_n)), grid, pooled=pooled)
    ]
    answers = _Answers(outcome(truth_n, Predictions.of_probabilities(spread_snk[0], classes), "classification"))
    shares: list[tuple[float, ...]] = []
    for ladder in ladders:
        answer_nk, stage_n = ladder.climb(lambda s, rows: spread_snk[s][rows], len(truth_n), classes)
        answers.add(answer_nk, classes, measure)
        shares.append(ladder.shares(stage_n))
    for ladder, value, reached in zip(ladders, answers.values(measure), shares, strict=True):
        cost = sum(cost * share for cost, share in zip(costs, reached, strict=True))
        yield Setting(ladder=ladder, value=value, cost=cost, shares=reached)


class _Priced(Protocol):
    @property
    def value(self) -> float: ...
    @property
    def cost(self) -> float: ...


S = TypeVar("S", bound=_Priced)


class _Answers:
    """Many answers to the same rows, and the metric of each: of labels, by what is counted of them, all at once."""

    def __init__(self, known: Outcome) -> None:
        self._known, self._true_k = known, np.bincount(known.truth_n, minlength=len(known.classes))
        self._hits: list[NDArray[np.intp]] = []
        self._predicted: list[NDArray[np.intp]] = []
        self._values: list[float] = []

    def add(self, answer_nk: Floats, classes: Sequence[str], measure: Measure) -> None:
        """One answer to all rows: probabilities in the order of `classes`."""
        known, k = self._known, len(self._known.classes)
        if measure.gather != Confusion.of:
            predictions = Predictions.of_probabilities(answer_nk, tuple(classes))
            truth = np.asarray(known.classes)[known.truth_n]
            self._values.append(measure(outcome(truth, predictions, "classification")))
            return
        place_k = np.searchsorted(np.asarray(known.classes), np.asarray(classes))
        predicted_n = place_k[answer_nk.argmax(axis=1)]
        self._hits.append(np.bincount(known.truth_n[predicted_n == known.truth_n], minlength=k))
        self._predicted.append(np.bincount(predicted_n, minlength=k))

    def values(self, measure: Measure) -> list[float]:
        """Of each answer, in their order."""
        if not self._hits:
            return self._values
        margins = Margins(
            hit_rk=np.asarray(self._hits, dtype=np.float64),
            true_rk=np.tile(self._true_k.astype(np.float64), (len(self._hits), 1)),
            predicted_rk=np.asarray(self._predicted, dtype=np.float64),
            classes=self._known.classes,
            positive=self._known.positive,
        )
        return measure.finish(margins).tolist()


def _thresholds(
    spread_snk: Sequence[Floats],
    before: tuple[float, ...],
    rows: NDArray[np.intp],
    grid: Sequence[float],
    *,
    pooled: bool,
) -> Iterator[tuple[float, ...]]:
    """Thresholds for all stages but the last: quantiles of the confidence of rows that reach each."""
    stage = len(before)
    if stage == len(spread_snk) - 1:
        yield before
        return
    said = [part[rows] for part in spread_snk[: stage + 1]]
    confidence_r = (sum(said[1:], said[0]) / len(said) if pooled else said[-1]).max(axis=1)
    for threshold in np.unique(np.quantile(confidence_r, grid)).tolist():
        passed = rows[confidence_r < threshold]
        if len(passed):
            yield from _thresholds(spread_snk, (*before, threshold), passed, grid, pooled=pooled)


def cheapest(tried: Sequence[S], first: float, measure: Measure) -> S | None:
    """The cheapest setting that keeps nine tenths of what the best gains over the first model alone (`first`).

    None when no setting gains anything.
    """
    sign = 1.0 if measure.higher_is_better else -1.0
    gains = [sign * (setting.value - first) for setting in tried]
    most = max(gains, default=0.0)
    if not most > 0:
        return None
    kept = [setting for setting, gain in zip(tried, gains, strict=True) if gain >= KEPT * most]
    return min(kept, key=lambda setting: setting.cost)


def find_route(
    truth_n: NDArray[np.str_], parts: Sequence[Predictions], costs: Sequence[float], measure: Measure
) -> Setting | None:
    """Which classes the first model is not to be trusted with when it says them; None when it is with all.

    A class is passed on when, on rows where the first says it, the other is right surely more often.
    """
    right_n, other_n = (part.values_n == truth_n for part in parts)
    doubted: list[str] = []
    for name in parts[0].classes:
        said_n = parts[0].values_n == name
        gained, lost = int((other_n & ~right_n & said_n).sum()), int((right_n & ~other_n & said_n).sum())
        if gained - lost > SURE * np.sqrt(gained + lost):
            doubted.append(name)
    if not doubted or len(doubted) == len(np.unique(parts[0].values_n)):
        return None
    ladder = Ladder(thresholds=(0.0,), doubted=tuple(doubted))
    climb = Climb.of(ladder, parts, truth_n)
    return Setting(
        ladder=ladder,
        value=measure(outcome(truth_n, climb.predictions, "classification")),
        cost=sum(cost * share for cost, share in zip(costs, climb.shares, strict=True)),
        shares=climb.shares,
    )


def composed_latency_ms(latencies: Sequence[Mapping[str, float]], shares: Sequence[float]) -> dict[str, float]:
    """Percentiles of a cascade's latency from those of its stages: a row waits for all that it reaches.

    Stages are taken to be slow on the same rows, which overstates the tail of a long chain.
    """
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    waited_sl = np.cumsum([_quantiles(latency)(levels) for latency in latencies], axis=0)
    return _percentiles(waited_sl, np.diff([*(-share for share in shares), 0.0]), latencies[0])


def mixed_latency_ms(latencies: Sequence[Mapping[str, float]], shares: Sequence[float]) -> dict[str, float]:
    """Percentiles of latency where each row is answered by one of several models, by these shares."""
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    waited_sl = np.asarray([_quantiles(latency)(levels) for latency in latencies])
    return _percentiles(waited_sl, np.asarray(shares, dtype=np.float64), latencies[0])


def _percentiles(waited_sl: Floats, answering_s: Floats, names: Iterable[str]) -> dict[str, float]:
    """Percentiles of what rows waited, of which so large shares waited as long as each line says."""
    weights = np.repeat(answering_s / LEVELS, LEVELS)
    order = np.argsort(waited_sl.ravel(), kind="stable")
    reached = np.cumsum(weights[order])
    percentiles: dict[str, float] = {}
    for name in names:
        at = np.searchsorted(reached, float(name.removeprefix("p")) / 100)
        percentiles[name] = float(waited_sl.ravel()[order][min(int(at), len(order) - 1)])
    return percentiles


def _quantiles(latency: Mapping[str, float]) -> Callable[[Floats], Floats]:
    names = sorted(latency, key=lambda name: float(name.removeprefix("p")))
    at = [float(name.removeprefix("p")) / 100 for name in names]
    return partial(np.interp, xp=at, fp=[latency[name] for name in names])
