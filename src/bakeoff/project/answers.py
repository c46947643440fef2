"""Answers as a table, and the classes in them as values of the type that the target had in its frame."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core.ledger import summed
from bakeoff.core.types import Signature
from bakeoff.project.files import UNKNOWN, gaps_lost
from bakeoff.project.frames import FRAME_FILE
from bakeoff.serve.runtime import Answer

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.config.sections import DataConfig

__all__ = ["answer_table", "class_values", "warn_of_gaps"]

PROBABILITY = "probability_{}"


def class_values(names: Sequence[str], data: "DataConfig", folder: Path) -> dict[str, Any]:
    """What each class is called in the frame that the project keeps: 0, 1.5, True, "a"; of files it is its name."""
    import polars as pl

    file = folder / FRAME_FILE
    plain: dict[str, Any] = {name: name for name in names}
    if data.source != (FRAME_FILE,) or not file.is_file():
        return plain
    dtype = pl.read_parquet_schema(file).get(data.target)
    try:
        if dtype is not None and dtype.is_integer():
            return {name: int(name) for name in names}
        if dtype is not None and dtype.is_float():
            return {name: float(name) for name in names}
    except ValueError:  # words that are classes beside numbers
        return plain
    return {name: name == "true" for name in names} if dtype == pl.Boolean and {*names} <= {"true", "false"} else plain


def answer_table(answers: Sequence[Answer], signature: Signature, classes: Mapping[str, Any]) -> "pl.DataFrame":
    """Answers as a table: `label` and a `probability_CLASS` each, or `value`; and the `id` for feedback."""
    import polars as pl

    columns: list[pl.Series] = []
    if signature.task == "classification":
        labels = [None if each.label is None else classes[each.label] for each in answers]
        columns.append(pl.Series("label", labels, dtype=pl.Series(list(classes.values())).dtype))
        if all(each.probabilities is not None for each in answers):
            columns += [
                pl.Series(PROBABILITY.format(name), [(each.probabilities or {})[name] for each in answers], pl.Float64)
                for name in classes
            ]
    else:
        dtype = pl.Float64 if signature.task == "regression" else pl.String
        columns.append(pl.Series("value", [each.value for each in answers], dtype=dtype))
    columns.append(pl.Series("id", [each.id for each in answers], dtype=pl.String))
    return pl.DataFrame(columns)


def warn_of_gaps(answers: Sequence[Answer], *, stacklevel: int) -> None:
    """Warn of rows that lacked something, which a table of answers does not say."""
    losses = [loss for loss in summed(gaps_lost(each.gaps for each in answers)) if loss.reason != UNKNOWN]
    if losses:
        lines = "; ".join(f"{loss.subject} of {loss.count:,} rows is {loss.reason}" for loss in losses[:5])
        more = f"; and {len(losses) - 5} more" if len(losses) > 5 else ""  # noqa: PLR2004
        warnings.warn(f"of {len(answers):,} rows answered: {lines}{more}", UserWarning, stacklevel=stacklevel + 1)
