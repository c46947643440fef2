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
