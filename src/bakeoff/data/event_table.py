"""Events as tables of typed columns, and back, without loss: what archives hold, and `EventLog.scan` gives.

The columns are the fields of the classes of events (`bakeoff.core.events`). Mappings, and fields of any type, are JSON
text. A field that is a number or a text has two columns, NAME and `NAME_text`. What no column takes (a key of another
version, a value of another type) stands as JSON in `rest`, so that an event comes back as it was.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import polars as pl

from bakeoff.core.events import KINDS, E, Readable, decode, kind_of, tag_of

__all__ = ["events", "of_class", "table"]

_SLICE = 20_000  # rows made into Python objects at a time
_WHOLE = 2**53  # a float holds whole numbers exactly up to here
_TEXTS = pl.List(pl.String)
_TYPES: Mapping[Any, Any] = {str: pl.String, int: pl.Int64, float: pl.Float64, tuple[str, ...]: _TEXTS}
_JSON_TYPES = (NoneType, bool, int, float, str, list, dict)


class _Column(NamedTuple):
    """Where a field stands, or its numbers or texts; with `json`, its text is JSON, which stays that if it is `raw`."""

    field: str
    name: str
    dtype: Any
    json: bool = False
    raw: bool = False


@cache
def _columns(kind: type[Readable]) -> tuple[_Column, ...]:
    columns: list[_Column] = []
    for field in msgspec.structs.fields(kind):
        union = get_origin(field.type) in (Union, UnionType)
        listed = get_args(field.type) if union else (field.type,)
        types = {str if _is_of_texts(each) else each for each in listed} - {NoneType}
        if types == {float, str}:
            columns.append(_Column(field.name, field.name, pl.Float64))
            columns.append(_Column(field.name, f"{field.name}_text", pl.String))
        else:
            dtype = _TYPES.get(types.pop()) if len(types) == 1 else None
            raw = field.type is msgspec.Raw
            columns.append(_Column(field.name, field.name, dtype or pl.String, json=dtype is None, raw=raw))
    return tuple(columns)


def _is_of_texts(of: Any) -> bool:
    """Whether a type lists texts, one of which a value is."""
    return get_origin(of) is Literal and all(isinstance(each, str) for each in get_args(of))


@cache
def _schema() -> Mapping[str, Any]:
    """All columns of a table of all kinds; fields of the same name share one, whatever the class."""
    tags = {tag[0]: pl.String for kind in KINDS if (tag := tag_of(kind))}
    fields = {column.name: column.dtype for kind in KINDS for column in _columns(kind)}
    return {"seq": pl.UInt64, "kind": pl.String, **tags, **fields, "rest": pl.String}


# --- from events to columns -------------------------------------------------------------------------

_Place = tuple[str, Callable[[Any], Any]]
"""A column, and what it holds of a value: None when it does not take it after all."""


def _takers(column: _Column) -> Iterator[tuple[type, Callable[[Any], Any]]]:
    """The types of values that a column takes, and what it holds of them."""
    if column.json:
        yield from ((kind, _as_json) for kind in _JSON_TYPES)
    elif column.dtype == pl.Float64:
        yield float, _same
        yield int, lambda value: float(value) if abs(value) <= _WHOLE else None
    elif column.dtype == pl.Int64:
        yield int, lambda value: value if -(2**63) <= value < 2**63 else None
    elif column.dtype == pl.String:
        yield str, _same
    else:
        yield list, lambda value: value if all(type(each) is str for each in value) else None


def _same(value: Any) -> Any:
    return value


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@cache
def _places(name: str) -> Mapping[tuple[str, type], _Place]:
    """Of a stored kind: field and type of a value to its place."""
    classes = [kind for kind, stored in KINDS.items() if stored == name]
    places: dict[tuple[str, type], _Place] = {
        (tag[0], str): (tag[0], _same) for kind in classes if (tag := tag_of(kind))
    }
    for column in (column for kind in classes for column in _columns(kind)):
        places |= {(column.field, kind): (column.name, taken) for kind, taken in _takers(column)}
    return places


def table(records: Iterable[tuple[int, str, bytes]]) -> pl.DataFrame:
    """Events of all kinds, given as number, kind and JSON, as a table of all columns."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    rows: list[dict[str, Any]] = []
    for seq, kind, payload in records:
        places, rest = {} if decode(kind, payload) is None else _places(kind), dict[str, Any]()
        row: dict[str, Any] = {"seq": seq, "kind": kind}
        for field, value in decoder.decode(payload).items():
            name, taken = places.get((field, type(value)), ("", None))
            if taken is None or (of_value := taken(value)) is None:
                rest[field] = value
            else:
                row[name] = of_value
        if rest:
            row["rest"] = _as_json(rest)
        rows.append(row)
    return pl.DataFrame([pl.Series(n, [row.get(n) for row in rows], dtype=dtype) for n, dtype in _schema().items()])


# --- from columns to events -------------------------------------------------------------------------


def of_class(source: pl.LazyFrame, kind: type[Readable]) -> pl.LazyFrame:
    """The events of a class in a table of all kinds: `seq`, its fields and `rest`; one of before may lack columns."""
    source = source.filter(pl.col("kind") == kind_of(kind))
    if (tag := tag_of(kind)) is not None:
        source = source.filter(pl.col(tag[0]) == tag[1])
    present = source.collect_schema()
    absent = [pl.lit(None, each.dtype).alias(each.name) for each in _columns(kind) if each.name not in present]
    return source.with_columns(absent).select("seq", *(column.name for column in _columns(kind)), "rest")


def events(rows: pl.DataFrame, kind: type[E]) -> Iterator[tuple[int, E]]:
    """The events of a table that `of_class` gave, with their numbers; a null is a field that the event left out."""
    for part in rows.iter_slices(_SLICE):
        values: dict[str, list[Any]] = {}
        for column in _columns(kind):
            taken, first = _values(part[column.name], kind, column), values.get(column.field)
            if first is not None:
                taken = [a if b is None else b for a, b in zip(first, taken, strict=True)]
            values[column.field] = taken
        for seq, rest, *row in zip(part["seq"].to_list(), part["rest"].to_list(), *values.values(), strict=True):
            fields = {name: value for name, value in zip(values, row, strict=True) if value is not None}
            if rest is None:
                yield seq, kind(**fields)
            else:
                yield seq, msgspec.convert(fields | msgspec.json.decode(rest), kind)


def _values(series: pl.Series, kind: type[Readable], column: _Column) -> list[Any]:
    values = series.to_list()
    if column.raw:
        return [None if value is None else msgspec.Raw(value) for value in values]
    if column.json:
        texts = ("null" if value is None else value for value in values)
        return _decoder(kind, column.field).decode(f"[{','.join(texts)}]")
    if column.dtype == _TEXTS:
        return [None if value is None else tuple(value) for value in values]
    return values


@cache
def _decoder(kind: type[Readable], field: str) -> "msgspec.json.Decoder[list[Any]]":
    (of,) = (each.type for each in msgspec.structs.fields(kind) if each.name == field)
    return msgspec.json.Decoder(list[of | None])
