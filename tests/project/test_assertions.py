"""What a team's own tests assert of its models: shown to be no worse, or a failure that says by how much."""

import random

import pytest

from bakeoff.project.assertions import assert_not_worse

TRUTH = [0, 1] * 200


def guesses(right: float, seed: int, truth=TRUTH) -> list[int]:
    draw = random.Random(seed)
    return [value if draw.random() < right else 1 - value for value in truth]


def test_a_better_candidate_and_the_same_one_pass():
    champion = guesses(0.8, 1)
    assert_not_worse(TRUTH, guesses(0.95, 2), champion, metric="accuracy")
    assert_not_worse(TRUTH, champion, champion, metric="accuracy")


def test_a_worse_candidate_fails_with_the_interval():
    with pytest.raises(
        AssertionError, match=r"not worse than the champion by more than 0\.01 in accuracy; it is better by -0\.\d+ to"
    ):
        assert_not_worse(TRUTH, guesses(0.7, 2), guesses(0.9, 1), metric="accuracy")


def test_too_few_rows_show_nothing():
    truth = TRUTH[:30]
    for candidate, champion in ((0.8, 0.8), (0.85, 0.8), (0.8, 0.85)):
        with pytest.raises(AssertionError):
            assert_not_worse(
                truth, guesses(candidate, 4, truth), guesses(champion, 3, truth), metric="accuracy", margin=0.01
            )
    assert_not_worse(truth, guesses(0.85, 4, truth), guesses(0.85, 3, truth), metric="accuracy", margin=0.9)


def test_two_rows_show_nothing_even_of_equal_answers():
    with pytest.raises(AssertionError, match=r"better by -1 to \+1"):
        assert_not_worse([0, 1], [0, 1], [0, 1], metric="accuracy")


def test_less_is_better_where_the_metric_says_so():
    truth = [float(number) for number in range(200)]
    draw = random.Random(5)
    near, far = ([value + draw.gauss(0, spread) for value in truth] for spread in (0.1, 3.0))
    assert_not_worse(truth, near, far, metric="rmse")
    with pytest.raises(AssertionError, match="rmse"):
        assert_not_worse(truth, far, near, metric="rmse")


def test_the_plugin_has_it_as_a_fixture(pytester):
    pytester.makepyfile(
        """
        def test_it(assert_not_worse):
            assert_not_worse([0, 1] * 50, [0, 1] * 50, [0] * 100, metric="accuracy")

        def test_not(assert_not_worse):
            assert_not_worse([0, 1] * 50, [0] * 100, [0, 1] * 50, metric="accuracy")
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1, failed=1)
