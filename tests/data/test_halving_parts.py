import datetime as dt

import numpy as np
import polars as pl

from bakeoff.core.types import Column, Schema
from bakeoff.data.halving_parts import rungs

START = dt.datetime.fromisoformat("2024-01-01")
SHARES = (1 / 9, 1 / 3, 1.0)


def made(by, rows=6000, *, train=4000):
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "size": rng.normal(size=rows),
            "label": rng.choice(["rare", "common"], rows, p=[0.1, 0.9]),
            "who": [f"g{i // 8}" for i in range(rows)],
            "at": [START + dt.timedelta(hours=i) for i in range(rows)],
        }
    )
    columns = (Column(name="size", kind="numeric", dtype="Float64"),)
    schema = Schema(columns=columns, target="label", inputs=("size",), time="at", group="who")
    parts = rungs(table, schema, np.arange(train), SHARES, by=by, task="classification", seed=0)
    return table, parts


def test_parts_are_nested_shares_of_the_training_rows_alone():
    table, parts = made("stratified")
    whole = [set(train.tolist()) | set(held.tolist()) for train, held in parts]
    assert [round(len(rows) / 4000, 2) for rows in whole] == [0.11, 0.33, 1.0]
    assert whole[0] < whole[1] < whole[2]
    assert max(whole[2]) < 4000
    for train, held in parts:
        assert not set(train.tolist()) & set(held.tolist())
        assert abs((table["label"].gather(train) == "rare").mean() - 0.1) < 0.02


def test_rows_to_choose_on_are_cut_off_as_the_split_cuts():
    table, parts = made("time")
    for train, held in parts:
        assert table["at"].gather(train).max() < table["at"].gather(held).min()
    table, parts = made("group")
    for train, held in parts:
        assert not set(table["who"].gather(train)) & set(table["who"].gather(held))


def test_few_rows_have_one_rung():
    _, parts = made("random", rows=600, train=400)
    assert len(parts) == 1
    assert sum(len(rows) for rows in parts[0]) == 400


def test_rows_of_one_time_can_still_be_chosen_on():
    table, _ = made("time")
    same = table.with_columns(pl.lit(START).alias("at"))
    columns = (Column(name="size", kind="numeric", dtype="Float64"),)
    schema = Schema(columns=columns, target="label", inputs=("size",), time="at")
    ((_, held),) = rungs(same, schema, np.arange(4000), (1.0,), by="time", task="classification", seed=0)
    assert len(held) > 0
