"""How delimited files are laid out: delimiters, headers, preambles, line ends, quotes, and what is set aside."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.data.reading import TableReading

ReadFile = Callable[..., TableReading]
ROWS = b"1,x\n2,y\n3,x\n4,y\n"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"sep=;\na;label\n1;x\n", [(1, "x")]),
        (b"# made by hand\n# on Monday\na,label\n1,x\n2,y\n", [(1, "x"), (2, "y")]),
        (b"Report of sales\n\nby region\na,b,label\n1,2,x\n3,4,y\n", [(1, 2, "x"), (3, 4, "y")]),
        (b"#a,label\n1,x\n2,y\n", [(1, "x"), (2, "y")]),
        (b"a;label\n1,5;x\n2,5;y\n", [(1.5, "x"), (2.5, "y")]),
        (b"a,label,\n1,x\n2,y\n3,x\n", [(1, "x"), (2, "y"), (3, "x")]),
        (b"a,label\n1,x,\n2,y,\n3,x,\n", [(1, "x"), (2, "y"), (3, "x")]),
        (b"b,label\n1,5,x\n2,6,y\n3,7,x\n", [(1, 5, "x"), (2, 6, "y"), (3, 7, "x")]),
        (b"a,label\r\n1,x\n2,y\r\n", [(1, "x"), (2, "y")]),
        (b"a,label\n1,x\r2,y\n3,x\n", [(1, "x"), (2, "y"), (3, "x")]),
        (b"a,label\r\r\n1,x\r\r\n2,y\r\r\n", [(1, "x"), (2, "y")]),
        (b'a,label\n"say \\"hi\\"",x\n"b, c",y\n', [('say "hi"', "x"), ("b, c", "y")]),
        (b'a,label\n5" pipe,x\n6" pipe,y\n', [('5" pipe', "x"), ('6" pipe', "y")]),
        (b"a\tlabel\n1, 2\tx\n3, 4\ty\n", [("1, 2", "x"), ("3, 4", "y")]),
        (b"a,label\n1,x\n\n  \n2,y\n\n\n", [(1, "x"), (2, "y")]),
        (b'a,label\n"",x\n1,y\n', [(None, "x"), (1, "y")]),
        (b"a|b,c|label\n1|2|x\n3|4|y\n", [(1, 2, "x"), (3, 4, "y")]),
    ],
)
def test_layouts(read_file: ReadFile, content: bytes, rows: list[tuple[object, ...]]) -> None:
    reading = read_file(content)
    assert reading.table.rows() == rows
    assert reading.rejected.height == 0


def test_what_is_passed_over_is_told(read_file: ReadFile) -> None:
    (note,) = read_file(b"Report\n\na,label\n" + ROWS).notes
    assert "2 lines before the header" in note
    assert "'Report'" in note


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"a,label\n" + ROWS + b"a,label\n" + ROWS, 6, "the header again"),
        (b"a,label\n" + ROWS + b"total,\n", 6, "a line of totals"),
        (b"a,label\n" + ROWS + b"5,\0x\n", 6, "a zero byte"),
        (b"a,label\n" + ROWS + b"5\n", 6, "too few cells"),
        (b"a,label\n" + ROWS + b"5,6,7,8,x\n", 6, "too many cells"),
        (b'a,label\n1,"x\n' + ROWS, 2, "a quote that does not close, or text around quotes"),
        (b'a,label\n"two\nlines"bad,x\n' + ROWS, 2, "a quote that does not close, or text around quotes"),
        (b"a,label\n1,\xc3\xa9\n2,\xc3\xa9\n3,\xff\n", 4, "bytes that are not utf-8"),
        (b"note\n\na,label\n" + ROWS + b"5\n", 8, "too few cells"),
    ],
)
def test_one_bad_row_is_one_row_with_its_line(read_file: ReadFile, content: bytes, line: int, reason: str) -> None:
    reading = read_file(content, max_bad_share=1)
    assert reading.rejected.select("line", "reason").rows() == [(line, reason)]
    (loss,) = reading.losses
    assert (loss.kind, loss.subject, loss.count, loss.of) == ("row", "rows.csv", 1, reading.rows)
    assert reading.rows == reading.table.height + 1


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_one_rule_for_names(read_file: ReadFile, name: str) -> None:
    names = [" size", "Size", "", "label", "column_3"]
    expected = ["size", "Size_2", "column_4", "label", "column_3"]
    if name.endswith("csv"):
        content = (",".join(names) + "\n1,2,3,x,5\n").encode()
    elif name.endswith("jsonl"):
        content = b'{" size": 1, "Size": 2, "": 3, "label": "x", "column_3": 5}\n'
    else:
        out = io.BytesIO()
        pl.DataFrame(dict(zip(names, [[1], [2], [3], ["x"], [5]], strict=True))).write_parquet(out)
        content = out.getvalue()
    reading = read_file(content, name)
    assert reading.table.columns == expected
    assert reading.table.row(0) == (1, 2, 3, "x", 5)
    (note,) = reading.notes
    assert "'Size' (column 2) as 'Size_2'" in note
    assert "1 AS one" not in note
    assert read_file(content, name, query='SELECT "Size_2", label FROM source').table.rows() == [(2, "x")]


def test_repeated_names_are_read(read_file: ReadFile) -> None:
    assert read_file(b"a,a,A,label\n1,2,3,x\n").table.to_dicts() == [{"a": 1, "a_2": 2, "A_3": 3, "label": "x"}]


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_is_written_is_read(read_file: ReadFile, rows: Any, delimiter: str, end: str, quoting: Any) -> None:
    """Any cells in any dialect; text columns by their listing, so that no type is seen in them."""
    rows = [tuple(cell.replace("\r", "") for cell in row) for row in rows]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([("a", "b", "label"), *(("word", "word", "x"),) * 5, *rows])
    texts = ["a", "b", "label"]
    reading = read_file(out.getvalue().encode(), text=texts, query="SELECT a, b, label FROM source")
    expected = [tuple(cell.replace("\r\n", "\n") or None for cell in row) for row in rows]
    assert reading.table.rows()[5:] == expected
    assert reading.rejected.height == 0


def test_too_many_columns_are_one_clear_error(read_file: ReadFile) -> None:
    names = [f"c{i}" for i in range(20_000)]
    line = "{" + ",".join(f'"{name}":1' for name in names) + "}\n"
    for name, content in (("rows.csv", ",".join(names) + "\n"), ("rows.jsonl", line)):
        with pytest.raises(DataError, match="at most 10,000 columns, found"):
            read_file(content.encode(), name)


def test_empty_cells_at_the_end_of_a_row_are_no_fault(read_file: ReadFile) -> None:
    reading = read_file(b"a,b,label\n1,2,x\n3,4,y,,\n5,,z,\r\n" + b"6,7,v\n" * 9 + b"6,7,w,8\n", max_bad_share=0.5)
    assert reading.table.rows() == [(1, 2, "x"), (3, 4, "y"), (5, None, "z"), *[(6, 7, "v")] * 9]
    assert read_file(b"a,b,label\n1,2,x,\n3,4,y,,\n5,6,z\n").table.rows() == [(1, 2, "x"), (3, 4, "y"), (5, 6, "z")]
    assert reading.rejected["reason"].to_list() == ["too many cells"]


@pytest.mark.parametrize(
    "document",
    [
        [{"a": 1, "label": "x"}, {"a": 2, "label": "y"}],
        {"records": [{"a": 1, "label": "x"}, {"a": 2, "label": "y"}]},
        {"count": 2, "data": [{"a": 1, "label": "x"}, {"a": 2, "label": "y"}]},
        {"columns": ["a", "label"], "index": [0, 1], "data": [[1, "x"], [2, "y"]]},
        {"a": [1, 2], "label": ["x", "y"]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_documents_are_tables(read_file: ReadFile, document: object, indent: int | None) -> None:
    content = json.dumps(document, indent=indent).encode()
    for name in ("rows.json", "rows.jsonl", "rows.txt"):
        assert read_file(content, name).table.rows() == [(1, "x"), (2, "y")]


def test_what_is_no_object_in_a_json_list_is_set_aside(read_file: ReadFile) -> None:
    reading = read_file(b'[{"a": 1, "label": "x"}, 3, {"a": 2, "label": "y"}]', "rows.json", max_bad_share=0.5)
    assert reading.table.height == 2
    assert reading.rejected["reason"].to_list() == ["not a JSON object"]


@pytest.mark.parametrize("name", ["rows.txt", "rows.dat", "export.2024"])
def test_names_that_tell_no_format_are_looked_into(read_file: ReadFile, name: str) -> None:
    assert read_file(b"a;label\n1,5;x\n2,5;y\n", name).table.rows() == [(1.5, "x"), (2.5, "y")]
    assert read_file(b'{"a": 1, "label": "x"}\n{"a": 2, "label": "y"}\n', name).table.rows() == [(1, "x"), (2, "y")]
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1], "label": ["x"]}).write_parquet(buffer)
    assert read_file(buffer.getvalue(), name).table.rows() == [(1, "x")]


def test_workbooks_are_refused_with_the_way_out(read_file: ReadFile) -> None:
    with pytest.raises(DataError, match="workbook or zip: export its rows as CSV"):
        read_file(b"PK\x03\x04" + bytes(100), "rows.xlsx")


@pytest.mark.parametrize(
    ("text", "codecs"),
    [
        (
            "名前,label\n田中太郎は東京で働いています,x\n鈴木花子は大阪が好きです,y\n",
            {"shift_jis": "cp932", "euc_jp": "euc_j"},
        ),
        ("姓名,label\n很好的产品我非常喜欢,x\n价格有点高但质量不错,y\n", {"gbk": "gb"}),
        ("이름,label\n아주 좋은 제품입니다,x\n조금 비싸지만 만족합니다,y\n", {"euc_kr": "cp949"}),
        (
            "имя,label\n" + "очень хороший товар,x\nнемного дорого но я довольна покупкой,y\n" * 20,
            {"cp1251": "cp1251"},
        ),
    ],
)
def test_other_encodings_are_named_by_what_they_look_like(
    read_file: ReadFile, text: str, codecs: dict[str, str]
) -> None:
    for codec, named in codecs.items():
        with pytest.raises(DataError, match=f'encoding = "{named}'):
            read_file(text.encode(codec))


def test_what_is_ignored_is_neither_lost_nor_guessed(read_file: ReadFile) -> None:
    rows = "".join(f"{i}.5,{'?' if i % 9 == 0 else i},x\n" for i in range(60))
    content = f"a,b,label\n{rows}".encode()
    assert [loss.subject for loss in read_file(content).losses] == ["b"]
    assert read_file(content, ignore=("b",)).losses == ()
