import numpy as np
import pytest

from bakeoff.core.errors import CandidateError, DataError, NotFoundError
from bakeoff.core.types import Predictions
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import default, find, measures


def test_codes_follow_the_sorted_union_of_classes():
    result = outcome(
        ["b", "z"], Predictions.of_probabilities(np.array([[1.0, 0.0], [0.0, 1.0]]), ("b", "a")), "classification"
    )
    assert result.classes == ("a", "b", "z")
    assert result.truth_n.tolist() == [1, 2]
    assert result.predicted_n.tolist() == [1, 0]
    assert result.probabilities_nk.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("truth", "said", "task", "error", "message"),
    [
        ([], Predictions(values_n=np.array([])), "regression", DataError, "at least one row"),
        ([1.0], Predictions(values_n=np.array([1.0, 2.0])), "regression", CandidateError, "expected 1 predictions"),
        ([1.0], Predictions(values_n=np.array([np.nan])), "regression", CandidateError, "1 NaN or infinite"),
        (
            ["a"],
            Predictions(values_n=np.array(["a"]), probabilities_nk=np.array([[0.7, 0.7]]), classes=("a", "b")),
            "classification",
            CandidateError,
            "sum to 1",
        ),
        (
            ["a"],
            Predictions(values_n=np.array(["a"]), probabilities_nk=np.array([[1.0]]), classes=("a", "b")),
            "classification",
            CandidateError,
            "shape",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(truth, said, task, error, message):
    with pytest.raises(error, match=message):
        outcome(truth, said, task)


def test_metrics_are_found_by_name():
    assert default("classification") == "f1_macro"
    assert default("regression") == "rmse"
    assert not measures("regression")["rmse"].higher_is_better
    with pytest.raises(NotFoundError, match="Did you mean 'f1_macro'"):
        find("f1_marco", "classification")
    with pytest.raises(NotFoundError, match="Known here: token_f1"):
        find("accuracy", "generation")
