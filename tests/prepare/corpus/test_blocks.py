"""Files cut anywhere give the records of the whole file."""

from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.data.sources import SourceFile
from bakeoff.prepare.corpus import blocks
from bakeoff.prepare.corpus.blocks import cut
from bakeoff.prepare.corpus.parsing import parse

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r"), max_size=12)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20)
TYPES = {"a": pl.String(), "b": pl.String()}
ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def file(path: Path, kind) -> SourceFile:
    return SourceFile(location=path.name, path=path, digest="", format=kind)


def pieces(source: SourceFile, block_bytes: int) -> list[pl.DataFrame]:
    return [parse(block, TYPES).table for block in cut(source, block_bytes)]


@ANY
@given(rows=ROWS, block_bytes=st.integers(1, 200), mark=st.booleans())
@example(rows=[('a"b', "c\n\nd"), ("", '"')], block_bytes=3, mark=True)
def test_delimited_files(tmp_path, rows, block_bytes, mark) -> None:
    table = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    path = tmp_path / "c.csv"
    path.write_bytes(b"\xef\xbb\xbf" * mark + table.write_csv(quote_style="always").encode())
    assert pl.concat(pieces(file(path, "csv"), block_bytes)).equals(table)


@ANY
@given(rows=ROWS, block_bytes=st.integers(1, 200), end=st.booleans())
def test_json_lines(tmp_path, rows, block_bytes, end) -> None:
    table = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in table.to_dicts()) + b"\n" * end)
    assert pl.concat(pieces(file(path, "jsonl"), block_bytes)).equals(table)


def test_a_quote_that_does_not_close_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "MOST_RECORD_BYTES", 1000)
    path = tmp_path / "c.csv"
    path.write_text('a,b\n1,"2\n' + "3,4\n" * 1000)
    with pytest.raises(DataError, match=r"without an end after byte 4: .* a quote that does not close"):
        list(cut(file(path, "csv"), 100))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,n\nhé,1\n".encode("utf-16"), "expected UTF-8, found UTF-16 by its first bytes"),
        ("text,n\nhé,1\n".encode("utf-32"), "expected UTF-8, found UTF-32 by its first bytes"),
        (b"text,n\rhe,1\r", "expected lines that end in a line feed, found carriage returns alone"),
    ],
)
def test_other_encodings_and_line_ends_are_named(tmp_path, content, message) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(cut(file(tmp_path / "c.csv", "csv"), 100))
