import numpy as np
import pytest

from bakeoff.core.errors import ConfigError, NotFoundError
from bakeoff.core.types import Predictions
from bakeoff.metrics.costs import Costs, answered_by_cost
from bakeoff.metrics.custom import digest_own, using
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find, measures
from bakeoff.testing.metrics import MetricConformance

FRAUD = {"fraud": {"legit": 100.0}, "legit": {"fraud": 2.5}}


def test_the_expected_cost_is_the_mean_of_the_matrix():
    truth = np.asarray(["fraud", "fraud", "legit", "legit", "legit"])
    said = np.asarray(["fraud", "legit", "legit", "fraud", "fraud"])
    result = outcome(truth, Predictions(values_n=said), "classification")
    before = digest_own()
    with using(None, FRAUD):
        assert find("expected_cost", "classification")(result) == pytest.approx((100 + 2.5 + 2.5) / 5, abs=1e-12)
        assert not find("expected_cost", "classification").higher_is_better
        assert "expected_cost" in measures("classification")
        assert digest_own() != before
    with pytest.raises(NotFoundError, match=r"decide\.costs"):
        find("expected_cost", "classification")


def test_stars_stand_for_the_classes_that_are_not_named():
    costs = Costs(by_class={"a": {"b": 7.0, "*": 5.0}, "*": {"c": 3.0, "*": 1.0}, "c": {"c": -2.0}})
    assert costs.matrix(("a", "b", "c")).tolist() == [[0, 7, 5], [1, 0, 3], [1, 1, -2]]


@pytest.mark.parametrize(
    ("costs", "told"),
    [
        ({"frued": {"*": 1.0}, "*": {"*": 1.0}}, "Did you mean 'fraud'"),
        ({"fraud": {"legitt": 1.0}, "*": {"*": 1.0}}, "Did you mean 'legit'"),
        ({"fraud": {"legit": 1.0}}, "none for true → predicted legit → fraud"),
        ({"legit": {"legit": 1.0}}, "fraud → legit, legit → fraud"),
    ],
)
def test_what_is_wrong_with_costs_is_told(costs, told):
    with pytest.raises(ConfigError, match=told):
        Costs(by_class=costs).check(("fraud", "legit"), file="bakeoff.toml")
    Costs(by_class=FRAUD).check(("fraud", "legit"), file="bakeoff.toml")


def test_a_class_without_a_cost_leaves_it_undefined():
    result = outcome(["fraud", "new"], Predictions(values_n=np.asarray(["legit", "legit"])), "classification")
    with using(None, FRAUD):
        assert np.isnan(find("expected_cost", "classification")(result))


class TestExpectedCost(MetricConformance):
    @pytest.fixture
    def measure(self):
        with using(None, {"ant": {"*": 5.0}, "*": {"*": 1.0}}):
            return find("expected_cost", "classification")


def test_answers_are_those_of_least_expected_cost():
    shares = np.asarray([[0.02, 0.98], [0.05, 0.95], [0.3, 0.7], [0.9, 0.1]])
    predictions = Predictions.of_probabilities(shares, ("fraud", "legit"))
    said = answered_by_cost(predictions, Costs(by_class=FRAUD).matrix(predictions.classes))
    assert said.values_n.tolist() == ["legit", "fraud", "fraud", "fraud"]
    assert said.probabilities_nk is predictions.probabilities_nk
    plain = Predictions(values_n=np.asarray(["legit"]))
    assert answered_by_cost(plain, [[0.0, 1.0], [1.0, 0.0]]) is plain
    none = answered_by_cost(predictions.take(np.zeros(0, dtype=int)), [[0.0, 1.0], [1.0, 0.0]])
    assert len(none) == 0
