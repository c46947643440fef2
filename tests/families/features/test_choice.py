import math

from bakeoff.families.features.choice import least_loss


def search(loss, *, grid=(0.1, 1.0, 10.0), limits=(1e-4, 1e4)):
    lines, tried = [], []

    def counted(value):
        tried.append(value)
        return loss(value)

    best = least_loss(grid, counted, limits=limits, progress=lines.append, name="penalty")
    return best, tried, lines


def test_the_grid_goes_on_below_while_the_loss_falls():
    best, tried, _ = search(lambda value: abs(math.log10(value) + 3))
    assert math.isclose(best, 1e-3)
    assert math.isclose(min(tried), 1e-4)  # one further, where it rises


def test_the_grid_goes_on_above_while_the_loss_falls():
    best, *_ = search(lambda value: abs(math.log10(value) - 3))
    assert math.isclose(best, 1e3)


def test_a_limit_that_is_reached_is_reported():
    best, tried, lines = search(lambda value: value)
    assert best == min(tried) == 1e-4
    assert "at the limit" in lines[-1]


def test_of_equal_losses_the_larger_number_is_taken_and_the_grid_ends():
    best, tried, _ = search(lambda _: 1.0)
    assert best == 10.0
    assert len(tried) == 4


def test_a_loss_that_rises_twice_ends_the_grid():
    best, tried, _ = search(lambda value: -value, grid=(0.001, 0.01, 0.1, 1.0, 10.0), limits=(1e-4, 10.0))
    assert best == 10.0
    assert min(tried) == 0.1


def test_a_limit_is_tried_once():
    best, tried, _ = search(lambda value: value)
    assert best == 1e-4
    assert [f"{each:g}" for each in tried] == ["10", "1", "0.1", "0.01", "0.001", "0.0001"]
