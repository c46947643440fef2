"""Earlier values of the target as features: the last one, means of the last days, the same time a day or a week ago.

A model is served for a while after it was fitted, and learns no truth meanwhile. So its lags are those of a state that
is frozen when it is fitted, and what a row sees is: rows up to `horizon` before the freeze. The same hour of the last
day that the state knows may then be a week old. Training rows see the same: the time of training is cut into spans as
long as the one that validation rows cover, and the rows of a span see the state as it was when the span began. So no
feature of a row depends on a target that is later than `horizon` before the row, and training, evaluation and serving
work it out in one way. A fit on later rows brings the state up to date.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.ledger import Loss
from bakeoff.core.types import Column
from bakeoff.families.features.columns import categories, instants
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DAY_S", "MISSING", "LagPlan", "Lags", "group_numbers", "names_of", "seconds_of"]

_Floats: TypeAlias = NDArray[np.float64]
_Whole: TypeAlias = NDArray[np.int64]
DAY_S = 86_400
PERIODS_S = (DAY_S, 7 * DAY_S, 364 * DAY_S)
"""After which a target may repeat itself: a day, a week, a year (of whole weeks)."""
WINDOWS_S = (DAY_S, 7 * DAY_S, 28 * DAY_S, 364 * DAY_S)
REPEATS = 3
"""Periods that are averaged beside the last one."""
MOST_VALUES = 500_000
"""Values that a model's state may hold."""
LATEST_SPANS = 2
"""Spans after the freeze for which the state is good."""
FEWEST_SPANS = 3
"""Spans that training rows must cover, so that most of them have something before them."""
NO_GROUP = "\x00"
MISSING = np.iinfo(np.int64).min // 4
"""Stands for a time that nobody knows."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LagPlan:
    """Which lags: seconds of the horizon, of a span, of periods and of windows; `step_s` lies between rows."""

    horizon_s: int
    span_s: int
    step_s: int
    periods_s: tuple[int, ...]
    windows_s: tuple[int, ...]

    @classmethod
    def of(cls, second_n: _Whole, group_n: _Whole, *, horizon_s: int, span_s: int) -> "LagPlan | None":
        """The lags that training rows of these times and groups can tell; None when they are too few."""
        order = np.lexsort((second_n, group_n))
        steps = np.diff(second_n[order])[np.diff(group_n[order]) == 0]
        steps = steps[steps > 0]
        total = int(second_n.max() - second_n.min()) if len(second_n) else 0
        if not len(steps) or span_s <= 0 or total < FEWEST_SPANS * span_s:
            return None
        step_s = int(np.median(steps))
        room = total - span_s
        periods = [each for each in PERIODS_S if 2 * step_s <= each <= room]
        windows = [each for each in WINDOWS_S if 2 * step_s <= each <= room // 2]
        groups = len(np.unique(group_n))
        while periods and groups * (REPEATS + 1) * periods[-1] / step_s > MOST_VALUES:
            periods.pop()
        while windows and groups * windows[-1] / step_s > MOST_VALUES:
            windows.pop()
        return cls(
            horizon_s=horizon_s,
            span_s=span_s,
            step_s=step_s,
            periods_s=tuple(periods),
            windows_s=tuple(windows),
        )

    @property
    def reach_s(self) -> int:
        """How far back of what is known a row may look."""
        longest = max((*((REPEATS + 1) * period for period in self.periods_s), *self.windows_s, 0))
        return longest + 4 * self.step_s


@dataclass(frozen=True, kw_only=True)
class Lags:
    """A state: the last targets of each group, by time.

    `place_s` says where a value stands: the number of its group times `width_s`, plus seconds since `origin_s`.
    """

    plan: LagPlan
    time: str
    group: Column | None
    target: str
    origin_s: int
    width_s: int
    frozen_s: int
    groups: tuple[str, ...]
    place_s: Array
    value_m: Array

    @classmethod
    def fit(
        cls,
        table: "pl.DataFrame",
        value_n: _Floats,
        *,
        time: str,
        group: Column | None,
        target: str,
        plan: LagPlan,
    ) -> "Lags":
        """The state after these rows, all of it; `pruned` leaves what serving needs."""
        second_n, named = seconds_of(table, time), names_of(table, group)
        known = np.flatnonzero(second_n != MISSING)
        groups = tuple(sorted({named[at] for at in known.tolist()}))
        code = {name: at for at, name in enumerate(groups)}
        origin_s = int(second_n[known].min())
        frozen_s = int(second_n[known].max())
        width_s = frozen_s - origin_s + 1
        place_n = np.array([code[named[at]] for at in known.tolist()], dtype=np.int64) * width_s
        place_n += second_n[known] - origin_s
        place_s, inverse_n, count_m = np.unique(place_n, return_inverse=True, return_counts=True)
        value_m = np.bincount(inverse_n, weights=value_n[known]) / count_m
        return cls(
            plan=plan,
            time=time,
            group=group,
            target=target,
            origin_s=origin_s,
            width_s=width_s,
            frozen_s=frozen_s,
            groups=groups,
            place_s=place_s,
            value_m=value_m,
        )

    def pruned(self) -> "Lags":
        """The state that serving needs: what lies no further back than a row looks."""
        since_s = self.frozen_s - self.plan.horizon_s - self.plan.reach_s - self.origin_s
        near_m = self.place_s % self.width_s >= since_s
        return replace(self, place_s=self.place_s[near_m], value_m=self.value_m[near_m])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features."""
        target, plan = self.target, self.plan
        each = [f"last({target})"]
        each += [f"mean_of_{_days(window)}({target})" for window in plan.windows_s]
        for period in plan.periods_s:
            each += [f"same_time_{_days(period)}_ago({target})", f"mean_same_time_{_days(period)}({target})"]
        return tuple(each)

    @property
    def good_until(self) -> str:
        """The last time of which the state can tell something."""
        return str(np.datetime64(self.last_s, "s"))

    @property
    def last_s(self) -> int:
        """The same in seconds since the epoch."""
        return self.frozen_s + LATEST_SPANS * self.plan.span_s

    def losses(self) -> tuple[Loss, ...]:
        """The rows that came too late for the state since it was loaded."""
        if not self._late.rows:
            return ()
        return (
            Loss(
                kind="cell",
                reason=f"the earlier targets that the model keeps tell nothing of rows after {self.good_until}",
                subject=self.target,
                count=self._late.rows,
                of=self._late.of,
                remedy="fit again on later rows",
            ),
        )

    @cached_property
    def _late(self) -> "CountedRows":
        return CountedRows()

    def __call__(self, table: "pl.DataFrame") -> _Floats:
        """The features of rows (n, d): what was known `horizon` before the freeze, or before an earlier row."""
        second_n = seconds_of(table, self.time)
        late = int((second_n > self.last_s).sum())
        if late:
            warning = f"rows after {self.good_until} see no earlier targets; fit the model again on later rows"
            self._late.add(late, len(second_n), warning)
        return self._features(table, second_n, np.full(len(second_n), self.frozen_s))

    def of_training(self, table: "pl.DataFrame") -> _Floats:
        """Those of the training rows: each sees the state as it was at the beginning of its span."""
        second_n = seconds_of(table, self.time)
        spans_n = np.maximum((self.frozen_s - second_n) // self.plan.span_s + 1, 1)
        return self._features(table, second_n, self.frozen_s - spans_n * self.plan.span_s)

    def _features(self, table: "pl.DataFrame", second_n: _Whole, frozen_n: _Whole) -> _Floats:
        plan = self.plan
        known_n = np.minimum(frozen_n, second_n) - plan.horizon_s
        code_n = np.array([self._codes.get(name, -1) for name in names_of(table, self.group)], dtype=np.int64)
        late_n = second_n > frozen_n + LATEST_SPANS * plan.span_s
        lacking_n = (second_n == MISSING) | (code_n < 0) | late_n
        parts = [self._before(code_n, known_n)[0]]
        parts += [self._mean(code_n, known_n, window) for window in plan.windows_s]
        for period in plan.periods_s:
            back_n = -((known_n - second_n) // period) * period
            repeated = []
            for repeat in range(REPEATS + 1):
                value_n, at_s = self._before(code_n, second_n - back_n - repeat * period)
                late_n = second_n - back_n - repeat * period - at_s > 2 * plan.step_s
                repeated.append(np.where(late_n, np.nan, value_n))
            parts += [repeated[0], _mean_of(repeated)]
        out_nd = np.column_stack(parts)
        out_nd[lacking_n] = np.nan
        return out_nd

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.groups)}

    @cached_property
    def _sums(self) -> _Floats:
        """Of each value, the sum of its group's up to it (m + 1,), 0 before the first of all.

        Group by group: else what is known of one would move another's last digits.
        """
        starts = np.flatnonzero(np.diff(self.place_s // self.width_s)) + 1
        return np.concatenate([[0.0], *(np.cumsum(part) for part in np.split(self.value_m, starts))])

    def _position(self, code_n: _Whole, second_n: _Whole) -> _Whole:
        """How many values stand up to a time of a group, those of earlier groups with them (n,)."""
        within_n = np.clip(second_n - self.origin_s, -1, self.width_s - 1)
        return np.searchsorted(self.place_s, code_n * self.width_s + within_n, side="right")

    def _before(self, code_n: _Whole, second_n: _Whole) -> tuple[_Floats, _Floats]:
        """The last value of each group up to a time, and its time in seconds; NaN where there is none."""
        at_n = self._position(code_n, second_n) - 1
        safe_n = np.maximum(at_n, 0)
        if not len(self.place_s):
            return np.full(len(code_n), np.nan), np.full(len(code_n), np.nan)
        there_n = (at_n >= 0) & (self.place_s[safe_n] // self.width_s == code_n) & (second_n >= self.origin_s)
        at_s = self.place_s[safe_n] % self.width_s + self.origin_s
        return np.where(there_n, self.value_m[safe_n], np.nan), np.where(there_n, at_s, np.nan)

    def _mean(self, code_n: _Whole, known_n: _Whole, window_s: int) -> _Floats:
        """The mean of the values in the time up to `known_n` (n,)."""
        high_n, low_n = self._position(code_n, known_n), self._position(code_n, known_n - window_s)
        first_n = np.searchsorted(self.place_s, code_n * self.width_s, side="left")
        before_n = np.where(low_n > first_n, self._sums[low_n], 0.0)
        count_n = high_n - low_n
        sum_n = self._sums[high_n] - before_n
        return np.divide(sum_n, count_n, out=np.full(len(sum_n), np.nan), where=count_n > 0)


class CountedRows:
    """Counts rows of which a model lacks what it would look at, and tells of the first; for several threads."""

    def __init__(self) -> None:
        self.rows = self.of = 0
        self._counting = threading.Lock()

    def add(self, rows: int, of: int, warning: str) -> None:
        with self._counting:
            if not self.rows:
                logger.warning(warning)
            self.rows, self.of = self.rows + rows, self.of + of


def _mean_of(parts: Sequence[_Floats]) -> _Floats:
    """The mean of what is there (n,)."""
    each_nr = np.column_stack(parts)
    there_nr = ~np.isnan(each_nr)
    count_n = there_nr.sum(axis=1)
    sum_n = np.where(there_nr, each_nr, 0.0).sum(axis=1)
    return np.divide(sum_n, count_n, out=np.full(len(each_nr), np.nan), where=count_n > 0)


def _days(seconds: int) -> str:
    return f"{seconds // DAY_S}d"


def seconds_of(table: "pl.DataFrame", time: str) -> _Whole:
    """Seconds since the epoch (n,); `MISSING` where missing."""
    time_n = instants(table.get_column(time))
    return np.where(np.isnat(time_n), MISSING, time_n.astype("datetime64[s]").astype(np.int64))


def names_of(table: "pl.DataFrame", group: Column | None) -> list[str]:
    """The group of each row (n,)."""
    if group is None:
        return [NO_GROUP] * len(table)
    return [NO_GROUP if name is None else name for name in categories(table, group)]


def group_numbers(table: "pl.DataFrame", group: Column | None) -> _Whole:
    """A number for the group of each row (n,)."""
    return np.unique(names_of(table, group), return_inverse=True)[1]
