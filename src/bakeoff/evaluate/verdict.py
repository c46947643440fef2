"""The decision over all scorecards: who wins, why, and what every gate said.

1. Gates say who may win. If nobody passes all of them, nobody wins.
2. Of those who may win, the best by the project's metric is compared, paired on the same test rows, with
   every other; Holm's correction covers all pairs, since any pair could have been the one compared. Those
   not distinguishably worse (at 0.05, by more than `margin`) form the best set.
3. Of the best set the cheapest to serve wins, or the one with the highest utility, when the project says what
   that is. Prices come from timings, which are never twice the same: only a factor of 1.5 beyond what the
   timings vary counts as cheaper, and within it the better metric wins; of equals, the one named first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from bakeoff.core.config import DecideConfig
from bakeoff.core.errors import ConfigError, DataError, Problem
from bakeoff.core.project_file import FILE_NAME
from bakeoff.core.types import Json, Predictions, Task
from bakeoff.evaluate import reasons
from bakeoff.evaluate.paired import Comparison, Field, compare
from bakeoff.evaluate.permutation import permutation_p_value
from bakeoff.evaluate.pricing import CHEAPER, clearly_cheaper
from bakeoff.evaluate.scorecard import MEASUREMENTS, Scorecard
from bakeoff.evaluate.utility import Utility
from bakeoff.metrics.own import using
from bakeoff.metrics.registry import default, find, problem_with
from bakeoff.metrics.significance import detectable, holm

__all__ = [
    "CHEAPER",
    "LEVEL",
    "Comparison",
    "GateOutcome",
    "Verdict",
    "check_gates",
    "compare",
    "decide",
    "gate_outcomes",
    "takes_over",
]

LEVEL = 0.05
"""The chance of calling any two equal candidates different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """One gate for one candidate; `value` is None when the metric is undefined, which fails the gate."""

    candidate: str
    metric: str
    value: float | None
    min: float | None
    max: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision. `best` leads by the metric among those that may win (or among all, if none may).

    `comparisons` hold every other candidate against `best`; `pareto` names those that no other beats in
    both metric and price; `mdd` is the least true difference that these test rows show four times in five
    (None with a single candidate). `utilities` are by candidate, None where undefined; empty when the project
    has no `utility`.
    """

    winner: str | None
    reason: str
    metric: str
    gates: tuple[GateOutcome, ...]
    best: str | None
    best_set: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    pareto: tuple[str, ...]
    mdd: float | None
    utility: str | None = None
    utilities: Mapping[str, float | None] = field(default_factory=dict[str, float | None])

    def to_json(self) -> dict[str, Json]:
        """As a JSON document."""
        return msgspec.json.decode(msgspec.json.encode(self), type=dict[str, Any])


def check_gates(config: DecideConfig, task: Task, *, file: str = FILE_NAME) -> None:
    """See that the metric, all gates and what the utility is made of exist, before anything is trained.

    Raises:
        ConfigError: all unknown names at once, with suggestions.
    """
    asked: list[tuple[str, str]] = [("decide.metric", config.metric)] if config.metric is not None else []
    asked += [("decide.metrics", name) for name in config.metrics]
    asked += [(f"decide.gates.{name}", name) for name in config.gates]
    wrong: list[Problem] = []
    if config.utility is not None:
        try:
            names = Utility(config.utility).names
        except ValueError as error:
            expected, _, found = str(error).removeprefix("expected ").partition(", found ")
            wrong.append(Problem(file=file, key="decide.utility", expected=expected, found=found))
        else:
            asked += [("decide.utility", name) for name in names]
    with using(None, config.costs):
        for key, name in asked:
            more = () if key in {"decide.metric", "decide.metrics"} else MEASUREMENTS
            problem = problem_with(name, task, file=file, key=key, more=more)
            wrong += [] if problem is None else [problem]
    if wrong:
        raise ConfigError(tuple(wrong))


def decide(
    scorecards: Mapping[str, Scorecard],
    outcomes: Mapping[str, tuple[ArrayLike, Predictions]],
    config: DecideConfig,
    task: Task,
    seed: int,
    *,
    groups_n: ArrayLike | None = None,
) -> Verdict:
    """Decide between candidates from their scorecards and their kept outcomes on the same test rows."""
    check_gates(config, task)
    metric = config.metric or default(task)
    gates = tuple(outcome for name, card in scorecards.items() for outcome in gate_outcomes(name, card, config))
    scored = {name: card for name, card in scorecards.items() if metric in card.metrics}
    if not scored:
        return _nobody(metric, gates, reasons.unscored(metric, list(scorecards)))
    failed = {gate.candidate for gate in gates if not gate.passed}
    may_win = [name for name in scored if name not in failed]
    pool = may_win or list(scored)
    sign = 1.0 if find(metric, task).higher_is_better else -1.0
    best = max(pool, key=lambda name: sign * scored[name].metrics[metric].value)
    comparisons, mdd = _compared(
        scored, outcomes, best=best, config=config, metric=metric, task=task, seed=seed, groups_n=groups_n
    )
    worse = {each.candidate for each in comparisons if each.p_holm < LEVEL and each.difference < 0}
    best_set = tuple(name for name in pool if name not in worse)
    utilities = {} if config.utility is None else _utilities(config.utility, scored)
    winner = None
    if may_win:
        value = {name: sign * scored[name].metrics[metric].value for name in scored if name in best_set}
        winner = _most_useful(value, utilities) if utilities else _cheapest(value, scored)
    verdict = Verdict(
        winner=winner,
        reason="",
        metric=metric,
        gates=gates,
        best=best,
        best_set=best_set,
        comparisons=comparisons,
        pareto=_pareto(scored, metric, sign),
        mdd=mdd,
        utility=config.utility,
        utilities=utilities,
    )
    return replace(verdict, reason=reasons.told(verdict, scored))


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


def gate_outcomes(name: str, card: Scorecard, config: DecideConfig) -> tuple[GateOutcome, ...]:
    """What every gate says of one candidate."""
    return tuple(_gate(name, card, config, metric) for metric in config.gates)


def _gate(name: str, card: Scorecard, config: DecideConfig, metric: str) -> GateOutcome:
    gate, value = config.gates[metric], card.number(metric)
    low = -math.inf if gate.min is None else gate.min
    high = math.inf if gate.max is None else gate.max
    return GateOutcome(
        candidate=name,
        metric=metric,
        value=value,
        min=gate.min,
        max=gate.max,
        passed=value is not None and low <= value <= high,
    )


def _compared(
    scored: Mapping[str, Scorecard],
    outcomes: Mapping[str, tuple[ArrayLike, Predictions]],
    *,
    best: str,
    config: DecideConfig,
    metric: str,
    task: Task,
    seed: int,
    groups_n: ArrayLike | None,
) -> tuple[tuple[Comparison, ...], float | None]:
    """Every other candidate against the best, with Holm's correction over all pairs; and the mdd."""
    if len(scored) == 1:
        return (), None
    truth_n = np.asarray(outcomes[best][0])
    for name in scored:
        if not np.array_equal(truth_n, np.asarray(outcomes[name][0])):
            raise DataError(
                f"expected outcomes of {name!r} and {best!r} on the same test rows; received different truth"
            )
    measure = find(metric, task)
    field = Field(
        truth_n,
        {name: outcomes[name][1] for name in scored},
        measure,
        seed=seed,
        resamples=config.resamples,
        groups_n=groups_n,
    )

    def swapped(pair: Comparison) -> float:
        return permutation_p_value(
            truth_n,
            outcomes[pair.candidate][1],
            outcomes[pair.versus][1],
            measure,
            seed=seed,
            permutations=config.resamples,
            groups_n=groups_n,
        )

    # The best stands second in its pairs, so that differences are the other's advantage.
    order = [name for name in scored if name != best] + [best]
    pairs = [field.compare(a, b, margin=config.margin) for a, b in combinations(order, 2)]
    if config.test == "permutation":
        pairs = [replace(pair, p_value=swapped(pair)) for pair in pairs]
    adjusted = holm([pair.p_value for pair in pairs])
    against = [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True) if pair.versus == best]
    mdd = detectable(float(np.median([field.spread(pair.candidate, best).se for pair in against])))
    return tuple(against), mdd


def _cheapest(value: Mapping[str, float], scored: Mapping[str, Scorecard]) -> str:
    """The best by the metric of those than which no other of the best set is clearly cheaper."""

    def beaten(name: str) -> bool:
        return any(clearly_cheaper(scored[other], scored[name]) for other in value)

    return max((name for name in value if not beaten(name)), key=lambda name: value[name])


def _utilities(expression: str, scored: Mapping[str, Scorecard]) -> dict[str, float | None]:
    worth = Utility(expression)
    return {name: worth(card.number) for name, card in scored.items()}


def _most_useful(value: Mapping[str, float], utilities: Mapping[str, float | None]) -> str | None:
    """Of the best set, the one with the highest utility; None when it is undefined for all of them."""
    known = {name: (worth, value[name]) for name in value if (worth := utilities[name]) is not None}
    return max(known, key=lambda name: known[name], default=None)


def takes_over(found: Comparison, config: DecideConfig) -> bool:
    """Whether a challenger that stands so against the champion takes its place, by `[decide] champion`."""
    if config.champion == "superior":
        return found.superior
    return found.non_inferior(config.margin) if config.champion == "non_inferior" else not found.inferior(config.margin)


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
