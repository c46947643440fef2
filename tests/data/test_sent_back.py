"""What training takes, serving takes, and it means the same: a file's rows sent back give the training table."""

import csv
import datetime as dt
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import polars.testing
import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.core.types import Schema
from bakeoff.data.cast import conform
from bakeoff.data.reading import TableReading, cells, read
from bakeoff.data.schema import infer
from bakeoff.data.sources import resolve
from bakeoff.data.target import name_classes, prepare_target

DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
WRITERS: dict[str, Callable[[random.Random, int], str]] = {
    "whole": lambda r, i: str(r.randrange(-50, 50)),
    "float": lambda r, i: f"{r.uniform(-5, 5):.4f}",
    "comma": lambda r, i: f"{r.uniform(-5, 5):.4f}".replace(".", ","),
    "euro": lambda r, i: f"{r.uniform(0, 1e5):,.2f} €".translate(str.maketrans(",.", ".,")),
    "percent": lambda r, i: f"{r.uniform(0, 99):.1f} %",
    "money": lambda r, i: f"(${r.uniform(0, 1e5):,.2f})" if r.random() < 0.3 else f"${r.uniform(0, 1e5):,.2f}",
    "long": lambda r, i: str(10**17 + r.randrange(9)),
    "zip": lambda r, i: f"{r.randrange(9):05d}",
    "iso": lambda r, i: (DAY + dt.timedelta(hours=r.randrange(9999))).isoformat(),
    "offset": lambda r, i: (
        (DAY + dt.timedelta(hours=r.randrange(9999))).isoformat() + r.choice(["+01:00", "+02:00", "Z"])
    ),
    "british": lambda r, i: f"{DAY + dt.timedelta(days=r.randrange(999)):%d/%m/%Y}",
    "twelve": lambda r, i: f"{DAY + dt.timedelta(hours=r.randrange(9999)):%m/%d/%y %I:%M %p}",
    "clock": lambda r, i: f"{r.randrange(24):02d}:{r.randrange(60):02d}",
    "duration": lambda r, i: r.choice(["PT5M", "P1D", "2 days", "1h 30m"]),
    "answer": lambda r, i: r.choice(["ja", "nein"]),
    "flag": lambda r, i: r.choice(["True", "false"]),
    "town": lambda r, i: r.choice(["Köln", "東京", "Rome"]),
    "review": lambda r, i: " ".join(r.choices(["good", "bad", "film", "and", "so"], k=6)),
    "chinese": lambda r, i: "".join(r.choices("很好吃味道不错环境优雅推荐大家来", k=12)),
    "vector": lambda r, i: json.dumps([round(r.random(), 3), i]),
}
MARKERS = ("", "", "NA", "?", "n/a", "-")


def table_of(seed: int) -> tuple[list[str], list[list[str]]]:
    chance = random.Random(seed)
    kinds = chance.sample(sorted(WRITERS), k=5)
    names = [f"{kind} {place}" for place, kind in enumerate(kinds)]
    missing = [chance.choice((0, 0, 0.05)) for _ in kinds]
    rows = [
        [
            *(
                chance.choice(MARKERS) if chance.random() < m else WRITERS[k](chance, i)
                for k, m in zip(kinds, missing, strict=True)
            ),
            chance.choice(["x", "y "]),
        ]
        for i in range(chance.choice((60, 120)))
    ]
    return [*names, "label"], rows


def trained(reading: TableReading, config: DataConfig) -> tuple[Schema, pl.DataFrame]:
    named = name_classes(reading.table, config, "classification", reading.formats)
    schema = infer(named.table, config, "classification", named.formats).schema
    prepared = prepare_target(named.table, schema, "classification")
    assert not prepared.losses
    return schema, prepared.table


@pytest.mark.parametrize("seed", [*range(60), 188])  # 188: Parquet with dictionaries
def test_rows_sent_back_are_the_training_rows(tmp_path: Path, seed: int) -> None:
    chance = random.Random(-seed - 1)
    names, rows = table_of(seed)
    kind = chance.choice(("csv", "csv", "jsonl", "parquet"))
    file = tmp_path / f"rows.{kind}"
    values = [{n: v or None for n, v in zip(names, row, strict=True)} for row in rows]
    if kind == "csv":
        out = io.StringIO()
        writer = csv.writer(out, delimiter=chance.choice(",;\t|"), lineterminator=chance.choice(("\n", "\r\n")))
        writer.writerows([names, *rows])
        file.write_bytes(out.getvalue().encode(chance.choice(("utf-8", "utf-8-sig", "utf-16"))))
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(value) + "\n" for value in values))
    else:
        pl.DataFrame(values, schema=dict.fromkeys(names, pl.String)).write_parquet(file)
    listed: dict[str, Any] = {"categorical": [chance.choice(names[:-1])]} if chance.random() < 0.3 else {}
    config = DataConfig(source=file.name, target="label", **listed)
    (source,) = resolve(file.name, folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    schema, table = trained(read(config, {"source": [source]}), config)
    inputs = [column for column in schema.columns if column.name in schema.inputs]
    expected = table.select(schema.inputs)
    sent = [{name: json.loads(v) if v and v[0] == "[" else v for name, v in row.items()} for row in values]
    pl.testing.assert_frame_equal(conform(sent, inputs), expected)
    again = pl.concat(conform(each.table, inputs) for each in cells(config, source))
    pl.testing.assert_frame_equal(again, expected)


def test_numpy_rows_and_typed_tables_are_the_training_rows(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "d": pl.Series(["1.50", "2.25"] * 40).cast(pl.Decimal(10, 2)),
            "i": pl.Series(range(80), dtype=pl.Int16) % 7,
            "u": pl.Series([2**63, 2**64 - 1] * 40, dtype=pl.UInt64),
            "f": pl.Series([0.1, None] * 40, dtype=pl.Float32),
            "b": [True, None] * 40,
            "day": [dt.date(2024, 1, 31), None] * 40,
            "at": pl.Series([DAY] * 80).dt.replace_time_zone("America/New_York"),
            "clock": [dt.time(1, 30), None] * 40,
            "span": [dt.timedelta(seconds=90), None] * 40,
            "word": pl.Series(["a", "b"] * 40, dtype=pl.Categorical),
            "raw": pl.Series([b"caf\xc3\xa9", b"x"] * 40),
            "list": [[1, 2], None] * 40,
            "array": pl.Series([[1.0, 2.0]] * 80, dtype=pl.Array(pl.Float64, 2)),
            "struct": [{"a": 1, "when": DAY}] * 80,
            "ragged": [[1], [1, 2]] * 40,
            "nothing": pl.Series([None] * 80),
            "label": ["x", "y"] * 40,
        }
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    config = DataConfig(source="rows.parquet", target="label")
    (source,) = resolve("rows.parquet", folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    reading = read(config, {"source": [source]})
    inferred = infer(reading.table, config, "classification", reading.formats)
    kinds = {column.name: column.kind for column in inferred.schema.columns if column.name in inferred.schema.inputs}
    assert kinds == {
        "d": "numeric", "i": "numeric", "u": "categorical", "f": "numeric", "b": "boolean", "day": "datetime",
        "at": "datetime", "clock": "numeric", "span": "numeric", "word": "categorical", "raw": "categorical",
        "list[0]": "numeric", "list[1]": "numeric", "array[0]": "numeric", "array[1]": "numeric",
    }  # fmt: skip
    losses = {loss.subject: loss for loss in inferred.losses}
    assert set(losses) == {"struct", "ragged", "nothing"}
    assert "->>" in str(losses["struct"].remedy)
    table = prepare_target(reading.table, inferred.schema, "classification").table
    assert table["at"][0] == DAY + dt.timedelta(hours=5)
    assert table["clock"][0] == 5400.0
    assert table["u"][1] == str(2**64 - 1)
    inputs = [column for column in inferred.schema.columns if column.name in inferred.schema.inputs]
    assert conform(frame.to_dicts(), inputs).equals(table.select(inferred.schema.inputs), null_equal=True)
    (each,) = cells(config, source)
    assert conform(each.table, inputs).equals(table.select(inferred.schema.inputs), null_equal=True)


def test_a_query_passes_formats_on(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("preis;wann;label\n" + "1.234,50 €;31.12.2024;x\n2,5 €;01.02.2024;y\n" * 30)
    query = "SELECT preis AS price, wann, preis * 2 AS twice, label FROM source"
    config = DataConfig(source="rows.csv", target="label", query=query)
    (source,) = resolve("rows.csv", folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    schema, table = trained(read(config, {"source": [source]}), config)
    assert table.row(0)[:3] == (1234.5, dt.datetime(2024, 12, 31), 2469.0)  # noqa: DTZ001
    row = conform([{"price": "1.234,50 €", "wann": "31.12.2024", "twice": "2469.0"}], schema.columns)
    assert row.row(0)[:3] == table.row(0)[:3]
