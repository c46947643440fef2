"""One rule from any value to the name of its class."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.config.sections import LabelRule
from bakeoff.data.labels import Labels, alike, class_names, fold, is_list, joined_by, label_text, trim


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("high ", "high"),
        ("\u00a0high\u3000", "high"),
        ("\ufeffhigh\u200b", "high"),
        ("high\r", "high"),
        ("cafe\u0301", "caf\u00e9"),
        ("None", "None"),
        ("NA", "NA"),
        ("007", "007"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("  ", None),
        ("", None),
        (None, None),
        (float("nan"), None),
        (True, "true"),
        (np.bool_(False), "false"),
        (1, "1"),
        (1.0, "1"),
        (np.float64(2.0), "2"),
        (np.int64(3), "3"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (Decimal("4.0"), "4"),
        (2**60 + 1, str(2**60 + 1)),
        (dt.date(2024, 5, 1), "2024-05-01"),
        (dt.datetime(2024, 5, 1), "2024-05-01"),  # noqa: DTZ001
        (dt.datetime(2024, 5, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2024-05-01T10:00:00"),
    ],
)
def test_any_value_names_a_class(value: Any, name: str | None) -> None:
    assert label_text(value) == name


@pytest.mark.parametrize(
    ("classes", "value", "name"),
    [
        (("0", "1"), 1.0, "1"),
        (("0", "1"), True, "1"),
        (("0", "1"), "1 ", "1"),
        (("0", "1"), "1.0", "1"),
        (("0", "1"), np.int64(0), "0"),
        (("0", "1"), "TRUE", "1"),
        (("0", "1"), "maybe", None),
        (("0", "1"), 2, None),
        (("1", "2", "3"), True, None),
        (("1", "2", "3"), 2.0, "2"),
        (("false", "true"), 1, "true"),
        (("false", "true"), " False", "false"),
        (("false", "true"), "0.0", "false"),
        (("None", "True", "False"), True, "True"),
        (("None", "True", "False"), "none", None),
        (("None", "True", "False"), "None\t", "None"),
        (("3.1", "3.10"), "3.1", "3.1"),
        (("3.1", "3.10"), "3.100", None),
        (("1.5", "2.5"), "1.50", "1.5"),
        (("007", "008"), 7, None),
        ((str(2**60), str(2**60 + 1)), 2**60 + 1, str(2**60 + 1)),
        (("2024-05-01", "2024-06-01"), "2024-05-01T00:00:00", "2024-05-01"),
        (("caf\u00e9", "bar"), "cafe\u0301", "caf\u00e9"),
        (("High", "low"), "high", None),
        (("a", "b"), None, None),
        (("a", "b"), ["a"], None),
    ],
)
def test_what_comes_back_means_the_class_that_it_was(classes: tuple[str, ...], value: Any, name: str | None) -> None:
    assert Labels(classes).match(value) == name


@pytest.mark.parametrize(("rule", "name"), [("exact", None), ("trim", "High"), ("fold", "High")])
def test_the_rule_says_how_much_is_forgiven(rule: LabelRule, name: str | None) -> None:
    assert Labels(("High", "low"), rule).match("High ") == name
    assert Labels(("High", "low"), rule).match("Ｈｉｇｈ") == (name if rule == "fold" else None)


def test_a_label_that_is_no_class_is_met_with_the_nearest() -> None:
    labels = Labels(("High", "low"))
    assert labels.hint("HIGH") == "Did you mean 'High'?"
    assert labels.hint("lwo") == "Did you mean 'low'?"
    assert labels.hint("42") == "The classes are 'High', 'low'."


@pytest.mark.parametrize(
    ("spellings", "names"),
    [
        (["1", "1.0", "2"], {"1"}),
        (["True", "TRUE", "false"], {"true"}),
        (["3.1", "3.10"], {"3.1", "3.10"}),
        (["01", "1"], {"01", "1"}),
        (["1", "1.0", "x"], {"1", "1.0"}),
    ],
)
def test_numbers_and_booleans_have_one_name_where_all_are_such(spellings: list[str], names: set[str]) -> None:
    found = class_names(dict.fromkeys(spellings, 1), "trim")
    assert {found[spelling] for spelling in spellings[:2]} == names


@pytest.mark.parametrize(
    "spellings",
    [
        ["HIGH", "high"],
        ["very high", "very  high", "Very high"],
        ["it's", "it’s"],
        ["ａ", "a"],
        ["a-b", "a–b"],
    ],
)
def test_look_alikes_are_told_by_default_and_one_class_when_folded(spellings: list[str]) -> None:
    assert alike([*spellings, "other"]) == [tuple(sorted(spellings))]
    counts = {spelling: place + 1 for place, spelling in enumerate(spellings)}
    assert set(class_names(counts, "trim").values()) == set(spellings)
    assert set(class_names(counts, "fold").values()) == {spellings[-1]}


@pytest.mark.parametrize(
    ("classes", "groups"),
    [
        (["1", "true", "0", "false"], [("0", "false"), ("1", "true")]),
        (["True", "1", "no"], [("1", "True")]),
        (["Yes", "Y", "No", "Maybe"], [("Y", "Yes")]),
        (["J", "ja", "nein", "offen"], [("J", "ja")]),
        (["1", "1.0", "high"], [("1", "1.0")]),
        (["007", "7", "x"], [("007", "7")]),
        (["5", "٥", "x"], [("5", "٥")]),
        (["3.1", "3.10", "4"], [("3.1", "3.10")]),
        (["ja", "si", "da", "no", "nl"], []),
        (["0", "1"], []),
        (["1", "2", "3"], []),
    ],
)
def test_classes_that_mean_the_same_are_seen(classes: list[str], groups: list[tuple[str, ...]]) -> None:
    assert alike(classes) == groups


@pytest.mark.parametrize("text", ['["a", "b"]', "[]", " [1] "])
def test_lists_are_seen(text: str) -> None:
    assert is_list(text)
    assert not is_list(text.replace("]", ""))


def test_joined_labels_are_seen_and_names_with_commas_are_not() -> None:
    assert joined_by(["red|blue", "blue|green", "red", "green"]) == "|"
    assert joined_by(["Paris, France", "Lyon, France", "Bonn, Germany"]) is None
    assert joined_by(["a", "b"]) is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(texts)
def test_naming_twice_changes_nothing(text: str) -> None:
    name = label_text(text)
    if name is not None:
        assert label_text(name) == name == trim(name)
        assert fold(text) == fold(name)


@given(st.sets(texts.map(trim).filter(bool), min_size=1, max_size=5))
def test_a_class_matches_itself_with_anything_unseen_around_it(classes: set[str]) -> None:
    labels = Labels(sorted(classes))
    for name in classes:
        assert labels.match(name) == name == labels.match(f"\ufeff {name}\u00a0\n")
