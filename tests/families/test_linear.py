import pytest

from bakeoff.families.linear import LinearFamily
from bakeoff.testing.families import FamilyConformance


class TestLinear(FamilyConformance):
    @pytest.fixture
    def family(self) -> LinearFamily:
        return LinearFamily()
