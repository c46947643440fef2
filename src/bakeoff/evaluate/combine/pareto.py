"""Whether a combination lies beyond the Pareto front of the single candidates, and so becomes one itself.

It must be needed whichever single candidate one might take instead: each must be distinguishably worse, or
not distinguishably better and at least 1.5 times as dear. So a combination enters that is better than all at
any price, or as good as the best and cheaper. All tests are paired on the test rows; Holm's correction
covers every pair that is looked at, since the best of many combinations is looked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bakeoff.config.sections import DecideConfig
from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.combine.combinations import Combination, HeldTruth, SingleCandidate
from bakeoff.evaluate.decide.gates import gate_outcomes
from bakeoff.evaluate.decide.paired import Comparison, Field
from bakeoff.evaluate.decide.permutation import permutation_p_value
from bakeoff.evaluate.decide.verdict import LEVEL
from bakeoff.evaluate.score.prices import clearly_cheaper
from bakeoff.metrics.registry import default, find
from bakeoff.metrics.significance import holm
from bakeoff.results.scorecard import Scorecard

__all__ = ["enter"]


def enter(
    found: Sequence[tuple[Combination, Predictions | None]],
    parts: Mapping[str, SingleCandidate],
    rows: HeldTruth,
    config: DecideConfig,
    *,
    task: Task,
    seed: int,
) -> list[Combination]:
    """The combinations, each with whether it enters and why (not), in the order given.

    They are judged by size; one of a kind that entered before counts as a single candidate, so that a larger
    one must be worth its price.
    """
    metric = config.metric or default(task)
    singles = _may_win({name: part.card for name, part in parts.items() if metric in part.card.metrics}, config)
    scored = {each.name: (each, said) for each, said in found if each.card is not None and metric in each.card.metrics}
    pairs = _compared(scored, singles, parts, rows, config, metric=metric, task=task, seed=seed)
    cards = {name: part.card for name, part in parts.items()}
    judged: dict[str, Combination] = {}
    for name, card in sorted(_cards(scored).items(), key=lambda item: len(scored[item[0]][0].members)):
        each = scored[name][0]
        before = [other for other, entered in judged.items() if entered.entered and _alike(entered, each)]
        # What cannot be told before it is measured (memory) does not speak against it yet.
        failed = [gate for gate in gate_outcomes(name, card, config) if not gate.passed and gate.value is not None]
        if failed:
            reason = f"It fails the gate {failed[0].metric} ({failed[0].value:.4g}, as composed from its members)."
            judged[name] = replace(each, reason=reason)
            continue
        against = [(pairs[name, other], cards[other]) for other in (*singles, *before)]
        entered, reason = _needed(card, against, config.margin or 0.0)
        judged[name] = replace(each, entered=entered, reason=reason)
        cards[name] = card
    return [judged.get(each.name, each) for each, _ in found]


def _alike(one: Combination, other: Combination) -> bool:
    """Whether both are of one kind; a stack is a blend of many."""
    return one.kind == other.kind or {one.kind, other.kind} == {"blend", "stack"}


def _cards(scored: Mapping[str, tuple[Combination, Predictions | None]]) -> dict[str, Scorecard]:
    return {name: each.card for name, (each, _) in scored.items() if each.card is not None}


def _may_win(cards: Mapping[str, Scorecard], config: DecideConfig) -> list[str]:
    """The singles that pass all gates, or all when none does: those that the verdict chooses from."""
    passing = [
        name
        for name, card in cards.items()
        if all(gate.passed for gate in gate_outcomes(name, card, config, among=len(cards)))
    ]
    return passing or list(cards)


def _compared(
    scored: Mapping[str, tuple[Combination, Predictions | None]],
    singles: Sequence[str],
    parts: Mapping[str, SingleCandidate],
    rows: HeldTruth,
    config: DecideConfig,
    *,
    metric: str,
    task: Task,
    seed: int,
) -> dict[tuple[str, str], Comparison]:
    """Every combination against every single one and against those of its kind."""
    wanted = [(name, other) for name in scored for other in singles] + [
        (name, other)
        for name, (each, _) in scored.items()
        for other, (rival, _) in scored.items()
        if name != other and _alike(each, rival)
    ]
    if not wanted:
        return {}
    said = {name: parts[name].test for name in singles}
    said |= {name: predictions for name, (_, predictions) in scored.items() if predictions is not None}
    measure = find(metric, task)
    field = Field(
        rows.test_n,
        said,
        measure,
        seed=seed,
        resamples=config.resamples,
        groups_n=rows.groups_n,
        time_n=rows.time_n,
        folds=rows.folds,
    )
    found = [field.compare(a, b, margin=config.margin or 0.0) for a, b in wanted]
    if config.test == "permutation":
        found = [
            replace(
                each,
                p_value=permutation_p_value(
                    rows.test_n,
                    said[each.candidate],
                    said[each.versus],
                    measure,
                    seed=seed,
                    permutations=config.resamples,
                    groups_n=rows.groups_n,
                ),
            )
            for each in found
        ]
    # A pair of combinations stands in it both ways round, which is one test.
    once = {frozenset(pair): each.p_value for pair, each in zip(wanted, found, strict=True)}
    adjusted = dict(zip(once, holm(list(once.values())), strict=True))
    return {pair: replace(each, p_holm=adjusted[frozenset(pair)]) for pair, each in zip(wanted, found, strict=True)}


def _needed(card: Scorecard, against: Sequence[tuple[Comparison, Scorecard]], margin: float) -> tuple[bool, str]:
    """Whether none of these makes it needless; and the numbers that say so."""
    told: list[str] = []
    for each, other in sorted(against, key=lambda item: item[0].difference):
        times = card.cost_usd_per_1k / other.cost_usd_per_1k
        price = f"{times:.1f} times the price" if times >= 1 else f"{1 / times:.1f} times cheaper"
        numbers = f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}], p = {each.p_holm:.2g}"
        different = each.p_holm < LEVEL
        if different and each.difference > margin:
            told.append(
                f"better than {each.versus} ({numbers}) at {price}"
                if times >= 1
                else f"better than {each.versus} ({numbers}) and {price}"
            )
        elif not (different and each.difference < 0) and clearly_cheaper(card, other):
            told.append(f"not distinguishably worse than {each.versus} ({numbers}) and {price}")
        else:
            worse = "distinguishably worse" if different and each.difference < 0 else "not distinguishably better"
            return False, f"It is {worse} than {each.versus} ({numbers}) at {price}."
    return True, f"It is {'; '.join(told)}."
