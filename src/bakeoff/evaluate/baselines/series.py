"""Rules for rows in the order of time: the last value, and that of the same time a day, a week or a year before.

Rows belong to series: those of the project's group, and where several rows have the same time, of the columns that
tell them apart. What a rule takes as known lies as long before the row as it says, also among test rows: when such a
row is answered, its truth is known by then.
Source: R. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 5.2 (naive and seasonal naive).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions, Schema
from bakeoff.evaluate.baselines.rules import (
    Answers,
    BaselineData,
    BaselineRule,
    Rows,
    Side,
    fallback,
    with_right_share,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TimedRows", "in_order", "series_keys", "span_words"]

HOUR_S, DAY_S, WEEK_S, YEAR_S = 3600.0, 86_400.0, 604_800.0, 365.25 * 86_400.0
MS = 1000
PARTED = 0.95
"""Rows are told apart in time when so many have a time of their own within their series."""
MOST_KEYS = 3
SOME = 0.05
"""A further key must part so many more of the rows."""
RECURRENT = 3.0
"""A key names series when each of its values comes at so many times, on average."""
MOST_TRIED = 4
"""Where there is no row a week before, two weeks before is looked at, and so on, so many times."""
FEWEST_KNOWN = 0.5
"""A rule makes sense when it knows a row for so many of those that it is asked about."""
MOST_RIGHT_ROWS = 20_000


def series_keys(table: "pl.DataFrame", schema: Schema) -> tuple[str, ...]:
    """The columns that name series: the group, and what else tells rows of one time apart.

    None but the group where no columns do: then rows of one time and series are averaged.
    """
    base = () if schema.group is None else (schema.group,)
    time = schema.time
    assert time is not None, "rules of time are for tables with one"

    def parted(keys: Sequence[str]) -> float:
        return table.select(time, *keys).n_unique() / max(1, table.height)

    if parted(base) >= PARTED:
        return base
    distinct = {name: count for name in _possible(table, schema) if (count := _recurrent(table, time, name))}
    chosen, share = base, parted(base)
    while distinct and len(chosen) - len(base) < MOST_KEYS and share < PARTED:
        shares = {name: parted((*chosen, name)) for name in distinct}
        enough = [name for name, value in shares.items() if value >= PARTED]
        best = min(enough, key=distinct.__getitem__) if enough else max(shares, key=shares.__getitem__)
        if shares[best] < share + SOME:
            break
        chosen, share = (*chosen, best), shares[best]
        del distinct[best]
    return chosen if share >= PARTED else base


def _possible(table: "pl.DataFrame", schema: Schema) -> list[str]:
    """Input columns that may name series: categories, booleans and whole numbers, but not the time."""
    import polars as pl

    names = [name for name in schema.of_kind("categorical", "boolean") if name not in {schema.time, schema.group}]
    for name in schema.of_kind("numeric"):
        column = table[name].cast(pl.Float64, strict=False)
        if bool((column == column.round()).all()):
            names.append(name)
    return names


def _recurrent(table: "pl.DataFrame", time: str, name: str) -> int:
    """How many values a column has, where each comes at several times; else 0."""
    values = table[name].n_unique()
    return values if values > 1 and table.select(time, name).n_unique() / values >= RECURRENT else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """Known rows, one for each series and time, in that order: `place_m` orders them, `value_m` is their truth."""

    place_m: NDArray[np.int64]
    value_m: NDArray[Any]

    def nearest(self, place_n: NDArray[np.int64], within: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The row next to each place, and which of them are at most so far from it."""
        if not len(self.place_m):
            return np.zeros(len(place_n), dtype=self.value_m.dtype), np.zeros(len(place_n), dtype=np.bool_)
        right_n = np.clip(np.searchsorted(self.place_m, place_n), 0, len(self.place_m) - 1)
        left_n = np.maximum(right_n - 1, 0)
        nearer_left = np.abs(self.place_m[left_n] - place_n) <= np.abs(self.place_m[right_n] - place_n)
        at_n = np.where(nearer_left, left_n, right_n)
        return self.value_m[at_n], np.abs(self.place_m[at_n] - place_n) <= within

    def last(self, place_n: NDArray[np.int64], least_n: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The last row at each place or before it, and which of them are not before `least_n`, their series' start."""
        if not len(self.place_m):
            return np.zeros(len(place_n), dtype=self.value_m.dtype), np.zeros(len(place_n), dtype=np.bool_)
        at_n = np.searchsorted(self.place_m, place_n, side="right") - 1
        within_n = (at_n >= 0) & (self.place_m[np.maximum(at_n, 0)] >= least_n)
        return self.value_m[np.maximum(at_n, 0)], within_n


class TimedRows:
    """The rows of a table as series in time: milliseconds, a code for each series, and the usual step (seconds)."""

    def __init__(self, data: BaselineData) -> None:
        import polars as pl

        schema, table = data.schema, data.table
        assert schema.time is not None, "rules of time are for tables with one"
        time = table[schema.time].cast(pl.Datetime("ms"))
        self.data = data
        self.time = time
        self.has_time_n = time.is_not_null().to_numpy()
        self.time_n = time.to_physical().fill_null(0).to_numpy().astype(np.int64)
        self.keys = series_keys(table, schema)
        self.series_n = np.zeros(table.height, dtype=np.int64)
        if self.keys:
            code = table.select(self.keys).select(pl.struct(pl.all()).rank("dense"))
            self.series_n = code.to_series().to_numpy().astype(np.int64) - 1
        present = self.time_n[self.has_time_n]
        self.start, self.end = (int(present.min()), int(present.max())) if len(present) else (0, 0)
        # TimedRows lie so far from each other that no step back reaches another one.
        self.room = 3 * (self.end - self.start) + 10 * int(YEAR_S) * MS
        self.step_s = self._step()

    @property
    def span_s(self) -> float:
        """From the first row to the last one."""
        return (self.end - self.start) / MS

    def _step(self) -> float:
        """The median of the steps from one time to the next within series; 0 where there are none."""
        place_n = np.unique(self.places(np.flatnonzero(self.has_time_n)))
        steps = np.diff(place_n)
        steps = steps[steps < self.room - (self.end - self.start)]
        return float(np.median(steps)) / MS if len(steps) else 0.0

    def places(self, rows: Rows, time_n: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Where rows stand, or would at other times: series one after the other, each in the order of time."""
        return self.series_n[rows] * self.room + (self.time_n[rows] if time_n is None else time_n) - self.start

    def history(self, known: Rows) -> _History:
        """What is known of these rows: of several of one series and time, the mean or the most frequent class."""
        import polars as pl

        known = known[self.has_time_n[known]]
        table = pl.DataFrame({"place": self.places(known), "value": self.data.truth_n[known]})
        value = pl.col("value").mean() if self.data.task == "regression" else pl.col("value").mode().min()
        grouped = table.group_by("place").agg(value).sort("place")
        return _History(place_m=grouped["place"].to_numpy(), value_m=grouped["value"].to_numpy())

    def answered(self, side: Side, lag: "Lag") -> Answers:
        """What the rule of this lag says of the rows that are asked about."""
        value_n, unknown_n = self._values(side.asked, side, lag)
        if self.data.task == "regression":
            scores = dict.fromkeys(self.data.levels, value_n)
            return Answers(predictions=Predictions(values_n=value_n, scores=scores), unknown_n=unknown_n)
        checked = side.learn[-MOST_RIGHT_ROWS:]
        past_n, past_unknown_n = self._values(checked, Side(asked=checked, learn=side.learn, known=side.learn), lag)
        hits = (past_n == self.data.truth_n[checked]) & ~past_unknown_n
        right = (float(hits.sum()) + 1) / (float((~past_unknown_n).sum()) + 2)
        predictions = with_right_share(self.data, side, value_n.astype(np.int64), right, unknown_n)
        return Answers(predictions=predictions, unknown_n=unknown_n)

    def known_share(self, side: Side, lag: "Lag") -> float:
        """Of what share of the rows that are asked about the rule knows a row as long before as it says."""
        _, known_n = self._seasonal(side.asked, self.history(side.known), lag)
        return float(known_n.mean()) if len(known_n) else 0.0

    def _values(self, rows: Rows, side: Side, lag: "Lag") -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """By the lag, else the last value that is known by then, else a constant; and where it is the constant."""
        history = self.history(side.known)
        value_n, known_n = self._seasonal(rows, history, lag)
        least_n = self.series_n[rows] * self.room
        last_n, there_n = history.last(self.places(rows, self._before(rows, lag, 1)), least_n)
        there_n &= self.has_time_n[rows]
        constant = fallback(self.data, side.learn)
        return np.where(known_n, value_n, np.where(there_n, last_n, constant)), ~known_n & ~there_n

    def _seasonal(self, rows: Rows, history: _History, lag: "Lag") -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if lag.last:
            least_n = self.series_n[rows] * self.room
            value_n, known_n = history.last(self.places(rows, self._before(rows, lag, 1)), least_n)
            return value_n, known_n & self.has_time_n[rows]
        within = int(self.step_s * MS / 2)
        value_n = np.zeros(len(rows), dtype=history.value_m.dtype)
        known_n = np.zeros(len(rows), dtype=np.bool_)
        for times in range(1, MOST_TRIED + 1):
            found_n, there_n = history.nearest(self.places(rows, self._before(rows, lag, times)), within)
            value_n = np.where(known_n, value_n, found_n)
            known_n |= there_n & self.has_time_n[rows]
        return value_n, known_n

    def _before(self, rows: Rows, lag: "Lag", times: int) -> NDArray[np.int64]:
        """The times of rows, so many lags before."""
        if lag.years:
            shifted = self.time[rows].dt.offset_by(f"-{lag.years * times}y").to_physical().fill_null(self.start)
            return shifted.to_numpy().astype(np.int64)
        first = lag.seconds if times == 1 else lag.seconds + (times - 1) * lag.period_s
        # The last value is that of a row before this one, however close.
        return self.time_n[rows] - max(1, round(first * MS)) if not lag.last else self.time_n[rows] - lag.least_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a rule looks back: `seconds`, and where there is no row, `period_s` more; or so many calendar `years`.

    `last`: it takes whatever row is the last, at least `least_ms` before.
    """

    seconds: float
    period_s: float = 0.0
    years: int = 0
    last: bool = False
    least_ms: int = 1


def in_order(series: TimedRows, sides: Sequence[Side], horizon_s: float | None) -> list[BaselineRule]:
    """The rules that make sense for the step and the span of these rows.

    `horizon_s`: how long after its time a row's truth is known, as the project says; rules look back at least so
    far. None: it does not say; then those stop a winner whose truth lies a day or more before.
    """
    if not series.step_s or not len(series.time_n):
        return []
    step, delay = series.step_s, horizon_s or 0.0
    rules: list[tuple[str, str, Lag]] = []
    least = max(step, delay)
    words = (
        "the value of the row before" if least == step else f"the last value that is known after {span_words(delay)}"
    )
    rules.append(("last value", words, Lag(seconds=least, last=True, least_ms=max(1, round(delay * MS)))))
    if step <= DAY_S / 2:
        rules.append(("same time the day before", "the value of the same time of day, {} before", _lag(DAY_S, delay)))
    if step <= WEEK_S / 2:
        rules.append(("same time last week", "the value of the same weekday and time, {} before", _lag(WEEK_S, delay)))
    if step <= WEEK_S:
        rules.append(
            ("same time last year", "the value of the same weekday and time, {} before", _lag(52 * WEEK_S, delay))
        )
    elif step <= YEAR_S / 2:
        years = max(1, math.ceil(delay / YEAR_S))
        rules.append(("same time last year", "the value {} before", Lag(seconds=years * YEAR_S, years=years)))
    of = f", of the same {' and '.join(series.keys)}" if series.keys else ""
    return [
        BaselineRule(
            name=name,
            rule=text.format(span_words(lag.seconds)) + of,
            answer=lambda side, lag=lag: series.answered(side, lag),
            needs=f"the truth of {span_words(lag.seconds)} before",
            lag_s=lag.seconds,
            stops="equal" if horizon_s is not None or lag.seconds >= 0.9 * DAY_S else "none",
        )
        for name, text, lag in rules
        if _known(series, sides, lag) >= FEWEST_KNOWN
    ]


def _lag(period_s: float, delay_s: float) -> Lag:
    """The least number of whole periods that is not shorter than the delay."""
    return Lag(seconds=period_s * max(1, math.ceil(delay_s / period_s)), period_s=period_s)


def _known(series: TimedRows, sides: Sequence[Side], lag: Lag) -> float:
    rows = sum(len(side.asked) for side in sides)
    return sum(series.known_share(side, lag) * len(side.asked) for side in sides) / max(1, rows)


def span_words(seconds: float) -> str:
    """A length of time in words.

    >>> [span_words(each) for each in (1, 900, 3600, 86_400, 3 * 86_400, 604_800, 2 * 604_800, 364 * 86_400)]
    ['a second', '15 minutes', 'an hour', 'a day', '3 days', 'a week', '2 weeks', '52 weeks']
    """
    units = (
        (YEAR_S, "a year", 0.001),
        (WEEK_S, "a week", 0.001),
        (DAY_S, "a day", 0.02),
        (HOUR_S, "an hour", 0.02),
        (60.0, "a minute", 0.02),
    )
    for size, one, tolerance in units:
        count = round(seconds / size)
        if count and abs(seconds - count * size) <= tolerance * seconds:
            return one if count == 1 else f"{count} {one.split()[1]}s"
    return "a second" if round(seconds, 2) == 1 else f"{seconds:.3g} seconds"
