import numpy as np
import pytest

from bakeoff.core.errors import DataError
from bakeoff.metrics.judges import prediction_powered, rogan_gladen

SIMULATIONS = 1500


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
    assert 0.93 <= covered / SIMULATIONS <= 0.97
    assert width <= 1.01 * alone
    if hit >= 0.9:
        assert width < 0.87 * alone


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
    assert 0.93 <= covered / SIMULATIONS <= 0.985
    assert np.mean(values) == pytest.approx(share, abs=0.02)


def test_what_tells_nothing_is_refused():
    with pytest.raises(DataError, match="better than chance"):
        rogan_gladen(5, 10, true_positives=5, positives=10, true_negatives=5, negatives=10)
    with pytest.raises(DataError, match="at least one"):
        rogan_gladen(0, 0, true_positives=1, positives=1, true_negatives=1, negatives=1)
    perfect = rogan_gladen(10, 10, true_positives=2, positives=2, true_negatives=2, negatives=2)
    assert perfect.value == 1.0
    assert 0.0 <= perfect.low < perfect.high <= 1.0
