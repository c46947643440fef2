import csv
import datetime as dt
import io
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.data.reading import TableReading, read
from bakeoff.data.snapshot import version_of
from bakeoff.data.sources import SourceFile, resolve

ReadFile = Callable[..., TableReading]


def test_types_come_from_all_values_of_a_column(read_file: ReadFile) -> None:
    table = read_file(
        b"int,float,bool,time,text,code,gap,none,mixed\n"
        b"1,1.5,true,2024-01-31,NA,007,NA,,1\n"
        b"2,NaN,FALSE,2024-02-01T10:00:00Z,b,123,4,,x\n"
    ).table
    days = [dt.datetime.fromisoformat(day) for day in ("2024-01-31T00:00", "2024-02-01T10:00")]
    assert table.rows() == [
        (1, 1.5, True, days[0], "NA", "007", None, None, "1"),
        (2, None, False, days[1], "b", "123", 4, None, "x"),
    ]


def test_bad_rows_are_set_aside_with_their_lines(read_file: ReadFile) -> None:
    good = b'1,"a ""quoted""\nnewline",x\n'
    content = b"id,text,label\n" + good * 3 + b"2,short\n" + good + b"3,too,many,cells\n" + b'4,"bad"quote,x\n'
    reading = read_file(content, max_bad_share=0.5)
    assert reading.table.height == 4
    assert reading.table["text"][0] == 'a "quoted"\nnewline'
    assert reading.rejected.select("line", "reason", "text").rows() == [
        (8, "too few cells", "2,short"),
        (11, "too many cells", "3,too,many,cells"),
        (12, "a quote that does not close, or text around quotes", '4,"bad"quote,x'),
    ]
    with pytest.raises(DataError, match="line 8: too few cells: '2,short'"):
        read_file(content, max_bad_share=0.05)


def test_a_quote_that_never_closes_costs_its_own_line(read_file: ReadFile) -> None:
    reading = read_file(b"id,label\n" + b"1,x\n" * 100 + b'2,"x\n' + b"3,y\n" * 50)
    assert reading.table.height == 150
    assert reading.rejected.select("line", "text").rows() == [(102, '2,"x')]
    (loss,) = reading.losses
    assert (loss.kind, loss.count, loss.of) == ("row", 1, 151)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa,label\r\n1,x\r\n2,\xc3\xa9\r\n",
        b"a,label\r1,x\r2,\xc3\xa9\r",
        b"a,label\n1,x\r\n2,\xc3\xa9\n",
        b"a;label\n1;x\n2;\xc3\xa9",
        b"a|label\n1|x\n2|\xc3\xa9\n\n",
    ],
)
def test_marks_line_ends_and_delimiters_do_not_matter(read_file: ReadFile, content: bytes) -> None:
    assert read_file(content, max_bad_share=0.5).table.rows() == [(1, "x"), (2, "é")]


def test_wrong_encoding_names_the_line_and_the_way_out(read_file: ReadFile) -> None:
    content = "a,label\n1,x\n2,caf\xe9\n".encode("latin-1")
    with pytest.raises(DataError, match=r'rows\.csv.*line 3.*encoding = "cp1252"'):
        read_file(content, encoding="utf-8")
    (note,) = read_file(content).notes
    assert "cp1252" in note
    assert "line 3" in note
    assert read_file(content).table["label"].to_list() == ["x", "café"]
    assert read_file(content, encoding="latin-1").table["label"].to_list() == ["x", "café"]
    assert read_file("a,label\n1,é\n".encode("utf-16"), encoding="utf-16").table.rows() == [(1, "é")]
    with pytest.raises(DataError, match='encoding = "utf-16"'):
        read_file("a,label\n1,é\n".encode("utf-16"), encoding="utf-8")
    for wide in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        assert read_file("a,label\n1,é\n22,word\n".encode(wide)).table.rows() == [(1, "é"), (22, "word")]
    with pytest.raises(DataError, match="received 'klingon'"):
        read_file(content, encoding="klingon")
    with pytest.raises(DataError, match=r"ascii.*line 3"):
        read_file(content, encoding="ascii")


def test_a_damaged_line_among_sound_ones_is_set_aside(read_file: ReadFile) -> None:
    reading = read_file(b"a,label\n" + "1,é\n".encode() * 50 + b"2,\xff\n")
    assert reading.table.height == 50
    assert reading.rejected.select("line", "reason").rows() == [(52, "bytes that are not utf-8")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"\n\n", "empty file"),
        (b"a,label\n", "found none"),
        (b",".join(b"c%d" % i for i in range(50_000)) + b"\n" + b"1," * 49_999 + b"1\n", "at most 10,000 columns"),
    ],
)
def test_files_without_usable_rows(read_file: ReadFile, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_file(content)


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
def test_huge_cells_work(read_file: ReadFile, size: int) -> None:
    table = read_file(b"a,label\n" + b"x" * size + b',y\n"' + b"z" * size + b'",y\n').table
    assert table["a"].str.len_bytes().to_list() == [size, size]


def test_json_lines(read_file: ReadFile) -> None:
    content = b'{"a": 1, "label": "x"}\n\n{"a": 2.5, "label": "\\u00e9", "b": {"c": [1]}}\n{"a": \n[1]\n'
    reading = read_file(content, "rows.jsonl", max_bad_share=0.6)
    assert reading.table.to_dicts() == [
        {"a": 1.0, "label": "x", "b": None},
        {"a": 2.5, "label": "é", "b": '{"c":[1]}'},
    ]
    assert reading.rejected["line"].to_list() == [4, 5]


def test_parquet_and_csv_of_the_same_rows_are_one_version(read_file: ReadFile) -> None:
    table = pl.DataFrame({"a": [1, 2], "label": ["x", None]})
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    assert version_of(read_file(buffer.getvalue(), "rows.parquet").table) == version_of(
        read_file(b"a,label\n1,x\n2,\n").table
    )


def test_a_damaged_parquet_file_is_a_data_error(read_file: ReadFile) -> None:
    with pytest.raises(DataError, match=r"rows\.parquet"):
        read_file(b"PAR1 nothing", "rows.parquet")


def test_several_files_meet_by_name_and_types_are_decided_over_all(tmp_path: Path) -> None:
    contents = {"a.csv": "a,label\n1,x\n", "b.csv": "label,a\ny,2.5\n", "c.jsonl": '{"a": 3, "label": "z"}\n'}
    files: list[SourceFile] = []
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        kind = "csv" if name.endswith("csv") else "jsonl"
        files.append(SourceFile(location=name, path=tmp_path / name, digest=name, format=kind))
    table = read(DataConfig(source=("a", "b", "c"), target="label"), {"source": files}).table
    assert table.rows() == [(1.0, "x"), (2.5, "y"), (3.0, "z")]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nope FROM source", 'Binder Error.*"nope"'),
        ("SELEC", "Parser Error"),
        ("DROP TABLE source", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("SELECT * FROM source WHERE false", "query gives no rows"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
        ("SELECT * FROM '/etc/passwd'", "."),
        ("SELECT * FROM secret_frame", "does not exist"),
    ],
)
def test_queries_that_fail_say_why(read_file: ReadFile, query: str, message: str) -> None:
    secret_frame = pl.DataFrame({"a": [1]})
    with pytest.raises(DataError, match=message):
        read_file(b"a,label\n1,x\n", query=query)
    assert secret_frame.height == 1


def test_the_query_derives_and_repeats(read_file: ReadFile) -> None:
    content = b"a,label\n" + b"".join(b"%d,%d\n" % (i, i % 7) for i in range(20_000))
    query = "SELECT label, avg(a) AS mean, random() AS noise FROM source GROUP BY label"
    first, second = (read_file(content, query=query).table for _ in range(2))
    assert first.equals(second)


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"), max_size=20)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back(read_file: ReadFile, rows: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "label"), ("word x", "word y"), *rows])
    table = read_file(buffer.getvalue().encode()).table
    assert table.rows()[1:] == [(a or None, b or None) for a, b in rows]


def test_whole_numbers_too_long_for_a_float_stay_apart(read_file: ReadFile) -> None:
    table = read_file(b"id,big,small\n" + b"".join(b"%d,%d,%d\n" % (i, 10**30 + i, 10**17 + i) for i in range(3))).table
    assert table["big"].to_list() == [str(10**30 + i) for i in range(3)]
    assert table["small"].to_list() == [10**17 + i for i in range(3)]


def test_a_wide_table_is_read_in_seconds(read_file: ReadFile) -> None:
    """Planning 300 columns at once took DuckDB more than half a minute."""
    names = ",".join(f"c{i}" for i in range(300))
    started = time.monotonic()
    table = read_file((names + "\n" + ("1.5," * 299 + "2\n") * 20).encode()).table
    assert time.monotonic() - started < 15
    assert table.shape == (20, 300)
    assert table["c7"].dtype == pl.Float64


@pytest.mark.parametrize("encoding", ["klingon", "base64", "undefined"])
def test_what_is_no_text_encoding_is_refused(read_file: ReadFile, encoding: str) -> None:
    with pytest.raises(DataError, match=r"\[data\] encoding"):
        read_file(b"a,b\n1,2\n", encoding=encoding)


def test_a_binary_file_is_told_from_text(read_file: ReadFile) -> None:
    with pytest.raises(DataError, match="zero bytes"):
        read_file(b"PK\x03\x04\x00\x00" + bytes(range(256)))
    assert read_file("a,b\n1,é\n".encode("utf-16-le"), encoding="utf-16-le").table.rows() == [(1, "é")]


def test_names_that_differ_in_case_only_are_one_column_across_rows_and_files(
    read_file: ReadFile, tmp_path: Path
) -> None:
    lines = b"".join(b'{"%s": %d, "label": "x"}\n' % (b"Size" if i % 2 else b"size", i) for i in range(6))
    reading = read_file(lines, "rows.jsonl")
    assert reading.table["size"].to_list() == [0, 1, 2, 3, 4, 5]
    assert "'size' and 'Size' never stand in one row" in reading.notes[0]
    assert read_file(b'{"size": 1, "Size": 2, "label": "x"}\n', "rows.jsonl").table.row(0) == (1, 2, "x")
    (tmp_path / "part-1.csv").write_bytes(b"size,label\n1,x\n")
    (tmp_path / "part-2.csv").write_bytes(b"Size,Label\n2,y\n")
    files = resolve("part-*.csv", folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    assert read(DataConfig(source="part-*.csv", target="label"), {"source": files}).table.rows() == [(1, "x"), (2, "y")]


def test_texts_that_spreadsheets_keep_from_becoming_numbers(read_file: ReadFile) -> None:
    for content in (b'a,label\n="0012",x\n="0013",y\n', b'a,label\n"=""0012""",x\n"=""0013""",y\n'):
        assert read_file(content).table.rows() == [("0012", "x"), ("0013", "y")]
    assert read_file(b'a,label\n"=""1.5""",x\n"=""2.5""",y\n').table.rows() == [(1.5, "x"), (2.5, "y")]
