import numpy as np
import pytest

from bakeoff.families import xgboost
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.tree_rows import EncodedRows, dense
from bakeoff.families.xgboost import XgboostFamily, XgboostParams
from bakeoff.testing.families import FamilyConformance

pytest.importorskip("xgboost", reason="the extra xgboost is not installed")


class TestXgboost(FamilyConformance):
    @pytest.fixture
    def family(self) -> XgboostFamily:
        return XgboostFamily()

    @pytest.fixture
    def params(self) -> XgboostParams:
        return XgboostParams(max_trees=40, patience=10)


def test_categories_are_no_quantities_beside_texts_either(tmp_path):
    """With texts the features were sparse, and codes of categories became numbers."""
    job = FamilyConformance().job_of("classification", XgboostParams(trees=2), tmp_path)
    model = XgboostFamily().fit(job)
    codes = model.state.table.categorical
    kinds = model._booster.feature_types
    assert [kind for at, kind in enumerate(kinds) if at in codes] == ["c"]
    assert {kind for at, kind in enumerate(kinds) if at not in codes} == {"q"}


def test_a_model_of_before_answers_as_it_did(tmp_path, monkeypatch):
    """Its trees split the codes of categories as quantities."""
    job = FamilyConformance().job_of("classification", XgboostParams(trees=5), tmp_path)
    fitted = xgboost._matrix_of
    monkeypatch.setattr(TreeTable, "categorical", [])
    before = XgboostFamily().fit(job)
    expected = fitted(
        EncodedRows(
            table=before.state.table, x_nd=dense(before.state.table(job.validation)), value_n=None, weight_n=None
        ),
        threads=1,
    )
    monkeypatch.undo()
    (tmp_path / "model").mkdir()
    before.save(tmp_path / "model")
    answers = XgboostFamily().load(tmp_path / "model", 1).predict(job.validation).probabilities_nk
    np.testing.assert_allclose(answers[:, 1], before._booster.predict(expected), rtol=1e-6)
