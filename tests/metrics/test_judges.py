import numpy as np
import pytest

from bakeoff.core.errors import DataError, UsageError
from bakeoff.metrics.judges import label_budget, prediction_powered, rogan_gladen

SIMULATIONS = 400


def votes(rng, truth, *, hit, refuse):
    """What a judge of this sensitivity and specificity says."""
    return np.where(truth, rng.random(len(truth)) < hit, rng.random(len(truth)) > refuse).astype(float)


@pytest.mark.parametrize(("hit", "refuse"), [(0.9, 0.8), (0.55, 0.5), (1.0, 1.0)])
def test_prediction_powered_intervals_cover_and_are_no_longer_than_those_of_people(hit, refuse):
    covered, width, alone = 0, 0.0, 0.0
    for i in range(SIMULATIONS):
        rng = np.random.default_rng([1, i])
        good, more = rng.random(150) < 0.7, rng.random(1500) < 0.7
        judged = votes(rng, good, hit=hit, refuse=refuse), votes(rng, more, hit=hit, refuse=refuse)
        found = prediction_powered(good, *judged)
        covered += found.low <= 0.7 <= found.high
        width += found.high - found.low
        alone += 2 * 1.96 * good.std(ddof=1) / np.sqrt(150)
    assert 0.92 <= covered / SIMULATIONS <= 0.98
    assert width <= 1.01 * alone
    if hit >= 0.9:
        assert width < 0.87 * alone


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_few_labels_and_extreme_shares_are_covered_or_refused(share):
    covered, simulations = 0, 300
    for i in range(simulations):
        rng = np.random.default_rng([3, i])
        good, more = rng.random(20) < share, rng.random(500) < share
        judged, judged_more = votes(rng, good, hit=0.85, refuse=0.85), votes(rng, more, hit=0.85, refuse=0.85)
        found = prediction_powered(good, judged, judged_more)
        assert 0 <= found.low < found.high <= 1
        covered += found.low <= share <= found.high
        assert prediction_powered(good[:19], judged[:19], judged_more).low is None
    assert covered / simulations >= 0.95 - 0.02 - 2 * np.sqrt(0.05 * 0.95 / simulations)


def test_answers_of_a_user_go_together():
    covered, alone, simulations = 0, 0, 300
    for i in range(simulations):
        rng = np.random.default_rng([4, i])
        user = np.repeat(np.arange(45), 10)
        good = rng.random(450) < np.clip(0.7 + 0.3 * np.where(rng.random(45) < 0.5, 1, -1), 0, 1)[user]
        judged = votes(rng, good, hit=0.9, refuse=0.9)
        parts = good[:150], judged[:150], judged[150:]
        found = prediction_powered(*parts, groups_m=user[:150], groups_n=user[150:])
        covered += found.low <= 0.7 <= found.high
        plain = prediction_powered(*parts)
        alone += plain.low <= 0.7 <= plain.high
    assert alone / simulations < 0.85
    assert covered / simulations >= 0.92


def test_scores_of_many_values_and_ties():
    rng = np.random.default_rng(5)
    human, more = rng.random(60), rng.random(900)
    found = prediction_powered(human, np.clip(human + 0.1 * rng.normal(size=60), 0, 1), more)
    assert found.method == "t"
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.1
    tied = prediction_powered([0, 0.5, 1, 1] * 10, [0, 0.5, 1, 0.5] * 10, [0, 0.5, 1, 1] * 100)
    assert tied.method == "posterior"
    assert tied.low < tied.value < tied.high


def test_a_budget_of_labels_gives_the_width_that_was_asked_for():
    rng = np.random.default_rng(6)
    pilot = rng.random(400) < 0.8
    judge = votes(rng, pilot, hit=0.93, refuse=0.9)
    plan = label_budget(pilot, judge, within=0.03, label_cost=1.0, vote_cost=0.002)
    assert plan.labels < 0.7 * plan.labels_alone
    assert plan.cost < plan.cost_alone
    good, more = rng.random(plan.labels) < 0.8, rng.random(plan.votes) < 0.8
    found = prediction_powered(good, votes(rng, good, hit=0.93, refuse=0.9), votes(rng, more, hit=0.93, refuse=0.9))
    assert (found.high - found.low) / 2 == pytest.approx(0.03, abs=0.006)
    useless = label_budget(pilot, np.ones(400), within=0.03, vote_cost=0.002)
    assert (useless.labels, useless.votes) == (useless.labels_alone, 0)
    with pytest.raises(UsageError, match="width"):
        label_budget(pilot, judge, within=0)
    with pytest.raises(DataError, match="at least 20"):
        label_budget(pilot[:5], judge[:5], within=0.1)


def test_a_biased_judge_is_corrected():
    rng = np.random.default_rng(0)
    good, more = rng.random(400) < 0.5, rng.random(5000) < 0.5
    judged, judged_more = votes(rng, good, hit=0.95, refuse=0.6), votes(rng, more, hit=0.95, refuse=0.6)
    assert judged_more.mean() > 0.6
    assert prediction_powered(good, judged, judged_more).value == pytest.approx(0.5, abs=0.06)
    constant = prediction_powered(good, np.ones(400), np.ones(5000))
    assert constant.value == pytest.approx(good.mean())
    with pytest.raises(DataError, match="in pairs"):
        prediction_powered([1, 0], [1], [1, 1])


@pytest.mark.parametrize(("share", "hit", "refuse"), [(0.7, 0.9, 0.8), (0.3, 0.75, 0.85), (0.97, 0.9, 0.9)])
def test_rogan_gladen_intervals_cover(share, hit, refuse):
    covered, values = 0, []
    for i in range(SIMULATIONS):
        rng = np.random.default_rng([2, i])
        accepted = rng.binomial(500, share * hit + (1 - share) * (1 - refuse))
        counts = {"true_positives": rng.binomial(80, hit), "true_negatives": rng.binomial(80, refuse)}
        found = rogan_gladen(int(accepted), 500, positives=80, negatives=80, **counts)
        covered += found.low <= share <= found.high
        values.append(found.value)
    assert 0.92 <= covered / SIMULATIONS <= 0.99
    assert np.mean(values) == pytest.approx(share, abs=0.02)


def test_what_tells_nothing_is_refused():
    with pytest.raises(DataError, match="better than chance"):
        rogan_gladen(5, 10, true_positives=5, positives=10, true_negatives=5, negatives=10)
    with pytest.raises(DataError, match="at least one"):
        rogan_gladen(0, 0, true_positives=1, positives=1, true_negatives=1, negatives=1)
    perfect = rogan_gladen(10, 10, true_positives=2, positives=2, true_negatives=2, negatives=2)
    assert perfect.value == 1.0
    assert 0.0 <= perfect.low < perfect.high <= 1.0
