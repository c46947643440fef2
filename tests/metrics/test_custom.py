import sys

import numpy as np
import pytest

from bakeoff.core import plugins
from bakeoff.core.errors import CandidateError, ConfigError, NotFoundError
from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.custom import adapted, digest_own, own, read_file, using
from bakeoff.metrics.registry import find, measures
from bakeoff.testing.metrics import MetricConformance

FILE = """
import numpy as np

HALF = 0.5

def cost(truth, predicted):
    return float((truth != predicted).mean() * 12.5)

def sureness(truth, predicted, probabilities):
    return float(np.log(probabilities.max(axis=1)).mean())

def helper(x):
    return x

cost.higher_is_better = False
sureness.higher_is_better = True
sureness.tasks = {"classification"}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "metrics.py"
    path.write_text(FILE)
    return path


def said(n=200):
    rng = np.random.default_rng(0)
    yes = rng.random(n)
    truth = np.where(rng.random(n) < yes, "yes", "no")
    return truth, Predictions.of_probabilities(np.column_stack([1 - yes, yes]), ("no", "yes"))


def test_metrics_of_a_file_are_metrics_within_the_block(file):
    truth, predictions = said()
    with using(file):
        assert {"cost", "sureness"} < set(measures("classification"))
        assert "sureness" not in measures("regression")
        assert not find("cost", "regression").higher_is_better
        scores = score(truth, predictions, "classification", resamples=100, seed=0)
        with using(None):
            find("cost", "classification")
    wrong = float((truth != predictions.values_n).mean())
    found = scores.metrics["cost"]
    assert found.value == pytest.approx(12.5 * wrong)
    assert found.low < found.value < found.high
    assert scores.metrics["sureness"].value < 0
    with pytest.raises(NotFoundError):
        find("cost", "classification")


def test_results_depend_on_the_source(file):
    with using(file):
        before = digest_own()
    with using(file):
        assert digest_own() == before
    file.write_text(FILE + "\n# changed\n")
    with using(file):
        assert digest_own() != before
    assert digest_own() not in {"", before}


@pytest.mark.parametrize(
    ("text", "told"),
    [("x = 1", "higher_is_better"), ("def (", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), (None, "nothing")],
)
def test_files_that_cannot_be_used(tmp_path, text, told):
    path = tmp_path / "metrics.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_file(path)


def test_built_in_names_are_taken(tmp_path):
    path = tmp_path / "metrics.py"
    path.write_text("def accuracy(t, p):\n    return 1.0\naccuracy.higher_is_better = True\n")
    with using(path), pytest.raises(ConfigError, match="no built-in metric has"):
        measures("classification")


def test_a_metric_that_fails_says_so():
    def broken(truth, predicted):
        raise KeyError("x")

    with pytest.raises(CandidateError, match="higher_is_better"):
        adapted("broken", broken, "classification")
    broken.higher_is_better = True
    truth, predictions = said()
    from bakeoff.metrics.outcome import outcome

    with pytest.raises(CandidateError, match=r"'broken'.*KeyError"):
        adapted("broken", broken, "classification")(outcome(truth, predictions, "classification"))


def test_third_parties_register_theirs(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(FILE)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bakeoff.metrics]\ntheir_cost = theirs:cost\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._registered.cache_clear()
    try:
        assert list(own("classification")) == ["their_cost"]
        assert find("their_cost", "regression").name == "their_cost"
        assert digest_own() != ""
    finally:
        plugins._registered.cache_clear()
        sys.modules.pop("theirs", None)


def wrong_share(truth, predicted):
    return float((truth != predicted).mean())


def log_likelihood(truth, predicted, probabilities):
    column = np.searchsorted(np.array(["ant", "bee", "cat"]), truth)
    return float(np.log(np.clip(probabilities[np.arange(len(truth)), column], 1e-9, 1)).mean())


def worst(truth, predicted):
    return float(np.abs(truth - predicted).max())


wrong_share.higher_is_better = worst.higher_is_better = False
log_likelihood.higher_is_better = True


class TestWrongShare(MetricConformance):
    @pytest.fixture
    def metric(self):
        return wrong_share


class TestLogLikelihood(MetricConformance):
    @pytest.fixture
    def metric(self):
        return log_likelihood


class TestWorst(MetricConformance):
    task = "regression"

    @pytest.fixture
    def metric(self):
        return worst
