import numpy as np
import polars as pl

from bakeoff.core.types import Predictions
from bakeoff.report.error_analysis import LONGEST_TEXT, agreement, reliability, worth_reading

TRUTH = np.asarray(["a", "b", "a", "b"])


def said(*first):
    shares = np.asarray(first)
    return TRUTH, Predictions.of_probabilities(np.column_stack([shares, 1 - shares]), ("a", "b"))


def table(**more):
    return pl.DataFrame({"text": ["one", "two", "three", "four"], "label": TRUTH, **more})


def test_rows_with_different_answers_come_before_those_that_differ_in_confidence_alone():
    rows = worth_reading(
        {"x": said(0.99, 0.4, 0.6, 0.1), "y": said(0.51, 0.6, 0.6, 0.1)}, "classification", table(), "label"
    )
    assert [row.number for row in rows] == [2, 1]  # where they say the same with the same confidence, there is nothing
    assert rows[0].inputs == {"text": "two"}
    assert [(answer.said, answer.right) for answer in rows[0].answers] == [("b", True), ("a", False)]


def test_candidates_may_know_different_classes_or_give_no_probabilities():
    other = (TRUTH, Predictions(values_n=np.asarray(["c", "b", "a", "b"])))
    (first, *_) = worth_reading({"x": said(0.9, 0.1, 0.9, 0.1), "y": other}, "classification", table(), "label")
    assert (first.number, first.answers[1].said, first.answers[1].probability) == (1, "c", None)


def test_of_a_single_candidate_the_surest_mistakes_are_shown_first():
    rows = worth_reading({"x": said(0.3, 0.9, 0.9, 0.1)}, "classification", table(), "label")
    assert [row.number for row in rows] == [2, 1]


def test_numbers_disagree_by_their_distance():
    truth = np.asarray([1.0, 2.0])
    outcomes = {
        "x": (truth, Predictions(values_n=np.asarray([1.0, 2.0]))),
        "y": (truth, Predictions(values_n=np.asarray([1.1, 5.0]))),
    }
    rows = worth_reading(outcomes, "regression", pl.DataFrame({"size": [3, None], "price": truth}), "price")
    assert [row.number for row in rows] == [2, 1]
    assert rows[0].inputs == {"size": "–"}
    assert rows[0].answers[1].right is None


def test_long_texts_are_cut_and_say_by_how_much():
    outcomes = {"x": said(0.3, 0.9, 0.9, 0.1)}
    (row, *_) = worth_reading(outcomes, "classification", table(long=["ä" * 10_000] * 4), "label")
    assert row.inputs["long"].endswith(f"… ({10_000 - LONGEST_TEXT:,} more characters)")


def test_agreement_counts_every_row_once():
    found = agreement({"x": said(0.9, 0.9, 0.9, 0.1), "y": said(0.9, 0.9, 0.1, 0.1)}, "classification")
    assert found is not None
    assert (found.all_right, found.all_wrong, found.mixed) == (2, 1, 1)
    assert agreement({"x": said(0.9, 0.9, 0.9, 0.1)}, "classification") is None


def test_reliability_bins_hold_all_rows_and_find_overconfidence():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b"], 1000)
    shares = np.column_stack([np.full(1000, 0.95), np.full(1000, 0.05)])
    bins = reliability((truth, Predictions.of_probabilities(shares, ("a", "b"))), "classification")
    assert sum(each.rows for each in bins) == 1000
    assert all(each.high < each.predicted for each in bins)
    assert reliability((truth, Predictions(values_n=truth)), "classification") == ()
