import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.evaluate.advise.learning_curves import growth, learning

SIZES = [100, 200, 400, 800, 1600]


@pytest.mark.parametrize("power", [0.75, 1.0, 1.25])
def test_what_grows_by_a_power_and_a_constant_is_carried_on(power):
    found = growth(SIZES, [0.5 + 0.001 * n**power for n in SIZES], 10_000)
    true = 0.5 + 0.001 * 10_000**power
    assert found.low < true < found.high
    assert found.value == pytest.approx(true, rel=0.6)


def test_one_sample_says_little_and_what_is_steady_stays():
    once = growth([100], [1.0], 10_000)
    assert once.low <= 1
    assert 100 < once.value < once.high
    assert growth([100], [1.0], 10_000, steady=True).value == pytest.approx(1.0)
    steady = growth(SIZES, [5.3, 5.2, 1.3, 6.4, 5.6], 10_000, steady=True)
    assert steady.value < 10
    assert steady.low < 5 < steady.high


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6), st.integers(1, 10**7))
def test_growth_is_a_positive_value_within_its_interval(values, at):
    found = growth([50 * 2**step for step in range(len(values))], values, at)
    assert 0 < found.low <= found.value <= found.high


def test_a_curve_that_levels_off_is_carried_on_within_its_interval():
    truth = lambda n: 0.82 - 1.5 * n**-0.5  # noqa: E731
    found, more = learning(SIZES, [truth(n) for n in SIZES], 0.02, 10_000, higher_is_better=True)
    assert found.low < truth(10_000) < found.high
    assert 0 < more < 0.02


def test_errors_fall_where_less_is_better():
    found, more = learning(SIZES, [0.3 + 2 * n**-0.5 for n in SIZES], 0.01, 10_000, higher_is_better=False)
    assert found.low < 0.32 < found.high
    assert found.value < 0.35
    assert more < 0


def test_a_flat_curve_stays_flat_and_a_falling_one_is_taken_for_noise():
    for values in ([0.7] * 5, [0.72, 0.71, 0.7, 0.69, 0.7]):
        found, more = learning(SIZES, values, 0.02, 10_000, higher_is_better=True)
        assert found.value == pytest.approx(0.7, abs=0.01)
        assert more == pytest.approx(0)
        assert found.high - found.low >= 0.07
