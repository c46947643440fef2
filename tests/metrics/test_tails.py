"""What may lie beyond the largest value, where the truth is known."""

import numpy as np
import pytest

from bakeoff.metrics.tails import beyond, excess


@pytest.mark.parametrize("index", [0.3, 0.6])
def test_the_room_is_what_a_sample_of_a_pareto_lacks_on_average(index):
    """The mean of what is larger than the largest of n, times how often that is: about M / n / (1 - index)."""
    rng = np.random.default_rng(0)
    n, rooms, lacks = 400, [], []
    for _ in range(300):
        values = rng.random(n) ** -index
        largest = values.max()
        # Of a Pareto tail P(X > x) = x ** (-1 / index); the mean of what lies beyond x is x / (1 - index).
        lacks.append(largest ** (-1 / index) * largest / (1 - index))
        rooms.append(beyond(values))
    assert np.median(rooms) == pytest.approx(np.median(lacks), rel=0.6)
    assert np.mean(rooms) > np.median(lacks)


@pytest.mark.parametrize("index", [0.3, 0.6])
def test_the_excess_is_by_how_much_the_next_largest_are_larger(index):
    """A sum in which everything beyond M counts as M lacks, of a Pareto tail, M / n · index / (1 - index)."""
    rng = np.random.default_rng(1)
    limit = 20.0
    values = rng.random(4_000_000) ** -index
    lacks = np.maximum(values - limit, 0).mean()
    often = (values > limit).mean()
    assert lacks == pytest.approx(often * limit * index / (1 - index), rel=0.1)
    sample = rng.random(400) ** -index
    assert excess(sample) / beyond(sample) == pytest.approx(index, rel=0.3)


def test_corners():
    assert excess(np.full(100, 3.0)) == excess(np.zeros(10)) == 0.0
    assert beyond(np.zeros(10)) == 0.0
    assert beyond(np.append(np.zeros(9), 1.0)) == pytest.approx(1.0)  # one value tells nothing of its tail
    assert beyond(np.array([2.0])) == pytest.approx(20.0)
    assert beyond(np.full(1000, 3.0)) == pytest.approx(0.003)
