"""What is inferred holds on the next honest rows, and catches faults that are planted in them."""

import datetime as dt
import uuid

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


def readings(rng: np.random.Generator, rows: int, first: int) -> pl.DataFrame:
    """Rows of other kinds: seasons, walks, prices that rise, days and months as text, rare values, keys by chance."""
    number = np.arange(first, first + rows)
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=int(n) // 20) for n in number]
    walk = 100 + np.cumsum(rng.normal(0, 1, rows)) + (rng.normal(0, np.sqrt(rows)) if first else 0)
    zipf = np.minimum(rng.zipf(1.6, rows), 10**6)
    spread = rng.lognormal(4, 1.2, rows)
    columns = {
        "season": 15 * np.sin(2 * np.pi * (number / 20) / 365 - 1.5) + 10 + rng.normal(0, 3, rows),
        "walk": walk,
        "price": 10 * 1.0005**number * np.exp(rng.normal(0, 0.3, rows)),
        "day": [day.isoformat() for day in days],
        "month": [day.strftime("%b") for day in days],
        "weekday": [day.strftime("%A") for day in days],
        "hour": rng.integers(0, 24, rows),
        "uuid": [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(rows)],
        "customer": (rng.random(rows) * (100 + number)).astype(int) + 1,
        "invoice": [f"{day.year}-{n % 7300:05d}" for day, n in zip(days, number, strict=True)],
        "zip": [f"{code:05d}" for code in rng.integers(1000, 99999, rows)],
        "sku": [f"SKU{n}" for n in zipf],
        "country": rng.choice(["DE", "FR", "US", "GB", "IT", "ZA"], rows, p=[0.4, 0.3, 0.2, 0.06, 0.035, 0.005]),
        "rare_flag": (rng.random(rows) < 0.003).astype(int),
        "rebate": np.where(rng.random(rows) < 0.9, 0, np.round(rng.exponential(20, rows), 2)),
        "burst": rng.negative_binomial(0.3, 0.02, rows),
        "sparse": [None if rng.random() < 0.98 else float(rng.normal()) for _ in range(rows)],
        "stars": rng.choice([1, 2, 3, 4, 5], rows, p=[0.01, 0.02, 0.07, 0.3, 0.6]),
        "duration": np.round(rng.lognormal(3, 2, rows), 3),
        "balance": np.round(rng.normal(0, 1, rows) * spread, 2),
        "odometer": np.cumsum(rng.integers(1, 50, rows)) + first * 25,
        "label": rng.choice(["yes", "no"], rows, p=[0.9, 0.1]),
    }
    return pl.DataFrame(columns, strict=False)


def contract_of(rows: pl.DataFrame, numeric: tuple[str, ...] = ("order_id",)) -> Contract:
    schema = infer(rows, DataConfig(source="orders.csv", target="label", numeric=numeric), task="classification").schema
    return parse(draft(rows, schema, name="orders"))


def contract_of_x(rows: pl.DataFrame) -> Contract:
    config = DataConfig(source="x.csv", target="label", categorical=("x",))
    return parse(draft(rows, infer(rows, config, task="classification").schema, name="x"))


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


def test_seasons_walks_days_and_rare_values_are_no_faults() -> None:
    """Each of 20 such batches was refused before; `make bench-contracts` has 200 of them."""
    for seed in range(12):
        rng = np.random.default_rng(40 + seed)
        rows = int(rng.integers(150, 900))
        contract = contract_of(readings(rng, rows, 0), ())
        assert errors(readings(rng, rows, rows), contract) == [], seed


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        (["Mon", "Tue", "Wed", "Thu"] * 50, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
        (["red", "green"] * 100, ["green", "red"]),
        (["DE"] * 120 + ["FR"] * 50 + ["IT"] * 22 + ["ZA"] * 8, None),  # shuffled: rarer ones may be unseen
        (["alpha"] * 120 + ["beta"] * 80, None),  # one after the other: others may follow
        (["alpha"] * 200, None),  # one says nothing of others
        (["2024-01-05", "2024-01-06"] * 100, None),
    ],
)
def test_values_are_all_that_there_are_only_where_others_would_have_come(values, allowed) -> None:
    order = np.random.default_rng(1).permutation(200) if "DE" in values else np.arange(200)
    rows = pl.DataFrame({"x": [values[place] for place in order], "label": ["a", "b"] * 100})
    rule = contract_of_x(rows).columns["x"].allowed
    if allowed is None:
        assert rule is None or rule.severity == "warn" or rule.max_share == 0.2
    else:
        assert rule is not None
        assert (list(rule.values), rule.severity) == (allowed, "error")


def test_values_that_are_all_others_are_a_fault_and_a_rare_one_is_told() -> None:
    values = np.random.default_rng(2).choice(["DE", "FR", "IT", "ZA"], 400, p=[0.6, 0.3, 0.08, 0.02])
    rows = pl.DataFrame({"x": values, "label": ["a", "b"] * 200})
    contract = contract_of_x(rows)
    rare = rows.with_columns(x=pl.when(pl.int_range(pl.len()) < 40).then(pl.lit("BR")).otherwise("x"))
    assert [(each.rule, each.severity, each.count) for each in check(rare, contract).violations] == [
        ("allowed", "warn", 40)
    ]
    assert errors(rows.with_columns(pl.col("x").str.to_lowercase()), contract) == ["x allowed"]


@pytest.mark.parametrize(
    ("values", "is_unique"),
    [
        ([f"{(n * 7919) % 99991:05d}" for n in range(150)], False),  # five digits that happened to differ
        ([f"A-{n:07d}" for n in range(150)], True),
        ([uuid.UUID(int=(n + 1) * 2**100 // 7).hex for n in range(150)], True),
    ],
)
def test_texts_are_keys_where_chance_would_have_made_two_alike_or_never_would(values, is_unique) -> None:
    rows = pl.DataFrame({"x": values, "label": ["a", "b"] * 75})
    assert bool(contract_of_x(rows).columns["x"].unique) == is_unique


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


READING_FAULTS = {
    "stars of another scale": lambda t: t.with_columns(stars=pl.col("stars") + 10),
    "hours below zero": lambda t: t.with_columns(hour=-pl.col("hour") - 1),
    "days of another language": lambda t: t.with_columns(weekday=pl.lit("Montag")),
    "small letters": lambda t: t.with_columns(country=pl.col("country").str.to_lowercase()),
    "one key for all": lambda t: t.with_columns(uuid=pl.col("uuid").first()),
    "a lost column": lambda t: t.drop("invoice"),
    "most are missing": lambda t: t.with_columns(month=pl.when(pl.int_range(pl.len()) > 9).then("month")),
    "times below zero": lambda t: t.with_columns(duration=-pl.col("duration") - 1),
    "a sensor's 9999": lambda t: t.with_columns(season=pl.lit(9999.0)),
    "a walk in thousandths": lambda t: t.with_columns(walk=pl.col("walk") * 1000),
    "a counter turned round": lambda t: t.with_columns(odometer=-pl.col("odometer")),
    "prices in mills": lambda t: t.with_columns(price=pl.col("price") * 1000),
    "a new class": lambda t: t.with_columns(label=pl.lit("maybe")),
    "swapped columns": lambda t: t.rename({"weekday": "country", "country": "weekday"}),
}


def test_planted_faults_in_readings_are_caught() -> None:
    caught = dict.fromkeys(READING_FAULTS, 0)
    for seed in range(4):
        rng = np.random.default_rng(300 + seed)
        contract = contract_of(readings(rng, 500, 0), ())
        following = readings(rng, 500, 500)
        for name, plant in READING_FAULTS.items():
            caught[name] += bool(errors(plant(following), contract))
    assert sum(caught.values()) >= 0.95 * 4 * len(READING_FAULTS), caught


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
