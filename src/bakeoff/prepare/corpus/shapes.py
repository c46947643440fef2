"""What JSON values are, by reading all of them: the kinds of each column and of what is nested in it.

A JSON number is whole or not by how it is written; a whole one is "long" when a double cannot hold it, and "wide" when
64 bits cannot.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MOST", "Kind", "Mixture", "RowPlace", "Shape", "dtype_of", "merged", "shape_of"]

Kind: TypeAlias = Literal["boolean", "whole", "long", "wide", "fraction", "text", "object", "list"]
MOST = 2**127
EXACT = 2**53
"""The largest whole number up to which a double holds each."""
NESTED: frozenset[Kind] = frozenset({"object", "list"})
KINDS: dict[type, Kind] = {bool: "boolean", float: "fraction", str: "text", dict: "object", list: "list"}
WORDS: dict[Kind, str] = {
    "boolean": "true or false",
    "whole": "whole numbers",
    "long": "whole numbers",
    "wide": "whole numbers of more than 64 bits",
    "fraction": "numbers with fractions",
    "text": "text",
    "object": "objects",
    "list": "lists",
}


class RowPlace(msgspec.Struct, frozen=True, order=True):
    """Where something stands: the number of the block, and of the row in it."""

    block: int
    row: int


class Shape(msgspec.Struct):
    """The kinds of values at one place of all rows, where each comes first, and what is nested there."""

    first: dict[Kind, RowPlace] = {}
    fields: dict[str, "Shape"] = {}
    items: "Shape | None" = None

    def add(self, value: Any, place: RowPlace) -> None:
        """Note one value."""
        if value is None:
            return
        kind = _kind(value)
        if kind not in self.first:
            self.first[kind] = place
        if kind == "object":
            for name, inner in value.items():
                self.fields.setdefault(name, Shape()).add(inner, place)
        elif kind == "list":
            self.items = self.items or Shape()
            for inner in value:
                self.items.add(inner, place)


class Mixture(Exception):  # noqa: N818 - the reader of all shapes makes an error of it that a person can use
    """Values that no type holds: the path, and where each of two kinds comes first."""

    def __init__(self, path: str, one: tuple[str, RowPlace], other: tuple[str, RowPlace]) -> None:
        super().__init__(path)
        self.path, self.one, self.other = path, one, other


def _kind(value: Any) -> Kind:
    if isinstance(value, int) and not isinstance(value, bool):
        if -EXACT <= value <= EXACT:
            return "whole"
        if -(2**63) <= value < 2**63:
            return "long"
        if not -MOST <= value < MOST:
            raise OverflowError
        return "wide"
    return KINDS[type(value)]


def shape_of(rows: Iterable[dict[str, Any]], *, block: int) -> Shape:
    """The shape of the rows of one block, as one object.

    Raises:
        OverflowError: a whole number of more than 128 bits, which no column holds.
    """
    whole = Shape()
    fields = whole.fields
    seen: dict[str, set[type]] = {}
    for number, row in enumerate(rows):
        place = RowPlace(block, number)
        for name, value in row.items():
            kind = type(value)
            # Of what cannot hold anything new after its first value, one is enough.
            types = seen.setdefault(name, set())
            if kind in types:
                continue
            if kind in {str, bool, float}:
                types.add(kind)
            fields.setdefault(name, Shape()).add(value, place)
    return whole


def merged(one: Shape, other: Shape) -> Shape:
    """The shape of the values of both."""
    first = dict(one.first)
    for kind, place in other.first.items():
        first[kind] = min(place, first.get(kind, place))
    fields = dict(one.fields)
    for name, shape in other.fields.items():
        fields[name] = merged(fields[name], shape) if name in fields else shape
    items = merged(one.items, other.items) if one.items and other.items else one.items or other.items
    return Shape(first=first, fields=fields, items=items)


def dtype_of(shape: Shape, path: str, widened: dict[str, tuple[str, ...]], *, parquet: bool = True) -> "pl.DataType":
    """The narrowest type that holds all values as they are; what becomes text is noted in `widened` by its path.

    Raises:
        Mixture: objects or lists beside other values.
    """
    import polars as pl

    kinds = set(shape.first)
    if kinds & NESTED:
        return _nested(shape, path, widened, parquet=parquet)
    plain: list[tuple[set[Kind], pl.DataType]] = [
        (set(), pl.Null()),
        ({"whole", "long"}, pl.Int64()),
        ({"whole", "long", "wide"}, pl.Int128()),
        ({"whole", "fraction"}, pl.Float64()),
        ({"boolean"}, pl.Boolean()),
    ]
    for fitting, dtype in plain:
        if kinds <= fitting:
            return dtype
    if kinds != {"text"}:
        widened[path] = tuple(dict.fromkeys(WORDS[kind] for kind in sorted(kinds)))
    return pl.String()


def _nested(shape: Shape, path: str, widened: dict[str, tuple[str, ...]], *, parquet: bool) -> "pl.DataType":
    import polars as pl

    if len(shape.first) > 1:
        places = sorted((place, WORDS[kind]) for kind, place in shape.first.items())
        (here, one), (there, other) = places[0], next(p for p in places if p[1] != places[0][1])
        raise Mixture(path, (one, here), (other, there))
    if "list" in shape.first:
        return pl.List(dtype_of(shape.items or Shape(), f"{path}[]", widened, parquet=parquet))
    if not shape.fields and parquet:  # which knows no object without a field
        widened[path] = ("objects without a field",)
        return pl.String()
    return pl.Struct(
        {name: dtype_of(inner, f"{path}.{name}", widened, parquet=parquet) for name, inner in shape.fields.items()}
    )
