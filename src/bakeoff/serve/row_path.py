"""The row path of a release: from a request's bytes to the model's own numbers, with no table between. Compiled once.

A row is decoded into a struct that is made for the release: a field for each input, of the type that JSON has for its
kind, and for whatever else is logged. Rows that lack an input, have other keys, hold values of other types or break a
rule of the contract are left to the table's way, which answers them or says what is wrong. What is answered here is
what the table's way would answer, to the last bit.
"""

import math
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.core.abilities import abilities_of
from bakeoff.core.conversation import conversation_columns
from bakeoff.core.protocols import Model
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, ColumnKind, Predictions
from bakeoff.data.contract_rows import RowCheck
from bakeoff.data.values import Convert, absent_values, converter
from bakeoff.serve.inputs import NO_GAPS, Gaps, Inputs

__all__ = ["PathAnswer", "RowPath", "compiled"]

JSON_TYPES: Mapping[ColumnKind, Any] = {
    "numeric": int | float | None,
    "boolean": bool | None,
    "categorical": str | None,
    "text": str | None,
    "datetime": str | None,
}
NUMBERS = frozenset[ColumnKind]({"numeric", "boolean"})
TRIALS, MANY = 15, 16
NO_TIME = 1e9
PredictRows: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Predictions | None]
PredictNumbers: TypeAlias = Callable[[NDArray[np.float64]], Predictions | None]
_values_of = msgspec.structs.astuple


@dataclass(frozen=True, slots=True)
class PathAnswer:
    """What the model says of rows, and what they lack."""

    predictions: Predictions
    gaps: Sequence[Gaps]


class RowPath:
    """See the module.

    Rows of numbers alone become numbers at once, where the model has `predict_numbers`; others a mapping each.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        further: Sequence[str],
        predict: PredictRows,
        inputs: Inputs,
        *,
        check: RowCheck | None,
        predict_numbers: PredictNumbers | None = None,
    ) -> None:
        self._names = tuple(column.name for column in columns)
        self._logged = (*self._names, *further)
        self._converted = [(column.name, converter(column)) for column in columns if not _is_stored(column)]
        self._predict, self._inputs, self._check = predict, inputs, check
        of_numbers = not self._converted and all(column.kind in NUMBERS for column in columns)
        self._predict_numbers = predict_numbers if of_numbers else None
        self._is_within = None if check is None else check.within(self._names) or _never
        self._columns = tuple(columns)
        fields = [(f"f{at}", JSON_TYPES[column.kind]) for at, column in enumerate(columns)]
        more = [(f"f{at}", Any, None) for at in range(len(columns), len(self._logged))]
        rename = {f"f{at}": name for at, name in enumerate(self._logged)}
        row_type: Any = msgspec.defstruct("Row", [*fields, *more], rename=rename, forbid_unknown_fields=True, gc=False)
        self._rows_type: Any = list[row_type]
        self._decode: Callable[[msgspec.Raw], msgspec.Struct] = msgspec.json.Decoder(row_type).decode
        self._single_s, self._each_s = NO_TIME, NO_TIME

    def read_json(self, rows: Sequence[msgspec.Raw]) -> list[msgspec.Struct] | None:
        """Rows of JSON as this path wants them; None where one does not fit."""
        try:
            return [self._decode(row) for row in rows]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def logged(self, rows: Sequence[msgspec.Raw], read: Sequence[msgspec.Struct]) -> Sequence[msgspec.Raw]:
        """Rows of JSON as they are logged: as they came, with null for what else is logged and they have not."""
        d = len(self._names)
        if d == len(self._logged):
            return rows
        nulls = [
            [name for name, value in zip(self._logged[d:], _values_of(each)[d:], strict=True) if value is None]
            for each in read
        ]
        return [_with_nulls(row, names) if names else row for row, names in zip(rows, nulls, strict=True)]

    def read(self, rows: Sequence[Mapping[str, object]]) -> list[msgspec.Struct] | None:
        """Rows of plain Python values as this path wants them; None where one does not fit or is not finite."""
        try:
            read = msgspec.convert(rows, self._rows_type)
        except (msgspec.ValidationError, TypeError, OverflowError):
            return None
        values = (value for row in read for value in _values_of(row) if type(value) is float)
        return read if all(map(math.isfinite, values)) else None

    def __call__(self, rows: Sequence[msgspec.Struct]) -> PathAnswer | None:
        """The answer, or None: the rows are left to the table's way."""
        values_n = [_values_of(row) for row in rows]
        try:
            answer = self._of_numbers(values_n) if self._predict_numbers is not None else None
            return answer if answer is not None else self._of_rows(values_n)
        except Exception:  # noqa: BLE001 - the table's way meets it again, and tells it
            return None

    def _of_numbers(self, values_n: Sequence[tuple[Any, ...]]) -> PathAnswer | None:
        """The answer to rows of numbers that have all their values and surely keep the contract."""
        assert self._predict_numbers is not None
        d = len(self._names)
        numbers = values_n if d == len(self._logged) else [values[:d] for values in values_n]
        try:
            packed = struct.pack(f"{d * len(values_n)}d", *chain.from_iterable(numbers))
        except struct.error:  # one is missing
            return None
        x_nd = np.frombuffer(packed).reshape(len(values_n), d)
        if self._is_within is not None and not self._is_within(x_nd):
            return None
        predictions = self._predict_numbers(x_nd)
        if predictions is None or len(predictions) != len(values_n):
            return None
        return PathAnswer(predictions, [NO_GAPS] * len(values_n))

    def _of_rows(self, values_n: Sequence[tuple[Any, ...]]) -> PathAnswer | None:
        logged = [dict(zip(self._logged, values, strict=True)) for values in values_n]
        if self._check is not None and self._check(logged):
            return None
        stored = self._stored(logged)
        predictions = self._predict(stored)
        if predictions is None or len(predictions) != len(values_n):
            return None
        return PathAnswer(predictions, [self._inputs.of_stored(row) for row in stored])

    def _stored(self, logged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The values of the inputs as they are stored."""
        if len(self._names) == len(self._logged) and not self._converted:
            return list(logged)
        stored = [{name: row[name] for name in self._names} for row in logged]
        for name, convert in self._converted:
            for row in stored:
                if (value := row[name]) is not None:
                    row[name] = convert(value)
        return stored

    def seconds(self, rows: int) -> float:
        """About how long the model takes for so many rows, as measured when it was loaded."""
        return self._single_s + (rows - 1) * self._each_s

    def measure(self) -> None:
        """Ask the model about made-up rows, and note how long it takes."""
        row = {column.name: _example(column) for column in self._columns}
        few, many = (_seconds(self._predict, [row] * count) for count in (1, MANY))
        if few is not None:
            self._single_s = few
            self._each_s = max(many - few, 0.0) / (MANY - 1) if many is not None else NO_TIME


def compiled(release: Release, model: Model, inputs: Inputs, check: RowCheck | None) -> RowPath | None:
    """The row path of a release; None where its rows need a table: of steps, vectors, conversations, or the model."""
    abilities, columns = abilities_of(model), model.signature.inputs
    predict = abilities.predict_rows
    if predict is None or release.steps or conversation_columns(columns):
        return None
    if any(column.format.vector is not None for column in columns):
        return None
    names = {column.name for column in columns}
    if release.columns and not names <= set(release.columns):
        return None  # an input that is not logged
    further = [name for name in release.columns if name not in names]
    path = RowPath(columns, further, predict, inputs, check=check, predict_numbers=abilities.predict_numbers)
    path.measure()
    return path


def _is_stored(column: Column) -> bool:
    """Whether its values of JSON are stored as they are."""
    return column.kind in {"numeric", "boolean"} and not absent_values(column)


def _with_nulls(row: msgspec.Raw, names: Sequence[str]) -> msgspec.Raw:
    """A row of JSON with these keys, which it has not (or null)."""
    more = msgspec.json.encode(dict.fromkeys(names))[1:]
    return msgspec.Raw(b"%b,%b" % (bytes(row)[:-1], more))


def _never(_: NDArray[np.float64]) -> bool:
    """Of rows that are looked at value by value."""
    return False


EXAMPLES: Mapping[str, Any] = {"numeric": 1.0, "boolean": True, "datetime": "2026-01-31T12:00:00"}


def _example(column: Column) -> Any:
    """A value that a row could have; none where the column's own way of writing is another (codes, units, spans)."""
    convert: Convert = converter(column)
    try:
        return convert(EXAMPLES.get(column.kind, "a few words of text"))
    except (ValueError, TypeError, ArithmeticError):
        return None


def _seconds(predict: PredictRows, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The median time of a call, or None when the model does not answer such rows."""
    times: list[float] = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        try:
            if predict(rows) is None:
                return None
        except Exception:  # noqa: BLE001 - made-up values may not suit it
            return None
        times.append(time.perf_counter() - began)
    return median(times[1:])
