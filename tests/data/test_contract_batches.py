"""What is inferred holds on the next honest rows, and catches faults that are planted in them."""

import numpy as np
import polars as pl
import pytest
from sklearn import datasets

from bakeoff.config.sections import DataConfig
from bakeoff.data.contract import Contract, parse
from bakeoff.data.contract_check import check
from bakeoff.data.contract_infer import draft
from bakeoff.data.schema import infer

CITIES = ["Berlin", "Paris", "Rome", "Madrid", "Oslo", "Wien"]
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


def table(rng: np.random.Generator, rows: int, first: int, *, shuffled: bool = False) -> pl.DataFrame:
    """Orders as a shop has them, from a number on: ids, counters, times, amounts, classes, names, texts."""
    number = np.arange(first, first + rows)
    if shuffled:
        rng.shuffle(number)
    quantity = rng.poisson(3, rows) + 1
    return pl.DataFrame(
        {
            "order_id": number + 1,
            "code": [f"A-{n:07}" for n in number],
            "epoch": 1.6e9 + number * 60 + rng.normal(0, 100, rows),
            "at": pl.Series((1_600_000_000 + number * 60) * 1000).cast(pl.Datetime("ms")),
            "total_so_far": first * 4 + np.cumsum(quantity) if not shuffled else quantity,
            "stock_left": 10**7 - number * 3,
            "amount": np.round(np.exp(rng.normal(3, 1, rows)), 2),
            "claims": np.round(rng.pareto(1.5, rows) + 1, 2),
            "quantity": quantity,
            "share": rng.beta(2, 5, rows),
            "degrees": rng.normal(12, 8, rows),
            "city": rng.choice(CITIES, rows),
            "note": _notes(rng, rows),
            "label": rng.choice(["yes", "no"], rows),
        }
    )


def _notes(rng: np.random.Generator, rows: int) -> pl.Series:
    sizes = np.exp(rng.normal(2.5, 0.7, rows)).astype(int) + 1
    return pl.Series([None if rng.random() < 0.05 else " ".join(rng.choice(WORDS, size)) for size in sizes])


def contract_of(rows: pl.DataFrame, numeric: tuple[str, ...] = ("order_id",)) -> Contract:
    schema = infer(rows, DataConfig(source="orders.csv", target="label", numeric=numeric), task="classification").schema
    return parse(draft(rows, schema, name="orders"))


def errors(rows: pl.DataFrame, contract: Contract) -> list[str]:
    return [f"{each.column} {each.rule}" for each in check(rows, contract).errors]


def test_no_honest_batch_is_refused() -> None:
    """Of 200, `make bench-contracts` allows one to be; these are some of them."""
    alarms: list[list[str]] = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(150, 600))
        shuffled = bool(seed % 2)
        contract = contract_of(table(rng, rows, 0, shuffled=shuffled))
        alarms.append(errors(table(rng, rows, rows, shuffled=shuffled), contract))
    assert not any(alarms), [alarm for alarm in alarms if alarm]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_one_half_of_a_real_table_keeps_to_the_contract_of_the_other(name) -> None:
    """60 halves of each of the four gave no false alarm; these are some of them."""
    loaded = getattr(datasets, f"load_{name}")()
    labels = [f"c{value > 100 if name == 'diabetes' else int(value)}" for value in loaded.target]
    rows = pl.DataFrame(loaded.data, schema=list(loaded.feature_names)).with_columns(label=pl.Series(labels))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(rows.height)
        half = rows.height // 2
        assert errors(rows[order[half:]], contract_of(rows[order[:half]], ())) == []


FAULTS = {
    "an amount in words": lambda t: t.with_columns(amount=pl.Series(["twelve", *t["amount"].cast(pl.String)[1:]])),
    "amounts in cents": lambda t: t.with_columns(quantity=pl.col("quantity") * 100),
    "a lost column": lambda t: t.drop("city"),
    "missing ids": lambda t: t.with_columns(order_id=pl.when(pl.int_range(pl.len()) > 5).then("order_id")),
    "repeated codes": lambda t: t.with_columns(code=pl.col("code").first()),
    "a new city": lambda t: t.with_columns(city=pl.lit("Atlantis")),
    "another spelling": lambda t: t.with_columns(city=pl.col("city").str.to_uppercase()),
    "a new class": lambda t: t.with_columns(label=pl.lit("maybe")),
    "negative amounts": lambda t: t.with_columns(quantity=-pl.col("quantity")),
    "times of 1970": lambda t: t.with_columns(at=pl.lit(0).cast(pl.Datetime("ms"))),
    "shares in percent": lambda t: t.with_columns(share=pl.col("share") * 100),
    "swapped columns": lambda t: t.rename({"city": "label", "label": "city"}),
    "a sensor's 9999": lambda t: t.with_columns(degrees=pl.lit(9999.0)),
    "texts glued together": lambda t: t.with_columns(note=pl.lit(" ".join(t["note"].drop_nulls().to_list()))),
}


def test_planted_faults_are_caught() -> None:
    caught = dict.fromkeys(FAULTS, 0)
    for seed in range(4):
        rng = np.random.default_rng(1000 + seed)
        contract = contract_of(table(rng, 500, 0))
        following = table(rng, 500, 500)
        for name, plant in FAULTS.items():
            caught[name] += bool(errors(plant(following), contract))
    assert sum(caught.values()) >= 0.95 * 4 * len(FAULTS), caught
    assert min(caught.values()) >= 3, caught


@pytest.mark.parametrize(
    ("values", "range_"),
    [
        (list(range(1, 2001)), (0, None)),
        ([*range(2000, 0, -1)], (None, 3000)),
        ([n // 7 for n in range(2000)], (0, None)),
        ([(n * 7919) % 2003 for n in range(2000)], (0, None)),
        ([n % 10 for n in range(2000)], (0, 14)),
    ],
)
def test_ends_stay_open_where_later_rows_go_beyond(values, range_) -> None:
    rows = pl.DataFrame({"x": values, "label": ["a", "b"] * (len(values) // 2)})
    rule = contract_of(rows, ("x",)).columns["x"].range
    assert rule is not None
    assert (rule.min, rule.max) == range_
