import pytest

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
