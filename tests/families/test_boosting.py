import pytest

from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.testing.families import FamilyConformance


class TestBoosting(FamilyConformance):
    @pytest.fixture
    def family(self) -> BoostingFamily:
        return BoostingFamily()

    @pytest.fixture
    def params(self) -> BoostingParams:
        return BoostingParams(max_trees=60, patience=20, min_leaf_rows=5)
