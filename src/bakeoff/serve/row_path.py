"""The row path of a release: from a request's bytes to the model's own numbers, with no table between. Compiled once.

A row is decoded into a struct that is made for the release: a field for each input, of the type that JSON has for its
kind, and for whatever else is logged. Rows that lack an input, have other keys, hold values of other types or break a
rule of the contract are left to the table's way, which answers them or says what is wrong. What is answered here is
what the table's way would answer, to the last bit.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import msgspec

from bakeoff.core.abilities import abilities_of
from bakeoff.core.conversation import conversation_columns
from bakeoff.core.protocols import Model
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, ColumnKind, Predictions
from bakeoff.data.contract_rows import RowCheck
from bakeoff.data.values import Convert, absent_values, converter
from bakeoff.serve.inputs import Gaps, Inputs

__all__ = ["PathAnswer", "RowPath", "compiled"]

JSON_TYPES: Mapping[ColumnKind, Any] = {
    "numeric": int | float | None,
    "boolean": bool | None,
    "categorical": str | None,
    "text": str | None,
    "datetime": str | None,
}
TRIALS, MANY = 15, 16
NO_TIME = 1e9
PredictRows: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Predictions | None]


@dataclass(frozen=True, slots=True)
class PathAnswer:
    """What the model says of rows, what they lack, and what is logged of each."""

    predictions: Predictions
    gaps: Sequence[Gaps]
    logged: Sequence[Mapping[str, Any]]


class RowPath:
    """See the module. `row_type` is what a row of JSON decodes into."""

    def __init__(
        self,
        columns: Sequence[Column],
        further: Sequence[str],
        predict: PredictRows,
        inputs: Inputs,
        check: RowCheck | None,
    ) -> None:
        self._names = tuple(column.name for column in columns)
        self._logged = (*self._names, *further)
        self._converted = [(column.name, converter(column)) for column in columns if not _is_stored(column)]
        self._predict, self._inputs, self._check = predict, inputs, check
        self._columns = tuple(columns)
        fields = [(f"f{at}", JSON_TYPES[column.kind]) for at, column in enumerate(columns)]
        more = [(f"f{at}", Any, None) for at in range(len(columns), len(self._logged))]
        rename = {f"f{at}": name for at, name in enumerate(self._logged)}
        self.row_type: type[msgspec.Struct] = msgspec.defstruct(
            "Row", [*fields, *more], rename=rename, forbid_unknown_fields=True, gc=False
        )
        self._rows_type: Any = list[self.row_type]
        self._single_s, self._each_s = NO_TIME, NO_TIME

    def read(self, rows: Sequence[Mapping[str, object]]) -> list[msgspec.Struct] | None:
        """Rows of plain Python values as this path wants them; None where one does not fit or is not finite."""
        try:
            read = msgspec.convert(rows, self._rows_type)
        except (msgspec.ValidationError, TypeError, OverflowError):
            return None
        values = (value for row in read for value in msgspec.structs.astuple(row) if type(value) is float)
        return read if all(map(math.isfinite, values)) else None

    def __call__(self, rows: Sequence[msgspec.Struct]) -> PathAnswer | None:
        """The answer, or None: the rows are left to the table's way."""
        logged = [dict(zip(self._logged, msgspec.structs.astuple(row), strict=True)) for row in rows]
        if self._check is not None and self._check(logged):
            return None
        try:
            stored = self._stored(logged)
            predictions = self._predict(stored)
        except Exception:  # noqa: BLE001 - the table's way meets it again, and tells it
            return None
        if predictions is None or len(predictions) != len(rows):
            return None
        return PathAnswer(predictions, [self._inputs.of_stored(row) for row in stored], logged)

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
    predict, columns = abilities_of(model).predict_rows, model.signature.inputs
    if predict is None or release.steps or conversation_columns(columns):
        return None
    if any(column.format.vector is not None for column in columns):
        return None
    names = {column.name for column in columns}
    if release.columns and not names <= set(release.columns):
        return None  # an input that is not logged
    further = [name for name in release.columns if name not in names]
    path = RowPath(columns, further, predict, inputs, check)
    path.measure()
    return path


def _is_stored(column: Column) -> bool:
    """Whether its values of JSON are stored as they are."""
    return column.kind in {"numeric", "boolean"} and not absent_values(column)


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
