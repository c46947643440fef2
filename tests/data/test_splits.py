import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.config.sections import SplitConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, Schema
from bakeoff.data.periods import EPOCH, MICROSECOND, last_period
from bakeoff.data.splits import Split, split

START = dt.datetime.fromisoformat("2024-01-01")


def rows(count: int = 400) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "size": [float(i) for i in range(count)],
            "label": ["rare" if i % 10 == 0 else "common" for i in range(count)],
            "who": [f"g{i // 8}" for i in range(count)],
            "at": [START + dt.timedelta(hours=6 * (i // 2)) for i in range(count)],
        }
    )


def schema(*, time: str | None = None, group: str | None = None) -> Schema:
    columns = (Column(name="size", kind="numeric", dtype="Float64"),)
    return Schema(columns=columns, target="label", inputs=("size",), time=time, group=group)


def cut(table: pl.DataFrame, seed: int = 0, *, time: bool = False, group: bool = False, **settings: Any) -> Split:
    described = schema(time="at" if time else None, group="who" if group else None)
    return split(table, described, SplitConfig(**settings), "classification", seed)


def sides(found: Split, count: int) -> list[str]:
    names = [""] * count
    for name in ("train", "validation", "test"):
        for row in getattr(found, name).tolist():
            assert not names[row]
            names[row] = name
    assert all(names)
    return names


def test_stratified_keeps_the_shares_of_each_class() -> None:
    found = cut(rows())
    assert found.by == "stratified"
    assert (len(found.train), len(found.validation), len(found.test)) == (272, 48, 80)
    for part in (found.train, found.validation, found.test):
        assert (rows()["label"].gather(part) == "rare").mean() == pytest.approx(0.1, abs=0.01)
        assert (np.diff(part) > 0).all()


def test_a_row_keeps_its_side_wherever_it_stands_and_the_seed_moves_it() -> None:
    table = rows()
    first = sides(cut(table), 400)
    assert sides(cut(table.reverse()), 400) == first[::-1]
    assert sides(cut(table, seed=1), 400) != first


@pytest.mark.parametrize("by", ["random", "stratified"])
def test_identical_rows_never_straddle(by: str) -> None:
    table = rows(60).select("label", "who", "at", (pl.col("size") // 3).alias("size"))
    doubled = pl.concat([table] * 4)
    where = pl.DataFrame({"side": sides(cut(doubled, by=by), 240)})
    per_row = pl.concat([doubled, where], how="horizontal").group_by("size", "label").agg(pl.col("side").n_unique())
    assert per_row["side"].to_list() == [1] * per_row.height


def test_groups_never_straddle() -> None:
    table = rows()
    found = cut(table, group=True)
    assert found.by == "group"
    where = table.with_columns(pl.Series("side", sides(found, 400)))
    assert where.group_by("who").agg(pl.col("side").n_unique())["side"].max() == 1
    assert len(found.test) == 80


def test_time_takes_the_last_rows_and_never_parts_equal_times() -> None:
    table = rows()
    found = cut(table.reverse(), time=True, test=0.1975)
    at = table.reverse()["at"]
    assert at.gather(found.train).max() < at.gather(found.validation).min()
    assert at.gather(found.validation).max() < at.gather(found.test).min()
    assert "2024-02-09 23" not in found.notes[0]
    assert len(found.test) in {78, 80}


def test_periods_are_calendar_periods() -> None:
    table = rows().filter(pl.col("at") < pl.datetime(2024, 2, 10))
    found = cut(table, time=True, test="1mo", validation="7d")
    assert table["at"].gather(found.test).min() == dt.datetime.fromisoformat("2024-02-01")
    assert table["at"].gather(found.validation).min() == dt.datetime.fromisoformat("2024-01-25")
    assert found.notes == ("test rows are those from 2024-02-01 00:00:00 on",)


def test_rows_without_a_time_go_to_train() -> None:
    table = rows().with_columns(pl.when(pl.col("size") > 389).then(None).otherwise(pl.col("at")).alias("at"))
    found = cut(table, time=True)
    assert set(range(390, 400)) <= set(found.train.tolist())
    assert "10 rows without a time went to train" in found.notes


@pytest.mark.parametrize(
    ("period", "start"),
    [
        ("1h", "2024-03-31T23:00"),
        ("24h", "2024-03-31T00:00"),
        ("1d", "2024-03-31T00:00"),
        ("1w", "2024-03-25T00:00"),
        ("2mo", "2024-02-01T00:00"),
        ("4mo", "2023-12-01T00:00"),
        ("2y", "2023-01-01T00:00"),
    ],
)
def test_last_period(period: str, start: str) -> None:
    latest = dt.datetime.fromisoformat("2024-03-31T23:59:59.999999").replace(tzinfo=dt.UTC)
    found = EPOCH + last_period((latest - EPOCH) // MICROSECOND, period) * MICROSECOND
    assert found == dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize("period", ["", "mo", "0d", "1 fortnight", "-1d", "1.5d", "9999y"])
def test_what_is_no_period(period: str) -> None:
    with pytest.raises(DataError, match="period"):
        last_period(0, period)


def test_empty_parts_are_errors() -> None:
    with pytest.raises(DataError, match="rows in each part, found train 0"):
        cut(rows(), time=True, test="1y")
    with pytest.raises(DataError, match="rows in each part"):
        cut(rows(2), by="random")


def relabelled(condition: pl.Expr, name: str) -> pl.DataFrame:
    return rows().with_columns(pl.when(condition).then(pl.lit(name)).otherwise("label").alias("label"))


def test_a_class_without_test_rows_is_told() -> None:
    found = cut(relabelled(pl.col("size") < 20, "early"), time=True)
    (warning,) = found.warnings
    assert "nothing is known of how well class 'early' is answered: none of its 20 rows is a test row" in warning


def test_a_class_of_test_rows_alone_is_told_as_one_that_nobody_can_answer() -> None:
    found = cut(relabelled(pl.col("size") > 390, "new"), time=True)
    (warning,) = found.warnings
    assert "no candidate can answer class 'new': all its rows are test rows, and its 9 rows count as wrong" in warning


def test_a_class_of_validation_rows_alone_is_learned_and_told_as_untested() -> None:
    found = cut(relabelled(pl.col("size").is_between(300, 309), "between"), time=True)
    assert ["class 'between'" in warning for warning in found.warnings] == [True]
    assert "no candidate" not in found.warnings[0]


def test_a_class_in_one_group_is_told() -> None:
    found = cut(relabelled(pl.col("who") == "g3", "lone"), group=True)
    assert len(found.warnings) == 1
    assert "class 'lone'" in found.warnings[0]


def test_train_rows_of_one_class_are_an_error() -> None:
    late = rows().with_columns(label=pl.when(pl.col("size") > 330).then(pl.lit("new")).otherwise(pl.lit("old")))
    with pytest.raises(DataError, match="at least two classes in train rows, found only 'old'"):
        cut(late, time=True)


def test_many_classes_without_test_rows_are_named_up_to_five() -> None:
    table = rows().with_columns(
        pl.when(pl.col("size") < 14)
        .then(pl.lit("c") + (pl.col("size") // 2).cast(pl.Int64).cast(pl.String))
        .otherwise("label")
        .alias("label")
    )
    (warning,) = cut(table, time=True).warnings
    assert "each of the 7 classes 'c0', 'c1', 'c2', 'c3', 'c4', …" in warning
    assert "none of its 14 rows" in warning


@given(st.integers(4, 60), st.integers(0, 5))
@settings(deadline=None)
def test_every_row_has_one_side_and_every_class_is_tested(count: int, seed: int) -> None:
    sides(cut(rows(count * 10), seed), count * 10)


def test_too_few_pieces_to_cut_are_told() -> None:
    few = pl.DataFrame({"size": [1.0, 2.0] * 50, "label": ["a", "b"] * 50, "who": ["x"] * 100, "at": [START] * 100})
    with pytest.raises(DataError, match="2 of 100 are distinct"):
        split(few, schema(), SplitConfig(), "classification", 0)
    with pytest.raises(DataError, match="'at' has 1 values"):
        split(few, schema(time="at"), SplitConfig(), "classification", 0)
    with pytest.raises(DataError, match="'who' has 1 values"):
        split(few, schema(group="who"), SplitConfig(), "classification", 0)
