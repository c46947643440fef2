"""Tables and queries of databases, read as any other file."""

import sqlite3
from contextlib import closing

import duckdb
import polars as pl
import pytest

from bakeoff.core.errors import DataError
from bakeoff.data.sources import fingerprint, resolve

ROWS = [("Oslo", 1.5, 10, "2024-01-31"), ("Rome", None, 2**60, "2024-02-01"), ("São Tomé", -0.25, 0, None)]


def frames(location, folder):
    files = resolve(location, folder=folder, cache=folder / "cache", progress=lambda _: None)
    return [pl.read_ndjson(f.path) if f.path.suffix == ".jsonl" else pl.read_parquet(f.path) for f in files]


@pytest.fixture
def shop(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.execute('CREATE TABLE "old orders" (city TEXT, x REAL, n INTEGER, day TEXT)')
        db.executemany('INSERT INTO "old orders" VALUES (?, ?, ?, ?)', ROWS)
        db.commit()
    return tmp_path


@pytest.mark.parametrize(
    "location",
    ["shop.db", "shop.db!old orders", "sqlite:///shop.db!old orders", 'shop.db!SELECT * FROM "old orders" WHERE 1 = 1'],
)
def test_a_table_of_sqlite_is_read(shop, location):
    (frame,) = frames(location, shop)
    assert frame.columns == ["city", "x", "n", "day"]
    assert frame.rows() == ROWS


def test_a_table_of_duckdb_is_read(tmp_path):
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as db:
        db.execute("CREATE TABLE orders AS SELECT 'Oslo' AS city, 1.5::DOUBLE AS x, DATE '2024-01-31' AS day")
        db.execute("CREATE TABLE others AS SELECT 1 AS n")
    (frame,) = frames("shop.duckdb!orders", tmp_path)
    assert frame.select("city", "x").rows() == [("Oslo", 1.5)]
    (frame,) = frames("duckdb:///shop.duckdb!SELECT city FROM orders", tmp_path)
    assert frame.rows() == [("Oslo",)]
    with pytest.raises(DataError, match=r"expected one table, found 2 \('orders', 'others'\)"):
        frames("shop.duckdb", tmp_path)
    with pytest.raises(DataError, match="expected one SELECT"):
        frames("shop.duckdb!SELECT 1; DROP TABLE orders", tmp_path)


def test_a_wrong_table_is_named_with_the_nearest(shop):
    with pytest.raises(DataError, match=r"Did you mean 'old orders'"):
        frames("shop.db!old order", shop)
    with pytest.raises(DataError, match="could not be read"):
        frames("shop.db!SELECT nothing FROM nowhere", shop)


def test_databases_are_never_written(shop):
    before = (shop / "shop.db").read_bytes()
    with pytest.raises(DataError):
        frames('shop.db!WITH a AS (SELECT 1) DELETE FROM "old orders"', shop)
    assert (shop / "shop.db").read_bytes() == before


def test_new_rows_are_seen(shop):
    frames("shop.db", shop)
    before = fingerprint(["shop.db"], folder=shop, cache=shop / "cache")
    assert before is not None
    with closing(sqlite3.connect(shop / "shop.db")) as db:
        db.execute('INSERT INTO "old orders" VALUES (?, ?, ?, ?)', ROWS[0])
        db.commit()
    assert fingerprint(["shop.db"], folder=shop, cache=shop / "cache") is None
    (frame,) = frames("shop.db", shop)
    assert frame.height == len(ROWS) + 1
    assert fingerprint(["shop.db"], folder=shop, cache=shop / "cache") != before


def test_a_damaged_database_is_one_error(shop):
    content = (shop / "shop.db").read_bytes()
    (shop / "shop.db").write_bytes(content[:100] + b"\xff" * 2000)
    with pytest.raises(DataError, match="could not be read"):
        frames("shop.db", shop)


def test_a_table_of_postgresql_is_read(postgresql, tmp_path):
    import psycopg

    with psycopg.connect(postgresql, autocommit=True) as server:
        server.execute("CREATE TABLE bakeoff_orders (city text, x numeric, n bigint, day date, at timestamptz)")
        row = ("São Tomé", "1.50", 2**60, "2024-01-31", "2024-01-31T12:00:00+02")
        server.execute("INSERT INTO bakeoff_orders VALUES (%s, %s, %s, %s, %s)", row)
    (frame,) = frames(f"{postgresql}!bakeoff_orders", tmp_path)
    assert frame.rows() == [("São Tomé", 1.5, 2**60, "2024-01-31", "2024-01-31T10:00:00Z")]
    (frame,) = frames(f"{postgresql}!SELECT city FROM bakeoff_orders", tmp_path)
    assert frame.columns == ["city"]
    with pytest.raises(DataError, match="could not be read"):
        frames(f"{postgresql}!WITH a AS (DELETE FROM bakeoff_orders RETURNING 1) SELECT * FROM a", tmp_path)
    with pytest.raises(DataError, match="without a password"):
        frames("postgresql://me:secret@localhost/shop!orders", tmp_path)
