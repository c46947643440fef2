"""Damaged files end with a table and a ledger that adds up, or with one clear error; never with anything else.

`tools/fuzz_files.py` runs thousands of them.
"""

import csv
import io
import json
import random
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import BakeoffError, DataError
from bakeoff.data.parquet import parquet_table
from bakeoff.data.reading import read
from bakeoff.data.schema import infer
from bakeoff.data.sources import resolve
from bakeoff.data.target import name_classes, prepare_target

WORDS = ("red", "grün", "青", "a word", 'said "so"', "1,5", "NA", "", "two\nlines", "x;y", "=1+1", "None")
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16", "latin-1", "utf-16-le")


def damaged(seed: int) -> tuple[str, bytes]:
    """The name and the content of a damaged file; the same for the same seed."""
    chance = random.Random(seed)
    rows = [_row(chance, i) for i in range(chance.choice((0, 1, 5, 40, 60, 100, 200, 400)))]
    kind = chance.choice(("csv", "csv", "csv", "tsv", "jsonl", "parquet"))
    content = {"csv": _csv, "tsv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind](chance, rows)
    damages = (_flip, _cut, _lines, _mixed, _tail, _returns, _quotes)
    for damage in chance.choices(damages, k=chance.choice((0, 1, 1, 1, 2))):
        if content:
            content = damage(chance, content)
    return f"rows{seed}.{kind}", content


def data_rows(name: str, content: bytes) -> int | None:
    """How many rows a text file holds, where that can be counted by its lines alone: plain lines, no quotes."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if name.endswith("jsonl"):
        return sum(1 for line in text.split("\n") if line.strip()) if "[" not in text[:1] and "\r" not in text else None
    if not name.endswith(("csv", "tsv")) or '"' in text or "\r" in text or "\0" in text:
        return None
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) - 1 if lines and lines[0].startswith("label") else None


def _row(chance: random.Random, place: int) -> dict[str, object]:
    row: dict[str, object] = {
        "label": chance.choice("xy"),
        "number": chance.choice((place, place / 7, f"{place},5", "?", None, 10 ** chance.randrange(30))),
        "time": chance.choice(
            (f"2024-01-{place % 28 + 1:02d}", f"{place % 28 + 1}/3/2024", "soon", None, "2024-01-01T00:00Z")
        ),
        "word": chance.choice(WORDS),
        "mixed": chance.choice((True, "yes", 5, 0.5, None, "12:30", "5%")),
    }
    if chance.random() < 0.1:
        row["nested"] = chance.choice(([1, 2], {"a": 1}, "text", [[1]], [1, "a"]))
    return row


def _csv(chance: random.Random, rows: list[dict[str, object]]) -> bytes:
    out = io.StringIO()
    names = ["label", "number", "time", "word", "mixed"]
    plain = chance.random() < 0.4
    writer = csv.writer(
        out,
        delimiter=chance.choice(",;\t|"),
        lineterminator=chance.choice(("\n", "\n", "\r\n", "\r")),
        quoting=chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
    )
    writer.writerow(names)
    for row in rows:
        cells = [row[name] for name in names]
        if plain:
            cells = [str(cell).translate(str.maketrans("", "", ',;\t|"\n')) for cell in cells]
        writer.writerow(cells)
    return out.getvalue().encode(chance.choice(ENCODINGS), "replace")


def _jsonl(chance: random.Random, rows: list[dict[str, object]]) -> bytes:
    ascii_only = chance.random() < 0.5
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()


def _parquet(chance: random.Random, rows: list[dict[str, object]]) -> bytes:
    out = io.BytesIO()
    texts = {
        name: [None if row[name] is None else str(row[name]) for row in rows] for name in ("label", "word", "mixed")
    }
    table = pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))
    table.write_parquet(out, compression=chance.choice(("zstd", "uncompressed")))
    return out.getvalue()


def _flip(chance: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def _cut(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.choice((1, 10, 1000)) :]


def _lines(chance: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    for _ in range(chance.choice((1, 3))):
        place = chance.randrange(len(lines))
        action = chance.choice(("drop", "double", "shorten", "swap", "junk"))
        if action == "drop":
            lines[place] = b""
        elif action == "double":
            lines.insert(place, lines[place])
        elif action == "shorten":
            lines[place] = lines[place][: len(lines[place]) // 2]
        elif action == "swap":
            lines[place], lines[0] = lines[0], lines[place]
        else:
            lines.insert(place, bytes(chance.randrange(256) for _ in range(20)))
    return b"\n".join(lines)


def _mixed(chance: random.Random, content: bytes) -> bytes:
    """Some lines in another encoding."""
    lines = content.split(b"\n")
    for _ in range(chance.choice((1, 5))):
        place = chance.randrange(len(lines))
        text = lines[place].decode("utf-8", "replace") + chance.choice(("é", "ß", "Ж"))
        lines[place] = text.encode(chance.choice(("cp1252", "utf-16-le", "utf-8", "koi8-r")), "replace")
    return b"\n".join(lines)


def _tail(chance: random.Random, content: bytes) -> bytes:
    return content + chance.choice((b"\n\n\n", b"\0" * 10, b'"', b"Total,1", content[:200], b"\xff\xfe", b"\r"))


def _returns(chance: random.Random, content: bytes) -> bytes:
    return content.replace(b"\n", chance.choice((b"\r", b"\r\n", b"\r\r\n")), chance.choice((1, 5, -1)))


def _quotes(chance: random.Random, content: bytes) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + b'"' + content[place:]


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_read_or_explained(tmp_path: Path, seed: int) -> None:
    outcome(tmp_path, seed)


def outcome(folder: Path, seed: int) -> str:
    """What became of a damaged file: "table", "table with rows set aside" or "error"."""
    name, content = damaged(seed)
    (folder / name).write_bytes(content)
    config = DataConfig(source=name, target="label", max_bad_share=1.0 if seed % 2 else 0.05)
    files = resolve(name, folder=folder, cache=folder / "cache", progress=lambda _: None)
    try:
        reading = read(config, {"source": files})
        assert reading.rows == reading.table.height + reading.rejected.height
        assert reading.rejected.height == sum(loss.count for loss in reading.losses if loss.kind == "row")
        assert data_rows(name, content) in {None, reading.rows}
        named = name_classes(reading.table, config, "classification", reading.formats)
        schema = infer(named.table, config, "classification", named.formats).schema
        prepared = prepare_target(named.table, schema, "classification")
        lost = sum(loss.count for loss in prepared.losses if loss.kind == "row")
        assert prepared.table.height + lost == reading.table.height
    except BakeoffError as error:
        message = str(error)
        assert "defect" not in message
        assert len(message) < 5000
        return "error"
    return "table with rows set aside" if reading.rejected.height else "table"


def test_deeply_nested_json_is_a_bad_row(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    rows = b'{"a": 1, "label": "x"}\n{"a": 2, "label": "y"}\n'
    (tmp_path / "rows.jsonl").write_bytes(rows + b'{"a": ' + deep + b', "label": "x"}\n' + b'{"a":' * 100_000 + b"\n")
    config = DataConfig(source="rows.jsonl", target="label", max_bad_share=0.5)
    files = resolve("rows.jsonl", folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
    reading = read(config, {"source": files})
    assert reading.table.height == 2
    assert reading.rejected["reason"].to_list() == ["not a JSON object: nested too deeply"] * 2
    assert len(str(reading.losses)) < 2000


@pytest.mark.parametrize("compression", ["zstd", "uncompressed"])
def test_a_parquet_file_that_lacks_bytes_is_one_error_and_no_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], compression: Literal["zstd", "uncompressed"]
) -> None:
    """Wherever they are gone before the footer; a whole file, of any kind of columns, is read."""
    rows = {"a": list(range(900)), "b": [f"text {i % 7}" for i in range(900)], "label": ["x", None, "y"] * 300}
    nested = {"list": [[i, i] for i in range(900)], "struct": [{"at": i, "on": i % 2 == 0} for i in range(900)]}
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / "rows.parquet"
    pl.DataFrame(rows | nested).write_parquet(whole, row_group_size=200, compression=compression)
    table, _ = parquet_table(whole, name="rows.parquet")
    assert table.height == 900
    content = whole.read_bytes()
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    cut = tmp_path / "rows.parquet"
    for gone in (1, 2, 50, 1000, footer, len(content) - footer - 4):
        for start in {4, len(content) - footer - gone}:
            cut.write_bytes(content[:start] + content[start + gone :])
            with pytest.raises(DataError, match=r"rows\.parquet: could not be read as Parquet: .* a file that was cut"):
                parquet_table(cut, name="rows.parquet")
    empty = tmp_path / "whole" / "empty.parquet"
    pl.DataFrame(schema={"a": pl.Int64}).write_parquet(empty)
    assert parquet_table(empty, name="empty.parquet")[0].height == 0
    assert capfd.readouterr().err == ""


def test_a_damaged_parquet_file_is_one_error_and_no_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole.parquet"
    pl.DataFrame(
        {"a": list(range(500)), "b": [f"text {i}" for i in range(500)], "label": ["x", "y"] * 250}
    ).write_parquet(whole)
    content = whole.read_bytes()
    errors = 0
    for place in range(20, 900, 11):
        (tmp_path / "rows.parquet").write_bytes(content[:place] + b"\xff\xff" + content[place + 2 :])
        files = resolve("rows.parquet", folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
        try:
            read(DataConfig(source="rows.parquet", target="label"), {"source": files})
        except DataError:
            errors += 1
    assert errors
    assert "panicked" not in capfd.readouterr().err
