"""The past as a replay needs it: rows by period, and what was known at the end of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Task
from bakeoff.data.labels import label_text
from bakeoff.data.periods import PERIOD, period_s
from bakeoff.loop.replay import ReplayPeriod

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PastRows"]

MONTH_MS = 30 * 86_400_000
FEWEST = 3
"""Periods: one to begin with, one to answer and learn from, one to answer after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRows:
    """Rows in the order of their periods, of which the first `known` were known before the replay began.

    `score` names the column by which answers are scored, where that is not the target; no model sees it.
    """

    table: "pl.DataFrame"
    period_n: NDArray[np.intp]
    known: int
    periods: tuple[ReplayPeriod, ...]
    data: DataConfig
    task: Task
    score: str

    @classmethod
    def of(
        cls,
        table: "pl.DataFrame",
        data: DataConfig,
        task: Task,
        *,
        by: str,
        every: str = "1mo",
        start: str | None = None,
        truth: str | None = None,
    ) -> "PastRows":
        """Cut the past into periods.

        Args:
            table: the rows, in any order.
            data: how the project reads them.
            task: the project's.
            by: a column of times, cut `every` so often; or one whose values are the periods, in their order.
            every: a period such as "1mo", "7d".
            start: the first period that is replayed; half of them are known before by default.
            truth: a column to score by instead of the target, which no model sees.

        Raises:
            UsageError, DataError: there is no such column, period, or too few periods.
        """
        import polars as pl

        for name in (by, data.target, *([truth] if truth else [])):
            if name not in table.columns:
                hint = suggestion(name, table.columns)
                raise UsageError(f"expected a column {name!r} in the past, found none. {hint}".rstrip())
        if not PERIOD.match(every):
            raise UsageError(f"expected --every to be a period such as 1mo, 14d or 1w, received {every!r}")
        table = table.filter(pl.col(by).is_not_null() & pl.col(data.target).is_not_null())
        if table[by].dtype.is_temporal():
            table = table.sort(by, maintain_order=True)
            begins = table[by].cast(pl.Datetime("ms")).dt.truncate(every)
            starts: Sequence[Any] = begins.unique().sort().to_list()
            ends = pl.Series(starts, dtype=pl.Datetime("ms")).dt.offset_by(every).dt.epoch("ms").to_list()
            names = [_name(each, every) for each in starts]
        else:
            table = table.sort(by, maintain_order=True)
            begins = table[by]
            starts = begins.unique().sort().to_list()
            ends = [at * MONTH_MS for at in range(1, len(starts) + 1)]
            names = [str(each) for each in starts]
        place = {value: at for at, value in enumerate(starts)}
        period_n = np.asarray([place[value] for value in begins.to_list()], dtype=np.intp)
        known = _known(names, start)
        rows_k = np.bincount(period_n, minlength=len(names))
        periods = tuple(
            ReplayPeriod(name=name, end_ms=int(end), rows=int(rows))
            for name, end, rows in zip(names[known:], ends[known:], rows_k[known:], strict=True)
        )
        return cls(
            table=table,
            period_n=period_n,
            known=known,
            periods=periods,
            data=data,
            task=task,
            score=truth or data.target,
        )

    def rows_of(self, period: int) -> "pl.DataFrame":
        """The rows of a replayed period."""
        return self.table[np.flatnonzero(self.period_n == period + self.known)]

    def truth_of(self, rows: "pl.DataFrame", column: str | None = None) -> list[str | float]:
        """The truth of rows, as measures take it."""
        values = rows[column or self.score].to_list()
        if self.task == "regression":
            return [float(value) for value in values]
        return [label_text(value, self.data.labels) or "" for value in values]

    def reading_of(self, file: Path) -> DataConfig:
        """How a file of known rows is read: as the project reads its own, without the column to score by."""
        update: dict[str, Any] = {"source": (str(file),), "sources": {}, "query": None}
        if self.score != self.data.target:
            roles = ("text", "categorical", "numeric", "datetime", "boolean", "ignore")
            update |= {role: tuple(name for name in getattr(self.data, role) if name != self.score) for role in roles}
        return self.data.model_copy(update=update)

    def write_known(self, model: int, file: Path) -> None:
        """Write what model `model` may learn from: all that was known when it was trained."""
        import polars as pl

        past = self.table[np.flatnonzero(self.period_n < model + self.known)]
        if self.score != self.data.target:
            past = past.drop(self.score)
        time = self.data.time
        if self.data.horizon is not None and time is not None and model and past[time].dtype.is_temporal():
            until = pl.lit(self.periods[model - 1].end_ms).cast(pl.Datetime("ms"))
            past = past.filter(pl.col(time) + timedelta(seconds=period_s(self.data.horizon)) <= until)
        file.parent.mkdir(parents=True, exist_ok=True)
        past.write_parquet(file)


def _name(start: Any, every: str) -> str:
    """A period by its beginning, as exactly as its length asks for."""
    unit = every.strip().lstrip("0123456789 ")
    return start.strftime({"mo": "%Y-%m", "y": "%Y", "h": "%Y-%m-%d %H:%M"}.get(unit, "%Y-%m-%d"))


def _known(names: Sequence[str], start: str | None) -> int:
    """How many periods are known before the first that is replayed."""
    if len(names) < FEWEST:
        raise DataError(f"expected at least {FEWEST} periods to replay, found {len(names)} ({', '.join(names)})")
    if start is None:
        return min((len(names) + 1) // 2, len(names) - 2)  # two at least are replayed
    at = next((at for at, name in enumerate(names) if name == start or name.startswith(start)), None)
    if at is None or not 0 < at < len(names) - 1:
        fine = ", ".join(names[1:-1])
        raise UsageError(f"expected --start to be one of {fine}, received {start!r}")
    return at
