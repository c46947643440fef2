"""Files in batches: read by the rules of training data, whatever their size and format."""

import bz2
import gzip
import zipfile

import polars as pl
import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.data.batches import batches
from bakeoff.data.sources import resolve
from bakeoff.data.zstd import zstd

CONFIG = DataConfig(target="y")
TEXT = 'group, amount ,note\na,1.5,x\nb,,"two\nlines"\nc,NA,z\n'
ROWS = [
    {"group": "a", "amount": "1.5", "note": "x"},
    {"group": "b", "amount": None, "note": "two\nlines"},
    {"group": "c", "amount": "NA", "note": "z"},
]


def read(location, tmp_path, config=CONFIG, **settings):
    files = resolve(str(location), folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    return list(batches(files, config, **settings))


def rows_of(found):
    return [row for batch in found for row in batch.rows]


def zipped(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", data)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv", lambda path: path.write_text(TEXT)),
        ("rows.csv", lambda path: path.write_text(TEXT.replace(",", ";"))),
        ("rows.csv", lambda path: path.write_text(TEXT.replace(",", "|"))),
        ("rows.csv", lambda path: path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())),
        ("rows.tsv", lambda path: path.write_text(TEXT.replace(",", "\t"))),
        ("rows.tsv.gz", lambda path: path.write_bytes(gzip.compress(TEXT.replace(",", "\t").encode()))),
        ("rows.csv.bz2", lambda path: path.write_bytes(bz2.compress(TEXT.encode()))),
        ("rows.csv.zst", lambda path: path.write_bytes(zstd.compress(TEXT.encode()))),
        ("rows.zip", lambda path: zipped(path, TEXT)),
    ],
    ids=["comma", "semicolon", "pipe", "mark", "tab", "tsv.gz", "bz2", "zst", "zip"],
)
def test_text_files_of_every_dialect_and_packing_give_the_same_rows(tmp_path, name, write):
    write(tmp_path / name)
    (batch,) = read(name, tmp_path)
    assert (batch.rows, batch.names, batch.bad) == (ROWS, ("group", "amount", "note"), ())


def test_the_encoding_of_the_project_holds(tmp_path):
    (tmp_path / "rows.csv").write_bytes("group,amount\nMÜNCHEN,1\n".encode("latin-1"))
    config = CONFIG.model_copy(update={"encoding": "latin-1"})
    assert rows_of(read("rows.csv", tmp_path, config)) == [{"group": "MÜNCHEN", "amount": "1"}]


def test_json_lines_keep_their_values_and_each_row_its_keys(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"x": 1.5, "c": "a"}\n\n{"x": null}\n{"v": [1, 2]}\n')
    (batch,) = read("rows.jsonl", tmp_path)
    assert batch.rows == [{"x": 1.5, "c": "a"}, {"x": None}, {"v": [1, 2]}]
    assert batch.names is None


def test_parquet_keeps_its_types(tmp_path):
    import datetime as dt

    table = pl.DataFrame(
        {"x": [1, None], "at": [dt.datetime(2024, 5, 1, 3), None], "c": ["a", "b"]},  # noqa: DTZ001
        schema_overrides={"c": pl.Categorical},
    )
    table.write_parquet(tmp_path / "rows.parquet")
    assert rows_of(read("rows.parquet", tmp_path)) == table.to_dicts()


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_many_rows_come_in_order_and_in_batches(tmp_path, kind):
    table = pl.DataFrame({"n": range(2500)})
    {"csv": table.write_csv, "parquet": table.write_parquet, "jsonl": table.write_ndjson}[kind](tmp_path / f"r.{kind}")
    found = read(f"r.{kind}", tmp_path, rows=1000)
    assert [(batch.first, len(batch.rows)) for batch in found] == [(1, 1000), (1001, 1000), (2001, 500)]
    assert [int(row["n"]) for row in rows_of(found)] == list(range(2500))


def test_a_pattern_names_several_files(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("y;x\n4;3\n")
    found = read("*.csv", tmp_path)
    assert [batch.file for batch in found] == ["a.csv", "b.csv"]
    assert rows_of(found) == [{"x": "1", "y": "2"}, {"y": "4", "x": "3"}]


def test_upper_and_lower_case_in_a_header_are_the_same_for_what_is_wanted(tmp_path):
    (tmp_path / "a.csv").write_text("GROUP,Amount,amount_2,Other\na,1,2,3\n")
    (batch,) = read("a.csv", tmp_path, names=("group", "amount"))
    assert batch.names == ("group", "amount", "amount_2", "Other")
    assert batch.rows == [{"group": "a", "amount": "1", "amount_2": "2", "Other": "3"}]


def test_bad_rows_are_told_with_the_first_batch_and_too_many_are_refused(tmp_path):
    lines = "".join(f"{i},b\n" for i in range(60))
    (tmp_path / "rows.csv").write_text("a,b\n" + lines + "1,2,3\n" + lines)
    first, second = read("rows.csv", tmp_path, rows=100)
    assert [(bad.line, bad.reason) for bad in first.bad] == [(62, "too many cells")]
    assert (len(first.rows), len(second.rows), second.bad) == (100, 20, ())
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n[1]\n' * 3)
    with pytest.raises(DataError, match=r"rows\.jsonl: expected at most 5% bad rows, found 3 of 6"):
        read("rows.jsonl", tmp_path)


def test_files_without_rows_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"expected rows, found none in a\.csv"):
        read("a.csv", tmp_path)
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    assert rows_of(read("*.csv", tmp_path)) == [{"a": "1", "b": "2"}]


def test_answers_of_conversations_are_no_part_of_the_question(tmp_path):
    turns = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"}]'
    (tmp_path / "rows.jsonl").write_text(f'{{"messages": {turns}}}\n{{"messages": {turns}, "y": "z"}}\n')
    one, two = rows_of(read("rows.jsonl", tmp_path))
    assert one == {"messages": [{"role": "user", "content": "Hi"}]}
    assert len(two["messages"]) == 2


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_what_is_no_such_file_is_one_clear_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0\1\2junk" * 50)
    with pytest.raises(DataError, match=r"rows\.\w+: (could not be read|expected text)"):
        read(name, tmp_path)
