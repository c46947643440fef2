"""What feedback may join: the right rows are set aside, and a relation that changed is not taken for poison."""

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, Schema
from bakeoff.loop.label_screening import _Screen, _without_wrong, screened

TEXT = Schema(
    columns=(
        Column(name="review", kind="text", dtype="String"),
        Column(name="liked", kind="categorical", dtype="String"),
    ),
    target="liked",
    inputs=("review",),
)
GOOD, BAD = ("good", "great", "lovely", "sick"), ("bad", "awful", "dull")


def reviews(rows, seed, *, flip=0.0, turned=()):
    """Reviews that a word tells; of `turned` words the label is the other one. And which labels were flipped."""
    rng = np.random.default_rng(seed)
    words = rng.choice(GOOD + BAD, rows)
    yes_n = np.isin(words, GOOD) ^ np.isin(words, turned)
    flipped_n = rng.random(rows) < flip
    texts = [f"{word} film {rng.integers(10**9)} with a plot" for word in words]
    labels = np.where(yes_n ^ flipped_n, "yes", "no")
    return pl.DataFrame({"review": texts, "liked": labels}), flipped_n


def screen(own, fed, schema=TEXT, task="classification", tmp_path=None):
    rows, losses = screened(own, fed, schema, task, seed=0, cache=tmp_path)
    assert len(rows) + sum(loss.count for loss in losses) == len(fed)
    return rows, {loss.reason: loss.count for loss in losses}


def test_flipped_labels_of_clear_texts_are_set_aside(tmp_path):
    own, _ = reviews(800, 1)
    fed, flipped_n = reviews(1000, 2, flip=0.05)
    rows, losses = screen(own, fed, tmp_path=tmp_path)
    assert set(losses) == {"feedback with a label that looks wrong"}
    flipped = set(fed.filter(pl.Series(flipped_n))["review"])
    gone = set(fed["review"]) - set(rows["review"])
    assert len(gone & flipped) >= 0.9 * len(flipped)
    assert len(gone - flipped) <= 0.2 * len(gone)


@pytest.mark.parametrize(
    ("own_flip", "fed_flip", "turned"),
    [
        (0.0, 0.0, ()),  # all is well
        (0.05, 0.05, ()),  # the project's own labels are as they are
        (0.0, 0.0, ("sick",)),  # the relation changed, and its contemporaries agree
    ],
)
def test_labels_that_their_contemporaries_bear_out_stay(own_flip, fed_flip, turned, tmp_path):
    own, _ = reviews(800, 1, flip=own_flip)
    fed, _ = reviews(1000, 2, flip=fed_flip, turned=turned)
    rows, losses = screen(own, fed, tmp_path=tmp_path)
    assert len(rows) >= 0.99 * len(fed), losses


def test_a_label_of_probability_0_stays_where_no_threshold_holds():
    """Four are too few to call them wrong: none of the thresholds is right often enough."""
    fed, _ = reviews(300, 2)
    given_n = np.full(300, 0.9)
    given_n[:4] = 0.0
    answers = iter([np.full(800, 0.9), given_n])
    own, _ = reviews(800, 1)
    screen = _without_wrong(_Screen(rows=fed), own, TEXT, lambda _: next(answers))
    assert (len(screen.rows), screen.losses) == (300, ())


NUMBERS = Schema(
    columns=(
        Column(name="x", kind="numeric", dtype="Int64"),
        Column(name="at", kind="datetime", dtype="Int64"),
        Column(name="y", kind="numeric", dtype="Float64"),
    ),
    target="y",
    inputs=("x",),
    time="at",
)


def numbers(*rows):
    return pl.DataFrame(rows, schema={"x": pl.Int64, "at": pl.Int64, "y": pl.Float64}, orient="row")


def test_repeats_and_contradictions_are_set_aside_by_the_votes_of_all_rows(tmp_path):
    own = numbers((1, 1, 1.0), (2, 1, 2.0), (3, 1, 3.0))
    fed = numbers(
        (1, 1, 1.0),  # repeats
        (2, 1, 7.0),  # one against one of the project's own
        (3, 1, 8.0),  # two against one: the second repeats, and the first is one of two votes
        (4, 1, 4.0),
        (4, 1, 4.5),  # one against one
        (4, 2, 9.0),  # at another time
        (5, 1, 5.0),
    )
    rows, losses = screen(own, fed, NUMBERS, "regression", tmp_path)
    assert rows.rows() == [(4, 2, 9.0), (5, 1, 5.0)]
    assert losses == {"feedback that repeats a row": 1, "feedback that contradicts other rows": 4}


def test_where_the_projects_own_rows_repeat_and_contradict_feedback_may_too(tmp_path):
    own = numbers((1, 1, 1.0), (1, 1, 1.0), (1, 1, 2.0), (2, 1, 2.0))
    fed = numbers((1, 1, 1.0), (1, 1, 2.0), (2, 1, 9.0))
    rows, losses = screen(own, fed, NUMBERS, "regression", tmp_path)
    assert (len(rows), losses) == (3, {})
