"""Estimates from rows that were drawn with known probabilities."""

import numpy as np
import pytest

from bakeoff.core.errors import UsageError
from bakeoff.core.types import Predictions
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.metrics.sampled import sampled_estimate

CLASSES = ("a", "b", "c")


def scored(truth, said):
    return outcome(truth, Predictions(values_n=np.asarray(said), classes=CLASSES), "classification")


def population(seed, rows=2000):
    """Truth and answers, and how unsure the model is: wrong more often where it is unsure."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, rows, p=[0.6, 0.3, 0.1])
    unsure = rng.random(rows)
    wrong = rng.random(rows) < 0.05 + 0.6 * unsure**2
    said = np.where(wrong, rng.choice(CLASSES, rows), truth)
    return truth, said, unsure


def drawn(seed, budget=200, random=80):
    """Rows as the queue picks them: the least sure for certain, the random ones for all others."""
    truth, said, unsure = population(seed)
    rng = np.random.default_rng(seed + 10_000)
    certain = np.argsort(-unsure)[: budget - random]
    chance = np.setdiff1d(rng.permutation(len(truth))[:random], certain)
    rows = np.concatenate([certain, chance])
    share = len(chance) / (len(truth) - len(certain))
    return truth, said, rows, np.repeat([1.0, share], [len(certain), len(chance)])


@pytest.mark.parametrize("name", ["accuracy", "f1_macro"])
def test_no_bias_and_intervals_that_cover(name):
    measure = find(name, "classification")
    expected = np.mean([measure(scored(*population(seed)[:2])) for seed in range(50)])
    off, plain, covered = [], [], 0
    for seed in range(300):
        truth, said, rows, shares = drawn(seed)
        picked = scored(truth[rows], said[rows])
        found = sampled_estimate(measure, picked, shares)
        off.append(found.value - measure(scored(truth, said)))
        plain.append(measure(picked) - measure(scored(truth, said)))
        covered += found.least <= expected <= found.most
    # The plain value of picked rows is far too low; 3.5 standard errors are allowed for the weighted one's mean, and
    # for F1, which is a ratio, a bias of 0.005.
    assert np.mean(plain) < -0.1
    assert abs(np.mean(off)) < 3.5 * np.std(off) / 300**0.5 + (0.005 if name == "f1_macro" else 0)
    assert covered / 300 >= 0.915


def test_a_simple_random_sample_has_the_textbook_variance():
    """Share p of m of N rows: (1 - m/N) p(1 - p)/(m - 1) for these N, and p(1 - p)/N for the N themselves."""
    truth = ["a"] * 50
    said = ["a"] * 40 + ["b"] * 10
    from bakeoff.metrics.sampled import _linear, _variance

    pi = np.full(50, 50 / 400)
    measure = find("accuracy", "classification")
    value, slope = _linear(measure, scored(truth, said), 1 / pi)
    assert value == pytest.approx(0.8)
    assert _variance(slope, pi) == pytest.approx((1 - 50 / 400) * 0.16 / 49 + 0.16 / 400, rel=1e-3)


def test_all_rows_known_is_the_ordinary_interval():
    truth, said, _ = population(1, 400)
    found = sampled_estimate(find("accuracy", "classification"), scored(truth, said), np.ones(400))
    from bakeoff.metrics.intervals import mid_p

    right = int((truth == said).sum())
    assert (found.low, found.high) == pytest.approx(mid_p(right, 400), abs=1e-4)


def test_numbers():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=300)
    rows = outcome(truth, Predictions(values_n=truth + 1.0 * rng.choice([-1, 1], 300) * rng.random(300)), "regression")
    found = sampled_estimate(find("mae", "regression"), rows, np.full(300, 0.1))
    assert found.value == pytest.approx(0.5, abs=0.06)
    assert found.least < 0.5 < found.most


@pytest.mark.parametrize(
    ("metric", "shares", "message"),
    [
        ("roc_auc", [0.5, 0.5], "a metric of predicted"),
        ("accuracy", [0.5, 0.0], "over 0"),
        ("accuracy", [1], "each of"),
    ],
)
def test_what_cannot_be_weighed(metric, shares, message):
    with pytest.raises(UsageError, match=message):
        sampled_estimate(find(metric, "classification"), scored(["a", "b"], ["a", "a"]), shares)


def test_few_random_rows_that_are_alike_say_little():
    rows, shares = scored(["a"] * 8, ["b"] * 6 + ["a"] * 2), [1.0] * 6 + [2 / 114] * 2
    found = sampled_estimate(find("accuracy", "classification"), rows, shares)
    assert found.value == pytest.approx(0.95)
    assert found.low < 0.35
    assert (
        sampled_estimate(find("f1_macro", "classification"), rows, shares).reason == "2 rows drawn at random, 10 needed"
    )
