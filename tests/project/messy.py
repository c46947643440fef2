"""Frames as they come from real systems: the same customers in three libraries, each messy in its own way."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import polars as pl

ROWS = 240


def customers(seed: int = 1) -> list[dict[str, Any]]:
    """Customers whose age, spending and plan tell whether they left."""
    draw = random.Random(seed)
    rows = []
    for number in draw.sample(range(10_000), ROWS):
        left = draw.random() < 0.45
        rows.append(
            {
                "customer": number,
                "plan": draw.choice(["free", "pro"] if left else ["pro", "team"]),
                "age": None if draw.random() < 0.1 else draw.randint(18, 60) + 20 * left,
                "spent": round(draw.random() * 100 * (1 + left), 2),
                "since": None
                if draw.random() < 0.1
                else dt.datetime(2020, 1, 1 + draw.randint(0, 20), draw.randint(0, 23)),  # noqa: DTZ001
                "city": draw.choice(["Köln", "Bonn", None, 3]),
                "left": int(left),
            }
        )
    return rows


def pandas_frame(seed: int = 1) -> Any:
    """Objects of several types, categories, NaT, a zone, nullable integers, bands, and an index that is an id."""
    import pandas as pd

    draw = random.Random(seed)
    frame = pd.DataFrame(customers(seed)).set_index("customer")
    frame["plan"] = frame["plan"].astype("category")
    frame["age"] = frame["age"].astype("Int64")
    frame["spent"] = [draw.choice([value, str(value), None]) for value in frame["spent"]]
    frame["since"] = pd.to_datetime(frame["since"]).dt.tz_localize("Europe/Berlin")
    frame["band"] = pd.cut(frame["age"].astype("float64"), [0, 30, 50, 100])
    return frame


def polars_frame(seed: int = 1) -> pl.DataFrame:
    """Nulls, decimals, categories, durations, vectors of one length and lists of several."""
    rows = customers(seed)
    draw = random.Random(seed)
    more = {
        "spent": [Decimal(str(row["spent"])) for row in rows],
        "open": [dt.timedelta(hours=draw.randint(1, 9) + row["left"]) for row in rows],
        "vector": [[draw.random() + row["left"] / 3, draw.random()] for row in rows],
        "city": [None if row["city"] is None else str(row["city"]) for row in rows],
        "left": [bool(row["left"]) for row in rows],
    }
    columns = {name: [row[name] for row in rows] for name in rows[0]} | more
    return pl.DataFrame(columns, schema_overrides={"plan": pl.Categorical, "spent": pl.Decimal(10, 2)})


def arrow_table(seed: int = 1) -> Any:
    """Dictionaries, times in nanoseconds, and a column of nothing."""
    import pyarrow as pa

    rows = customers(seed)
    columns = {name: [row[name] for row in rows] for name in ("customer", "age", "spent")}
    return pa.table(
        {
            **columns,
            "plan": pa.array([row["plan"] for row in rows]).dictionary_encode(),
            "since": pa.array([row["since"] for row in rows], type=pa.timestamp("ns")),
            "nothing": pa.nulls(len(rows)),
            "left": pa.array(["yes" if row["left"] else "no" for row in rows]).dictionary_encode(),
        }
    )
