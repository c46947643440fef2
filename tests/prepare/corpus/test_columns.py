"""Whatever comes late in a stream, every value, key and row is in the result, or its loss is named."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.data.sources import SourceFile
from bakeoff.prepare.corpus.blocks import cut
from bakeoff.prepare.corpus.columns import columns_of, conform
from bakeoff.prepare.corpus.parsing import look, parse, rounded_numbers
from bakeoff.prepare.corpus.shapes import Shape, merged


def file(path: Path) -> SourceFile:
    return SourceFile(location=path.name, path=path, digest="", format=path.suffix[1:])


def stream(*paths: Path, block_bytes: int, text=()):
    """What a run does with blocks before any step: look at all, then read each into the columns of all."""
    blocks = [block for path in paths for block in cut(file(path), block_bytes)]
    shape, before, careful = Shape(), [0] * len(blocks), set()
    for number, block in enumerate(blocks):
        if block.format != "jsonl":
            continue
        seen = look(block, number=number)
        shape = merged(shape, seen.shape)
        if seen.bad_lines:
            careful.add(number)
        if number + 1 < len(blocks) and blocks[number + 1].file == block.file:
            before[number + 1] = before[number] + seen.rows
    columns = columns_of(blocks, shape, before, text=text, parquet=True)
    tables = [
        conform(parse(block, columns.types, careful=number in careful).table, columns.types)
        for number, block in enumerate(blocks)
    ]
    return pl.concat(tables), columns


def lines(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def one_column(tmp_path, *values):
    """A column of one value a block."""
    table, columns = stream(lines(tmp_path / "c.jsonl", [{"x": value} for value in values]), block_bytes=1)
    return table["x"].to_list(), table.schema["x"], [loss.subject for loss in columns.as_text]


@pytest.mark.parametrize(
    ("values", "column", "dtype", "as_text"),
    [
        ([4, 4.75], [4.0, 4.75], pl.Float64, []),
        ([4.0, 4], [4.0, 4.0], pl.Float64, []),
        ([None, 3, None, 2.5], [None, 3.0, None, 2.5], pl.Float64, []),
        ([1, 2**63 - 1], [1, 2**63 - 1], pl.Int64, []),
        ([1, 2**63], [1, 2**63], pl.Int128, []),
        ([2**53 + 1, 0.5], [str(2**53 + 1), "0.5"], pl.String, ["x"]),
        ([1, "n/a"], ["1", "n/a"], pl.String, ["x"]),
        ([True, 1], ["true", "1"], pl.String, ["x"]),
        ([True, None, False], [True, None, False], pl.Boolean, []),
        ([[1], [2.5], []], [[1.0], [2.5], []], pl.List(pl.Float64), []),
        ([[1, 2**60, 0.5]], [["1", str(2**60), "0.5"]], pl.List(pl.String), ["x[]"]),
        ([{}, None], ["{}", None], pl.String, ["x"]),
        (
            [{"a": 1}, {"b": {"c": "late"}}, {"a": 1.5}],
            [{"a": 1.0, "b": None}, {"a": None, "b": {"c": "late"}}, {"a": 1.5, "b": None}],
            pl.Struct({"a": pl.Float64, "b": pl.Struct({"c": pl.String})}),
            [],
        ),
        (
            [[{"role": "user"}], [{"role": "tool", "id": 7}]],
            [[{"role": "user", "id": None}], [{"role": "tool", "id": 7}]],
            pl.List(pl.Struct({"role": pl.String, "id": pl.Int64})),
            [],
        ),
    ],
)
def test_types_are_those_of_all_rows(tmp_path, values, column, dtype, as_text) -> None:
    assert one_column(tmp_path, *values) == (column, dtype, as_text)


def test_a_late_column_is_there_with_its_name(tmp_path) -> None:
    table, _ = stream(lines(tmp_path / "c.jsonl", [{"a": 1}, {"a": 2, "late": "yes"}, {"other": 3}]), block_bytes=1)
    assert table.rows() == [(1, None, None), (2, "yes", None), (None, None, 3)]
    assert table.columns == ["a", "late", "other"]


@pytest.mark.parametrize("values", [(1, {"a": 1}), ("x", [1]), ([1], {"a": 1}), (True, None, [])])
def test_values_without_a_common_type_are_an_error_with_file_row_and_remedy(tmp_path, values) -> None:
    with pytest.raises(
        DataError, match=r"'x': expected values of one kind.* \(c.jsonl, row 1\) and .* row [23]\)\. Mak"
    ):
        one_column(tmp_path, *values)


def test_nested_values_without_a_common_type_are_named_by_their_path(tmp_path) -> None:
    with pytest.raises(DataError, match=r"'x.a\[\]': .*row 2"):
        one_column(tmp_path, {"a": [1]}, {"a": [{"b": 1}]})


def test_parquet_files_of_several_types_meet_without_loss(tmp_path) -> None:
    pl.DataFrame({"n": pl.Series([1], dtype=pl.Int32), "s": [{"a": 1}]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"n": pl.Series([2**63], dtype=pl.UInt64), "late": ["x"]}).write_parquet(tmp_path / "2.parquet")
    pl.DataFrame({"s": [{"b": "y"}, None]}).write_parquet(tmp_path / "3.parquet")
    table, _ = stream(*sorted(tmp_path.glob("*.parquet")), block_bytes=100)
    assert table.rows() == [
        (1, {"a": 1, "b": None}, None),
        (2**63, None, "x"),
        (None, {"a": None, "b": "y"}, None),
        (None, None, None),
    ]


def test_whole_numbers_that_a_double_cannot_hold_do_not_meet_fractions(tmp_path) -> None:
    pl.DataFrame({"n": [2**53 + 1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"n": [0.5]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"'n', row 1: .*9007199254740993"):
        stream(*sorted(tmp_path.glob("*.parquet")), block_bytes=100)
    pl.DataFrame({"n": [2**53]}).write_parquet(tmp_path / "1.parquet")
    table, _ = stream(*sorted(tmp_path.glob("*.parquet")), block_bytes=100)
    assert table["n"].to_list() == [2.0**53, 0.5]


def test_parquet_types_that_no_type_holds_are_an_error(tmp_path) -> None:
    pl.DataFrame({"n": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"n": [[1]]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2.parquet, column 'n': expected values of one type in all files"):
        stream(*sorted(tmp_path.glob("*.parquet")), block_bytes=100)


def test_a_key_twice_in_one_object_is_no_record(tmp_path) -> None:
    (tmp_path / "c.jsonl").write_text('{"text":"a","text":"b"}\n{"text":"c","meta":{"text":"d"}}\n{"text": "text"}\n')
    table, _ = stream(tmp_path / "c.jsonl", block_bytes=10**6)
    assert table["text"].to_list() == ["c", "text"]
    (tmp_path / "n.jsonl").write_text(
        '{"text":"a","meta":{"k":1,"k":2}}\n{"text":"b","meta":{"k":3}}\n{"text":"c \\"k\\": d","meta":{"k":4}}\n'
        '{"text":"d","meta":{"k":5,"in":[{"q":1,"q":2}]}}\n'
    )
    table, _ = stream(tmp_path / "n.jsonl", block_bytes=10**6)
    assert table["text"].to_list() == ["b", 'c "k": d']


def test_a_header_that_has_a_name_twice_is_an_error(tmp_path) -> None:
    (tmp_path / "c.csv").write_text("text,n,n\na,1,2\n")
    with pytest.raises(DataError, match=r"c\.csv: expected a name for each column, found 'n' more than once"):
        stream(tmp_path / "c.csv", block_bytes=100)


def test_files_of_several_formats_meet(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("id,x\n1,two\n")
    lines(tmp_path / "b.jsonl", [{"id": 7, "y": 1.5}])
    table, _ = stream(tmp_path / "a.csv", tmp_path / "b.jsonl", block_bytes=100)
    assert sorted(table.rows(named=True), key=str) == [
        {"id": "1", "x": "two", "y": None},
        {"id": "7", "x": None, "y": 1.5},
    ]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("abc"), SCALARS, min_size=1, max_size=3)
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["u", "v", "w"]), VALUES, min_size=1), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, block_bytes=st.integers(1, 300))
def test_nothing_is_lost_of_any_stream(tmp_path, rows, block_bytes) -> None:
    path = lines(tmp_path / "c.jsonl", rows)
    try:
        table, columns = stream(path, block_bytes=block_bytes)
    except DataError as error:
        assert "expected values of one kind" in str(error)  # noqa: PT017 - which streams have one is not known before
        return
    whole, _ = stream(path, block_bytes=10**6)
    assert table.equals(whole)  # blocks change nothing
    assert table.height == len(rows)
    assert set(table.columns) == {name for row in rows for name in row}
    as_text = {loss.subject for loss in columns.as_text}
    for name in table.columns:
        given = [row.get(name) for row in rows]
        written = table[name].to_list()
        assert [value is None for value in written] == [value is None for value in given]
        if table.schema[name].is_numeric():
            assert written == given  # as numbers: 4 is 4.0
        elif table.schema[name] == pl.String and name not in as_text:
            assert written == given


@pytest.mark.parametrize(
    ("whole", "fractions"),
    [(2**53 + 1, 0.5), ({"x": 2**53 + 1}, {"x": 0.5, "y": "z"}), ([{"x": [2**53 + 1]}], [{"x": [0.5]}])],
)
def test_whole_numbers_that_a_column_of_fractions_would_round_are_told_at_any_depth(tmp_path, whole, fractions) -> None:
    pl.DataFrame({"a": [None, whole]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"a": [fractions]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="found 9007199254740993, and fractions in other files"):
        stream(tmp_path / "a.parquet", tmp_path / "b.parquet", block_bytes=10**6)


@pytest.mark.parametrize(
    ("number", "count"),
    [
        ("0.1234567890123456789012345", 1),
        ("100000000000000000000.5", 1),
        ("1.23456789012345678901e-5", 1),
        ("0.10000000000000000555", 0),  # a double, written out
        ("0.10000000000000001", 0),
        ("0.05417037462830167", 0),
        ("12345678901234567890123", 0),  # whole: its column is as wide as it needs
        ('"3.14159265358979323846264338"', 0),
        ('"1.2.3.4.5.6.7.8.9.1.2.3.4.5"', 0),
    ],
)
def test_numbers_of_more_digits_than_a_double_holds_are_counted(number, count) -> None:
    line = f'{{"x": {number}, "text": "3.14159265358979323846264338"}}\n'.encode()
    assert rounded_numbers(line + b'{"x": 1.5}\n' + line) == 2 * count


def test_a_column_that_cells_of_csv_make_text_is_told(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("n,m,e\n007,x,y\n")
    pl.DataFrame({"n": [7], "m": ["z"], "e": pl.Series(["w"], dtype=pl.Enum(["w"]))}).write_parquet(
        tmp_path / "b.parquet"
    )
    table, columns = stream(tmp_path / "a.csv", tmp_path / "b.parquet", block_bytes=100)
    assert table.rows() == [("007", "x", "y"), ("7", "z", "w")]
    assert [(loss.subject, loss.reason) for loss in columns.as_text] == [
        ("n", "written as text: it holds Int64 and text")
    ]
