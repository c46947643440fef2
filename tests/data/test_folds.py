"""Folds, and near-duplicates in every kind of split."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bakeoff.config.sections import SplitConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, Schema
from bakeoff.data import splits
from bakeoff.data.splits import Split, k_fold, split

START = dt.datetime.fromisoformat("2024-01-01")
PARTS = ("train", "validation", "test")


def rows(count: int = 200, classes: int = 2) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "size": [float(i) for i in range(count)],
            "label": [f"class {i % classes}" for i in range(count)],
            "who": [f"g{i // 4}" for i in range(count)],
            "at": [START + dt.timedelta(hours=i) for i in range(count)],
        }
    )


def schema(by: str) -> Schema:
    columns = (Column(name="size", kind="numeric", dtype="Float64"),)
    return Schema(columns=columns, target="label", inputs=("size",), time="at", group="who" if by == "group" else None)


def one(table: pl.DataFrame, by: str, near: list[int], seed: int = 0, **given_settings: Any) -> Split:
    config = SplitConfig(by=by, **given_settings)
    return split(table, schema(by), config, "classification", seed, near_n=np.asarray(near))


def folds(table: pl.DataFrame, by: str, near: list[int] | None = None, seed: int = 0, count: int = 4) -> list[Split]:
    config = SplitConfig(by=by, folds=count)
    near_n = None if near is None else np.asarray(near)
    return list(k_fold(table, schema(by), config, "classification", seed, folds=config.folds, near_n=near_n))


def side_of(found: Split, count: int) -> list[str]:
    names = [""] * count
    for name in PARTS:
        for row in getattr(found, name).tolist():
            assert not names[row]
            names[row] = name
    for row in found.left_out.tolist():
        assert not names[row]
    return names


def straddling(values: list[int], sides: list[str]) -> int:
    found: dict[int, set[str]] = {}
    for value, side in zip(values, sides, strict=True):
        if side:
            found.setdefault(value, set()).add(side)
    return sum(len(each) > 1 for each in found.values())


groups_of_120 = st.lists(st.integers(0, 80), min_size=120, max_size=120)


@settings(deadline=None, max_examples=25)
@given(groups_of_120, st.sampled_from(["random", "stratified", "time"]), st.integers(0, 3))
def test_near_duplicates_never_straddle_and_every_row_is_somewhere(near: list[int], by: str, seed: int) -> None:
    assume(np.bincount(near).max() <= 12)
    if by == "time":  # where copies are left out, some rows that are nobody's must remain
        near = [each if row % 3 == 0 else 200 + row for row, each in enumerate(near)]
    found = one(rows(120), by, near, seed)
    sides = side_of(found, 120)
    assert straddling(near, sides) == 0
    assert sides.count("") == len(found.left_out)
    assert by == "time" or not len(found.left_out)
    again = one(rows(120), by, near, seed)
    assert side_of(again, 120) == sides


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 110), min_size=120, max_size=120), st.integers(2, 6), st.integers(0, 3))
def test_every_row_is_tested_once_and_nothing_straddles_folds(near: list[int], count: int, seed: int) -> None:
    assume(np.bincount(near).max() <= 12)
    table = rows(120, classes=3)
    found = folds(table, "stratified", near, seed, count)
    assert len(found) == count
    tested = np.concatenate([each.test for each in found])
    assert np.sort(tested).tolist() == list(range(120))
    for each in found:
        sides = side_of(each, 120)
        assert all(sides)
        assert straddling(near, sides) == 0
        assert table["label"].gather(each.train).n_unique() == 3
    again = folds(table, "stratified", near, seed, count)
    assert [each.train.tolist() for each in again] == [each.train.tolist() for each in found]


def test_groups_and_near_duplicates_are_joined() -> None:
    """Rows 0-3 are group g0 and 4-7 g1; row 3 is a near-duplicate of row 4, so that all eight stay together."""
    near = list(range(80))
    near[4] = 3
    table = rows(80)
    for seed in range(5):
        assert len(set(side_of(one(table, "group", near, seed), 80)[:8])) == 1
        for each in folds(table, "group", near, seed):
            sides = side_of(each, 80)
            assert len(set(sides[:8])) == 1
            assert straddling([row // 4 for row in range(80)], sides) == 0


def test_what_would_be_parted_is_counted() -> None:
    near = [row // 2 for row in range(200)]
    found = one(rows(), "random", near)
    assert found.parted > 10
    assert one(rows(), "random", list(range(200))).parted == 0
    assert folds(rows(), "random", near)[0].parted > 50


def test_without_near_duplicates_the_split_is_the_same_as_before_they_were_looked_for() -> None:
    plain = split(rows(), schema("random"), SplitConfig(by="random"), "classification", 0)
    looked = one(rows(), "random", list(range(200)))
    assert side_of(plain, 200) == side_of(looked, 200)


def test_by_time_later_copies_are_left_out_and_earlier_ones_stay() -> None:
    near = list(range(200))
    near[199], near[150] = 3, 5  # a test row and a validation row that say what training rows say
    found = one(rows(), "time", near)
    assert found.left_out.tolist() == [150, 199]
    assert {3, 5} <= set(found.train.tolist())
    assert found.parted == 2
    assert "2 rows left out: near-duplicates of rows in an earlier part" in found.notes


def test_one_large_group_goes_to_train_and_fills_one_fold() -> None:
    near = [0] * 90 + list(range(90, 200))
    for seed in range(5):
        found = one(rows(), "stratified", near, seed)
        assert set(range(90)) <= set(found.train.tolist())
        assert 30 <= len(found.test) <= 50
        sizes = sorted(len(each.test) for each in folds(rows(), "stratified", near, seed))
        assert sizes[-1] == 90
        assert 35 <= sizes[0] <= sizes[2] <= 38


def test_folds_are_of_one_size_and_have_each_class_alike() -> None:
    table = rows(203, classes=5)
    for each in folds(table, "stratified", count=7):
        assert len(each.test) == 29
        counts = table["label"].gather(each.test).value_counts()["count"]
        assert counts.len() == 5
        assert counts.max() - counts.min() <= 2


def test_validation_rows_differ_from_fold_to_fold() -> None:
    found = folds(rows(), "random")
    chosen_on = [set(each.validation.tolist()) for each in found]
    assert all(20 <= len(each) <= 25 for each in chosen_on)
    assert len(set.union(*chosen_on)) > 60


def test_a_class_with_fewer_rows_than_folds_is_in_all_training_rows() -> None:
    table = rows().with_columns(
        pl.when(pl.col("size").is_in([7.0, 80.0, 150.0])).then(pl.lit("rare")).otherwise("label").alias("label")
    )
    found = folds(table, "stratified", count=10)
    assert all("rare" in table["label"].gather(each.train).to_list() for each in found)
    assert sum("rare" in table["label"].gather(each.test).to_list() for each in found) == 3


def test_a_class_in_one_fold_alone_is_told() -> None:
    table = rows().with_columns(
        pl.when(pl.col("size").is_in([7.0, 80.0])).then(pl.lit("rare")).otherwise("label").alias("label")
    )
    near = list(range(200))
    near[80] = 7
    found = folds(table, "stratified", near)
    (warning,) = found[0].warnings
    assert warning.startswith("class 'rare' is tested on candidates that do not know it")


def test_a_class_of_near_duplicates_that_are_left_out_is_told() -> None:
    late = pl.col("size") >= 190
    table = rows().with_columns(label=pl.when(late).then(pl.lit("copied")).otherwise(pl.col("label")))
    near = [0 if row >= 190 else row for row in range(200)]
    (warning,) = one(table, "time", near).warnings
    assert warning.startswith("class 'copied' is left out: its 10 rows are near-duplicates of earlier ones")


def test_all_rows_alike_cannot_be_split() -> None:
    with pytest.raises(DataError, match=r"the largest group has 200 rows .*near_duplicates = 0"):
        one(rows(), "random", [0] * 200)
    with pytest.raises(DataError, match="expected rows in each part"):
        folds(rows(), "random", [0] * 200)
    with pytest.raises(DataError, match=r"left out of later parts.*200 rows"):
        one(rows(), "time", [0] * 200)


def test_more_folds_than_rows_and_folds_by_time_are_told() -> None:
    with pytest.raises(DataError, match="fold 1 of 5: expected rows in each part"):
        folds(rows(3, classes=1), "random", count=5)
    with pytest.raises(DataError, match='test = "1mo"'):
        folds(rows(), "time")


@pytest.mark.parametrize(
    ("given_settings", "count", "wanted"),
    [
        ({}, 300, 5),
        ({}, 1999, 5),
        ({}, 2000, 0),
        ({}, 24, 0),
        ({"folds": 3}, 5000, 3),
        ({"folds": 0}, 300, 0),
        ({"test": 0.3}, 300, 0),
        ({"by": "time"}, 300, 0),
        ({"by": "group"}, 96, 0),
        ({"by": "group"}, 100, 5),
    ],
)
def test_few_rows_are_dealt_into_folds_unless_the_project_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given_settings: dict[str, Any], count: int, wanted: int
) -> None:
    """Groups are of four rows here, and 25 of them are the fewest."""
    monkeypatch.setattr(splits, "FEW_ROWS", 2000)
    by = given_settings.get("by", "stratified")
    config = SplitConfig(**({"by": by} | given_settings))
    assert splits.folds_of(config, rows(count), schema(by), "classification") == wanted


@pytest.mark.parametrize(
    ("given_settings", "count", "quick", "wanted"),
    [({}, 300, True, 3), ({}, 300, False, 1), ({}, 2000, True, 1), ({"repeats": 2}, 3000, False, 2)],
)
def test_few_cells_of_quick_candidates_are_dealt_three_times(
    monkeypatch: pytest.MonkeyPatch, given_settings: dict[str, Any], count: int, quick: bool, wanted: int
) -> None:
    monkeypatch.setattr(splits, "FEW_ROWS", 2000)
    config = SplitConfig(**given_settings)
    assert splits.repeats_of(config, rows(count), schema("random"), quick=quick) == wanted
    if wanted == 3:
        monkeypatch.setattr(splits, "FEW_CELLS", count - 1)
        assert splits.repeats_of(config, rows(count), schema("random"), quick=quick) == 1
