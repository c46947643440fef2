"""A measure's value with its interval, by the method that the data ask for; or why too little is known for one.

1. Shares of independent rows: mid-P. Measures of the labels of few classes: the posterior of the confusion cells.
2. Everything else that is smooth: Student's t from a jackknife over rows, groups or stretches of time, with degrees of
   freedom that fall when few of them carry the result; on the measure's scale where it lies between two bounds, else
   with its skewness taken out. Errors of numbers have room for what is larger than any that was seen. Where rows are
   not independent, the interval is never narrower than if they were.
3. Areas of a class of few rows: also by the variance that they would have at the ends, or as shares of its rows.
4. Medians and metrics of one's own, which a jackknife does not follow: BCa. Sums of sizes: an inverted test.
5. At a bound (all right, none right) no spread is seen: mid-P for as many rows (groups) as the measure rests on.

Refusals are few, and by counts that the truth alone decides: who gives an interval only where rows look harmless
gives it where they look so by luck.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.bootstrap import BLOCKS, Replicates, left_out, replicate
from bakeoff.metrics.dependence import INDEPENDENT, Dependence
from bakeoff.metrics.intervals import (
    LEVEL,
    Interval,
    IntervalMethod,
    bca,
    inverted,
    mid_p,
    percentile,
    skewed,
    student,
)
from bakeoff.metrics.labels import EVEN_METRICS, Confusion, Margins
from bakeoff.metrics.measure import Measure, Statistic
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.points import ThresholdCurve
from bakeoff.metrics.posterior import FEW_CLASSES, posterior_margins
from bakeoff.metrics.ranks import OneCurve
from bakeoff.metrics.rare import class_of, class_rows, pr_ends, roc_ends, too_rare
from bakeoff.metrics.registry import bind
from bakeoff.metrics.rough import is_rough
from bakeoff.metrics.scales import UNBOUNDED, Scale
from bakeoff.metrics.spread import Spread, as_one, in_order, pseudo_values, spread
from bakeoff.metrics.tails import beyond, excess

__all__ = ["ScoredRows", "estimate", "estimates"]

POSTERIOR_DRAWS = 4000
FEW_OF_A_CLASS = 30
"""Rows of a class (or of all others) below which areas under its curves take more than their jackknife."""
FEWEST_GROUPS = 4
FEWEST_STRETCHES = 6
"""Independent stretches that rows in the order of time must be worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRows:
    """The scored rows: what happened on them, and how they go together; `draws` of resamples are made where needed.

    With outcomes of the same rows `again`, by models of other deals of the folds, values are means over all of these,
    and so is what leaving out a row does to them: rows are what is independent, and not what was said of them.
    """

    outcome: Outcome
    again: tuple[Outcome, ...] = ()
    dependence: Dependence = INDEPENDENT
    draws: int = 2000
    seed: int = 0
    level: float = LEVEL
    blocks: int = BLOCKS
    threads: int = 1

    @property
    def method(self) -> IntervalMethod:
        """Student's t over what is independent."""
        if self.dependence.group_n is not None:
            return "cluster t"
        return "serial t" if self.dependence.order_n is not None else "t"


def estimate(measure: Measure, rows: ScoredRows) -> Interval | None:
    """One measure; None where it is undefined on these rows."""
    return estimates([measure], rows).get(measure.name)


def estimates(wanted: Sequence[Measure], rows: ScoredRows) -> dict[str, Interval]:
    """Several measures by name, without those that are undefined on these rows."""
    bound = bind(wanted, rows.outcome)
    every = [bound, *(bind(wanted, each) for each in rows.again)]
    plain = {measure.name for measure in wanted if _needs_no_spread(measure, rows)}
    left = _means([_left({name: each[name] for name in bound if name not in plain}, rows) for each in every])
    left |= {name: _whole(bound[name], rows) for name in plain}
    resampled = [m for m in wanted if m.parts is not None or is_rough(bound[m.name])]
    drawn = _mean_draws([_drawn(resampled, each, rows) for each in every])
    found: dict[str, Interval] = {}
    margins: dict[str | None, Margins] = {}
    for measure in wanted:
        value, left_b = (each[..., 0] for each in left[measure.name])
        if math.isfinite(float(value)):
            found[measure.name] = _interval(
                measure, _Seen(float(value), left_b, rows, drawn.get(measure.name), margins)
            )
    return found


def _means(
    parts: Sequence[Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]],
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values and those with units left out, by name, of all that was said of the same rows."""
    if len(parts) == 1:
        return dict(parts[0])
    return {
        name: (
            np.mean([each[name][0] for each in parts], axis=0),
            as_one(np.stack([each[name][1][:, 0] for each in parts]))[:, None],
        )
        for name in parts[0]
    }


def _mean_draws(parts: Sequence[Mapping[str, Replicates]]) -> dict[str, Replicates]:
    """As `_means`, of resamples of the same rows."""
    if len(parts) == 1:
        return dict(parts[0])
    return {
        name: Replicates(
            value_m=np.mean([each[name].value_m for each in parts], axis=0),
            draws_rm=np.mean([each[name].draws_rm for each in parts], axis=0),
            jackknife_bm=np.mean([each[name].jackknife_bm for each in parts], axis=0),
        )
        for name in parts[0]
    }


def _needs_no_spread(measure: Measure, rows: ScoredRows) -> bool:
    """Whether its interval comes of its value and counts alone: then nothing has to be left out."""
    return rows.dependence.independent and measure.parts is None and (measure.share or _by_cells(measure, rows.outcome))


def _by_cells(measure: Measure, outcome: Outcome) -> bool:
    """Whether it is a measure of the labels of few classes."""
    return measure.gather == Confusion.of and (
        len(outcome.classes) <= FEW_CLASSES or class_of(measure, outcome) is not None
    )


def _whole(statistic: Statistic, rows: ScoredRows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values on all rows, and none with units left out."""
    value_m = statistic.finish(statistic.sums(np.ones((1, len(rows.outcome)), dtype=np.int64)))
    return value_m.reshape(1, -1)[0], np.zeros((0, value_m.size))


def _left(
    bound: Mapping[str, Statistic], rows: ScoredRows
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values, and those with units left out; statistics of the same sums are worked out together."""
    kinds: dict[int, list[str]] = {}
    for name, statistic in bound.items():
        kinds.setdefault(id(statistic.sums), []).append(name)
    found: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for names in kinds.values():
        parts = left_out(
            [bound[name] for name in names],
            len(rows.outcome),
            seed=rows.seed,
            dependence=rows.dependence,
            blocks=rows.blocks,
        )
        found |= dict(zip(names, parts, strict=True))
    return found


def _drawn(wanted: Sequence[Measure], bound: Mapping[str, Statistic], rows: ScoredRows) -> dict[str, Replicates]:
    """Resamples of what needs them: medians, one's own metrics, and the parts of sums of sizes."""
    if not wanted:
        return {}
    statistics = [
        Statistic(sums=bound[m.name].sums, finish=m.parts) if m.parts is not None else bound[m.name] for m in wanted
    ]
    found = replicate(
        statistics,
        len(rows.outcome),
        resamples=rows.draws,
        seed=rows.seed,
        groups_n=rows.dependence.group_n,
        jackknife=True,
        threads=rows.threads,
    )
    return {m.name: each for m, each in zip(wanted, found, strict=True)}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of one measure."""

    value: float
    left_b: NDArray[np.float64]
    rows: ScoredRows
    drawn: Replicates | None = None
    drawn_margins: dict[str | None, Margins] = field(default_factory=dict[str | None, Margins])
    spread: Spread = field(init=False)

    def __post_init__(self) -> None:
        dependence = self.rows.dependence
        left_b = self.left_b[np.isfinite(self.left_b)]
        pseudo_b = pseudo_values(self.value, left_b)
        spread_of = spread if dependence.order_n is None else in_order
        found = (
            spread_of(pseudo_b, factor=dependence.factor)
            if len(left_b) > 1
            else Spread(se=0.0, freedom=1.0, units=float(len(self.rows.outcome)))
        )
        object.__setattr__(
            self, "spread", replace(found, bias=float(pseudo_b.mean()) - self.value if len(left_b) else 0.0)
        )

    def interval(self, ends: tuple[float, float], method: IntervalMethod) -> Interval:
        """With these ends, which always hold the value."""
        low, high = min(ends[0], self.value), max(ends[1], self.value)
        return Interval(value=self.value, low=low, high=high, method=method)

    def margins(self, of_class: str | None) -> Margins:
        """Draws of what measures of labels are made of; made once for all of them."""
        if of_class not in self.drawn_margins:
            self.drawn_margins[of_class] = posterior_margins(
                self.rows.outcome, draws=POSTERIOR_DRAWS, seed=self.rows.seed, of_class=of_class
            )
        return self.drawn_margins[of_class]

    def refused(self, reason: str) -> Interval:
        return Interval(value=self.value, reason=reason)


def _interval(measure: Measure, seen: _Seen) -> Interval:
    if reason := _too_little(measure, seen):
        return seen.refused(reason)
    if measure.parts is not None:
        return _of_parts(seen)
    plain = _independent(measure, seen)
    if plain is not None and seen.rows.dependence.independent:
        return plain
    if seen.drawn is not None:
        return _of_draws(measure, seen)
    found = _of_units(measure, seen)
    return found if plain is None else found.hull(plain)


def _of_units(measure: Measure, seen: _Seen) -> Interval:
    """Student's t over rows, groups or stretches of time."""
    scale, rows = Scale(*measure.bounds), seen.rows
    of_class = class_of(measure, rows.outcome)
    if of_class is not None and isinstance(measure.gather, OneCurve):
        few = _of_few(measure, seen, rows.outcome.classes.index(of_class))
        if few is not None:
            return few
    if seen.spread.se == 0 or not scale.inside(seen.value):
        return _at_bound(measure, seen)
    if measure.name == "rmse":
        return seen.interval(_root(seen), rows.method)
    if not (math.isfinite(scale.low) and math.isfinite(scale.high)):
        low, high = skewed(seen.value, seen.spread, scale, rows.level)
        if measure.name == "r2":
            low -= (1 - seen.value) * _unseen(rows.outcome)
        elif measure.task == "regression" and math.isfinite(scale.low):
            high += excess(pseudo_values(seen.value, seen.left_b))
        return seen.interval((low, high), rows.method)
    centre = seen.value + seen.spread.bias
    if not _biased(measure, rows.outcome) or not scale.inside(centre):
        centre = seen.value
    return seen.interval(student(centre, seen.spread, scale, rows.level), rows.method)


def _biased(measure: Measure, outcome: Outcome) -> bool:
    """Whether it is biased for certain: averages over classes of their labels, and of their precision-recall areas."""
    return measure.gather == Confusion.of or (measure.name == "pr_auc" and len(outcome.classes) > 2)  # noqa: PLR2004


def _root(seen: _Seen) -> tuple[float, float]:
    """Ends of the root of a mean of squares, by those of the mean."""
    square = _Seen(seen.value**2, seen.left_b**2, seen.rows)
    low, high = skewed(square.value, square.spread, Scale(0.0, math.inf), seen.rows.level)
    return math.sqrt(low), math.sqrt(high + square.value * _unseen(seen.rows.outcome))


def _unseen(outcome: Outcome) -> float:
    """What squared errors larger than any that was seen may add to their mean, as a share of it."""
    squares = (outcome.predicted_n - outcome.truth_n) ** 2
    return beyond(squares) / float(squares.mean())


def _of_few(measure: Measure, seen: _Seen, at: int) -> Interval | None:
    """The area under a curve of a class of few rows (or of nearly all); None where it has enough."""
    rows, value = seen.rows, seen.value
    positives = int(class_rows(rows.outcome)[at])
    negatives = len(rows.outcome) - positives
    if min(positives, negatives) >= FEW_OF_A_CLASS:
        return None
    if measure.name.startswith("roc_auc"):
        return seen.interval(roc_ends(value, positives, negatives, seen.spread.se, rows.level), "score")
    scale = Scale(*measure.bounds)
    ends = pr_ends(value, positives, rows.level)
    if seen.spread.se > 0 and scale.inside(value):
        plain = student(value, seen.spread, scale, rows.level)
        ends = min(ends[0], plain[0]), max(ends[1], plain[1])
    return seen.interval(ends, rows.method)


def _too_little(measure: Measure, seen: _Seen) -> str | None:
    """Why no interval can be given, if so."""
    rows, dependence = seen.rows, seen.rows.dependence
    if len(rows.outcome) == 1 and not measure.share:
        return "1 row"
    if dependence.group_n is not None and (groups := int(dependence.group_n.max()) + 1) < FEWEST_GROUPS:
        return f"{groups} groups; at least {FEWEST_GROUPS} are needed"
    if dependence.order_n is not None and len(rows.outcome) > FEWEST_STRETCHES > seen.spread.units:
        worth = f"{seen.spread.units:.0f} independent ones"
        return f"rows go together in time: {len(rows.outcome)} are worth {worth}, {FEWEST_STRETCHES} are needed"
    return too_rare(measure, rows.outcome)


def _independent(measure: Measure, seen: _Seen) -> Interval | None:
    """The interval if rows were independent, where a better one than Student's is known."""
    rows, n = seen.rows, len(seen.rows.outcome)
    if measure.share:
        return seen.interval(mid_p(seen.value * n, n, rows.level), "mid-p")
    if _by_cells(measure, rows.outcome):
        if len(rows.outcome.classes) == 1:  # the only cell there is has every draw
            return _at_bound(measure, seen)
        return seen.interval(
            percentile(measure.finish(seen.margins(class_of(measure, rows.outcome))), rows.level), "posterior"
        )
    return None


def _of_parts(seen: _Seen) -> Interval:
    rows, drawn = seen.rows, seen.drawn
    assert drawn is not None
    if rows.dependence.order_n is not None and seen.spread.units < len(seen.left_b):
        return seen.refused("rows go together in time, which sums of sizes do not show")
    group_n = rows.dependence.group_n
    independent = len(rows.outcome) if group_n is None else int(group_n.max()) + 1
    low, high = inverted(seen.value, drawn.value_m, drawn.draws_rm, independent, rows.level)
    if not low < high:
        return seen.refused("no row differs from what was stated")
    return seen.interval((low, min(high, 1.0)), "inverted")


def _of_draws(measure: Measure, seen: _Seen) -> Interval:
    """Of what a jackknife does not follow: by resamples of rows or groups, or t with their standard error."""
    rows, drawn = seen.rows, seen.drawn
    assert drawn is not None
    scale = Scale(*measure.bounds)
    if not scale.inside(seen.value) and all(map(math.isfinite, measure.bounds)):
        return _as_share(measure, seen, _at_bound(measure, seen))
    draws_r = drawn.draws_rm[:, 0]
    draws_r = draws_r[np.isfinite(draws_r)]
    if len(draws_r) < 2 or float(np.ptp(draws_r)) == 0:  # noqa: PLR2004
        return seen.refused("all resamples of the rows give the same value")
    if rows.dependence.independent:
        found = seen.interval(bca(seen.value, draws_r, drawn.jackknife_bm[:, 0], rows.level), "bca")
        found = _as_share(measure, seen, found)
        return (
            found if found.least < found.most else seen.refused("hardly any resample of the rows gives another value")
        )
    known = seen.spread
    times = len(seen.left_b) / known.units if rows.dependence.order_n is not None else 1.0
    se = float(draws_r.std(ddof=1)) * math.sqrt(times * rows.dependence.factor)
    scale = scale if scale.inside(seen.value) else Scale(*UNBOUNDED)
    wide = Spread(se=se, freedom=known.freedom, units=known.units)
    return seen.interval(student(seen.value, wide, scale, rows.level), rows.method)


def _as_share(measure: Measure, seen: _Seen, found: Interval) -> Interval:
    """The best recall, never narrower than a share of the class's rows: the threshold is chosen by them, too."""
    rows = seen.rows
    of_class = class_of(measure, rows.outcome)
    if of_class is None or not measure.name.startswith("recall_at_precision"):
        return found
    positives = int(class_rows(rows.outcome)[rows.outcome.classes.index(of_class)])
    return found.hull(seen.interval(pr_ends(seen.value, positives, rows.level), "bca"))


def _at_bound(measure: Measure, seen: _Seen) -> Interval:
    """Where every row (group) says the same: a share of as many rows as the measure rests on.

    In time nothing then shows how far rows go together, and there is none.
    """
    low, high = measure.bounds
    if seen.rows.dependence.order_n is not None and len(seen.rows.outcome) > 1:
        return seen.refused("all rows are alike: nothing shows how far they go together in time")
    if not (math.isfinite(low) and math.isfinite(high)):
        return seen.refused("all rows are alike: nothing shows how far the next ones may lie")
    units = _resting(measure, seen) / seen.rows.dependence.factor
    share = (seen.value - low) / (high - low)
    ends = mid_p(share * units, units, seen.rows.level)
    return seen.interval((low + ends[0] * (high - low), low + ends[1] * (high - low)), "mid-p")


def _resting(measure: Measure, seen: _Seen) -> float:
    """How many independent rows a measure rests on: the groups, and of averages over classes mostly the rarest."""
    rows = seen.rows
    group_n = rows.dependence.group_n
    units = float(len(rows.outcome)) if group_n is None else float(int(group_n.max()) + 1)
    units = min(units, seen.spread.units) if rows.dependence.order_n is not None else units
    if not rows.outcome.classes:
        return units
    count_k = class_rows(rows.outcome)
    count_k = count_k[count_k > 0]
    even = len(count_k) ** 2 / float((1 / count_k).sum()) / len(rows.outcome) * units
    if isinstance(measure.gather, OneCurve | ThresholdCurve):
        return max(1.0, float(count_k.min()) / len(rows.outcome) * units)
    return max(1.0, even) if measure.name in EVEN_METRICS else units
