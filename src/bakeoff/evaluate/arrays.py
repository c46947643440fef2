"""Truth and predictions as users have them: lists, arrays of numpy, columns and tables of polars or pandas."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import DataError
from bakeoff.core.types import Predictions
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.quantiles import Pinball

__all__ = [
    "BINARY",
    "ColumnLike",
    "PredictionsLike",
    "column",
    "complete",
    "is_table",
    "labels",
    "numbers",
    "predictions_of",
    "some",
    "times",
]

ColumnLike: TypeAlias = Any
"""A list, or whatever numpy makes an array of one dimension of."""
PredictionsLike: TypeAlias = Any
"""A column of labels, numbers or texts, or a table: of probabilities, a column for each class, or of quantiles."""

SHOWN = 5
"""Names in a message."""
BINARY = 2
"""With so many classes one column of probabilities says all."""
MEDIAN = "0.5"
LARGEST = 1e150
"""The largest number whose square is one."""
ISO_TIME = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?)?(Z|[+-]\d\d:?\d\d)?")


def column(values: ColumnLike, name: str, *, rows: int | None = None) -> NDArray[Any]:
    """One value a row.

    Raises:
        DataError: it has another shape, another number of rows, or none.
    """
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim != 1 or not len(array) or (rows is not None and len(array) != rows):
        many = "one value or more" if rows is None else f"{rows} values, one for each row of the truth"
        hint = ". Give probabilities as a table with a column named for each class" if array.ndim == BINARY else ""
        raise DataError(f"expected {name} to be {many}; received the shape {array.shape}{hint}")
    return array


def complete(values: NDArray[Any], name: str) -> NDArray[Any]:
    """The column, if no value is missing.

    Raises:
        DataError: there are some (None, NaN, NaT).
    """
    missing = 0
    if values.dtype.kind in "fmM":
        missing = int(np.isnan(values).sum())
    elif values.dtype == object:
        missing = sum(value is None or value != value for value in values.tolist())  # noqa: PLR0124 - NaN
    if missing:
        raise DataError(f"expected {name} to have a value in every row; {missing} of {len(values)} are missing")
    return values


def numbers(values: NDArray[Any], name: str) -> NDArray[Any]:
    """The column, if it holds numbers.

    Raises:
        DataError: it holds something else.
    """
    try:
        found = values if values.dtype.kind in "fiub" else values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected {name} to be numbers; received {values.tolist()[0]!r} first") from error
    large = found[np.isfinite(found) & (np.abs(found.astype(np.float64)) > LARGEST)]
    if len(large):
        raise DataError(f"expected {name} to be numbers up to {LARGEST:g} in size; received {large[0]:g}: rescale them")
    return found


def times(values: NDArray[Any], name: str) -> NDArray[Any]:
    """The column, if its values order the rows: numbers, dates, or dates as texts that sort as they follow each other.

    Raises:
        DataError: it holds something else, several kinds, or the same value in every row.
    """
    if values.dtype.kind in "OUT":
        given = values.tolist()
        kinds = {type(value) for value in given}
        words = [value for value in given if isinstance(value, str) and not ISO_TIME.fullmatch(value)]
        if words or len(kinds) > 1 or not isinstance(given[0], str | date | Real):
            received = repr(words[0]) if words else " and ".join(sorted(kind.__name__ for kind in kinds))
            raise DataError(f"expected {name} to be numbers, dates or texts as 2026-11-29T08:00; received {received}")
    if len(values) > 1 and (values == values[0]).all():
        raise DataError(f"expected {name} to order the rows; received {values[0]} in each of {len(values)}")
    return values


def predictions_of(given: PredictionsLike, truth_n: NDArray[Any], measure: Measure, name: str) -> Predictions:
    """Predictions in the form that measures read.

    For a measure of probabilities and two classes, a column of probabilities is taken for those of the second class of
    the truth in sorted order, as scikit-learn takes it.

    For a measure of numbers the columns of a table are quantiles, named by their levels; the median stands for the
    number where one is asked for.

    Raises:
        DataError: they have another shape or number of rows, or the measure needs what is not there.
    """
    rows = len(truth_n)
    table = _table(given)
    if table is not None:
        return (
            _of_table(table, truth_n, name)
            if measure.task != "regression"
            else _of_quantiles(table, rows, measure, name)
        )
    values = column(given, name, rows=rows)
    if measure.needs == "quantiles":
        raise DataError(f"expected {name} to be a table with a column for each quantile, for {measure.name!r}")
    if measure.needs in {"likelihood", "scores"}:
        raise DataError(f"expected a measure of labels, numbers, texts or probabilities; received {measure.name!r}")
    if measure.needs != "probabilities":
        return Predictions(values_n=_values(values, truth_n, measure, name))
    classes = np.unique(labels(truth_n))
    if len(classes) == 1:
        raise DataError(
            f"expected {name} to be a table with a column of probabilities for each class: every true value is "
            f"{str(classes[0])!r}, so that one column does not say which class it is of"
        )
    if len(classes) != BINARY or values.dtype.kind != "f":
        raise DataError(
            f"expected {name} to be a table with a column of probabilities for each class, for {measure.name!r}; "
            f"received one column of {values.dtype} for {len(classes)} classes"
        )
    shares = complete(values.astype(np.float64), name)
    if len(wrong := shares[(shares < 0) | (shares > 1)]):
        raise DataError(f"expected {name} to be probabilities, between 0 and 1; received {wrong[0]:g}")
    return Predictions.of_probabilities(np.column_stack([1 - shares, shares]), tuple(classes.tolist()))


def _values(values: NDArray[Any], truth_n: NDArray[Any], measure: Measure, name: str) -> NDArray[Any]:
    """Labels that the truth has, numbers, or texts."""
    if measure.task == "generation":
        return values
    values = complete(values, name)
    if measure.task == "regression":
        return numbers(values, name)
    predicted = labels(values)
    names = np.unique(predicted)
    _known(names.tolist(), truth_n, f"the labels of {name}")
    if len(others := np.setdiff1d(names, truth_n)):
        rows = f"{np.isin(predicted, others).sum():,} of {len(predicted):,}"
        warnings.warn(f"{rows} labels of {name} are never true here: {some(others.tolist())}", stacklevel=4)
    return predicted


def some(names: Iterable[str]) -> str:
    """The first few, in order."""
    return ", ".join(sorted(names)[:SHOWN])


def _known(names: Sequence[str], truth_n: NDArray[Any], what: str) -> None:
    """See that some names are classes of the truth.

    Raises:
        DataError: the truth has several classes, and none of these is one: they are spelled in another way.
    """
    classes = np.unique(truth_n.astype(np.str_)).tolist()
    if len(classes) >= BINARY and not set(names) & set(classes):
        raise DataError(f"expected {what} to be classes of the truth ({some(classes)}); none is: {some(names)}")


def is_table(given: PredictionsLike) -> bool:
    """Whether it has a column for each class."""
    return _table(given) is not None


def labels(values: NDArray[Any]) -> NDArray[np.str_]:
    """Labels as texts: whole numbers alike, whether they came as integers or as floats."""
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.round(values)).all():
        values = values.astype(np.int64)
    return np.asarray([str(value) for value in values.tolist()], dtype=np.str_)


def _table(given: PredictionsLike) -> Mapping[str, NDArray[Any]] | None:
    if isinstance(given, Mapping):
        return {str(name): np.asarray(values) for name, values in given.items()}
    if hasattr(given, "columns") and hasattr(given, "__getitem__"):
        return {str(name): np.asarray(given[name]) for name in given.columns}
    return None


def _of_table(table: Mapping[str, NDArray[Any]], truth_n: NDArray[Any], name: str) -> Predictions:
    names = tuple(sorted(table))
    if len(names) < BINARY:
        raise DataError(f"expected {name} to have a column of probabilities for each class; received {list(names)}")
    _known(names, truth_n, f"the columns of {name}")
    if lacking := sorted(set(np.unique(truth_n.astype(np.str_)).tolist()) - set(names)):
        raise DataError(
            f"expected {name} to have a column for each class of the truth, "
            f"received none for {', '.join(lacking[:SHOWN])}; "
            "add a column of zeros for a class that the model does not know"
        )
    columns = {each: f"the column {each!r} of {name}" for each in names}
    shares = [complete(column(table[each], what, rows=len(truth_n)), what) for each, what in columns.items()]
    return Predictions.of_probabilities(np.column_stack(shares).astype(np.float64), names)


def _of_quantiles(table: Mapping[str, NDArray[Any]], rows: int, measure: Measure, name: str) -> Predictions:
    level_q = [_level(each) for each in table]
    if not table or not all(0 < level < 1 for level in level_q):
        raise DataError(f"expected the columns of {name} to be levels of quantiles, as 0.9; received {list(table)}")
    scores = {
        str(level): column(values, f"the column {level} of {name}", rows=rows).astype(np.float64)
        for level, values in zip(level_q, table.values(), strict=True)
    }
    if MEDIAN not in scores and measure.needs == "values" and not isinstance(measure.gather, Pinball):
        raise DataError(f"expected {name} to have a column {MEDIAN}, for {measure.name!r}; received {list(table)}")
    middle = str(sorted(level_q)[len(level_q) // 2])
    return Predictions(values_n=scores.get(MEDIAN, scores[middle]), scores=scores)


def _level(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return float("nan")
