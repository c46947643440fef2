"""Verdicts, gates and champions where the truth is known: the second half of the tables of docs/statistics.md."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from cells import Cell
from numpy.typing import NDArray
from quick import Quick, card_of, cards, predictions

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.evaluate.decide.differences import Comparison
from bakeoff.evaluate.decide.gates import gate_outcomes
from bakeoff.evaluate.decide.looks import look_level
from bakeoff.evaluate.decide.reasons import UNSETTLED
from bakeoff.evaluate.decide.verdict import (
    Beliefs,
    ComparedPairs,
    Verdict,
    best_set_of,
    cheapest,
    decide_by,
    leader,
    takes_over,
    value_of,
)
from bakeoff.evaluate.decide.yardstick import Baselines, Hurdle
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import LEVEL, Interval
from bakeoff.metrics.significance import t_interval
from bakeoff.results.baseline import Baseline

__all__ = ["PARTS"]

Codes = NDArray[np.intp]
MANY_CLASSES = 77
GROUP_ROWS, CORRELATION = 20, 0.5
ROUNDS = 50


# --- equal candidates ---------------------------------------------------------------------------


def equals(
    rng: np.random.Generator, n: int, k: int, shares: NDArray[Any], right: NDArray[Any]
) -> tuple[Codes, dict[str, Codes]]:
    """Truth and k candidates, each right on a class with its own chance; on half of the rows luck is shared."""
    classes, tie = len(shares), 0.5
    truth = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
    tied, shared, wrong = rng.random(n) < tie, rng.random(n), rng.integers(1, classes, n)

    def answers() -> Codes:
        luck = np.where(tied, shared, rng.random(n))
        return np.where(
            luck < right[truth], truth, (truth + np.where(tied, wrong, rng.integers(1, classes, n))) % classes
        )

    return truth, {f"c{at}": answers() for at in range(k)}


def even(classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Shares of even classes, all answered rightly with .8."""
    return np.full(classes, 1 / classes), np.full(classes, 0.8)


def zipf(classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Shares of classes by Zipf's law, some of them easy."""
    shares = 1 / np.arange(1, classes + 1)
    return shares / shares.sum(), np.random.default_rng(3).beta(8, 2.5, classes)


def differ(pairs: Sequence[Comparison]) -> bool:
    """Whether any two are called different, by p or interval."""
    return any(each.low > 0 or each.high < 0 or each.p_holm < 0.05 for each in pairs)


def verdicts() -> Iterator[Cell]:
    """How often any of k equal candidates is called different by p or interval (at most 0.05)."""

    def of(metric: str, kind: Callable[[int], Any], classes: int, n: int, k: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            wrong = 0
            for at in range(simulations):
                truth, answers = equals(np.random.default_rng([2, k, n, at]), n, k, *kind(classes))
                field = Quick(truth, answers, metric=metric, classes=classes, seed=at)
                if not at:
                    field.agrees(classes=classes)
                wrong += differ(field.together(list(combinations(answers, 2))))
            return {"called different": wrong / simulations}

        return run

    cells = [("accuracy", even, 2, 50), ("accuracy", even, 2, 300), ("f1_macro", even, 3, 300)]
    cells += [("f1_macro", even, MANY_CLASSES, 1500), ("f1_macro", zipf, MANY_CLASSES, 400)]
    for metric, kind, classes, n in [*cells, ("f1_macro", zipf, MANY_CLASSES, 1500)]:
        for k in (2, 5, 10):
            name = f"{metric}, {classes} classes, {kind.__name__}, n = {n}, k = {k}"
            yield Cell(part="verdicts", name=name, run=of(metric, kind, classes, n, k))


def together() -> Iterator[Cell]:
    """The same with rows that go together, named: in groups (of 20 rows, or of any size), in time, and by folds.

    Folds: k learners that are equal in expectation, each fitted on as many columns of its own, five folds.
    """

    def of(
        draw: Callable[..., tuple[Codes, dict[str, Codes], Dependence]], *args: Any
    ) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            wrong = 0
            for at in range(simulations):
                truth, answers, dependence = draw(np.random.default_rng([7, *args[:2], at]), *args)
                field = Quick(truth, answers, seed=at, dependence=dependence)
                wrong += differ(field.together(list(combinations(answers, 2))))
            return {"called different": wrong / simulations}

        return run

    for k in (2, 5, 10):
        for groups in (5, 10, 30, 100):
            yield Cell(part="together", name=f"{groups} groups of 20 rows, k = {k}", run=of(grouped, k, groups, 0.0))
        for groups in (10, 30, 100):
            name = f"{groups} groups of uneven size, {GROUP_ROWS * groups} rows, k = {k}"
            yield Cell(part="together", name=name, run=of(grouped, k, groups, 0.7))
        for rho, n in ((0.95, 300), (0.9, 600), (0.9, 1000), (0.9, 5000)):
            name = f"in time, AR {rho:g}, n = {n}, k = {k}".replace("0.", ".")
            yield Cell(part="together", name=name, run=of(in_time, k, n, rho))
        for learner in LEARNERS:
            for n in (100, 300, 1000):
                yield Cell(part="together", name=f"5 folds, {learner}, n = {n}, k = {k}", run=of(folded, k, n, learner))


def grouped(rng: np.random.Generator, k: int, groups: int, uneven: float) -> tuple[Codes, dict[str, Codes], Dependence]:
    """Rows of which those of a group are right or wrong together; the n-th group is as large as n to the -`uneven`."""
    n, size_g = GROUP_ROWS * groups, np.arange(1, groups + 1) ** -uneven
    group = rng.choice(groups, n, p=size_g / size_g.sum()) if uneven else np.arange(n) // GROUP_ROWS
    group = np.unique(group, return_inverse=True)[1]
    truth = rng.integers(0, 2, n)

    def luck() -> NDArray[Any]:
        return CORRELATION**0.5 * rng.normal(size=groups)[group] + (1 - CORRELATION) ** 0.5 * rng.normal(size=n)

    return truth, _right(truth, {f"c{at}": luck() for at in range(k)}), Dependence.of(n, groups_n=group)


def in_time(
    rng: np.random.Generator, k: int, n: int, correlation: float = 0.9
) -> tuple[Codes, dict[str, Codes], Dependence]:
    """Rows in the order of time, right or wrong like the one before."""
    from scipy.signal import lfilter

    steps = rng.normal(size=(k, n + 200)) * (1 - correlation**2) ** 0.5
    luck = lfilter([1.0], [1.0, -correlation], steps)[:, 200:]
    truth = rng.integers(0, 2, n)
    return truth, _right(truth, {f"c{at}": luck[at] for at in range(k)}), Dependence.of(n, time_n=np.arange(n))


def _right(truth: Codes, luck: Mapping[str, NDArray[Any]], accuracy: float = 0.85) -> dict[str, Codes]:
    limit = NormalDist().inv_cdf(accuracy)
    return {name: np.where(each < limit, truth, 1 - truth) for name, each in luck.items()}


def folded(rng: np.random.Generator, k: int, n: int, learner: str) -> tuple[Codes, dict[str, Codes], Dependence]:
    """What k learners, each on its own columns of as much use, say of rows that they were fitted without."""
    folds, columns = 5, 4
    x = rng.normal(size=(k, n, columns))
    signal = x.sum(axis=(0, 2)) / (k * columns) ** 0.5
    truth = (signal + 0.5 * rng.normal(size=n) > 0).astype(np.intp)
    fold, fit = rng.permutation(n) % folds, LEARNERS[learner]
    answers = {f"c{at}": np.zeros(n, dtype=np.intp) for at in range(k)}
    for name, own in zip(answers, x, strict=True):
        for out in range(folds):
            rows = fold == out
            answers[name][rows] = fit(own[~rows], truth[~rows], own[rows])
    return truth, answers, Dependence.of(n, folds=folds)


def _linear(x: NDArray[Any], y: Codes, new: NDArray[Any]) -> Codes:
    weights = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), 2.0 * y - 1, rcond=None)[0]
    return (new @ weights[:-1] + weights[-1] > 0).astype(np.intp)


def _neighbour(x: NDArray[Any], y: Codes, new: NDArray[Any]) -> Codes:
    return y[(-2 * new @ x.T + (x**2).sum(axis=1)).argmin(axis=1)]


LEARNERS = {"linear": _linear, "nearest neighbour": _neighbour}


# --- who wins -----------------------------------------------------------------------------------


def competing(
    rng: np.random.Generator, n: int, accuracies: Mapping[str, float], *, tie: float = 0.5
) -> tuple[Codes, dict[str, Codes]]:
    """Two even classes, and candidates that are right as often as they should; on a share `tie` luck is shared."""
    truth = rng.integers(0, 2, n)
    shared, tied = rng.random(n), rng.random(n) < tie
    return truth, {
        name: np.where(np.where(tied, shared, rng.random(n)) < accuracy, truth, 1 - truth)
        for name, accuracy in accuracies.items()
    }


def standing(seed: list[int], n: int, accuracies: dict[str, float]) -> Quick:
    """How candidates of known strength stand to each other."""
    truth, answers = competing(np.random.default_rng(seed), n, accuracies)
    field = Quick(truth, answers, seed=seed[-1])
    if not seed[-1]:
        field.agrees()
    return field


def decided(field: Quick, *, costs: dict[str, float] | None = None, **config: Any) -> Verdict:
    """The whole verdict; to save time only parts of it are made for most samples, and held against it on the first."""
    return decide_by(field, cards(field, costs), DecideConfig(metric="accuracy", **config), "classification")


def wrong() -> Iterator[Cell]:
    """One candidate is better by a gap, the others cost half (margin 0.02): how often one of these wins.

    For its price, though another measured better; and at all, measuring best by chance included. No rule that names a
    winner and treats candidates alike does better than naming the best as measured, ties by lot ("at least"); ours go
    to the cheapest, here never the better one. With
    `confidence = 0.95` (the last two): how often a worse one wins, and how often anyone does.
    """

    def of(gap: float, k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            by_price = in_all = least = sure = named = 0.0
            accuracies = {"best": 0.85} | {f"cheap{i}": 0.85 - gap for i in range(k - 1)}
            costs = {name: 1.0 if name == "best" else 0.5 for name in accuracies}
            for at in range(simulations):
                field = standing([3, k, n, at], n, accuracies)
                scored, pool = cards(field, costs), list(accuracies)
                best = leader(field.values, scored)
                compared = ComparedPairs.of(field, best, 0.02)
                winner, careful = (
                    cheapest({name: field.values[name] for name in chosen}, scored) if chosen else None
                    for chosen in (best_set_of(compared, pool, confidence) for confidence in (None, 0.95))
                )
                in_all += winner != "best"
                by_price += winner not in {"best", best}
                leaders = [name for name, value in field.values.items() if value == field.values[best]]
                least += 1 - ("best" in leaders) / len(leaders)
                sure += careful not in {None, "best"}
                named += careful is not None
                if not at:
                    assert winner == decided(field, costs=costs, margin=0.02).winner
                    assert careful == decided(field, costs=costs, margin=0.02, confidence=0.95).winner
            shares = {"for its price": by_price, "at all": in_all, "at least": least, "with": sure, "named": named}
            return {name: number / simulations for name, number in shares.items()}

        return run

    for gap in (0.05, 0.03):
        for k in (2, 6):
            for n in (100, 300, 1000):
                yield Cell(part="wrong", name=f"gap {gap:g}, k = {k}, n = {n}", run=of(gap, k, n))


def settled() -> Iterator[Cell]:
    """Candidates of normal true accuracies: how often the winner is worse than the best by more than the margin (0.02).

    Beside it what is said (the mean of `p_worse`), and how often it is among those said to be settled (at most 0.05).
    """

    def of(spread: float, k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            worse_n, said_n = np.zeros(simulations, dtype=bool), np.zeros(simulations)
            for at in range(simulations):
                true = 0.8 + spread * np.random.default_rng([12, k, n, at]).normal(size=k)
                accuracies = {f"c{i}": float(each) for i, each in enumerate(true)}
                field = standing([13, k, n, at], n, accuracies)
                best = max(accuracies, key=lambda name, field=field: field.values[name])
                worse_n[at] = true.max() - accuracies[best] > 0.02
                said_n[at] = Beliefs.of(field, list(accuracies), 0.02).p_worse[best]
                if not at:
                    assert decided(field, margin=0.02).p_worse[best] == said_n[at]
            calm_n = said_n <= UNSETTLED
            return {
                "worse": float(worse_n.mean()),
                "said": float(said_n.mean()),
                "settled": float(calm_n.mean()),
                "worse though settled": float(worse_n[calm_n].mean()) if calm_n.any() else 0.0,
            }

        return run

    for spread in (0.01, 0.03, 0.06):
        for k in (2, 6):
            for n in (100, 300, 1000):
                yield Cell(part="settled", name=f"spread {spread:g}, k = {k}, n = {n}", run=of(spread, k, n))


def winner() -> Iterator[Cell]:
    """Bias of the winner's value as measured, and as told; coverage of its interval."""

    def of(k: int, step: float, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            measured, told, covered = 0.0, 0.0, 0
            accuracies = {f"c{i}": 0.8 - step * i for i in range(k)}
            for at in range(simulations):
                field = standing([4, k, n, at], n, accuracies)
                best = max(accuracies, key=lambda name, field=field: field.values[name])
                value = value_of(best, best, list(accuracies), field, cards(field)[best].metrics["accuracy"])
                if not at:
                    assert value == decided(field).value
                measured += field.values[best] - accuracies[best]
                told += value.value - accuracies[best]
                covered += value.low <= accuracies[best] <= value.high
            return {"measured": measured / simulations, "told": told / simulations, "coverage": covered / simulations}

        return run

    for k, step in ((1, 0.0), (5, 0.0), (10, 0.0), (10, 0.01), (10, 0.03)):
        for n in (200, 500, 2500):
            yield Cell(part="winner", name=f"k = {k}, apart by {step:g}, n = {n}", run=of(k, step, n))


def gates() -> Iterator[Cell]:
    """All are truly 0.78 and the gate asks for 0.80: how often one passes, plainly and with confidence 0.9."""

    def of(k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            passed = {None: 0, 0.9: 0}
            for at in range(simulations):
                field = standing([5, k, n, at], n, {f"c{i}": 0.78 for i in range(k)})
                for confidence in passed:
                    config = DecideConfig(metric="accuracy", gates={"accuracy": Gate(min=0.8, confidence=confidence)})
                    said = [gate_outcomes(name, card, config, among=k) for name, card in cards(field).items()]
                    passed[confidence] += any(gate.passed for (gate,) in said)
            return {"plainly": passed[None] / simulations, "confidence 0.9": passed[0.9] / simulations}

        return run

    for k in (1, 5, 10):
        for n in (500, 2500):
            yield Cell(part="gates", name=f"k = {k}, n = {n}", run=of(k, n))


def gate_looks() -> Iterator[Cell]:
    """200 models, all truly 0.78, held one by one against a gate of 0.80 with confidence 0.9 on one test set.

    How often any passes, with the ledger of looks and without.
    """

    def of(n: int, tie: float) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            config = DecideConfig(metric="accuracy", gates={"accuracy": Gate(min=0.8, confidence=0.9)})
            passed = np.zeros(2)
            for at in range(simulations):
                rng = np.random.default_rng([14, n, at])
                tied, shared = rng.random(n) < tie, rng.random(n) < 0.78
                right = np.where(tied, shared, rng.random((200, n)) < 0.78).mean(axis=1).tolist()
                scored = [card_of(value, n) for value in right]
                for way, looks in enumerate(([None] * 200, range(1, 201))):
                    said = (
                        gate_outcomes("model", card, config, look=look)[0].passed
                        for card, look in zip(scored, looks, strict=True)
                    )
                    passed[way] += any(said)
            return {"without a ledger": passed[0] / simulations, "with": passed[1] / simulations}

        return run

    for n in (500, 2500):
        for tie in (0.5, 0.9):
            yield Cell(part="gate_looks", name=f"n = {n}, {tie:.0%} of rows alike", run=of(n, tie))


def power() -> Iterator[Cell]:
    """One candidate is better by what is said to be shown four times in five: how often it is.

    The difference is the median of what 200 samples of equals say; the share is of all pairs with the better one.
    """

    def of(k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            names = [f"c{i}" for i in range(k)]
            equal = (standing([6, k, n, at], n, dict.fromkeys(names, 0.8)) for at in range(200))
            plain = float(np.median([ComparedPairs.of(field, "c0", 0.01).mdd for field in equal]))
            accuracies = {"best": 0.8 + plain} | dict.fromkeys(names[1:], 0.8)
            shown = 0.0
            for at in range(simulations):
                pairs = ComparedPairs.of(standing([6, k, n, 1000 + at], n, accuracies), "best", 0.01).pairs
                shown += np.mean([pairs[name, "best"].high < 0 for name in names[1:]])
            return {"promised": plain, "shown": shown / simulations}

        return run

    for k in (2, 5, 10):
        for n in (200, 1000):
            yield Cell(part="power", name=f"k = {k}, n = {n}", run=of(k, n))


# --- champions ----------------------------------------------------------------------------------


def rounds() -> Iterator[Cell]:
    """Fifty challengers in a row, each truly worse than the champion it meets by a step: what the champion loses.

    By the default rule, with an anchor; on fresh test rows each time, or on the same ones.
    """

    def of(step: float, n: int, rule: str, *, fresh: bool) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            losses = np.asarray([_rounds(step, n, rule, at, fresh=fresh) for at in range(simulations)])
            beyond = float((losses > 0.01 + 1e-9).mean())
            return {"mean loss": float(losses.mean()), "over the margin": beyond, "largest loss": float(losses.max())}

        return run

    for rule in ("non_inferior", "unless_worse"):
        for step in (0.002, 0.005, 0.011) if rule == "non_inferior" else (0.002,):
            for n in (500, 2500):
                for fresh in (True, False):
                    where = "fresh rows" if fresh else "the same rows"
                    name = f"{rule}, step {step:g}, n = {n}, {where}"
                    yield Cell(part="rounds", name=name, run=of(step, n, rule, fresh=fresh))


def _rounds(
    step: float, n: int, rule: str, seed: int, *, fresh: bool, start: float = 0.85, margin: float = 0.01
) -> float:
    """How much worse the champion is after all rounds; models are alike on 80% of rows."""
    rng = np.random.default_rng([8, n, seed])
    config = DecideConfig(champion=rule, margin=margin)
    tied, shared, own = _luck(rng, n)
    champion, anchor, spent, attempts = (start, own), (start, own), 0, 0
    for _ in range(ROUNDS):
        if fresh:
            tied, shared, _ = _luck(rng, n)
            champion, anchor, spent = (champion[0], rng.random(n)), (anchor[0], rng.random(n)), 0
        challenger = champion[0] - step, rng.random(n)
        models = {"challenger": challenger, "champion": champion, "anchor": anchor}
        right = {name: (np.where(tied, shared, luck) < good).astype(np.intp) for name, (good, luck) in models.items()}
        level = look_level(1 + max(spent, attempts)) if rule != "unless_worse" else LEVEL
        field = Quick(np.ones(n, dtype=np.intp), right, seed=seed, level=level)
        beside = (field.compare("challenger", other) for other in ("champion", "anchor"))
        if all(takes_over(each, config, margin) for each in beside):
            better = field.compare("challenger", "anchor").superior
            champion, anchor, attempts = challenger, challenger if better else anchor, 0 if better else attempts
        else:
            spent, attempts = spent + 1, attempts + 1
    return start - champion[0]


def _luck(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    return rng.random(n) < 0.8, rng.random(n), rng.random(n)


def champions() -> Iterator[Cell]:
    """The best of k, none better than the champion, meets it on the rows by which it was chosen: called superior."""

    def of(k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            plain = paid = 0
            for at in range(simulations):
                truth, answers = competing(
                    np.random.default_rng([9, k, n, at]), n, {f"c{i}": 0.8 for i in range(k + 1)}
                )
                field = Quick(truth, answers, seed=at)
                best = max((f"c{i}" for i in range(k)), key=lambda name: field.values[name])
                rivals = [(f"c{i}", f"c{k}") for i in range(k)]
                plain += field.compare(best, f"c{k}").superior
                paid += field.compare(best, f"c{k}", among=rivals).superior
            return {"without room for the choice": plain / simulations, "with": paid / simulations}

        return run

    for k in (1, 2, 5, 10):
        for n in (200, 1000):
            yield Cell(part="champions", name=f"best of {k}, n = {n}", run=of(k, n))


def looks() -> Iterator[Cell]:
    """200 checks on one test set without any gain: how often any passes `superior`, with the ledger and without."""

    def of(n: int, tie: float) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            plain = paid = 0
            for at in range(simulations):
                names = {f"c{i}": 0.8 for i in range(201)}
                truth, answers = competing(np.random.default_rng([10, n, at]), n, names, tie=tie)
                field = Quick(truth, answers, seed=at)
                field.learn([(name, "c200") for name in list(names)[:-1]])
                number, passed_plain, passed = 1, False, False
                for name in list(names)[:-1]:
                    gain, known = field.values[name] - field.values["c200"], field.spread(name, "c200")
                    ends = [t_interval(gain, known.se, known.freedom, look_level(each))[0] for each in (1, number)]
                    passed_plain |= ends[0] > 0
                    passed |= ends[1] > 0
                    number += ends[1] <= 0
                    if name == "c0":
                        assert ends[0] == field.compare(name, "c200").low
                plain += passed_plain
                paid += passed
            return {"without a ledger": plain / simulations, "with": paid / simulations}

        return run

    for n in (200, 1000):
        for tie in (0.5, 0.9):
            yield Cell(part="looks", name=f"n = {n}, {tie:.0%} of rows alike", run=of(n, tie))


def yardstick() -> Iterator[Cell]:
    """The best candidate is better than the best of three rules by a lead: how often nobody wins, or with a warning.

    The other candidates are as good as the best rule. With a lead of 0 or less, a refusal is right.
    """

    def of(lead: float, k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            refused = warned = silent = 0
            accuracies = {"best": 0.75 + lead} | {f"c{i}": 0.75 + min(lead, 0.0) for i in range(k - 1)}
            rules = {"rule": 0.75, "other": 0.72, "majority": 0.5}
            for at in range(simulations):
                truth, codes = competing(np.random.default_rng([21, k, n, at]), n, accuracies | rules)
                field = Quick(truth, {name: codes[name] for name in accuracies}, seed=at)
                verdict = decide_by(
                    field,
                    cards(field),
                    DecideConfig(metric="accuracy"),
                    "classification",
                    bar=_bar(field, truth, {name: codes[name] for name in rules}, codes, seed=at),
                )
                standing = verdict.yardstick
                assert standing is not None
                refused += not standing.passed
                warned += standing.passed and not standing.distinct
                silent += standing.passed and standing.distinct
            shares = {"nobody wins": refused, "with a warning": warned, "without": silent}
            return {name: number / simulations for name, number in shares.items()}

        return run

    for lead in (-0.03, 0.0, 0.01, 0.03, 0.05, 0.10):
        for k in (1, 5):
            for n in (200, 1000, 5000):
                yield Cell(part="yardstick", name=f"lead {lead:g}, k = {k}, n = {n}", run=of(lead, k, n))


def _bar(field: Quick, truth: Codes, rules: Mapping[str, Codes], codes: Mapping[str, Codes], *, seed: int) -> Hurdle:
    """The rules as the product holds them, with answers as codes."""
    values = Quick(truth, rules, seed=seed).values
    listed = tuple(
        Baseline(name=name, rule=name, metrics={"accuracy": Interval(value=value)}) for name, value in values.items()
    )

    def beside(name: str, of_rules: Mapping[str, Any], level: float) -> Quick:
        return Quick(truth, {each: codes[each] for each in (name, *of_rules)}, seed=seed, level=level)

    answers = {name: predictions(each, 2) for name, each in rules.items()}
    return Hurdle(Baselines(listed=listed, predictions=answers), field.measure, beside)


PARTS = (verdicts, together, wrong, settled, winner, gates, gate_looks, power, champions, looks, rounds, yardstick)
