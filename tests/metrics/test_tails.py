"""What may lie beyond the largest value, where the truth is known."""

import numpy as np
import pytest

from bakeoff.metrics.tails import beyond


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


def test_corners():
    assert beyond(np.zeros(10)) == 0.0
    assert beyond(np.append(np.zeros(9), 1.0)) == pytest.approx(1.0)  # one value tells nothing of its tail
    assert beyond(np.array([2.0])) == pytest.approx(20.0)
    assert beyond(np.full(1000, 3.0)) == pytest.approx(0.003)
