"""What is wrong with a table is found, and of a table with which nothing is wrong nothing is said."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.types import Column, Schema
from bakeoff.prepare.checks.findings import find
from bakeoff.testing.families import sample_table

ROWS = 1500
KINDS = {"String": "categorical", "Float64": "numeric", "Boolean": "boolean", "Datetime": "datetime"}
WORDS = np.array([f"word{i}" for i in range(300)])


def honest(task="classification", *, seed=0):
    """Inputs of each kind that tell something of the target, and one that tells nothing."""
    rng = np.random.default_rng(seed)
    signal_n = rng.normal(size=ROWS)
    target = np.where(signal_n + rng.normal(size=ROWS) > 0.8, "yes", "no").tolist()
    if task == "regression":
        target = (signal_n + rng.normal(size=ROWS)).tolist()
    start = pl.Series([1_700_000_000_000_000]).cast(pl.Datetime("us"))[0]
    return pl.DataFrame(
        {
            "signal": signal_n + 0.3 * rng.normal(size=ROWS),
            "noise": [None if i % 9 == 0 else float(v) for i, v in enumerate(rng.normal(size=ROWS))],
            "town": rng.choice(list("abcdef"), ROWS),
            "level": np.where(signal_n > 0, "high", "low"),
            "member": rng.random(ROWS) < 0.3,
            "born": [start - timedelta(days=int(d)) for d in rng.integers(1, 9000, ROWS)],
            "note": [" ".join(rng.choice(WORDS, 12)) for _ in range(ROWS)],
            "y": target,
        }
    )


def schema_of(table, *, time=None, text=("note",)):
    columns = tuple(
        Column(name=s.name, kind="text" if s.name in text else KINDS[str(s.dtype.base_type())], dtype=str(s.dtype))
        for s in table
    )
    inputs = tuple(c.name for c in columns if c.name not in ("y", time))
    return Schema(columns=columns, target="y", inputs=inputs, time=time)


def found(table, task="classification", **options):
    findings = find(table, schema_of(table, **options), task, seed=0)
    return [(each.kind, each.column) for each in findings.found]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_said_of_an_honest_table(task, seed):
    assert found(honest(task, seed=seed), task) == []


def test_a_single_strong_and_honest_column_is_no_leak():
    rng = np.random.default_rng(3)
    table = honest().with_columns(strong=pl.when(pl.col("y") == "yes").then(2.2).otherwise(0.0) + rng.normal(size=ROWS))
    assert found(table) == []


LABEL = pl.col("y") == "yes"
RARELY = pl.Series(np.random.default_rng(1).random(ROWS) < 0.02)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("score", pl.when(LABEL).then(5.0).otherwise(0.0) + pl.col("signal") * 0.1),
        ("refund", pl.when(LABEL & ~RARELY).then(pl.col("signal").abs() + 0.1)),
        ("state", pl.when(LABEL ^ RARELY).then(pl.lit("won ") + pl.col("town")).otherwise(pl.lit("lost"))),
        ("flag", LABEL ^ RARELY),
        ("seen", pl.when(LABEL).then(pl.col("born")).otherwise(pl.col("born") - pl.duration(days=40_000))),
    ],
)
def test_a_column_that_tells_the_target_alone_is_found(name, column):
    assert found(honest().with_columns(column.alias(name))) == [("leak", name)]


def test_a_leak_of_a_rare_class_is_found():
    rng = np.random.default_rng(4)
    table = honest().with_columns(y=pl.Series(np.where(rng.random(ROWS) < 0.06, "yes", "no")))
    table = table.with_columns(fine=pl.when(LABEL).then(3.0).otherwise(0.0) + pl.Series(rng.random(ROWS)))
    assert found(table) == [("leak", "fine")]


def test_the_target_under_another_name_is_found():
    table = honest().with_columns(won=pl.when(LABEL).then(1.0).otherwise(0.0), lost=~LABEL)
    assert found(table) == [("copy", "won"), ("copy", "lost")]


def test_leaks_of_numbers_are_found():
    table = honest("regression")
    rng = np.random.default_rng(2)
    table = table.with_columns(
        doubled=pl.col("y") * -2 + 7, nearly=pl.col("y") + pl.Series(rng.normal(size=ROWS) * 0.05)
    )
    assert found(table, "regression") == [("copy", "doubled"), ("leak", "nearly")]


def test_numbers_that_are_near_in_time_are_no_leak():
    """A slow series gives itself away to random rows between its neighbours, but not to later ones."""
    walk = pl.Series(np.cumsum(np.random.default_rng(0).normal(size=ROWS)))
    day = pl.Series(range(ROWS)) * 86_400_000_000
    table = pl.DataFrame({"day": day.cast(pl.Datetime("us")), "copy": day.cast(pl.Datetime("us")), "y": walk})
    assert ("leak", "copy") not in found(table, "regression", time="day")
    assert ("leak", "copy") in found(table, "regression")


@pytest.mark.parametrize(
    "name",
    ["resolved_at", "price_after", "outcome", "case_outcome", "closedDate", "actual_cost", "y_date", "date_settled"],
)
def test_names_of_what_comes_after(name):
    assert found(honest().rename({"noise": name})) == [("name", name)]


@pytest.mark.parametrize(
    "name",
    ["post_code", "closing_price", "afternoon", "resolution", "finals", "years", "delivery_date", "closed", "actuals"],
)
def test_names_that_only_look_like_it(name):
    assert found(honest().rename({"noise": name})) == []


def test_times_after_that_of_the_row():
    table = honest().with_columns(day=pl.col("born").max() + pl.duration(days=1))
    table = table.with_columns(day=pl.col("day") + pl.duration(seconds=pl.int_range(pl.len())))
    assert found(table, time="day") == []
    table = table.with_columns(paid=pl.col("day") + pl.duration(days=3))
    assert ("later", "paid") in found(table, time="day")


def test_ids_that_count_the_rows():
    steps = pl.Series(np.random.default_rng(0).integers(1, 9, ROWS)).cum_sum().cast(pl.Float64)
    assert found(honest().with_columns(ticket=steps)) == [("order", "ticket")]
    assert found(honest().with_columns(ticket=-steps)) == [("order", "ticket")]


def test_words_that_give_the_class_away():
    plain = honest()
    tagged = plain.with_columns(note=pl.when(LABEL).then(pl.lit("zzapproved ") + pl.col("note")).otherwise("note"))
    assert found(tagged) == [("words", "note")]
    named = plain.with_columns(
        y=pl.when(LABEL).then(pl.lit("Sports")).otherwise(pl.lit("Politics")),
    ).with_columns(
        note=pl.when(pl.int_range(pl.len()) % 3 > 0)
        .then(pl.lit("from: ") + pl.col("y") + pl.col("note"))
        .otherwise("note")
    )
    assert found(named) == []
    spaced = named.with_columns(note=pl.col("note").str.replace("from: (Sports|Politics)", "from: $1 "))
    assert found(spaced) == [("words", "note")]
    assert (
        "67% of the texts say the name of their class"
        in find(spaced, schema_of(spaced), "classification", seed=0).found[0].told
    )


def test_constants_and_copies():
    rare = pl.Series([1.0] + [0.0] * (ROWS - 1))
    table = honest().with_columns(same=pl.lit(3.0), none=pl.lit(None, pl.String), rare=rare, again=pl.col("noise"))
    assert found(table) == [
        ("constant", "same"),
        ("constant", "none"),
        ("near_constant", "rare"),
        ("duplicate", "again"),
    ]


def test_classes_out_of_balance():
    table = honest().with_columns(
        y=pl.when(pl.int_range(pl.len()) % 50 == 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
    )
    findings = find(table, schema_of(table), "classification", seed=0)
    assert [each.kind for each in findings.found] == ["imbalance"]
    assert findings.imbalance == 49
    assert [(c.name, c.rows) for c in findings.classes] == [("no", 1470), ("yes", 30)]
    few = table.with_columns(y=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("maybe")).otherwise("y"))
    assert [each.kind for each in find(few, schema_of(few), "classification", seed=0).found] == ["few_rows"]
    assert "'maybe' (3)" in find(few, schema_of(few), "classification", seed=0).found[0].told


def test_the_same_is_found_each_time_and_reads_as_json():
    table = honest().with_columns(won=LABEL)
    one, two = (find(table, schema_of(table), "classification", seed=7).to_json() for _ in range(2))
    assert one == two
    assert set(one) == {"warnings", "classes", "imbalance"}
    assert one["warnings"][0]["kind"] == "copy"


def test_generation_is_only_looked_over():
    table = honest().with_columns(y=pl.col("note").str.to_uppercase(), same=pl.lit(1.0))
    assert found(table, "generation", text=("note", "y")) == [("constant", "same")]


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 70), seed=st.integers(0, 20), gone=st.sets(st.sampled_from(["text", "numeric", "datetime"])))
def test_small_and_empty_columns_do_no_harm(rows, seed, gone):
    table = sample_table("classification", rows=rows, seed=seed)
    table = table.with_columns(pl.lit(None, table[name].dtype).alias(name) for name in gone).rename({"target": "y"})
    found(table, text=("text",))
    found(table.with_columns(y=pl.Series(range(rows), dtype=pl.Float64)), "regression", text=("text",))
