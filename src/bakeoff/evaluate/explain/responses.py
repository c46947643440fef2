"""How the prediction goes with one column when all others stay as they are: partial dependence and its spread.

Source: J. Friedman (2001), "Greedy Function Approximation", 8.2; A. Goldstein et al. (2015), "Peeking Inside the Black
Box" (the curves of single rows, whose spread is given).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.explain.associations import ordered
from bakeoff.evaluate.explain.rows import ExplainedRows
from bakeoff.results.explanation import Response, ResponsePoint, Skipped

if TYPE_CHECKING:
    import polars as pl

__all__ = ["responses"]

COLUMNS = 6
GRID = 16
CATEGORIES = 10
FEWEST, MOST = 25, 100
"""Rows whose value is set."""
OUTPUTS = 4
SPREAD = (0.1, 0.9)
ENDS = (0.02, 0.98)
"""Quantiles between which a number is varied: beyond them a model has seen little."""


def responses(
    rows: ExplainedRows, names: Sequence[str], limit_s: float
) -> tuple[tuple[Response, ...], tuple[Skipped, ...]]:
    """The responses to the first few of these columns, texts aside."""
    by_name = {column.name: column for column in rows.columns}
    columns = [by_name[name] for name in names if by_name[name].kind != "text"][:COLUMNS]
    if not columns:
        return (), ()
    affordable = int(limit_s * rows.rows_per_s / (GRID * len(columns)))
    if affordable < min(FEWEST, len(rows)):
        return (), (Skipped(part="responses", reason=f"predicting for them takes longer than {limit_s:.1f} s"),)
    few, outputs = rows.sample(min(MOST, affordable)), rows.outputs(OUTPUTS)
    made = [_response(few, column, _grid(rows.table[column.name], column), outputs) for column in columns]
    return tuple(each for each in made if each is not None), ()


def _grid(series: "pl.Series", column: Column) -> list[Any]:
    """Values to set: frequent categories, or numbers evenly over the rows."""
    known = series.drop_nulls()
    if column.kind in {"categorical", "boolean"}:
        return known.value_counts(sort=True)[column.name].head(CATEGORIES).to_list()
    value_n = ordered(known)
    value_n = np.sort(value_n[np.isfinite(value_n)])
    if not len(value_n):
        return []
    inside = value_n[int(ENDS[0] * (len(value_n) - 1)) : int(np.ceil(ENDS[1] * (len(value_n) - 1))) + 1]
    places = np.unique(np.linspace(0, len(inside) - 1, GRID).astype(np.int64))
    return np.unique(inside[places]).tolist()


def _response(rows: ExplainedRows, column: Column, grid: list[Any], outputs: tuple[str, ...]) -> Response | None:
    import polars as pl

    if len(grid) < 2:  # noqa: PLR2004
        return None
    dtype = rows.table[column.name].dtype
    changed = []
    for value in grid:
        literal = pl.Series(column.name, [value]).cast(pl.Int64) if dtype.is_temporal() else pl.Series([value])
        changed.append(rows.table.with_columns(pl.lit(literal[0]).cast(dtype).alias(column.name)))
    answers = rows.answers(pl.concat(changed))
    curves: dict[str, tuple[ResponsePoint, ...]] = {}
    for output in outputs:
        value_gn = _values(answers, output).reshape(len(grid), -1)
        value_gn = value_gn - value_gn.mean(axis=0) + value_gn.mean()  # each row's curve about the common mean
        curves[output] = tuple(map(_point, _shown(grid, column, dtype), value_gn))
    kind = {"categorical": "category", "boolean": "category", "datetime": "time"}.get(column.kind, "number")
    return Response(column=column.name, kind=kind, outputs=curves)  # type: ignore[arg-type]


def _shown(grid: list[Any], column: Column, dtype: Any) -> list[float | str]:
    if column.kind == "datetime":
        per_s = {"ms": 1e3, "us": 1e6, "ns": 1e9}.get(getattr(dtype, "time_unit", ""), 1 / 86400)
        return [datetime.fromtimestamp(value / per_s, UTC).isoformat(timespec="minutes") for value in grid]
    return [str(value) if column.kind in {"categorical", "boolean"} else float(value) for value in grid]


def _point(at: float | str, value_n: Any) -> ResponsePoint:
    low, high = np.quantile(value_n, SPREAD).tolist()
    return ResponsePoint(at=at, mean=float(value_n.mean()), low=low, high=high)


def _values(answers: Predictions, output: str) -> Any:
    if answers.probabilities_nk is None:
        return answers.values_n.astype(np.float64)
    return answers.probabilities_nk[:, answers.classes.index(output)]
