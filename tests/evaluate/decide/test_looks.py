import numpy as np
import pytest

from bakeoff.evaluate.decide.looks import fresh_rows, is_worn, look_level, times_rows


def test_all_looks_together_pass_wrongly_at_most_one_time_in_twenty():
    one_sided = (1 - np.asarray([look_level(number) for number in range(1, 20_000)])) / 2
    assert one_sided[0] == pytest.approx(0.025)
    assert one_sided.sum() < 0.05


def test_rows_wear_out():
    assert [is_worn(number) for number in (1, 5, 6)] == [False, False, True]
    assert fresh_rows(1, 1000) == 0
    assert 300 < fresh_rows(2, 1000) < 400  # more beside the old ones
    assert fresh_rows(50, 1000) == 1000  # others instead
    assert times_rows(50) > 3


def test_two_hundred_looks_without_a_gain_hardly_ever_pass():
    """Simulated by the looks' errors alone: normal, and independent or nearly the same."""
    from statistics import NormalDist

    limit = np.asarray([NormalDist().inv_cdf(0.5 + look_level(number) / 2) for number in range(1, 201)])
    rng = np.random.default_rng(0)
    for shared in (0.0, 0.9):
        error = np.sqrt(1 - shared) * rng.normal(size=(4000, 200)) + np.sqrt(shared) * rng.normal(size=(4000, 1))
        assert (error > limit).any(axis=1).mean() <= 0.05
        assert (error > limit[0]).any(axis=1).mean() > 0.1  # without a ledger
