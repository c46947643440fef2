from dataclasses import replace

import numpy as np
import pytest

from bakeoff.config.sections import DecideConfig
from bakeoff.evaluate.decide.paired import compare
from bakeoff.loop.champion import Contest, Standing, _anchored, told
from bakeoff.results.verdict import Comparison
from bakeoff.testing.worlds import candidates


def beside(accuracy, *, n=3000):
    """A model of this accuracy beside an anchor that is right in 0.85."""
    truth, said = candidates(np.random.default_rng(0), n, {"ours": accuracy, "anchor": 0.85}, tie=0.9)
    found = compare(truth, said["ours"], said["anchor"], "accuracy", seed=0)
    return Standing(champion="films/1", comparison=found, rows=n)


@pytest.mark.parametrize(
    ("accuracy", "promoted", "raises"), [(0.95, True, True), (0.85, True, False), (0.8, False, False)]
)
@pytest.mark.parametrize("rule", ["unless_worse", "non_inferior"])
def test_small_steps_down_do_not_add_up(rule, accuracy, promoted, raises):
    """Not worse than the last champion is not enough: a model is held to the anchor too."""
    contest = Contest(promoted=True, reason="not worse than films/9", champion="films/9", raises=False)
    after = _anchored(contest, beside(accuracy), DecideConfig(champion=rule), 0.02)
    assert (after.promoted, after.raises) == (promoted, raises)
    assert after.reason.startswith("not worse than films/9; anchor: ")
    assert "films/1" in after.reason


def test_an_anchor_that_is_gone_gives_way():
    contest = Contest(promoted=True, reason="better than films/9", champion="films/9", raises=True)
    gone = Standing(champion="films/1", why="cannot be read any more", gone=True)
    unseen = Standing(champion="films/1", why="has seen every test row: nothing to compare on")
    assert _anchored(contest, gone, DecideConfig(), 0.0).raises
    after = _anchored(contest, unseen, DecideConfig(), 0.0)
    assert not after.promoted  # how far steps down add up, nobody knows
    assert not after.raises
    assert "nothing to compare on" in after.reason
    better = replace(contest, comparison=beside(0.95).comparison)
    assert _anchored(better, unseen, DecideConfig(), 0.0).promoted


@pytest.mark.parametrize(("low", "words"), [(0.24, "distinguishably better than"), (-0.005, "worse by less than 0.01")])
def test_what_is_surely_better_is_called_so(low, words):
    comparison = Comparison(
        candidate="b", versus="a", metric="f1_macro", difference=0.3, low=low, high=0.36, p_value=0.0, p_holm=0.0
    )
    standing = Standing(champion="films/1", comparison=comparison, rows=499)
    assert told(standing, DecideConfig(champion="non_inferior"), margin=0.01, holds=True).startswith(words)
