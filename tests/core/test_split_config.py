from pathlib import Path

import pytest

from bakeoff.config.file import loads
from bakeoff.config.sections import SplitConfig
from bakeoff.core.errors import ConfigError

GOOD = '[project]\nname = "films"\n[data]\nsource = "films.csv"\ntarget = "liked"\n'


def told(split: str, more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        loads(f"{more or GOOD}[split]\n{split}\n", folder=Path(), environ={})
    return str(caught.value)


def split(text: str) -> SplitConfig:
    return loads(f"{GOOD}[split]\n{text}\n", folder=Path(), environ={}).config.split


def test_near_duplicates_can_be_switched_off_and_on() -> None:
    assert split("").near_duplicates == 0.8
    assert split("near_duplicates = false").near_duplicates == 0
    assert split("near_duplicates = true").near_duplicates == 0.8
    assert split("near_duplicates = 0.6").near_duplicates == 0.6
    assert "near_duplicates" in told("near_duplicates = 1.2")


def test_folds_are_off_or_at_least_two() -> None:
    assert (split("").folds, split("folds = 0").folds, split("folds = 5").folds) == ("auto", 0, 5)
    assert (split("").asks_folds, split("folds = 0").asks_folds, split("folds = 5").asks_folds) == (False, False, True)
    assert "folds" in told('folds = "many"')
    assert "at least 2 folds" in told("folds = 1")


def test_folds_can_be_dealt_again_where_there_are_some() -> None:
    assert (split("").repeats, split("folds = 5\nrepeats = 4").repeats) == ("auto", 4)
    assert "split.repeats" in told("folds = 0\nrepeats = 3")
    assert "no folds by time" in told('repeats = 3\nby = "time"', GOOD + 'time = "at"\n')


def test_folds_and_a_test_part_exclude_each_other() -> None:
    assert "nothing beside split.folds" in told("folds = 5\ntest = 0.2")


def test_time_and_generation_have_no_folds() -> None:
    timed = GOOD + 'time = "at"\n'
    assert 'test = "1mo"' in told("folds = 5", timed)
    assert "split.folds" in told("folds = 5", GOOD.replace("[data]", 'task = "generation"\n[data]'))
