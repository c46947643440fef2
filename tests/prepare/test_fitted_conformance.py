"""The steps that learn from training rows pass the suite that third parties' steps must pass."""

import pytest

from bakeoff.config.params import check
from bakeoff.core import plugins
from bakeoff.testing.steps import FittedStepConformance

CASES = [
    ("impute", {}),
    ("impute", {"numeric": "mean", "categorical": "mode"}),
    ("impute", {"numeric": "mode", "categorical": "keep", "indicators": False}),
    ("impute", {"numeric": "constant", "value": -1.0, "category": "?"}),
    ("impute", {"numeric": "keep", "categorical": "keep"}),
    ("group_rare", {}),
    ("group_rare", {"min_rows": 1, "min_share": 0.3, "other": "rest"}),
    ("clip_outliers", {}),
    ("clip_outliers", {"by": "quantiles", "low": 0.1, "high": 0.9}),
    ("clip_outliers", {"by": "iqr", "reach": 1.5}),
    ("scale", {}),
    ("scale", {"by": "robust"}),
    ("datetime_parts", {}),
    ("datetime_parts", {"parts": ["hour"], "cyclic": True, "keep": True}),
    ("encode_frequency", {}),
    ("encode_frequency", {"columns": ["boolean", "numeric"], "keep": True}),
    ("encode_target", {}),
    ("encode_target", {"columns": ["categorical", "boolean"], "smoothing": 1.0, "folds": 3, "keep": True}),
    ("encode_hash", {}),
    ("encode_hash", {"buckets": 2}),
    ("drop_constant", {}),
    ("drop_constant", {"share": 0.6}),
]


class TestSteps(FittedStepConformance):
    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values())) or 'default'}")
    def case(self, request):
        return request.param

    @pytest.fixture
    def step(self, case):
        return plugins.load("bakeoff.prepare", case[0])

    @pytest.fixture
    def params(self, step, case):
        return check(step.params, case[1], owner=step.name, key="steps")


def test_every_registered_fitted_step_is_tested():
    names = plugins.names("bakeoff.prepare")
    fitted = {name for name in names if plugins.load("bakeoff.prepare", name).kind == "fitted"}
    assert fitted == {name for name, _ in CASES}
