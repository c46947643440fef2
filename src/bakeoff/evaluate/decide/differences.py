"""Several candidates on the same rows: how far apart they are by one metric, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import NormalDist
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions
from bakeoff.metrics.bootstrap import left_out, replicate
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.measure import Measure, Statistic
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.rare import few_of_a_class
from bakeoff.metrics.registry import bind
from bakeoff.metrics.rough import is_rough
from bakeoff.metrics.significance import detectable, holm, mcnemar_exact, t_interval, t_p_value
from bakeoff.metrics.spread import Spread, as_one, by_waves, long_run, pseudo_values, spreads, wider
from bakeoff.results.verdict import Comparison

__all__ = ["Comparison", "Field", "joint_errors"]

Floats: TypeAlias = NDArray[np.float64]

DRAWS = 10_000
"""Draws of the candidates' true values, given the rows: their errors are about jointly normal."""
REACH = 0.005
"""A candidate counts among those chosen from when it is the best in so many draws."""
SHRUNK = 0.25
"""The power of the share that chance does not explain. With 1/4 the winner's value is off by less than 0.002 of
accuracies whose standard error is 0.018, equal or in steps of 0.005, 0.01 and 0.03; with 1/2 by 0.0025."""
FEWEST = 2
"""Units of which something is seen of a spread."""
FEWEST_BEYOND = 50
"""Draws that must lie beyond a quantile for it to be told."""


class Field:
    """Several candidates on the same rows: a metric's values, and what leaving out the same units does to each.

    The difference of two has the standard error of a jackknife over rows, groups or stretches of time, and Student's
    t with degrees of freedom that fall when few of them make the difference. As if each of the two had differed once
    more from the other on a row of its own, candidates that never differed are not taken for one. What models
    of folds that were dealt anew said `again` is taken together with what was said first. Accuracy (and
    other shares of independent rows that are right or wrong) is tested by the exact McNemar test.
    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), sections 11 and 16; the added rows:
    Agresti and Min, "Simple Improved Confidence Intervals for Comparing Matched Proportions", Stat. Med. 24 (2005).
    """

    def __init__(
        self,
        truth_n: ArrayLike,
        predictions: Mapping[str, Predictions],
        measure: Measure,
        *,
        seed: int,
        resamples: int,
        groups_n: ArrayLike | None = None,
        time_n: ArrayLike | None = None,
        folds: int = 0,
        again: Mapping[str, Sequence[Predictions]] = MappingProxyType({}),
        level: float = LEVEL,
        threads: int = 1,
    ) -> None:
        self.measure, self.level = measure, level
        self.sign = 1.0 if measure.higher_is_better else -1.0
        self.rows = len(np.asarray(truth_n))
        self._seed = seed
        self._dependence = Dependence.of(self.rows, groups_n=groups_n, time_n=time_n, folds=folds)
        group_n = self._dependence.group_n
        self._units = self.rows if group_n is None else int(group_n.max()) + 1
        self._outcomes = {name: outcome(truth_n, each, measure.task) for name, each in predictions.items()}
        self.unknown = few_of_a_class(measure, next(iter(self._outcomes.values())))
        self._again = {
            name: [outcome(truth_n, each, measure.task) for each in again.get(name, ())] for name in predictions
        }
        parts = {
            name: [
                self._seen(bind([measure], each)[measure.name], resamples=resamples, threads=threads)
                for each in (first, *self._again[name])
            ]
            for name, first in self._outcomes.items()
        }
        self.values = {name: float(np.mean([value for value, _ in turns])) for name, turns in parts.items()}
        turns = {name: np.stack([pseudo_b for _, pseudo_b in each]) for name, each in parts.items()}
        fine_b = np.isfinite(np.concatenate(list(turns.values()))).all(axis=0)
        self._pseudo = {name: each[:, fine_b] for name, each in turns.items()}
        self._spreads: dict[tuple[str, str], Spread] = {}
        self._levels: dict[tuple[tuple[tuple[str, str], ...], float], float] = {}

    def _seen(self, statistic: Statistic, *, resamples: int, threads: int) -> tuple[float, Floats]:
        """The value, and what each unit says of it; of medians and the like, as many resamples spread as widely."""
        dependence = self._dependence
        self._serial = dependence.order_n is not None and not is_rough(statistic)
        if not is_rough(statistic):
            ((value_m, left_bm),) = left_out([statistic], self.rows, seed=self._seed, dependence=dependence)
            return float(value_m[0]), pseudo_values(float(value_m[0]), left_bm[:, 0])
        # Stretches of time as long as there are of them: long beside what goes together, and many.
        most = self._units if dependence.order_n is None else max(2, math.isqrt(self.rows))
        (drawn,) = replicate(
            [statistic],
            self.rows,
            resamples=resamples,
            seed=self._seed,
            groups_n=None if dependence.independent else dependence.blocks(self.rows, most, self._seed),
            threads=threads,
        )
        value, draws_r = float(drawn.value_m[0]), drawn.draws_rm[:, 0]
        return value, value + (draws_r - np.nanmean(draws_r)) * math.sqrt(len(draws_r) - 1)

    def spread(self, a: str, b: str) -> Spread:
        """The spread of the difference between two candidates."""
        self.learn([(a, b)])
        return self._spreads[a, b]

    def learn(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Work out the spreads of these pairs, all at once, where they are not known."""
        new = [(a, b) for a, b in pairs if (a, b) not in self._spreads]
        if not new:
            return
        if self._wide:
            self._spreads |= {pair: Spread(se=self._wide, freedom=1.0, units=1.0) for pair in new}
            return
        by_factor: dict[float, list[tuple[str, str]]] = {}
        for pair in new:
            by_factor.setdefault(self._factor(*pair), []).append(pair)
        for factor, alike in by_factor.items():
            self._learn(alike, factor)

    def _learn(self, pairs: Sequence[tuple[str, str]], factor: float) -> None:
        apart_bp = np.column_stack([as_one(self._pseudo[a] - self._pseudo[b]) for a, b in pairs])
        for at, ((a, b), seen) in enumerate(
            zip(pairs, spreads(apart_bp, serial=self._serial, factor=factor), strict=True)
        ):
            known = wider(seen, by_waves(apart_bp[:, at], seen, factor=factor), self.level) if self._serial else seen
            self._spreads[a, b] = self._spreads[b, a] = self._with_one_more(known, a, b)

    def _factor(self, *names: str) -> float:
        """By how much folds multiply the variance of what is said of these: as often dealt as all of them were."""
        return replace(self._dependence, repeats=1 + min(len(self._again[name]) for name in names)).factor

    @cached_property
    def _wide(self) -> float:
        """How far apart candidates may be where a single row (group), or a few of a class, is all there is; else 0.

        On two rows of a class that one has right and the other wrong a jackknife sees no spread, and no doubt.
        """
        if self.unknown is None and next(iter(self._pseudo.values())).shape[1] >= FEWEST:
            return 0.0
        low, high = self.measure.bounds
        return high - low if math.isfinite(high - low) else max(1.0, *(10 * abs(each) for each in self.values.values()))

    def _with_one_more(self, seen: Spread, a: str, b: str) -> Spread:
        """The spread as if there were one row (group) more on which each differs from the other."""
        own = min(self._own[a], self._own[b]) * math.sqrt(self._units / self._pseudo[a].shape[1])
        low, high = self.measure.bounds
        if own == 0 and math.isfinite(high - low):
            own = (high - low) / 2
        more = math.sqrt(2) * own / self._units  # both are about `own` from their mean
        freedom = max(1.0, min(seen.freedom, self._units - 1))
        return Spread(se=math.hypot(seen.se, more), freedom=freedom, units=seen.units)

    def compare(self, a: str, b: str, *, margin: float = 0.0, among: Sequence[tuple[str, str]] = ()) -> Comparison:
        """How much better a is than b; the p-value is for a true difference of at most `margin`.

        The interval holds for all pairs `among` which this one was chosen by the same rows.
        """
        return self._one(a, b, level=self.pair_level(among) if among else self.level, margin=margin)

    def together(
        self, pairs: Sequence[tuple[str, str]], *, margin: float = 0.0, level: float | None = None
    ) -> list[Comparison]:
        """Several comparisons with intervals that hold all at once (at the field's level), and p-values for all.

        The intervals are as much wider as the largest of the pairs' standardised errors is larger than one.
        Source: Westfall and Young, "Resampling-Based Multiple Testing" (1993), section 2.
        """
        level = self.pair_level(pairs, level)
        self.learn(pairs)
        alone = [self._one(a, b, level=level, margin=margin) for a, b in pairs]
        adjusted = holm([each.p_value for each in alone])
        return [replace(each, p_holm=p) for each, p in zip(alone, adjusted, strict=True)]

    def pair_level(self, pairs: Sequence[tuple[str, str]], level: float | None = None) -> float:
        """The confidence of each comparison with which all of them hold with this one, the field's by default.

        Where that is too high for so few draws to tell, by Bonferroni.
        """
        level = self.level if level is None else level
        if len(pairs) <= 1:
            return level
        if (1 - level) * DRAWS < FEWEST_BEYOND:
            return 1 - (1 - level) / len(pairs)
        if (tuple(pairs), level) not in self._levels:
            self._levels[tuple(pairs), level] = self._pair_level(pairs, level)
        return self._levels[tuple(pairs), level]

    def _pair_level(self, pairs: Sequence[tuple[str, str]], level: float) -> float:
        names = list(self.values)
        contrast_pk = np.zeros((len(pairs), len(names)))
        for at, (a, b) in enumerate(pairs):
            contrast_pk[at, names.index(a)], contrast_pk[at, names.index(b)] = 1.0, -1.0
        root_kp = self._root @ contrast_pk.T
        se_p = np.sqrt((root_kp**2).sum(axis=0))
        root_kp = np.divide(root_kp, se_p, out=np.zeros_like(root_kp), where=se_p > 0)
        # The second half of the draws is the first one with its signs changed.
        apart_rp = self._normal[: DRAWS // 2] @ root_kp
        largest = float(np.quantile(np.abs(apart_rp, out=apart_rp).max(axis=1), level))
        return max(level, 2 * NormalDist().cdf(largest) - 1)

    def draws(self) -> dict[str, Floats]:
        """What each candidate's true value may be, jointly, (r,)."""
        error_rk = self._normal @ self._root
        return {name: self.values[name] + error_rk[:, at] for at, name in enumerate(self.values)}

    @cached_property
    def _own(self) -> Mapping[str, float]:
        """How far units lie apart in what they say of each candidate."""
        return {name: float(as_one(each).std()) for name, each in self._pseudo.items()}

    @cached_property
    def _variances(self) -> Mapping[str, float]:
        """Of the error of each candidate alone."""
        return dict(zip(self.values, (self.errors_bk() ** 2).sum(axis=0).tolist(), strict=True))

    @cached_property
    def _root(self) -> Floats:
        """A root (k, k) of the covariance of the candidates' errors: rows are independent standard errors."""
        return np.asarray(np.linalg.qr(self.errors_bk(), mode="r"), dtype=np.float64)

    def errors_bk(self) -> Floats:
        """What each unit adds to the candidates' errors: their sums of squares are the variances."""
        if self._wide:
            return self._wide * np.eye(len(self.values))
        every = [as_one(each) for each in self._pseudo.values()]
        centred_bk = np.column_stack([each - each.mean() for each in every])
        blocks = len(centred_bk)
        times = np.asarray([long_run(each) if self._serial else 1.0 for each in centred_bk.T])
        factor_k = np.asarray([self._factor(name) for name in self._pseudo])
        return centred_bk * np.sqrt(times * factor_k / max(1, blocks * (blocks - 1)))

    @cached_property
    def _normal(self) -> Floats:
        size = len(self._root)
        normal_rk = np.random.default_rng(self._seed).normal(size=(DRAWS // 2, size))
        return np.concatenate([normal_rk, -normal_rk])

    def _one(self, a: str, b: str, *, level: float, margin: float) -> Comparison:
        difference = self.sign * (self.values[a] - self.values[b])
        known = self.spread(a, b)
        low, high = t_interval(difference, known.se, known.freedom, level)
        least, most = self.measure.bounds
        low, high = max(low, least - most), min(high, most - least)  # with few groups t goes beyond all differences
        if self._right_or_wrong and margin == 0 and self._dependence.independent:
            p_value = self._mcnemar(a, b)
        else:
            p_value = t_p_value(difference, known.se, known.freedom, margin=margin)
        return Comparison(
            candidate=a,
            versus=b,
            metric=self.measure.name,
            difference=difference,
            low=low,
            high=high,
            p_value=p_value,
            p_holm=p_value,
            alike=self._alike(a, b),
        )

    def _alike(self, a: str, b: str) -> bool:
        """Whether both answer every row alike, as far as the metric asks."""
        ours, theirs = ((self._outcomes[name], *self._again[name]) for name in (a, b))
        return len(ours) == len(theirs) and all(map(self._alike_once, ours, theirs))

    def _alike_once(self, one: Outcome, other: Outcome) -> bool:
        if one.classes != other.classes:
            return False
        if self.measure.needs == "probabilities":
            return np.array_equal(np.asarray(one.probabilities_nk), np.asarray(other.probabilities_nk))
        return self.measure.needs in {"labels", "values"} and np.array_equal(one.predicted_n, other.predicted_n)

    def share_of_rows(self, pair: Comparison, *, margin: float, level: float) -> float | None:
        """The share that there is of the rows needed to tell whether the candidate is worse by less than the margin.

        Four times in five, at this level, if the true difference is the one seen.
        """
        known = self.spread(pair.candidate, pair.versus)
        if not known.se:
            return None
        return ((pair.difference + margin) / detectable(known.se, level=level, freedom=known.freedom)) ** 2

    def detectable(self, a: str, b: str, *, level: float) -> float:
        """The least difference that is shown four times in five, at this level, if b is better than it is by so much.

        Where one is better, two lie further apart row by row than two equals. Of answers that are right or wrong, b is
        taken to be right on any of the rows on which it is wrong. A share d / room of these has the variance that `a`
        has alone, the others keep that of the difference, and how many there are varies as a share does.
        """
        known, room = self.spread(a, b), self.sign * (self._most - self.values[b])
        times = detectable(1.0, level=level, freedom=known.freedom) ** 2
        plain = math.sqrt(times) * known.se
        if self.measure.needs != "labels" or not math.isfinite(room) or plain >= room:
            return plain
        units = known.units if self._serial else self._units / self._factor(a, b)
        # d² = times · (se² (1 - d / room) + alone · d / room + d (room - d) / units)
        linear = times * ((self._variances[a] - known.se**2) / room + room / units)
        square = 1 + times / units
        size = (linear + math.sqrt(linear**2 + 4 * square * times * known.se**2)) / (2 * square)
        return min(max(plain, size), room)

    @property
    def _most(self) -> float:
        """The best that the metric can be."""
        low, high = self.measure.bounds
        return high if self.measure.higher_is_better else low

    def chosen(self, names: Sequence[str]) -> float:
        """The value of the best of these, without what being the best of several flatters it by.

        Resampled errors are added to what the candidates' values may be, and the best is chosen each time: by so much
        it exceeds its own value on average. Of values as measured, chance is a part of what sets them apart; so they
        are drawn together, by the share of their spread that chance does not explain. Candidates that are hardly ever
        the best tell nothing of the others.
        Source: the parametric bootstrap of a selection's bias, Efron, "Tweedie's Formula and Selection Bias", JASA 106
        (2011), section 1; how far to draw together was settled by simulation (`SHRUNK`).
        """
        drawn = self.draws()
        drawn_rk = self.sign * np.column_stack([drawn[name] for name in names])
        value_k = self.sign * np.asarray([self.values[name] for name in names])
        reach_k = np.bincount(drawn_rk.argmax(axis=1), minlength=len(names)) >= REACH * len(drawn_rk)
        reach_k[value_k.argmax()] = True
        error_rk, value_k = (drawn_rk - value_k)[:, reach_k], value_k[reach_k]
        mean = float(value_k.mean())
        seen = float(((value_k - mean) ** 2).mean())
        chance = float((error_rk - error_rk.mean(axis=1, keepdims=True)).var(axis=0).mean())
        apart = max(0.0, 1 - chance / seen) ** SHRUNK if seen > 0 else 0.0
        true_k = mean + apart * (value_k - mean)
        first_r = (true_k + error_rk).argmax(axis=1)
        bias = float(error_rk[np.arange(len(first_r)), first_r].mean())
        return self.sign * (float(value_k.max()) - bias)

    @property
    def _right_or_wrong(self) -> bool:
        """Whether each row is right or wrong, and the metric is the share that is right (or wrong)."""
        return self.measure.name == "accuracy" or (self.measure.share and self.measure.needs == "scores")

    def _right(self, name: str) -> NDArray[np.bool_]:
        rows = self._outcomes[name]
        if self.measure.needs == "scores":
            return np.asarray(rows.scores[self.measure.name] > 0)
        return np.asarray(rows.truth_n == rows.predicted_n)

    def _mcnemar(self, a: str, b: str) -> float:
        right_a, right_b = self._right(a), self._right(b)
        return mcnemar_exact(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()))


def joint_errors(fields: Mapping[str, Field], *, draws: int) -> dict[str, dict[str, Floats]]:
    """How far each metric of each candidate may be off, (r,), jointly; `fields` are of the same rows and candidates.

    Metrics that are resampled in other units than the rest are drawn apart.
    """
    alike: dict[int, list[str]] = {}
    parts = {metric: field.errors_bk() for metric, field in fields.items()}
    for metric, errors_bk in parts.items():
        alike.setdefault(len(errors_bk), []).append(metric)
    drawn: dict[str, dict[str, Floats]] = {}
    for blocks, metrics in alike.items():
        root = np.asarray(np.linalg.qr(np.column_stack([parts[each] for each in metrics]), mode="r"), dtype=np.float64)
        normal = np.random.default_rng([blocks, draws]).normal(size=(draws // 2, len(root)))
        errors = np.split(np.concatenate([normal, -normal]) @ root, len(metrics), axis=1)
        for metric, error_rk in zip(metrics, errors, strict=True):
            drawn[metric] = {name: error_rk[:, at] for at, name in enumerate(fields[metric].values)}
    return drawn
