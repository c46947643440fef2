"""Fifty challengers in a row, each a little worse than the champion that it meets: what the champion loses in all."""

import numpy as np
import pytest

from bakeoff.config.sections import DecideConfig
from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.looks import look_level
from bakeoff.evaluate.decide.paired import compare
from bakeoff.evaluate.decide.verdict import takes_over

ROUNDS, ROWS, START, MARGIN = 50, 1500, 0.85, 0.01


def play(step, seed, *, anchored=True):
    """The champion's true accuracy after all rounds; each is on fresh rows, of which models share 80% of the luck."""
    rng = np.random.default_rng([seed, 17])
    config = DecideConfig(champion="non_inferior", margin=MARGIN)
    champion = anchor = START
    attempt = promotions = 0
    for _ in range(ROUNDS):
        tied, shared = rng.random(ROWS) < 0.8, rng.random(ROWS)

        def answers(accuracy, tied=tied, shared=shared):
            right = np.where(tied, shared, rng.random(ROWS)) < accuracy
            return Predictions(values_n=np.where(right, "yes", "no"))

        challenger = champion - step
        ours, truth, level = answers(challenger), np.full(ROWS, "yes"), look_level(1 + attempt)
        others = {champion, anchor} if anchored else {champion}
        beside = {
            other: compare(truth, ours, answers(other), "accuracy", seed=0, level=level, task="classification")
            for other in others
        }
        if all(takes_over(each, config, MARGIN) for each in beside.values()):
            promotions += 1
            champion = challenger
            if anchored and beside[anchor].superior:
                anchor, attempt = challenger, 0
        else:
            attempt += anchored
    return champion, promotions


@pytest.mark.parametrize("step", [0.0005, 0.002, 0.005])
def test_fifty_worse_challengers_never_take_more_than_the_margin(step):
    for seed in range(4):
        champion, _ = play(step, seed)
        assert champion >= START - MARGIN - 1e-9


def test_without_an_anchor_the_champion_sinks():
    """What the anchor is for: each step down is within the margin, and they add up beyond it."""
    lost = [START - play(0.002, seed, anchored=False)[0] for seed in range(2)]
    assert max(lost) > MARGIN


def test_equals_still_take_over():
    assert sum(play(0.0, seed)[1] for seed in range(2)) > 0
