import pytest

from bakeoff.families.forest import ForestFamily, ForestParams
from bakeoff.testing.families import FamilyConformance


class TestForest(FamilyConformance):
    @pytest.fixture
    def family(self) -> ForestFamily:
        return ForestFamily()

    @pytest.fixture
    def params(self) -> ForestParams:
        return ForestParams(trees=40)
