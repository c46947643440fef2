from dataclasses import dataclass, field

import pytest

from bakeoff.core.errors import ConfigError
from bakeoff.families.boosting import BoostingFamily
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.train.params import check_params


def problems(given: dict, family=None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        check_params(family or LinearFamily(), given, key="candidates.mine")
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_defaults_and_given_values() -> None:
    assert check_params(LinearFamily(), {}) == LinearParams()
    assert check_params(LinearFamily(), {"penalty": 2, "balanced": False}) == LinearParams(penalty=2.0, balanced=False)


def test_all_problems_come_together() -> None:
    found = problems({"penalti": 1, "bins": "ten", "min_rows": 0})
    assert set(found) == {"candidates.mine.penalti", "candidates.mine.bins", "candidates.mine.min_rows"}
    assert "Did you mean 'penalty'?" in found["candidates.mine.penalti"]
    assert "expected a valid integer, found 'ten'" in found["candidates.mine.bins"]
    assert "greater than or equal to 1, found 0" in found["candidates.mine.min_rows"]


@pytest.mark.parametrize("given", [{"penalty": "1"}, {"balanced": 1}, {"bins": 2.5}, {"penalty": True}])
def test_types_are_strict(given: dict) -> None:
    assert len(problems(given)) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value: float) -> None:
    assert "finite" in problems({"learning_rate": value}, BoostingFamily())["candidates.mine.learning_rate"]


def test_lists_become_tuples() -> None:
    @dataclass(frozen=True)
    class Params:
        names: tuple[str, ...] = ()
        nested: dict[str, int] = field(default_factory=dict)

    class Other(LinearFamily):
        params = Params

    assert check_params(Other(), {"names": ["a"]}) == Params(names=("a",))
    assert "candidates.mine.names.1" in problems({"names": ["a", 2]}, Other())
