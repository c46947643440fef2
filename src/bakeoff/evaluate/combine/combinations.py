"""Blends, stacks, cascades, routes and routers of candidates, from what these said of rows; no model runs here.

1. What a combination is made of (weights, thresholds, classes to pass on) is found on validation rows, from
   models that were not fitted on them.
2. The best of each kind and size by validation rows is scored on the test rows, from kept outcomes, and
   priced by what its members cost.
3. It enters as a candidate when no single candidate makes it needless (`bakeoff.evaluate.combine.pareto`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations, pairwise
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.config.sections import CombineConfig
from bakeoff.core.types import Json, Predictions, Task
from bakeoff.data.row_router import RowFeatures
from bakeoff.evaluate.combine.blend import find_mix
from bakeoff.evaluate.combine.cascade import (
    Climb,
    Setting,
    cheapest,
    composed_latency_ms,
    find_route,
    joined,
    mixed_latency_ms,
    settings,
)
from bakeoff.evaluate.combine.ensemble import find_stack
from bakeoff.evaluate.combine.router import (
    ROUTING_S,
    FoldedFeatures,
    Routed,
    RoutedRows,
    RowInputs,
    find_router,
    learnable,
)
from bakeoff.evaluate.score.out_of_fold import in_order
from bakeoff.evaluate.score.prices import CHEAPER, clearly_cheaper
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.combined import Ladder, Mix, common_classes
from bakeoff.metrics.labels import weighs_evenly
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import Measure, find
from bakeoff.results.combination import CurvePoint
from bakeoff.results.scorecard import Scorecard

__all__ = ["Combination", "CurvePoint", "HeldTruth", "Kind", "SingleCandidate", "combine"]

Kind: TypeAlias = Literal["blend", "stack", "cascade", "route", "router"]

Found = TypeVar("Found")

MOST_PARTS = 6
"""Candidates, the best on validation rows, of which combinations are tried."""
NEVER = 1e9
"""A threshold over every score of a router; finite, as JSON knows no other numbers."""
SEARCH_ROWS = 10_000
"""Validation rows that are enough to find thresholds on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleCandidate:
    """A single candidate: its scorecard, what it said of test rows, and what its like said of validation rows.

    `held` are predictions of a model fitted in the same way on training rows alone.
    """

    card: Scorecard
    held: Predictions
    test: Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTruth:
    """What was true of the validation (`held_n`) and test (`test_n`) rows, and the test rows' groups, if any.

    With folds (`fold_n`: that of each test row) both are the same rows, of which no model had seen its own. A
    combination is then judged on each fold with what the rows of the other folds say it should be made of: its members,
    and their weights or thresholds. Routers need the rows' inputs, too.
    """

    held_n: ArrayLike
    test_n: ArrayLike
    groups_n: ArrayLike | None = None
    fold_n: ArrayLike | None = None
    time_n: ArrayLike | None = None
    inputs: RowInputs | None = None

    @property
    def folds(self) -> int:
        """How many folds the answers are of; 0 without."""
        return 0 if self.fold_n is None else len(np.unique(np.asarray(self.fold_n)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A combination that was tried; without a `card` when validation rows already spoke against it.

    `members` stand in the order of `weights`, or of the stages. `shares` are of test rows that reach each
    member, `right` how often each was right on those that it answered. `params` are those of its family, and
    `fold_params` the ones that it was judged with on each fold, made of the `fold_members`: what the rows of a fold say
    has no part in either.
    """

    name: str
    kind: Kind
    members: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fold_params: tuple[Mapping[str, Any], ...] = ()
    fold_members: tuple[tuple[str, ...], ...] = ()
    validation: float | None = None
    shares: tuple[float, ...] = ()
    right: tuple[float | None, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    card: Scorecard | None = None
    entered: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Json]:
        """As a JSON document."""
        return msgspec.json.decode(msgspec.json.encode(self), type=dict[str, Any])

    @classmethod
    def from_json(cls, body: Json) -> "Combination":
        """Read what `to_json` gave."""
        return msgspec.convert(body, cls)


def combine(
    parts: Mapping[str, SingleCandidate],
    rows: HeldTruth,
    config: CombineConfig,
    *,
    task: Task,
    metric: str,
    seed: int,
    resamples: int,
    positive: str | None = None,
    metrics: Sequence[str] = (),
    second_usd: float = 0.0,
) -> list[tuple[Combination, Predictions | None]]:
    """The best blend and cascade of each size, the stack, the best route and router, with their answers on test rows.

    `second_usd` is what a second of the machine costs that serves.
    """
    search = _Search(
        parts, rows, task=task, metric=metric, seed=seed, resamples=resamples, positive=positive, metrics=metrics
    )
    sizes = range(2, min(config.max_members, len(search.names)) + 1)
    found: list[tuple[Combination, Predictions | None]] = []
    if config.blends:
        found += [search.blend(size) for size in sizes]
        found += [search.stack(config.max_members)] if len(search.names) > config.max_members else []
    if config.cascades and task == "classification":
        found += [search.cascade(size) for size in sizes]
        found.append(search.route())
        if rows.inputs is not None:
            found.append(search.router(rows.inputs, ROUTING_S * 1000 * second_usd))
    elif config.cascades:
        reason = "No cascade: predictions of numbers do not say how sure they are."
        found.append((Combination(name="cascade", kind="cascade", reason=reason), None))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice(Generic[Found]):
    """Members, how they answer together, and the metric of that on the rows that it was chosen by."""

    members: tuple[str, ...]
    found: Found
    value: float


@dataclass(frozen=True, slots=True)
class _Turn(Generic[Found]):
    """Test rows, and what is asked about them."""

    choice: _Choice[Found]
    rows: NDArray[np.intp]


class _Search:
    """Tries combinations of the same candidates on the same rows."""

    def __init__(
        self,
        parts: Mapping[str, SingleCandidate],
        rows: HeldTruth,
        *,
        task: Task,
        metric: str,
        seed: int,
        resamples: int,
        positive: str | None,
        metrics: Sequence[str],
    ) -> None:
        self.positive, self.metrics = positive, metrics
        self.task: Task = task
        self.measure: Measure = find(metric, task)
        self.sign = 1.0 if self.measure.higher_is_better else -1.0
        self.rows, self.seed, self.resamples = rows, seed, resamples
        fit = {
            name: part
            for name, part in parts.items()
            if task == "regression"
            or (part.held.probabilities_nk is not None and part.test.probabilities_nk is not None)
        }
        self.parts = fit
        self.names = self._names()
        n = len(np.asarray(rows.held_n))
        picked = np.random.default_rng(seed).permutation(n)[:SEARCH_ROWS]
        self.searched_n: NDArray[np.intp] = np.sort(picked)
        self.test_rows_n = np.arange(len(np.asarray(rows.test_n)))

    def _names(self, among: "NDArray[np.intp] | None" = None) -> list[str]:
        """The best candidates by (some of the) validation rows."""
        value = {name: self._value(part.held, among) for name, part in self.parts.items()}
        return sorted(value, key=lambda name: -self.sign * value[name])[:MOST_PARTS]

    def _turns(
        self, whole: _Choice[Found], again: "Callable[[NDArray[np.intp]], _Choice[Found]]"
    ) -> list[_Turn[Found]]:
        """What is asked about which test rows: `whole` about all, or by folds what other folds' rows say `again`."""
        if self.rows.fold_n is None:
            return [_Turn(whole, self.test_rows_n)]
        fold_n = np.asarray(self.rows.fold_n)
        return [
            _Turn(again(np.flatnonzero(fold_n != fold)), np.flatnonzero(fold_n == fold)) for fold in np.unique(fold_n)
        ]

    def _value(self, held: Predictions, among: "NDArray[np.intp] | None" = None) -> float:
        """The metric on validation rows: of predictions of all, by (some of) them."""
        if among is None:
            return self.measure(outcome(self.rows.held_n, held, self.task))
        return self.measure(outcome(np.asarray(self.rows.held_n)[among], held.take(among), self.task))

    def _best(self, choices: Iterable[_Choice[Found]]) -> _Choice[Found] | None:
        return max(choices, key=lambda each: self.sign * each.value, default=None)

    def _classes(self, members: Sequence[str], *, test: bool) -> tuple[str, ...]:
        said = [self.parts[name].test if test else self.parts[name].held for name in members]
        return common_classes(each.classes for each in said)

    # --- blends -----------------------------------------------------------------------------------

    def blend(self, size: int) -> tuple[Combination, Predictions | None]:
        """The blend of so many members that is best on validation rows."""
        return self._answered("blend", self._blended(size), lambda rows: self._blended(size, rows))

    def stack(self, blended: int) -> tuple[Combination, Predictions | None]:
        """The stack of all that are needed, where these are more than are `blended` at most."""
        chosen = self._stacked()
        if len(chosen.members) <= blended:
            reason = f"Of all candidates it takes {', '.join(chosen.members)}, and blends of so many are tried."
            return Combination(name="stack", kind="stack", reason=reason), None
        return self._answered("stack", chosen, self._stacked)

    def _stacked(self, among: "NDArray[np.intp] | None" = None) -> _Choice[Mix]:
        """The stack by (some of the) validation rows."""
        names = list(self.parts)
        truth_n, held = self._held(names, among)
        even = weighs_evenly(self.measure.name)
        weights = find_stack(truth_n, held, self.task, even=even, seed=self.seed).weights
        members = tuple(name for name, weight in zip(names, weights, strict=True) if weight)
        mix = Mix(weights=tuple(weight for weight in weights if weight))
        answers = mix([self.parts[name].held for name in members], self._classes(members, test=False))
        return _Choice(members=members, found=mix, value=self._value(answers, among))

    def _answered(
        self, kind: Kind, chosen: _Choice[Mix], again: "Callable[[NDArray[np.intp]], _Choice[Mix]]"
    ) -> tuple[Combination, Predictions]:
        """A mix with its answers on the test rows."""
        turns = self._turns(chosen, again)
        said = in_order([turn.rows for turn in turns], [self._mixed(turn) for turn in turns])
        params, shares = _mix_params(chosen.found), (1.0,) * len(chosen.members)
        found = self._scored(kind, chosen.members, params, value=chosen.value, shares=shares, said=said)
        return self._with_folds(found, turns, _mix_params), said

    def _blended(self, size: int, among: "NDArray[np.intp] | None" = None) -> _Choice[Mix]:
        """The best blend by (some of the) validation rows."""
        choices: list[_Choice[Mix]] = []
        names = self.names if among is None else self._names(among)
        for members in combinations(names, size):
            mix = self._mix(members, among)
            held = mix([self.parts[name].held for name in members], self._classes(members, test=False))
            choices.append(_Choice(members=members, found=mix, value=self._value(held, among)))
        best = self._best(choices)
        assert best is not None, "there are at least so many candidates"
        return best

    def _mixed(self, turn: _Turn[Mix]) -> Predictions:
        members = turn.choice.members
        said = [self.parts[name].test.take(turn.rows) for name in members]
        return turn.choice.found(said, self._classes(members, test=True))

    def _mix(self, members: Sequence[str], rows: "NDArray[np.intp] | None" = None) -> Mix:
        truth_n, held = self._held(members, rows)
        return find_mix(truth_n, held, self.task, even=weighs_evenly(self.measure.name), seed=self.seed)

    def _held(
        self, members: Sequence[str], rows: "NDArray[np.intp] | None" = None
    ) -> "tuple[NDArray[Any], list[Predictions]]":
        """What was true of (some of the) validation rows, and what the members said of them."""
        held, truth_n = [self.parts[name].held for name in members], np.asarray(self.rows.held_n)
        return (truth_n, held) if rows is None else (truth_n[rows], [each.take(rows) for each in held])

    def _with_folds(
        self, found: Combination, turns: Sequence[_Turn[Found]], params: Callable[[Found], Mapping[str, Json]]
    ) -> Combination:
        if self.rows.fold_n is None:
            return found
        return replace(
            found,
            fold_params=tuple(params(turn.choice.found) for turn in turns),
            fold_members=tuple(turn.choice.members for turn in turns),
        )

    # --- cascades and routes ------------------------------------------------------------------------

    def _chains(self, size: int, among: "NDArray[np.intp] | None" = None) -> Iterator[tuple[str, ...]]:
        """Members from cheap to dear, each clearly dearer than the one before."""
        cards = {name: part.card for name, part in self.parts.items()}
        for chosen in combinations(self.names if among is None else self._names(among), size):
            chain = tuple(sorted(chosen, key=lambda name: cards[name].cost_usd_per_1k))
            if all(clearly_cheaper(cards[a], cards[b]) for a, b in pairwise(chain)):
                yield chain

    def _searched(
        self, members: Sequence[str], among: "NDArray[np.intp] | None" = None
    ) -> tuple[NDArray[np.str_], list[Predictions], list[float]]:
        rows = self._rows_searched(among)
        truth_n = np.asarray(self.rows.held_n).astype(np.str_)[rows]
        held = [self.parts[name].held.take(rows) for name in members]
        return truth_n, held, [self.parts[name].card.cost_usd_per_1k for name in members]

    def _rows_searched(self, among: "NDArray[np.intp] | None") -> NDArray[np.intp]:
        return self.searched_n if among is None else np.intersect1d(self.searched_n, among, assume_unique=True)

    def cascade(self, size: int) -> tuple[Combination, Predictions | None]:
        """The cascade of so many stages that is best on validation rows."""
        told: list[str] = []
        best = self._cascaded(size, told)
        if best is None:
            return self._none("cascade", size, told)
        return self._climbed("cascade", best, again=lambda rows: self._cascaded(size, [], rows))

    def _cascaded(self, size: int, told: list[str], among: "NDArray[np.intp] | None" = None) -> _Choice[Ladder] | None:
        """The best cascade by (some of the) validation rows; `told` gets why others are none."""
        choices: list[_Choice[Ladder]] = []
        for members in self._chains(size, among):
            first, tried, setting = self._ladder(members, among)
            if setting is None:
                most = max(self.sign * each.value for each in tried) * self.sign if tried else first
                told.append(f"{' to '.join(members)}: {first:.4f} alone, {most:.4f} at best")
            else:
                choices.append(_Choice(members=members, found=setting.ladder, value=setting.value))
        return self._best(choices)

    def _ladder(
        self, members: Sequence[str], among: "NDArray[np.intp] | None" = None
    ) -> tuple[float, list[Setting], Setting | None]:
        """The metric of the first stage alone, every setting tried, and the one to take, if any."""
        truth_n, held, costs = self._searched(members, among)
        first = self.measure(outcome(truth_n, held[0], self.task))
        tried = list(settings(truth_n, held, costs, self.measure))
        return first, tried, cheapest(tried, first, self.measure)

    def route(self) -> tuple[Combination, Predictions | None]:
        """The pair of which the first passes on some of the classes that it says, best on validation rows."""
        told: list[str] = []
        best = self._routed(told)
        if best is None:
            return self._none("route", 2, told)
        return self._climbed("route", best, again=lambda rows: self._routed([], rows))

    def _routed(self, told: list[str], among: "NDArray[np.intp] | None" = None) -> _Choice[Ladder] | None:
        choices: list[_Choice[Ladder]] = []
        for members in self._chains(2, among):
            setting = self._route(members, among)
            if setting is None:
                told.append(f"{members[1]} is better than {members[0]} on all or on none of the classes that it says")
            else:
                choices.append(_Choice(members=members, found=setting.ladder, value=setting.value))
        return self._best(choices)

    def _route(self, members: Sequence[str], among: "NDArray[np.intp] | None" = None) -> Setting | None:
        truth_n, held, costs = self._searched(members, among)
        return find_route(truth_n, held, costs, self.measure)

    def _none(self, kind: Kind, size: int, told: Sequence[str]) -> tuple[Combination, None]:
        why = "; ".join(told) or f"no {size} candidates of which each costs {CHEAPER:g} times as much as the one before"
        name = f"{kind}+{size}"
        where = "validation rows" if self.rows.fold_n is None else "the rows that each fold left out"
        return Combination(name=name, kind=kind, reason=f"Nothing gained on {where} ({why})."), None

    def _climbed(
        self,
        kind: Kind,
        chosen: _Choice[Ladder],
        *,
        again: "Callable[[NDArray[np.intp]], _Choice[Ladder] | None]",
    ) -> tuple[Combination, Predictions]:
        members, ladder = chosen.members, chosen.found
        truth_n = np.asarray(self.rows.test_n).astype(np.str_)
        alone = Ladder(thresholds=(0.0,) * (len(members) - 1))  # where nothing is gained, the first model answers all
        turns = self._turns(chosen, lambda rows: again(rows) or replace(chosen, found=alone))
        climbs = [
            Climb.of(
                turn.choice.found,
                [self.parts[name].test.take(turn.rows) for name in turn.choice.members],
                truth_n[turn.rows],
            )
            for turn in turns
        ]
        climb = joined([turn.rows for turn in turns], climbs)
        curve = self._curve(members, ladder) if kind == "cascade" and len(members) == 2 else ()  # noqa: PLR2004
        params = _ladder_params(ladder)
        found = self._scored(kind, members, params, value=chosen.value, shares=climb.shares, said=climb.predictions)
        found = self._with_folds(found, turns, _ladder_params)
        return replace(found, right=climb.answered_right, curve=curve), climb.predictions

    def _curve(self, members: tuple[str, ...], ladder: Ladder) -> tuple[CurvePoint, ...]:
        """What the thresholds that were tried on validation rows give on test rows: from the one model to both."""
        truth_n, held, costs = self._searched(members)
        test_n = np.asarray(self.rows.test_n).astype(np.str_)
        test = [self.parts[name].test for name in members]
        points: list[CurvePoint] = []
        for setting in settings(truth_n, held, costs, self.measure):
            if setting.ladder.pooled == ladder.pooled:
                climb = Climb.of(setting.ladder, test, test_n)
                cost = sum(cost * share for cost, share in zip(costs, climb.shares, strict=True))
                value = self.measure(outcome(test_n, climb.predictions, self.task))
                points.append(CurvePoint(share=climb.shares[1], cost_usd_per_1k=cost, value=value))
        return tuple(points)

    # --- routers ------------------------------------------------------------------------------------

    def router(self, inputs: RowInputs, routing_usd_per_1k: float) -> tuple[Combination, Predictions | None]:
        """The pair between which the row itself says who is asked, best on validation rows."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the matrices are small: threads would wait for each other
            return self._router(inputs, routing_usd_per_1k)

    def _router(self, inputs: RowInputs, routing_usd_per_1k: float) -> tuple[Combination, Predictions | None]:
        chains = list(self._chains(2))
        if not any(learnable(truth_n, parts) for truth_n, parts, _ in map(self._searched, chains)):
            return self._no_router(chains)
        features = RowFeatures.of(inputs.columns, inputs.validation)
        held_nd, test_nd = features.matrix(inputs.validation), features.matrix(inputs.test)

        def best_of(among: "NDArray[np.intp] | None" = None) -> _Choice[Routed] | None:
            choices: list[_Choice[Routed]] = []
            folded = FoldedFeatures(held_nd[self._rows_searched(among)], self.seed)
            for members in self._chains(2, among):
                truth_n, parts, costs = self._searched(members, among)
                known = RoutedRows(features=folded, truth_n=truth_n, parts=parts, costs=costs)
                rule = find_router(features, known, self.measure)
                if rule is not None:
                    choices.append(_Choice(members=members, found=rule, value=rule.value))
            return self._best(choices)

        chosen = best_of()
        if chosen is None:
            return self._no_router(chains)
        # Where the rows of other folds gain nothing, the first model answers all.
        alone = replace(chosen.found, router=replace(chosen.found.router, threshold=NEVER))
        turns = self._turns(chosen, lambda rows: best_of(rows) or replace(chosen, found=alone))
        answers = [
            turn.choice.found.answers(
                test_nd[turn.rows], [self.parts[name].test.take(turn.rows) for name in turn.choice.members]
            )
            for turn in turns
        ]
        predictions = in_order([turn.rows for turn in turns], [answer for answer, _ in answers])
        share = sum(float(second_n.sum()) for _, second_n in answers) / len(self.test_rows_n)
        routed = self._scored(
            "router",
            chosen.members,
            _router_params(chosen.found),
            value=chosen.value,
            shares=(1 - share, share),
            said=predictions,
            more_usd_per_1k=routing_usd_per_1k,
        )
        return self._with_folds(routed, turns, _router_params), predictions

    def _no_router(self, chains: Sequence[tuple[str, ...]]) -> tuple[Combination, None]:
        reasons = [f"no row says of itself that {' or '.join(chain[1:])} would be right" for chain in chains]
        return self._none("router", 2, reasons)

    # --- scorecards -------------------------------------------------------------------------------

    def _scored(
        self,
        kind: Kind,
        members: tuple[str, ...],
        params: Mapping[str, Json],
        *,
        value: float,
        shares: tuple[float, ...],
        said: Predictions,
        more_usd_per_1k: float = 0.0,
    ) -> Combination:
        scores = score(
            self.rows.test_n,
            said,
            self.task,
            resamples=self.resamples,
            seed=self.seed,
            groups_n=self.rows.groups_n,
            time_n=self.rows.time_n,
            folds=self.rows.folds,
            positive=self.positive,
            named=self.metrics,
        )
        cards = [self.parts[name].card for name in members]
        cost = sum(share * card.cost_usd_per_1k for share, card in zip(shares, cards, strict=True)) + more_usd_per_1k
        spread_usd = [
            share * card.cost_usd_per_1k * card.cost_spread for share, card in zip(shares, cards, strict=True)
        ]
        dear = sum(spread_usd) + more_usd_per_1k
        latency_ms = mixed_latency_ms if kind == "router" else composed_latency_ms
        seconds = sum(share / card.throughput_rows_s for share, card in zip(shares, cards, strict=True))
        card = Scorecard(
            **{each.name: getattr(scores, each.name) for each in fields(scores)},
            latency_ms=latency_ms([card.latency_ms for card in cards], shares),
            throughput_rows_s=1 / seconds,
            train_s=sum(card.train_s for card in cards),
            size_bytes=sum(card.size_bytes for card in cards),
            cost_usd_per_1k=cost,
            cost_spread=dear / cost,
            unreadable=min(1.0, sum(share * card.unreadable for share, card in zip(shares, cards, strict=True))),
        )
        return Combination(
            name="+".join([kind, *members]),
            kind=kind,
            members=members,
            params=params,
            validation=value,
            shares=shares,
            card=card,
        )


def _mix_params(mix: Mix) -> dict[str, Json]:
    return {"weights": list(mix.weights), "biases": dict(mix.biases), "log": mix.log}


def _ladder_params(ladder: Ladder) -> dict[str, Json]:
    return {"thresholds": list(ladder.thresholds), "doubted": list(ladder.doubted), "pooled": ladder.pooled}


def _router_params(routed: Routed) -> dict[str, Json]:
    return {"rule": msgspec.to_builtins(routed.router)}
