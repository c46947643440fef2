import dataclasses
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from pydantic import Field

from bakeoff.config.file import loads
from bakeoff.config.search import Choices, Range, between, one_of, space
from bakeoff.core.errors import ConfigError


@dataclass(frozen=True)
class Params:
    depth: Annotated[int, Field(ge=1)] = field(default=3, metadata=between(1, 9))
    kind: str = field(default="a", metadata=one_of(("a", "b")))
    plain: float = 0.5


def of(given=(), **wanted):
    return space(Params, dict(given), wanted, owner="tree", key="candidates.tree")


def test_fields_say_what_is_searched_and_what_is_given_is_fixed():
    assert of() == {"depth": Range(low=1, high=9), "kind": Choices(values=("a", "b"))}
    assert of({"depth": 4}) == {"kind": Choices(values=("a", "b"))}
    wide = Range(low=1, high=99, log=True)
    assert of(depth=wide, plain=Range(low=0.1, high=0.9))["depth"] == wide


@pytest.mark.parametrize(
    ("given", "wanted", "told"),
    [
        ({}, {"dept": Range(low=1, high=2)}, "Did you mean 'depth'"),
        ({"depth": 2}, {"depth": Range(low=1, high=2)}, "depth = 2"),
        ({}, {"depth": Range(low=0, high=2)}, "candidates.tree.search.depth"),
        ({}, {"depth": Choices(values=(1, "x"))}, "valid integer"),
    ],
)
def test_searches_that_do_not_fit_are_refused(given, wanted, told):
    with pytest.raises(ConfigError, match=told):
        of(given, **wanted)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("low = 2", "one end"),
        ("low = 2\nhigh = 1", "low < high"),
        ("low = 0\nhigh = 1\nlog = true", "log = true"),
        ("low = 1\nhigh = 2\nchoices = [1, 2]", "both"),
        ("hihg = 1", "hihg"),
    ],
)
def test_a_project_file_is_told_what_is_wrong_with_a_search(lines, told, tmp_path):
    text = f'[project]\nname = "x"\n[data]\nsource = "x.csv"\ntarget = "y"\n[candidates.linear.search.bins]\n{lines}\n'
    with pytest.raises(ConfigError, match=told):
        loads(text, folder=tmp_path, environ={})


def test_the_settings_that_a_search_begins_with_are_the_families_own():
    from bakeoff.config.portfolio import first_settings
    from bakeoff.core.families import load_family
    from bakeoff.train.params import check_params

    family = load_family("boosting")
    settings = first_settings("boosting")
    open_to_search = {field.name for field in dataclasses.fields(family.params) if "search" in field.metadata}
    assert len(settings) == 6
    for each in settings:
        check_params(family, each)
        assert each.keys() <= open_to_search
    assert first_settings("linear") == []
