"""From a block to a table whose columns are those of the corpus; lines that are no records are set aside."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.data.cells import records_of
from bakeoff.prepare.corpus.blocks import Block
from bakeoff.prepare.corpus.shapes import MOST, Shape, shape_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BlockShape", "Parsed", "header_of", "look", "parse", "rounded_numbers"]

SHOWN_CHARACTERS = 80
PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
# An escaped backslash, a whole surrogate pair, or half of one, which is no character.
ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
MOST_DIGITS = re.compile(rb"\d{39}")
DOUBLE_DIGITS = 17
"""So many digits tell every double from its neighbours."""
LONG = DOUBLE_DIGITS + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The rows of a block, and the lines that are no records: why, and how they start.

    `halves`: how many halves of surrogate pairs became U+FFFD, the replacement character.
    """

    table: "pl.DataFrame"
    bad: tuple[str, ...] = ()
    halves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockShape:
    """The kinds of all values of a block of JSON lines, its rows, and its lines that are no records.

    `rounded`: how many numbers have more digits than the double that they become.
    """

    shape: Shape
    rows: int
    bad_lines: int = 0
    rounded: int = 0


def look(block: Block, *, number: int) -> BlockShape:
    """Read a block of JSON lines for what is in it."""
    data, _ = _whole(_read(block))
    try:
        data.decode()
        records = msgspec.json.Decoder(dict[str, Any]).decode_lines(data)
        if not _repeats_keys(data, records):
            return BlockShape(shape=shape_of(records, block=number), rows=len(records), rounded=rounded_numbers(data))
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError):
        pass
    every = [(line, record) for line, record, _ in _records(data)]
    sound = [record for _, record in every if record is not None]
    return BlockShape(
        shape=shape_of(sound, block=number),
        rows=len(sound),
        bad_lines=len(every) - len(sound),
        rounded=sum(rounded_numbers(line) for line, record in every if record is not None),
    )


def rounded_numbers(data: bytes) -> int:
    """How many numbers with a fraction, in JSON lines, have more digits than a double holds, and become another."""
    # Long runs of digits and points are few: what is read anew, with every number as it is written, is little.
    if not any(_is_rounded(run) for run in _long_numbers(data)):
        return 0
    count = 0

    def hook(number: str) -> float:
        nonlocal count
        count += _is_rounded(number)
        return 0.0

    msgspec.json.Decoder(dict[str, Any], float_hook=hook).decode_lines(data)
    return count


def _long_numbers(data: bytes) -> Iterator[str]:
    """Runs of more digits, and points, than a double has."""
    byte_b = np.frombuffer(data, dtype=np.uint8)
    is_digit = np.zeros(256, dtype=bool)
    is_digit[list(b"0123456789.")] = True
    # A run of 19 and more holds four neighbours among every fourth byte: most blocks need no closer look.
    fourth = is_digit[byte_b[:: LONG // 4]]
    if not (fourth[:-3] & fourth[1:-2] & fourth[2:-1] & fourth[3:]).any():
        return
    others = np.concatenate(([-1], np.flatnonzero(~is_digit[byte_b]), [len(data)]))
    for place in np.flatnonzero(np.diff(others) > LONG):
        yield data[others[place] + 1 : others[place + 1]].decode()


def _is_rounded(number: str) -> bool:
    digits = len(number.lower().partition("e")[0].replace(".", "").lstrip("-0"))
    if digits <= DOUBLE_DIGITS:
        return False
    try:
        exact = Decimal(number)
    except InvalidOperation:  # digits and points of a text
        return False
    return Context(prec=digits).create_decimal(Decimal(float(number))) != exact


def _repeats_keys(data: bytes, records: list[dict[str, Any]]) -> bool:
    """Whether an object, also one within another, has a key twice: readers take one of the values and tell nobody."""
    counts = Counter(chain.from_iterable(records))
    colons = data.count(b'":') + data.count(b'" :')
    if colons > counts.total() and any(map(_nests, records)):  # objects within objects, and not quotes within texts
        counts = Counter[str]()
        for record in records:
            _count_keys(record, counts)
    return any(_written(data, name) > count for name, count in counts.items())


def _nests(record: dict[str, Any]) -> bool:
    return any(isinstance(value, dict | list) for value in record.values())


def _written(data: bytes, name: str) -> int:
    forms = {json.dumps(name), json.dumps(name, ensure_ascii=False)}
    return sum(data.count(f"{form}{mark}".encode("utf-8", "replace")) for form in forms for mark in (":", " :"))


def _count_keys(value: Any, counts: "Counter[str]") -> None:
    if narrow.is_object(value):
        counts.update(value.keys())
        for each in value.values():
            _count_keys(each, counts)
    elif narrow.is_array(value):
        for each in value:
            _count_keys(each, counts)


def parse(block: Block, types: "Mapping[str, pl.DataType]", *, careful: bool = False) -> Parsed:
    """Read a block; JSON lines into columns of these types, all else as it is; cells of csv and tsv stay text.

    A `careful` reading judges each line as `look` does.

    Raises:
        DataError: it cannot be read at all.
    """
    import polars as pl

    if block.format == "parquet":
        rows = pl.scan_parquet(block.file, glob=False).slice(block.start - block.base, block.end - block.start)
        return Parsed(table=rows.collect())
    data = _read(block)
    return _json_lines(data, types, careful=careful) if block.format == "jsonl" else _delimited(data, block)


def _read(block: Block) -> bytes:
    with open(block.file, "rb") as source:  # noqa: PTH123 - a path as the block holds it
        source.seek(block.start - block.base)
        return source.read(block.end - block.start)


def _whole(data: bytes) -> tuple[bytes, int]:
    """The data without halves of surrogate pairs, and how many there were."""
    surrogates = data.count(b"\\ud") + data.count(b"\\uD")
    if not surrogates or surrogates == 2 * len(PAIR.findall(data)):  # the usual cases, seen fast
        return data, 0
    halves = sum(found[1] is not None for found in ESCAPES.finditer(data))
    if not halves:
        return data, 0
    return ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], data), halves


def _json_lines(data: bytes, types: "Mapping[str, pl.DataType]", *, careful: bool) -> Parsed:
    import polars as pl

    data, halves = _whole(data)
    bad: list[str] = []
    if careful:
        sound: list[bytes] = []
        for line, record, why in _records(data):
            if record is None:
                bad.append(f"{why}: {_start(line)}")
            else:
                sound.append(line)
        data = b"\n".join(sound)
    try:
        return Parsed(table=_read_json(data, types), bad=tuple(bad), halves=halves)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        if not careful:
            return _json_lines(data, types, careful=True)
        raise DataError(f"JSON lines could not be read: {str(error).partition(chr(10))[0]}") from error


def _records(data: bytes) -> "Iterator[tuple[bytes, dict[str, Any] | None, str]]":
    """Each line that is not blank, its record, or why it is none."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            line.decode()
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield line, None, f"not a JSON object ({error})"
            continue
        if MOST_DIGITS.search(line) and _is_huge(record):
            yield line, None, "a whole number of more than 128 bits"
        elif _repeats_keys(line, [record]):
            yield line, None, "a key twice in one object"
        else:
            yield line, record, ""


def _is_huge(value: Any) -> bool:
    if narrow.is_object(value):
        return any(_is_huge(inner) for inner in value.values())
    if narrow.is_array(value):
        return any(_is_huge(inner) for inner in value)
    return isinstance(value, int) and not -MOST <= value < MOST


def _read_json(data: bytes, types: "Mapping[str, pl.DataType]") -> "pl.DataFrame":
    import polars as pl

    if not data.strip():
        return pl.DataFrame(schema=dict(types))
    data.decode()  # polars would take bytes that are not UTF-8 as they are
    return pl.read_ndjson(io.BytesIO(data), schema=dict(types))


def header_of(block: Block) -> list[str]:
    """The names of the columns of a delimited file."""
    (names,) = _cells(block.header, _separator_of(block))
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(
            f"{Path(block.file).name}: expected a name for each column, found {', '.join(map(repr, repeated))} "
            "more than once. Give the columns names of their own in the header."
        )
    return names


def _delimited(data: bytes, block: Block) -> Parsed:
    import polars as pl

    separator = _separator_of(block)
    try:
        table = pl.read_csv(io.BytesIO(block.header + data), separator=separator, infer_schema=False)
        return Parsed(table=table)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return _by_hand(data, block.header, separator)


def _separator_of(block: Block) -> str:
    if block.format == "tsv":
        return "\t"
    return max(",;\t|", key=lambda mark: block.header.count(mark.encode()))


def _cells(data: bytes, separator: str) -> Iterator[list[str]]:
    return records_of(io.StringIO(data.decode("utf-8", "replace"), newline=""), delimiter=separator)


def _by_hand(data: bytes, header: bytes, separator: str) -> Parsed:
    """Record by record, where some have too few or too many cells, or bytes that are not UTF-8."""
    import polars as pl

    (names,) = _cells(header, separator)
    rows: list[list[str | None]] = []
    bad: list[str] = []
    for cells in _cells(data, separator):
        if len(cells) != len(names):
            if cells:
                bad.append(f"{len(cells)} cells where the header has {len(names)}: {_start(separator.join(cells))}")
        elif any("\ufffd" in cell for cell in cells):
            bad.append(f"bytes that are not utf-8: {_start(separator.join(cells))}")
        else:
            rows.append([cell or None for cell in cells])
    return Parsed(table=pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row"), bad=tuple(bad))


def _start(line: bytes | str) -> str:
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    return repr(text[:SHOWN_CHARACTERS])
