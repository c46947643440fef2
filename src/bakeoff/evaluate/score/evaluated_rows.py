"""The test rows of a job, what was true of them, and how they go together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.jobs import ROWS, TABLE, JobContext
from bakeoff.core.types import Schema
from bakeoff.data import row_numbers
from bakeoff.evaluate.score.out_of_fold import FOLD
from bakeoff.evaluate.score.row_groups import groups_of_test

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EvaluatedRows", "split_of"]


def split_of(context: JobContext) -> dict[str, NDArray[Any]]:
    """The arrays of `bakeoff.data.row_numbers` that a job reads."""
    with np.load(context.inputs[ROWS], allow_pickle=False) as arrays:
        return dict(arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedRows:
    """The test rows: all columns of the prepared `table`, with `FOLD` where there are folds.

    `split` are the arrays of `bakeoff.data.row_numbers`. `groups_n` says what each row goes together with, as a code,
    and `time_n` when it happened; None where nothing is known of that.
    """

    split: Mapping[str, NDArray[Any]]
    table: "pl.DataFrame"
    truth_n: NDArray[Any]
    groups_n: NDArray[Any] | None
    time_n: NDArray[Any] | None

    @classmethod
    def of(
        cls, table: "pl.DataFrame", split: Mapping[str, NDArray[Any]], schema: Schema, *, folds: int = 0
    ) -> "EvaluatedRows":
        """Those of a whole prepared table."""
        import polars as pl

        table = table[split["test"]]
        if folds:
            table = table.with_columns(pl.Series(FOLD, split[row_numbers.FOLD][split["test"]]))
        group = table[schema.group] if schema.group else None
        return cls(
            split=split,
            table=table,
            truth_n=table[schema.target].to_numpy(),
            groups_n=groups_of_test(group, split, by_time=schema.time is not None),
            time_n=table[schema.time].to_physical().to_numpy() if schema.time in table.columns else None,
        )

    @classmethod
    def of_job(cls, context: JobContext, schema: Schema, *, folds: int = 0) -> "EvaluatedRows":
        """Those of the inputs `TABLE` and `ROWS`."""
        import polars as pl

        return cls.of(pl.read_parquet(context.inputs[TABLE], glob=False), split_of(context), schema, folds=folds)

    def dealt(self, turn: int) -> "pl.DataFrame":
        """The table with the folds of a further time that the rows were dealt, counted from 1."""
        import polars as pl

        fold_n = self.split[row_numbers.FOLD_AGAIN][turn - 1][self.rows_n]
        return self.table.with_columns(pl.Series(FOLD, fold_n))

    @property
    def rows_n(self) -> NDArray[np.int64]:
        """Their numbers in the prepared table."""
        return self.split["test"]
