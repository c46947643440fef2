import pytest

from bakeoff.families.catboost import CatboostFamily, CatboostParams
from bakeoff.testing.families import FamilyConformance

pytest.importorskip("catboost", reason="the extra catboost is not installed")


class TestCatboost(FamilyConformance):
    @pytest.fixture
    def family(self) -> CatboostFamily:
        return CatboostFamily()

    @pytest.fixture
    def params(self) -> CatboostParams:
        return CatboostParams(max_trees=40, patience=10)
