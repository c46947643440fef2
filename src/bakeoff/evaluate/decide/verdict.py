"""The decision over all scorecards: who wins, why, and what every gate said.

1. Gates say who may win. If nobody passes all of them, nobody wins.
2. All pairs are compared on the same test rows, with intervals that hold all at once. Those *shown* to be worse than
   none that may win by more than the margin form the best set, the best by the metric among them. Evidence that is
   missing never helps a worse model: with few rows the best set holds the best alone. With `[decide] confidence` the
   best, too, must be shown so, or nobody wins.
3. Of the best set the cheapest to serve wins, or the one with the highest utility, when the project says what
   that is. Prices come from timings, which are never twice the same: only a factor of 1.5 beyond what the
   timings vary counts as cheaper, and within it the better metric wins; of equals, the one named first. Those that
   measure best alike are told apart in the same way.
4. Nobody wins who is not better than the best baseline (`bakeoff.evaluate.decide.yardstick`).
5. The winner is told at its value without what being the best of several flatters it by.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.config.sections import DecideConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.decide import reasons
from bakeoff.evaluate.decide.expected_loss import Worth, expected_worth
from bakeoff.evaluate.decide.gates import gate_outcomes
from bakeoff.evaluate.decide.margin import margin_of
from bakeoff.evaluate.decide.paired import Comparison, Field, compare
from bakeoff.evaluate.decide.permutation import permutation_p_value
from bakeoff.evaluate.decide.settings import check_gates
from bakeoff.evaluate.decide.utility import Utility
from bakeoff.evaluate.decide.yardstick import Baselines, Hurdle
from bakeoff.evaluate.score.prices import CHEAPER, clearly_cheaper
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.registry import default, find
from bakeoff.metrics.significance import detectable, holm
from bakeoff.results.scorecard import Scorecard
from bakeoff.results.verdict import GateOutcome, Verdict

__all__ = [
    "CHEAPER",
    "LEVEL",
    "Comparison",
    "Field",
    "GateOutcome",
    "Verdict",
    "compare",
    "decide",
    "decide_by",
    "gate_outcomes",
    "takes_over",
]

LEVEL = 0.05
"""The chance of calling any two equal candidates different."""
ROUNDING = 1e-12


def decide(
    scorecards: Mapping[str, Scorecard],
    outcomes: Mapping[str, tuple[ArrayLike, Predictions]],
    config: DecideConfig,
    task: Task,
    seed: int,
    *,
    groups_n: ArrayLike | None = None,
    time_n: ArrayLike | None = None,
    folds: int = 0,
    again: Mapping[str, Sequence[Predictions]] = MappingProxyType({}),
    look: int | None = None,
    baselines: Baselines | None = None,
) -> Verdict:
    """Decide between candidates from their scorecards and their outcomes on the same test rows.

    `again`: what models of folds that were dealt anew said of these rows. `look`: gates with a confidence are held
    against these rows for the n-th time. `baselines`, if there are any, must be beaten.
    """
    check_gates(config, task)
    metric = config.metric or default(task)
    scored = {name: card for name, card in scorecards.items() if metric in card.metrics}
    if not scored:
        return _nobody(metric, _gates(scorecards, config, look), reasons.unscored(metric, list(scorecards)))
    truth_n = _same_truth(scored, outcomes)

    def put_beside(predictions: Mapping[str, Predictions], measure: Measure, level: float) -> Field:
        return Field(
            truth_n,
            predictions,
            measure,
            seed=seed,
            resamples=config.resamples,
            groups_n=groups_n,
            time_n=time_n,
            folds=folds,
            again=again,
            level=level,
        )

    def field_of(measure: Measure) -> Field:
        return put_beside({name: outcomes[name][1] for name in scored}, measure, 1 - LEVEL)

    measure = find(metric, task)
    field = field_of(measure)

    def beside_rules(name: str, rules: Mapping[str, Predictions], level: float) -> Field:
        return put_beside({name: outcomes[name][1], **rules}, measure, level)

    bar = None if baselines is None else Hurdle(baselines, measure, beside_rules)
    swapped = _swapped(field.measure, outcomes, config, seed=seed, groups_n=groups_n)
    return decide_by(field, scorecards, config, task, field_of=field_of, p_values=swapped, look=look, bar=bar)


def decide_by(
    field: Field,
    scorecards: Mapping[str, Scorecard],
    config: DecideConfig,
    task: Task,
    *,
    field_of: Callable[[Measure], Field] | None = None,
    p_values: Callable[[Sequence[Comparison]], Sequence[float]] | None = None,
    look: int | None = None,
    bar: Hurdle | None = None,
) -> Verdict:
    """Decide between candidates from their scorecards and how they stand to each other by the deciding metric.

    `field_of` gives how they stand by the other metrics of a `utility`, `p_values` those of pairs by another test.
    `bar` is what the winner must be better than.
    """
    metric, gates = field.measure.name, _gates(scorecards, config, look)
    scored = {name: card for name, card in scorecards.items() if metric in card.metrics}
    failed = {gate.candidate for gate in gates if not gate.passed}
    passed = [name for name in scored if name not in failed]
    may_win = [name for name in passed if bar is None or bar.passed_by(scored[name].metrics[metric].value)]
    pool = may_win or passed or list(scored)
    value = {name: field.sign * scored[name].metrics[metric].value for name in pool}
    worth = (
        None if config.utility is None or field_of is None else _worth(config.utility, scored, field, task, field_of)
    )
    utilities = {} if worth is None else worth.expected
    best = leader(value, scored, utilities)
    compared = ComparedPairs.of(field, best, margin_of(config, field.measure, scored[best].metrics[metric].value))
    best_set = best_set_of(compared, pool, config.confidence)
    winner = None
    if may_win and best_set:
        value = {name: value[name] for name in best_set}
        winner = _most_useful(value, utilities) if utilities else cheapest(value, scored)
    beliefs = Beliefs.of(field, pool, compared.margin)
    verdict = Verdict(
        winner=winner,
        reason="",
        metric=metric,
        gates=gates,
        best=best,
        best_set=best_set,
        comparisons=compared.against_best(p_values),
        pareto=_pareto(scored, metric, field.sign),
        mdd=compared.mdd,
        utility=config.utility,
        utilities=utilities,
        utility_p_best={} if worth is None else worth.p_best,
        utility_loss={} if worth is None else worth.loss,
        margin=compared.margin,
        rows_for_margin=compared.rows_for_margin,
        value=None if winner is None else value_of(winner, best, pool, field, scored[winner].metrics[metric]),
        p_best=beliefs.p_best,
        expected_loss=beliefs.expected_loss,
        p_worse=beliefs.p_worse,
        rows_to_settle=compared.rows_to_settle(winner or best, pool),
        confidence=config.confidence,
    )
    if bar is not None:
        verdict = _beside(verdict, bar, pool, field, scored)
    return replace(verdict, reason=reasons.told(verdict, scored, field.unknown))


def _beside(
    verdict: Verdict, bar: Hurdle, pool: Sequence[str], field: Field, scored: Mapping[str, Scorecard]
) -> Verdict:
    """The verdict with how its winner (or its best) stands to the baselines; who does not beat the best, wins not."""
    assert verdict.best is not None
    name = verdict.winner or verdict.best
    measured = scored[name].metrics[verdict.metric]
    corrected = verdict.value or value_of(name, verdict.best, pool, field, measured)
    pairs = bar.compared(name, among=len(pool))
    yardstick = bar.yardstick(name, measured=measured.value, corrected=corrected.value, pairs=pairs)
    wins = yardstick is None or yardstick.passed
    return replace(
        verdict,
        winner=verdict.winner if wins else None,
        value=verdict.value if wins else None,
        yardstick=yardstick,
        beside_baselines=pairs,
    )


def best_set_of(compared: "ComparedPairs", pool: Sequence[str], confidence: float | None) -> tuple[str, ...]:
    """The best and those shown to be within the margin of all; with a confidence, only those that are shown with it."""
    if confidence is None:
        return tuple(name for name in pool if name == compared.best or compared.shown(name, pool))
    # Only one end of each interval is asked for.
    sure = ComparedPairs.of(compared.field, compared.best, compared.margin, level=2 * confidence - 1)
    return tuple(name for name in pool if sure.shown(name, pool))


def _gates(scorecards: Mapping[str, Scorecard], config: DecideConfig, look: int | None) -> tuple[GateOutcome, ...]:
    return tuple(
        outcome
        for name, card in scorecards.items()
        for outcome in gate_outcomes(name, card, config, among=len(scorecards), look=look)
    )


def _swapped(
    measure: Measure,
    outcomes: Mapping[str, tuple[ArrayLike, Predictions]],
    config: DecideConfig,
    *,
    seed: int,
    groups_n: ArrayLike | None,
) -> Callable[[Sequence[Comparison]], Sequence[float]] | None:
    """P-values by swapping answers, where the project asks for them."""
    if config.test != "permutation":
        return None

    def p_values(pairs: Sequence[Comparison]) -> Sequence[float]:
        return [
            permutation_p_value(
                outcomes[pair.versus][0],
                outcomes[pair.candidate][1],
                outcomes[pair.versus][1],
                measure,
                seed=seed,
                permutations=config.resamples,
                groups_n=groups_n,
            )
            for pair in pairs
        ]

    return p_values


def _same_truth(scored: Mapping[str, Scorecard], outcomes: Mapping[str, tuple[ArrayLike, Predictions]]) -> NDArray[Any]:
    """The truth that all candidates were scored on.

    Raises:
        DataError: they were scored on different rows.
    """
    first = next(iter(scored))
    truth_n = np.asarray(outcomes[first][0])
    for name in scored:
        if not np.array_equal(truth_n, np.asarray(outcomes[name][0])):
            raise DataError(
                f"expected outcomes of {name!r} and {first!r} on the same test rows; received different truth"
            )
    return truth_n


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPairs:
    """All pairs of a field, together; the best stands second in its pairs, so that differences are the others'."""

    field: Field
    best: str
    margin: float
    level: float
    pairs: Mapping[tuple[str, str], Comparison]

    @classmethod
    def of(cls, field: Field, best: str, margin: float, *, level: float | None = None) -> "ComparedPairs":
        order = [name for name in field.values if name != best] + [best]
        wanted = list(combinations(order, 2))
        pairs = dict(zip(wanted, field.together(wanted, level=level), strict=True)) if wanted else {}
        level = field.pair_level(wanted, level) if wanted else field.level
        return cls(field=field, best=best, margin=margin, level=level, pairs=pairs)

    def shown(self, name: str, pool: Sequence[str]) -> bool:
        """Whether it is shown to be worse than none of these by more than the margin."""
        return all(self._low(name, other) > -self.margin for other in pool if other != name)

    def rows_to_settle(self, name: str, pool: Sequence[str]) -> int | None:
        """How many test rows would show this four times in five, if the candidates lie as measured."""
        shares = [] if self.field.unknown else [self._share_of_rows(name, other) for other in pool if other != name]
        return math.ceil(self.field.rows / min(shares)) if shares and min(shares) > 0 else None

    def _share_of_rows(self, name: str, other: str) -> float:
        """The share that there is of the rows to show that one is worse than the other by less than the margin."""
        spread = self.field.spread(name, other)
        lead = self.field.sign * (self.field.values[name] - self.field.values[other]) + self.margin
        size = detectable(spread.se, level=self.level, freedom=spread.freedom)
        return math.inf if not size else (max(lead, 0.0) / size) ** 2

    def _low(self, name: str, other: str) -> float:
        pair = self.pairs.get((name, other))
        return -self.pairs[other, name].high if pair is None else pair.low

    def against_best(
        self, p_values: Callable[[Sequence[Comparison]], Sequence[float]] | None
    ) -> tuple[Comparison, ...]:
        """Every other candidate against the best, with p-values corrected for all pairs, since any could be these."""
        pairs = list(self.pairs.values())
        if p_values is not None:
            swapped = p_values(pairs)
            adjusted = zip(pairs, swapped, holm(swapped), strict=True)
            pairs = [replace(pair, p_value=p_value, p_holm=p_holm) for pair, p_value, p_holm in adjusted]
        return tuple(
            replace(pair, q=self.field.share_of_rows(pair, margin=self.margin, level=self.level))
            for pair in pairs
            if pair.versus == self.best
        )

    @property
    def mdd(self) -> float | None:
        """The least true difference from the best that the intervals show four times in five."""
        sizes = [self.field.detectable(a, b, level=self.level) for a, b in self.pairs if b == self.best]
        return float(np.median(sizes)) if sizes and not self.field.unknown else None

    @property
    def rows_for_margin(self) -> int | None:
        """How many test rows show four times in five that a candidate as good as the best is within the margin."""
        spreads = [self.field.spread(a, b) for a, b in self.pairs if b == self.best]
        if not spreads or not self.margin or self.field.unknown:
            return None
        size = float(np.median([detectable(each.se, level=self.level, freedom=each.freedom) for each in spreads]))
        return math.ceil(self.field.rows * (size / self.margin) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beliefs:
    """By draws of the candidates' true values: how probably each is the best, and how much worse it may be."""

    p_best: Mapping[str, float]
    expected_loss: Mapping[str, float]
    p_worse: Mapping[str, float]

    @classmethod
    def of(cls, field: Field, pool: Sequence[str], margin: float) -> "Beliefs":
        drawn = field.draws()
        drawn_rk = field.sign * np.column_stack([drawn[name] for name in pool])
        lost_rk = drawn_rk.max(axis=1)[:, None] - drawn_rk
        # What rounding alone sets apart is equal.
        nothing = ROUNDING * max(1.0, float(np.abs(drawn_rk).max()))
        best_rk = lost_rk <= nothing

        def by_name(numbers_k: NDArray[np.float64]) -> dict[str, float]:
            return dict(zip(pool, numbers_k.tolist(), strict=True))

        return cls(
            p_best=by_name((best_rk / best_rk.sum(axis=1, keepdims=True)).mean(axis=0)),
            expected_loss=by_name(lost_rk.mean(axis=0)),
            p_worse=by_name((lost_rk > margin + nothing).mean(axis=0)),
        )


def value_of(winner: str, best: str, pool: Sequence[str], field: Field, found: Interval) -> Interval:
    """The winner's value without what its choice flatters it by; the end of its interval on that side is moved as far.

    The other end stays: how much of a lead is luck is not known, and of candidates that truly lie apart it is none.
    A winner that was chosen for its price is not flattered.
    """
    if winner != best or len(pool) == 1 or field.rows == 1:
        return found
    if found.low is None or found.high is None:  # nor is it known how much its choice adds
        return found
    low, high = field.measure.bounds
    by = min(max(field.chosen(pool), low), high) - found.value
    return replace(
        found,
        value=found.value + by,
        low=max(low, found.low + min(by, 0.0)),
        high=min(high, found.high + max(by, 0.0)),
    )


def _nobody(metric: str, gates: tuple[GateOutcome, ...], reason: str) -> Verdict:
    return Verdict(
        winner=None,
        reason=reason,
        metric=metric,
        gates=gates,
        best=None,
        best_set=(),
        comparisons=(),
        pareto=(),
        mdd=None,
    )


def leader(
    value: Mapping[str, float], scored: Mapping[str, Scorecard], utilities: Mapping[str, float | None] | None = None
) -> str:
    """The best by the metric; of those that measure best alike, the most useful or the cheapest, then the first named.

    What rounding alone sets apart is alike.
    """
    highest = max(value.values())
    alike = {name: highest for name, each in value.items() if highest - each <= ROUNDING * max(1.0, abs(highest))}
    return (_most_useful(alike, utilities) if utilities else None) or cheapest(alike, scored)


def cheapest(value: Mapping[str, float], scored: Mapping[str, Scorecard]) -> str:
    """The best by the metric of those than which no other of the best set is clearly cheaper."""

    def beaten(name: str) -> bool:
        return any(clearly_cheaper(scored[other], scored[name]) for other in value)

    return max((name for name in value if not beaten(name)), key=lambda name: value[name])


def _worth(
    expression: str,
    scored: Mapping[str, Scorecard],
    field: Field,
    task: Task,
    field_of: Callable[[Measure], Field],
) -> Worth:
    """The expected utilities; a metric that some candidate lacks is taken as measured."""
    utility = Utility(expression)
    everywhere = [name for name in utility.names if all(name in card.metrics for card in scored.values())]
    fields = {name: field if name == field.measure.name else field_of(find(name, task)) for name in everywhere}
    return expected_worth(utility, scored, fields)


def _most_useful(value: Mapping[str, float], utilities: Mapping[str, float | None]) -> str | None:
    """Of the best set, the one with the highest utility; None when it is undefined for all of them."""
    known = {name: (worth, value[name]) for name in value if (worth := utilities[name]) is not None}
    return max(known, key=lambda name: known[name], default=None)


def takes_over(found: Comparison, config: DecideConfig, margin: float) -> bool:
    """Whether a challenger that stands so against the champion takes its place, by `[decide] champion`.

    `margin` is the project's, or the metric's default one. Two that answer every row alike lose nothing by it.
    """
    if found.alike and config.champion != "superior":
        return True
    if config.champion == "superior":
        return found.superior
    return found.non_inferior(margin) if config.champion == "non_inferior" else not found.inferior(margin)


def _pareto(scored: Mapping[str, Scorecard], metric: str, sign: float) -> tuple[str, ...]:
    """Those for which no other is at least as good and as cheap, and better in one of the two; cheapest first."""
    point = {name: (-sign * card.metrics[metric].value, card.cost_usd_per_1k) for name, card in scored.items()}

    def beaten(name: str) -> bool:
        return any(
            all(theirs <= ours for theirs, ours in zip(point[other], point[name], strict=True))
            and point[other] != point[name]
            for other in point
        )

    return tuple(sorted((name for name in point if not beaten(name)), key=lambda name: point[name][1]))
